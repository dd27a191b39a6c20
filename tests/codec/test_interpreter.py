"""The interpreter that is found, what it refuses, and that all of them agree."""

from __future__ import annotations

import importlib.metadata
import pkgutil
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pnc import belt
from pnc.codec import interpreter
from pnc.codec.checkpoint import Checkpoint
from pnc.codec.codec import Codec
from pnc.codec.encoder import Encoder
from pnc.codec.interpreter import RUNTIMES, Model, find_runtime, open_plain
from pnc.errors import CheckpointError, ConfigError


def install(monkeypatch: pytest.MonkeyPatch, *distributions: str) -> None:
    """Make it look as if only these were installed."""
    classes = {name: distribution for distribution, name in RUNTIMES}

    def resolve(name: str) -> Any:
        if classes[name] not in distributions:
            raise ModuleNotFoundError(name)
        return SimpleNamespace(name=name)

    def version(distribution: str) -> str:
        if distribution not in distributions:
            raise importlib.metadata.PackageNotFoundError
        return "1.2"

    monkeypatch.setattr(pkgutil, "resolve_name", resolve)
    monkeypatch.setattr(importlib.metadata, "version", version)


def test_the_first_installed_runtime_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "tensorflow", "tflite-runtime")
    found, name = find_runtime()
    assert found.name == "tflite_runtime.interpreter:Interpreter"
    assert name == "tflite-runtime 1.2"


def test_a_preferred_runtime_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "tensorflow", "tflite-runtime")
    assert find_runtime("tensorflow")[1] == "tensorflow 1.2"


def test_without_a_runtime_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    with pytest.raises(ConfigError, match=r"no TFLite runtime .* pip install"):
        find_runtime()


@pytest.mark.parametrize("prefer", ["tflite-runtime", "other"])
def test_a_preferred_runtime_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, prefer: str
) -> None:
    install(monkeypatch, "tensorflow")
    with pytest.raises(ConfigError, match=f"the TFLite runtime {prefer} is not installed"):
        find_runtime(prefer)


def test_tensorflow_goes_by_another_name_on_machines_without_a_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(monkeypatch, "tensorflow", "tensorflow-cpu")
    assert interpreter._version("tensorflow") == "1.2"
    install(monkeypatch, "tensorflow-cpu")
    assert interpreter._version("tensorflow") == "1.2"
    install(monkeypatch)
    assert interpreter._version("tensorflow") == "of unknown version"


@pytest.mark.parametrize("content", [b"", b"no model", bytes(1000)])
def test_what_is_no_model_is_refused(content: bytes) -> None:
    with pytest.raises(CheckpointError, match=r"file\.tflite: ai-edge-litert .* cannot run this"):
        Model(content, name="file.tflite", runtime="ai-edge-litert")


def test_the_operations_of_a_file_are_its_own() -> None:
    plain, operations = open_plain(Checkpoint.load("belt").read("encoder.tflite"))
    assert {operation["op_name"] for operation in operations} >= {"CONV_2D", "QUANTIZE"}
    assert operations[-1]["outputs"] == [plain.get_output_details()[0]["index"]]


def test_a_result_outlives_the_next_run(codec: Codec) -> None:
    first = codec.encoder.encode(belt.render(0)[0])
    kept = first.copy()
    codec.encoder.encode(belt.render(1)[0])
    assert (first == kept).all()


@pytest.mark.parametrize("num_threads", [1, 2])
def test_streams_are_the_same_whatever_the_number_of_threads(
    codec: Codec, num_threads: int
) -> None:
    other = Codec.load("belt", num_threads=num_threads)
    for index in range(4):
        assert other.encode(belt.render(index)[0]) == codec.encode(belt.render(index)[0])


def test_symbols_and_streams_are_the_same_in_tensorflow(codec: Codec) -> None:
    pytest.importorskip("tensorflow")
    checkpoint = Checkpoint.load("belt")
    for num_threads in (1, 2):
        encoder = Encoder(checkpoint, num_threads=num_threads, runtime="tensorflow")
        for index in range(4):
            picture = belt.render(index)[0]
            assert (encoder.encode(picture) == codec.encoder.encode(picture)).all()
    other = Codec(checkpoint, runtime="tensorflow")
    assert other.encode(picture) == codec.encode(picture)
    difference = other.decode(other.encode(picture)).astype(int) - codec.decode(
        codec.encode(picture)
    ).astype(int)
    assert np.abs(difference).max() <= 1
