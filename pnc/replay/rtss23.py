"""What the published system sends (arXiv 2310.05306): the rival ``rtss23-huffman``.

    picture -> encoder -> 8-bit features -> 6 bits -> a static Huffman code for each feature

A feature counts only when all of it arrived. Nothing is counted but its code, filled up to a whole
byte: no header, no length, no checksum. That is how the published figures count.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pnc.errors import ConfigError
from pnc.replay import huffman, rtss23_network
from pnc.replay.huffman import HuffmanCode, fit_lengths
from pnc.replay.rtss23_network import Network
from pnc.replay.source_digest import source_digest

FAMILY = "rtss23-huffman"
"""Its name among the codecs."""

FEATURE_SIDE = 32
"""Positions along a side of a feature; each stands for 7 x 7 pixels."""

NUM_LEVELS = 64
"""Levels of a feature: 6 bits."""

LEVELS = np.linspace(0, 255, NUM_LEVELS)
"""Upper ends of the levels, on the scale of 8 bits, as published."""


def quantise(features: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return 8-bit features at 6 bits, as published: rounded up."""
    return np.digitize(features, LEVELS, right=True).astype(np.uint8)


def dequantise(levels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return 6-bit features on the scale of 8 bits, as published: of 64 parts, not of 63."""
    return levels.astype(np.float32) * np.float32(255 / NUM_LEVELS)


def fit_codes(pictures: Iterable[NDArray[np.uint8]]) -> tuple[tuple[int, ...], ...]:
    """Return the code lengths of each feature, fitted to training pictures.

    Each level is taken to have occurred once more, so that any can be sent.

    Args:
        pictures: Their 8-bit features, uint8 [h, w, c] each.

    Raises:
        ConfigError: There are no pictures.
    """
    counts: NDArray[np.int64] | None = None
    for features in pictures:
        planes = _planes(quantise(features))
        seen = [np.bincount(plane, minlength=NUM_LEVELS) for plane in planes]
        counts = np.array(seen) if counts is None else counts + seen
    if counts is None:
        raise ConfigError(f"{FAMILY}: needs pictures that its tables are fitted to")
    return tuple(fit_lengths((row + 1).tolist()) for row in counts)


def write_tables(path: Path, lengths: Sequence[Sequence[int]]) -> None:
    """Write code lengths as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps({"lengths": [list(row) for row in lengths]}), encoding="utf-8")
    partial.replace(path)


def read_tables(path: Path) -> tuple[tuple[int, ...], ...]:
    """Read what `write_tables` wrote.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return tuple(tuple(int(length) for length in row) for row in content["lengths"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: no readable Huffman tables ({error}); delete it") from error


@dataclass(frozen=True)
class PublishedFeatures:
    """The published system as a contender of the benchmarks.

    Attributes:
        network: Encoder and decoder.
        codes: One a feature.
    """

    network: Network
    codes: tuple[HuffmanCode, ...]

    @property
    def family(self) -> str:
        """Always the same name."""
        return FAMILY

    @property
    def setting(self) -> str:
        """How the budget is met."""
        return "whole features"

    @property
    def fingerprint(self) -> str:
        """Hashes of the network, of the codes and of the source."""
        text = json.dumps([code.lengths for code in self.codes])
        codes = hashlib.sha256(text.encode()).hexdigest()[:16]
        source = source_digest(__file__, rtss23_network.__file__, huffman.__file__)
        return f"{FAMILY} {self.network.fingerprint} {codes} {source}"

    def encode_within(
        self, picture: NDArray[np.uint8], budgets: Sequence[int]
    ) -> dict[int, bytes | None]:
        """Return for each budget as many features as fit, None where not even one does."""
        planes = _planes(quantise(self.network.encode(picture)))
        parts = [code.encode(plane) for code, plane in zip(self.codes, planes, strict=True)]
        streams: dict[int, bytes | None] = {}
        for budget in budgets:
            fitting = b""
            for part in parts:
                if len(fitting) + len(part) > budget:
                    break
                fitting += part
            streams[budget] = fitting or None
        return streams

    def decode(self, stream: bytes) -> NDArray[np.uint8]:
        """Return the picture of the features that are whole."""
        side = FEATURE_SIDE
        levels = np.zeros((side, side, len(self.codes)), np.uint8)
        for channel, code in enumerate(self.codes):
            found = code.decode(stream, side * side)
            if found is None:
                break
            plane, num_bytes = found
            levels[..., channel] = plane.reshape(side, side)
            stream = stream[num_bytes:]
        return self.network.decode(dequantise(levels))


def _planes(levels: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Return [h, w, c] as c arrays [h * w]."""
    return [levels[..., channel].reshape(-1) for channel in range(levels.shape[-1])]
