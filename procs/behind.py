"""How far persistence is behind, and why: money waits for the database, so a run that has to wait long is DEGRADED.

Invariant: the reason holds from half a ring on until it is less than a quarter, so that it does not flicker; once it is known
why storage refuses, the reason says so. Under the simulated clock a ring is full after milliseconds, and who waits for it loses
no time: there it is a reason only if persistence has had a while to catch up, or storage refuses.
"""

from collections.abc import Mapping

import numpy as np

from ringsim import control as c
from ringsim.ring import RingSegment

_REFUSALS = {c.WAITS_FOR_LOCK: "another program has locked its database", c.WAITS_FOR_SPACE: "its disk is full"}
_FAR, _NEAR = 0.5, 0.25  # shares of a ring
_CATCHES_UP_NS = 150_000_000  # simulated clock: longer than a batch takes, shorter than a slow disk


def storage_refuses(words: np.ndarray) -> str:
    """What persistence waits for at its disk, in words; empty if for nothing. words: the control page."""
    return _REFUSALS.get(int(words[c.block(c.Stage.PERSISTENCE) + c.S_WAITS]), "")


class Behind:
    """max_lag: of each ring, the largest lag that was seen, and who gated it then. simulated: the run's clock."""

    def __init__(self, *, simulated: bool = False) -> None:
        self._patience_ns = _CATCHES_UP_NS if simulated else 0
        self._near_ns = 0  # when it was last seen to be near
        self.max_lag: dict[str, tuple[int, str | None]] = {}

    def look(self, rings: Mapping[str, RingSegment], words: np.ndarray, said: str | None, now_ns: int) -> str | None:
        """The reason not to be READY, None if there is none. said: the one that holds so far. now_ns: CLOCK_MONOTONIC."""
        behind = 0.0
        for name, ring in rings.items():
            lags = ring.lag()
            lag = max(lags.values())
            if lag > self.max_lag.setdefault(name, (0, None))[0]:
                self.max_lag[name] = (lag, ring.who_gates())
            behind = max(behind, lags.get("persistence", 0) / ring.capacity)
        why = storage_refuses(words)
        if behind < _NEAR or (said is None and behind <= _FAR):
            self._near_ns = now_ns
            return None
        if said is None and not why and now_ns - self._near_ns < self._patience_ns:
            return None
        if said is not None and (not why or said.endswith(why)):
            return said
        return f"persistence is {behind:.0%} of a ring behind" + (f": {why}" if why else "")
