"""The published network (arXiv 2310.05306): weights in an ``.npz`` file, run by NumPy.

Training exports them as ``weights.npz`` in a folder. Arrays are in the layout of Keras:

==================================================  ====================================
``encoder_0_kernel`` [9, 9, 3, 16],   ``..._bias``  convolution, stride 7, ReLU
``encoder_1_kernel`` [3, 3, 16, c],   ``..._bias``  convolution, ReLU: c features
``decoder_0_kernel`` [9, 9, 64, c],   ``..._bias``  transposed convolution, stride 7, ReLU
``decoder_1_kernel`` [5, 5, 64, 64],  ``..._bias``  convolution, ReLU; also ``_2`` and ``_3``
``decoder_4_kernel`` [3, 3, 64, 3],   ``..._bias``  convolution, sigmoid
``scale`` []                                        value of one symbol; 5.42 / 255 if absent
``huffman_lengths`` [c, 64]                         code lengths; fitted if absent
==================================================  ====================================

Pictures go in as 0 to 1 and come out so; padding is TensorFlow's "same".
"""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from pnc.codec.checkpoint import search_folders
from pnc.errors import CheckpointError

WEIGHTS = "weights.npz"
"""Name of the file in a folder."""

STRIDE = 7
"""Of the first convolution and of the transposed one."""

SYMBOL_SCALE = 5.42 / 255
"""Value of one symbol of the published encoder, from its TFLite file (0.02125)."""

STRIP_VALUES = 8 << 20
"""Values of a convolution's windows that are copied at a time: 32 MB."""

Floats = NDArray[np.float32]


class Network:
    """Encoder and decoder between pictures and 8-bit features.

    Args:
        path: The ``.npz`` file.

    Attributes:
        fingerprint: Hash of the weights.
        huffman_lengths: Code lengths that came with the weights, for each feature.

    Raises:
        CheckpointError: It cannot be read, or it is not of the published architecture.
    """

    def __init__(self, path: Path) -> None:
        try:
            with np.load(path, allow_pickle=False) as content:
                arrays = {name: np.asarray(content[name]) for name in content.files}
            self._encoder = [_layer(arrays, f"encoder_{i}") for i in range(2)]
            self._decoder = [_layer(arrays, f"decoder_{i}") for i in range(5)]
        except KeyError as error:
            raise CheckpointError(f"{path}: lacks the array {error}") from error
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise CheckpointError(f"{path}: no readable .npz file ({error})") from error
        num_features = self._encoder[1][0].shape[-1]
        kernels = [kernel.shape for kernel, _ in (*self._encoder, *self._decoder)]
        chain = [shape[2:] for shape in kernels]
        chain[2] = chain[2][::-1]
        ends = [3, *(end for _, end in chain)]
        if any(start != ends[place] for place, (start, _) in enumerate(chain)) or ends[-1] != 3:
            raise CheckpointError(f"{path}: the kernels {kernels} do not follow on each other")
        self._scale = float(arrays.get("scale", SYMBOL_SCALE))
        lengths = arrays.get("huffman_lengths")
        if lengths is not None and (lengths.ndim != 2 or len(lengths) != num_features):
            raise CheckpointError(f"{path}: huffman_lengths are not a row for each feature")
        self.huffman_lengths = (
            None if lengths is None else tuple(tuple(int(n) for n in row) for row in lengths)
        )
        self.fingerprint = hashlib.sha256(path.read_bytes()).hexdigest()[:16]

    def encode(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the features of uint8 RGB [224, 224, 3] as uint8 [32, 32, c]."""
        x = picture.astype(np.float32) / np.float32(255)
        for (kernel, bias), stride in zip(self._encoder, (STRIDE, 1), strict=True):
            x = np.maximum(convolve(x, kernel, stride) + bias, 0)
        symbols: NDArray[np.uint8] = np.clip(np.rint(x / self._scale), 0, 255).astype(np.uint8)
        return symbols

    def decode(self, values: Floats) -> NDArray[np.uint8]:
        """Return the picture uint8 RGB [224, 224, 3] of features.

        Args:
            values: float32 [32, 32, c] in steps of the 8-bit features, 0 where nothing came.
        """
        (kernel, bias), *rest = self._decoder
        x = convolve_transposed(values * np.float32(self._scale), kernel, STRIDE) + bias
        for kernel, bias in rest:
            x = convolve(np.maximum(x, 0), kernel) + bias
        return _to_picture(np.float32(255) / (1 + np.exp(-x)))


def find_weights(source: str) -> Path | None:
    """Return the file of a checkpoint by name or folder, or a given ``.npz`` file."""
    if source.endswith(".npz"):
        return Path(source)
    found = (folder / source / WEIGHTS for folder in [Path(), *search_folders()])
    return next((path for path in found if path.is_file()), None)


def open_network(source: str) -> Network:
    """Open what `find_weights` finds.

    Raises:
        CheckpointError: There is none, or it is not of the published architecture.
    """
    path = find_weights(source)
    if path is None:
        raise CheckpointError(f"{source}: no checkpoint of this name or folder holds {WEIGHTS}")
    return Network(path)


def convolve(x: Floats, kernel: Floats, stride: int = 1) -> Floats:
    """Return the convolution of [H, W, in] with [k, k, in, out], padded as TensorFlow's "same"."""
    side = kernel.shape[0]
    pads = [_padding(length, side, stride) for length in x.shape[:2]]
    padded = np.pad(x, (*pads, (0, 0)))
    windows = sliding_window_view(padded, (side, side), (0, 1))[::stride, ::stride]
    flat = kernel.transpose(2, 0, 1, 3).reshape(-1, kernel.shape[3])
    height, width = windows.shape[:2]
    out = np.empty((height, width, kernel.shape[3]), np.float32)
    num_rows = max(1, STRIP_VALUES // (width * flat.shape[0]))
    for top in range(0, height, num_rows):
        strip = windows[top : top + num_rows]
        out[top : top + num_rows] = (strip.reshape(-1, flat.shape[0]) @ flat).reshape(
            len(strip), width, -1
        )
    return out


def convolve_transposed(x: Floats, kernel: Floats, stride: int) -> Floats:
    """Return [H, W, in] through [k, k, out, in] at `stride` times the size, as Keras does."""
    height, width = x.shape[:2]
    side = kernel.shape[0]
    full = np.zeros(
        ((height - 1) * stride + side, (width - 1) * stride + side, kernel.shape[2]), np.float32
    )
    for row in range(side):
        for column in range(side):
            rows = slice(row, row + (height - 1) * stride + 1, stride)
            columns = slice(column, column + (width - 1) * stride + 1, stride)
            full[rows, columns] += x @ kernel[row, column].T
    top, left = (_padding(length * stride, side, stride)[0] for length in (height, width))
    return full[top : top + height * stride, left : left + width * stride]


def _padding(length: int, side: int, stride: int) -> tuple[int, int]:
    total = max((-(-length // stride) - 1) * stride + side - length, 0)
    return total // 2, total - total // 2


def _layer(arrays: dict[str, NDArray[np.generic]], name: str) -> tuple[Floats, Floats]:
    kernel, bias = (arrays[f"{name}_{part}"].astype(np.float32) for part in ("kernel", "bias"))
    if kernel.ndim != 4 or bias.ndim != 1:
        raise ValueError(f"{name} is no convolution")
    return kernel, bias


def _to_picture(pixels: NDArray[np.floating]) -> NDArray[np.uint8]:
    picture: NDArray[np.uint8] = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    return picture
