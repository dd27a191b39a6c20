"""What else a decoder could do, and what judges make of it (experiments 0029, 0031).

    python -m tools.decoder_variants photo NAME=PHOTOS#even JUDGE.keras [JUDGE ...]

Pictures and judges are named as for the benchmarks; judges that answer in 8 bits are too coarse.
Decodes beginnings of streams, changes each picture in every way of :data:`VARIANTS`, and prints by
how much that changes its PSNR and its *divergence*: the relative entropy of what a judge says of it
and of the undamaged picture, nats.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from benchmarks.judges import Judge, open_judges
from benchmarks.pictures import open_set
from pnc import Codec
from pnc.codec.bitstream import decode_stream
from pnc.codec.lapping import MIDDLE, SPREAD
from pnc.codec.plane_coder import Knowledge
from pnc.replay.metrics import psnr_db

FITTED, MEASURED = 60, 100
"""Pictures."""

SIZES = (512, 1024, 2048, 4096)
"""Bytes."""

Picture = NDArray[np.uint8]


class Variants:
    """A codec of lapped patches, with the linear inverse of its encoder.

    Args:
        codec: the codec.
        pictures: what the inverse is fitted to, least squares of patches.
    """

    def __init__(self, codec: Codec, pictures: Sequence[Picture]) -> None:
        lapping = codec.checkpoint.lapping
        if lapping is None:
            raise ValueError("only encoders of patches that lap have a linear inverse here")
        self.codec, self._lapping = codec, lapping
        self._plan = codec.checkpoint.plan
        values = np.concatenate([self._values(picture) for picture in pictures])
        mixed = [SPREAD * (lapping.forward(picture) - MIDDLE) for picture in pictures]
        patches = np.concatenate([self._to_patches(picture) for picture in mixed])
        self._inverse = np.linalg.lstsq(values, patches)[0].astype(np.float32)
        self._usual = values.std(axis=0)
        self._rng = np.random.default_rng(0)

    def knowledge(self, stream: bytes) -> Knowledge:
        """What a beginning of a stream tells."""
        return decode_stream(self._plan.planes, self.codec.checkpoint.id, stream)

    def as_it_is(self, known: Knowledge) -> Picture:
        """The picture that ships."""
        return self.codec.decoder.decode(*known.restore(self._plan.points))

    def fitting(self, known: Knowledge) -> Picture:
        """Its coefficients moved into the intervals that are known."""
        picture = self.as_it_is(known)
        grid = self._plan.grid
        coefficients = grid.forward(grid.values(self.codec.encoder.encode(picture)))
        largest = known.magnitudes + (1 << known.planes.astype(np.int64)) - 1
        smallest = np.where(known.signs == 0, -largest, known.magnitudes)
        signs = np.where(known.signs < 0, -1, 1)
        fitting = signs * np.clip(signs * coefficients, smallest, largest)
        moved = grid.inverse(fitting - coefficients).reshape(-1, grid.num_channels)
        return _rounded(picture + self._lapping.inverse(self._from_patches(moved @ self._inverse)))

    def sharpened(self, known: Knowledge, radius: int, percent: int) -> Picture:
        """Through an unsharp mask."""
        image = Image.fromarray(self.as_it_is(known))
        return np.asarray(image.filter(ImageFilter.UnsharpMask(radius, percent, threshold=0)))

    def grainy(self, known: Knowledge, share: float) -> Picture:
        """Noise where nothing is known, of this share of what values usually are or can be."""
        values, spread = known.restore(self._plan.points)
        possible = np.exp2(known.planes.astype(np.float64)) / self._plan.grid.scale / 2
        noise = self._rng.normal(0, share, values.shape) * np.minimum(self._usual, possible)
        noisy = values + np.where(known.magnitudes == 0, noise, 0.0)
        return self.codec.decoder.decode(noisy.astype(np.float32), spread)

    def _values(self, picture: Picture) -> NDArray[np.float32]:
        values = self._plan.grid.values(self.codec.encoder.encode(picture))
        return values.reshape(-1, values.shape[-1])

    def _to_patches(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        side, rows = self._lapping.patch, self._plan.grid.height
        parts = picture.reshape(rows, side, -1, side, 3).transpose(0, 2, 1, 3, 4)
        return parts.reshape(-1, side * side * 3)

    def _from_patches(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        side, rows = self._lapping.patch, self._plan.grid.height
        parts = patches.reshape(rows, -1, side, side, 3).transpose(0, 2, 1, 3, 4)
        return parts.reshape(rows * side, -1, 3)


VARIANTS: dict[str, Callable[[Variants, Knowledge], Picture]] = {
    "as it is": Variants.as_it_is,
    "fitting its stream": Variants.fitting,
    "radius 1, 30 %": lambda variants, known: variants.sharpened(known, 1, 30),
    "radius 1, 60 %": lambda variants, known: variants.sharpened(known, 1, 60),
    "radius 2, 30 %": lambda variants, known: variants.sharpened(known, 2, 30),
    "a quarter of the grain": lambda variants, known: variants.grainy(known, 0.25),
    "half of the grain": lambda variants, known: variants.grainy(known, 0.5),
}
"""The first is what the others are compared with."""


def divergence(undamaged: NDArray[np.float32], decoded: NDArray[np.float32]) -> float:
    """Relative entropy of two distributions, nats."""
    log = np.log(np.maximum(undamaged, 1e-7)) - np.log(np.maximum(decoded, 1e-7))
    return float((undamaged * log).sum())


def measure(
    variants: Variants, pictures: Sequence[Picture], judges: Sequence[Judge]
) -> NDArray[np.float64]:
    """PSNR and divergences: ``[variants, sizes, pictures, 1 + judges]``."""
    found = np.zeros((len(VARIANTS), len(SIZES), len(pictures), 1 + len(judges)))
    for column, picture in enumerate(pictures):
        stream = variants.codec.encode(picture)
        undamaged = [judge.probabilities(picture) for judge in judges]
        for row, size in enumerate(SIZES):
            known = variants.knowledge(stream[:size])
            for index, change in enumerate(VARIANTS.values()):
                decoded = change(variants, known)
                found[index, row, column] = [
                    psnr_db(picture, decoded),
                    *(
                        divergence(before, judge.probabilities(decoded))
                        for before, judge in zip(undamaged, judges, strict=True)
                    ),
                ]
    return found


def render(found: NDArray[np.float64]) -> str:
    """Means as a Markdown table: dB, then divergences; half-widths of 95 % intervals, paired."""
    head = [f"{size:,} bytes" for size in SIZES]
    lines = ["| | " + " | ".join(head) + " |", "|---" * (1 + len(SIZES)) + "|"]
    for index, name in enumerate(VARIANTS):
        changed = found[index] - (found[0] if index else 0)
        means = changed.mean(axis=1)
        widths = 1.96 * changed.std(axis=1) / np.sqrt(changed.shape[1])
        cells = []
        for mean, width in zip(means, widths, strict=True):
            judged = zip(mean[1:], width[1:], strict=True)
            parts = [f"{m:+.4f} +- {w:.4f}" if index else f"{m:.3f}" for m, w in judged]
            cells.append(f"{mean[0]:{'+' if index else ''}.2f} dB, " + " / ".join(parts))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _rounded(picture: NDArray[np.float32]) -> Picture:
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def main(arguments: list[str]) -> int:
    """Measure the checkpoint named first on the pictures named next by the judges after them."""
    if len(arguments) < 3:
        sys.stderr.write(
            "usage: python -m tools.decoder_variants CHECKPOINT PICTURES JUDGE [JUDGE ...]\n"
        )
        return 2
    codec = Codec.load(arguments[0])
    refs = open_set(arguments[1], limit=FITTED + MEASURED).pictures
    pictures = [ref.load(codec.checkpoint.fit) for ref in refs]
    specs, _ = open_judges(arguments[2:], Path("runs/bench/judges"))
    judges = [Judge(spec) for spec in specs]
    print(render(measure(Variants(codec, pictures[:FITTED]), pictures[FITTED:], judges)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
