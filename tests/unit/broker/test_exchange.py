"""What the paper exchange does, example by example; each is checked against the naive twin as well (venue.py)."""

import pytest

from ringsim.broker.exchange import broker_init, on_timer
from ringsim.broker.params import BrokerParams
from ringsim.broker.queue import QueueModel
from ringsim.control import RunState
from ringsim.errors import BadInput
from ringsim.ledger import LEDGER
from ringsim.lifecycle import Lifecycle
from ringsim.limits import (
    IN_FLIGHT_CANCELS,
    MAX_IN_FLIGHT,
    MAX_OPEN_ORDERS,
    MAX_PRICE_TICKS,
    MAX_QTY_LOTS,
    MAX_STRATEGIES,
    TAKEN_LEVELS,
)
from ringsim.records import (
    NEVER_NS,
    ControlCode,
    EventKind,
    Liquidity,
    OrderKind,
    OrderType,
    Reason,
    ReportFlag,
    ReportKind,
    Status,
    Tif,
    Trading,
)
from ringsim.risk.limits import RiskLimits
from tests.unit.broker.venue import BUY, MS, SELL, Venue, fills, kinds, reasons

LADDER = ((100, 1), (101, 2), (102, 5))


def venue(bids=((90, 10),), asks=((110, 10),), **params):
    v = Venue(**params)
    v.book(bids, asks)
    return v


# Taking (oracles 2)


def test_oracle_market_buy_walks_the_asks():
    v = venue(asks=LADDER)
    got = v.market(BUY, 4)
    assert kinds(got) == ["ACCEPTED", "FILL", "FILL", "FILL", "ACCOUNT"]
    assert fills(got) == [(100, 1), (101, 2), (102, 1)]
    assert sum(px * lots for px, lots in fills(got)) / 4 == 101.0
    assert got[3]["status"] == Status.FILLED and "left_lots" not in got[3]


def test_oracle_market_buy_of_more_than_there_is():
    v = venue(asks=LADDER)
    got = v.market(BUY, 9)
    assert sum(lots for _, lots in fills(got)) == 8
    assert kinds(got)[-2:] == ["CANCELLED", "ACCOUNT"]
    assert got[-2]["left_lots"] == 1 and got[-2]["reason"] == Reason.NO_LIQUIDITY


def test_a_limit_order_takes_to_its_price_and_rests_with_what_is_left():
    v = venue(asks=LADDER)
    got = v.place(BUY, 101, 5)
    assert fills(got) == [(100, 1), (101, 2)]
    assert v.s.open_orders == 1 and v.s.own_best[BUY] == 101
    assert kinds(v.place(SELL, 120, 1, Tif.IOC)) == ["ACCEPTED", "CANCELLED"]


@pytest.mark.parametrize("qty, filled", [(3, 3), (4, 0)])
def test_fok_is_all_or_nothing(qty, filled):
    v = venue(asks=LADDER)
    got = v.place(BUY, 101, qty, Tif.FOK)
    assert sum(lots for _, lots in fills(got)) == filled
    assert filled or reasons(got) == ["NOT_FILLABLE"]


def test_what_was_taken_is_gone_until_the_feed_brings_more():
    v = venue(asks=((100, 10),))
    assert fills(v.market(BUY, 6)) == [(100, 6)]
    assert fills(v.market(BUY, 6)) == [(100, 4)]
    assert fills(v.market(BUY, 1)) == []
    v.level(SELL, 100, 7)  # 3 of the 10 went away: at most 7 of what is left are those that we took
    assert fills(v.market(BUY, 1)) == []
    v.level(SELL, 100, 9)
    assert fills(v.market(BUY, 5)) == [(100, 2)]
    v.level(SELL, 100, 0)
    v.level(SELL, 100, 3)  # a new level
    assert fills(v.market(BUY, 5)) == [(100, 3)]
    v.book(asks=((100, 4),))  # a new book
    assert fills(v.market(BUY, 5)) == [(100, 4)]
    v.close()


def test_taking_stops_where_it_can_no_longer_be_remembered():
    v = venue(asks=[(1000 + k, 1) for k in range(TAKEN_LEVELS + 10)])
    got = v.place(BUY, 2000, TAKEN_LEVELS + 5)
    assert len(fills(got)) == TAKEN_LEVELS
    assert kinds(got)[-2:] == ["CANCELLED", "ACCOUNT"], "what still crosses must not rest"
    assert v.s.counters.taken_full == 1
    assert fills(v.market(BUY, 1)) == []
    assert reasons(v.place(BUY, 2000, 1, Tif.FOK)) == ["NOT_FILLABLE"]
    v.level(SELL, 1000, 3)
    assert fills(v.market(BUY, 5)) == [(1000, 2)]


# Resting (oracles 4)


def test_oracle_queue_position():
    v = venue(bids=((100, 100),))
    v.place(BUY, 100, 50)
    assert v.trade(SELL, 100, 80) == [] and v.s.orders[v.s.rank[BUY, 0]].front == 20
    assert fills(v.trade(SELL, 100, 30)) == [(100, 10)]
    got = v.trade(SELL, 100, 50)
    assert fills(got) == [(100, 40)] and got[0]["status"] == Status.FILLED
    assert got[0]["liquidity"] == Liquidity.MAKER and got[0]["filled_ns"] == v.now
    assert kinds(got) == ["FILL", "ACCOUNT"]


def test_a_trade_fills_no_more_than_it_traded_however_far_the_level_fell_apart():
    v = venue(bids=((100, 2000),), queue_model=QueueModel.POWER, queue_n=2.0)
    v.place(BUY, 100, 50)
    v.level(BUY, 100, 3000)
    v.level(BUY, 100, 100)
    assert v.s.orders[v.s.rank[BUY, 0]].front == -320.0, "by the formula of the model, more than all of it was ahead"
    assert fills(v.trade(SELL, 100, 5)) == [(100, 5)]
    assert fills(v.trade(SELL, 100, 60)) == [(100, 45)]


def test_a_trade_through_the_price_fills_at_the_own_price():
    v = venue(bids=((100, 100),))
    v.place(BUY, 100, 50)
    v.place(BUY, 98, 1)
    assert v.trade(SELL, 101, 80) == []
    assert v.trade(BUY, 99, 80) == [], "an aggressive buyer does not sell to us"
    assert fills(v.trade(SELL, 99, 30)) == [(100, 30)]
    assert fills(v.trade(SELL, 99, 30)) == [(100, 20)]


def test_a_level_that_shrinks_brings_the_order_forward():
    v = venue(bids=((100, 100),))
    v.place(BUY, 100, 50)
    v.level(BUY, 100, 30)
    v.level(BUY, 100, 500)
    assert fills(v.trade(SELL, 100, 31)) == [(100, 1)]


def test_two_own_orders_at_one_level_share_what_a_trade_brings():
    v = venue(bids=((100, 100),))
    v.place(BUY, 100, 20)
    v.place(BUY, 100, 50)
    got = v.trade(SELL, 100, 130)  # 30 went past the queue: 20 to the older order, 10 to the younger
    assert [(r["order_id"], r["qty_lots"]) for r in got if r["kind"] == ReportKind.FILL] == [(1, 20), (2, 10)]
    assert fills(v.trade(SELL, 100, 25)) == [(100, 25)]


def test_better_prices_come_first_and_share_the_same_trade():
    v = venue(bids=((100, 0), (99, 5)))
    v.place(BUY, 99, 10)
    v.place(BUY, 101, 10)
    v.place(BUY, 101, 10)
    got = v.trade(SELL, 99, 24)
    assert [(r["order_id"], r["qty_lots"]) for r in got if r["kind"] == ReportKind.FILL] == [(2, 10), (3, 10)]
    assert fills(v.trade(SELL, 99, 1)) == [(99, 1)]


def test_a_resting_order_fills_when_the_other_side_comes_to_it():
    v = venue(asks=((110, 10),))
    v.place(BUY, 105, 8)
    v.place(BUY, 106, 4)
    assert v.level(SELL, 104, 9, last=False) == [], "nothing happens on half a message"
    got = v.level(SELL, 105, 1)
    assert fills(got) == [(106, 4), (105, 6)], "at the own price, best price first, what is displayed, once"
    assert v.level(SELL, 105, 1) == []
    assert fills(v.level(SELL, 105, 2)) == [(105, 1)]
    assert fills(v.market(BUY, 1)) == [(110, 1)], "what filled us as makers is taken"


def test_an_order_fills_once_in_one_input():
    v = venue(bids=((90, 1),), asks=((110, 10),))
    v.place(BUY, 105, 8)
    v.level(SELL, 105, 3, last=False)
    assert fills(v.trade(SELL, 104, 2)) == [(105, 2)]
    assert fills(v.feed(EventKind.QUOTE)) == [(105, 3)]


def test_a_crossing_that_cannot_be_remembered_does_not_fill():
    v = venue(asks=[(1000 + k, 1) for k in range(TAKEN_LEVELS)])
    v.market(BUY, TAKEN_LEVELS)
    v.level(SELL, 1000, 5)
    v.place(BUY, 900, 3)
    v.place(BUY, 800, 3)
    assert v.level(SELL, 900, 2) == [] and v.s.counters.taken_full == 1
    v.level(SELL, 1031, 0)
    assert fills(v.reports) == [(900, 2)], "a place is free again: what still crosses fills"


def test_price_time_priority():
    v = venue(bids=(), asks=())
    for px in (98, 100, 99, 100):
        v.place(BUY, px, 1)
    got = v.trade(SELL, 97, 4)
    assert [r["order_id"] for r in got if r["kind"] == ReportKind.FILL] == [2, 4, 3, 1]


# Gaps


def test_nothing_fills_between_a_gap_and_the_next_book():
    v = venue(bids=((100, 100),), asks=((110, 10),))
    v.place(BUY, 100, 50)
    v.feed(EventKind.GAP)
    assert reasons(v.market(BUY, 1)) == ["NO_BOOK"]
    assert v.trade(SELL, 90, 500) == [] and v.level(SELL, 95, 9) == []
    v.book(bids=((100, 40),), asks=((110, 10),))
    assert fills(v.trade(SELL, 100, 41)) == [(100, 1)], "no further back than the new level"
    v.feed(EventKind.SNAPSHOT_BEGIN, last=False)
    assert reasons(v.market(BUY, 1)) == ["NO_BOOK"]
    v.close()


def test_a_refresh_of_a_valid_book_changes_nothing():
    v = venue(bids=((100, 100),), asks=((110, 10),))
    v.market(BUY, 10)
    v.place(BUY, 100, 50)
    v.feed(EventKind.SNAPSHOT_BEGIN, last=False, refresh=True)
    v.feed(EventKind.LEVEL, BUY, 100, 1, last=False, refresh=True)
    v.feed(EventKind.LEVEL, SELL, 110, 1, last=False, refresh=True)
    v.feed(EventKind.SNAPSHOT_END, refresh=True)
    assert v.s.orders[v.s.rank[BUY, 0]].front == 100 and fills(v.market(BUY, 1)) == []


def test_events_of_another_symbol_are_not_ours():
    v = venue(bids=((100, 100),))
    v.place(BUY, 100, 50)
    assert v.feed(EventKind.TRADE, SELL, 90, 500, symbol=3) == []
    assert v.feed(EventKind.LEVEL, SELL, 95, 500, symbol=3) == []


# Cancel, replace


def test_a_cancel_answers_with_its_own_times():
    v = venue()
    v.place(BUY, 80, 5)
    v.wait(MS)
    sent = v.now
    got = v.change(OrderKind.CANCEL, target_id=1)
    assert kinds(got) == ["CANCELLED"] and reasons(got) == ["ASKED"]
    assert got[0]["created_ns"] == sent and got[0]["acted_ns"] == v.now and got[0]["order_kind"] == OrderKind.CANCEL
    assert (got[0]["order_id"], got[0]["left_lots"]) == (1, 5)
    assert reasons(v.change(OrderKind.CANCEL, target_id=1)) == ["UNKNOWN_ORDER"]


def test_cancel_all_is_for_one_strategy():
    v = venue()
    for strategy, px in ((0, 80), (1, 81), (0, 82), (0, 120)):
        v.place(BUY if px < 100 else SELL, px, 1, strategy=strategy)
    got = v.change(OrderKind.CANCEL_ALL)
    assert kinds(got) == ["CANCELLED", "CANCELLED", "CANCELLED", "NOTED"]
    assert [r["px_ticks"] for r in got[:3]] == [82, 80, 120]
    assert v.s.open_orders == 1
    assert kinds(v.change(OrderKind.CANCEL_ALL)) == ["NOTED"]
    v.close()


def test_a_smaller_order_keeps_its_place_and_any_other_change_loses_it():
    v = venue(bids=((100, 10),))
    v.place(BUY, 100, 20)
    v.trade(SELL, 100, 13)  # 3 filled, nothing ahead
    v.level(BUY, 100, 50)
    assert kinds(v.change(OrderKind.REPLACE, target_id=1, px_ticks=100, qty_lots=15)) == ["REPLACED"]
    assert v.s.working[BUY] == 12
    assert fills(v.trade(SELL, 100, 2)) == [(100, 2)]
    assert kinds(v.change(OrderKind.REPLACE, target_id=1, px_ticks=100, qty_lots=16)) == ["REPLACED"]
    assert v.trade(SELL, 100, 50) == [] and fills(v.trade(SELL, 100, 99)) == [(100, 11)]
    assert v.s.ledger.position_lots == 16, "the new quantity counts what was filled before"


def test_a_replacement_may_take_and_may_be_refused():
    v = venue(bids=((100, 10),), asks=((110, 3),))
    v.place(BUY, 100, 5)
    assert fills(v.change(OrderKind.REPLACE, target_id=1, px_ticks=110, qty_lots=5)) == [(110, 3)]
    v.place(BUY, 99, 5, Tif.POST_ONLY)
    for qty, px, reason in (
        (5, 110, "WOULD_TAKE"),
        (5, 0, "BAD_PRICE"),
        (0, 99, "BAD_QUANTITY"),
        (MAX_QTY_LOTS, MAX_PRICE_TICKS, "NOTIONAL"),
    ):
        got = v.change(OrderKind.REPLACE, target_id=2, px_ticks=px, qty_lots=qty)
        assert (kinds(got), reasons(got)) == (["CANCEL_REJECTED"], [reason])
        assert got[0]["px_ticks"] == 99, "the order stays as it was"
    assert reasons(v.change(OrderKind.REPLACE, target_id=1, px_ticks=110, qty_lots=3)) == ["BAD_QUANTITY"]
    assert reasons(v.change(OrderKind.REPLACE, target_id=9, px_ticks=1, qty_lots=1)) == ["UNKNOWN_ORDER"]
    v.control(ControlCode.LIFECYCLE, Lifecycle.DEGRADED)
    assert reasons(v.change(OrderKind.REPLACE, target_id=2, px_ticks=98, qty_lots=5)) == ["NOT_READY"]
    assert kinds(v.change(OrderKind.REPLACE, target_id=2, px_ticks=99, qty_lots=4)) == ["REPLACED"]
    v.close()


# Each reason


def refused(v, *args, **fields):
    got = v.place(*args, **fields)
    assert kinds(got) == ["REJECTED"] and got[0]["status"] == Status.REJECTED
    reason = reasons(got)[0]
    assert v.s.counters.rejected[Reason[reason]] >= 1
    return reason


@pytest.mark.parametrize(
    "reason, order",
    [
        ("BAD_ORDER", {"side": 3}),
        ("BAD_ORDER", {"side": 0}),
        ("BAD_ORDER", {"kind": 7}),
        ("BAD_ORDER", {"tif": 9}),
        ("BAD_ORDER", {"tif": 0}),
        ("BAD_ORDER", {"strategy": MAX_STRATEGIES}),
        ("BAD_ORDER", {"order_id": 0}),
        ("BAD_ORDER", {"order_id": -4}),
        ("BAD_ORDER", {"kind": OrderType.MARKET, "tif": Tif.POST_ONLY, "px": 0}),
        ("BAD_SYMBOL", {"symbol": 5}),
        ("BAD_PRICE", {"px": 0}),
        ("BAD_PRICE", {"px": -7}),
        ("BAD_PRICE", {"px": MAX_PRICE_TICKS + 1}),
        ("BAD_PRICE", {"kind": OrderType.MARKET}),
        ("BAD_QUANTITY", {"qty": 0}),
        ("BAD_QUANTITY", {"qty": -1}),
        ("BAD_QUANTITY", {"qty": MAX_QTY_LOTS + 1}),
        ("NOTIONAL", {"px": MAX_PRICE_TICKS, "qty": MAX_QTY_LOTS}),
        ("DUPLICATE_ID", {"order_id": 1}),
        ("WOULD_TAKE", {"px": 110, "tif": Tif.POST_ONLY}),
        ("SELF_TRADE", {"px": 105}),
        ("NOT_FILLABLE", {"px": 110, "qty": 11, "tif": Tif.FOK}),
    ],
)
def test_impossible_orders_are_refused_with_their_reason(reason, order):
    v = venue()
    v.place(SELL, 104, 1)
    fields = {"side": BUY, "px": 95, "qty": 1} | order
    if reason == "NOT_FILLABLE":
        v.change(OrderKind.CANCEL_ALL)
    side, px, qty = (fields.pop(name) for name in ("side", "px", "qty"))
    assert refused(v, side, px, qty, **fields) == reason
    v.close()


def test_a_market_order_is_bounded_by_what_it_would_pay():
    v = venue(asks=((MAX_PRICE_TICKS, MAX_QTY_LOTS),))
    assert refused(v, BUY, 0, 1 << 10, Tif.IOC, OrderType.MARKET) == "NOTIONAL"
    v = venue(bids=((MAX_PRICE_TICKS, MAX_QTY_LOTS),))
    assert refused(v, SELL, 1, 1 << 10) == "NOTIONAL", "a limit far below the market sells at the market"


def test_the_account_is_bounded_even_without_limits():
    v = venue(asks=[(1 << 20, 1 << 29)])
    reasons_seen = []
    for _ in range(80):
        v.level(SELL, 1 << 20, 0)
        v.level(SELL, 1 << 20, 1 << 29)
        reasons_seen += reasons(v.market(BUY, 1 << 29))
    assert "NOTIONAL" in reasons_seen and v.s.ledger.position_lots * (1 << 20) <= 1 << 55


def test_a_market_order_stops_before_an_own_order_only_if_it_would_reach_it():
    v = venue(asks=((110, 10), (112, 10)))
    v.place(SELL, 111, 1)
    assert fills(v.market(BUY, 10)) == [(110, 10)]
    v.level(SELL, 110, 20)
    assert refused(v, BUY, 0, 15, Tif.IOC, OrderType.MARKET) == "SELF_TRADE"


def test_a_full_table_still_lets_one_take():
    v = venue()
    for k in range(MAX_OPEN_ORDERS):
        v.place(BUY, 20 + k, 1)
    assert refused(v, BUY, 89, 1) == "OPEN_ORDERS"
    assert refused(v, BUY, 89, 1, Tif.POST_ONLY) == "OPEN_ORDERS"
    assert fills(v.market(SELL, 1)) == [(90, 1)]
    assert kinds(v.change(OrderKind.REPLACE, target_id=1, px_ticks=85, qty_lots=1)) == ["REPLACED"]
    v.close()


def test_a_full_connection_keeps_places_for_cancels():
    v = venue()
    v.place(BUY, 50, 1)
    for _ in range(MAX_IN_FLIGHT - IN_FLIGHT_CANCELS):
        v.new(BUY, 40, 1)
    v.new(BUY, 40, 1)
    assert reasons(v.reports) == ["IN_FLIGHT"]
    assert reasons(v.send(OrderKind.REPLACE, target_id=1, px_ticks=3, qty_lots=1)) == ["IN_FLIGHT"]
    for _ in range(IN_FLIGHT_CANCELS - 1):
        assert v.send(OrderKind.CANCEL, target_id=1) == []
    assert v.send(OrderKind.CANCEL_ALL) == []
    assert reasons(v.send(OrderKind.CANCEL, target_id=1)) == ["IN_FLIGHT"]
    assert kinds(v.send(OrderKind.CANCEL_ALL)) == ["NOTED"] and reasons(v.reports) == ["IN_FLIGHT"]
    v.close()


def test_records_that_are_no_orders_only_return_their_credit():
    v = venue()
    for kind in (OrderKind.SIGNAL, OrderKind.SIGNAL_END, OrderKind.SNAPSHOT):
        assert (kinds(v.send(kind)), reasons(v.reports)) == (["NOTED"], ["NONE"])
    assert reasons(v.send(OrderKind.REFUSED, order_id=7, reason=Reason.INTENT)) == ["INTENT"]
    assert reasons(v.send(99)) == ["BAD_ORDER"] and kinds(v.reports) == ["REJECTED"]
    v.close()


# Lifecycle, run, trading


@pytest.mark.parametrize(
    "code, value, reason",
    [
        (ControlCode.LIFECYCLE, Lifecycle.DEGRADED, "NOT_READY"),
        (ControlCode.LIFECYCLE, Lifecycle.WARMUP, "NOT_READY"),
        (ControlCode.RUN, RunState.PAUSED, "PAUSED"),
    ],
)
def test_outside_ready_and_running_orders_are_provisional_and_cancels_pass(code, value, reason):
    v = venue()
    v.place(BUY, 80, 1)
    v.control(code, value)
    got = v.market(BUY, 1)
    assert (kinds(got), reasons(got)) == (["PROVISIONAL"], [reason])
    assert kinds(v.change(OrderKind.CANCEL, target_id=1)) == ["CANCELLED"]
    v.control(code, Lifecycle.READY if code == ControlCode.LIFECYCLE else RunState.RUNNING)
    assert fills(v.market(BUY, 1)) == [(110, 1)]
    v.close()


def test_the_kill_switch_cancels_what_is_open_and_on_its_way_and_refuses_the_rest():
    v = venue()
    v.place(BUY, 80, 5)
    v.place(SELL, 120, 5)
    v.new(BUY, 81, 1)
    v.send(OrderKind.CANCEL, target_id=1)
    v.new(BUY, 82, 1)
    got = v.control(ControlCode.TRADING, Trading.HALTED)
    assert kinds(got) == ["HALTED"] + ["CANCELLED"] * 4 + ["ACCOUNT"]
    assert set(reasons(got)) == {"KILL_SWITCH"}
    assert got[-1]["trading"] == Trading.HALTED
    assert v.control(ControlCode.TRADING, Trading.HALTED) == []
    assert reasons(v.wait(MS)) == ["UNKNOWN_ORDER"], "the cancel that was on its way finds nothing"
    assert refused(v, BUY, 80, 1) == "KILL_SWITCH"
    assert refused(v, BUY, 80, 1, order_id=4) == "DUPLICATE_ID", "an id that was cancelled on its way is used"
    v.control(ControlCode.TRADING, Trading.ACTIVE)
    assert kinds(v.place(BUY, 80, 1)) == ["ACCEPTED"]
    v.close()


def test_reducing_lets_only_reducing_orders_through():
    v = venue()
    v.market(BUY, 5)
    v.control(ControlCode.TRADING, Trading.REDUCING)
    assert refused(v, BUY, 80, 1) == "REDUCING"
    got = v.market(SELL, 9)
    assert reasons(got)[0] == "REDUCING" and got[0]["qty_lots"] == 5, "the reducing part of it"
    assert v.s.ledger.position_lots == 0 and v.s.counters.adjusted == 1


def test_the_daily_loss_halts_in_the_middle_of_what_fills():
    v = venue(asks=((1000, 10),), bids=((100, 1), (99, 10)), limits=RiskLimits(daily_loss_cap=900))
    v.market(BUY, 3)
    v.place(BUY, 50, 2)
    v.place(SELL, 2000, 1)
    v.new(BUY, 60, 1)
    v.new(SELL, 0, 3, Tif.IOC, OrderType.MARKET)
    got = v.wait(MS)
    assert kinds(got) == ["ACCEPTED", "ACCEPTED", "FILL", "HALTED"] + ["CANCELLED"] * 4 + ["ACCOUNT"]
    assert reasons(got)[3:] == ["DAILY_LOSS"] * 5
    assert got[-2]["left_lots"] == 2, "and what the order itself had left"
    assert refused(v, SELL, 99, 2) == "DAILY_LOSS"
    v.close()


@pytest.mark.parametrize("loss, halts", [(1999, False), (2000, True), (2001, True)])
def test_oracle_two_percent_of_a_hundred_thousand(loss, halts):
    v = venue(
        asks=((10_000, 1),),
        bids=((10_000 - loss, 1),),
        cash0=100_000,
        limits=RiskLimits(daily_loss_cap=2000),
    )
    v.market(BUY, 1)
    got = v.market(SELL, 1)
    assert ("HALTED" in kinds(got)) == halts


def test_risk_makes_orders_smaller_but_never_a_fok():
    v = venue(limits=RiskLimits(max_order_lots=3))
    got = v.market(BUY, 5)
    assert got[0]["qty_lots"] == 3 and reasons(got)[0] == "ORDER_SIZE" and fills(got) == [(110, 3)]
    assert refused(v, BUY, 110, 5, Tif.FOK) == "ORDER_SIZE"
    v.place(BUY, 80, 2)
    got = v.change(OrderKind.REPLACE, target_id=3, px_ticks=81, qty_lots=9)
    assert kinds(got) == ["REPLACED"] and got[0]["qty_lots"] == 3 and reasons(got) == ["ORDER_SIZE"]


def test_limits_count_what_works_for_all_strategies():
    v = venue(limits=RiskLimits(max_position_lots=10))
    v.place(BUY, 80, 7, strategy=0)
    got = v.place(BUY, 80, 7, strategy=1)
    assert got[0]["qty_lots"] == 3 and reasons(got) == ["POSITION"]
    assert refused(v, BUY, 80, 1, strategy=2) == "POSITION"


@pytest.mark.parametrize(
    "limits, reason",
    [
        (RiskLimits(max_intent=200), "INTENT"),
        (RiskLimits(max_notional=200), "NOTIONAL"),
        (RiskLimits(orders_per_second=1), "ORDER_RATE"),
        (RiskLimits(collar_cbps=100), "PRICE_COLLAR"),
    ],
)
def test_the_other_limits_reach_the_report(limits, reason):
    v = venue(asks=((110, 10), (500, 20)), limits=limits)
    v.place(BUY, 110, 1, Tif.FOK)
    assert refused(v, BUY, 500, 20, Tif.FOK) == reason


def test_a_loss_that_only_the_mark_shows_halts_at_the_next_periodic_account():
    v = venue(asks=((110, 9),), limits=RiskLimits(max_drawdown=100), snapshot_interval_ns=50 * MS)
    v.market(BUY, 5)
    v.place(BUY, 20, 1)
    v.book(((80, 1),), ((90, 1),))
    got = v.wait(50 * MS)
    assert kinds(got) == ["HALTED", "CANCELLED", "ACCOUNT"] and got[-1]["flag_bits"] == ReportFlag.PERIODIC
    assert reasons(got) == ["DRAWDOWN", "DRAWDOWN"] and got[0]["trigger_seq"] == -1


def test_a_halt_in_the_middle_of_a_crossing_cancels_the_rest():
    v = venue(limits=RiskLimits(daily_loss_cap=1), maker_cbps=10_000)
    v.place(BUY, 100, 1)
    v.place(BUY, 99, 1)
    got = v.level(SELL, 99, 5)
    assert kinds(got) == ["FILL", "HALTED", "CANCELLED", "ACCOUNT"]


def test_drawdown_and_losses_in_a_row_halt():
    v = venue(asks=((110, 100),), limits=RiskLimits(max_drawdown=25))
    assert "DRAWDOWN" in reasons(v.market(BUY, 3))
    v = venue(asks=((110, 100),), limits=RiskLimits(max_consecutive_losses=2))
    v.market(BUY, 1)
    assert "HALTED" not in kinds(v.market(SELL, 1))
    v.market(BUY, 1)
    assert "CONSECUTIVE_LOSSES" in reasons(v.market(SELL, 1))


@pytest.mark.parametrize("field", ["cash", "fees", "position_lots"])
def test_a_broken_ledger_halts_with_its_name(field):
    v = venue()
    v.place(BUY, 80, 1)
    v.new(BUY, 0, 1, Tif.IOC, OrderType.MARKET)
    v.s.ledger[field] += 1
    got = v.tick(compare=False)  # the twin is not broken
    assert kinds(got) == ["ACCEPTED", "FILL", "HALTED", "CANCELLED", "ACCOUNT"]
    assert v.s.risk.halt_reason == Reason.LEDGER_IDENTITY and reasons(got)[2:] == ["LEDGER_IDENTITY"] * 2


@pytest.mark.parametrize("field", LEDGER.names)
def test_a_ledger_damaged_between_two_fills_halts_with_the_next_record_acted_on(field):
    v = venue()
    v.market(BUY, 3)
    v.place(BUY, 80, 1)
    v.new(BUY, 79, 1)
    v.s.ledger[field] += 1
    got = v.tick(compare=False)
    assert kinds(got) == ["ACCEPTED", "HALTED", "CANCELLED", "CANCELLED", "ACCOUNT"]
    assert v.s.risk.halt_reason == Reason.LEDGER_IDENTITY and reasons(got)[1:] == ["LEDGER_IDENTITY"] * 3
    assert v.s.risk.trading == Trading.HALTED and v.s.open_orders == 0 and v.s.breach == 0


@pytest.mark.parametrize("flag", [ReportFlag.PERIODIC, ReportFlag.FINAL])
def test_a_damaged_ledger_is_never_told_as_an_account_that_trades(flag):
    v = venue(snapshot_interval_ns=50 * MS)
    v.market(BUY, 3)
    v.s.ledger.cash -= 7
    if flag == ReportFlag.FINAL:
        v.s.snapshot_ns = NEVER_NS
        v.feed(EventKind.CONTROL, code=ControlCode.END_OF_FEED, qty=1, compare=False)
    got = v.tick(compare=False)
    halted = "HALTED" in kinds(got) or v.s.risk.trading == Trading.HALTED
    account = [r for r in v.everything + got if r["kind"] == ReportKind.ACCOUNT][-1]
    assert halted and account["trading"] == Trading.HALTED and account["reason"] == Reason.LEDGER_IDENTITY
    assert account["flag_bits"] == flag and v.s.counters.halts == 1, "one halt, said once"


def test_a_wrong_order_step_halts_with_its_name():
    v = venue()
    v.place(BUY, 80, 1)
    v.s.orders[v.s.rank[BUY, 0]].status = Status.FILLED
    v.trade(SELL, 85, 1)
    v.now += MS
    got = v.feed(EventKind.TRADE, SELL, 80, 5, compare=False)
    assert kinds(got) == ["FILL", "HALTED", "ACCOUNT"] and reasons(got)[1] == "ORDER_STATE"


# Time


def test_latency_both_ways():
    v = venue(entry_ns=3 * MS, response_ns=5 * MS)
    sent = v.now
    v.new(BUY, 110, 4)
    assert v.s.timer_ns == sent + 3 * MS
    got = v.wait(3 * MS)
    assert got[0]["created_ns"] == got[0]["received_ns"] == sent
    assert got[0]["acted_ns"] == sent + 3 * MS and got[0]["deliver_ns"] == sent + 8 * MS


def test_nothing_is_acted_on_between_two_levels_of_a_message():
    v = venue(asks=((110, 5),))
    v.new(BUY, 0, 5, Tif.IOC, OrderType.MARKET)
    v.now += 2 * MS
    v.level(SELL, 110, 0, last=False)
    assert v.s.timer_ns == NEVER_NS and v.s.in_flight_count == 1
    v.now = 12 * MS
    v.level(SELL, 111, 5)
    assert fills(v.wait(0)) == [(111, 5)]


def test_a_timer_that_comes_early_does_nothing():
    v = venue()
    v.new(BUY, 80, 1)
    on_timer(v.s, v.now, v.out)
    assert v.out.count[0] == 0 and v.s.timer_ns == v.now + MS


def test_the_periodic_account_follows_the_clock():
    v = Venue(snapshot_interval_ns=7 * MS)
    assert v.s.timer_ns == NEVER_NS
    v.book(((90, 1),), ((110, 1),))
    v.market(BUY, 1)
    got = v.wait(20 * MS)
    assert [r["time_ns"] // MS for r in got] == [14, 21, 28]
    assert {r["flag_bits"] for r in got} == {ReportFlag.PERIODIC} and got[0]["unrealized"] == -10
    v.close()


def test_open_orders_live_one_second_after_the_feed_and_then_all_is_over():
    v = venue(entry_ns=MS, expiry_ns=1000 * MS)
    v.place(BUY, 80, 1)
    v.control(ControlCode.END_OF_FEED)
    v.wait(999 * MS)
    assert v.s.open_orders == 1
    v.wait(0)
    v.now += MS // 2
    v.new(BUY, 80, 1)  # arrives after the expiry
    v.send(OrderKind.CANCEL, target_id=1)
    v.send(OrderKind.CANCEL_ALL)
    got = v.wait(10 * MS)
    assert kinds(got) == ["CANCELLED", "CANCELLED", "CANCEL_REJECTED", "NOTED", "ACCOUNT"]
    assert reasons(got) == ["END_OF_FEED"] * 4
    assert got[-1]["flag_bits"] == ReportFlag.FINAL
    v.new(BUY, 80, 1)
    assert (kinds(v.reports), reasons(v.reports)) == (["REJECTED"], ["END_OF_FEED"])
    assert set(v.answers.values()) == {1}


def test_a_stop_expires_what_is_open_at_once():
    v = venue()
    v.place(BUY, 80, 1)
    v.new(BUY, 80, 1)
    before = v.now
    got = v.close(stopped=True)
    assert kinds(got) == ["CANCELLED", "CANCELLED", "ACCOUNT"] and got[0]["deliver_ns"] == before + MS


# Whole fills


def test_whole_fills_ignore_quantities():
    v = venue(asks=((110, 1),), bids=((100, 10),), whole_fills=True)
    assert fills(v.market(BUY, 50)) == [(110, 50)]
    assert fills(v.market(BUY, 50)) == [(110, 50)]
    v.place(BUY, 100, 70)
    assert v.trade(SELL, 100, 10) == []
    assert fills(v.trade(SELL, 100, 1)) == [(100, 70)]
    v.place(BUY, 100, 70)
    assert fills(v.trade(SELL, 99, 1)) == [(100, 70)]
    v.place(BUY, 100, 70)
    assert fills(v.level(SELL, 100, 1)) == [(100, 70)]


# Fees, start


def test_fees_are_taken_from_maker_and_taker():
    v = venue(bids=((100_000, 0),), asks=((100_000, 10),), maker_cbps=-50, taker_cbps=200)
    got = v.market(BUY, 10)
    assert got[1]["fee"] == 200 and got[1]["liquidity"] == Liquidity.TAKER
    v.place(SELL, 200_000, 10)
    got = v.trade(BUY, 200_001, 10)
    assert got[0]["fee"] == -100
    assert got[1]["fees"] == 100 and got[1]["realized"] == 1_000_000


def test_parameters_out_of_range_are_named_all_at_once():
    with pytest.raises(BadInput) as refusal:
        broker_init(BrokerParams(entry_ns=-1, queue_n=0.0, symbol=99, limits=RiskLimits(max_intent=-1)))
    for name in ("entry_ns", "queue_n", "symbol", "limits.max_intent"):
        assert name in str(refusal.value)
