"""Stages that all wait for each other: a ring too small for what the clock's bounds need. Said, and not sat out.

Under the simulated clock a stage may have to see market events beyond a time before it can promise that nothing comes earlier.
If the market ring cannot hold the events up to that time, ingest waits for room, the others for more market, for good.
"""

from collections.abc import Mapping

import numpy as np

from ringsim import control as c
from ringsim.fold.intake import NO_ROOM
from ringsim.ring import RingSegment

_STAGES = (c.Stage.INGEST, c.Stage.STRATEGY, c.Stage.EXECUTION)
_FOR_NS = 1_000_000_000  # so long, with every stage awake, nothing has moved
_AWAKE_NS = 200_000_000


class Stalemate:
    """Call `look` in every turn of the parent's loop, simulated clock."""

    def __init__(self) -> None:
        self._counts: tuple[int, ...] = ()
        self._since_ns = 0

    def look(self, words: np.ndarray, rings: Mapping[str, RingSegment], now_ns: int) -> str | None:
        """Why nothing will ever move again; None as long as it may."""
        blocks = [c.block(stage) for stage in _STAGES]
        counts = (*(int(words[at + c.S_INPUTS]) for at in blocks), *(ring.published() for ring in rings.values()))
        awake = all(now_ns - int(words[at + c.S_HEARTBEAT_NS]) < _AWAKE_NS for at in blocks)
        full = int(words[blocks[0] + c.S_WAITS]) == NO_ROOM
        # A full disk holds up every stage too, and passes: the time counts from when persistence had stored all there is.
        stored = all(rings[name].lag()["persistence"] == 0 for name in ("orders", "reports"))
        if counts != self._counts or not (awake and full and stored and words[c.P_GO]):
            self._counts, self._since_ns = counts, now_ns
            return None
        if now_ns - self._since_ns < _FOR_NS:
            return None
        return (
            f"the stages wait for each other: the market ring holds {rings['market'].capacity} events, and less than the "
            "exchange's and the feed's latencies need; raise strategy.performance.market_channel_size or "
            "broker.response_latency_ns"
        )
