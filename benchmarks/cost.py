"""What a picture costs: time on one thread, multiply-accumulates, memory; beside the rivals'.

Everything is timed in turn, round after round on the same pictures, so that whatever else the
machine does hits all alike. Times are CPU times of the process, which waiting does not inflate;
figures are medians over pictures and rounds, ratios are of medians.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.facts import describe_run
from benchmarks.macs import count_macs
from benchmarks.pictures import open_set
from pnc import Codec
from pnc.codec.interpreter import Model
from pnc.errors import ConfigError

SCHEMA = "pnc.cost/1"

RIVAL_OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "jpeg": ("JPEG", {"quality": 30, "progressive": True, "optimize": True}),
    "webp": ("WEBP", {"quality": 20, "method": 6}),
    "avif": ("AVIF", {"quality": 35, "speed": 6, "max_threads": 1}),
    "avif at speed 3": ("AVIF", {"quality": 35, "speed": 3, "max_threads": 1}),
}
"""Progressive JPEG as published; WebP and AVIF at qualities that give about 3 KB a photograph, AVIF
at Pillow's speed and at that of the tables of accuracy."""

SIZES = (None, 1024, 4096)
"""Bytes of a stream that are decoded, whole streams first; none means all of them."""

LARGEST_BUDGET = 4096
"""Bytes that a device encodes which stops there: the tables' largest budget."""

FIRST_PACKET_BYTES = 244
"""Size of the first packet: what BLE carries."""

WARM_UPS = 2
"""Rounds that are not counted: first runs allocate."""

Work = Callable[[NDArray[np.uint8], bytes], object]


def _part(work: str, size: int | None) -> str:
    """Name a work on the first ``size`` bytes: ``decode``, ``decode 4 KB``."""
    return work if size is None else f"{work} {size // 1024} KB"


def _beside(size: int | None) -> str:
    return f"{_part('decode', size)}, beside the network"


def _both(size: int | None) -> str:
    return f"{_part('decode', size)} and classify"


ENCODE, NETWORK, FIRST_PACKET = "encode", "encode, network only", "first packet"
DECODE, DECODER_NETWORK, CLASSIFY = "decode", "decode, network only", "classify"

RATIOS = (
    *((_part(ENCODE, size), rival) for size in (None, LARGEST_BUDGET) for rival in RIVAL_OPTIONS),
    *((_both(size), CLASSIFY) for size in SIZES),
    (DECODE, CLASSIFY),
)


def measure_cost(
    checkpoint: str, data: str, *, num_pictures: int = 12, num_rounds: int = 10, seed: int = 0
) -> dict[str, Any]:
    """Return times, ratios, multiply-accumulates and memory of a checkpoint as JSON values.

    Args:
        checkpoint: Name or folder.
        data: A set of pictures, see `benchmarks.pictures`.
        num_pictures: How many of them.
        num_rounds: How often each is measured.
        seed: Of the choice.

    Raises:
        ConfigError: No such set, or nothing to measure.
        CheckpointError: No such checkpoint.
    """
    if num_pictures < 1 or num_rounds < 1:
        raise ConfigError("cost needs at least one picture and one round")
    codec = Codec.load(checkpoint, num_threads=1)
    pictures = open_set(data, fit=codec.checkpoint.fit, limit=num_pictures, seed=seed)
    samples = [
        (pixels, codec.encode(pixels))
        for pixels in (ref.load(codec.checkpoint.fit) for ref in pictures.pictures)
    ]
    with _one_core():
        times = _time(_works(codec), samples, num_rounds)
    for size in SIZES:
        pairs = zip(times[_part(DECODE, size)], times[DECODER_NETWORK], strict=True)
        times[_beside(size)] = [of_both - of_network for of_both, of_network in pairs]
    medians = {name: float(np.median(values)) for name, values in times.items()}
    folder = codec.checkpoint.folder
    return {
        **describe_run(SCHEMA),
        "checkpoint": codec.checkpoint.name,
        "set": pictures.name,
        "seed": seed,
        "num_pictures": len(samples),
        "num_rounds": num_rounds,
        "n": len(samples) * num_rounds,
        "cpu_ms": {name: _summarize(values) for name, values in times.items()},
        "ratios": [
            {"of": of, "to": to, "value": round(medians[of] / medians[to], 3)} for of, to in RATIOS
        ],
        "mean_bytes": {
            "whole stream": round(float(np.mean([len(stream) for _, stream in samples])), 1),
            **{
                name: round(float(np.mean([len(_save(pixels, name)) for pixels, _ in samples])), 1)
                for name in RIVAL_OPTIONS
            },
        },
        "macs": {
            part: count_macs((folder / f"{part}.tflite").read_bytes())
            for part in ("encoder", "decoder", "classifier")
        },
        "file_bytes": {
            part: (folder / f"{part}.tflite").stat().st_size
            for part in ("encoder", "decoder", "classifier")
        },
        "peak_memory_bytes": measure_memory(str(folder), samples[0][1]),
        "python_memory_bytes": measure_python_memory(codec, *samples[0]),
    }


def cost_table(results: dict[str, Any]) -> str:
    """Return Markdown: times beside what they are compared to."""
    ratios: dict[str, list[str]] = {}
    for ratio in results["ratios"]:
        ratios.setdefault(ratio["of"], []).append(f"{ratio['value']:.2f} x {ratio['to']}")
    sizes = ", ".join(f"{name} {size:,.0f}" for name, size in results["mean_bytes"].items())
    lines = [
        f"`{results['checkpoint']}`, one thread, CPU time, median of {results['n']} "
        f"({results['num_pictures']} pictures of {results['set']}, "
        f"{results['num_rounds']} rounds); mean bytes: {sizes}.",
        "",
        "| work | ms | against |",
        "|---|---:|---|",
    ]
    for name, cell in results["cpu_ms"].items():
        lines.append(f"| {name} | {cell['median']:.2f} | {', '.join(ratios.get(name, []))} |")
    macs, memory = results["macs"], results["peak_memory_bytes"]
    lines += [
        "",
        f"Encoder {macs['encoder'] / 1e6:.1f} MMAC, decoder {macs['decoder'] / 1e6:.0f} MMAC, "
        f"classifier {macs['classifier'] / 1e6:.0f} MMAC. Peak resident memory of a process that "
        f"encodes {memory['encode'] / 2**20:.0f} MiB, that decodes and classifies "
        f"{memory['decode and classify'] / 2**20:.0f} MiB.",
    ]
    if python := results.get("python_memory_bytes"):
        sizes = ", ".join(f"{name} {size / 2**20:.1f} MiB" for name, size in python.items())
        lines[-1] += f" At most allocated at once beside the networks: {sizes}."
    return "\n".join(lines)


def measure_memory(checkpoint: str, stream: bytes) -> dict[str, int]:
    """Return the peak resident memory of processes that encode, and that decode and classify.

    Raises:
        ConfigError: Such a process failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "stream")
        path.write_bytes(stream)
        return {
            "encode": _peak(checkpoint),
            "decode and classify": _peak(checkpoint, str(path)),
        }


def measure_python_memory(codec: Codec, pixels: NDArray[np.uint8], stream: bytes) -> dict[str, int]:
    """Return the most that Python and NumPy hold at once for a picture, bytes, by work.

    What the interpreter of the networks allocates is not in it.
    """
    works: dict[str, Callable[[], object]] = {
        ENCODE: lambda: codec.encode(pixels),
        DECODE: lambda: codec.decode(stream),
    }
    peaks = {}
    for name, work in works.items():
        work()
        tracemalloc.start()
        try:
            work()
            peaks[name] = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    return peaks


def _peak(*arguments: str) -> int:
    command = [sys.executable, "-m", "benchmarks.memory", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ConfigError(f"measuring memory failed: {done.stderr.strip()[-300:]}")
    return int(done.stdout)


class _one_core:  # noqa: N801 - reads as what it does
    """Keeps the process on one core, so that nothing can use two."""

    def __enter__(self) -> None:
        self._before = os.sched_getaffinity(0) if hasattr(os, "sched_setaffinity") else set()
        if self._before:
            os.sched_setaffinity(0, {max(self._before)})

    def __exit__(self, *_: object) -> None:
        if self._before:
            os.sched_setaffinity(0, self._before)


def _works(codec: Codec) -> dict[str, Work]:
    works: dict[str, Work] = {
        ENCODE: lambda pixels, stream: codec.encode(pixels),
        _part(ENCODE, LARGEST_BUDGET): lambda pixels, stream: codec.encode(
            pixels, max_bytes=LARGEST_BUDGET
        ),
        NETWORK: lambda pixels, stream: codec.encoder.encode(pixels),
        FIRST_PACKET: lambda pixels, stream: codec.encode_packets(
            pixels, FIRST_PACKET_BYTES, max_bytes=FIRST_PACKET_BYTES
        ),
        DECODER_NETWORK: _decoder_network(codec),
        CLASSIFY: lambda pixels, stream: codec.classify(pixels),
    }
    for size in SIZES:
        works[_part(DECODE, size)] = _decode(codec, size)
        works[_both(size)] = _decode_and_classify(codec, size)
    for name in RIVAL_OPTIONS:
        works[name] = lambda pixels, stream, name=name: _save(pixels, name)  # type: ignore[misc]
    return works


def _decode(codec: Codec, size: int | None) -> Work:
    return lambda pixels, stream: codec.decode(stream[:size])


def _decode_and_classify(codec: Codec, size: int | None) -> Work:
    return lambda pixels, stream: codec.classify(stream[:size])


def _decoder_network(codec: Codec) -> Work:
    """Return one inference of the decoder's file; what it is given does not change its time."""
    content = codec.checkpoint.read("decoder.tflite")
    model = Model(content, name="decoder.tflite", num_threads=1)
    nothing = [np.zeros(side["shape"][1:], side["dtype"]) for side in model.inputs]
    return lambda pixels, stream: model.run(*nothing)


def _save(pixels: NDArray[np.uint8], rival: str) -> bytes:
    file_format, options = RIVAL_OPTIONS[rival]
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, file_format, **options)
    return buffer.getvalue()


def _time(
    works: dict[str, Work], samples: list[tuple[NDArray[np.uint8], bytes]], num_rounds: int
) -> dict[str, list[float]]:
    """Return CPU times in milliseconds by work."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for number in range(-WARM_UPS, num_rounds):
        for pixels, stream in samples if number >= 0 else samples[:1]:
            for name, work in works.items():
                before = time.process_time()
                work(pixels, stream)
                taken = time.process_time() - before
                if number >= 0:
                    times[name].append(1000 * taken)
    return times


def _summarize(values: list[float]) -> dict[str, float]:
    low, median, high = np.percentile(values, [25, 50, 75])
    return {
        "median": round(float(median), 4),
        "lower_quartile": round(float(low), 4),
        "upper_quartile": round(float(high), 4),
    }
