"""The strategy stage: folds market events and reports into a view of the world, asks the strategy, lets risk judge.

    market event ─> book ─(LAST)─> features ─┐
    report ─> own orders, ledger, account ───┼─> decide (strategy.imbalance) ─> intents ─> risk gate ─> orders ring
    timer, control ──────────────────────────┘

Invariants:
- Nothing is sent while there is no whole book, before READY, while paused, or after the end of the feed; a cancel always may.
- Every record emitted holds a credit until its report returns it; with fewer than MAX_INTENTS + 1 credits the strategy only
  looks on (`no_credit` counts), and is asked again when a report gave one back. A CANCEL_ALL has a credit of its own.
- The position is what the reports say, and nobody's guess; the own gate counts orders as at work from the moment they
  are sent until their last report.
- What was refused (by the own gate: a REFUSED record; by the exchange) is held back until something changed that could
  change the answer: the price where that mattered, a fill or cancel, trading's state, at the latest a second. While
  trading is HALTED or REDUCING one refusal a purpose says so, and then no more until that changes.
- An event that does not end a message costs the book update and nothing else.

Outside READY: in DEGRADED it goes on, and its orders end PROVISIONAL at the broker, on the record; INIT and WARMUP send
nothing. Trading is halted if the own gate (own ledger, own limits, the operator) or the account (reports) says so.
Which strategy is asked stands in one import below; its state and parameters are nested records of their own dtype.
"""

from typing import Any

import numpy as np

from ringsim.book import BOOK, VALID, book_fold
from ringsim.control import RunState
from ringsim.errors import BadInput
from ringsim.fold.outbox import outbox_next
from ringsim.fold.positions import POSITIONS
from ringsim.kernel import kernel
from ringsim.ledger import LEDGER, ledger_equity, ledger_fill, ledger_open
from ringsim.lifecycle import Lifecycle
from ringsim.limits import CANCEL_ALL_CREDITS, CREDITS, OWN_ORDERS, STRATEGY_OUT
from ringsim.records import (
    NEVER_NS,
    ControlCode,
    EventFlag,
    EventKind,
    GapCode,
    OrderFlag,
    OrderKind,
    Reason,
    ReportFlag,
    ReportKind,
    Side,
    Trading,
    Verdict,
)
from ringsim.risk.gate import (
    RISK,
    risk_account,
    risk_control,
    risk_headroom,
    risk_judge,
    risk_open,
    risk_reducible,
    risk_round_trip,
    risk_token_ns,
)
from ringsim.strategy.features import FEATURE_STATE, features_clear, features_open, features_sample, features_trade
from ringsim.strategy.imbalance import IMBALANCE_STATE, decide
from ringsim.strategy.params import STRATEGY_PARAMS, StrategyParams
from ringsim.strategy.protocol import INTENT, MAX_INTENTS, OWN_ORDER, SIZED_BY_STAGE, TAGS, VIEW, Cause
from ringsim.strategy.sizing import entry_lots

RETRY_NS = 1_000_000_000  # a refused order may be tried again after this long, whatever else did not happen

_HELD = np.dtype(  # a refused order, held back
    [
        ("until_ns", "i8"),  # 0: nothing is held
        ("px_ticks", "i8"),
        ("any_px", "i8"),  # 1: another price would not help
        ("by_state", "i8"),  # 1: trading was not ACTIVE; only its change helps
    ]
)

STRATEGY_STATE = np.dtype(
    [
        ("p", STRATEGY_PARAMS),
        ("pos", POSITIONS),
        ("timer_ns", "i8"),
        ("credits", "i8"),
        ("cancel_all_credits", "i8"),
        ("book", BOOK),
        ("f", FEATURE_STATE),
        ("v", VIEW),
        ("own", IMBALANCE_STATE),
        ("intents", INTENT, (MAX_INTENTS,)),
        ("orders", OWN_ORDER, (OWN_ORDERS,)),
        ("held", _HELD, (TAGS,)),
        ("ledger", LEDGER),
        ("risk", RISK),
        # words of the others, as told
        ("lifecycle", "i8"),
        ("run", "i8"),
        ("account_trading", "i8"),  # Trading, from the account's reports
        ("account_reason", "i8"),
        # what is remembered between inputs
        ("working_buy_lots", "i8"),  # left of the own orders
        ("working_sell_lots", "i8"),
        ("mark_ticks", "i8"),  # last mid, rounded down
        ("trigger_seq", "i8"),  # last market event
        ("trigger_ns", "i8"),
        ("last_order_id", "i8"),
        ("signal_id", "i8"),  # of the newest signal
        ("signal_ns", "i8"),  # when it began
        ("first_entry_ns", "i8"),  # its first entry order, 0 none yet
        ("entry_signal_id", "i8"),  # signal of the newest entry order: a close belongs to it
        ("snapshot_ns", "i8"),  # next SNAPSHOT, NEVER_NS before the first
        ("held_ns", "i8"),  # earliest time at which an order held back may be tried again
        ("starved", "i8"),  # 1: the strategy wanted to act and lacked credits
        ("cancel_all", "i8"),  # 1: the own gate halted, and what works has not been cancelled yet
        ("ended", "i8"),
        # counters, for the summary
        ("messages", "i8"),  # market messages that ended
        ("decisions", "i8"),
        ("signals", "i8"),
        ("submitted", "i8"),  # NEW
        ("adjusted", "i8"),  # of them, made smaller by the own gate
        ("cancels", "i8"),
        ("fills", "i8"),
        ("snapshots", "i8"),
        ("no_credit", "i8"),
        ("held_back", "i8"),
        ("refused", "i8", (128,)),  # by Reason
    ]
)

_BUY = int(Side.BUY)
_LEVEL, _TRADE, _BEGIN, _END_SNAPSHOT, _GAP, _CONTROL = (
    int(k)
    for k in (
        EventKind.LEVEL,
        EventKind.TRADE,
        EventKind.SNAPSHOT_BEGIN,
        EventKind.SNAPSHOT_END,
        EventKind.GAP,
        EventKind.CONTROL,
    )
)
_LAST, _LAPPED = int(EventFlag.LAST), int(GapCode.LAPPED)
_C_LIFECYCLE, _C_TRADING, _C_RUN, _C_END = (
    int(c) for c in (ControlCode.LIFECYCLE, ControlCode.TRADING, ControlCode.RUN, ControlCode.END_OF_FEED)
)
_NEW, _CANCEL, _CANCEL_ALL, _REFUSED, _SIGNAL, _SIGNAL_END, _SNAPSHOT = (
    int(k)
    for k in (
        OrderKind.NEW,
        OrderKind.CANCEL,
        OrderKind.CANCEL_ALL,
        OrderKind.REFUSED,
        OrderKind.SIGNAL,
        OrderKind.SIGNAL_END,
        OrderKind.SNAPSHOT,
    )
)
_R_ACCEPTED, _R_PROVISIONAL, _R_REJECTED, _R_FILL, _R_CANCELLED, _R_CANCEL_REJECTED, _R_ACCOUNT, _R_HALTED = (
    int(k)
    for k in (
        ReportKind.ACCEPTED,
        ReportKind.PROVISIONAL,
        ReportKind.REJECTED,
        ReportKind.FILL,
        ReportKind.CANCELLED,
        ReportKind.CANCEL_REJECTED,
        ReportKind.ACCOUNT,
        ReportKind.HALTED,
    )
)
_RETURNS_CREDIT = int(ReportFlag.RETURNS_CREDIT)
_REDUCES, _CLOSES = int(OrderFlag.REDUCES), int(OrderFlag.CLOSES)
_ADJUSTED, _REJECTED = int(Verdict.ADJUSTED), int(Verdict.REJECTED)
_ACTIVE, _REDUCING, _HALTED = int(Trading.ACTIVE), int(Trading.REDUCING), int(Trading.HALTED)
_BOOK, _NO_BOOK, _REPORT, _TIMER, _BY_CONTROL, _END = (
    int(c) for c in (Cause.BOOK, Cause.NO_BOOK, Cause.REPORT, Cause.TIMER, Cause.CONTROL, Cause.END)
)
_READY, _DEGRADED, _RUNNING = int(Lifecycle.READY), int(Lifecycle.DEGRADED), int(RunState.RUNNING)
_OPEN_ORDERS, _ORDER_RATE, _ASKED = int(Reason.OPEN_ORDERS), int(Reason.ORDER_RATE), int(Reason.ASKED)
_UNKNOWN_ORDER, _REDUCING_REASON = int(Reason.UNKNOWN_ORDER), int(Reason.REDUCING)
_INTENT, _NOTIONAL, _COLLAR = int(Reason.INTENT), int(Reason.NOTIONAL), int(Reason.PRICE_COLLAR)
_WOULD_TAKE, _NO_LIQUIDITY, _NOT_FILLABLE = (
    int(Reason.WOULD_TAKE),
    int(Reason.NO_LIQUIDITY),
    int(Reason.NOT_FILLABLE),
)
_NEVER = NEVER_NS
assert MAX_INTENTS + 2 <= STRATEGY_OUT
assert MAX_INTENTS + 1 <= CREDITS


def strategy_init(params: StrategyParams) -> np.ndarray:
    """The state at the start of a run: STRATEGY_STATE[1], as if READY, RUNNING, ACTIVE. Cold.

    Raises BadInput with every parameter that lies outside its range.
    """
    problems = params.problems()
    if problems:
        raise BadInput("strategy: " + "; ".join(problems))
    state = np.zeros(1, STRATEGY_STATE).view(np.recarray)
    s: Any = state[0]
    params.store(s.p)
    features_open(s.f, params.feature_window_ns, params.feature_store)
    ledger_open(s.ledger, params.capital)
    risk_open(s.risk, params.limits, params.capital, params.utc_offset_ns)
    s.credits, s.cancel_all_credits = CREDITS, CANCEL_ALL_CREDITS
    s.lifecycle, s.run = Lifecycle.READY, RunState.RUNNING
    s.timer_ns = s.snapshot_ns = s.held_ns = NEVER_NS
    s.own.wake_ns = NEVER_NS
    s.trigger_seq = -1
    return state


# What goes out


@kernel
def _emit(s, kind, now, out):
    """A fresh record of the orders ring with what all have; takes a credit. Returns its index."""
    i = outbox_next(out)
    o = out.records[i]
    o.kind, o.strategy, o.symbol = kind, s.p.strategy, s.p.symbol
    o.trigger_seq, o.trigger_ns, o.created_ns = s.trigger_seq, s.trigger_ns, now
    s.credits -= 1
    return i


@kernel
def _emit_snapshot(s, now, out):
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
def _emit_signal(s, intent, now, out):
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
def _emit_cancel(s, order_id, now, out):
    """Ask for an own order's end; one that is not at work any more, or is being cancelled, needs none."""
    k = _find(s, order_id)
    if k < 0 or s.orders[k].cancelling != 0:
        return
    order = s.orders[k]
    order.cancelling = 1
    s.cancels += 1
    o = out.records[_emit(s, _CANCEL, now, out)]
    o.target_id, o.signal_id, o.side = order_id, order.signal_id, order.side


@kernel
def _judge(s, intent, asked, now):
    """(Verdict, Reason, lots): room in the table, then the account's word, then the own gate."""
    if s.v.own_orders >= OWN_ORDERS:
        return _REJECTED, _OPEN_ORDERS, 0
    position, buys, sells = s.ledger.position_lots, s.working_buy_lots, s.working_sell_lots
    if s.account_trading == _HALTED:
        return _REJECTED, s.account_reason, 0
    if s.account_trading == _REDUCING and risk_reducible(intent.side, position, buys, sells) < 1:
        return _REJECTED, _REDUCING_REASON, 0
    return risk_judge(s.risk, now, intent.side, intent.px_ticks, asked, position, buys, sells, s.mark_ticks)


@kernel
def _emit_order(s, intent, now, out):
    """Size, judge and send a new order, or say why not."""
    held = s.held[intent.tag]
    if s.v.may_send == 0:
        s.held_back += 1
        return
    if now < held.until_ns and (held.any_px != 0 or held.px_ticks == intent.px_ticks):
        s.held_back += 1
        s.held_ns = min(s.held_ns, held.until_ns)
        return
    position, buys, sells = s.ledger.position_lots, s.working_buy_lots, s.working_sell_lots
    asked = intent.qty_lots
    if asked == SIZED_BY_STAGE:
        price = intent.px_ticks if intent.px_ticks > 0 else s.mark_ticks
        headroom = risk_headroom(s.risk, intent.side, price, position, buys, sells)
        asked = entry_lots(headroom, s.p.order_size_ppm)
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
        again_ns = max(now + 1, risk_token_ns(s.risk, now)) if reason == _ORDER_RATE else now + RETRY_NS
        _hold(s, intent.tag, intent.px_ticks, reason, again_ns)
        s.held_ns = min(s.held_ns, held.until_ns)
        return
    s.submitted += 1
    if verdict == _ADJUSTED:
        s.adjusted += 1
    s.last_order_id += 1
    o.order_id = s.last_order_id
    o.flag_bits = (intent.flag_bits & _CLOSES) | (_REDUCES if lots <= reducible else 0)
    if not closes:
        s.entry_signal_id = s.signal_id
        if s.first_entry_ns == 0:
            s.first_entry_ns = now
    order = s.orders[s.v.own_orders]
    s.v.own_orders += 1
    order.order_id, order.signal_id = s.last_order_id, o.signal_id
    order.side, order.px_ticks, order.tag = intent.side, intent.px_ticks, intent.tag
    order.qty_lots, order.left_lots, order.cancelling = lots, lots, 0
    _count_working(s, intent.side, lots)


@kernel
def _emit_cancel_all(s, now, out):
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
def _hold(s, tag, px, reason, until_ns):
    """Remember a refusal until a time: see the file's head."""
    held = s.held[tag]
    held.px_ticks = px
    held.any_px = 0 if _price_matters(reason) else 1
    held.by_state = 0
    held.until_ns = until_ns
    if s.risk.trading != _ACTIVE or s.account_trading != _ACTIVE:
        held.by_state, held.any_px, held.until_ns = 1, 1, _NEVER


@kernel
def _let_go(s, by_state):
    """Something changed: forget refusals; those by trading's state only if that is what changed."""
    for tag in range(TAGS):
        if by_state or s.held[tag].by_state == 0:
            s.held[tag].until_ns = 0


# Own orders


@kernel
def _find(s, order_id):
    """Index of an own order, -1 if it is not at work."""
    for k in range(s.v.own_orders):
        if s.orders[k].order_id == order_id:
            return k
    return -1


@kernel
def _count_working(s, side, lots):
    if side == _BUY:
        s.working_buy_lots += lots
    else:
        s.working_sell_lots += lots


@kernel
def _now_left(s, k, left):
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


# The strategy is asked


@kernel
def _ask(s, cause, now, out):
    """Call the strategy and carry out what it proposes; set the timer."""
    v = s.v
    v.cause, v.now_ns = cause, now
    v.position_lots = s.ledger.position_lots
    v.may_act = 1 if s.credits > (MAX_INTENTS if cause != _END else 1) else 0
    sends = s.lifecycle == _READY or s.lifecycle == _DEGRADED
    v.may_send = 1 if s.f.now.ready != 0 and sends and s.run == _RUNNING and cause != _END else 0
    s.starved = 1 - v.may_act
    s.no_credit += s.starved
    s.held_ns = _NEVER
    s.decisions += 1
    count = decide(s.own, s.p.imbalance, s.f.now, v, s.orders, s.intents)
    if v.may_act == 0:
        count = 0
    for i in range(min(count, MAX_INTENTS)):
        intent = s.intents[i]
        if intent.kind == _SIGNAL_END or (intent.kind == _SIGNAL and cause != _END):
            _emit_signal(s, intent, now, out)
        elif intent.kind == _CANCEL and cause != _END:
            _emit_cancel(s, intent.target_id, now, out)
        elif intent.kind == _NEW and cause != _END:
            _emit_order(s, intent, now, out)
    if s.cancel_all != 0 and s.cancel_all_credits > 0 and cause != _END:
        _emit_cancel_all(s, now, out)
    _set_timer(s, now)


@kernel
def _set_timer(s, now):
    """The earliest thing that this stage does by itself. Starved, it waits for a report."""
    wake = max(s.own.wake_ns, now + 1) if s.starved == 0 else _NEVER
    s.timer_ns = min(wake, min(s.held_ns, s.snapshot_ns))


# Inputs


@kernel
def _book_message(s, ev, now, out):
    """A message that changed the book ended, and the book is whole."""
    if features_sample(s.f, s.book, ev.recv_ns):
        s.mark_ticks = s.f.now.mid2_ticks >> 1
    _ask(s, _BOOK, now, out)
    if s.f.now.ready != 0 and s.snapshots == 0 and s.snapshot_ns == _NEVER:
        _emit_snapshot(s, now, out)
        _next_snapshot(s, now)
        _set_timer(s, now)


@kernel
def _next_snapshot(s, now):
    """The next SNAPSHOT is due at the next multiple of the interval."""
    interval = s.p.snapshot_interval_ns
    s.snapshot_ns = (now // interval + 1) * interval if interval > 0 else _NEVER


@kernel
def _lose_book(s, now, out):
    features_clear(s.f)
    _ask(s, _NO_BOOK, now, out)


@kernel
def _control(s, ev, now, out):
    """The lifecycle, the operator or the feed's end."""
    code, value = ev.code, ev.qty_lots
    if code == _C_END:
        _ask(s, _END, now, out)
        _emit_snapshot(s, now, out)
        s.ended = 1
        s.timer_ns = _NEVER
        return
    if code == _C_LIFECYCLE:
        s.lifecycle = value
    elif code == _C_RUN:
        s.run = value
    elif code == _C_TRADING:
        risk_control(s.risk, value)
        if value == _ACTIVE:
            s.account_trading, s.account_reason = _ACTIVE, 0
    _let_go(s, True)
    _ask(s, _BY_CONTROL, now, out)


@kernel
def on_market(s, ev, seq, now, out):
    """Fold a market event.

    ev: MARKET_EVENT record. seq: its sequence in the market ring. now: ns, never decreasing over all inputs.
    out: an Outbox with room for STRATEGY_OUT records.
    """
    kind = ev.kind
    if s.ended != 0:
        return
    if ev.symbol != s.p.symbol and kind != _CONTROL and not (kind == _GAP and ev.code == _LAPPED):
        return
    last = (ev.flag_bits & _LAST) != 0
    s.messages += last
    if kind == _LEVEL:
        s.trigger_seq, s.trigger_ns = seq, ev.recv_ns
        if book_fold(s.book, ev):
            _book_message(s, ev, now, out)
    elif kind == _TRADE:
        s.trigger_seq, s.trigger_ns = seq, ev.recv_ns
        features_trade(s.f, ev.recv_ns, ev.side, ev.qty_lots)
    elif kind == _CONTROL:
        _control(s, ev, now, out)
    elif kind in (_BEGIN, _GAP, _END_SNAPSHOT):
        before = s.book.valid
        book_fold(s.book, ev)
        if before == VALID and s.book.valid != VALID:
            _lose_book(s, now, out)
    else:
        s.trigger_seq, s.trigger_ns = seq, ev.recv_ns


@kernel
def _tell_gate(s, now, mark, trip_ended):
    """Tell the own gate how the own ledger stands. If that halts, everything at work is to be cancelled. Returns whether."""
    net = s.ledger.realized - s.ledger.fees
    halts = risk_account(s.risk, now, net, ledger_equity(s.ledger, mark)) != 0
    if trip_ended and risk_round_trip(s.risk, net) != 0:
        halts = True
    if halts:
        s.cancel_all = 1
        _let_go(s, True)
    return halts


@kernel
def _own_fill(s, rep, now):
    """Book a fill in the own ledger."""
    before = s.ledger.position_lots
    ledger_fill(s.ledger, rep.side, rep.px_ticks, rep.qty_lots, rep.fee)
    s.fills += 1
    after = s.ledger.position_lots
    trip_ended = before != 0 and (after == 0 or (after > 0) != (before > 0))
    _tell_gate(s, now, s.mark_ticks if s.mark_ticks > 0 else rep.px_ticks, trip_ended)


@kernel
def _own_report(s, rep, now):
    """A report about an own order. Returns whether the strategy should be asked."""
    kind = rep.kind
    k = _find(s, rep.order_id)
    if kind == _R_ACCEPTED:
        if k >= 0 and s.orders[k].left_lots != rep.left_lots:  # the account's risk made it smaller
            s.orders[k].qty_lots = rep.qty_lots
            _now_left(s, k, rep.left_lots)
        return False
    if kind == _R_FILL:
        _own_fill(s, rep, now)
        _let_go(s, False)
        if k >= 0:
            _now_left(s, k, rep.left_lots)
        return True
    if kind in (_R_CANCELLED, _R_REJECTED, _R_PROVISIONAL):
        _let_go(s, False)
        if k >= 0:
            order = s.orders[k]
            if rep.reason != _ASKED and order.left_lots == order.qty_lots:
                _hold(s, order.tag, order.px_ticks, rep.reason, now + RETRY_NS)
            _now_left(s, k, 0)
        return True
    if kind == _R_CANCEL_REJECTED:
        if k >= 0:
            s.orders[k].cancelling = 0
            if rep.reason == _UNKNOWN_ORDER:  # nothing of that name is there: it is over
                _now_left(s, k, 0)
        return True
    return False


@kernel
def _account_says(s, trading, reason):
    """The account's trading state, as a report tells it. Returns whether it changed."""
    if trading == s.account_trading:
        return False
    s.account_trading, s.account_reason = trading, reason
    _let_go(s, True)
    return True


@kernel
def on_report(s, rep, acc, seq, now, out):
    """Fold a report.

    rep, acc: one record of the reports ring, read as REPORT and as ACCOUNT. seq: its sequence there. now: ns.
    Reports to other strategies change nothing; the account's concern all.
    """
    kind = rep.kind
    if kind == _R_ACCOUNT:
        changed = _account_says(s, acc.trading, acc.reason)
    elif kind == _R_HALTED:
        changed = _account_says(s, _HALTED, rep.reason)
    elif rep.strategy != s.p.strategy:
        return
    else:
        if (rep.flag_bits & _RETURNS_CREDIT) != 0:
            if rep.order_kind == _CANCEL_ALL:
                s.cancel_all_credits += 1
            else:
                s.credits += 1
        changed = _own_report(s, rep, now)
    if s.ended == 0 and (changed or (s.starved != 0 and s.credits > MAX_INTENTS)):
        _ask(s, _REPORT, now, out)


@kernel
def on_timer(s, now, out):
    """The time that the state asked for has come. now: ns, at least timer_ns."""
    if s.ended != 0:
        s.timer_ns = _NEVER
        return
    due = now >= s.snapshot_ns
    halts = due and _tell_gate(s, now, s.mark_ticks, False)  # days and drawdown are noticed here too
    if halts or now >= s.held_ns or (s.starved == 0 and now >= s.own.wake_ns):
        _ask(s, _TIMER, now, out)
    if due:
        _emit_snapshot(s, now, out)
        _next_snapshot(s, now)
    _set_timer(s, now)
