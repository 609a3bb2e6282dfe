"""Rings in shared memory between processes: one producer, up to eight readers, no locks.

     producer ──> [ slot | slot | slot | ... ]  capacity = a power of two, slot = seq & (capacity - 1)
                     ^               ^
                     gating reader   free reader
                     (lossless: the  (lossy: never waited for;
                      producer waits) told exactly what it lost)

    from ringsim.ring import RingSegment, try_claim, put, publish, available, release, poll

What happens on full: `try_claim` answers FULL. On empty: `available` answers 0, `poll` answers EMPTY. On a lap: `poll`
answers LAPPED and the count is exact. Nothing here waits; `ringsim.ring.wait` holds the ways to.
docs/rings.md is a complete example with two processes.
"""

from ringsim.ring.consumer import EMPTY, LAPPED, OK, available, lag, poll, release
from ringsim.ring.producer import FULL, batch_max, begin, commit, publish, put, room, try_claim
from ringsim.ring.ring import Consumer, Producer, Ring, RingSegment
from ringsim.ring.wait import idle, reset, waiter

__all__ = [
    "EMPTY",
    "FULL",
    "LAPPED",
    "OK",
    "Consumer",
    "Producer",
    "Ring",
    "RingSegment",
    "available",
    "batch_max",
    "begin",
    "commit",
    "idle",
    "lag",
    "poll",
    "publish",
    "put",
    "release",
    "reset",
    "room",
    "try_claim",
    "waiter",
]
