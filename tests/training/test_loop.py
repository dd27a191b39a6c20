from __future__ import annotations

import contextlib
import logging
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from pnc.errors import ConfigError
from training import loop
from training.loop import (
    LoopConfig,
    LoopState,
    StateFile,
    averaging_momentum,
    fit,
    prefetch,
    shuffled_indices,
    use_averaged_weights,
)
from training.progress import read_records

ROOT = Path(__file__).resolve().parents[2]
NUM_STEPS = 12
NUM_KILLED_STEPS = 60


def make_model(width: int = 4) -> keras.Model:
    """Small, with every kind of state: dropout's seed, moving statistics, averages, a schedule."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(width),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(1),
        ]
    )
    schedule = keras.optimizers.schedules.CosineDecay(0.01, NUM_STEPS)
    optimizer = keras.optimizers.AdamW(schedule, use_ema=True, ema_momentum=0.9)
    model.compile(optimizer, loss="mse", jit_compile=False)
    return model


def make_batch(step: int) -> tuple[Any, Any]:
    rng = np.random.default_rng([7, step])
    return rng.normal(size=(8, 3)).astype(np.float32), rng.normal(size=(8, 1)).astype(np.float32)


def weights(model: keras.Model) -> list[NDArray[Any]]:
    return [np.asarray(v) for v in [*model.variables, *model.optimizer.variables]]


def assert_same(model: keras.Model, expected: list[NDArray[Any]]) -> None:
    for mine, theirs in zip(weights(model), expected, strict=True):
        assert np.array_equal(mine, theirs)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> list[NDArray[Any]]:
    model = make_model()
    state = fit(model, make_batch, LoopConfig(NUM_STEPS, tmp_path_factory.mktemp("whole")))
    assert (state.step, state.finished) == (NUM_STEPS, True)
    return weights(model)


class KilledError(Exception):
    """Stands for a kill: nothing is saved on the way out."""


@pytest.mark.parametrize("step", [0, 1, 7, 11])
def test_a_run_resumes_from_any_step(
    step: int, tmp_path: Path, uninterrupted: list[NDArray[Any]]
) -> None:
    def dying(at: int) -> tuple[Any, Any]:
        if at == step:
            raise KilledError
        return make_batch(at)

    config = LoopConfig(NUM_STEPS, tmp_path, save_every_s=0, log_every=1)
    with pytest.raises(KilledError):
        fit(make_model(), dying, config)
    (tmp_path / "part-state.npz").write_bytes(b"cut short by a kill")
    model = make_model()
    state = fit(model, make_batch, config)
    assert state.step == NUM_STEPS
    assert_same(model, uninterrupted)
    records = read_records(tmp_path)
    assert [r["step"] for r in records] == list(range(1, NUM_STEPS + 1))
    assert_same_again = make_model()
    assert fit(assert_same_again, dying, config).finished
    assert_same(assert_same_again, uninterrupted)


def test_records_after_the_state_are_made_again(tmp_path: Path) -> None:
    def dying(at: int) -> tuple[Any, Any]:
        if at == 5:
            raise KilledError
        return make_batch(at)

    config = LoopConfig(8, tmp_path, save_every_s=1e9, log_every=1)
    with pytest.raises(KilledError):
        fit(make_model(), dying, config)
    lost = len(read_records(tmp_path))
    assert lost > 0
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "sec')
    fit(make_model(), make_batch, config)
    assert [record["step"] for record in read_records(tmp_path)] == list(range(1, 9))


def test_ctrl_c_saves_after_the_running_step(
    tmp_path: Path, uninterrupted: list[NDArray[Any]], caplog: pytest.LogCaptureFixture
) -> None:
    def press() -> dict[str, float]:
        if presses:
            signal.raise_signal(presses.pop())
        return {"score": 1.0}

    presses = [signal.SIGINT]
    config = LoopConfig(NUM_STEPS, tmp_path, evaluate_every=5)
    with caplog.at_level(logging.WARNING), pytest.raises(KeyboardInterrupt):
        fit(make_model(), make_batch, config, evaluate=press)
    assert caplog.messages == [
        f"{tmp_path}: stopped after step 5 of 12; the same command goes on from there"
    ]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    model = make_model()
    state = fit(model, make_batch, config, evaluate=press)
    assert [figures["step"] for figures in state.history] == [5, 10, 12]
    assert_same(model, uninterrupted)


def test_a_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    def press() -> dict[str, float]:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("still here")

    with pytest.raises(KeyboardInterrupt):
        fit(make_model(), make_batch, LoopConfig(4, tmp_path, evaluate_every=2), evaluate=press)
    assert not (tmp_path / "state.npz").exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_another_thread_leaves_the_signal_alone() -> None:
    found = []

    def look() -> None:
        with loop._patient_interrupt():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]


# --- early ends --------------------------------------------------------------------------------


def test_patience_ends_a_run_early(tmp_path: Path) -> None:
    scores = iter([0.1, 0.5, 0.4, 0.5, 0.9])
    config = LoopConfig(100, tmp_path, evaluate_every=2, patience=2)
    state = fit(make_model(), make_batch, config, evaluate=lambda: {"score": next(scores)})
    assert (state.step, state.finished, state.best_score) == (8, True, 0.5)
    assert [figures["score"] for figures in state.history] == [0.1, 0.5, 0.4, 0.5]


def test_seconds_end_a_run_early(tmp_path: Path) -> None:
    state = fit(make_model(), make_batch, LoopConfig(100, tmp_path, max_seconds=0))
    assert (state.step, state.finished) == (1, True)


def test_evaluation_sees_averages_and_leaves_the_weights(tmp_path: Path) -> None:
    model = make_model()
    seen: list[NDArray[Any]] = []

    def evaluate() -> dict[str, float]:
        seen.append(np.asarray(model.layers[0].kernel))
        return {"score": 0.0}

    fit(model, make_batch, LoopConfig(6, tmp_path, evaluate_every=3), evaluate=evaluate)
    assert len(seen) == 2
    plain = make_model()
    kernels = []
    for step in range(6):
        plain.train_on_batch(*make_batch(step))
        kernels.append(np.asarray(plain.layers[0].kernel))
    use_averaged_weights(plain)
    average = np.asarray(plain.layers[0].kernel)
    assert np.array_equal(seen[1], average)
    assert np.array_equal(np.asarray(model.layers[0].kernel), average)
    assert not np.array_equal(average, kernels[-1])
    assert kernels[0].min() - 0.1 < average.min()


def test_the_average_looks_back_over_a_twentieth() -> None:
    assert averaging_momentum(1) == 0.5
    assert averaging_momentum(2000) == pytest.approx(0.99)
    assert averaging_momentum(10**6) == 0.998


# --- the state on disk -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def state_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("state")
    fit(make_model(), make_batch, LoopConfig(3, folder))
    return (folder / "state.npz").read_bytes()


def refuse(folder: Path, model: keras.Model, content: bytes) -> str:
    path = folder / "state.npz"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        StateFile(path, model).load()
    assert "\n" not in str(caught.value)
    assert "delete it to start this stage again" in str(caught.value)
    return str(caught.value)


def built(model: keras.Model) -> keras.Model:
    model.optimizer.build(model.trainable_variables)
    return model


def test_damaged_states_give_one_line(tmp_path: Path, state_bytes: bytes) -> None:
    model = built(make_model())
    array = tmp_path / "array.npy"
    np.save(array, np.zeros(3))
    for content in (b"", b"no state", state_bytes[:-1], state_bytes[:100], array.read_bytes()):
        refuse(tmp_path, model, content)
    path = tmp_path / "state.npz"
    for record in (b"[]", b"{", b'{"step": 1, "colour": 3}', b"\xff"):
        with path.open("wb") as file:
            np.savez(file, state=np.frombuffer(record, np.uint8))
        refuse(tmp_path, model, path.read_bytes())


def test_random_damage_is_refused_or_harmless(tmp_path: Path, state_bytes: bytes) -> None:
    model = built(make_model())
    rng = random.Random(5)
    path = tmp_path / "state.npz"
    for _ in range(400):
        damaged = bytearray(state_bytes)
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path.write_bytes(damaged)
        with contextlib.suppress(ConfigError):
            assert isinstance(StateFile(path, model).load(), LoopState)


def test_states_of_other_models_are_refused(tmp_path: Path, state_bytes: bytes) -> None:
    wider = built(make_model(width=5))
    before = weights(wider)
    assert "(3, 4) for " in refuse(tmp_path, wider, state_bytes)
    assert_same(wider, before)
    smaller = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
    smaller.compile(keras.optimizers.SGD(), loss="mse")
    refuse(tmp_path, built(smaller), state_bytes)


# --- batches -----------------------------------------------------------------------------------


def test_batches_come_in_order_from_a_thread_that_ends() -> None:
    def threads() -> set[str]:
        return {thread.name for thread in threading.enumerate()}

    def numbered(step: int) -> tuple[int, int]:
        return step, -step

    assert list(prefetch(numbered, 3, 9)) == [(step, -step) for step in range(3, 9)]
    assert list(prefetch(numbered, 3, 3)) == []
    some: Iterator[Any] = prefetch(numbered, 0, 1000)
    assert next(some) == (0, 0)
    assert "batches" in threads()
    some.close()  # type: ignore[attr-defined]
    assert "batches" not in threads()


def test_a_batch_that_cannot_be_made_ends_the_run() -> None:
    def broken(step: int) -> tuple[int, int]:
        if step == 2:
            raise ConfigError("picture 2 is gone")
        return step, step

    batches = prefetch(broken, 0, 9)
    assert [next(batches)[0] for _ in range(2)] == [0, 1]
    with pytest.raises(ConfigError, match="picture 2"):
        next(batches)


def test_each_epoch_is_its_own_permutation() -> None:
    seen = np.concatenate([shuffled_indices(10, 4, step, 3) for step in range(10)])
    for epoch in seen.reshape(4, 10):
        assert sorted(epoch) == list(range(10))
    assert len({tuple(epoch) for epoch in seen.reshape(4, 10)}) == 4
    assert np.array_equal(shuffled_indices(10, 4, 7, 3), shuffled_indices(10, 4, 7, 3))
    assert not np.array_equal(shuffled_indices(10, 4, 7, 3), shuffled_indices(10, 4, 7, 4))


# --- kill -9 -----------------------------------------------------------------------------------

WORKER = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:4]
import numpy as np
from test_loop import NUM_KILLED_STEPS, LoopConfig, fit, make_batch, make_model, weights

def told(step):
    print(step, flush=True)
    return make_batch(step)

folder = Path(sys.argv[1])
model = make_model()
fit(model, told, LoopConfig(NUM_KILLED_STEPS, folder, save_every_s=0, log_every=7))
np.savez(folder / "result.npz", *weights(model))
"""


def run_killed(folder: Path, should_kill: Callable[[int], bool]) -> bool:
    """Start the run; kill it once a step asks for it. Whether it was killed."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-c", WORKER, str(folder), str(ROOT), str(Path(__file__).parent)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if should_kill(int(line)):
                process.kill()
                break
        process.stdout.read()
    assert process.returncode in (0, -signal.SIGKILL)
    return process.returncode != 0


def check_kills(folder: Path, num_kills: int) -> None:
    seed = random.SystemRandom().randrange(2**32)
    rng = random.Random(seed)
    model = make_model()
    fit(model, make_batch, LoopConfig(NUM_KILLED_STEPS, folder / "whole"))
    for kill in range(num_kills):
        share = NUM_KILLED_STEPS // (num_kills + 1)
        target = rng.randrange(kill * share, (kill + 1) * share)
        assert run_killed(folder / "killed", lambda step, at=target: step >= at), seed  # type: ignore[misc]
    assert not run_killed(folder / "killed", lambda step: False), seed
    with np.load(folder / "killed" / "result.npz") as result:
        assert_same(model, list(result.values()))


@pytest.mark.e2e
def test_two_kills_change_nothing(tmp_path: Path) -> None:
    check_kills(tmp_path, 2)


@pytest.mark.slow
def test_five_kills_change_nothing(tmp_path: Path) -> None:
    check_kills(tmp_path, 5)


def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path) -> None:
    def make_bad_batch(step: int) -> tuple[Any, Any]:
        x, y = make_batch(step)
        return x, y * np.float32("nan" if step >= 3 else 1)

    with pytest.raises(ConfigError, match="after step 3 the loss is no number") as caught:
        fit(make_model(), make_bad_batch, LoopConfig(NUM_STEPS, tmp_path, save_every_s=0))
    assert "\n" not in str(caught.value)
    model = make_model()
    model.optimizer.build(model.trainable_variables)
    assert StateFile(tmp_path / "state.npz", model).load().step == 3
    assert all(np.isfinite(values).all() for values in weights(model))
