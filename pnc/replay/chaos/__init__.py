"""Everything that can go wrong on a link, drawn from a seed, in virtual time.

Users test their own servers with it, as :mod:`pnc.testing`::

    with TemporaryDirectory() as folder:
        world = ChaosWorld(seed=0, folder=Path(folder))
        world.run(600)
        verdict = judge(world.submitted, world.server.rows(), world.heard.rows())
        world.close()
    assert verdict.lost == verdict.stored_again == 0
"""

from pnc.replay.chaos.faults import Fault, Kind, draw_faults
from pnc.replay.chaos.ledger import Key, Ledger
from pnc.replay.chaos.servers import LedgerServer, Server, Surroundings, make_payload
from pnc.replay.chaos.verdict import Verdict, judge
from pnc.replay.chaos.world import ChaosWorld, Tally

__all__ = [
    "ChaosWorld",
    "Fault",
    "Key",
    "Kind",
    "Ledger",
    "LedgerServer",
    "Server",
    "Surroundings",
    "Tally",
    "Verdict",
    "draw_faults",
    "judge",
    "make_payload",
]
