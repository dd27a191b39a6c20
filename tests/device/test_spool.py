"""Pictures on disk until the link has time for them."""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.spool import KeptPicture, Spool
from pnc.errors import ConfigError

PICTURE = KeptPicture("belt:0:1", "gear", 1e9, 4.5, (b"first" * 20, b"second" * 20))


def spool_of(folder: Path, *, max_bytes: int = 10_000, troubles: list[str] | None = None) -> Spool:
    told = [] if troubles is None else troubles
    return Spool(folder, max_bytes, checkpoint_id="0badcafe", mtu_bytes=244, on_trouble=told.append)


def at(second: int) -> KeptPicture:
    return replace(PICTURE, name=f"picture {second}", captured_at=1e9 + second)


def names(spool: Spool) -> list[str]:
    """Send everything, and return what it was."""
    found = []
    while (one := spool.oldest()) is not None:
        found.append(one[1].name)
        spool.remove(one[0])
    return found


def test_what_is_kept_comes_back_oldest_first_also_after_a_restart(tmp_path: Path) -> None:
    spool = spool_of(tmp_path / "new" / "spool")
    assert spool.oldest() is None
    for second in (2, 3, 5):
        assert spool.add(at(second))
    assert len(spool) == 3
    again = spool_of(tmp_path / "new" / "spool")
    found = again.oldest()
    assert found is not None
    assert found[1] == at(2)
    assert again.oldest() == found
    assert names(again) == ["picture 2", "picture 3", "picture 5"]
    assert list((tmp_path / "new" / "spool").iterdir()) == []


@given(
    st.text(max_size=20),
    st.none() | st.text(max_size=9),
    st.lists(st.binary(min_size=1, max_size=300), max_size=5),
)
def test_a_kept_picture_is_undone(name: str, label: str | None, packets: list[bytes]) -> None:
    import tempfile

    picture = KeptPicture(name, label, 1.5e9, 3.25, tuple(packets))
    with tempfile.TemporaryDirectory() as folder:
        assert spool_of(Path(folder)).add(picture)
        found = spool_of(Path(folder)).oldest()
    assert found is not None
    assert found[1] == picture


def test_two_pictures_of_one_instant_are_both_kept(tmp_path: Path) -> None:
    spool = spool_of(tmp_path)
    assert spool.add(at(1))
    assert spool.add(at(1))
    assert names(spool) == ["picture 1"] * 2


def test_the_oldest_go_when_the_spool_is_full(tmp_path: Path) -> None:
    spool = spool_of(tmp_path, max_bytes=1000)
    for second in range(10):
        assert spool.add(at(second))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 1000
    left = names(spool)
    assert left == [f"picture {second}" for second in range(10)][-len(left) :]
    assert len(left) >= 2


def test_a_picture_larger_than_the_spool_is_told_of(tmp_path: Path) -> None:
    troubles: list[str] = []
    spool = spool_of(tmp_path, max_bytes=100, troubles=troubles)
    assert not spool.add(PICTURE)
    assert "larger than --spool-mb" in troubles[0]


def test_a_full_disk_is_one_line_until_there_is_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    troubles: list[str] = []
    spool = spool_of(tmp_path, troubles=troubles)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        assert [spool.add(at(second)) for second in range(3)] == [False] * 3
    assert len(troubles) == 1
    assert troubles[0].startswith(f"{tmp_path}: pictures are not kept now (no space left")
    assert spool.add(at(4))
    assert names(spool) == ["picture 4"]
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        assert not spool.add(at(5))
    assert len(troubles) == 2


def test_a_folder_that_is_gone_or_read_only_is_one_line(tmp_path: Path) -> None:
    troubles: list[str] = []
    folder = tmp_path / "spool"
    spool = spool_of(folder, max_bytes=400, troubles=troubles)
    assert spool.add(at(1))
    shutil.rmtree(folder)
    folder.write_text("now neither a write nor its undoing finds a folder")
    assert [spool.add(at(second)) for second in (2, 3)] == [False] * 2
    assert [line.partition(": ")[2] for line in troubles] == [
        "pictures are not kept now (not a directory); make room there"
    ]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data[:50] + b"?" + data[51:],
        lambda data: b"\0" * len(data),
    ],
)
def test_a_damaged_file_is_passed_over(tmp_path: Path, damage: object) -> None:
    spool = spool_of(tmp_path)
    spool.add(at(1))
    spool.add(at(2))
    first = min(tmp_path.iterdir())
    first.write_bytes(damage(first.read_bytes()))  # type: ignore[operator]
    assert names(spool_of(tmp_path)) == ["picture 2"]


def test_pictures_of_another_checkpoint_stay_until_room_is_needed(tmp_path: Path) -> None:
    old = Spool(tmp_path, 10_000, checkpoint_id="deadbeef", mtu_bytes=244)
    old.add(at(1))
    spool = spool_of(tmp_path, max_bytes=700)
    assert len(spool) == 0
    for second in range(2, 5):
        spool.add(at(second))
    assert not [path for path in tmp_path.iterdir() if "deadbeef" in path.name]


def test_what_a_cut_left_half_written_is_removed(tmp_path: Path) -> None:
    (tmp_path / "00001000000000000-0badcafe-244.kept.partial").write_bytes(b"half")
    assert len(spool_of(tmp_path)) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_was_sent_waits_for_its_result_only(tmp_path: Path) -> None:
    spool = spool_of(tmp_path)
    spool.add(at(1))
    found = spool.oldest()
    assert found is not None
    spool.sent(found[0])
    assert len(spool) == 0
    assert len(list(tmp_path.iterdir())) == 1
    spool.put_back(found[0])
    assert len(spool) == 1
    spool.remove(found[0])
    spool.put_back(found[0])
    assert len(spool) == 0


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"no spool can be made there .*choose another --spool"):
        spool_of(tmp_path / "file" / "spool")
