"""Deploying, step by step; every step may be cut off and be done again."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pnc
from device.deploy.plan import Plan, Settings, make_plan
from device.deploy.service import service_unit, udev_rule
from device.deploy.ssh import DeployError, Shell
from device.deploy.wheels import build_wheel, check_target, fill_bundle
from pnc.codec.checkpoint import Checkpoint

__all__ = ["FOLDER", "Deployment"]

FOLDER = "~/pnc-device"

START_S = 45.0
"""How long a release may take until it runs, seconds: a Pi Zero 2 imports NumPy in ten."""

STEADY_S = 3.0
"""How long it has to run without a restart, seconds: longer than from one restart to the next."""

PICTURES_S = 20.0
"""How long the first pictures are waited for, seconds."""

NUM_PICTURES = 3

PIECE_BYTES = 1 << 20


class Deployment:
    """One device, over an open connection.

    Args:
        shell: The connection.
        say: Told what happens, one line each.
        folder: Where everything lies on the device.
    """

    def __init__(
        self,
        shell: Shell,
        say: Callable[[str], None],
        *,
        folder: str = FOLDER,
    ) -> None:
        self._shell = shell
        self._say = say
        self._folder = folder
        self._waits = {"wait_s": START_S, "steady_s": STEADY_S}

    def settings(self) -> Settings:
        """Return what the device runs with.

        Raises:
            DeployError: Nothing is deployed there.
        """
        release = self._call("check")["release"]
        if release is None:
            raise DeployError(f"{self._shell.host}: nothing is deployed; use `pnc device deploy`")
        kept = dict(release["settings"])
        kept.pop("checkpoint_id")
        return Settings(**{**kept, "options": tuple(kept["options"])})

    def deploy(
        self,
        settings: Settings,
        *,
        wheel: Path | None = None,
        bundle: Path | None = None,
    ) -> None:
        """Bring the device to these settings and this release of PNC.

        Args:
            settings: What to run there.
            wheel: Ours; None: built from the source that this program runs from.
            bundle: A wheelhouse; where it lacks our dependencies they are downloaded into it.

        Raises:
            DeployError: It did not work; the device runs what it ran before.
            ConfigError: The wheel or the bundle is of no use.
            CheckpointError: The checkpoint is not found, or damaged.
        """
        checkpoint = Checkpoint.load(settings.checkpoint)
        facts = self._call("check")
        target = check_target(self._shell.host, facts, needs_camera=settings.pi_camera)
        version = ".".join(map(str, facts["python"]))
        self._say(f"{facts['model']}: {facts['machine']}, Python {version}")
        with tempfile.TemporaryDirectory(prefix="pnc-") as folder:
            if wheel is None:
                self._say(f"building pnc {pnc.__version__}")
                wheel = build_wheel(Path(folder))
            bundled: list[Path] = []
            if bundle is not None:
                if not any(bundle.glob("*.whl")):
                    self._say(f"downloading wheels for {target.machine} into {bundle}")
                    fill_bundle(bundle, wheel, settings.extras, target)
                bundled = [path for path in sorted(bundle.glob("*.whl")) if path.name != wheel.name]
            plan = make_plan(
                replace(settings, checkpoint=str(checkpoint.folder)),
                checkpoint,
                wheel,
                version=wheel.name.split("-")[1],
                bundle=bundled,
            )
            self._deploy(plan, settings, facts)

    def rollback(self) -> None:
        """Go back to the release before the current one.

        Raises:
            DeployError: There is none, or it does not run.
        """
        done = self._call("rollback", **self._waits)
        if done.get("why") is not None:
            raise self._failed(done)
        self._say(f"release {done['running']} runs")

    def status(self) -> dict[str, Any]:
        """Return the releases, the service's state, and the device's health."""
        status: dict[str, Any] = self._call("status")
        return status

    def remove(self) -> None:
        """Take everything away again."""
        found = self._call("remove")["removed"]
        self._say("removed" if found else "nothing was deployed")

    def _deploy(self, plan: Plan, settings: Settings, facts: dict[str, Any]) -> None:
        record, now = plan.record, facts["release"]
        same = now is not None and now["confirmed"] and now["digest"] == record["digest"]
        if same and facts["active"]:
            self._say(f"release {now['number']} is the same and runs: nothing to do")
            return
        self._send(plan, facts)
        made = self._call("install", plan=record)
        number = made["number"]
        if made["new"]:
            encode = made["encode"]
            self._say(
                f"release {number} encodes in {encode['median_ms']:.0f} ms (p95 "
                f"{encode['p95_ms']:.0f} ms)"
            )
        unit = service_unit(
            facts["folder"], facts["user"], facts["groups"], pi_camera=settings.pi_camera
        )
        done = self._call("activate", number=number, unit=unit, rule=udev_rule(), **self._waits)
        if done.get("why") is not None:
            raise self._failed(done)
        self._say(f"release {number} runs")
        self._show_pictures()

    def _send(self, plan: Plan, facts: dict[str, Any]) -> None:
        stored = set(facts["stored"])
        missing = {sha: path for sha, path in plan.sources.items() if sha not in stored}
        if not missing:
            return
        files = [
            {"sha256": sha, "size": path.stat().st_size} for sha, path in sorted(missing.items())
        ]
        size = sum(int(str(file["size"])) for file in files)
        self._say(f"sending {len(files)} of {len(plan.sources)} files, {size / 1e6:.1f} MB")

        def pieces() -> Iterator[bytes]:
            for _, path in sorted(missing.items()):
                with path.open("rb") as file:
                    while piece := file.read(PIECE_BYTES):
                        yield piece

        self._call("receive", files=files, payload=pieces())

    def _show_pictures(self) -> None:
        health = self._call("watch", wait_s=PICTURES_S, num=NUM_PICTURES) or {}
        for line in health.get("last_pictures", ())[:NUM_PICTURES]:
            self._say(str(line))
        if health.get("source_error"):
            self._say(f"no pictures yet: {health['source_error']}")
        elif health.get("state") != "connected":
            reason = health.get("link_error") or "no answer; start `pnc serve` at the other end"
            self._say(f"not connected to the edge server yet: {reason}")

    def _failed(self, done: dict[str, Any]) -> DeployError:
        for line in done.get("log", ()):
            self._say(f"  {line}")
        running = done["running"]
        now = "nothing runs now" if running is None else f"release {running} runs again"
        return DeployError(f"{self._shell.host}: it does not run ({done['why']}); {now}")

    def _call(self, operation: str, **request: Any) -> Any:
        return self._shell.call(operation, folder=self._folder, say=self._say, **request)
