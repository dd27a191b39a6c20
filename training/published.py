"""The published architecture as the folder that the rival ``rtss23-huffman`` is measured with.

    autoencoder  ->  weights.npz (network and Huffman tables), card.json, README.md

There is no bitstream of ours and no classifier in it: devices and servers cannot use it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pnc.replay.huffman import HuffmanCode
from pnc.replay.metrics import psnr_db
from pnc.replay.rtss23 import PublishedFeatures, fit_codes
from pnc.replay.rtss23_network import SYMBOL_SCALE, WEIGHTS, Network
from training.autoencoder import Autoencoder
from training.card import render_card
from training.export import PARITY_PICTURES, Parity, compare_symbols
from training.files import replacing, write_json, write_text
from training.measure import BUDGETS
from training.pictures import Pictures

TABLE_PICTURES = 500
"""Training pictures that the Huffman tables are fitted to: half a million symbols a feature."""

MEASURED_PICTURES = 16
"""Reported pictures of the card: one decode takes a second."""

WHOLE = 1 << 20
"""Bytes that every stream fits into: a megabyte, where features of 8 bits would take 10 kB."""

ABOUT = (
    "The published autoencoder `rtss23` (arXiv 2310.05306), to measure against: the network of the "
    "rival `rtss23-huffman` of the benchmarks. Devices and servers cannot use it.\n\n"
    "**It was trained far less than the published one**, which had 35,000 pictures of 224 x 224 to "
    "learn from: {pretrain_steps} steps of {batch_size} windows of {window} x {window} pixels on "
    "squared error and {distill_steps} of {batch_size} pictures through a frozen classifier, all "
    "of the decoder: the encoder stayed the Karhunen-Loeve transform that it began as. Its figures "
    "are what two cores afford, not what the architecture can do."
)
"""What the card begins with."""


def export_published(
    folder: Path,
    autoencoder: Autoencoder,
    *,
    images: Pictures,
    reported: Pictures,
    card: Mapping[str, Any],
) -> None:
    """Write the folder and measure it.

    Args:
        folder: made if missing.
        autoencoder: of the architecture ``rtss23``.
        images: training pictures for the tables and for comparing file and model.
        reported: pictures to measure on; the first :data:`MEASURED_PICTURES` are.
        card: what is known of the training, its ``recipe`` at least.
    """
    path = folder / WEIGHTS
    lengths = fit_codes(autoencoder.symbols(images[:TABLE_PICTURES]))
    write_weights(path, autoencoder, lengths)
    network = Network(path)
    contender = PublishedFeatures(network, tuple(HuffmanCode(row) for row in lengths))
    full = {
        **card,
        "accuracy": measure_published(contender, reported[:MEASURED_PICTURES]),
        "encoder_parity": asdict(compare_encoders(autoencoder, network, images[:PARITY_PICTURES])),
        "sizes": {WEIGHTS: path.stat().st_size},
    }
    write_json(folder / "card.json", full)
    recipe = full["recipe"]
    write_text(folder / "README.md", render_card(recipe["name"], ABOUT.format_map(recipe), full))


def write_weights(
    path: Path, autoencoder: Autoencoder, lengths: tuple[tuple[int, ...], ...]
) -> None:
    """Write what :class:`pnc.replay.rtss23_network.Network` reads.

    The encoder, whose symbols count exactly, keeps single precision; the decoder gets half.
    """
    arrays: dict[str, NDArray[Any]] = {
        "scale": np.array(SYMBOL_SCALE),
        "huffman_lengths": np.array(lengths, np.uint8),
    }
    parts = (
        ("encoder", autoencoder.encoder, np.float32),
        ("decoder", autoencoder.decoder, np.float16),
    )
    for part, model, precision in parts:
        for index, layer in enumerate(layer for layer in model.layers if layer.weights):
            for name in ("kernel", "bias"):
                weights = np.asarray(getattr(layer, name).numpy())
                arrays[f"{part}_{index}_{name}"] = weights.astype(precision)
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def compare_encoders(autoencoder: Autoencoder, network: Network, images: Pictures) -> Parity:
    """Compare the symbols of the file with those of training on some pictures."""
    found = np.stack([network.encode(images[index]) for index in range(len(images))])
    return compare_symbols(autoencoder.symbols(images), found)


def measure_published(contender: PublishedFeatures, pictures: Pictures) -> dict[str, float]:
    """Mean peak signal-to-noise ratio after some bytes, mid-grey where not a feature fits.

    Returns:
        ``{"n": ..., "psnr_db_at_256_bytes": ..., ..., "psnr_db": ..., "mean_stream_bytes": ...}``,
        the last two of all features.
    """
    sums = np.zeros(len(BUDGETS) + 2)
    for index in range(len(pictures)):
        picture = pictures[index]
        streams = contender.encode_within(picture, [*BUDGETS, WHOLE])
        grey = np.full_like(picture, 128)
        psnr = {
            stream: psnr_db(picture, contender.decode(stream) if stream else grey)
            for stream in set(streams.values())
        }
        sums += [*(psnr[stream] for stream in streams.values()), len(streams[WHOLE] or b"")]
    names = [*(f"psnr_db_at_{budget}_bytes" for budget in BUDGETS), "psnr_db", "mean_stream_bytes"]
    means = (sums / len(pictures)).tolist()
    return {"n": float(len(pictures)), **dict(zip(names, means, strict=True))}
