"""The order book: price levels by quantity, folded from market events by ingest, strategy and broker alike.

    hash      every level of a side: px -> qty, open addressing, so that a level far away costs as little as a near one
    bitmaps   which ticks of a window around the best price hold a level: the next level is a few instructions away

Invariants: a level is in the hash iff its quantity is > 0; its bit is set iff it also lies in the window; `best` is the
best level of the side and lies in the window, at least a quarter of it away from the far edge (0: the side is empty).
The state is one flat record: no pointers, so it lives in shared memory and is copied as words.

Bids and asks are kept apart and may cross for the moment between two events of one message; nobody acts before LAST.
Fuzzed against a dict and `sorted` (tests/naive/book.py).
"""

import numpy as np

from ringsim.atomics import prefetch_write
from ringsim.bits import highest_bit, lowest_bit
from ringsim.kernel import kernel
from ringsim.limits import BOOK_LEVELS, BOOK_LEVELS_USED, BOOK_WINDOW
from ringsim.records import EventFlag, EventKind, Side

INVALID, VALID, LOADING = 0, 1, 2  # BOOK.valid

_WORDS = BOOK_WINDOW // 64
_SUMMARY = _WORDS // 64
_MASK = BOOK_LEVELS - 1
_EDGE = BOOK_WINDOW // 4
_ONE, _ALL = np.int64(1), np.int64(-1)  # masks are shifts of these: no overflow, compiled or not

BOOK_SIDE = np.dtype(
    [
        ("levels", "i8", (2 * BOOK_LEVELS,)),  # px, qty; px 0 is an empty place
        ("bits", "i8", (_WORDS,)),  # bit t: tick base_ticks + t holds a level
        ("summary", "i8", (_SUMMARY,)),  # bit w: word w of `bits` is not zero
        ("base_ticks", "i8"),  # first tick of the window
        ("best", "i8"),
        ("count", "i8"),  # levels in the hash
        ("inside", "i8"),  # of them, in the window
        ("refused", "i8"),  # new levels not taken because the hash was full
    ]
)
BOOK = np.dtype([("sides", BOOK_SIDE, (2,)), ("valid", "i8"), ("updates", "i8")])

_BUY = int(Side.BUY)
_LEVEL, _BEGIN, _END, _GAP = (
    int(k) for k in (EventKind.LEVEL, EventKind.SNAPSHOT_BEGIN, EventKind.SNAPSHOT_END, EventKind.GAP)
)
_LAST, _REFRESH = int(EventFlag.LAST), int(EventFlag.REFRESH)


@kernel
def _home(px):
    """Where a price would like to lie: neighbours stay neighbours, high bits are folded in."""
    return (px ^ (px >> 14)) & _MASK


@kernel
def _find(s, px):
    """Place of px in the hash, or of the empty place where it would go."""
    place = _home(px)
    while s.levels[2 * place] != px and s.levels[2 * place] != 0:
        place = (place + 1) & _MASK
    return place


@kernel
def _take_out(s, place):
    """Empty a place and close the gap, so that probing never meets a tombstone."""
    hole = place
    probe = (place + 1) & _MASK
    while s.levels[2 * probe] != 0:
        home = _home(s.levels[2 * probe])
        if ((probe - home) & _MASK) >= ((probe - hole) & _MASK):
            s.levels[2 * hole] = s.levels[2 * probe]
            s.levels[2 * hole + 1] = s.levels[2 * probe + 1]
            hole = probe
        probe = (probe + 1) & _MASK
    s.levels[2 * hole] = 0
    s.levels[2 * hole + 1] = 0


@kernel
def _set_bit(s, offset):
    word = offset >> 6
    s.bits[word] |= _ONE << (offset & 63)
    s.summary[word >> 6] |= _ONE << (word & 63)


@kernel
def _clear_bit(s, offset):
    word = offset >> 6
    s.bits[word] &= ~(_ONE << (offset & 63))
    if s.bits[word] == 0:
        s.summary[word >> 6] &= ~(_ONE << (word & 63))


@kernel
def _below(s, offset):
    """Highest set offset < `offset`, or -1. offset: 0..BOOK_WINDOW."""
    word = offset >> 6
    if word < _WORDS:
        found = s.bits[word] & ~(_ALL << (offset & 63))
        if found != 0:
            return (word << 6) + highest_bit(found)
    group = word >> 6
    if group < _SUMMARY:
        found = s.summary[group] & ~(_ALL << (word & 63))
        if found != 0:
            word = (group << 6) + highest_bit(found)
            return (word << 6) + highest_bit(s.bits[word])
    for g in range(group - 1, -1, -1):
        if s.summary[g] != 0:
            word = (g << 6) + highest_bit(s.summary[g])
            return (word << 6) + highest_bit(s.bits[word])
    return -1


@kernel
def _above(s, offset):
    """Lowest set offset > `offset`, or -1. offset: -1..BOOK_WINDOW - 1."""
    offset += 1
    word = offset >> 6
    if word >= _WORDS:
        return -1
    found = s.bits[word] & (_ALL << (offset & 63))
    if found != 0:
        return (word << 6) + lowest_bit(found)
    word += 1
    if word >= _WORDS:
        return -1
    group = word >> 6
    found = s.summary[group] & (_ALL << (word & 63))
    if found != 0:
        word = (group << 6) + lowest_bit(found)
        return (word << 6) + lowest_bit(s.bits[word])
    for g in range(group + 1, _SUMMARY):
        if s.summary[g] != 0:
            word = (g << 6) + lowest_bit(s.summary[g])
            return (word << 6) + lowest_bit(s.bits[word])
    return -1


@kernel
def _scan(s, side, worse_than):
    """Best level of the whole hash that is worse than a price (0: any), by looking at all of them; 0 if none."""
    best = 0
    for place in range(BOOK_LEVELS):
        px = s.levels[2 * place]
        if px == 0:
            continue
        if side == _BUY:
            if (worse_than == 0 or px < worse_than) and px > best:
                best = px
        elif px > worse_than and (best == 0 or px < best):
            best = px
    return best


@kernel
def _centre(s, side, best):
    """Lay the window around a best price, most of it on the worse side, and set its bits from the hash."""
    for w in range(_WORDS):
        s.bits[w] = 0
    for g in range(_SUMMARY):
        s.summary[g] = 0
    s.base_ticks = best - (3 * _EDGE if side == _BUY else _EDGE)
    s.best, s.inside = best, 0
    for place in range(BOOK_LEVELS):
        offset = s.levels[2 * place] - s.base_ticks
        if s.levels[2 * place] != 0 and 0 <= offset < BOOK_WINDOW:
            _set_bit(s, offset)
            s.inside += 1


@kernel
def _moved(s, side, px):
    """The best price is now px: move the window if its far edge comes near. px 0: look everywhere."""
    if px == 0:
        px = _scan(s, side, 0) if s.count > 0 else 0
        if px == 0:
            s.best = 0
        else:
            _centre(s, side, px)
        return
    s.best = px
    far = px - s.base_ticks if side == _BUY else s.base_ticks + BOOK_WINDOW - 1 - px
    if far < _EDGE and s.inside < s.count:
        _centre(s, side, px)


@kernel
def book_clear(b):
    """Empty and invalid."""
    for k in range(2):
        s = b.sides[k]
        if s.count > 0:
            for i in range(2 * BOOK_LEVELS):
                s.levels[i] = 0
            for w in range(_WORDS):
                s.bits[w] = 0
            for g in range(_SUMMARY):
                s.summary[g] = 0
        s.best, s.count, s.inside = 0, 0, 0
    b.valid = INVALID


@kernel
def book_set(b, side, px, qty):
    """The level's quantity is now `qty`; 0 deletes it.

    side: 1 bid, 2 ask. px: ticks, >= 1. qty: lots, >= 0. A new level in a full table is refused and counted, unless it
    is the best of its side.
    """
    s = b.sides[side - 1]
    place = _find(s, px)
    known = s.levels[2 * place] == px
    offset = px - s.base_ticks
    inside = s.best != 0 and 0 <= offset < BOOK_WINDOW
    if qty == 0:
        if known:
            _take_out(s, place)
            s.count -= 1
            if inside:
                _clear_bit(s, offset)
                s.inside -= 1
                if px == s.best:
                    near = _below(s, offset) if side == _BUY else _above(s, offset)
                    _moved(s, side, s.base_ticks + near if near >= 0 else 0)
        return
    better = s.best == 0 or (px > s.best if side == _BUY else px < s.best)
    if not known:
        if s.count >= BOOK_LEVELS_USED and not (better and s.count < _MASK):
            s.refused += 1
            return
        s.levels[2 * place] = px
        s.count += 1
        if inside:
            _set_bit(s, offset)
            s.inside += 1
            if better:
                s.best = px
        elif better:
            _centre(s, side, px)
    s.levels[2 * place + 1] = qty


@kernel(inline=True)
def book_near(b, side, px):
    """Bring near, in the caches, what setting this level is going to touch. side: 1 or 2; px: any int64."""
    s = b.sides[side - 1]
    offset = px - s.base_ticks
    prefetch_write(s.levels, 2 * _home(px))
    if 0 <= offset < BOOK_WINDOW:
        prefetch_write(s.bits, offset >> 6)


@kernel
def book_qty(b, side, px):
    """Quantity of a level, lots; 0 if there is none."""
    s = b.sides[side - 1]
    return s.levels[2 * _find(s, px) + 1]


@kernel
def book_best(b, side):
    """Best price of a side, ticks; 0 if it is empty."""
    return b.sides[side - 1].best


@kernel
def book_next(b, side, px):
    """The next level strictly worse than px (a price at or worse than the best), ticks; 0 if there is none."""
    s = b.sides[side - 1]
    if s.best == 0:
        return 0
    offset = px - s.base_ticks
    if 0 <= offset < BOOK_WINDOW:
        near = _below(s, offset) if side == _BUY else _above(s, offset)
        if near >= 0:
            return s.base_ticks + near
        if s.inside == s.count:
            return 0
    return _scan(s, side, px)


@kernel
def book_mid2(b):
    """Best bid + best ask, ticks: twice the mid price, exact. 0 if a side is empty."""
    bid, ask = b.sides[0].best, b.sides[1].best
    return bid + ask if bid > 0 and ask > 0 else 0


@kernel
def book_fold(b, ev):
    """Apply a market event. Returns True when one may act on it: it ended its message and the book is valid.

    REFRESH events (a snapshot that repeats what is known) are for readers that lost their book: with a valid one they
    are skipped and return False. Levels outside a snapshot do nothing to an invalid book. Other kinds change nothing.
    """
    kind, flags = ev.kind, ev.flag_bits
    if (flags & _REFRESH) != 0 and b.valid == VALID:
        return False
    if kind == _LEVEL:
        if b.valid != INVALID:
            book_set(b, ev.side, ev.px_ticks, ev.qty_lots)
            b.updates += 1
    elif kind == _BEGIN:
        book_clear(b)
        b.valid = LOADING
    elif kind == _END:
        if b.valid == LOADING:
            b.valid = VALID
    elif kind == _GAP:
        b.valid = INVALID
    return b.valid == VALID and (flags & _LAST) != 0
