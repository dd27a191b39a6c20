from __future__ import annotations

from edge_server.newest import Newest


def test_only_the_devices_heard_last_are_remembered() -> None:
    known: Newest[int] = Newest(3)
    for number in range(5):
        known[f"cam {number}"] = number
        known["regular"] = number
    assert known == {"cam 3": 3, "cam 4": 4, "regular": 4}
