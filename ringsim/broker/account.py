"""A fill's way into ledger and risk, and what ends trading.

    fill ──> ledger, the strategy's share ──> FILL report ──> risk: day loss, drawdown, losses in a row ──> halt?
    halt ──> HALTED ──> CANCELLED for all that rests, then for all new orders in flight; later ones are REJECTED by risk

The account's identities are checked after each input that changed it, after each record that the exchange acted on, and
before each ACCOUNT: memory can be damaged between two fills. A breach, there or in the states of an order, halts with its
name. Then one ACCOUNT record says how the account stands, and of several strategies one each how its share does.
"""

import numpy as np

from ringsim.book import VALID, book_mid2
from ringsim.broker.fees import fee_money
from ringsim.broker.orders import free_slot, set_status, take_slot, unrank_order
from ringsim.broker.reports import report_accounts, report_order, report_venue, return_credit
from ringsim.broker.shares import share_fill, shares_add_up
from ringsim.kernel import kernel
from ringsim.ledger import ledger_check, ledger_equity, ledger_fill
from ringsim.limits import MAX_IN_FLIGHT, MAX_STRATEGIES
from ringsim.records import Liquidity, OrderKind, Reason, ReportKind, Side, Status, Trading
from ringsim.risk.gate import risk_account, risk_halt, risk_round_trip

_BUY, _SELL = np.int64(Side.BUY), np.int64(Side.SELL)
_NEW = np.int64(OrderKind.NEW)
_PARTIAL, _FILLED, _CANCELLED_STATUS = np.int64(Status.PARTIAL), np.int64(Status.FILLED), np.int64(Status.CANCELLED)
_FILL, _CANCELLED, _HALTED_KIND = np.int64(ReportKind.FILL), np.int64(ReportKind.CANCELLED), np.int64(ReportKind.HALTED)
_MAKER = np.int64(Liquidity.MAKER)
_HALTED = np.int64(Trading.HALTED)
_LEDGER_IDENTITY = np.int64(Reason.LEDGER_IDENTITY)
_NONE = np.int64(0)


@kernel
def update_mark(s):
    """The mid of a valid book with both sides, rounded down; without one the last known stays. Returns it, ticks."""
    if s.book.valid == VALID:
        mid2 = book_mid2(s.book)
        if mid2 > 0:
            s.mark_ticks = mid2 >> 1
    return s.mark_ticks


@kernel
def halted(s):
    """Whether risk has halted trading."""
    return s.risk.trading == _HALTED


@kernel
def note_id(s, strategy, order_id):
    """Remember the highest order id of a strategy. Returns whether this one is new."""
    if strategy < 0 or strategy >= MAX_STRATEGIES:
        return True
    fresh = order_id > s.last_id[strategy]
    if fresh:
        s.last_id[strategy] = order_id
    return fresh


@kernel
def copy_in_flight(to, source):
    """Field by field: assigning whole records is fragile in compiled code."""
    to.kind, to.order_id, to.target_id = source.kind, source.order_id, source.target_id
    to.strategy, to.symbol, to.side, to.type, to.tif = (
        source.strategy,
        source.symbol,
        source.side,
        source.type,
        source.tif,
    )
    to.px, to.qty, to.trigger_seq, to.trigger_ns = source.px, source.qty, source.trigger_seq, source.trigger_ns
    to.created_ns, to.received_ns, to.due_ns = source.created_ns, source.received_ns, source.due_ns


@kernel
def place_order(s, a, now):
    """A slot with the PENDING order that an in-flight NEW asks for; returns it."""
    k = take_slot(s)
    o = s.orders[k]
    o.order_id, o.strategy, o.symbol = a.order_id, a.strategy, a.symbol
    o.side, o.type, o.tif = a.side, a.type, a.tif
    o.px, o.qty, o.left = a.px, a.qty, a.qty
    o.front, o.traded, o.newest_id, o.filled_seq = 0.0, 0, 0, -1
    o.trigger_seq, o.trigger_ns = a.trigger_seq, a.trigger_ns
    o.created_ns, o.received_ns, o.acted_ns = a.created_ns, a.received_ns, now
    return k


@kernel
def close_order(s, k):
    """The order in slot k is done and reported: out of the ranks, its slot is free."""
    if s.orders[k].ranked != 0:
        unrank_order(s, k)
    free_slot(s, k)


@kernel
def cancel_order(s, k, reason, now, out):
    """End an order unfilled; returns the report's index."""
    set_status(s, k, _CANCELLED_STATUS)
    s.counters.cancelled += 1
    i = report_order(s, out, k, _CANCELLED, reason, now)
    close_order(s, k)
    return i


@kernel
def cancel_resting(s, reason, now, out):
    """Cancel all that rests: bids, then asks, each in price-time priority."""
    for side in (_BUY, _SELL):
        while s.ranked[side] > 0:
            cancel_order(s, s.rank[side, 0], reason, now, out)


@kernel
def cancel_in_flight(s, reason, now, out):
    """Cancel the new orders that have not arrived, oldest first; cancels and replacements stay on their way."""
    kept = 0
    for n in range(s.in_flight_count):
        a = s.in_flight[(s.in_flight_head + n) % MAX_IN_FLIGHT]
        if a.kind == _NEW:
            note_id(s, a.strategy, a.order_id)
            return_credit(out, cancel_order(s, place_order(s, a, now), reason, now, out))
        else:
            copy_in_flight(s.in_flight[(s.in_flight_head + kept) % MAX_IN_FLIGHT], a)
            kept += 1
    s.in_flight_count = kept


@kernel
def halt(s, reason, now, out):
    """Trading ends here: say so and cancel everything. A halt that holds already keeps its own reason."""
    risk_halt(s.risk, reason)
    s.counters.halts += 1
    s.touched = 1
    report_venue(s, out, _HALTED_KIND, reason, now)
    cancel_resting(s, reason, now, out)
    cancel_in_flight(s, reason, now, out)


@kernel
def fill_order(s, k, px, qty, liquidity, seq, now, out):
    """Fill part or all of an order. A full one is done and its slot is free. Returns whether trading is halted after it.

    seq: market event that fills a resting order, -1 for a taker.
    """
    o = s.orders[k]
    side = o.side
    fee = fee_money(px, qty, s.p.maker_cbps if liquidity == _MAKER else s.p.taker_cbps)
    o.left -= qty
    o.filled_seq = seq
    if o.ranked != 0:
        s.working[side] -= qty
    done = o.left == 0
    set_status(s, k, _FILLED if done else _PARTIAL)

    held = s.ledger.position_lots
    ledger_fill(s.ledger, side, px, qty, fee)
    share_fill(s.shares[o.strategy], side, px, qty, fee, o.order_id, now + s.risk.utc_offset_ns)
    s.touched, s.last_order_id = 1, o.order_id

    r = out.records[report_order(s, out, k, _FILL, _NONE, now)]
    r.px_ticks, r.qty_lots, r.fee, r.liquidity, r.filled_ns = px, qty, fee, liquidity, now

    c = s.counters
    c.fills += 1
    if liquidity == _MAKER:
        c.maker_fills += 1
    else:
        c.taker_fills += 1
    if done:
        c.filled += 1
        close_order(s, k)

    if update_mark(s) == 0:
        s.mark_ticks = px  # a book with one side only, from the start: the fill itself is all that is known
    net = s.ledger.realized - s.ledger.fees
    reason = risk_account(s.risk, now, net, ledger_equity(s.ledger, s.mark_ticks))
    position = s.ledger.position_lots
    if held != 0 and (position == 0 or (position > 0) != (held > 0)):
        losses = risk_round_trip(s.risk, net)
        reason = reason if reason != 0 else losses
    if reason != 0:
        halt(s, reason, now, out)
        return True
    return False


@kernel
def account_whole(s):
    """Whether the account's identities hold: the ledger's own, as many fills in it as were reported, and the shares' sum."""
    if s.ledger.fills != s.counters.fills or not ledger_check(s.ledger, s.mark_ticks):
        return False
    return shares_add_up(s.shares, s.ledger, s.mark_ticks)


@kernel
def watch_account(s):
    """Note a breach of the account's identities, unless trading is halted already."""
    if s.risk.trading != _HALTED and not account_whole(s):
        s.breach = _LEDGER_IDENTITY


@kernel
def finish_input(s, now, out):
    """Close an input that changed the account: identities, ACCOUNT."""
    update_mark(s)
    if not account_whole(s):
        s.breach = _LEDGER_IDENTITY
    if s.breach != 0:
        halt(s, s.breach, now, out)
        s.breach = 0
    report_accounts(s, out, _NONE, s.risk.halt_reason, now)
    s.touched = 0
