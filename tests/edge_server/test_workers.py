from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_server.store import Guess, Result
from edge_server.workers import (
    MAX_PAYLOAD_BYTES,
    Catalogue,
    PictureCache,
    Previewer,
    Snapshot,
    Viewer,
    WorkerPool,
    cut_packets,
    encode_payload,
)
from pnc.errors import BitstreamError, CheckpointError, ConfigError, CorruptBitstreamError
from tests.edge_server.conftest import (
    CHECKPOINT_ID,
    CLASSES,
    FakeCodec,
    make_ended,
    make_key,
    make_packets,
)

if TYPE_CHECKING:
    from pnc.codec.codec import Codec

WAIT_S = 20.0


class Bench:
    """A pool whose results come out of a queue."""

    def __init__(self, catalogue: Catalogue, **options: Any) -> None:
        self.results: queue.Queue[Result] = queue.Queue()
        self.cache = PictureCache()
        self.pool = WorkerPool(catalogue, self.results.put, self.cache, **options)

    def take(self) -> Result:
        return self.results.get(timeout=WAIT_S)


@pytest.fixture
def bench(catalogue: Catalogue) -> Bench:
    return Bench(catalogue, clock=lambda: 1234.5)


def test_a_picture_becomes_a_result(bench: Bench) -> None:
    picture = make_ended(1, late_bytes=5)
    bench.pool.start()
    assert bench.pool.submit(picture)
    result = bench.take()
    bench.pool.close()
    assert result.key == picture.key
    assert result.top[0] == Guess("bright", 2, 0.8)
    assert result.error is None
    assert result.stored_at == 1234.5
    assert (result.packets, result.late_bytes) == (picture.packets, 5)
    assert json.loads(result.payload)["top"][0] == ["bright", 0.8]
    pixels = bench.cache.get(picture.key)
    assert pixels is not None
    assert pixels[0, 0, 0] == 200


def test_the_earliest_deadline_goes_first(bench: Bench) -> None:
    deadlines = {1: 9.0, 2: 0.5, 3: 4.0, 4: 2.0}
    for number, deadline_s in deadlines.items():
        bench.pool.submit(make_ended(number, started_at=0.0, deadline_s=deadline_s))
    bench.pool.start()
    assert [bench.take().key.picture_id for _ in deadlines] == [2, 4, 3, 1]
    bench.pool.close()


def test_a_picture_of_which_nothing_arrived_has_a_result_without_guesses(bench: Bench) -> None:
    bench.pool.start()
    bench.pool.submit(make_ended(packets={}))
    result = bench.take()
    bench.pool.close()
    assert (result.top, result.error, result.received_bytes) == ((), None, 0)
    assert json.loads(result.payload)["top"] == []


def test_another_checkpoint_is_an_error_and_no_decode(bench: Bench) -> None:
    bench.pool.start()
    bench.pool.submit(make_ended(checkpoint_id="deadbeef"))
    result = bench.take()
    bench.pool.close()
    assert result.top == ()
    assert result.error is not None
    assert "deadbeef" in result.error
    assert f"fake ({CHECKPOINT_ID})" in result.error
    assert json.loads(result.payload)["error"] is True
    assert bench.cache.get(result.key) is None


def test_corrupt_packets_are_an_error_of_that_picture_only(bench: Bench) -> None:
    bench.pool.start()
    bench.pool.submit(make_ended(1, packets={0: b"garbage!"}))
    bench.pool.submit(make_ended(2))
    first, second = bench.take(), bench.take()
    bench.pool.close()
    assert first.error == "corrupt packet"
    assert second.error is None


def test_a_defect_in_the_decoder_does_not_end_the_worker(bench: Bench) -> None:
    bench.pool.start()
    bench.pool.submit(make_ended(1, packets={0: None}, num_packets=1))
    bench.pool.submit(make_ended(2))
    assert bench.take().key.picture_id == 2
    bench.pool.close()


def test_closing_finishes_what_is_queued_and_takes_nothing_more(bench: Bench) -> None:
    for number in range(5):
        bench.pool.submit(make_ended(number))
    bench.pool.start()
    bench.pool.close()
    assert bench.results.qsize() == 5
    assert not bench.pool.submit(make_ended(9))
    assert bench.pool.is_idle


def test_a_full_queue_refuses(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_server.workers.MAX_QUEUED_PICTURES", 2)
    assert [bench.pool.submit(make_ended(number)) for number in range(3)] == [True, True, False]
    assert bench.pool.num_waiting == 2


def test_every_worker_has_its_own_codec(catalogue: Catalogue) -> None:
    bench = Bench(catalogue, num_workers=4)
    bench.pool.start()
    for number in range(60):
        bench.pool.submit(make_ended(number))
    assert all(bench.take().error is None for _ in range(60))
    bench.pool.close()


def test_a_missing_checkpoint_is_named_at_the_start(load: Callable[[str], Codec]) -> None:
    with pytest.raises(CheckpointError, match="nothing"):
        Catalogue(["nothing"], load=load)
    with pytest.raises(ConfigError, match="--checkpoint"):
        Catalogue([], load=load)


def test_the_catalogue_knows_classes_and_refuses_strangers(catalogue: Catalogue) -> None:
    assert catalogue.classes == {CHECKPOINT_ID: CLASSES}
    with pytest.raises(BitstreamError, match="00000000"):
        catalogue.load("00000000")


def test_two_names_of_one_checkpoint_are_refused() -> None:
    def load(name: str) -> Any:
        return FakeCodec(name)

    with pytest.raises(ConfigError, match="same"):
        Catalogue(["one", "two"], load=load)


def make_snapshot(picture_id: int = 1, count: int = 1, device: str = "cam") -> Snapshot:
    return Snapshot(
        key=make_key(picture_id, device=device),
        link_url="emu://test",
        checkpoint_id=CHECKPOINT_ID,
        packets=dict(enumerate(make_packets(count))),
    )


def test_the_newest_snapshot_of_each_device_is_shown(bench: Bench, catalogue: Catalogue) -> None:
    shown: queue.Queue[Snapshot] = queue.Queue()
    previewer = Previewer(catalogue, bench.pool, lambda snapshot, _: shown.put(snapshot))
    for count in (1, 2, 3):
        previewer.offer(make_snapshot(count=count))
    previewer.offer(make_snapshot(count=2, device="other"))
    previewer.start()
    snapshots = [shown.get(timeout=WAIT_S) for _ in range(2)]
    previewer.close()
    seen = {snapshot.key.device_name: len(snapshot.packets) for snapshot in snapshots}
    assert seen == {"cam": 3, "other": 2}
    pixels = previewer.picture("cam")
    assert pixels is not None
    assert pixels.shape == (224, 224, 3)
    assert previewer.picture("nobody") is None


def test_previews_of_ever_other_devices_fill_no_memory(
    bench: Bench, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_server.workers.NUM_CACHED_PICTURES", 2)
    shown: queue.Queue[Snapshot] = queue.Queue()
    previewer = Previewer(catalogue, bench.pool, lambda snapshot, _: shown.put(snapshot))
    previewer.start()
    for number in range(3):
        previewer.offer(make_snapshot(device=f"cam {number}"))
        assert shown.get(timeout=WAIT_S).key.device_name == f"cam {number}"
    previewer.close()
    kept = [previewer.picture(f"cam {number}") is not None for number in range(3)]
    assert kept == [False, True, True]


def test_no_preview_while_a_picture_waits_for_its_result(
    bench: Bench, catalogue: Catalogue
) -> None:
    shown: queue.Queue[Snapshot] = queue.Queue()
    previewer = Previewer(catalogue, bench.pool, lambda snapshot, _: shown.put(snapshot))
    bench.pool.submit(make_ended(1))
    previewer.start()
    previewer.offer(make_snapshot())
    assert shown.empty()
    bench.pool.start()
    bench.take()
    assert shown.get(timeout=WAIT_S).key == make_key(1)
    previewer.close()
    bench.pool.close()


def test_an_ended_picture_is_not_previewed(bench: Bench, catalogue: Catalogue) -> None:
    shown: list[Snapshot] = []
    previewer = Previewer(catalogue, bench.pool, lambda snapshot, _: shown.append(snapshot))
    previewer.offer(make_snapshot(1))
    previewer.withdraw(make_key(2))
    previewer.withdraw(make_key(1))
    previewer.start()
    previewer.close()
    assert shown == []


def test_nothing_is_previewed_for_nobody(bench: Bench, catalogue: Catalogue) -> None:
    shown: list[Snapshot] = []
    previewer = Previewer(
        catalogue, bench.pool, lambda one, _: shown.append(one), is_watched=lambda: False
    )
    previewer.offer(make_snapshot())
    previewer.start()
    previewer.close()
    assert shown == []


def test_a_preview_that_fails_is_left_out(bench: Bench, catalogue: Catalogue) -> None:
    shown: queue.Queue[Snapshot] = queue.Queue()
    previewer = Previewer(
        catalogue, bench.pool, lambda snapshot, _: shown.put(snapshot), max_per_second=1000
    )
    previewer.start()
    broken = replace(make_snapshot(1), packets={0: b"garbage!"})
    previewer.offer(broken)
    previewer.offer(make_snapshot(2, device="other"))
    assert shown.get(timeout=WAIT_S).key.device_name == "other"
    previewer.close()


def test_the_viewer_decodes_at_every_byte(catalogue: Catalogue) -> None:
    viewer = Viewer(catalogue, PictureCache())
    packets = make_packets(3, size=12)
    for num_bytes in range(40):
        pixels, used = viewer.decode(packets, CHECKPOINT_ID, num_bytes)
        assert used == min(num_bytes, 36)
        assert pixels[0, 0, 0] == (128 if num_bytes <= 4 else 200)


def test_the_viewer_does_not_hide_corruption(catalogue: Catalogue) -> None:
    viewer = Viewer(catalogue, PictureCache())
    with pytest.raises(CorruptBitstreamError):
        viewer.decode([b"garbage!"], CHECKPOINT_ID)
    with pytest.raises(BitstreamError):
        viewer.decode([], "00000000")


def test_one_viewer_serves_many_threads(catalogue: Catalogue) -> None:
    viewer = Viewer(catalogue, PictureCache())
    seen: list[NDArray[np.uint8]] = []

    def look() -> None:
        seen.extend(viewer.decode(make_packets(), CHECKPOINT_ID)[0] for _ in range(20))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 80


def test_the_cache_forgets_the_oldest() -> None:
    cache = PictureCache(size=2)
    pixels = np.zeros((224, 224, 3), np.uint8)
    for number in (1, 2, 3):
        cache.put(make_key(number), pixels)
    assert cache.get(make_key(1)) is None
    assert cache.get(make_key(3)) is pixels


@pytest.mark.parametrize("num_bytes", range(-1, 14))
def test_cut_packets_takes_exactly_the_first_bytes(num_bytes: int) -> None:
    packets = [b"abcd", b"efg", b"hijk"]
    joined = b"".join(cut_packets(packets, num_bytes))
    assert joined == b"abcdefghijk"[: max(0, num_bytes)]


def test_a_payload_keeps_as_many_guesses_as_fit() -> None:
    guesses = [Guess("ü" * 45, 0, 0.5), Guess("b" * 30, 1, 0.25), Guess("c" * 30, 2, 0.1234)]
    text = encode_payload(guesses, 1234, 0.0123)
    assert len(text) <= MAX_PAYLOAD_BYTES
    message = json.loads(text)
    assert message == {"top": [["ü" * 45, 0.5], ["b" * 30, 0.25]], "bytes": 1234, "ms": 12}
    assert json.loads(encode_payload(guesses[1:], 1, 0))["top"][1] == ["c" * 30, 0.123]
    assert json.loads(encode_payload([Guess("x" * 300, 0, 1.0)], 0, 0))["top"] == []
