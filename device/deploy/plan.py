"""What a release is made of, and its identity: the same plan is never installed twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from device.sources.video import VIDEO_SUFFIXES
from pnc.codec.checkpoint import MANIFEST, PLAN, Checkpoint

__all__ = ["Plan", "Settings", "hash_file", "make_plan"]

CHECKPOINT_FILES = ("encoder.tflite", PLAN)
"""What a device needs of a checkpoint, besides its manifest."""

OPTIONAL_FILES = ("card.json",)
"""What `pnc device probe` reads where it is there."""

LINK_EXTRAS = {"ble": "ble", "ws": "websocket", "wss": "websocket"}
"""Extras of pnc that a device needs for its link, by the link's scheme."""


@dataclass(frozen=True)
class Settings:
    """What the user chose; kept on the device for ``upgrade``."""

    checkpoint: str
    link: str
    source: str
    deadline_s: float
    name: str | None = None
    options: tuple[str, ...] = ()
    """Further words for ``pnc device run``."""

    @property
    def pi_camera(self) -> bool:
        """Whether the source is the camera of a Raspberry Pi."""
        return self.source.startswith("picamera2:")

    @property
    def extras(self) -> list[str]:
        """Extras of pnc that the device needs."""
        camera = ["camera"] if self.source.startswith(("/dev/", "v4l2:")) else []
        video = ["video"] if Path(self.source).suffix.lower() in VIDEO_SUFFIXES else []
        link = LINK_EXTRAS.get(self.link.partition(":")[0])
        return ["device", *camera, *video, *([link] if link else [])]

    @property
    def arguments(self) -> list[str]:
        """Words for ``pnc device run``, besides checkpoint and health."""
        return [
            *("--source", self.source, "--link", self.link, "--deadline", f"{self.deadline_s:g}"),
            *(("--name", self.name) if self.name is not None else ()),
            *("--wait-for-link", "--log-json"),
            *self.options,
        ]


@dataclass(frozen=True)
class Plan:
    """A release, ready to be sent."""

    record: Mapping[str, Any]
    """What the device is told, with its own digest."""
    sources: Mapping[str, Path] = field(repr=False)
    """Where each file lies here, by its hash."""


def make_plan(
    settings: Settings,
    checkpoint: Checkpoint,
    wheel: Path,
    *,
    version: str,
    bundle: Sequence[Path] = (),
) -> Plan:
    """Gather the files of a release.

    Args:
        settings: What the user chose.
        checkpoint: Checked against its manifest on the way.
        wheel: Ours.
        version: Of pnc.
        bundle: Wheels of everything else; nothing is then downloaded by the device.

    Raises:
        CheckpointError: A file of the checkpoint is missing or altered.
    """
    names = [*CHECKPOINT_FILES, *(name for name in OPTIONAL_FILES if name in checkpoint.files)]
    for name in names:
        checkpoint.read(name)
    places = {f"checkpoint/{name}": checkpoint.folder / name for name in (MANIFEST, *names)}
    places |= {f"wheels/{path.name}": path for path in [*bundle, wheel]}
    hashes = {name: hash_file(path) for name, path in places.items()}
    record: dict[str, Any] = {
        "version": version,
        "wheel": f"wheels/{wheel.name}",
        "extras": settings.extras,
        "files": hashes,
        "offline": bool(bundle),
        "system_site_packages": settings.pi_camera,
        "arguments": settings.arguments,
        "settings": {
            "checkpoint": checkpoint.name,
            "checkpoint_id": checkpoint.id,
            "link": settings.link,
            "source": settings.source,
            "deadline_s": settings.deadline_s,
            "name": settings.name,
            "options": list(settings.options),
        },
    }
    record["digest"] = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
    return Plan(record, {hashes[name]: path for name, path in places.items()})


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
