"""Coding plans: their file, and every way in which it can be wrong."""

from __future__ import annotations

import io
import random
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pnc.codec import plan as module
from pnc.codec.bitstream import HEADER_BYTES
from pnc.codec.coefficients import TOP_PLANE
from pnc.codec.plan import CodingPlan, plan_from_bytes, plan_to_bytes
from pnc.codec.plane_coder import decode_planes
from pnc.errors import CheckpointError
from tests.codec.cases import CASES, Case, plan_of, stream_of

Arrays = dict[str, NDArray[Any]]
SIGNED = plan_of(CASES["signed"]())
SMOOTH = plan_of(CASES["smooth"]())


def arrays_of(plan: CodingPlan) -> Arrays:
    with np.load(io.BytesIO(plan_to_bytes(plan))) as arrays:
        return {name: arrays[name] for name in arrays.files}


def npz(arrays: Arrays) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def test_a_plan_comes_back_and_its_bytes_too(case: Case) -> None:
    plan = plan_of(case)
    content = plan_to_bytes(plan)
    read = plan_from_bytes(content)
    assert plan_to_bytes(read) == content
    assert read.grid.shape == plan.grid.shape
    assert read.grid.zero_point == plan.grid.zero_point
    assert read.grid.smooth == plan.grid.smooth
    data = stream_of(case)[HEADER_BYTES:]
    ours, theirs = decode_planes(plan.planes, data), decode_planes(read.planes, data)
    assert (ours.magnitudes == theirs.magnitudes).all()
    for one, other in zip(ours.restore(plan.points), theirs.restore(read.points), strict=True):
        assert (one == other).all()


@pytest.mark.parametrize("name", sorted(arrays_of(SMOOTH)))
def test_a_plan_without_an_array_is_refused(name: str) -> None:
    arrays = arrays_of(SMOOTH)
    del arrays[name]
    with pytest.raises(CheckpointError, match=f"not the arrays of a coding plan.*{name}"):
        plan_from_bytes(npz(arrays))


@pytest.mark.parametrize("name", sorted(arrays_of(SMOOTH)))
@pytest.mark.parametrize(
    "change",
    [
        lambda array: array[..., None],
        lambda array: array.ravel()[:0],
        lambda array: np.array("text"),
        lambda array: np.array(np.inf),
        lambda array: np.full(array.shape, "x"),
        lambda array: np.full(array.shape, np.nan),
        lambda array: np.full(array.shape, None),
        lambda array: np.zeros(array.shape, "V4"),
    ],
    ids=["axis", "empty", "text", "inf", "texts", "nan", "objects", "void"],
)
def test_a_wrong_array_is_refused_in_one_line(
    name: str, change: Callable[[NDArray[Any]], NDArray[Any]]
) -> None:
    arrays = arrays_of(SMOOTH)
    arrays[name] = change(arrays[name])
    if name == "smooth" and arrays[name].shape == (0,):
        assert plan_from_bytes(npz(arrays)).grid.smooth == ()
        return
    with pytest.raises(CheckpointError) as caught:
        plan_from_bytes(npz(arrays))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "points",
    [np.zeros((3, 12)), *(np.full((3, TOP_PLANE + 1), value) for value in (np.nan, -0.1, 1.1))],
)
def test_points_that_do_not_fit_are_refused(points: NDArray[np.float32]) -> None:
    with pytest.raises(CheckpointError, match="reconstruction points"):
        CodingPlan(SIGNED.planes, points)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_scales_out_of_range_are_refused(scale: float) -> None:
    arrays = arrays_of(SIGNED)
    arrays["scale"] = np.full_like(arrays["scale"], scale)
    with pytest.raises(CheckpointError, match="1/65536 to 65536"):
        plan_from_bytes(npz(arrays))


def test_planes_without_channels_are_refused() -> None:
    arrays = arrays_of(SIGNED)
    arrays["first"] = arrays["first"] - 1
    with pytest.raises(CheckpointError, match="0 to the highest"):
        plan_from_bytes(npz(arrays))


def test_other_compressions_are_refused() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("scale.npy", bytes(100))
    with pytest.raises(CheckpointError, match="compressed"):
        plan_from_bytes(file.getvalue())


def test_a_bomb_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PLAN_BYTES", 1 << 20)
    arrays = arrays_of(SIGNED) | {"bomb": np.zeros(1 << 20, np.uint8)}
    content = npz(arrays)
    assert len(content) < 1 << 14
    with pytest.raises(CheckpointError, match="at most 1048576"):
        plan_from_bytes(content)


def test_an_array_that_claims_to_be_huge_is_refused() -> None:
    header = io.BytesIO()
    described = {"descr": "<f4", "fortran_order": False, "shape": (1 << 20, 1 << 20, 1 << 10)}
    np.lib.format.write_array_header_1_0(header, described)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("scale.npy", header.getvalue())
    with pytest.raises(CheckpointError, match="not the arrays of a coding plan"):
        plan_from_bytes(file.getvalue())


@pytest.mark.parametrize("content", [b"", b"PK", b"\x93NUMPY", b"{}", bytes(1000)])
def test_what_is_no_archive_is_refused(content: bytes) -> None:
    with pytest.raises(CheckpointError, match="not the arrays"):
        plan_from_bytes(content)


def test_arrays_with_damaged_headers_are_plans_or_refused_in_one_line() -> None:
    generator = random.Random(1)
    with zipfile.ZipFile(io.BytesIO(plan_to_bytes(SIGNED))) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    for _ in range(300):
        name = generator.choice(sorted(entries))
        damaged = bytearray(entries[name])
        for _ in range(generator.randrange(1, 3)):
            damaged[generator.randrange(min(len(damaged), 128))] = generator.randrange(256)
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for other, content in entries.items():
                archive.writestr(other, bytes(damaged) if other == name else content)
        assert_plan_or_refused(file.getvalue())


def assert_plan_or_refused(content: bytes) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            plan_from_bytes(content)
        except CheckpointError as error:
            message = str(error)
        else:
            return True
    assert len(message.splitlines()) == 1
    return False


def test_damaged_files_are_plans_or_refused_in_one_line() -> None:
    content, generator = plan_to_bytes(SIGNED), random.Random(0)
    refused = 0
    for _ in range(1000):
        damaged = bytearray(content)
        for _ in range(generator.randrange(1, 4)):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        if generator.random() < 0.1:
            del damaged[generator.randrange(len(damaged)) :]
        refused += not assert_plan_or_refused(bytes(damaged))
    assert refused > 800
