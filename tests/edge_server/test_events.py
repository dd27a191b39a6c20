from __future__ import annotations

import asyncio
import json
import threading

import pytest

from edge_server.events import MAX_QUEUED_EVENTS, Broadcaster, encode_event

HELLO = ": hello\n\n"


def test_an_event_is_two_lines_and_an_empty_one() -> None:
    text = encode_event("result", {"label": "two\nlines"})
    assert text == 'event: result\ndata: {"label":"two\\nlines"}\n\n'


def test_events_from_a_thread_reach_every_subscriber() -> None:
    async def run() -> list[list[str]]:
        broadcaster = Broadcaster()

        async def collect() -> list[str]:
            return [text async for text in broadcaster.subscribe(lambda: HELLO)]

        tasks = [asyncio.create_task(collect()) for _ in range(2)]
        while broadcaster.num_subscribers < 2:
            await asyncio.sleep(0)

        def publish() -> None:
            for number in range(3):
                broadcaster.publish("n", {"number": number})

        thread = threading.Thread(target=publish)
        thread.start()
        await asyncio.to_thread(thread.join)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        broadcaster.close()
        seen = await asyncio.gather(*tasks)
        assert broadcaster.num_subscribers == 0
        return seen

    for seen in asyncio.run(run()):
        assert seen[0] == HELLO
        numbers = [json.loads(text.split("data: ")[1])["number"] for text in seen[1:]]
        assert numbers == [0, 1, 2]


def test_a_slow_page_loses_the_oldest_events_only() -> None:
    async def run() -> list[str]:
        broadcaster = Broadcaster()
        subscription = broadcaster.subscribe()
        await anext(subscription)
        for number in range(MAX_QUEUED_EVENTS + 10):
            broadcaster.publish("n", {"number": number})
        seen = [await anext(subscription) for _ in range(MAX_QUEUED_EVENTS)]
        broadcaster.close()
        return seen + [text async for text in subscription]

    seen = asyncio.run(run())
    assert len(seen) == MAX_QUEUED_EVENTS
    assert seen[0] == encode_event("n", {"number": 10})


def test_a_quiet_stream_says_that_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_server.events.HEARTBEAT_S", 0.001)

    async def run() -> str:
        broadcaster = Broadcaster()
        subscription = broadcaster.subscribe()
        await anext(subscription)
        text = await anext(subscription)
        broadcaster.close()
        assert [rest async for rest in subscription] == []
        return text

    assert asyncio.run(run()).startswith(":")


def test_publishing_to_nobody_does_nothing() -> None:
    broadcaster = Broadcaster()
    broadcaster.publish("n", {})
    broadcaster.close()
    assert broadcaster.num_subscribers == 0


def test_a_loop_that_is_gone_does_not_disturb_the_publisher() -> None:
    broadcaster = Broadcaster()
    loop = asyncio.new_event_loop()
    subscription = broadcaster.subscribe()
    loop.run_until_complete(subscription.__anext__())
    subscriber = next(iter(broadcaster._subscribers))
    loop.run_until_complete(subscription.aclose())
    broadcaster._subscribers.add(subscriber)
    loop.close()
    broadcaster.publish("n", {})
    assert not subscriber.queue
