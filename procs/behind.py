"""How far persistence is behind, and why: money waits for the database, so a run that has to wait long is DEGRADED.

Invariant: the reason holds from half a ring on until it is less than a quarter, so that it does not flicker; once it is known
why storage refuses, the reason says so.
"""

from collections.abc import Mapping

import numpy as np

from procs.topology import RECORD_DTYPES
from ringsim import control as c
from ringsim.ring import RingSegment

_REFUSALS = {c.WAITS_FOR_LOCK: "another program has locked its database", c.WAITS_FOR_SPACE: "its disk is full"}
_FAR, _NEAR = 0.5, 0.25  # shares of a ring


def storage_refuses(words: np.ndarray) -> str:
    """What persistence waits for at its disk, in words; empty if for nothing. words: the control page."""
    return _REFUSALS.get(int(words[c.block(c.Stage.PERSISTENCE) + c.S_WAITS]), "")


class Behind:
    """max_lag: of each ring, the largest lag that was seen, and who gated it then."""

    def __init__(self) -> None:
        self.max_lag: dict[str, tuple[int, str | None]] = dict.fromkeys(RECORD_DTYPES, (0, None))

    def look(self, rings: Mapping[str, RingSegment], words: np.ndarray, said: str | None) -> str | None:
        """The reason not to be READY, None if there is none. said: the one that holds so far."""
        behind = 0.0
        for name, ring in rings.items():
            lags = ring.lag()
            lag = max(lags.values())
            if lag > self.max_lag[name][0]:
                self.max_lag[name] = (lag, ring.who_gates())
            behind = max(behind, lags.get("persistence", 0) / ring.capacity)
        if behind < _NEAR or (said is None and behind <= _FAR):
            return None
        why = storage_refuses(words)
        if said is not None and (not why or said.endswith(why)):
            return said
        return f"persistence is {behind:.0%} of a ring behind" + (f": {why}" if why else "")
