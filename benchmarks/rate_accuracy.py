"""How much is recognized within a budget: our streams beside the strongest setting of every rival.

    tuning pictures   every variant of every rival   ->  best variant by (judge, rival, budget)
    report pictures   our streams, the best variants ->  top-1, top-5, PSNR, MS-SSIM, intervals

All codecs get the same pictures. What does not fit counts as wrong and looks mid-grey. Every
outcome is kept in `benchmarks.cache`, so that a killed run resumes and a larger one only adds.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.bench import (
    ACCURACIES,
    KS,
    Bench,
    Columns,
    Job,
    OnProgress,
    Panel,
    Plan,
    intervals,
    open_bench,
)
from benchmarks.codecs import TABLE_PICTURES, fit_tables, is_rival, open_codec
from benchmarks.pictures import PictureSet
from benchmarks.work import UNDAMAGED, Cell, fingerprint
from pnc.errors import ConfigError
from pnc.replay.baselines import TITLES
from pnc.replay.metrics import paired_interval
from pnc.replay.rates import rate_change_interval
from pnc.replay.report.rate_accuracy import RATE_ACCURACY_SCHEMA

BUDGETS = (512, 1024, 2048, 3072, 4096)
"""Bytes; the published table's, in units of 1024 from the second on."""

CODECS = ("jpeg", "webp", "avif", "avif-stripped", "jpegxl", "jpeg2000")
"""Rivals unless the caller names others."""

Choice = dict[tuple[str, str, int], int]
"""From (judge, codec, budget) to the variant that serves the tuning pictures best."""

NOISE = 0.01
"""Accuracy, mean of top-1 and top-5, by which variants may differ and still be equally good."""


@dataclass(frozen=True, kw_only=True)
class RateAccuracyPlan(Plan):
    """Which codecs to measure, and how rivals are tuned."""

    codecs: tuple[str, ...]
    """See `benchmarks.codecs`; differences are to the first checkpoint of ours."""
    tune: tuple[str, ...] = ()
    """Sets that rivals' variants are chosen on."""
    train: tuple[str, ...] = ()
    """Sets that Huffman tables are fitted to; the tuning sets if none."""
    budgets: tuple[int, ...] = BUDGETS
    """Bytes."""
    tune_limit: int | None = None
    """Pictures of each tuning set; as `limit` if None."""


def measure_rate_accuracy(
    plan: RateAccuracyPlan, on_progress: OnProgress | None = None
) -> dict[str, Any]:
    """Return the results as JSON values; `docs/benchmarks.md` explains the fields.

    Raises:
        ConfigError: A set, judge, codec or budget is not usable, or rivals cannot be tuned.
        CheckpointError: No such checkpoint.
        ImageError: A picture cannot be read.
    """
    if not plan.budgets or min(plan.budgets) < 1:
        raise ConfigError("budgets must be positive numbers of bytes")
    with open_bench(plan, on_progress) as bench:
        limit = plan.tune_limit if plan.tune_limit is not None else plan.limit
        tuning = plan.open_sets(plan.tune, limit)
        fitting = plan.open_sets(plan.train, TABLE_PICTURES) or tuning
        codecs = [fit_tables(codec, fitting, plan.fit, plan.cache) for codec in plan.codecs]
        plan = replace(plan, codecs=tuple(codecs))
        names = {codec: open_codec(codec)[0].family for codec in plan.codecs}
        if len(set(names.values())) < len(names):
            raise ConfigError("two codecs have one name; name each once")
        choice = choose_variants(bench, plan, tuning)
        tables = _report(bench, plan, choice)
    own = _first_own(plan)
    facts = bench.describe(
        RATE_ACCURACY_SCHEMA,
        budgets=sorted(plan.budgets),
        reference=names[own] if own else None,
        codecs=[
            {
                "name": name,
                "title": TITLES.get(name, name),
                "is_rival": is_rival(codec),
                "fingerprint": hashlib.sha256(
                    " ".join(v.fingerprint for v in open_codec(codec)).encode()
                ).hexdigest()[:16],
            }
            for codec, name in names.items()
        ],
    )
    return {**facts, "tuning_sets": [pictures.describe() for pictures in tuning], **tables}


def choose_variants(bench: Bench, plan: RateAccuracyPlan, sets: Sequence[PictureSet]) -> Choice:
    """Return the best variant for each judge, codec and budget.

    That is the one with the most hits on the tuning pictures; of those as good but for `NOISE`
    the one of the highest PSNR, since a hit more or less on so few is chance.

    Raises:
        ConfigError: There are variants, but no pictures to choose on.
    """
    variants = {codec: range(len(open_codec(codec))) for codec in plan.codecs}
    open_ones = [codec for codec in plan.codecs if len(variants[codec]) > 1]
    cells = [
        Cell(codec, variant, budget)
        for codec in open_ones
        for variant in variants[codec]
        for budget in plan.budgets
    ]
    choosing = [judge for judge in bench.judges if not judge.report_only]
    jobs: list[Job] = [
        (picture, cells, judges)
        for pictures in sets
        if open_ones and (judges := bench.knowing(pictures, choosing))
        for picture in pictures.pictures
    ]
    bench.complete("tuning rivals", jobs)
    tuned = [j for j in choosing if any(j in judges for _, _, judges in jobs)]
    if open_ones and not tuned:
        raise ConfigError(
            "rivals need pictures to be tuned on, with labels that a judge knows; "
            "name some with --tune"
        )
    scores: dict[tuple[str, Cell], list[tuple[int, float]]] = defaultdict(list)
    for picture, _, judges in jobs:
        outcomes = bench.cache.read(picture.key)
        for judge in judges:
            label = bench.target(judge, picture)
            for cell in cells:
                outcome = outcomes[fingerprint(cell), cell.budget]
                guesses = outcome.predictions[judge.fingerprint]
                hits = sum(label in guesses[:k] for k in KS)
                scores[judge.name, cell].append((hits, outcome.psnr_db))
    choice: Choice = {}
    for judge in bench.judges:
        guide = judge if judge in tuned or not tuned else tuned[0]
        for codec in plan.codecs:
            for budget in plan.budgets:
                choice[judge.name, codec, budget] = best_variant(
                    [scores[guide.name, Cell(codec, v, budget)] for v in variants[codec]]
                )
    return choice


def best_variant(variants: Sequence[Sequence[tuple[int, float]]]) -> int:
    """Return which of them, by hits and PSNR on each picture; the first where nothing is known."""
    if not any(variants):
        return 0
    hits, psnr = np.sum(variants, axis=1).T
    noise = NOISE * len(KS) * len(variants[0])
    return int(np.argmax(np.where(hits >= hits.max() - noise, psnr, -np.inf)))


def _report(
    bench: Bench, plan: RateAccuracyPlan, choice: Choice
) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of the undamaged pictures, of all codecs, and the rate changes."""
    undamaged = Cell(UNDAMAGED, 0, 0)
    jobs: list[Job] = []
    for pictures in bench.sets:
        wanted = {judge.name for judge in bench.judges_of(pictures)}
        cells = {
            Cell(codec, variant, budget)
            for (judge_name, codec, budget), variant in choice.items()
            if judge_name in wanted
        }
        ordered = sorted(cells, key=lambda c: (c.codec, c.variant, c.budget))
        jobs += bench.jobs(pictures, [undamaged, *ordered])
    bench.complete("measuring", jobs)
    tables: dict[str, list[dict[str, Any]]] = {"undamaged": [], "results": [], "rate_changes": []}
    for panel in bench.panels():
        whole = intervals(panel.columns(undamaged), ACCURACIES, plan.seed)
        tables["undamaged"].append({**panel.head, **whole})
        variants = {
            (codec, budget): choice[panel.judge.name, codec, budget]
            for budget in sorted(plan.budgets)
            for codec in plan.codecs
        }
        columns = {
            (codec, budget): panel.columns(Cell(codec, variant, budget))
            for (codec, budget), variant in variants.items()
        }
        tables["results"] += _rows(plan, panel, variants, columns)
        tables["rate_changes"] += _rate_changes(plan, panel, columns)
    return tables


def _rows(
    plan: RateAccuracyPlan,
    panel: Panel,
    variants: Mapping[tuple[str, int], int],
    columns: Mapping[tuple[str, int], Columns],
) -> list[dict[str, Any]]:
    rows = []
    own = _first_own(plan)
    for (codec, budget), values in columns.items():
        contender = open_codec(codec)[variants[codec, budget]]
        fits = values["bytes"][values["bytes"] > 0]
        row = {
            **panel.head,
            "codec": contender.family,
            "budget": budget,
            "setting": contender.setting,
            "num_misfits": int((values["bytes"] == 0).sum()),
            "mean_bytes": round(float(fits.mean()), 1) if fits.size else None,
            **intervals(values, (*ACCURACIES, "psnr_db", "ms_ssim"), plan.seed),
        }
        if own is not None and codec != own:
            for name in ACCURACIES:
                difference = paired_interval(
                    values[name], columns[own, budget][name], seed=plan.seed
                )
                row[f"{name}_less_reference"] = difference.to_json()
        rows.append(row)
    return rows


def _rate_changes(
    plan: RateAccuracyPlan, panel: Panel, columns: Mapping[tuple[str, int], Columns]
) -> list[dict[str, Any]]:
    """Return what the reference's bytes are against every other codec's, at equal accuracy."""
    own, budgets = _first_own(plan), sorted(plan.budgets)
    if own is None or len(budgets) < 2:
        return []
    rows = []
    for codec in plan.codecs:
        if codec == own:
            continue
        row = {**panel.head, "codec": open_codec(codec)[0].family}
        for name in ACCURACIES:
            ours, theirs = (
                [columns[side, budget][name] for budget in budgets] for side in (own, codec)
            )
            row[name] = rate_change_interval(budgets, ours, theirs, seed=plan.seed).to_json()
        rows.append(row)
    return rows


def _first_own(plan: RateAccuracyPlan) -> str | None:
    return next((codec for codec in plan.codecs if not is_rival(codec)), None)
