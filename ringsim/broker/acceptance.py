"""What the exchange does with a record when it arrives: the checks that an order passes, in this order, and its fate.

    lifecycle, run      PROVISIONAL: NOT_READY, PAUSED
    the venue's rate    EXCHANGE_RATE (ringsim.broker.rate)
    validity            BAD_ORDER, BAD_SYMBOL, BAD_PRICE, BAD_QUANTITY, DUPLICATE_ID, NOTIONAL
    book                NO_BOOK, then NOTIONAL again with the prices that it would really pay
    conduct             WOULD_TAKE (post-only), SELF_TRADE, NOT_FILLABLE (FOK), OPEN_ORDERS
    risk                smaller (accepted with the limit's reason) or refused
    then                ACCEPTED, fills, and the rest: GTC and POST_ONLY rest, all else is CANCELLED, NO_LIQUIDITY

Decided here:
- Order ids increase per strategy; every NEW that arrives counts, also a refused one. Replacing keeps the id.
- A market order has price 0 and any time in force but POST_ONLY; what it cannot take at once is cancelled. Risk sees the
  worst price that it would pay, slippage and all.
- POST_ONLY looks at the displayed book, also where the account itself has taken what is displayed.
- SELF_TRADE: a limit order whose price reaches a resting order of the account (of any of its strategies), a market order
  that would walk as far. The incoming one is refused; nothing is cancelled silently.
- FOK counts what can be had now. Risk never makes it smaller: what it may not take whole is refused with the limit.
- OPEN_ORDERS concerns only orders that could rest, so that one can always take to reduce.
- A GTC order that could still trade but may not (no place to remember what it takes) does not rest across the book: what
  is left is cancelled.
- REPLACE gives the order a new price and a new total quantity, what was filled counting (as FIX does): a fill on the way
  cannot make it larger than meant. A quantity not above what is filled is BAD_QUANTITY. The same price and no larger
  quantity keeps the place in the queue and passes always, like a cancel; anything else is judged like a new order, and
  joins the end of the queue. Refused, the old order stays as it was: CANCEL_REJECTED with the reason.
- The venue's rate counts each NEW that arrives while it executes, whatever becomes of it then, and each REPLACE that would be
  judged; what keeps its place in the queue, what replaces nothing or has no price or quantity, and every cancel is free.
- CANCEL_ALL cancels what rests of that strategy, bids then asks.
"""

import numpy as np

from ringsim.book import VALID, book_best, book_qty
from ringsim.broker.account import (
    cancel_order,
    close_order,
    halted,
    note_id,
    place_order,
    update_mark,
)
from ringsim.broker.matching import probe, take
from ringsim.broker.orders import find_order, rank_order, reaches, set_status, unrank_order
from ringsim.broker.rate import rate_passes
from ringsim.broker.reports import report_answer, report_order, return_credit
from ringsim.broker.slippage import slipped
from ringsim.control import RunState
from ringsim.kernel import kernel
from ringsim.lifecycle import Lifecycle
from ringsim.limits import (
    MAX_ACCOUNT_NOTIONAL,
    MAX_NOTIONAL,
    MAX_OPEN_ORDERS,
    MAX_PRICE_TICKS,
    MAX_QTY_LOTS,
    MAX_STRATEGIES,
)
from ringsim.records import OrderType, Reason, ReportKind, Side, Status, Tif, Verdict
from ringsim.risk.gate import risk_judge

_BUY, _SELL = np.int64(Side.BUY), np.int64(Side.SELL)
_LIMIT, _MARKET = np.int64(OrderType.LIMIT), np.int64(OrderType.MARKET)
_GTC, _FOK, _POST_ONLY = np.int64(Tif.GTC), np.int64(Tif.FOK), np.int64(Tif.POST_ONLY)
_OPEN, _CANCELLED_STATUS = np.int64(Status.OPEN), np.int64(Status.CANCELLED)
_REJECTED_STATUS, _PROVISIONAL_STATUS = np.int64(Status.REJECTED), np.int64(Status.PROVISIONAL)
_ACCEPTED, _PROVISIONAL, _REJECTED = (
    np.int64(ReportKind.ACCEPTED),
    np.int64(ReportKind.PROVISIONAL),
    np.int64(ReportKind.REJECTED),
)
_CANCELLED, _CANCEL_REJECTED = np.int64(ReportKind.CANCELLED), np.int64(ReportKind.CANCEL_REJECTED)
_NOTED, _REPLACED = np.int64(ReportKind.NOTED), np.int64(ReportKind.REPLACED)
_NO, _SMALLER = np.int64(Verdict.REJECTED), np.int64(Verdict.ADJUSTED)
_READY, _RUNNING = np.int64(Lifecycle.READY), np.int64(RunState.RUNNING)
_NOT_READY, _PAUSED, _NO_BOOK = np.int64(Reason.NOT_READY), np.int64(Reason.PAUSED), np.int64(Reason.NO_BOOK)
_BAD_ORDER, _BAD_SYMBOL, _BAD_PRICE = (
    np.int64(Reason.BAD_ORDER),
    np.int64(Reason.BAD_SYMBOL),
    np.int64(Reason.BAD_PRICE),
)
_BAD_QUANTITY, _DUPLICATE_ID, _NOTIONAL = (
    np.int64(Reason.BAD_QUANTITY),
    np.int64(Reason.DUPLICATE_ID),
    np.int64(Reason.NOTIONAL),
)
_WOULD_TAKE, _SELF_TRADE, _NOT_FILLABLE = (
    np.int64(Reason.WOULD_TAKE),
    np.int64(Reason.SELF_TRADE),
    np.int64(Reason.NOT_FILLABLE),
)
_OPEN_ORDERS, _NO_LIQUIDITY = np.int64(Reason.OPEN_ORDERS), np.int64(Reason.NO_LIQUIDITY)
_NONE, _ONE, _NO_SLOT = np.int64(0), np.int64(1), np.int64(-1)
_UNKNOWN_ORDER, _ASKED = np.int64(Reason.UNKNOWN_ORDER), np.int64(Reason.ASKED)
_EXCHANGE_RATE = np.int64(Reason.EXCHANGE_RATE)


@kernel
def not_executing(s):
    """Reason why the exchange executes nothing now, 0 if it does."""
    if s.lifecycle != _READY:
        return _NOT_READY
    if s.run != _RUNNING:
        return _PAUSED
    return 0


@kernel
def _too_many(s, now):
    """EXCHANGE_RATE if this window has had its orders; else 0, and one more is counted."""
    return 0 if rate_passes(s.rate, s.p, now + s.risk.utc_offset_ns) else _EXCHANGE_RATE


@kernel
def _bad_size(px, qty):
    """Reason why a limit order of this price and quantity cannot be, 0 if it can."""
    if px < 1 or px > MAX_PRICE_TICKS:
        return _BAD_PRICE
    if qty < 1 or qty > MAX_QTY_LOTS:
        return _BAD_QUANTITY
    if qty > MAX_NOTIONAL // px:
        return _NOTIONAL
    return 0


@kernel
def _invalid(s, a, fresh):
    """Reason why a NEW is no order at all, 0 if it is one. fresh: whether its id is new."""
    if a.strategy < 0 or a.strategy >= MAX_STRATEGIES or a.order_id < 1:
        return _BAD_ORDER
    if a.side != _BUY and a.side != _SELL:
        return _BAD_ORDER
    if (a.type != _LIMIT and a.type != _MARKET) or a.tif < _GTC or a.tif > _POST_ONLY:
        return _BAD_ORDER
    if a.type == _MARKET and a.tif == _POST_ONLY:
        return _BAD_ORDER
    if a.symbol != s.p.symbol:
        return _BAD_SYMBOL
    if a.type == _MARKET and a.px != 0:
        return _BAD_PRICE
    reason = _bad_size(1 if a.type == _MARKET else a.px, a.qty)
    if (reason == 0 or reason == _NOTIONAL) and not fresh:
        return _DUPLICATE_ID
    return reason


@kernel
def _judge(s, side, type_, tif, px, qty, working, replaces, now):
    """Book, conduct and risk: (Verdict, Reason, lots allowed).

    qty: lots that would be open. working: lots resting on this side without this order. replaces: 1 if it has a
    place in the table already.
    """
    if s.book.valid != VALID:
        return _NO, _NO_BOOK, 0
    best = book_best(s.book, 3 - side)
    there, reach = probe(s, side, type_, px, qty)
    mark = update_mark(s)
    if type_ == _MARKET:
        price = slipped(s.p, side, reach, _NONE) if reach > 0 else mark
        limit = reach
    else:
        price = px
        limit = px
    dearest = max(price, best if there > 0 else 0, 1)
    if qty > MAX_NOTIONAL // dearest:
        return _NO, _NOTIONAL, 0

    crosses = best > 0 and type_ != _MARKET and reaches(side, px, best)
    if tif == _POST_ONLY and crosses:
        return _NO, _WOULD_TAKE, 0
    own = s.own_best[3 - side]
    if s.ranked[3 - side] > 0 and limit > 0 and reaches(side, limit, own):
        return _NO, _SELF_TRADE, 0
    if tif == _FOK and there < qty:
        return _NO, _NOT_FILLABLE, 0
    could_rest = type_ == _LIMIT and tif in (_GTC, _POST_ONLY)
    if could_rest and replaces == 0 and s.open_orders >= MAX_OPEN_ORDERS:
        return _NO, _OPEN_ORDERS, 0

    held = s.ledger.position_lots
    worst = (held if side == _BUY else -held) + working + qty
    if worst > MAX_ACCOUNT_NOTIONAL // max(dearest, mark):
        return _NO, _NOTIONAL, 0
    buys, sells = s.working[_BUY], s.working[_SELL]
    if side == _BUY:
        buys = working
    else:
        sells = working
    verdict, reason, lots = risk_judge(s.risk, now, side, price, qty, held, buys, sells, mark)
    if verdict == _SMALLER and tif == _FOK:
        return _NO, reason, 0
    return verdict, reason, lots


@kernel
def _settle(s, k, now, out):
    """The order in slot k is accepted: let it take, then rest or end."""
    left, stopped = take(s, k, now, out)
    if left == 0:
        return
    o = s.orders[k]
    if halted(s):
        cancel_order(s, k, s.risk.halt_reason, now, out)
    elif stopped or o.type == _MARKET or (o.tif != _GTC and o.tif != _POST_ONLY):
        cancel_order(s, k, _NO_LIQUIDITY, now, out)
    else:
        o.front, o.traded, o.newest_id = float(book_qty(s.book, o.side, o.px)), 0, s.newest_id
        rank_order(s, k)


@kernel
def _refuse(s, k, kind, status, reason, now, out):
    """A new order ends before it began."""
    set_status(s, k, status)
    return_credit(out, report_order(s, out, k, kind, reason, now))
    close_order(s, k)


@kernel
def act_new(s, now, out):
    """A new order arrives (`acting`)."""
    a = s.acting
    fresh = note_id(s, a.strategy, a.order_id)
    k = place_order(s, a, now)
    reason = not_executing(s)
    if reason != 0:
        s.counters.provisional += 1
        _refuse(s, k, _PROVISIONAL, _PROVISIONAL_STATUS, reason, now, out)
        return
    verdict, lots = _NO, 0
    reason = _too_many(s, now)
    if reason == 0:
        reason = _invalid(s, a, fresh)
    if reason == 0:
        working = s.working[a.side]
        verdict, reason, lots = _judge(s, a.side, a.type, a.tif, a.px, a.qty, working, _NONE, now)
    if verdict == _NO:
        s.counters.rejected[reason] += 1
        _refuse(s, k, _REJECTED, _REJECTED_STATUS, reason, now, out)
        return
    o = s.orders[k]
    o.qty, o.left = lots, lots
    s.counters.accepted += 1
    if verdict == _SMALLER:
        s.counters.adjusted += 1
    set_status(s, k, _OPEN)
    return_credit(out, report_order(s, out, k, _ACCEPTED, reason, now))
    _settle(s, k, now, out)


@kernel
def reject_change(s, k, reason, now, out):
    """A CANCEL or REPLACE (`acting`) that changes nothing."""
    s.counters.cancel_rejected[reason] += 1
    report_answer(s, out, k, _CANCEL_REJECTED, reason, now)


@kernel
def act_cancel(s, now, out):
    """A cancel arrives: always passes, if there is what it means."""
    k = find_order(s, s.acting.strategy, s.acting.target_id)
    if k < 0:
        reject_change(s, k, _UNKNOWN_ORDER, now, out)
        return
    set_status(s, k, _CANCELLED_STATUS)
    s.counters.cancelled += 1
    report_answer(s, out, k, _CANCELLED, _ASKED, now)
    close_order(s, k)


@kernel
def act_cancel_all(s, now, out):
    """Cancel all that rests of a strategy, then answer."""
    for side in (_BUY, _SELL):
        i = 0
        while i < s.ranked[side]:
            k = s.rank[side, i]
            if s.orders[k].strategy == s.acting.strategy:
                cancel_order(s, k, _ASKED, now, out)
            else:
                i += 1
    report_answer(s, out, _NO_SLOT, _NOTED, _NONE, now)


@kernel
def act_replace(s, now, out):
    """A replacement arrives: new price, new total quantity."""
    a = s.acting
    k = find_order(s, a.strategy, a.target_id)
    if k < 0:
        reject_change(s, k, _UNKNOWN_ORDER, now, out)
        return
    o = s.orders[k]
    filled = o.qty - o.left
    reason = _bad_size(a.px, a.qty)
    if reason == 0 and a.qty <= filled:
        reason = _BAD_QUANTITY
    if reason == 0 and a.px == o.px and a.qty <= o.qty:
        s.working[o.side] -= o.qty - a.qty
        o.qty, o.left = a.qty, a.qty - filled
        s.counters.replaced += 1
        report_answer(s, out, k, _REPLACED, _NONE, now)
        return
    verdict, lots = _NO, 0
    if reason == 0:
        reason = not_executing(s)
    if reason == 0:
        reason = _too_many(s, now)
    if reason == 0:
        working = s.working[o.side] - o.left
        verdict, reason, lots = _judge(s, o.side, o.type, o.tif, a.px, a.qty - filled, working, _ONE, now)
    if verdict == _NO:
        reject_change(s, k, reason, now, out)
        return
    unrank_order(s, k)
    o.px, o.qty, o.left = a.px, filled + lots, lots
    s.counters.replaced += 1
    report_answer(s, out, k, _REPLACED, reason, now)
    _settle(s, k, now, out)
