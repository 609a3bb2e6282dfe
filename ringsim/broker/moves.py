"""How far the mid has gone of late: what a latency that grows with the market's haste is coupled to.

    every 125 ms      |mid - mid then|  one of the last eight steps; their sum is the way of about the last second
    cbps              the way / mid, in hundredths of a basis point, at most the whole mid

Integers alone. Looked at when an input comes, before it is folded and never within a message, so it depends on the inputs and
their times and on nothing else; without a mid the last one stays. A step without an input is one without a move.
"""

import numpy as np

from ringsim.kernel import kernel
from ringsim.limits import MAX_PRICE_TICKS

STEP_NS = 125_000_000
STEPS = 8

MOVES = np.dtype(
    [
        ("mid2", "i8"),  # twice the mid at the last look, ticks; 0: none was known
        ("total", "i8"),  # sum of `steps`
        ("next", "i8"),  # the oldest step
        ("steps", "i8", (STEPS,)),  # moves of twice the mid, ticks
    ]
)

_WHOLE_CBPS = 1_000_000
assert 2 * MAX_PRICE_TICKS * _WHOLE_CBPS < 1 << 63


@kernel
def moves_look(m, mid2, due_ns, now):
    """Look at the mid. Returns when to look next, ns.

    m: MOVES. mid2: twice the mid, 0 if there is none now. due_ns: when this look was due, <= now.
    """
    passed = (now - due_ns) // STEP_NS + 1
    moved = (
        abs(mid2 - m.mid2) if mid2 > 0 and m.mid2 > 0 and passed <= STEPS else 0
    )  # a move of before the window is none
    for _ in range(min(passed, STEPS)):
        m.total += moved - m.steps[m.next]
        m.steps[m.next] = moved
        m.next = (m.next + 1) % STEPS
        moved = 0
    if mid2 > 0:
        m.mid2 = mid2
    return (now // STEP_NS + 1) * STEP_NS


@kernel
def moves_cbps(m):
    """The way of the mid in the window, hundredths of a basis point, 0..1,000,000."""
    if m.mid2 == 0:
        return 0
    return min(m.total, m.mid2) * _WHOLE_CBPS // m.mid2
