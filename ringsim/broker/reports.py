"""What the exchange tells, and when it arrives.

Three shapes of report: about an order (its own times), an answer to a CANCEL or REPLACE (the order's identity, the times of
the record that is answered, so that its latency can be read), and one about no order (HALTED, NOTED). Reports travel on
one connection: deliver_ns never decreases.

Every record of the orders ring gets exactly one report with RETURNS_CREDIT: NEW its ACCEPTED, PROVISIONAL, REJECTED, or the
CANCELLED of one that never arrived (halt, end of feed); CANCEL its CANCELLED or CANCEL_REJECTED; REPLACE its REPLACED or
CANCEL_REJECTED; all else its NOTED. Fills, and cancels that nobody asked for one by one, return none.

A report carries the number of its strategy. What is the account's (HALTED, its ACCOUNT) carries how many strategies there are,
the number after the last one's; where there is one alone, the account is its own: 0.
"""

import numpy as np

from ringsim.broker.latency import latency_response, session_ns
from ringsim.broker.moves import moves_cbps
from ringsim.broker.shares import share_day_realized
from ringsim.fold.outbox import outbox_next
from ringsim.kernel import kernel
from ringsim.ledger import ledger_unrealized
from ringsim.records import OrderKind, ReportFlag, ReportKind, Side
from ringsim.risk.gate import risk_day_realized

_CREDIT = np.int64(ReportFlag.RETURNS_CREDIT)
_ACCOUNT = np.int64(ReportKind.ACCOUNT)
_NEW, _SNAPSHOT = np.int64(OrderKind.NEW), np.int64(OrderKind.SNAPSHOT)
_BUY, _SELL = np.int64(Side.BUY), np.int64(Side.SELL)


@kernel
def _deliver_ns(s, now):
    """When a report made now arrives: after its latency, and not before the report made before it."""
    sent_ns = session_ns(s.p.latency, s.feed_ns, now)
    arrival = now + latency_response(s.p.latency, s.delays, moves_cbps(s.moves), sent_ns, s.responses)
    s.responses += 1
    if arrival < s.deliver_ns:
        s.counters.forced_deliver += 1
    else:
        s.deliver_ns = arrival
    return s.deliver_ns


@kernel
def _open_report(s, out, kind, reason, now):
    """A fresh report with what all have; returns its index."""
    i = outbox_next(out)
    r = out.records[i]
    r.kind, r.reason, r.symbol = kind, reason, s.p.symbol
    r.trigger_seq, r.trigger_ns = s.cause_seq, s.cause_ns
    r.deliver_ns = _deliver_ns(s, now)
    return i


@kernel
def report_order(s, out, k, kind, reason, now):
    """About the order in slot k, with its own times; returns the report's index."""
    i = _open_report(s, out, kind, reason, now)
    r, o = out.records[i], s.orders[k]
    r.order_id, r.strategy, r.symbol = o.order_id, o.strategy, o.symbol
    r.side, r.type, r.tif, r.status = o.side, o.type, o.tif, o.status
    r.px_ticks, r.qty_lots, r.left_lots = o.px, o.qty, o.left
    r.order_trigger_ns, r.created_ns, r.received_ns, r.acted_ns = o.trigger_ns, o.created_ns, o.received_ns, o.acted_ns
    r.order_kind = _NEW
    return i


@kernel
def return_credit(out, i):
    """Report i is the one answer to its record."""
    out.records[i].flag_bits |= _CREDIT


@kernel
def report_answer(s, out, k, kind, reason, now):
    """Answer to the record being acted on (`acting`), about the order in slot k (-1: none known); returns the credit."""
    a = s.acting
    if k >= 0:
        i = report_order(s, out, k, kind, reason, now)
    else:
        i = _open_report(s, out, kind, reason, now)
        out.records[i].order_id = a.target_id
        out.records[i].px_ticks, out.records[i].qty_lots = a.px, a.qty
        out.records[i].side, out.records[i].type, out.records[i].tif = a.side, a.type, a.tif
    r = out.records[i]
    r.strategy, r.symbol, r.order_kind = a.strategy, a.symbol, a.kind
    r.order_trigger_ns, r.created_ns, r.received_ns, r.acted_ns = a.trigger_ns, a.created_ns, a.received_ns, now
    return_credit(out, i)
    return i


@kernel
def report_venue(s, out, kind, reason, now):
    """About no order: trading halted."""
    i = _open_report(s, out, kind, reason, now)
    out.records[i].strategy, out.records[i].acted_ns = _account_number(s), now


@kernel
def report_received(s, out, order, kind, reason, now):
    """Answer at once to a record as it came from the orders ring, without acting on it; returns the credit."""
    i = _open_report(s, out, kind, reason, now)
    r = out.records[i]
    r.strategy, r.symbol, r.order_kind = order.strategy, order.symbol, order.kind
    r.order_trigger_ns, r.created_ns, r.received_ns, r.acted_ns = order.trigger_ns, order.created_ns, now, now
    if order.kind != _SNAPSHOT:  # its other fields are FEATURES
        r.order_id = order.order_id if order.order_id > 0 else order.target_id
        r.px_ticks, r.qty_lots = order.px_ticks, order.qty_lots
        r.side, r.type, r.tif = order.side, order.type, order.tif
    return_credit(out, i)
    return i


@kernel
def _account_number(s):
    """What the account's reports carry as their strategy."""
    return s.p.strategies if s.p.strategies > 1 else 0


@kernel
def _report_ledger(s, out, strategy, ledger, flags, reason, now):
    """How a ledger stands, at `mark_ticks`; returns the report's index."""
    i = _open_report(s, out, _ACCOUNT, reason, now)
    a = out.alternate[i]
    a.strategy, a.time_ns, a.flag_bits = strategy, now, flags
    a.cash, a.realized, a.fees = ledger.cash, ledger.realized, ledger.fees
    a.unrealized = ledger_unrealized(ledger, s.mark_ticks)
    a.mark_ticks, a.position_lots, a.cost = s.mark_ticks, ledger.position_lots, ledger.cost
    a.trading, a.fills = s.risk.trading, ledger.fills
    return i


@kernel
def _resting(s, strategy):
    """How many orders of a strategy rest."""
    count = 0
    for side in (_BUY, _SELL):
        for i in range(s.ranked[side]):
            if s.orders[s.rank[side, i]].strategy == strategy:
                count += 1
    return count


@kernel
def report_accounts(s, out, flags, reason, now):
    """The account as it stands; of several strategies first the shares that have changed, with flags all of them."""
    if s.p.strategies > 1:
        for k in range(s.p.strategies):
            share = s.shares[k]
            if flags != 0 or share.ledger.fills != share.told_fills:
                share.told_fills = share.ledger.fills
                a = out.alternate[_report_ledger(s, out, k, share.ledger, flags, reason, now)]
                a.order_id, a.open_orders = share.last_order_id, _resting(s, k)
                a.day_realized = share_day_realized(share, now + s.risk.utc_offset_ns)
    a = out.alternate[_report_ledger(s, out, _account_number(s), s.ledger, flags, reason, now)]
    a.order_id, a.open_orders = s.last_order_id, s.open_orders
    a.day_realized = risk_day_realized(s.risk)
