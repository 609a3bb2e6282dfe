"""How to wait when there is nothing to do: a thing apart from the work, chosen by the topology.

busy     spin: lowest latency, needs a core of its own
yield    let others of the same core run, every time: the choice where stages share a core, since whoever spins holds up
         just the one that it waits for
handover as yield, for a stage that looks first whether its neighbour has anything to do (ringsim.fold.neighbour)
backoff  spin a little, yield a little, then sleep, longer each time up to 1 ms: for stages whose latency nobody sees

A waiter is int64[2]: strategy, idle rounds so far. Kernels call `idle` when a round did nothing and `reset` after work.
"""

import numpy as np

from ringsim.atomics import pause, sleep_ns, yield_core
from ringsim.errors import BadInput
from ringsim.kernel import kernel

BUSY, YIELD, BACKOFF, HANDOVER = 0, 1, 2, 3
STRATEGIES = {"busy": BUSY, "yield": YIELD, "backoff": BACKOFF, "handover": HANDOVER}

_SPINS = 100  # pauses before the first yield: about 4 us, the time in which a busy peer answers
_YIELDS = 50  # yields before the first sleep
_SLEEP_MIN_NS, _SLEEP_MAX_NS = 20_000, 1_000_000


def waiter(strategy: str) -> np.ndarray:
    """A new waiter. strategy: busy, yield, handover or backoff; BadInput otherwise."""
    if strategy not in STRATEGIES:
        raise BadInput(f"unknown wait strategy {strategy!r}; there are {', '.join(STRATEGIES)}")
    return np.array([STRATEGIES[strategy], 0], np.int64)


@kernel(inline=True)
def reset(waiter):
    """Work was found."""
    waiter[1] = 0


@kernel
def idle(waiter):
    """Nothing to do in this round: wait a moment, as the strategy says."""
    rounds = waiter[1]
    waiter[1] = rounds + 1
    if waiter[0] == BUSY or (waiter[0] == BACKOFF and rounds < _SPINS):
        pause()
    elif waiter[0] == YIELD or waiter[0] == HANDOVER or rounds < _SPINS + _YIELDS:
        yield_core()
    else:
        sleep_ns(min(_SLEEP_MAX_NS, _SLEEP_MIN_NS * (1 + rounds - _SPINS - _YIELDS)))
