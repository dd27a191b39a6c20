"""When a picture is over: what ``pnc device run --policy`` understands.

deadline            at its deadline; the next picture cuts it off (the published way)
deadline+grace=S    as before, but one that is not complete by then may go on for S seconds
complete            when all of it has arrived, however long that takes
budget=BYTES        at its deadline, or when BYTES of packets were sent, repetitions included

While a picture goes on beyond its deadline, the next one is not yet taken: it is new when its turn
comes. To the edge server a grace is a later deadline; nothing else differs on the wire.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pnc.errors import ConfigError

__all__ = ["Policy", "parse_policy"]

COMPLETE_S = 86_400.0
"""The longest time the wire can say, a day: "however long that takes"."""

MAX_GRACE_S = 3600.0

HELP = "give deadline, deadline+grace=SECONDS, complete or budget=BYTES"


@dataclass(frozen=True)
class Policy:
    """When a picture is over, besides being complete."""

    grace_s: float = 0.0
    """How long a picture that is not complete at its deadline may go on, seconds."""
    max_bytes: int | None = None
    """Payload bytes sent of a picture at most, repetitions included; None: no limit."""

    @property
    def waits(self) -> bool:
        """Whether the next picture waits for the one before it."""
        return self.grace_s > 0


def parse_policy(text: str) -> Policy:
    """Read ``deadline``, ``deadline+grace=S``, ``complete`` or ``budget=BYTES``.

    Raises:
        ConfigError: It is none of them, or its number is out of range.
    """
    match = re.fullmatch(r"deadline|complete|deadline\+grace=([\d.]+)|budget=(\d+)", text)
    if match is None:
        raise ConfigError(f"--policy {text}: no such policy; {HELP}", policy=text)
    if text == "complete":
        return Policy(grace_s=COMPLETE_S)
    grace, budget = match.groups()
    try:
        policy = Policy(float(grace or 0), None if budget is None else int(budget))
    except ValueError:
        raise ConfigError(f"--policy {text}: {grace} is no number; {HELP}", policy=text) from None
    if grace is not None and not 0 < policy.grace_s <= MAX_GRACE_S:
        raise ConfigError(
            f"--policy {text}: a grace is more than 0 and at most {MAX_GRACE_S:g} s", policy=text
        )
    if policy.max_bytes == 0:
        raise ConfigError(f"--policy {text}: a budget is at least 1 byte", policy=text)
    return policy
