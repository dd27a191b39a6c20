"""Runs inside the guest of ``replug.sh``: a device on a real ``/dev/ttyACM0`` that is unplugged.

The other end of the cable, ``/dev/ttyGS0``, is the board with the server behind it. Unbinding the
gadget takes both ports away, as pulling a board does that its own host feeds.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from pathlib import Path

from pnc.config import ReceiverConfig, SenderConfig
from pnc.transport.driver import Driver
from pnc.transport.events import Event, PictureEnded, ResultReceived
from pnc.transport.session import Receiver, Sender

PORT = Path("/dev/ttyACM0")
GADGET = Path("/sys/bus/gadget/drivers/g_serial")
MAX_AWAY_S = 3.0
PATIENCE_S = 60.0


class Site:
    def __init__(self) -> None:
        self.submitted: dict[int, float] = {}
        self.newest_answered = 0.0
        self._changed = threading.Condition()
        self.server = Driver(
            Receiver(ReceiverConfig()), "serial:///dev/ttyGS0", on_event=self._at_server
        )
        self.device = Driver(Sender(SenderConfig()), f"serial://{PORT}", on_event=self._at_device)

    def submit(self) -> None:
        def go(sender: Sender, now: float) -> None:
            picture_id = sender.submit([b"x" * 200] * 4, deadline=now + 0.5, now=now)
            self.submitted[picture_id] = time.monotonic()

        self.device.call(go)

    def wait_for_picture_after(self, begin: float) -> float:
        with self._changed:
            assert self._changed.wait_for(lambda: self.newest_answered > begin, PATIENCE_S)
        return time.monotonic() - begin

    def _at_server(self, event: Event) -> None:
        if isinstance(event, PictureEnded):
            picture_id = event.picture_id
            self.server.call(lambda one, now: one.send_result(picture_id, b"ok", now))

    def _at_device(self, event: Event) -> None:
        if isinstance(event, ResultReceived):
            with self._changed:
                at = self.submitted.pop(event.picture_id, 0.0)
                self.newest_answered = max(self.newest_answered, at)
                self._changed.notify_all()


def pace(site: Site, stop: threading.Event) -> None:
    while not stop.wait(0.5):
        site.submit()


def main(num_tries: int) -> None:
    site, stop, source = Site(), threading.Event(), random.Random(0)
    times = []
    with site.server, site.device:
        threading.Thread(target=pace, args=(site, stop), daemon=True).start()
        site.wait_for_picture_after(0.0)
        for _ in range(num_tries):
            (GADGET / "unbind").write_text("gadget.0", encoding="ascii")
            time.sleep(source.uniform(0.2, MAX_AWAY_S))
            (GADGET / "bind").write_text("gadget.0", encoding="ascii")
            end = time.monotonic() + PATIENCE_S
            while not PORT.exists() and time.monotonic() < end:
                time.sleep(0.01)
            times.append(round(site.wait_for_picture_after(time.monotonic()), 3))
            sys.stdout.write(f"try {len(times)}: {times[-1]} s\n")
            sys.stdout.flush()
        stop.set()
    times.sort()
    summary = {
        "n": len(times),
        "p50_s": times[len(times) // 2],
        "p95_s": times[max(0, -(-95 * len(times) // 100) - 1)],
        "max_s": times[-1],
    }
    sys.stdout.write("RESULT " + json.dumps(summary) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
