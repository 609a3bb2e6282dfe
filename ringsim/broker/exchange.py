"""The paper broker's fold: market events, records of the orders ring and its own timer in, reports out.

    on_market   the book; trades and levels that reach our orders; control events
    on_order    receives a record and puts it on its way (signals, refusals and snapshots are answered at once)
    on_timer    one thing that is due: a record arrives at the exchange, a PERIODIC account, the expiry after the end of
                the feed

Invariants:
- Time: a record is acted on at max(created + entry latency, received, the record before it), a report delivered at
  max(now + response latency, the report before it). `timer_ns` is the earliest thing due, NEVER_NS if there is none, and
  while half of a message is folded: nothing is acted on between two levels of one message.
- Each record of the orders ring gets exactly one report that returns its credit (ringsim.broker.reports).
- A report names what caused it: the market event that filled or halted, the trigger of the record that it answers or acts
  on, the END_OF_FEED event for the expiry; -1 for an account that only the clock asked for.
- After each input that changed the account (a fill or a halt), each record acted on and each account told its identities
  hold, or trading halts with LEDGER_IDENTITY; after a change one ACCOUNT record follows, of several strategies one for each
  that filled before it. One input makes at most EXECUTION_OUT records.
- Between BEGIN of a snapshot, or a GAP, and the next SNAPSHOT_END nothing fills and new orders are NO_BOOK; resting orders
  stay, and then stand no further back than the whole new level: F = min(F, level).
- Nothing executes outside READY and RUNNING: new orders are PROVISIONAL then. Resting orders stay in the market.
- A connection is full with MAX_IN_FLIGHT records, the last IN_FLIGHT_CANCELS places being for cancels: beyond it a record is
  refused at once with IN_FLIGHT.
- After the expiry the run is over: what still comes is refused at once with END_OF_FEED.

Events of other symbols are skipped. Twin: tests/naive/broker.py.
"""

import numpy as np

from ringsim.book import VALID, book_clear, book_fold, book_mid2, book_qty
from ringsim.broker.acceptance import act_cancel, act_cancel_all, act_new, act_replace, reject_change
from ringsim.broker.account import (
    cancel_in_flight,
    cancel_resting,
    copy_in_flight,
    finish_input,
    halt,
    halted,
    update_mark,
    watch_account,
)
from ringsim.broker.delays import no_delays
from ringsim.broker.fifo import fifo_front
from ringsim.broker.latency import TABLED, LatencyModel, latency_entry, session_ns
from ringsim.broker.liquidity import forget_taken, level_was_set
from ringsim.broker.matching import cross_fills, crossed, trade_fills
from ringsim.broker.moves import moves_cbps, moves_look
from ringsim.broker.orders import orders_clear, watched
from ringsim.broker.params import BrokerParams
from ringsim.broker.queue import QueueModel, queue_depth
from ringsim.broker.reports import report_accounts, report_answer, report_received
from ringsim.broker.shares import shares_open
from ringsim.broker.state import BROKER_STATE
from ringsim.control import RunState
from ringsim.errors import BadInput
from ringsim.kernel import kernel
from ringsim.ledger import ledger_equity, ledger_open
from ringsim.lifecycle import Lifecycle
from ringsim.limits import IN_FLIGHT_CANCELS, MAX_IN_FLIGHT
from ringsim.records import (
    NEVER_NS,
    ControlCode,
    EventFlag,
    EventKind,
    OrderKind,
    Reason,
    ReportFlag,
    ReportKind,
    Side,
    Trading,
)
from ringsim.risk.gate import risk_account, risk_control, risk_open

_NEVER = NEVER_NS
_FIFO = np.int64(QueueModel.FIFO)
_QUIET, _CROSS, _ALL = np.int64(0), np.int64(1), np.int64(2)  # what an event still asks for after the quiet fold
_NONE, _NO_SLOT, _NO_EVENT = np.int64(0), np.int64(-1), np.int64(-1)
_BUY, _SELL = np.int64(Side.BUY), np.int64(Side.SELL)
_LEVEL, _TRADE, _PREDICTION, _QUOTE = (
    np.int64(k) for k in (EventKind.LEVEL, EventKind.TRADE, EventKind.PREDICTION, EventKind.QUOTE)
)
_CONTROL = np.int64(EventKind.CONTROL)
_LAST, _REFRESH = np.int64(EventFlag.LAST), np.int64(EventFlag.REFRESH)
_STRATEGY_ONLY = np.int64(EventFlag.STRATEGY_ONLY)
_LIFECYCLE, _TRADING, _RUN, _END_OF_FEED, _CLOCK = (
    np.int64(c)
    for c in (ControlCode.LIFECYCLE, ControlCode.TRADING, ControlCode.RUN, ControlCode.END_OF_FEED, ControlCode.CLOCK)
)
_NEW, _CANCEL, _CANCEL_ALL, _REPLACE = (
    np.int64(k) for k in (OrderKind.NEW, OrderKind.CANCEL, OrderKind.CANCEL_ALL, OrderKind.REPLACE)
)
_REFUSED, _SNAPSHOT = np.int64(OrderKind.REFUSED), np.int64(OrderKind.SNAPSHOT)
_REJECTED, _CANCEL_REJECTED, _NOTED = (
    np.int64(k) for k in (ReportKind.REJECTED, ReportKind.CANCEL_REJECTED, ReportKind.NOTED)
)
_FINAL, _PERIODIC = np.int64(ReportFlag.FINAL), np.int64(ReportFlag.PERIODIC)
_HALTED = np.int64(Trading.HALTED)
_KILL_SWITCH, _IN_FLIGHT, _BAD_ORDER, _END_REASON = (
    np.int64(r) for r in (Reason.KILL_SWITCH, Reason.IN_FLIGHT, Reason.BAD_ORDER, Reason.END_OF_FEED)
)


def broker_init(params: BrokerParams, delays: np.ndarray | None = None) -> np.ndarray:
    """A BROKER_STATE recarray of one record: READY, RUNNING, no book yet. Cold.

    delays: DELAYS[1], what a latency model looks into that has a table.
    Raises BadInput, naming every parameter out of its range.
    """
    problems = params.problems()
    table = no_delays()[0] if delays is None else delays[0]
    if params.latency_model in TABLED and (table.entry.count < 1 or table.response.count < 1):
        problems.append(f"the latency model {params.latency_model.name} has no table")
    if problems:
        raise BadInput("the paper exchange: " + "; ".join(problems))
    state = np.zeros(1, BROKER_STATE).view(np.recarray)
    s = state[0]
    params.store(s.p)
    risk_open(s.risk, params.limits, params.cash0, params.utc_offset_ns)
    book_clear(s.book)
    ledger_open(s.ledger, params.cash0)
    shares_open(s.shares, params.cash0)
    orders_clear(s)
    s.lifecycle, s.run = Lifecycle.READY, RunState.RUNNING
    s.timer_ns, s.next_ns, s.snapshot_ns, s.expire_ns = NEVER_NS, NEVER_NS, NEVER_NS, NEVER_NS
    s.feed_ns = NEVER_NS if params.realtime else 0
    s.look_ns = 0 if params.latency_model == LatencyModel.VOLATILITY else NEVER_NS
    s.newest_id = 0 if params.queue_model == QueueModel.FIFO else NEVER_NS
    s.delays = table
    s.cause_seq = -1
    return state


@kernel
def _set_timer(s):
    """The earliest thing that is due; hidden while half of a message is folded."""
    due = min(s.snapshot_ns, s.expire_ns)
    if s.in_flight_count > 0:
        due = min(due, s.in_flight[s.in_flight_head].due_ns)
    s.next_ns = due
    s.timer_ns = _NEVER if s.mid_message != 0 else due


@kernel
def _finish(s, now, out):
    """What every input ends with that touched the account or the timers."""
    watch_account(s)
    if s.touched != 0 or s.breach != 0:
        finish_input(s, now, out)
    _set_timer(s)


@kernel
def _look(s, now):
    """How far has the mid gone? Between two messages only."""
    if s.mid_message == 0:
        mid2 = book_mid2(s.book) if s.book.valid == VALID else _NONE
        s.look_ns = moves_look(s.moves, mid2, s.look_ns, now)


# Market


@kernel
def _watched_level(s, ev, side, px):
    """A level in the range of our orders or of what we took: fold it, and tell both."""
    listens = s.book.valid == VALID and (ev.flag_bits & _REFRESH) == 0
    before = book_qty(s.book, side, px)
    ready = book_fold(s.book, ev)
    if listens:
        after = book_qty(s.book, side, px)
        for i in range(s.ranked[side]):
            o = s.orders[s.rank[side, i]]
            if o.px != px:
                continue
            if s.p.queue_model == _FIFO:
                o.front = fifo_front(o.front, o.newest_id, ev.id, before, after)
            else:
                o.front = queue_depth(s.p.queue_model, s.p.queue_n, o.front, o.traded, before, after)
                o.traded = 0
        level_was_set(s, side, px, after)
    return ready


@kernel
def _whole_again(s, now):
    """The book is valid after it was not: orders stand no further back than the level, nothing of it is taken."""
    for side in (_BUY, _SELL):
        for i in range(s.ranked[side]):
            o = s.orders[s.rank[side, i]]
            o.front, o.traded = min(o.front, float(book_qty(s.book, side, o.px))), 0
    forget_taken(s)
    if s.snapshot_ns == _NEVER and s.p.snapshot_interval_ns > 0 and s.expire_ns == _NEVER and s.finished == 0:
        s.snapshot_ns = (now // s.p.snapshot_interval_ns + 1) * s.p.snapshot_interval_ns


@kernel
def _control(s, ev, now, out):
    """The lifecycle, the operator or the feed's end."""
    code, value = ev.code, ev.qty_lots
    if code == _LIFECYCLE:
        s.lifecycle = value
    elif code == _RUN:
        s.run = value
    elif code == _CLOCK:
        s.feed_ns = value
    elif code == _TRADING:
        if value != _HALTED:
            risk_control(s.risk, value)
        elif not halted(s):
            halt(s, _KILL_SWITCH, now, out)
    elif code == _END_OF_FEED and s.expire_ns == _NEVER and s.finished == 0:
        s.expire_ns = now if value == 1 else now + s.p.expiry_ns  # 1: the run is being stopped
        s.end_seq, s.end_ns = s.cause_seq, s.cause_ns
        s.mid_message = 0


@kernel
def _rare_event(s, ev, seq, now, out):
    """Snapshots, gaps and control: returns as book_fold."""
    s.cause_seq, s.cause_ns = seq, ev.recv_ns
    if ev.kind == _CONTROL:
        if (ev.flag_bits & _LAST) != 0:
            s.mid_message = 0
        _control(s, ev, now, out)
        _finish(s, now, out)
        return False
    before = s.book.valid
    if before == VALID:
        update_mark(s)  # the last that is known, should the book become invalid now
    ready = book_fold(s.book, ev)
    if before != VALID and s.book.valid == VALID:
        _whole_again(s, now)
    s.mid_message = 0
    _set_timer(s)
    return ready


@kernel
def _fold_quietly(s, ev):
    """What most events need, and nothing else: returns QUIET, or what is still to be done.

    Kept small and without the outbox, so that it costs little more than the book's own fold.
    """
    kind = ev.kind
    if ev.symbol != s.p.symbol or (ev.flag_bits & _STRATEGY_ONLY) != 0:
        return _ALL if kind == _CONTROL else _QUIET
    last = (ev.flag_bits & _LAST) != 0
    if kind == _LEVEL:
        side, px = np.int64(ev.side) & 3, ev.px_ticks
        if ev.id > s.newest_id:
            s.newest_id = ev.id
        if watched(s, side, px):
            return _ALL
        ready = book_fold(s.book, ev)
        if last:
            s.mid_message = 0
            s.timer_ns = s.next_ns
            return _CROSS if ready and s.open_orders > 0 and crossed(s) else _QUIET
        s.mid_message = 1
        s.timer_ns = _NEVER
        return _QUIET
    if kind == _TRADE or kind == _QUOTE or kind == _PREDICTION:  # noqa: SIM109  (a tuple is compared by a loop)
        if last:
            s.mid_message = 0
            s.timer_ns = s.next_ns
        if s.open_orders == 0 or s.book.valid != VALID:
            return _QUIET
        if kind == _TRADE:
            px = ev.px_ticks
            if px <= s.own_best[_BUY] if ev.side == _SELL else px >= s.own_best[_SELL]:
                return _ALL
        return _CROSS if last and crossed(s) else _QUIET
    return _ALL


@kernel
def _fold_with_orders(s, ev, what, seq, now, out):
    """An event that may concern our orders, or is rare. what: ALL, or CROSS if only the crossing is left to look at."""
    kind = ev.kind
    ready = True
    last = (ev.flag_bits & _LAST) != 0
    if what == _ALL:
        if kind == _LEVEL:
            ready = _watched_level(s, ev, np.int64(ev.side), ev.px_ticks)
            s.mid_message = 0 if last else 1
            s.timer_ns = s.next_ns if last else _NEVER
        elif kind == _TRADE:
            ready = last
            side = np.int64(ev.side)
            if ev.qty_lots > 0 and side in (_BUY, _SELL):
                s.cause_seq, s.cause_ns = seq, ev.recv_ns
                trade_fills(s, side, ev.px_ticks, ev.qty_lots, ev.id, seq, now, out)
        else:
            ready = _rare_event(s, ev, seq, now, out)
    if ready and s.open_orders > 0 and crossed(s):
        s.cause_seq, s.cause_ns = seq, ev.recv_ns
        cross_fills(s, seq, now, out)
    if s.touched != 0 or s.breach != 0:
        _finish(s, now, out)


@kernel
def on_market(s, ev, seq, now, out):
    """Fold a market event.

    ev: MARKET_EVENT record. seq: its sequence in the market ring. now: ns, never decreasing over all inputs.
    """
    if now >= s.look_ns:
        _look(s, now)
    what = _fold_quietly(s, ev)
    if what != _QUIET:
        _fold_with_orders(s, ev, what, seq, now, out)


# Orders


@kernel
def _put_in_flight(s, order, now):
    """Send a record on its way to the exchange."""
    sent_ns = session_ns(s.p.latency, s.feed_ns, order.created_ns)
    due = max(order.created_ns + latency_entry(s.p.latency, s.delays, moves_cbps(s.moves), sent_ns, s.entries), now)
    s.entries += 1
    if due < s.due_ns:
        s.counters.forced_due += 1
        due = s.due_ns
    s.due_ns = due
    a = s.in_flight[(s.in_flight_head + s.in_flight_count) % MAX_IN_FLIGHT]
    s.in_flight_count += 1
    a.kind, a.order_id, a.target_id = order.kind, order.order_id, order.target_id
    a.strategy, a.symbol, a.side, a.type, a.tif = order.strategy, order.symbol, order.side, order.type, order.tif
    a.px, a.qty, a.trigger_seq, a.trigger_ns = order.px_ticks, order.qty_lots, order.trigger_seq, order.trigger_ns
    a.created_ns, a.received_ns, a.due_ns = order.created_ns, now, due


@kernel
def _refuse_received(s, order, reason, now, out):
    """A record of the order entry that cannot be sent on."""
    kind = order.kind
    if kind == _CANCEL_ALL:
        report_received(s, out, order, _NOTED, reason, now)
    elif kind in (_CANCEL, _REPLACE):
        s.counters.cancel_rejected[reason] += 1
        report_received(s, out, order, _CANCEL_REJECTED, reason, now)
    else:
        s.counters.rejected[reason] += 1
        report_received(s, out, order, _REJECTED, reason, now)


@kernel
def on_order(s, order, seq, now, out):
    """Receive a record of the orders ring.

    order: ORDER record (kind SNAPSHOT: FEATURES). seq: its sequence there. now: ns.
    """
    if now >= s.look_ns:
        _look(s, now)
    kind = order.kind
    s.cause_seq, s.cause_ns = order.trigger_seq, order.trigger_ns
    if kind == _NEW:
        s.counters.submitted += 1
    if kind >= _NEW and kind <= _REPLACE:
        new = kind in (_NEW, _REPLACE)
        places = MAX_IN_FLIGHT - IN_FLIGHT_CANCELS if new else MAX_IN_FLIGHT
        if s.finished != 0:
            _refuse_received(s, order, _END_REASON, now, out)
        elif s.in_flight_count >= places:
            _refuse_received(s, order, _IN_FLIGHT, now, out)
        else:
            _put_in_flight(s, order, now)
            _set_timer(s)
    elif kind == _REFUSED:
        report_received(s, out, order, _NOTED, np.int64(order.reason), now)
    elif kind > _REFUSED and kind <= _SNAPSHOT:
        report_received(s, out, order, _NOTED, _NONE, now)
    else:
        _refuse_received(s, order, _BAD_ORDER, now, out)


# Time


@kernel
def _next_in_flight(s):
    """Take the oldest record in flight into `acting`; it is the cause of what follows."""
    a = s.in_flight[s.in_flight_head]
    s.in_flight_head = (s.in_flight_head + 1) % MAX_IN_FLIGHT
    s.in_flight_count -= 1
    copy_in_flight(s.acting, a)
    s.cause_seq, s.cause_ns = a.trigger_seq, a.trigger_ns


@kernel
def _act(s, now, out):
    """The exchange acts on the oldest record in flight."""
    _next_in_flight(s)
    kind = s.acting.kind
    if kind == _NEW:
        act_new(s, now, out)
    elif kind == _CANCEL:
        act_cancel(s, now, out)
    elif kind == _CANCEL_ALL:
        act_cancel_all(s, now, out)
    else:
        act_replace(s, now, out)


@kernel
def _account_now(s, flags, now, out):
    """Tell risk and the reader how the account stands; days and drawdown are noticed here too."""
    update_mark(s)
    ledger = s.ledger
    reason = risk_account(s.risk, now, ledger.realized - ledger.fees, ledger_equity(ledger, s.mark_ticks))
    if reason != 0:
        halt(s, reason, now, out)
        s.touched = 0
    watch_account(s)
    if s.breach != 0:
        halt(s, s.breach, now, out)
        s.breach, s.touched = 0, 0
    report_accounts(s, out, flags, s.risk.halt_reason, now)


@kernel
def _expire(s, now, out):
    """Some time after the end of the feed: cancel what is open or on its way, answer the rest, close the account."""
    s.cause_seq, s.cause_ns = s.end_seq, s.end_ns
    cancel_resting(s, _END_REASON, now, out)
    cancel_in_flight(s, _END_REASON, now, out)
    while s.in_flight_count > 0:
        _next_in_flight(s)
        if s.acting.kind == _CANCEL_ALL:
            report_answer(s, out, _NO_SLOT, _NOTED, _END_REASON, now)
        else:
            reject_change(s, _NO_SLOT, _END_REASON, now, out)
    s.cause_seq, s.cause_ns = s.end_seq, s.end_ns
    s.finished = 1
    s.expire_ns, s.snapshot_ns = _NEVER, _NEVER
    _account_now(s, _FINAL, now, out)


@kernel
def on_timer(s, now, out):
    """Do the earliest thing that is due at `now`; nothing if none is.

    At equal times: arrivals, then the PERIODIC account, then the expiry. One thing a call: the caller calls again while
    timer_ns <= now.
    """
    if now >= s.look_ns:
        _look(s, now)
    arrival = s.in_flight[s.in_flight_head].due_ns if s.in_flight_count > 0 else _NEVER
    earliest = min(arrival, min(s.snapshot_ns, s.expire_ns))
    if earliest > now or s.mid_message != 0:
        _set_timer(s)
        return
    if arrival == earliest:
        _act(s, now, out)
    elif s.snapshot_ns == earliest:
        s.cause_seq, s.cause_ns = _NO_EVENT, _NONE
        s.snapshot_ns = (now // s.p.snapshot_interval_ns + 1) * s.p.snapshot_interval_ns
        _account_now(s, _PERIODIC, now, out)
    else:
        _expire(s, now, out)
    _finish(s, now, out)
