"""What a demo shows at its end, computed from what each program wrote down.

device's manifest   what each picture was, and its label
server's results    what arrived, what it was taken for
radio's lines       what the trace would have carried
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

__all__ = [
    "BIN_EDGES",
    "AccuracyBin",
    "PictureRecord",
    "RadioLine",
    "Summary",
    "find_label",
    "join_records",
    "summarize",
    "trace_bytes_between",
]

BIN_EDGES = (1, 512, 1024, 2048, 3072, 4096)
"""Delivered bytes at which a bin of the accuracy table begins; the first bin is "nothing"."""

IMAGENETTE = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}
"""Folder names of imagenette (WordNet ids) and what they show."""


@dataclass(frozen=True, kw_only=True)
class PictureRecord:
    """One picture, from both ends of the link."""

    picture_id: int
    session_id: int
    source: str
    """Path below the data folder, or ``belt:SEED:INDEX``."""
    label: str | None
    """What the device says it shows: a class, a folder name, or nothing."""
    encoded_bytes: int
    submitted_at: float
    """Seconds since 1970."""
    results: tuple[dict[str, Any], ...]
    """Rows of the server for this picture: exactly one, when all is well."""

    @property
    def result(self) -> dict[str, Any] | None:
        """The first row."""
        return self.results[0] if self.results else None

    @property
    def received_bytes(self) -> int:
        """Bytes that arrived before the deadline."""
        return int(self.result["received_bytes"]) if self.result else 0


@dataclass(frozen=True)
class RadioLine:
    """A line of the radio, from the device to the server, bytes since its start."""

    at: float
    """When it was read, seconds since 1970."""
    trace_bytes: int
    """What the trace would have carried."""
    bytes_out: int
    """What it carried, headers and repetitions included."""


@dataclass(frozen=True)
class AccuracyBin:
    """Pictures whose delivered bytes lie in [low, high)."""

    low: int
    high: int | None
    pictures: int
    labelled: int
    right: int

    @property
    def accuracy(self) -> float | None:
        """Share of labelled pictures named rightly, 0 to 1."""
        return self.right / self.labelled if self.labelled else None

    @property
    def name(self) -> str:
        """The bin in words."""
        if self.high == BIN_EDGES[0]:
            return "nothing"
        return f"{self.low}+" if self.high is None else f"{self.low}-{self.high - 1}"


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The figures of a demo."""

    pictures: int
    with_one_result: int
    without_result: int
    with_several_results: int
    on_time: int
    """Pictures whose result was made from bytes that arrived before the deadline."""
    errors: int
    late_bytes: int
    delivered_bytes: int
    mean_delivered_bytes: float | None
    mean_encoded_bytes: float | None
    labelled: int
    """Pictures whose label is a class of the checkpoint, on which accuracy is measured."""
    accuracy: float | None
    """Of what arrived, over all labelled pictures; no result counts as wrong."""
    undamaged_accuracy: float | None
    """Of the same pictures as the camera took them."""
    accuracy_by_bytes: tuple[AccuracyBin, ...]
    median_delay_s: float | None
    """From the end of a picture to its stored result."""
    p95_delay_s: float | None
    seconds: float | None
    """From the first picture to the end of the last."""
    goodput_bps: float | None
    trace_bps: float | None
    """What the radio's trace would have carried in the same time."""
    trace_share: float | None
    """Goodput over trace."""

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON types."""
        bins = [
            {"bytes": one.name, **asdict(one), "accuracy": one.accuracy}
            for one in self.accuracy_by_bytes
        ]
        return {**asdict(self), "accuracy_by_bytes": bins}

    @property
    def exactly_one(self) -> bool:
        """Whether every picture has exactly one result."""
        return self.with_one_result == self.pictures


def join_records(
    manifest: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]
) -> list[PictureRecord]:
    """Join the device's lines with the server's rows on the identity of each picture.

    Args:
        manifest: Lines of the device, in order.
        rows: Results of the API, in any order; those of other sessions are left out.
    """
    by_key: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for row in rows:
        by_key.setdefault((row["session_id"], row["picture_id"]), []).append(dict(row))
    return [
        PictureRecord(
            picture_id=line["picture_id"],
            session_id=line["session_id"],
            source=line["source"],
            label=line["label"],
            encoded_bytes=line["encoded_bytes"],
            submitted_at=line["submitted_at"],
            results=tuple(by_key.get((line["session_id"], line["picture_id"]), ())),
        )
        for line in manifest
    ]


def find_label(label: str | None, classes: Sequence[str]) -> int | None:
    """Return the class index of a label, or None if it is none of the classes.

    A label is a class name, in any case and with spaces, hyphens or underscores, or the WordNet id
    of one of imagenette's classes.
    """
    if label is None:
        return None
    names = [_normalize(name) for name in classes]
    for candidate in (label, IMAGENETTE.get(label, label)):
        if _normalize(candidate) in names:
            return names.index(_normalize(candidate))
    return None


def trace_bytes_between(lines: Sequence[RadioLine], start: float, end: float) -> float | None:
    """Return what the trace would have carried from ``start`` to ``end``, seconds since 1970.

    Lines come once a second; between them the trace is taken as even, and beyond the last as
    going on at the mean rate. None with fewer than two lines.
    """
    if len(lines) < 2 or end <= start:
        return None
    return _trace_at(lines, end) - _trace_at(lines, start)


def summarize(
    records: Sequence[PictureRecord],
    *,
    classes: Sequence[str],
    undamaged: Mapping[int, int] | None = None,
    radio: Sequence[RadioLine] = (),
) -> Summary:
    """Compute the figures.

    Args:
        records: Every picture that was sent.
        classes: Of the checkpoint.
        undamaged: Class index of the undamaged picture, by picture id.
        radio: The radio's lines, in order.
    """
    undamaged = undamaged or {}
    truths = {record.picture_id: find_label(record.label, classes) for record in records}
    labelled = [one for one in records if truths[one.picture_id] is not None]
    right = {one.picture_id for one in labelled if _best(one) == truths[one.picture_id]}
    compared = [one for one in labelled if one.picture_id in undamaged]
    counts = Counter(min(len(one.results), 2) for one in records)
    found = [one.result for one in records if one.result is not None]
    delays = sorted(row["stored_at"] - row["ended_at"] for row in found)
    delivered = sum(one.received_bytes for one in records)
    start = min((one.submitted_at for one in records), default=0.0)
    end = max((row["ended_at"] for row in found), default=start)
    seconds = end - start if end > start else None
    trace = trace_bytes_between(radio, start, end)
    return Summary(
        pictures=len(records),
        with_one_result=counts[1],
        without_result=counts[0],
        with_several_results=counts[2],
        on_time=sum(bool(one.received_bytes and one.result) for one in records),
        errors=sum(row["error"] is not None for row in found),
        late_bytes=sum(row["late_bytes"] for row in found),
        delivered_bytes=delivered,
        mean_delivered_bytes=_mean([one.received_bytes for one in records]),
        mean_encoded_bytes=_mean([one.encoded_bytes for one in records]),
        labelled=len(labelled),
        accuracy=_mean([one.picture_id in right for one in labelled]),
        undamaged_accuracy=_mean(
            [undamaged[one.picture_id] == truths[one.picture_id] for one in compared]
        ),
        accuracy_by_bytes=_bins(records, labelled, right),
        median_delay_s=delays[len(delays) // 2] if delays else None,
        p95_delay_s=delays[min(len(delays) - 1, int(len(delays) * 0.95))] if delays else None,
        seconds=seconds,
        goodput_bps=delivered * 8 / seconds if seconds else None,
        trace_bps=trace * 8 / seconds if trace and seconds else None,
        trace_share=delivered / trace if trace else None,
    )


def _bins(
    records: Sequence[PictureRecord], labelled: Sequence[PictureRecord], right: set[int]
) -> tuple[AccuracyBin, ...]:
    lows = (0, *BIN_EDGES)
    bins = []
    for low, high in zip(lows, (*BIN_EDGES, None), strict=True):

        def inside(one: PictureRecord, low: int = low, high: int | None = high) -> bool:
            return low <= one.received_bytes and (high is None or one.received_bytes < high)

        known = [one for one in labelled if inside(one)]
        num_right = sum(one.picture_id in right for one in known)
        bins.append(AccuracyBin(low, high, sum(map(inside, records)), len(known), num_right))
    return tuple(one for one in bins if one.pictures)


def _best(record: PictureRecord) -> int | None:
    top = record.result["top"] if record.result else []
    return int(top[0]["index"]) if top else None


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _normalize(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


def _trace_at(lines: Sequence[RadioLine], time: float) -> float:
    """Return the trace's bytes at a time, from the two lines around it or the first and last."""
    before, after = lines[0], lines[-1]
    for left, right in pairwise(lines):
        if left.at <= time <= right.at:
            before, after = left, right
            break
    rate = (after.trace_bytes - before.trace_bytes) / max(after.at - before.at, 1e-9)
    anchor = after if time > after.at else before
    return anchor.trace_bytes + rate * (time - anchor.at)
