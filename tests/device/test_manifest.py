"""What was sent is on disk before it is sent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from device.manifest import Manifest
from pnc.errors import StoreError
from tests.device.bench import Bench


def test_the_manifest_is_on_disk_before_the_first_byte(tmp_path: Path) -> None:
    path = tmp_path / "new" / "manifest.jsonl"
    manifest = Manifest(path)
    bench = Bench(count=3, manifest=manifest)
    seen: list[int] = []

    def look(now: float, data: bytes) -> None:
        lines = path.read_text().splitlines()
        seen.append(len(lines))
        assert len(lines) == bench.sender.statistics.pictures_submitted

    bench.pair.on_sent = look
    bench.pair.run_until(10)
    manifest.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert max(seen) == 3
    assert [line["picture_id"] for line in lines] == [1, 2, 3]
    assert lines[0] == {
        "session_id": 77,
        "picture_id": 1,
        "source": "picture 1",
        "label": "gear",
        "encoded_bytes": 800,
        "submitted_at": 1e9,
    }


def test_a_manifest_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="the manifest cannot be written"):
        Manifest(tmp_path / "file" / "manifest.jsonl")


def test_a_full_disk_ends_the_run_before_the_picture_is_submitted() -> None:
    manifest = Manifest(Path("/dev/full"))
    bench = Bench(count=3, manifest=manifest)
    with pytest.raises(StoreError, match="the manifest cannot be written"):
        bench.pair.run_until(10)
    manifest.close()
    assert bench.sender.statistics.pictures_submitted == 0
