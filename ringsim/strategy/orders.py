"""The strategy's orders: what goes out of the stage, what is at work, what is held back.

Invariants:
- Every record emitted takes a credit (a CANCEL_ALL its own kind); the caller has seen to it that there are enough.
- An own order is in the table from the moment it is sent until its last report, and `working_*_lots` is what is left of all
  of them: that is what the gate judges the next one by.
- What was refused (by the own gate: a REFUSED record; by the exchange) is held back until something changed that could
  change the answer: its side, the price where that mattered, a fill or cancel, trading's state, at the latest a second. While
  trading is HALTED or REDUCING one refusal a purpose says so, and then no more until that changes. An order that is
  proposed ONCE is never held back: it goes out or is refused, and either is on record.
"""

import numpy as np

from ringsim.control import RunState
from ringsim.fold.outbox import outbox_next
from ringsim.kernel import kernel
from ringsim.lifecycle import Lifecycle
from ringsim.limits import OWN_ORDERS
from ringsim.records import NEVER_NS, OrderFlag, OrderKind, Reason, Side, Trading, Verdict
from ringsim.risk.gate import risk_headroom, risk_judge, risk_reducible, risk_token_ns
from ringsim.strategy.protocol import ONCE, SIZED_BY_STAGE, TAGS, Cause
from ringsim.strategy.sizing import WHOLE_PPM, entry_lots

RETRY_NS = 1_000_000_000  # a refused order may be tried again after this long, whatever else did not happen

# np.int64, not int: numba would take a plain int for a literal type and compile every kernel anew for each value.
_BUY = np.int64(Side.BUY)
_NEW, _CANCEL, _CANCEL_ALL = np.int64(OrderKind.NEW), np.int64(OrderKind.CANCEL), np.int64(OrderKind.CANCEL_ALL)
_REFUSED, _SIGNAL, _SIGNAL_END = np.int64(OrderKind.REFUSED), np.int64(OrderKind.SIGNAL), np.int64(OrderKind.SIGNAL_END)
_SNAPSHOT = np.int64(OrderKind.SNAPSHOT)
_REDUCES, _CLOSES = np.int64(OrderFlag.REDUCES), np.int64(OrderFlag.CLOSES)
_BY_TICK, _NO_FLAGS = np.int64(OrderFlag.BY_TICK), np.int64(0)
_BOOK, _PREDICTION = np.int64(Cause.BOOK), np.int64(Cause.PREDICTION)
_ADJUSTED, _REJECTED = np.int64(Verdict.ADJUSTED), np.int64(Verdict.REJECTED)
_ACTIVE, _REDUCING, _HALTED = np.int64(Trading.ACTIVE), np.int64(Trading.REDUCING), np.int64(Trading.HALTED)
_OPEN_ORDERS, _ORDER_RATE = np.int64(Reason.OPEN_ORDERS), np.int64(Reason.ORDER_RATE)
_REDUCING_REASON = np.int64(Reason.REDUCING)
_INTENT, _NOTIONAL, _COLLAR = np.int64(Reason.INTENT), np.int64(Reason.NOTIONAL), np.int64(Reason.PRICE_COLLAR)
_WOULD_TAKE, _NO_LIQUIDITY = np.int64(Reason.WOULD_TAKE), np.int64(Reason.NO_LIQUIDITY)
_NOT_FILLABLE = np.int64(Reason.NOT_FILLABLE)
_NO_BOOK, _NOT_READY, _PAUSED = np.int64(Reason.NO_BOOK), np.int64(Reason.NOT_READY), np.int64(Reason.PAUSED)
_READY, _DEGRADED = np.int64(Lifecycle.READY), np.int64(Lifecycle.DEGRADED)
_RUNNING, _ONCE = np.int64(RunState.RUNNING), np.int64(ONCE)
_NONE, _NOBODY = np.int64(0), np.int64(-1)
_NEVER = np.int64(NEVER_NS)


# What goes out


@kernel
def _emit(s, kind, now, out):
    """A fresh record of the orders ring with what all have; takes a credit. Returns its index."""
    i = outbox_next(out)
    o = out.records[i]
    o.kind, o.strategy, o.symbol = kind, s.p.strategy, s.p.symbol
    o.trigger_seq, o.trigger_ns, o.created_ns = s.trigger_seq, s.trigger_ns, now
    o.flag_bits = _BY_TICK if s.v.cause in (_BOOK, _PREDICTION) and kind != _SNAPSHOT else _NO_FLAGS
    s.credits -= 1
    return i


@kernel
def emit_snapshot(s, now, out):
    """What the strategy sees now; zeros where there is no whole book."""
    if s.credits < 1:
        s.no_credit += 1
        return
    f = s.f.now
    a = out.alternate[_emit(s, _SNAPSHOT, now, out)]
    a.sample, a.position_lots = f.sample, s.ledger.position_lots
    s.snapshots += 1
    if f.ready == 0:
        return
    a.bid_ticks, a.ask_ticks = f.bid_ticks, f.ask_ticks
    a.imbalance, a.spread_bps, a.depth_ratio = f.imbalance, f.spread_bps, f.depth_ratio
    a.pressure_bps, a.momentum_bps = f.pressure_bps, f.momentum_bps
    a.volatility, a.trade_flow = f.volatility, f.trade_flow


@kernel
def emit_signal(s, intent, now, out):
    """A signal begins or ends: it holds from its first entry order, or from its start if it had none."""
    if intent.kind == _SIGNAL:
        s.signal_id += 1
        s.signals += 1
        s.signal_ns, s.first_entry_ns = now, 0
    o = out.records[_emit(s, intent.kind, now, out)]
    o.signal_id, o.side = s.signal_id, intent.side
    o.strength_ppm, o.confidence_ppm = intent.strength_ppm, intent.confidence_ppm
    if intent.kind == _SIGNAL_END:
        o.hold_ns = now - (s.first_entry_ns if s.first_entry_ns > 0 else s.signal_ns)


@kernel
def emit_cancel(s, order_id, now, out):
    """Ask for an own order's end; one that is not at work any more, or is being cancelled, needs none."""
    k = find_order(s, order_id)
    if k < 0 or s.orders[k].cancelling != 0:
        return
    order = s.orders[k]
    order.cancelling = 1
    s.cancels += 1
    o = out.records[_emit(s, _CANCEL, now, out)]
    o.target_id, o.signal_id, o.side = order_id, order.signal_id, order.side


@kernel
def _why_not(s):
    """Reason why no new order may be sent now."""
    if s.lifecycle != _READY and s.lifecycle != _DEGRADED:
        return _NOT_READY
    return _PAUSED if s.run != _RUNNING else _NO_BOOK


@kernel
def _held_back(s, intent, now):
    """Whether an order has to wait: nothing may be sent, or one like it was just refused. ONCE waits for nothing."""
    if intent.tag == _ONCE:
        return False
    held = s.held[intent.tag & (TAGS - 1)]
    if s.v.may_send == 0:
        s.held_back += 1
        return True
    if now < held.until_ns and held.side == intent.side and (held.any_px != 0 or held.px_ticks == intent.px_ticks):
        s.held_back += 1
        s.held_ns = min(s.held_ns, held.until_ns)
        return True
    return False


@kernel
def _judge(s, intent, asked, now):
    """(Verdict, Reason, lots): an order at all, may anything be sent, room in the table, the account's word, the own gate."""
    if intent.fault != 0:
        return _REJECTED, intent.fault, 0
    if s.v.may_send == 0:
        return _REJECTED, _why_not(s), 0
    if s.v.own_orders >= OWN_ORDERS:
        return _REJECTED, _OPEN_ORDERS, 0
    position, buys, sells = s.ledger.position_lots, s.working_buy_lots, s.working_sell_lots
    if s.account_trading == _HALTED:
        return _REJECTED, s.account_reason, 0
    if s.account_trading == _REDUCING and risk_reducible(intent.side, position, buys, sells) < 1:
        return _REJECTED, _REDUCING_REASON, 0
    return risk_judge(s.risk, now, intent.side, intent.px_ticks, asked, position, buys, sells, s.mark_ticks)


@kernel
def emit_order(s, intent, now, out):
    """Size, judge and send a new order, or say why not."""
    if _held_back(s, intent, now):
        return
    position, buys, sells = s.ledger.position_lots, s.working_buy_lots, s.working_sell_lots
    asked = intent.qty_lots
    if asked == SIZED_BY_STAGE:
        price = intent.px_ticks if intent.px_ticks > 0 else s.mark_ticks
        headroom = risk_headroom(s.risk, intent.side, price, position, buys, sells)
        asked = entry_lots(headroom, max(1, s.p.order_size_ppm * intent.size_ppm // WHOLE_PPM))
    closes = (intent.flag_bits & _CLOSES) != 0
    reducible = risk_reducible(intent.side, position, buys, sells)
    verdict, reason, lots = _judge(s, intent, asked, now)

    kind = _REFUSED if verdict == _REJECTED else _NEW
    o = out.records[_emit(s, kind, now, out)]
    o.px_ticks, o.qty_lots, o.asked_lots = intent.px_ticks, lots, asked
    o.side, o.type, o.tif = intent.side, intent.type, intent.tif
    o.verdict, o.reason = verdict, reason
    o.signal_id = s.entry_signal_id if closes else s.signal_id
    o.strength_ppm, o.confidence_ppm = intent.strength_ppm, intent.confidence_ppm
    if verdict == _REJECTED:
        s.refused[reason] += 1
        if intent.tag != _ONCE:
            again_ns = max(now + 1, risk_token_ns(s.risk, now)) if reason == _ORDER_RATE else now + RETRY_NS
            hold_back(s, intent.tag, intent.side, intent.px_ticks, reason, again_ns)
            s.held_ns = min(s.held_ns, s.held[intent.tag & (TAGS - 1)].until_ns)
        return
    s.submitted += 1
    if verdict == _ADJUSTED:
        s.adjusted += 1
    s.last_order_id += 1
    o.order_id = s.last_order_id
    o.flag_bits |= (intent.flag_bits & _CLOSES) | (_REDUCES if lots <= reducible else 0)
    if not closes:
        s.entry_signal_id = s.signal_id
        if s.first_entry_ns == 0:
            s.first_entry_ns = now
    _order_sent(s, intent, s.last_order_id, o.signal_id, lots, now)


@kernel
def emit_cancel_all(s, now, out):
    """End everything that works, on its own credit."""
    s.cancel_all = 0
    if s.v.own_orders == 0:
        return
    for k in range(s.v.own_orders):
        s.orders[k].cancelling = 1
    _emit(s, _CANCEL_ALL, now, out)
    s.credits += 1
    s.cancel_all_credits -= 1


# What is held back


@kernel
def _price_matters(reason):
    """Whether another price could change this answer."""
    return reason in (_INTENT, _NOTIONAL, _COLLAR, _WOULD_TAKE, _NO_LIQUIDITY, _NOT_FILLABLE)


@kernel
def hold_back(s, tag, side, px, reason, until_ns):
    """Remember a refusal until a time: see the file's head."""
    if tag == _ONCE:
        return
    held = s.held[tag & (TAGS - 1)]
    held.side, held.px_ticks = side, px
    held.any_px = 0 if _price_matters(reason) else 1
    held.by_state = 0
    held.until_ns = until_ns
    if s.risk.trading != _ACTIVE or s.account_trading != _ACTIVE:
        held.by_state, held.any_px, held.until_ns = 1, 1, _NEVER


@kernel
def let_go(s, by_state):
    """Something changed: forget refusals; those by trading's state only if that is what changed."""
    for tag in range(TAGS):
        if by_state or s.held[tag].by_state == 0:
            s.held[tag].until_ns = 0


# Own orders


@kernel
def find_order(s, order_id):
    """Index of an own order, -1 if it is not at work."""
    for k in range(s.v.own_orders):
        if s.orders[k].order_id == order_id:
            return k
    return _NOBODY


@kernel
def _count_working(s, side, lots):
    if side == _BUY:
        s.working_buy_lots += lots
    else:
        s.working_sell_lots += lots


@kernel
def _order_sent(s, intent, order_id, signal_id, lots, now):
    """A new order is on its way: from here on it is at work."""
    order = s.orders[s.v.own_orders]
    s.v.own_orders += 1
    order.order_id, order.signal_id = order_id, signal_id
    order.side, order.px_ticks, order.tag = intent.side, intent.px_ticks, intent.tag
    order.word, order.sent_ns = intent.word, now
    order.qty_lots, order.left_lots, order.cancelling = lots, lots, 0
    _count_working(s, intent.side, lots)


@kernel
def order_left(s, k, left):
    """An own order has this much left; 0: it is done, and the newest order takes its place in the table."""
    order = s.orders[k]
    _count_working(s, order.side, left - order.left_lots)
    order.left_lots = left
    if left > 0:
        return
    s.v.own_orders -= 1
    last = s.orders[s.v.own_orders]
    order.order_id, order.signal_id, order.side = last.order_id, last.signal_id, last.side
    order.px_ticks, order.qty_lots, order.left_lots = last.px_ticks, last.qty_lots, last.left_lots
    order.tag, order.cancelling = last.tag, last.cancelling
    order.word, order.sent_ns = last.word, last.sent_ns
