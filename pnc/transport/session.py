"""The two ends of the protocol: ``Sender`` on the device, ``Receiver`` on the edge server.

Both are pure state machines: bytes and ``now`` in, bytes and events out. ``docs/wire.md`` says what
they do. Neither reads a clock, opens a port or starts a thread; :mod:`pnc.transport.driver` does
that for them, and :mod:`pnc.testing` does it on a virtual clock. Each is for one thread at a time.
"""

from pnc.transport.receiver import Receiver, ReceiverStatistics
from pnc.transport.sender import Sender, SenderStatistics

__all__ = ["Receiver", "ReceiverStatistics", "Sender", "SenderStatistics"]
