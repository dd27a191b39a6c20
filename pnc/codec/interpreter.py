"""One face over the TFLite interpreters: the first that is installed runs everything.

``ai_edge_litert`` is the maintained one, ``tflite_runtime`` serves 32-bit Raspberry Pi OS,
``tensorflow`` machines that train. All take the same files and give the same bytes for integer
models.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import os
import pkgutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pnc.errors import CheckpointError, ConfigError

RUNTIMES = (
    ("ai-edge-litert", "ai_edge_litert.interpreter:Interpreter"),
    ("tflite-runtime", "tflite_runtime.interpreter:Interpreter"),
    ("tensorflow", "tensorflow:lite.Interpreter"),
)
"""Distributions that bring an interpreter, and its class, in order of preference."""


def find_runtime(prefer: str | None = None) -> tuple[Any, str]:
    """The ``Interpreter`` class of the first installed runtime and its name with version.

    Args:
        prefer: name of the distribution to take, for comparisons; the first found if absent.

    Raises:
        ConfigError: none is installed, or not the preferred one.
    """
    for distribution, interpreter in RUNTIMES:
        if prefer not in (None, distribution):
            continue
        try:
            found = pkgutil.resolve_name(interpreter)
        except (ImportError, AttributeError):
            continue
        return found, f"{distribution} {_version(distribution)}"
    if prefer is not None:
        known = ", ".join(distribution for distribution, _ in RUNTIMES)
        raise ConfigError(
            f"the TFLite runtime {prefer} is not installed; pip install it, or take another of "
            f"{known}",
            runtime=prefer,
        )
    raise ConfigError(
        "no TFLite runtime is installed; install one with: pip install 'pnc[device]' "
        "(32-bit Raspberry Pi OS: pip install tflite-runtime, Python up to 3.11)"
    )


def _version(distribution: str) -> str:
    for name in (distribution, f"{distribution}-cpu"):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "of unknown version"


def open_plain(content: bytes) -> tuple[Any, list[dict[str, Any]]]:
    """Open a file to look at what it holds: no delegate replaces its operations by its own.

    Args:
        content: bytes of the file.

    Returns:
        The interpreter, its tensors allocated, and the operations in the order in which they run:
        ``op_name``, and the indices of tensors that are its ``inputs`` and ``outputs``.

    Raises:
        ConfigError: no runtime is installed.
    """
    interpreter_class, _ = find_runtime()
    resolvers = importlib.import_module(interpreter_class.__module__).OpResolverType
    interpreter = interpreter_class(
        model_content=content,
        num_threads=1,
        experimental_op_resolver_type=resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    # The interpreter's only list of operations; private in every runtime, in all releases so far.
    return interpreter, interpreter._get_ops_details()


_first_start = threading.Lock()


@contextlib.contextmanager
def _quiet_first_start() -> Iterator[None]:
    """Keep LiteRT's one greeting off standard error.

    It writes "INFO: Created TensorFlow Lite XNNPACK delegate" to the file descriptor when a process
    makes its first interpreter, and has no setting against it; commands promise that what they say
    on standard error is theirs.
    """
    if not _first_start.acquire(blocking=False):
        yield
        return
    with Path(os.devnull).open("wb") as nowhere:
        kept = os.dup(2)
        try:
            os.dup2(nowhere.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


class Model:
    """A loaded TFLite model with a fixed batch of one.

    Args:
        content: bytes of the file.
        name: for error messages.
        num_threads: threads of one inference.
        runtime: see :func:`find_runtime`.

    Raises:
        CheckpointError: the file is no TFLite model that the runtime can run.
    """

    def __init__(
        self, content: bytes, *, name: str, num_threads: int = 1, runtime: str | None = None
    ) -> None:
        interpreter_class, self.runtime = find_runtime(runtime)
        try:
            with _quiet_first_start():
                self._interpreter = interpreter_class(
                    model_content=content, num_threads=num_threads
                )
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise CheckpointError(
                f"{name}: {self.runtime} cannot run this model ({error})"
            ) from error
        self.inputs: list[dict[str, Any]] = self._interpreter.get_input_details()
        self.outputs: list[dict[str, Any]] = self._interpreter.get_output_details()

    def run(self, *arrays: NDArray[Any]) -> NDArray[Any]:
        """Run one inference.

        Args:
            arrays: one an input, in the file's order, of its shape without the batch axis.

        Returns:
            A copy of the first output, without the batch axis.
        """
        for details, array in zip(self.inputs, arrays, strict=True):
            self._interpreter.set_tensor(
                details["index"], array[None].astype(details["dtype"], copy=False)
            )
        self._interpreter.invoke()
        output: NDArray[Any] = self._interpreter.get_tensor(self.outputs[0]["index"])
        return np.array(output[0])
