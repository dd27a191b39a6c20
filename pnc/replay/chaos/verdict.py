"""What is lost and what is doubled, from what the server stored and what the device heard."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pnc.replay.chaos.ledger import Key

__all__ = ["Verdict", "judge"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Pictures, by what became of them."""

    stored: int
    """With one result in the store."""
    lost: int
    """Without one, although the device lived on or a later one of its session is stored."""
    unheard: int
    """The last of a session whose device was killed before it could tell the server of them, or
    together with a server that had not stored them."""
    contradicted: int
    """The device was told something else than what is stored, or a result that is not stored."""
    stored_again: int
    """More than one result."""


def judge(
    submitted: Mapping[int, int],
    stored: Iterable[tuple[Key, bytes]],
    heard: Iterable[tuple[Key, bytes]],
) -> Verdict:
    """Compare.

    Args:
        submitted: Number of pictures of each session, in the order of the sessions: the device of
            all but the last was killed.
        stored: Rows of the server, by key.
        heard: What the device was told, by key.
    """
    counts: dict[int, int] = dict.fromkeys(submitted, 0)
    newest: dict[int, int] = dict.fromkeys(submitted, 0)
    told = iter(heard)
    waiting = next(told, None)
    num_contradicted = num_again = 0
    last: Key | None = None
    for key, payload in stored:
        num_again += key == last
        counts[key.session_id] += key != last
        newest[key.session_id] = key.picture_id
        last = key
        while waiting is not None and waiting[0] <= key:
            num_contradicted += waiting != (key, payload)
            waiting = next(told, None)
    num_contradicted += (waiting is not None) + sum(1 for _ in told)
    killed = list(submitted)[:-1]
    num_unheard = sum(submitted[session] - newest[session] for session in killed)
    return Verdict(
        stored=sum(counts.values()),
        lost=sum(submitted.values()) - sum(counts.values()) - num_unheard,
        unheard=num_unheard,
        contradicted=num_contradicted,
        stored_again=num_again,
    )
