"""The page for people: one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.progress import read_records
from training.report.drawing import Series, line_chart, picture_uri
from training.report.gather import BUDGETS, RIVAL_BUDGETS
from training.report.summary import DEADLINES_S, PAYLOAD_SHARE, PICTURE_BUDGETS

OURS, OURS_COMPARED, WEBP, AVIF = "#1f6feb", "#8fb8f5", "#d9822b", "#8957e5"
"""Colours of the three codecs."""

RIVAL_LOOKS = {"webp": ("WebP, method 6", WEBP), "avif": ("AVIF", AVIF)}

STAGE_TITLES = {
    "classifier": "Classifier on undamaged pictures",
    "pretrain": "Autoencoder on squared error",
    "distill": "Autoencoder through the classifier",
    "finetune": "Classifier on decoded pictures",
}

STYLE = """
:root { --ink:#1c2430; --faint:#66707f; --line:#e2e6ec; --card:#fff; --back:#f5f6f8; --good:#1a7f37;
  --bad:#b42318; --accent:#1f6feb; }
@media (prefers-color-scheme: dark) { :root { --ink:#e6e9ee; --faint:#98a2b3; --line:#323a46;
  --card:#1b212a; --back:#12161c; --good:#57ab5a; --bad:#f47067; } }
* { box-sizing: border-box; }
body { margin:0; background:var(--back); color:var(--ink);
  font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif; }
main { max-width:1040px; margin:0 auto; padding:40px 24px 80px; }
h1 { font-size:32px; line-height:1.2; margin:0 0 6px; letter-spacing:-.02em; }
h2 { font-size:20px; margin:0 0 6px; letter-spacing:-.01em; }
h3 { font-size:15px; margin:0 0 4px; }
p { margin:0 0 12px; max-width:74ch; }
.faint, .lead { color:var(--faint); }
section { background:var(--card); border:1px solid var(--line); border-radius:14px;
  padding:24px 28px; margin-top:20px; overflow-x:auto; }
.tiles { display:grid; grid-template-columns:repeat(auto-fit,minmax(150px,1fr)); gap:14px;
  margin-top:22px; }
.tile { background:var(--card); border:1px solid var(--line); border-radius:14px;
  padding:16px 18px; }
.tile b { display:block; font-size:27px; line-height:1.2; letter-spacing:-.02em; }
.tile span { color:var(--faint); font-size:13px; }
table { border-collapse:collapse; font-variant-numeric:tabular-nums; font-size:14px; margin:8px 0; }
th, td { padding:6px 12px; text-align:right; border-bottom:1px solid var(--line); }
th { font-weight:600; color:var(--faint); } th:first-child, td:first-child { text-align:left; }
tr.all td { font-weight:600; }
.heat td { border:2px solid var(--card); border-radius:6px; text-align:center; min-width:46px;
  padding:6px 8px; }
.heat th { border:none; padding:6px 8px; max-width:92px; overflow:hidden; text-overflow:ellipsis;
  white-space:nowrap; }
figure { margin:0; } svg { width:100%; height:auto; display:block; }
.grid { stroke:var(--line); } .tick { fill:var(--faint); font-size:12px; }
.axis { fill:var(--faint); font-size:13px; } .axis-title { color:var(--faint); font-size:13px; }
.legend { display:flex; flex-wrap:wrap; gap:16px; font-size:14px; margin-top:6px; }
.legend i { display:inline-block; width:12px; height:12px; border-radius:3px; margin-right:6px; }
.two { display:grid; grid-template-columns:repeat(auto-fit,minmax(380px,1fr)); gap:26px; }
.note { border-left:3px solid #d9a514; padding:2px 0 2px 12px; margin:6px 0; }
.ok { border-left-color:var(--good); } .wrong { border-left-color:var(--bad); }
.shots { display:grid; grid-template-columns:repeat(5,minmax(110px,1fr)); gap:10px;
  margin:8px 0 18px; }
.shots div { font-size:13px; color:var(--faint); line-height:1.35; }
.shots img { width:100%; border-radius:8px; display:block; margin-bottom:4px; }
.yes { color:var(--good); } .no { color:var(--bad); } details { margin-top:10px; }
summary { cursor:pointer; color:var(--accent); } li { overflow-wrap:anywhere; }
"""


def render_page(
    facts: Mapping[str, Any],
    run: Path,
    examples: Sequence[tuple[str, list[dict[str, Any]]]],
    picture: Callable[[int, int | None], NDArray[np.uint8]],
) -> str:
    """The whole report as HTML.

    Args:
        facts: what ``report.json`` holds: name, check, plan, results, verification.
        run: the run's folder, for the training curves.
        examples: titles with the records of pictures to show, see
            :func:`training.report.gather.measure_pictures`.
        picture: index and budget (None: undamaged) -> uint8 ``[224, 224, 3]``.
    """
    results = facts["results"]
    body = [
        _header(facts),
        _check(facts["check"]),
        _curves(run),
        _rate_accuracy(results),
        _links(results),
        _confusion(results),
        *(_shots(title, records, results["classes"], picture) for title, records in examples),
        _verification(facts),
    ]
    title = escape(f"PNC report: {facts['name']}")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{STYLE}</style></head><body><main>{''.join(body)}</main></body></html>\n"
    )


def _header(facts: Mapping[str, Any]) -> str:
    results, check = facts["results"], facts["check"]
    accuracy = dict(zip(results["bytes"], results["accuracy"], strict=True))
    enough = results["bytes_for_95_percent"]
    total = sum(sum(numbers) for numbers in check["counts"].values())
    tiles = [
        (f"{results['undamaged']:.1%}", "of undamaged pictures recognised"),
        (f"{accuracy[1024]:.1%}", "after 1 KB of each picture"),
        (f"{enough:,.0f} B" if enough else "over 4 KB", "reach 95 % of the undamaged accuracy"),
        (f"{total:,}", f"pictures in {len(results['classes'])} classes"),
        (f"{facts['used_s'] / 3600:.2f} h", "from start to this report"),
    ]
    cells = "".join(f'<div class="tile"><b>{a}</b><span>{escape(b)}</span></div>' for a, b in tiles)
    lines = "".join(f"<br>{escape(line)}" for line in facts["start"])
    return (
        f"<h1>Checkpoint {escape(facts['name'])}</h1>"
        f'<p class="lead">Trained on {escape(check["data"])}. All accuracies are top-1 on '
        f"{results['n']:,} pictures that training never saw.{lines}</p>"
        f'<div class="tiles">{cells}</div>'
    )


def _check(check: Mapping[str, Any]) -> str:
    counts = check["counts"]
    rows = [
        f"<tr><td>{escape(name)}</td>" + "".join(f"<td>{n:,}</td>" for n in numbers) + "</tr>"
        for name, *numbers in zip(check["classes"], *counts.values(), strict=True)
    ]
    total = "".join(f"<td>{sum(numbers):,}</td>" for numbers in counts.values())
    notes = "".join(f'<div class="note">{escape(line)}</div>' for line in check["warnings"])
    if not notes:
        notes = '<div class="note ok">Nothing wrong was found.</div>'
    leaks = _list(
        "Pictures left out of training",
        [
            f"{leak['picture']} ({leak['split']}) is "
            f"{'the same file as' if leak['exact'] else 'nearly the same as'} "
            f"{leak['twin']} ({leak['twin_split']})"
            for leak in check["leaks"]
        ],
    )
    return (
        "<section><h2>Your pictures</h2><p class='faint'>train is learned from, tune chooses "
        f"between models, val is reported on here.</p>{notes}<table><tr><th>class</th>"
        + "".join(f"<th>{escape(split)}</th>" for split in counts)
        + f"</tr>{''.join(rows)}<tr class='all'><td>all</td>{total}</tr></table>{leaks}"
        + _list("Same bytes", [" = ".join(group) for group in check["exact"]])
        + _list("Nearly the same", [" ~ ".join(group) for group in check["near"]])
        + _list("In two classes", [" / ".join(group) for group in check["two_classes"]])
        + _list("Cannot be read", check["unreadable"])
        + "</section>"
    )


def _list(title: str, lines: Sequence[str], most: int = 200) -> str:
    if not lines:
        return ""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines[:most])
    more = f"<li>and {len(lines) - most} more, see data_check.json</li>" if lines[most:] else ""
    return (
        f"<details><summary>{escape(title)}: {len(lines)}</summary><ul>{items}{more}</ul></details>"
    )


def _curves(run: Path) -> str:
    charts = []
    for stage, title in STAGE_TITLES.items():
        records = read_records(run / stage)
        train = [r for r in records if r["label"] == "train"]
        scores = [r for r in records if r["label"] == "evaluation" and r.get("score", -1) >= 0]
        if not records:
            continue
        parts = [
            line_chart(
                [
                    Series(
                        "",
                        [r["step"] for r in train],
                        [r["loss"] for r in train],
                        OURS,
                        dots=len(train) < 3,
                    )
                ],
                width=420,
                height=200,
                x_label="step",
                y_label="loss",
            )
        ]
        if scores:
            parts.append(
                line_chart(
                    [
                        Series(
                            "",
                            [r["step"] for r in scores],
                            [r["score"] for r in scores],
                            "#1a7f37",
                        )
                    ],
                    width=420,
                    height=170,
                    x_label="step",
                    y_label="accuracy on tune, whole pictures",
                    y_range=(0, 1),
                    percent=True,
                )
            )
        charts.append(f"<div><h3>{escape(title)}</h3>{''.join(parts)}</div>")
    return (
        "<section><h2>Training</h2><p class='faint'>A loss that still falls at its end says that "
        f"more hours would help.</p><div class='two'>{''.join(charts)}</div></section>"
    )


def _rate_accuracy(results: Mapping[str, Any]) -> str:
    comparison = results["comparison"]
    lines = [
        Series(
            "this checkpoint", results["bytes"], results["accuracy"], OURS, results["half_width_95"]
        )
    ]
    rows = []
    families = [name for name in RIVAL_LOOKS if name in comparison]
    if families and comparison["n"] < results["n"]:
        title = f"this checkpoint, the rivals' {comparison['n']} pictures"
        lines.append(Series(title, RIVAL_BUDGETS, comparison["ours"], OURS_COMPARED))
    for name in families:
        title, colour = RIVAL_LOOKS[name]
        lines.append(Series(title, RIVAL_BUDGETS, comparison[name], colour))
    x_low, x_high = BUDGETS[0], BUDGETS[-1]
    lines.append(
        Series("undamaged", [x_low, x_high], [results["undamaged"]] * 2, "#98a2b3", dots=False)
    )
    for place, budget in enumerate(comparison["bytes"] if families else ()):
        values = [comparison["ours"][place], *(comparison[name][place] for name in families)]
        best = max(values)
        cells = "".join(
            f"<td>{'<b>' if v == best else ''}{v:.1%}{'</b>' if v == best else ''}</td>"
            for v in values
        )
        rows.append(f"<tr><td>{budget:,} bytes</td>{cells}</tr>")
    heads = "".join(f"<th>{RIVAL_LOOKS[name][0]}</th>" for name in families)
    table = (
        f"<p class='faint'>On the same {comparison['n']} pictures, of which "
        f"{comparison['undamaged']:.1%} are recognised undamaged. Rivals get the highest quality "
        "that fits, at the best of three scales; AVIF at speed 6. Where no file fits, nothing is "
        "recognised.</p>"
        f"<table><tr><th></th><th>this checkpoint</th>{heads}</tr>{''.join(rows)}"
        "</table>"
        if families
        else ""
    )
    chart = line_chart(
        lines,
        width=920,
        height=380,
        x_label="bytes of a picture (logarithmic)",
        y_label="recognised",
        log_x=True,
        y_range=(0, 1),
        x_ticks=[128, 256, 512, 1024, 2048, 4096],
        percent=True,
    )
    return (
        "<section><h2>What a byte buys</h2><p class='faint'>How many pictures are recognised when "
        "only so many bytes of each arrive. The band is the 95 % interval that so few pictures "
        f"leave.</p>{chart}{table}</section>"
    )


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{max(1, round(seconds * 1000))} ms"
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _links(results: Mapping[str, Any]) -> str:
    undamaged = max(results["undamaged"], 1e-9)
    heads = "".join(f"<th>{_duration(deadline)}</th>" for deadline in DEADLINES_S)
    rows = []
    for row in results["links"]:
        cells = []
        for cell in row["cells"]:
            value = cell["accuracy"]
            share = 0.0 if value is None else value / undamaged
            text = "&lt;128 B" if value is None else f"{value:.0%}"
            cells.append(
                f'<td style="background:{_heat(share)}" title="{cell["bytes"]:,} bytes">{text}</td>'
            )
        shortest = "".join(
            f"<td>{'beyond 4 KB' if s is None else _duration(s)}</td>"
            for s in row["shortest_s"].values()
        )
        rows.append(f"<tr><th>{row['kbps']} kbit/s</th>{''.join(cells)}{shortest}</tr>")
    return (
        "<section><h2>Which deadline is realistic</h2><p>Expected accuracy when a picture has so "
        "long to arrive. The last two columns say how short a deadline may be to keep 90 and 95 % "
        "of the undamaged accuracy.</p>"
        f"<table class='heat'><tr><th></th>{heads}<th>for 90 %</th><th>for 95 %</th></tr>"
        f"{''.join(rows)}</table><p class='faint'>Counted with {PAYLOAD_SHARE:.0%} of the link's "
        "bits for pictures and a rate that holds; encoding and classifying come on top. Half the "
        "rate needs twice the deadline.</p></section>"
    )


def _heat(share: float) -> str:
    share = min(max(share, 0.0), 1.0) ** 2
    return f"rgba(31,111,235,{0.05 + 0.5 * share:.2f})"


def _confusion(results: Mapping[str, Any]) -> str:
    matrix, classes = np.array(results["confusion"]), results["classes"]
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    heads = "".join(f"<th title='{escape(c)}'>{escape(c)}</th>" for c in classes)
    rows = []
    for name, counts, row in zip(classes, matrix, shares, strict=True):
        cells = "".join(
            f'<td style="background:{_heat(np.sqrt(share))}">{count or ""}</td>'
            for count, share in zip(counts, row, strict=True)
        )
        rows.append(f"<tr><th>{escape(name)}</th>{cells}</tr>")
    wrong = [
        (int(matrix[i, j]), classes[i], classes[j])
        for i in range(len(classes))
        for j in range(len(classes))
        if i != j and matrix[i, j]
    ]
    worst = sorted(wrong, reverse=True)[:3]
    words = "; ".join(f"{a} taken for {b} ({n})" for n, a, b in worst) or "none"
    return (
        f"<section><h2>What is mistaken for what, at {results['confusion_bytes']:,} bytes</h2>"
        f"<p class='faint'>Rows are true classes, columns answers. Most frequent mistakes: "
        f"{escape(words)}.</p><table class='heat'><tr><th></th>{heads}</tr>{''.join(rows)}</table>"
        "</section>"
    )


def _shots(
    title: str,
    records: Sequence[Mapping[str, Any]],
    classes: Sequence[str],
    picture: Callable[[int, int | None], NDArray[np.uint8]],
) -> str:
    rows = []
    for record in records:
        name = escape(Path(record["name"]).name)
        label = escape(classes[record["label"]])
        cells = []
        for budget in (None, *PICTURE_BUDGETS):
            view = record["undamaged"] if budget is None else record["ours"][str(budget)]
            right = view[0] == record["label"]
            mark = f'<span class="{"yes" if right else "no"}">{"✓" if right else "✗"}'
            seen = f"{mark} {escape(classes[int(view[0])])}</span>"
            head = f"{name}" if budget is None else f"{budget:,} bytes"
            uri = picture_uri(picture(record["index"], budget))
            cells.append(
                f'<div><img alt="{label}" src="{uri}">{head}<br>{seen}, {view[1]:.0%} {label}</div>'
            )
        rows.append(f'<div class="shots">{"".join(cells)}</div>')
    return (
        f"<section><h2>{escape(title)}</h2><p class='faint'>Undamaged on the left, then as a "
        "receiver sees it. The percentage is what the true class gets.</p>"
        f"{''.join(rows)}</section>"
    )


def _verification(facts: Mapping[str, Any]) -> str:
    seen = facts["verification"]
    state = "ok" if seen["passed"] else "wrong"
    words = "do what was trained" if seen["passed"] else "do not do what was trained"
    plan = "".join(f"<li>{escape(line.strip())}</li>" for line in facts["plan_lines"])
    sizes = ", ".join(f"{escape(k)} {v / 1e6:.2f} MB" for k, v in facts["sizes"].items())
    return (
        "<section><h2>The files</h2>"
        f'<div class="note {state}">The exported files {words}: {seen["symbols_equal"]:.2%} of the '
        f"encoder's symbols equal, decoded pictures {seen['decoder_grey_levels']:.2f} grey levels "
        f"apart, {seen['classifier_agreement']:.1%} of {seen['num_pictures']} pictures classified "
        f"alike.</div><p class='faint'>{sizes}</p><details><summary>How the time was planned"
        f"</summary><ul>{plan}</ul></details></section>"
    )
