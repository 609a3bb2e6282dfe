"""Two stages on one core: the one that waits looks, in shared memory, whether the other one has anything to do.

Two processes that both spin and yield to each other change places a quarter of a million times a second, and a change of
place costs more than most messages: a microsecond or two, and after it a core that has forgotten its translations. So the
stage that nothing may keep waiting stays on its core, in practice, and hands it over when

    the neighbour has not folded all that was published for it, or its own next time has come

and, seldom, without a reason: the neighbour has to beat, and to stay in practice too.

Invariant: this looks and never writes; a neighbour that is wrongly thought idle still gets its turn after TURN_NS.
"""

from typing import NamedTuple

import numpy as np

from ringsim.atomics import load_acquire, load_relaxed
from ringsim.kernel import kernel
from ringsim.ring.layout import C_RELEASED, W_PUBLISHED

TURN_NS = 200_000


class Neighbour(NamedTuple):
    """first, second: headers of the rings that it reads. *_line: its line in each. timer: word of the control page.

    turn: int64[1], private: when it had its last turn.
    """

    first: np.ndarray
    first_line: int
    second: np.ndarray
    second_line: int
    timer: int
    turn: np.ndarray


@kernel(inline=True)
def neighbour_waits(n, control, now):
    """Whether the core is the neighbour's now. now: CLOCK_MONOTONIC ns."""
    if now - n.turn[0] > TURN_NS:
        n.turn[0] = now
        return True
    return (
        load_acquire(n.first, n.first_line + C_RELEASED) < load_relaxed(n.first, W_PUBLISHED)
        or load_acquire(n.second, n.second_line + C_RELEASED) < load_relaxed(n.second, W_PUBLISHED)
        or load_relaxed(control, n.timer) <= now
    )
