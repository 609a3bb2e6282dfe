"""The strategy stage: folds market events and reports into a view of the world, asks the strategy, lets risk judge.

    market event ─> book ─(LAST)─> features ─┐
    report ─> own orders, ledger, account ───┼─> decide (the strategy of the run) ─> intents ─> risk gate ─> orders ring
    timer, control ──────────────────────────┘

Invariants:
- Nothing is sent while there is no whole book, before READY, while paused, or after the end of the feed; a cancel always may.
- Every record emitted holds a credit until its report returns it; with fewer than MAX_INTENTS + 1 credits the strategy only
  looks on (`no_credit` counts), and is asked again when a report gave one back. A CANCEL_ALL has a credit of its own.
- The position is what the reports say, and nobody's guess. What was refused is held back until something changed
  (strategy.orders).
- An event that does not end a message costs the book update and nothing else.

Outside READY: in DEGRADED it goes on, and its orders end PROVISIONAL at the broker, on the record; INIT and WARMUP send
nothing. Trading is halted if the own gate (own ledger, own limits, the operator) or the account (reports) says so.
Which strategy is asked stands in `_decide`; its state and parameters are nested records of their own dtype, and `schedule` is
what it was given to read: orders to send, none for the others.
"""

import numpy as np

from ringsim.book import VALID, book_fold
from ringsim.control import RunState
from ringsim.kernel import kernel
from ringsim.ledger import ledger_equity, ledger_fill
from ringsim.lifecycle import Lifecycle
from ringsim.limits import CREDITS, STRATEGY_OUT
from ringsim.records import (
    NEVER_NS,
    ControlCode,
    EventFlag,
    EventKind,
    GapCode,
    OrderKind,
    Reason,
    ReportFlag,
    ReportKind,
    Trading,
)
from ringsim.risk.gate import risk_account, risk_control, risk_halt, risk_round_trip
from ringsim.strategy.divergence import decide_divergence
from ringsim.strategy.features import features_clear, features_sample, features_trade
from ringsim.strategy.foreign import decide_user, user_wake_ns
from ringsim.strategy.imbalance import decide
from ringsim.strategy.orders import (
    RETRY_NS,
    emit_cancel,
    emit_cancel_all,
    emit_order,
    emit_signal,
    emit_snapshot,
    find_order,
    hold_back,
    let_go,
    order_left,
)
from ringsim.strategy.params import StrategyParams
from ringsim.strategy.protocol import MAX_INTENTS, Cause, StrategyKind
from ringsim.strategy.scripted import decide_scripted
from ringsim.strategy.state import STRATEGY_STATE, strategy_init

__all__ = ["STRATEGY_STATE", "StrategyParams", "on_market", "on_report", "on_timer", "strategy_init"]

_LEVEL, _TRADE, _CONTROL = np.int64(EventKind.LEVEL), np.int64(EventKind.TRADE), np.int64(EventKind.CONTROL)
_PREDICTION, _BY_PREDICTION = np.int64(EventKind.PREDICTION), np.int64(Cause.PREDICTION)
_BEGIN, _END_SNAPSHOT = np.int64(EventKind.SNAPSHOT_BEGIN), np.int64(EventKind.SNAPSHOT_END)
_GAP, _LAPPED = np.int64(EventKind.GAP), np.int64(GapCode.LAPPED)
_LAST, _EXCHANGE_ONLY = np.int64(EventFlag.LAST), np.int64(EventFlag.EXCHANGE_ONLY)
_C_LIFECYCLE, _C_TRADING = np.int64(ControlCode.LIFECYCLE), np.int64(ControlCode.TRADING)
_C_RUN, _C_END = np.int64(ControlCode.RUN), np.int64(ControlCode.END_OF_FEED)
_NEW, _CANCEL, _CANCEL_ALL = np.int64(OrderKind.NEW), np.int64(OrderKind.CANCEL), np.int64(OrderKind.CANCEL_ALL)
_SIGNAL, _SIGNAL_END = np.int64(OrderKind.SIGNAL), np.int64(OrderKind.SIGNAL_END)
_ACCEPTED, _PROVISIONAL = np.int64(ReportKind.ACCEPTED), np.int64(ReportKind.PROVISIONAL)
_REJECTED, _FILL = np.int64(ReportKind.REJECTED), np.int64(ReportKind.FILL)
_CANCELLED, _CANCEL_REJECTED = np.int64(ReportKind.CANCELLED), np.int64(ReportKind.CANCEL_REJECTED)
_ACCOUNT, _HALTED_REPORT = np.int64(ReportKind.ACCOUNT), np.int64(ReportKind.HALTED)
_RETURNS_CREDIT = np.int64(ReportFlag.RETURNS_CREDIT)
_ACTIVE, _HALTED = np.int64(Trading.ACTIVE), np.int64(Trading.HALTED)
_BOOK, _NO_BOOK, _REPORT = np.int64(Cause.BOOK), np.int64(Cause.NO_BOOK), np.int64(Cause.REPORT)
_TIMER, _BY_CONTROL, _END = np.int64(Cause.TIMER), np.int64(Cause.CONTROL), np.int64(Cause.END)
_READY, _DEGRADED = np.int64(Lifecycle.READY), np.int64(Lifecycle.DEGRADED)
_RUNNING = np.int64(RunState.RUNNING)
_ASKED, _UNKNOWN_ORDER = np.int64(Reason.ASKED), np.int64(Reason.UNKNOWN_ORDER)
_C_CLOCK = np.int64(ControlCode.CLOCK)
_SCRIPTED, _DIVERGENCE = np.int64(StrategyKind.SCRIPTED), np.int64(StrategyKind.DIVERGENCE)
_USER = np.int64(StrategyKind.USER)
_NONE = np.int64(0)
_NEVER = np.int64(NEVER_NS)
assert MAX_INTENTS + 2 <= STRATEGY_OUT
assert MAX_INTENTS + 1 <= CREDITS


# The strategy is asked


@kernel
def _quarantine(s):
    """A user's strategy has failed: it is not called any more, what works is cancelled, until the operator rearms."""
    risk_halt(s.risk, s.user.fault)
    s.cancel_all = 1
    let_go(s, True)


@kernel
def _decide(s, schedule):
    """Call the strategy of the run. Returns how many intents it wrote."""
    if s.p.kind == _SCRIPTED:
        count = decide_scripted(s.scripted, s.p.scripted, schedule, s.v, s.orders, s.intents)
        s.wake_ns = s.scripted.wake_ns
    elif s.p.kind == _DIVERGENCE:
        count = decide_divergence(s.divergence, s.p.divergence, s.f.now, s.v, s.orders, s.intents)
        s.wake_ns = s.divergence.wake_ns
    elif s.p.kind == _USER:
        count = decide_user(s.p.strategy, s.user, s.p.user, s.f.now, s.v, s.orders, s.intents)
        s.wake_ns = user_wake_ns(s.user, s.v.now_ns)
        if s.user.fault != 0 and s.risk.trading != _HALTED:
            _quarantine(s)
    else:
        count = decide(s.own, s.p.imbalance, s.f.now, s.v, s.orders, s.intents)
        s.wake_ns = s.own.wake_ns
    return count


@kernel
def _ask(s, schedule, cause, now, out):
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
    count = _decide(s, schedule)
    if v.may_act == 0:
        count = 0
    for i in range(min(count, min(s.credits, MAX_INTENTS))):
        intent = s.intents[i]
        if intent.kind == _SIGNAL_END or (intent.kind == _SIGNAL and cause != _END):
            emit_signal(s, intent, now, out)
        elif intent.kind == _CANCEL and cause != _END:
            emit_cancel(s, intent.target_id, now, out)
        elif intent.kind == _NEW and cause != _END:
            emit_order(s, intent, now, out)
    if s.cancel_all != 0 and s.cancel_all_credits > 0 and cause != _END:
        emit_cancel_all(s, now, out)
    _set_timer(s, now)


@kernel
def _set_timer(s, now):
    """The earliest thing that this stage does by itself. Starved, it waits for a report."""
    wake = max(s.wake_ns, now + 1) if s.starved == 0 else _NEVER
    s.timer_ns = min(wake, min(s.held_ns, s.snapshot_ns))


# Inputs


@kernel
def _book_message(s, schedule, ev, now, out):
    """A message that changed the book ended, and the book is whole."""
    if features_sample(s.f, s.book, ev.recv_ns):
        s.mark_ticks = s.f.now.mid2_ticks >> 1
    _ask(s, schedule, _BOOK, now, out)
    if s.f.now.ready != 0 and s.snapshots == 0 and s.snapshot_ns == _NEVER:
        emit_snapshot(s, now, out)
        _next_snapshot(s, now)
        _set_timer(s, now)


@kernel
def _next_snapshot(s, now):
    """The next SNAPSHOT is due at the next multiple of the interval."""
    interval = s.p.snapshot_interval_ns
    s.snapshot_ns = (now // interval + 1) * interval if interval > 0 else _NEVER


@kernel
def _lose_book(s, schedule, now, out):
    features_clear(s.f)
    _ask(s, schedule, _NO_BOOK, now, out)


@kernel
def _control(s, schedule, ev, now, out):
    """The lifecycle, the operator or the feed's end."""
    code, value = ev.code, ev.qty_lots
    if code == _C_END:
        _ask(s, schedule, _END, now, out)
        emit_snapshot(s, now, out)
        s.ended = 1
        s.timer_ns = _NEVER
        return
    if code == _C_LIFECYCLE:
        s.lifecycle = value
    elif code == _C_RUN:
        s.run = value
    elif code == _C_CLOCK:
        s.scripted.start_ns = value
    elif code == _C_TRADING:
        risk_control(s.risk, value)
        if value == _ACTIVE:
            s.account_trading, s.account_reason = _ACTIVE, 0
            s.user.fault = 0
    let_go(s, True)
    _ask(s, schedule, _BY_CONTROL, now, out)


@kernel
def on_market(s, schedule, ev, seq, now, out):
    """Fold a market event.

    schedule: SCHEDULED[n]. ev: MARKET_EVENT record. seq: its sequence in the market ring. now: ns, never decreasing over
    all inputs. out: an Outbox with room for STRATEGY_OUT records.
    """
    kind = ev.kind
    if s.ended != 0 or (ev.flag_bits & _EXCHANGE_ONLY) != 0:
        return
    if ev.symbol != s.p.symbol and kind != _CONTROL and not (kind == _GAP and ev.code == _LAPPED):
        return
    if kind != _CONTROL and not (kind == _GAP and ev.code == _LAPPED):  # these have no place in the market ring
        s.trigger_seq, s.trigger_ns = seq, ev.recv_ns
    if (ev.flag_bits & _LAST) != 0:
        s.messages += 1
    if kind == _LEVEL:
        if book_fold(s.book, ev):
            _book_message(s, schedule, ev, now, out)
    elif kind == _TRADE:
        features_trade(s.f, ev.recv_ns, ev.side, ev.qty_lots)
    elif kind == _PREDICTION:
        s.v.prediction_ticks = ev.px_ticks
        _ask(s, schedule, _BY_PREDICTION, now, out)
    elif kind == _CONTROL:
        _control(s, schedule, ev, now, out)
    elif kind in (_BEGIN, _GAP, _END_SNAPSHOT):
        before = s.book.valid
        book_fold(s.book, ev)
        if before == VALID and s.book.valid != VALID:
            _lose_book(s, schedule, now, out)


@kernel
def _tell_gate(s, now, mark, trip_ended):
    """Tell the own gate how the own ledger stands. Returns whether that changed trading's state.

    If it halts, everything at work is to be cancelled.
    """
    before = s.risk.trading
    net = s.ledger.realized - s.ledger.fees
    risk_account(s.risk, now, net, ledger_equity(s.ledger, mark))
    if trip_ended:
        risk_round_trip(s.risk, net)
    if s.risk.trading == before:
        return False
    if s.risk.trading == _HALTED:
        s.cancel_all = 1
    let_go(s, True)
    return True


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
    k = find_order(s, rep.order_id)
    if kind == _ACCEPTED:
        if k >= 0 and s.orders[k].left_lots != rep.left_lots:  # the account's risk made it smaller
            s.orders[k].qty_lots = rep.qty_lots
            order_left(s, k, rep.left_lots)
        return False
    if kind == _FILL:
        _own_fill(s, rep, now)
        let_go(s, False)
        if k >= 0:
            s.v.fill_lots, s.v.fill_tag, s.v.fill_word = rep.qty_lots, s.orders[k].tag, s.orders[k].word
            order_left(s, k, rep.left_lots)
        return True
    if kind in (_CANCELLED, _REJECTED, _PROVISIONAL):
        let_go(s, False)
        if k >= 0:
            order = s.orders[k]
            if rep.reason != _ASKED and order.left_lots == order.qty_lots:
                hold_back(s, order.tag, order.side, order.px_ticks, rep.reason, now + RETRY_NS)
            order_left(s, k, _NONE)
        return True
    if kind == _CANCEL_REJECTED:
        if k >= 0:
            s.orders[k].cancelling = 0
            if rep.reason == _UNKNOWN_ORDER:  # nothing of that name is there: it is over
                order_left(s, k, _NONE)
        return True
    return False


@kernel
def _account_says(s, trading, reason):
    """The account's trading state, as a report tells it. Returns whether it changed."""
    if trading == s.account_trading:
        return False
    s.account_trading, s.account_reason = trading, reason
    let_go(s, True)
    return True


@kernel
def on_report(s, schedule, rep, acc, seq, now, out):
    """Fold a report.

    rep, acc: one record of the reports ring, read as REPORT and as ACCOUNT. seq: its sequence there. now: ns.
    Reports to other strategies, and of their shares, change nothing; the account's concern all.
    """
    kind = rep.kind
    if rep.strategy != s.p.strategy and rep.strategy < s.p.strategies:
        return
    if kind == _ACCOUNT:
        changed = _account_says(s, acc.trading, acc.reason)
    elif kind == _HALTED_REPORT:
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
        _ask(s, schedule, _REPORT, now, out)
    s.v.fill_lots = 0


@kernel
def on_timer(s, schedule, now, out):
    """The time that the state asked for has come. now: ns, at least timer_ns."""
    if s.ended != 0:
        s.timer_ns = _NEVER
        return
    due = now >= s.snapshot_ns
    changed = due and _tell_gate(s, now, s.mark_ticks, False)  # days and drawdown are noticed here too
    if changed or now >= s.held_ns or (s.starved == 0 and now >= s.wake_ns):
        _ask(s, schedule, _TIMER, now, out)
    if due:
        emit_snapshot(s, now, out)
        _next_snapshot(s, now)
    _set_timer(s, now)
