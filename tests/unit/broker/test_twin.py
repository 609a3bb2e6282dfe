"""Random markets and random orders: the exchange and its naive twin report the same, record by record.

The drawn programs are small on purpose in their prices and quantities, so that orders meet each other, levels come and go
under them, and limits bind; the rules checked after every input are in venue.py.
"""

import os

from hypothesis import given, settings
from hypothesis import strategies as st

from ringsim.broker.latency import LatencyModel
from ringsim.broker.queue import QueueModel
from ringsim.control import RunState
from ringsim.lifecycle import Lifecycle
from ringsim.limits import EXECUTION_OUT
from ringsim.records import (
    ControlCode,
    EventKind,
    OrderKind,
    OrderType,
    Reason,
    ReportKind,
    Tif,
    Trading,
)
from ringsim.risk.limits import RiskLimits
from tests.unit.broker.venue import BUY, MS, SELL, Venue

PROGRAMS = int(os.environ.get("RINGSIM_PROGRAMS", "60"))

side = st.sampled_from([BUY, SELL])
px = st.integers(96, 104)
qty = st.sampled_from([1, 1, 2, 3, 5, 8, 20])
strategy = st.sampled_from([0, 0, 0, 1, 2])
tif = st.sampled_from([Tif.GTC, Tif.GTC, Tif.GTC, Tif.IOC, Tif.FOK, Tif.POST_ONLY])

number = st.integers(0, 9)  # of the order that an event is about, for the model that asks
level = st.tuples(
    st.just("level"), side, px, st.sampled_from([0, 0, 1, 3, 6, 10]), st.sampled_from([True] * 5 + [False]), number
)
trade = st.tuples(st.just("trade"), side, px, qty, number)
new = st.tuples(st.just("new"), side, px, qty, tif, strategy)
near = st.tuples(st.just("near"), side, st.integers(-2, 2), qty, tif, strategy)
market = st.tuples(st.just("market"), side, qty, st.sampled_from([Tif.GTC, Tif.IOC, Tif.FOK]))
wait = st.tuples(st.just("wait"), st.sampled_from([0, MS // 2, MS, MS, 3 * MS, 40 * MS, 40 * MS, 130 * MS, 1100 * MS]))
cancel = st.tuples(st.just("cancel"), st.integers(0, 4), strategy)
replace = st.tuples(st.just("replace"), st.integers(0, 4), px, qty, strategy)
rare = st.one_of(
    st.tuples(st.just("cancel_all"), strategy),
    st.tuples(st.just("book"), st.integers(97, 103)),
    st.tuples(st.just("gap")),
    st.tuples(st.just("begin"), st.booleans()),
    st.tuples(st.just("end"), st.booleans()),
    st.tuples(st.just("quote"), st.booleans()),
    st.tuples(st.just("lifecycle"), st.sampled_from([Lifecycle.READY, Lifecycle.READY, Lifecycle.DEGRADED])),
    st.tuples(st.just("run"), st.sampled_from([RunState.RUNNING, RunState.RUNNING, RunState.PAUSED])),
    st.tuples(st.just("trading"), st.sampled_from([Trading.ACTIVE, Trading.ACTIVE, Trading.REDUCING, Trading.HALTED])),
    st.tuples(st.just("odd"), st.integers(0, 12), st.integers(0, 3)),
)
step = st.one_of(level, level, trade, trade, new, near, near, market, wait, wait, cancel, replace, rare)


def rows_of(model):
    """(rows, values) of measured latencies that go up and down within a program's time, 1 ms at least; None: no table."""
    if model == LatencyModel.MEASURED:
        return ([(0, MS), (2, 3 * MS), (9, 4 * MS)], [(0, MS), (1, 30 * MS)]), (10, 4)
    if model != LatencyModel.ROWS:
        return None, (0, 0)
    return ([(12 * MS, MS), (20 * MS, 5 * MS), (50 * MS, MS)], [(0, 2 * MS), (30 * MS, MS), (30 * MS, 7 * MS)]), (0, 0)


limits = st.sampled_from(
    [
        RiskLimits(),
        RiskLimits(),
        RiskLimits(max_position_lots=12, max_order_lots=9),
        RiskLimits(max_intent=900, daily_loss_cap=60),
        RiskLimits(max_notional=2000, orders_per_second=40, max_drawdown=80),
        RiskLimits(max_consecutive_losses=2, collar_cbps=20_000),
    ]
)
settings_of_a_run = st.fixed_dictionaries(
    {
        "queue_model": st.sampled_from(list(QueueModel)),
        "queue_n": st.sampled_from([1.0, 2.0, 3.0, 0.5]),
        "whole_fills": st.sampled_from([False, False, False, True]),
        "slippage_ticks": st.sampled_from([0, 0, 1, 3]),
        "slippage_cbps": st.sampled_from([0, 0, 9_000]),
        "adverse_pct": st.sampled_from([0, 0, 50, 100]),
        "rate_orders": st.sampled_from([0, 0, 1, 4]),
        "rate_window_ns": st.sampled_from([3 * MS, 50 * MS]),
        "strategies": st.sampled_from([1, 1, 2, 3]),
        "limits": limits,
        "maker_cbps": st.sampled_from([0, -5000, 10_000]),
        "taker_cbps": st.sampled_from([0, 10_000]),
        "latency_model": st.sampled_from(list(LatencyModel)),
        "entry_jitter_ns": st.sampled_from([0, 2 * MS]),
        "response_jitter_ns": st.sampled_from([0, 2 * MS]),
        "ns_per_bps": st.sampled_from([0, 10_000, MS]),
        "most_ns": st.sampled_from([0, 7 * MS, 20 * MS]),
        "seed": st.integers(0, 3),
        "snapshot_interval_ns": st.sampled_from([0, 13 * MS]),
        "expiry_ns": st.just(30 * MS),
    }
)


def whole_book(v, mid):
    v.book([(mid - k, 4 * k) for k in range(1, 5)], [(mid + k, 3 * k) for k in range(1, 5)])


def perform(v, action, *args):
    if action == "level":
        v.level(*args)
    elif action == "trade":
        v.trade(*args)
    elif action == "new":
        which, price, lots, how_long, who = args
        v.new(which, price, lots, how_long, strategy=who)
    elif action == "near":  # about the best price of its own side
        which, away, lots, how_long, who = args
        v.new(which, (v.naive.book.best(which) or 100) + away, lots, how_long, strategy=who)
    elif action == "market":
        which, lots, how_long = args
        v.new(which, 0, lots, how_long, OrderType.MARKET)
    elif action == "wait":
        v.wait(*args)
    elif action in ("cancel", "replace"):
        back, who = args[0], args[-1]
        fields = {"target_id": max(1, v.last_id.get(who, 0) - back)}
        if action == "replace":
            fields |= {"px_ticks": args[1], "qty_lots": args[2]}
        v.send(OrderKind.CANCEL if action == "cancel" else OrderKind.REPLACE, who, **fields)
    elif action == "cancel_all":
        v.send(OrderKind.CANCEL_ALL, *args)
    elif action == "book":
        whole_book(v, *args)
    elif action == "gap":
        v.feed(EventKind.GAP)
    elif action in ("begin", "end"):
        v.feed(EventKind.SNAPSHOT_BEGIN if action == "begin" else EventKind.SNAPSHOT_END, refresh=args[0])
    elif action == "quote":
        v.feed(EventKind.QUOTE, BUY, 100, 1, last=args[0])
    elif action == "odd":
        kind, which = args
        v.send(kind, side=which, order_id=kind * which, type=which, tif=which, qty_lots=which, px_ticks=kind)
    else:
        v.control(ControlCode[action.upper()], *args)


@settings(max_examples=PROGRAMS, deadline=None)
@given(params=settings_of_a_run, steps=st.lists(step, min_size=20, max_size=120), stopped=st.booleans())
def test_the_same_reports_in_the_same_order(params, steps, stopped):
    v = Venue(*rows_of(params["latency_model"]), **params)
    whole_book(v, 100)
    for one in steps:
        perform(v, *one)
    v.close(stopped)
    assert v.most <= EXECUTION_OUT
    counters_agree(v)


def counters_agree(v):
    """What the summary will say is what the reports said."""
    c, told = v.s.counters, v.everything
    of = {kind: [r for r in told if r["kind"] == kind] for kind in ReportKind}
    assert c.accepted == len(of[ReportKind.ACCEPTED]) and c.provisional == len(of[ReportKind.PROVISIONAL])
    assert c.cancelled == len(of[ReportKind.CANCELLED]) and c.replaced == len(of[ReportKind.REPLACED])
    assert c.fills == len(of[ReportKind.FILL]) == c.maker_fills + c.taker_fills == v.s.ledger.fills
    assert c.filled == sum("left_lots" not in r for r in of[ReportKind.FILL])
    assert c.halts == len(of[ReportKind.HALTED])
    for reason in Reason:
        assert c.rejected[reason] == sum(r.get("reason", 0) == reason for r in of[ReportKind.REJECTED])
        assert c.cancel_rejected[reason] == sum(r.get("reason", 0) == reason for r in of[ReportKind.CANCEL_REJECTED])
    assert c.adjusted == sum("reason" in r for r in of[ReportKind.ACCEPTED])


@settings(max_examples=PROGRAMS // 2, deadline=None)
@given(steps=st.lists(st.one_of(level, trade, near, near, market, wait), min_size=40, max_size=150))
def test_resting_quantity_fills_at_most_once(steps):
    """Our fills never exceed what the market offered us: what was displayed, each lot once, and what traded.

    A budget for each side, kept by the test alone: every lot that the feed adds to a level may fill us once, and so may
    every lot of a trade.
    """
    v = Venue()
    whole_book(v, 100)
    offered = {s: sum(lots for lots in v.naive.book.levels[s].values()) for s in (BUY, SELL)}
    for one in steps:
        if one[0] == "level":
            _, which, price, lots, *_ = one
            offered[which] += max(0, lots - v.naive.book.qty(which, price))
        elif one[0] == "trade":
            offered[one[1]] += one[3]
        perform(v, *one)
        bought, sold = v.s.ledger.bought_lots, v.s.ledger.sold_lots
        assert bought <= offered[SELL] and sold <= offered[BUY]
