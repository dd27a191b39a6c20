"""The training loop: any Keras model, one pure batch function, a state that no kill can break.

The batch of step ``k`` is a pure function of ``(seed, k)``, so a run resumes from nothing but its
variables and its step number: the resumed run sees the very pictures that the uninterrupted one
would have seen.
"""

from __future__ import annotations

import json
import os
import queue
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
from training.progress import Progress

Batch = tuple[Any, Any]
BatchFunction = Callable[[int], Batch]

PREFETCH_BATCHES = 4
"""Batches made ahead by the reader thread: enough to hide one slow read, small beside the model."""


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
        """Write the state; a kill at any moment leaves the old file or the new one."""
        arrays = {f"v{i}": np.asarray(v.numpy()) for i, v in enumerate(self._variables())}
        arrays["state"] = np.frombuffer(json.dumps(vars(state)).encode(), np.uint8)
        temporary = self.path.with_suffix(".tmp")
        with temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path)

    def load(self) -> LoopState:
        """Read the state into the model, or start afresh where there is none.

        Raises:
            ConfigError: the file belongs to another model or is damaged.
        """
        if not self.path.exists():
            return LoopState()
        variables = self._variables()
        try:
            with np.load(self.path, allow_pickle=False) as arrays:
                state = LoopState(**json.loads(arrays["state"].tobytes()))
                for index, variable in enumerate(variables):
                    variable.assign(arrays[f"v{index}"])
        except (KeyError, ValueError, TypeError, OSError, zipfile.BadZipFile) as error:
            raise ConfigError(
                f"cannot resume from {self.path}: it belongs to another model or is damaged "
                f"({error}); delete it to start this stage again"
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

    Returns:
        The final state; the model then carries the averaged weights, if its optimizer keeps any.
    """
    config.run_dir.mkdir(parents=True, exist_ok=True)
    model.optimizer.build(model.trainable_variables)
    file = StateFile(config.run_dir / "state.npz", model)
    state = file.load()
    started = time.monotonic() - state.seconds
    saved = time.monotonic()
    if not state.finished:
        with Progress(config.run_dir, config.num_steps) as progress:
            sums: dict[str, list[float]] = {}
            for batch in prefetch(make_batch, state.step, config.num_steps):
                for name, value in model.train_on_batch(*batch, return_dict=True).items():
                    sums.setdefault(name, []).append(float(value))
                model.reset_metrics()
                state.step += 1
                state.seconds = time.monotonic() - started
                if state.step % config.log_every == 0:
                    progress.log(
                        state.step, state.seconds, {k: float(np.mean(v)) for k, v in sums.items()}
                    )
                    sums.clear()
                if evaluate and config.evaluate_every and state.step % config.evaluate_every == 0:
                    _evaluate(model, evaluate, state, score, progress)
                if time.monotonic() - saved >= config.save_every_s:
                    file.save(state)
                    saved = time.monotonic()
                exhausted = config.patience and state.bad_evaluations >= config.patience
                if exhausted or state.seconds >= config.max_seconds:
                    break
            state.finished = True
            if evaluate:
                _evaluate(model, evaluate, state, score, progress)
            file.save(state)
    use_averaged_weights(model)
    return state


def _evaluate(
    model: keras.Model,
    evaluate: Callable[[], Mapping[str, float]],
    state: LoopState,
    score: str,
    progress: Progress,
) -> None:
    raw = [v.numpy() for v in model.trainable_variables]
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


def shuffled_indices(num_items: int, batch_size: int, step: int, seed: int) -> NDArray[np.int64]:
    """The items of one batch; every epoch's permutation is a pure function of seed and epoch."""
    positions = np.arange(step * batch_size, (step + 1) * batch_size)
    picked = np.empty(batch_size, np.int64)
    for epoch in np.unique(positions // num_items):
        order = np.random.default_rng([seed, int(epoch)]).permutation(num_items)
        inside = positions // num_items == epoch
        picked[inside] = order[positions[inside] % num_items]
    return picked
