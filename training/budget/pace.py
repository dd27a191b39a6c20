"""Keeps a run within its plan, whatever this machine and other work on it do."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from training.budget.clock import Clock
from training.budget.plan import MARGIN, MAX_REPORT_S, MIN_SCALE, TIMED, Plan, StageTime
from training.files import read_json, write_json


class Budget:
    """Keeps a run within its plan: see :class:`training.run.Pace`.

    Args:
        plan: what was planned.
        folder: of the run; gets ``pace.json``.
        clock: seconds used.
    """

    def __init__(self, plan: Plan, folder: Path, clock: Clock) -> None:
        self._plan = plan
        self._folder = folder
        self._path = folder / "pace.json"
        self._clock = clock
        self._record: dict[str, dict[str, float]] = {"scales": {}, "began_s": {}, "took_s": {}}
        if self._path.exists():
            self._record |= read_json(self._path, "delete it to pace the rest of the run anew")

    @property
    def _limit_s(self) -> float:
        return (self._plan.hours or float("inf")) * 3600

    def _pace(self) -> float:
        """Seconds that finished stages took over those that were planned for them."""
        took = sum(self._record["took_s"].values())
        planned = sum(
            self._plan.stages[name].fixed_s
            + self._plan.stages[name].steps_s * self._record["scales"].get(name, 1.0)
            for name in self._record["took_s"]
        )
        return float(np.clip(took / planned, 0.6, 2.5)) if planned > 0 else 1.0

    def _later(self, stage: str) -> list[StageTime]:
        return [self._plan.stages[name] for name in TIMED[TIMED.index(stage) + 1 :]]

    def scale(self, stage: str) -> float:
        """Share of its planned steps that a stage makes; decided once, when it begins."""
        if self._plan.hours is None:
            return 1.0
        if stage not in self._record["scales"]:
            pace = self._pace()
            mine = [self._plan.stages[stage], *self._later(stage)]
            free = self._limit_s * (1 - MARGIN / 2) - self._clock.used() - self._ending_s(pace)
            fixed = sum(part.fixed_s for part in mine) * pace
            steps = sum(part.steps_s for part in mine) * pace
            share = (free - fixed) / steps if steps > 0 else 1.0
            self._record["scales"][stage] = float(np.clip(share, MIN_SCALE, 1.25))
            self._record["began_s"][stage] = self._clock.used()
            write_json(self._path, self._record)
        return self._record["scales"][stage]

    def max_seconds(self, stage: str) -> float:
        """Seconds, over all its processes, after which a stage's loop has to stop."""
        if self._plan.hours is None:
            return float("inf")
        pace = self._pace()
        kept = sum(part.fixed_s + 0.5 * part.steps_s for part in self._later(stage)) * pace
        left = self._limit_s * (1 - MARGIN / 4) - self._clock.used() - self._ending_s(pace) - kept
        return _seconds_on_disk(self._folder / stage) + max(0.0, left)

    def ended(self, stage: str) -> None:
        """Note what a stage took."""
        began = self._record["began_s"].get(stage)
        if began is not None and stage not in self._record["took_s"]:
            self._record["took_s"][stage] = self._clock.used() - began
            write_json(self._path, self._record)

    def _ending_s(self, pace: float) -> float:
        return self._plan.export_s * pace + self._plan.report_s

    def report_seconds(self) -> float:
        """Seconds that the report's pictures may take."""
        if self._plan.hours is None:
            return self._plan.report_s
        left = self._limit_s * 0.985 - self._clock.used() - 5.0
        return float(np.clip(left, 5.0, MAX_REPORT_S))


def _seconds_on_disk(folder: Path) -> float:
    """Seconds of training that a stage's state knows of; 0 where there is none."""
    path = folder / "state.npz"
    if not path.exists():
        return 0.0
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return float(json.loads(arrays["state"].tobytes())["seconds"])
    except (OSError, ValueError, KeyError, EOFError):
        return 0.0
