"""How much is recognized within a budget: our streams beside the strongest setting of every rival.

    tuning pictures   every variant of every rival   ->  best variant by (judge, rival, budget)
    report pictures   our streams, the best variants ->  top-1, top-5, PSNR, MS-SSIM, intervals

All codecs get the same pictures. What does not fit counts as wrong and looks mid-grey. Every
outcome is kept in `benchmarks.cache`, so that a killed run resumes and a larger one only adds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bench import KS, Bench, Columns, Job, OnProgress, Outcomes
from benchmarks.cache import Cache
from benchmarks.codecs import TABLE_PICTURES, fit_tables, is_rival, open_codec
from benchmarks.facts import describe_command, describe_machine, describe_versions
from benchmarks.judges import JudgeSpec, open_judges
from benchmarks.pictures import PictureSet, open_set
from benchmarks.work import UNDAMAGED, Cell, fingerprint
from pnc.codec.image import Fit
from pnc.errors import ConfigError
from pnc.replay.baselines import TITLES
from pnc.replay.metrics import bootstrap_interval, paired_interval
from pnc.replay.rates import rate_change_interval
from pnc.replay.report.rate_accuracy import RATE_ACCURACY_SCHEMA

BUDGETS = (512, 1024, 2048, 3072, 4096)
"""Bytes; the published table's, in units of 1024 from the second on."""

CODECS = ("jpeg", "webp", "avif", "avif-stripped", "jpegxl", "jpeg2000")
"""Rivals unless the caller names others."""

ACCURACIES = tuple(f"top{k}" for k in KS)

Choice = dict[tuple[str, str, int], int]
"""From (judge, codec, budget) to the variant with the most hits on the tuning pictures."""


@dataclass(frozen=True)
class Plan:
    """What to measure; texts as on the command line."""

    data: tuple[str, ...]
    """Sets to report on, see `benchmarks.pictures`."""
    judges: tuple[str, ...]
    """See `benchmarks.judges`."""
    codecs: tuple[str, ...]
    """See `benchmarks.codecs`; differences are to the first checkpoint of ours."""
    tune: tuple[str, ...] = ()
    """Sets that rivals' variants are chosen on."""
    train: tuple[str, ...] = ()
    """Sets that Huffman tables are fitted to; the tuning sets if none."""
    budgets: tuple[int, ...] = BUDGETS
    """Bytes."""
    limit: int | None = None
    """Pictures of each set that is reported; all if None."""
    tune_limit: int | None = None
    """Pictures of each tuning set; as `limit` if None."""
    seed: int = 0
    """Of thinning and resampling."""
    fit: Fit = "crop"
    """How pictures are made square."""
    cache: Path = Path(".cache/benchmarks")
    """Folder of what was done before."""
    num_processes: int = 0
    """0 works in this process."""


def measure(plan: Plan, on_progress: OnProgress | None = None) -> dict[str, Any]:
    """Return the results as JSON values; `docs/benchmarks.md` explains the fields.

    Raises:
        ConfigError: A set, judge, codec or budget is not usable, or rivals cannot be tuned.
        CheckpointError: No such checkpoint.
        ImageError: A picture cannot be read.
    """
    if not plan.budgets or min(plan.budgets) < 1:
        raise ConfigError("budgets must be positive numbers of bytes")
    report = on_progress or (lambda what, done, total: None)
    judges, labels = open_judges(plan.judges, plan.cache)
    tune_limit = plan.tune_limit if plan.tune_limit is not None else plan.limit
    sets = [open_set(s, fit=plan.fit, limit=plan.limit, seed=plan.seed) for s in plan.data]
    tuning = [open_set(s, fit=plan.fit, limit=tune_limit, seed=plan.seed) for s in plan.tune]
    training = [open_set(s, fit=plan.fit, limit=TABLE_PICTURES, seed=plan.seed) for s in plan.train]
    codecs = [fit_tables(c, training or tuning, plan.fit, plan.cache) for c in plan.codecs]
    plan = replace(plan, codecs=tuple(codecs))
    names = {codec: open_codec(codec)[0].family for codec in plan.codecs}
    if len(set(names.values())) < len(names):
        raise ConfigError("two codecs have one name; name each once")
    cache = Cache(plan.cache / "outcomes.sqlite")
    try:
        bench = Bench(judges, labels, cache, plan.fit, plan.num_processes, report)
        choice = choose_variants(bench, plan, tuning)
        tables = _report(bench, plan, sets, choice)
    finally:
        cache.close()
    own = [name for codec, name in names.items() if not is_rival(codec)]
    return {
        "schema": RATE_ACCURACY_SCHEMA,
        "command": describe_command(),
        "machine": describe_machine(),
        "versions": describe_versions(),
        "seed": plan.seed,
        "fit": plan.fit,
        "budgets": sorted(plan.budgets),
        "reference": own[0] if own else None,
        "codecs": [
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
        "judges": [judge.describe() for judge in judges],
        "sets": [pictures.describe() for pictures in sets],
        "tuning_sets": [pictures.describe() for pictures in tuning],
        **tables,
    }


def choose_variants(bench: Bench, plan: Plan, sets: Sequence[PictureSet]) -> Choice:
    """Return the best variant for each judge, codec and budget.

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
    hits: dict[tuple[str, Cell], float] = {}
    for picture, _, judges in jobs:
        outcomes = bench.cache.read(picture.key)
        for judge in judges:
            label = bench.target(judge, picture)
            for cell in cells:
                outcome = outcomes[fingerprint(cell), cell.budget]
                guesses = outcome.predictions[judge.fingerprint]
                key = (judge.name, cell)
                hits[key] = hits.get(key, 0) + sum(label in guesses[:k] for k in KS)
    choice: Choice = {}
    for judge in bench.judges:
        guide = judge if judge in tuned or not tuned else tuned[0]
        for codec in plan.codecs:
            for budget in plan.budgets:
                scores = [
                    hits.get((guide.name, Cell(codec, variant, budget)), 0.0)
                    for variant in variants[codec]
                ]
                choice[judge.name, codec, budget] = int(np.argmax(scores))
    return choice


def _report(
    bench: Bench, plan: Plan, sets: Sequence[PictureSet], choice: Choice
) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of the undamaged pictures, of all codecs, and the rate changes."""
    undamaged_cell = Cell(UNDAMAGED, 0, 0)
    jobs: list[Job] = []
    for pictures in sets:
        judges = bench.judges_of(pictures)
        wanted = {judge.name for judge in judges}
        cells = {
            Cell(codec, variant, budget)
            for (judge_name, codec, budget), variant in choice.items()
            if judge_name in wanted
        }
        ordered = [undamaged_cell, *sorted(cells, key=lambda c: (c.codec, c.variant, c.budget))]
        jobs += [(picture, ordered, judges) for picture in pictures.pictures]
    bench.complete("measuring", jobs)
    tables: dict[str, list[dict[str, Any]]] = {"undamaged": [], "results": [], "rate_changes": []}
    for pictures in sets:
        outcomes = bench.read(pictures)
        for judge in bench.judges_of(pictures):
            head = {"set": pictures.name, "judge": judge.name, "n": len(pictures.pictures)}
            whole = bench.columns(outcomes, undamaged_cell, judge, pictures)
            tables["undamaged"].append({**head, **_intervals(whole, ACCURACIES, plan.seed)})
            columns = _collect(bench, plan, outcomes, judge, pictures, choice)
            tables["results"] += _rows(plan, head, columns, judge, choice)
            tables["rate_changes"] += _rate_changes(plan, head, columns)
    return tables


def _collect(
    bench: Bench,
    plan: Plan,
    outcomes: Outcomes,
    judge: JudgeSpec,
    pictures: PictureSet,
    choice: Choice,
) -> dict[tuple[str, int], Columns]:
    """Return the columns of each codec and budget."""
    return {
        (codec, budget): bench.columns(
            outcomes, Cell(codec, choice[judge.name, codec, budget], budget), judge, pictures
        )
        for budget in sorted(plan.budgets)
        for codec in plan.codecs
    }


def _rows(
    plan: Plan,
    head: dict[str, Any],
    columns: dict[tuple[str, int], Columns],
    judge: JudgeSpec,
    choice: Choice,
) -> list[dict[str, Any]]:
    rows = []
    own = _first_own(plan)
    for (codec, budget), values in columns.items():
        contender = open_codec(codec)[choice[judge.name, codec, budget]]
        fits = values["bytes"][values["bytes"] > 0]
        row = {
            **head,
            "codec": contender.family,
            "budget": budget,
            "setting": contender.setting,
            "num_misfits": int((values["bytes"] == 0).sum()),
            "mean_bytes": round(float(fits.mean()), 1) if fits.size else None,
            **_intervals(values, (*ACCURACIES, "psnr_db", "ms_ssim"), plan.seed),
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
    plan: Plan, head: dict[str, Any], columns: dict[tuple[str, int], Columns]
) -> list[dict[str, Any]]:
    """Return what the reference's bytes are against every other codec's, at equal accuracy."""
    own, budgets = _first_own(plan), sorted(plan.budgets)
    if own is None or len(budgets) < 2:
        return []
    rows = []
    for codec in plan.codecs:
        if codec == own:
            continue
        row = {**head, "codec": open_codec(codec)[0].family}
        for name in ACCURACIES:
            ours, theirs = (
                [columns[side, budget][name] for budget in budgets] for side in (own, codec)
            )
            row[name] = rate_change_interval(budgets, ours, theirs, seed=plan.seed).to_json()
        rows.append(row)
    return rows


def _first_own(plan: Plan) -> str | None:
    return next((codec for codec in plan.codecs if not is_rival(codec)), None)


def _intervals(columns: Columns, names: Iterable[str], seed: int) -> dict[str, dict[str, float]]:
    return {name: bootstrap_interval(columns[name], seed=seed).to_json() for name in names}
