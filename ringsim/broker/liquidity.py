"""What the account has taken of the displayed book, so that no liquidity is used twice.

The book is history: it does not notice that we took from it. So each level we took from is remembered (side, px, lots), and

    available = max(0, displayed - taken)

When the feed sets the level, taken = min(taken, new quantity): what is displayed now may still be what we had taken, and
only what goes beyond it is new. A deleted level and a whole new book forget it. The table is small; where it is full, no
further level can be taken from, which is counted.
"""

import numpy as np

from ringsim.book import book_qty
from ringsim.broker.orders import update_watch
from ringsim.kernel import kernel
from ringsim.limits import TAKEN_LEVELS
from ringsim.records import Side

_BUY, _SELL = np.int64(Side.BUY), np.int64(Side.SELL)


@kernel
def _place(s, side, px):
    for i in range(s.taken_count):
        if s.taken[i].px == px and s.taken[i].side == side:
            return i
    return -1


@kernel
def available(s, side, px):
    """Lots of a displayed level that can still be taken."""
    i = _place(s, side, px)
    taken = s.taken[i].lots if i >= 0 else 0
    return max(0, book_qty(s.book, side, px) - taken)


@kernel
def known_taken(s, side, px):
    """Whether the level has a place in the table already."""
    return _place(s, side, px) >= 0


@kernel
def note_taken(s, side, px, lots):
    """Remember lots taken from a level. False, and nothing remembered, if the table is full."""
    i = _place(s, side, px)
    if i < 0:
        if s.taken_count >= TAKEN_LEVELS:
            s.counters.taken_full += 1
            return False
        i = s.taken_count
        s.taken_count += 1
        s.taken[i].side, s.taken[i].px, s.taken[i].lots = side, px, 0
        update_watch(s, side)
    s.taken[i].lots += lots
    return True


@kernel
def level_was_set(s, side, px, qty):
    """The feed set a level: less of it, at most, is what we had taken."""
    i = _place(s, side, px)
    if i < 0:
        return
    if qty > 0:
        s.taken[i].lots = min(s.taken[i].lots, qty)
        return
    s.taken_count -= 1
    last = s.taken_count
    s.taken[i].side, s.taken[i].px, s.taken[i].lots = s.taken[last].side, s.taken[last].px, s.taken[last].lots
    update_watch(s, side)


@kernel
def forget_taken(s):
    """A whole new book: nothing of it was taken."""
    s.taken_count = 0
    update_watch(s, _BUY)
    update_watch(s, _SELL)
