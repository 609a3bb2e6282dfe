"""What the exchange tells, and when it arrives.

Three shapes of report: about an order (its own times), an answer to a CANCEL or REPLACE (the order's identity, the times of
the record that is answered, so that its latency can be read), and one about no order (HALTED, NOTED). Reports travel on
one connection: deliver_ns never decreases.

Every record of the orders ring gets exactly one report with RETURNS_CREDIT: NEW its ACCEPTED, PROVISIONAL, REJECTED, or the
CANCELLED of one that never arrived (halt, end of feed); CANCEL its CANCELLED or CANCEL_REJECTED; REPLACE its REPLACED or
CANCEL_REJECTED; all else its NOTED. Fills, and cancels that nobody asked for one by one, return none.
"""

import numpy as np

from ringsim.broker.latency import latency_response, session_ns
from ringsim.broker.moves import moves_cbps
from ringsim.fold.outbox import outbox_next
from ringsim.kernel import kernel
from ringsim.ledger import ledger_unrealized
from ringsim.records import OrderKind, ReportFlag, ReportKind
from ringsim.risk.gate import risk_day_realized

_CREDIT = np.int64(ReportFlag.RETURNS_CREDIT)
_ACCOUNT = np.int64(ReportKind.ACCOUNT)
_NEW, _SNAPSHOT = np.int64(OrderKind.NEW), np.int64(OrderKind.SNAPSHOT)


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
    out.records[i].acted_ns = now


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
def report_account(s, out, flags, reason, now):
    """The account as it stands, at `mark_ticks`."""
    i = _open_report(s, out, _ACCOUNT, reason, now)
    a, ledger = out.alternate[i], s.ledger
    a.order_id, a.time_ns = s.last_order_id, now
    a.cash, a.realized, a.fees = ledger.cash, ledger.realized, ledger.fees
    a.unrealized = ledger_unrealized(ledger, s.mark_ticks)
    a.mark_ticks, a.position_lots, a.cost = s.mark_ticks, ledger.position_lots, ledger.cost
    a.open_orders, a.trading, a.fills = s.open_orders, s.risk.trading, ledger.fills
    a.day_realized = risk_day_realized(s.risk)
    a.flag_bits = flags
