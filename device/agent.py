"""The device's loop: take, encode, send, at the pace of the deadline.

Two threads, so that the next picture is encoded while the current one is sent::

    Camera (thread)    source -> encode, in packets -> one picture on the shelf
    the caller's       pump: PacedSender (shelf -> Sender) <-> Link

A picture is submitted at the deadline of the one before it, or a little sooner if all of that has
arrived, and is taken as late before as its first packet allows, so that what is sent is new. The
other packets are coded while the first one is on its way.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from device.pacing import PacedSender
from device.pictures import Finished, PictureReport, Reporter, Unanswered
from pnc.errors import LinkError, LinkLostError
from pnc.transport.events import Connected, Event

if TYPE_CHECKING:
    from pnc.transport.links.base import Link

__all__ = ["run_agent"]

MIN_BACKOFF_S, MAX_BACKOFF_S = 0.25, 5.0
"""First and longest pause between two tries to open a lost source, seconds."""

MAX_LINK_BACKOFF_S = 1.0
"""The same of a link: a radio that is plugged in again is noticed within this."""


def run_agent(
    paced: PacedSender,
    open_link: Callable[[], Link],
    pump: Callable[[PacedSender, Link, Callable[[Event], None]], None],
    reporter: Reporter,
    stop: threading.Event,
    *,
    patient: bool = False,
    on_begin: Callable[[], None] = lambda: None,
) -> None:
    """Send until the source ends, the count is reached, or ``stop`` is set.

    A link that goes away is opened again, with pauses that double; pictures whose time passes
    meanwhile are not taken.

    Args:
        paced: What to send.
        open_link: Opens the link.
        pump: Carries bytes between the two and hands on the events until ``stop`` is set; raises
            LinkLostError.
        reporter: Told what happens.
        stop: Ends the loop; set by this function when everything is done.
        patient: Wait for a link that is not there at the start, too.
        on_begin: Called once, when the link is there or is waited for: its address is right.

    Raises:
        LinkError: The link cannot be opened the first time, and ``patient`` is false.
        PncError: The source, the manifest or the edge server is of no use.
    """

    def tell(event: Event) -> None:
        match event:
            case Connected():
                reporter.connected()
            case Unanswered():
                reporter.unanswered(event)
            case PictureReport():
                reporter.picture(event)
            case Finished():
                stop.set()
            case _:
                pass

    backoff_s = MIN_BACKOFF_S

    def begin() -> Link | None:
        """Open the link, or wait for it."""
        try:
            link = open_link()
        except LinkError as error:
            if not patient:
                raise
            on_begin()
            return find(error)
        on_begin()
        return link

    def find(lost: LinkError) -> Link | None:
        """Open the link again, after pauses, until it is there or all is over."""
        nonlocal backoff_s
        while not stop.is_set():
            reporter.lost(lost, backoff_s)
            paced.tick()
            stop.wait(backoff_s)
            backoff_s = min(2 * backoff_s, MAX_LINK_BACKOFF_S)
            try:
                return open_link()
            except LinkError as error:
                lost = error
        return None

    link = begin()
    while link is not None:
        try:
            pump(paced, link, tell)
            break
        except LinkLostError as error:
            lost = error
            if paced.sender.connected:
                backoff_s = MIN_BACKOFF_S
        finally:
            paced.link_closed()
            link.close()
        link = find(lost)
    for report in paced.abandon():
        reporter.picture(report)
