"""The table of open orders: slots, each side ranked by price then age, and the states that an order goes through.

                    ┌──> REJECTED, PROVISIONAL
    PENDING ────────┤
       │            └──> OPEN ──> PARTIAL ──┐      (PARTIAL again with each further fill)
       │                  ├─────────┴───────┼──> FILLED
       └──────────────────┴─────────────────┴──> CANCELLED

Invariants: an order changes its status along an arrow only (any other step is a breach: ORDER_STATE, which halts);
`rank` lists exactly the orders with `ranked` = 1, best price first, older before younger at one price; `working` is the
sum of what they have left; `own_best` and the `watch_` fields describe them and the taken levels.
"""

import numpy as np

from ringsim.broker.state import ORDER_SLOTS
from ringsim.kernel import kernel
from ringsim.records import NEVER_NS, Reason, Side, Status

TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.PENDING: frozenset({Status.OPEN, Status.REJECTED, Status.PROVISIONAL, Status.CANCELLED}),
    Status.OPEN: frozenset({Status.PARTIAL, Status.FILLED, Status.CANCELLED}),
    Status.PARTIAL: frozenset({Status.PARTIAL, Status.FILLED, Status.CANCELLED}),
    Status.FILLED: frozenset(),
    Status.CANCELLED: frozenset(),
    Status.REJECTED: frozenset(),
    Status.PROVISIONAL: frozenset(),
}

_ALLOWED = tuple(sum(1 << after for after in TRANSITIONS[before]) for before in Status)  # a bit for each next status
_ORDER_STATE = np.int64(Reason.ORDER_STATE)
_BUY, _SELL = np.int64(Side.BUY), np.int64(Side.SELL)
_PENDING = np.int64(Status.PENDING)
_NEVER = np.int64(NEVER_NS)
_NONE, _ONE = np.int64(0), np.int64(1)  # masks are shifts of this one: no overflow, compiled or not


@kernel
def orders_clear(s):
    """No orders, every slot unused."""
    for k in range(ORDER_SLOTS):
        s.unused[k] = ORDER_SLOTS - 1 - k
    s.unused_count = ORDER_SLOTS
    s.open_orders = 0
    for side in range(4):
        s.ranked[side], s.working[side] = 0, 0
        update_watch(s, side)


@kernel
def take_slot(s):
    """A slot for a PENDING order; there is always one (ORDER_SLOTS)."""
    s.unused_count -= 1
    k = s.unused[s.unused_count]
    s.orders[k].status = _PENDING
    s.orders[k].ranked = 0
    return k


@kernel
def free_slot(s, k):
    """Slot k holds no order any more."""
    s.unused[s.unused_count] = k
    s.unused_count += 1


@kernel
def set_status(s, k, status):
    """Move an order along an arrow of TRANSITIONS; any other step is noted as a breach."""
    if (_ALLOWED[s.orders[k].status] >> status) & 1 == 0:
        s.breach = _ORDER_STATE
    s.orders[k].status = status


@kernel
def reaches(side, px, other):
    """Whether an order on `side` at px trades with a price `other` of the opposite side."""
    return px >= other if side == _BUY else px <= other


@kernel
def better(side, px, than):
    """Whether px stands before `than` on `side`."""
    return px > than if side == _BUY else px < than


@kernel
def rank_order(s, k):
    """Let an order rest: behind those with a better or the same price."""
    o = s.orders[k]
    side = o.side
    i = s.ranked[side]
    while i > 0 and better(side, o.px, s.orders[s.rank[side, i - 1]].px):
        s.rank[side, i] = s.rank[side, i - 1]
        i -= 1
    s.rank[side, i] = k
    s.ranked[side] += 1
    s.open_orders += 1
    s.working[side] += o.left
    o.ranked = 1
    update_watch(s, side)


@kernel
def unrank_order(s, k):
    """Take a resting order out of its side's rank."""
    o = s.orders[k]
    side = o.side
    i = 0
    while s.rank[side, i] != k:
        i += 1
    s.ranked[side] -= 1
    for j in range(i, s.ranked[side]):
        s.rank[side, j] = s.rank[side, j + 1]
    s.open_orders -= 1
    s.working[side] -= o.left
    o.ranked = 0
    update_watch(s, side)


@kernel
def find_order(s, strategy, order_id):
    """Slot of a resting order, -1 if there is none."""
    for side in (_BUY, _SELL):
        for i in range(s.ranked[side]):
            k = s.rank[side, i]
            if s.orders[k].order_id == order_id and s.orders[k].strategy == strategy:
                return k
    return -1


@kernel
def update_watch(s, side):
    """Recompute the best own price of a side and which prices to watch there."""
    low, high, bits = _NEVER, _NONE, _NONE
    s.own_best[side] = 0 if side == _BUY else _NEVER
    count = s.ranked[side]
    if count > 0:
        best, worst = s.orders[s.rank[side, 0]].px, s.orders[s.rank[side, count - 1]].px
        s.own_best[side] = best
        low, high = min(best, worst), max(best, worst)
    for i in range(count):
        bits |= _ONE << (s.orders[s.rank[side, i]].px & 63)
    for i in range(s.taken_count):
        if s.taken[i].side == side:
            low, high = min(low, s.taken[i].px), max(high, s.taken[i].px)
            bits |= _ONE << (s.taken[i].px & 63)
    s.watch_low[side], s.watch_high[side], s.watch_bits[side] = low, high, bits


@kernel
def watched(s, side, px):
    """Whether a level may concern us: almost never wrong when it says yes, never when it says no."""
    return (s.watch_bits[side] & (_ONE << (px & 63))) != 0 and s.watch_low[side] <= px <= s.watch_high[side]
