"""The training loop: any Keras model, one pure batch function, a state that no kill can break.

The batch of step ``k`` is a pure function of ``(seed, k)``, so a run resumes from nothing but its
variables and its step number: the resumed run sees the very pictures that the uninterrupted one
would have seen.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import queue
import signal
import struct
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from pnc.errors import ConfigError
from training.files import replacing
from training.progress import Progress

logger = logging.getLogger(__name__)

Batch = tuple[Any, Any]
BatchFunction = Callable[[int], Batch]

JIT_COMPILE: bool | str = "auto" if keras.backend.backend() == "jax" else False
"""For ``compile``: XLA slows TensorFlow down on a CPU, and JAX crawls without it."""

PREFETCH_BATCHES = 4
"""Batches made ahead by the reader thread: enough to hide one slow read, small beside the model."""

_DAMAGE = (
    EOFError,
    KeyError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
)
"""What reading a damaged ``.npz`` can raise, by damage at random places."""


@dataclass(frozen=True)
class LoopConfig:
    """How long to train and how often to look up."""

    num_steps: int
    """Optimizer steps in the whole run."""
    run_dir: Path
    """Folder of this stage: state, metrics, TensorBoard events."""
    save_every_s: float = 60.0
    """Seconds between two states on disk."""
    log_every: int = 20
    """Steps between two lines of metrics."""
    evaluate_every: int = 0
    """Steps between two evaluations; 0: only at the end."""
    patience: int = 0
    """Evaluations without a better score after which the run stops early; 0: never."""
    max_seconds: float = float("inf")
    """Wall-clock budget of the stage over all its parts; the schedule does not shrink with it."""


@dataclass
class LoopState:
    """What a run knows besides its variables."""

    step: int = 0
    seconds: float = 0.0
    best_score: float = float("-inf")
    bad_evaluations: int = 0
    finished: bool = False
    history: list[dict[str, float]] = field(default_factory=list)


class StateFile:
    """Variables, optimizer and :class:`LoopState` in one ``.npz``, replaced atomically."""

    def __init__(self, path: Path, model: keras.Model) -> None:
        self.path = path
        self._model = model

    def _variables(self) -> list[Any]:
        return [*self._model.variables, *self._model.optimizer.variables]

    def save(self, state: LoopState) -> None:
        """Write the state; a kill at any moment leaves the old file or the new one.

        Raises:
            ConfigError: the disk is full.
        """
        arrays = {f"v{i}": np.asarray(v.numpy()) for i, v in enumerate(self._variables())}
        arrays["state"] = np.frombuffer(json.dumps(vars(state)).encode(), np.uint8)
        with replacing(self.path) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())

    def load(self) -> LoopState:
        """Read the state into the model, or start afresh where there is none.

        Raises:
            ConfigError: the file belongs to another model or is damaged.
        """
        if not self.path.exists():
            return LoopState()
        variables = self._variables()
        try:
            with (
                self.path.open("rb") as content,
                np.load(content, allow_pickle=False) as arrays,
            ):
                state = LoopState(**json.loads(arrays["state"].tobytes()))
                values = [arrays[name] for name in arrays.files if name != "state"]
            for variable, value in zip(variables, values, strict=True):
                if tuple(variable.shape) != value.shape:
                    raise ValueError(f"{value.shape} for {variable.path} {tuple(variable.shape)}")
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
        except _DAMAGE as error:
            reason = str(error).partition("\n")[0]
            raise ConfigError(
                f"cannot resume from {self.path}: it belongs to another model or is damaged "
                f"({reason}); delete it to start this stage again",
                path=self.path,
            ) from error
        return state


def prefetch(make_batch: BatchFunction, first_step: int, last_step: int) -> Iterator[Batch]:
    """Make the batches of ``range(first_step, last_step)`` in a thread, in order, a few ahead."""
    batches: queue.Queue[Batch | BaseException] = queue.Queue(PREFETCH_BATCHES)
    stop = threading.Event()

    def put(item: Batch | BaseException) -> None:
        while not stop.is_set():
            try:
                batches.put(item, timeout=0.2)
                return
            except queue.Full:
                continue

    def work() -> None:
        try:
            for step in range(first_step, last_step):
                if stop.is_set():
                    return
                put(make_batch(step))
        except BaseException as error:  # noqa: BLE001 - handed to the consumer, which raises it
            put(error)

    thread = threading.Thread(target=work, name="batches", daemon=True)
    thread.start()
    try:
        for _ in range(first_step, last_step):
            item = batches.get()
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join()


def fit(
    model: keras.Model,
    make_batch: BatchFunction,
    config: LoopConfig,
    *,
    evaluate: Callable[[], Mapping[str, float]] | None = None,
    score: str = "score",
) -> LoopState:
    """Train a compiled model until its steps, its seconds or its patience end, or resume.

    Args:
        model: compiled Keras model; its ``compute_loss`` sees what ``make_batch`` returns.
        make_batch: step number -> ``(x, y)``, a pure function.
        config: lengths and paths.
        evaluate: measures the model with its averaged weights; called every ``evaluate_every``
            steps and at the end.
        score: the key of ``evaluate``'s result that early stopping maximises.

    Ctrl-C lets the running step end and saves the state; a second one ends at once.

    Returns:
        The final state; the model then carries the averaged weights, if its optimizer keeps any.

    Raises:
        ConfigError: the folder holds the state of another model or a damaged one, the disk is full,
            or the loss is no number any more.
        KeyboardInterrupt: Ctrl-C was pressed; the state is on disk.
    """
    config.run_dir.mkdir(parents=True, exist_ok=True)
    model.optimizer.build(model.trainable_variables)
    file = StateFile(config.run_dir / "state.npz", model)
    state = file.load()
    if not state.finished:
        progress = Progress(config.run_dir, config.num_steps, first_step=state.step)
        with _patient_interrupt() as interrupted, progress:
            _train(model, make_batch, config, file, state, progress, interrupted, evaluate, score)
        if interrupted.is_set():
            logger.warning(
                "%s: stopped after step %d of %d; the same command goes on from there",
                config.run_dir,
                state.step,
                config.num_steps,
            )
            raise KeyboardInterrupt
    use_averaged_weights(model)
    return state


def _train(
    model: keras.Model,
    make_batch: BatchFunction,
    config: LoopConfig,
    file: StateFile,
    state: LoopState,
    progress: Progress,
    interrupted: threading.Event,
    evaluate: Callable[[], Mapping[str, float]] | None,
    score: str,
) -> None:
    """Run the steps that are missing; the state is on disk afterwards, finished or interrupted."""
    started = time.monotonic() - state.seconds
    saved = time.monotonic()
    sums: dict[str, list[float]] = {}
    for batch in prefetch(make_batch, state.step, config.num_steps):
        for name, value in model.train_on_batch(*batch, return_dict=True).items():
            sums.setdefault(name, []).append(float(value))
        if not math.isfinite(sums["loss"][-1]):
            raise ConfigError(
                f"{config.run_dir}: after step {state.step} the loss is no number any more; delete "
                "this folder and train again with another seed, or a lower learning rate",
                step=state.step,
            )
        model.reset_metrics()
        state.step += 1
        state.seconds = time.monotonic() - started
        if state.step % config.log_every == 0:
            figures = {name: float(np.mean(values)) for name, values in sums.items()}
            progress.log(state.step, state.seconds, figures)
            sums.clear()
        if evaluate and config.evaluate_every and state.step % config.evaluate_every == 0:
            _evaluate(model, evaluate, state, score, progress)
        if interrupted.is_set():
            file.save(state)
            return
        if time.monotonic() - saved >= config.save_every_s:
            file.save(state)
            saved = time.monotonic()
        exhausted = config.patience and state.bad_evaluations >= config.patience
        if exhausted or state.seconds >= config.max_seconds:
            break
    state.finished = True
    if evaluate and not (state.history and state.history[-1]["step"] == state.step):
        _evaluate(model, evaluate, state, score, progress)
    file.save(state)


@contextlib.contextmanager
def _patient_interrupt() -> Iterator[threading.Event]:
    """Let the first Ctrl-C only set the event, so that a step is never half in the state.

    A second one ends at once. Outside the main thread, or where somebody else handles the signal,
    nothing changes.
    """
    asked = threading.Event()

    def ask(_signal: int, _frame: object) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield asked
        return
    signal.signal(signal.SIGINT, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _evaluate(
    model: keras.Model,
    evaluate: Callable[[], Mapping[str, float]],
    state: LoopState,
    score: str,
    progress: Progress,
) -> None:
    raw = [np.array(v.numpy()) for v in model.trainable_variables]
    use_averaged_weights(model)
    figures = dict(evaluate())
    for variable, value in zip(model.trainable_variables, raw, strict=True):
        variable.assign(value)
    state.history.append({"step": state.step, **figures})
    progress.log(state.step, state.seconds, figures, label="evaluation")
    if figures.get(score, 0.0) > state.best_score:
        state.best_score, state.bad_evaluations = figures.get(score, 0.0), 0
    else:
        state.bad_evaluations += 1


def averaging_momentum(num_steps: int) -> float:
    """Momentum of the weights' moving average: a twentieth of the run back, 500 steps at most."""
    return min(0.998, 1.0 - 20.0 / max(num_steps, 40))


def use_averaged_weights(model: keras.Model) -> None:
    """Put the optimizer's exponential moving averages into the model, where it keeps them."""
    if model.optimizer.use_ema:
        model.optimizer.finalize_variable_values(model.trainable_variables)
        # On JAX variable and average now are one buffer, which the next call may give away.
        for variable in model.trainable_variables:
            variable.assign(np.array(variable.numpy()))


def shuffled_indices(num_items: int, batch_size: int, step: int, seed: int) -> NDArray[np.int64]:
    """The items of one batch; every epoch's permutation is a pure function of seed and epoch."""
    positions = np.arange(step * batch_size, (step + 1) * batch_size)
    picked = np.empty(batch_size, np.int64)
    for epoch in np.unique(positions // num_items):
        order = np.random.default_rng([seed, int(epoch)]).permutation(num_items)
        inside = positions // num_items == epoch
        picked[inside] = order[positions[inside] % num_items]
    return picked
