"""Laws of the gate: each limit just below, at and just above it; what reduces passes; a halt stays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringsim.records import Reason, Side, Trading, Verdict
from ringsim.risk.gate import (
    DAY_NS,
    RISK,
    risk_account,
    risk_control,
    risk_day_realized,
    risk_halt,
    risk_headroom,
    risk_judge,
    risk_open,
    risk_rearm,
    risk_reducible,
    risk_round_trip,
    risk_token_ns,
)
from ringsim.risk.limits import RiskLimits, usual_limits
from tests.naive.risk import NaiveGate

BUY, SELL = Side.BUY, Side.SELL
SECOND = 1_000_000_000
CAPITAL = 100_000


def gate(capital=CAPITAL, offset_ns=0, **limits):
    r = np.zeros(1, RISK).view(np.recarray)[0]
    risk_open(r, RiskLimits(**limits), capital, offset_ns)
    return r


def judge(r, side=BUY, px=100, qty=10, position=0, buys=0, sells=0, mark=100, now=0):
    verdict, reason, lots = risk_judge(r, now, side, px, qty, position, buys, sells, mark)
    return Verdict(verdict), Reason(reason), int(lots)


PASSES = (Verdict.APPROVED, Reason.NONE)


# Every limit: what it allows, asked one lot less, exactly that, one lot more.
ALLOWS_TEN = [
    pytest.param({"max_intent": 1_000}, {}, Reason.INTENT, id="intent, exact"),
    pytest.param({"max_intent": 1_099}, {}, Reason.INTENT, id="intent, a part of a lot more"),
    pytest.param({"max_intent": 1_000}, {"px": 0}, Reason.INTENT, id="intent of a market order, at the mark"),
    pytest.param({"max_position_lots": 10}, {}, Reason.POSITION, id="position, flat"),
    pytest.param({"max_position_lots": 14}, {"position": 4}, Reason.POSITION, id="position, long"),
    pytest.param({"max_position_lots": 14}, {"position": 1, "buys": 3}, Reason.POSITION, id="position, buys working"),
    pytest.param({"max_position_lots": 6}, {"position": -4}, Reason.POSITION, id="position, through zero"),
    pytest.param({"max_position_lots": 10}, {"sells": 5}, Reason.POSITION, id="position, working sells give no room"),
    pytest.param({"max_position_lots": 14}, {"side": SELL, "position": -4}, Reason.POSITION, id="position, short"),
    pytest.param({"max_position_lots": 14}, {"side": SELL, "sells": 4}, Reason.POSITION, id="position, sells working"),
    pytest.param({"max_order_lots": 10}, {}, Reason.ORDER_SIZE, id="order size"),
    pytest.param({"max_order_lots": 10}, {"side": SELL}, Reason.ORDER_SIZE, id="order size, sell"),
    pytest.param({"max_notional": 1_000}, {}, Reason.NOTIONAL, id="notional"),
    pytest.param({"max_notional": 1_500}, {"position": 3, "buys": 2}, Reason.NOTIONAL, id="notional, worst case"),
    pytest.param({"max_notional": 1_500}, {"side": SELL, "position": -3, "sells": 2}, Reason.NOTIONAL, id="notional, short"),
    pytest.param({"max_intent": 1_000, "max_order_lots": 11, "max_notional": 1_200}, {}, Reason.INTENT, id="tightest: intent"),
    pytest.param({"max_intent": 1_100, "max_order_lots": 10, "max_position_lots": 11}, {}, Reason.ORDER_SIZE, id="tightest: size"),
    pytest.param({"max_intent": 1_000, "max_position_lots": 10, "max_order_lots": 10}, {}, Reason.INTENT, id="equals: intent"),
    pytest.param({"max_intent": 1_000, "max_notional": 1_000}, {}, Reason.INTENT, id="equals: intent and notional"),
    pytest.param({"max_position_lots": 10, "max_notional": 1_000}, {}, Reason.POSITION, id="equals: position"),
    pytest.param({"max_order_lots": 10, "max_notional": 1_000}, {}, Reason.ORDER_SIZE, id="equals: size"),
]  # fmt: skip


@pytest.mark.parametrize(("limits", "order", "reason"), ALLOWS_TEN)
def test_a_size_limit_just_below_at_and_just_above(limits, order, reason):
    assert judge(gate(**limits), qty=9, **order) == (*PASSES, 9)
    assert judge(gate(**limits), qty=10, **order) == (*PASSES, 10)
    assert judge(gate(**limits), qty=11, **order) == (Verdict.ADJUSTED, reason, 10)
    headroom = risk_headroom(
        gate(**limits),
        order.get("side", BUY),
        100,
        order.get("position", 0),
        order.get("buys", 0),
        order.get("sells", 0),
    )
    assert headroom == 10


NOT_A_LOT = [
    ({"max_intent": 99}, {}, Reason.INTENT),
    ({"max_position_lots": 10}, {"position": 10}, Reason.POSITION),
    ({"max_position_lots": 10}, {"position": 5, "buys": 5}, Reason.POSITION),
    ({"max_position_lots": 10}, {"position": 25}, Reason.POSITION),
    ({"max_notional": 99}, {}, Reason.NOTIONAL),
    ({"max_notional": 1_000}, {"side": SELL, "position": -10}, Reason.NOTIONAL),
]


@pytest.mark.parametrize(("limits", "order", "reason"), NOT_A_LOT)
def test_less_than_one_lot_is_a_rejection_that_names_the_limit(limits, order, reason):
    assert judge(gate(**limits), **order) == (Verdict.REJECTED, reason, 0)


def test_orders_per_second_just_below_at_and_just_above():
    r = gate(orders_per_second=3)
    assert [judge(r)[0] for _ in range(3)] == [Verdict.APPROVED] * 3
    assert judge(r) == (Verdict.REJECTED, Reason.ORDER_RATE, 0)
    third = SECOND // 3  # 333333333 ns add 999999999 of the 1000000000 that an order costs
    assert risk_token_ns(r, 0) == third + 1
    assert risk_token_ns(gate(orders_per_second=3), 7) == risk_token_ns(gate(), 7) == 7
    assert judge(r, now=third) == (Verdict.REJECTED, Reason.ORDER_RATE, 0)
    assert judge(r, now=third + 1) == (*PASSES, 10)
    assert judge(r, now=third + 1) == (Verdict.REJECTED, Reason.ORDER_RATE, 0)


def test_the_bucket_never_holds_more_than_one_second_of_orders_and_never_loses_by_a_clock_that_goes_back():
    r = gate(orders_per_second=5)
    assert judge(r, now=1 << 61) == (*PASSES, 10)
    assert [judge(r, now=5)[0] for _ in range(5)] == [Verdict.APPROVED] * 4 + [Verdict.REJECTED]


def test_the_price_collar_just_below_at_and_just_above():
    limits = {"collar_cbps": 1_000}  # 10 bps of 100,000 is 100 ticks
    for side, sign in ((BUY, 1), (SELL, -1)):
        assert judge(gate(**limits), side=side, px=100_000 + sign * 99, mark=100_000) == (*PASSES, 10)
        assert judge(gate(**limits), side=side, px=100_000 + sign * 100, mark=100_000) == (*PASSES, 10)
        above = judge(gate(**limits), side=side, px=100_000 + sign * 101, mark=100_000)
        assert above == (Verdict.REJECTED, Reason.PRICE_COLLAR, 0)
        away = judge(gate(**limits), side=side, px=100_000 - sign * 5_000, mark=100_000)
        assert away == (*PASSES, 10), "far from the market on its own side is patience, no mistake"
        assert judge(gate(**limits), side=side, mark=0) == (Verdict.REJECTED, Reason.PRICE_COLLAR, 0)


@pytest.mark.parametrize(
    ("net", "trading", "reason"),
    [
        (-1_599, Trading.ACTIVE, Reason.NONE),
        (-1_600, Trading.REDUCING, Reason.NONE),
        (-1_601, Trading.REDUCING, Reason.NONE),
        (-1_999, Trading.REDUCING, Reason.NONE),
        (-2_000, Trading.HALTED, Reason.DAILY_LOSS),
        (-2_001, Trading.HALTED, Reason.DAILY_LOSS),
    ],
)
def test_two_percent_of_realised_loss_halts_and_eighty_percent_of_that_reduces(net, trading, reason):
    r = gate(daily_loss_cap=usual_limits(CAPITAL).daily_loss_cap)
    assert risk_account(r, 0, net, CAPITAL + net) == reason
    assert (r.trading, r.halt_reason) == (trading, reason)
    if reason:
        assert judge(r, side=SELL, position=10) == (Verdict.REJECTED, Reason.DAILY_LOSS, 0)
        assert risk_account(r, 1, net - 1, CAPITAL + net) == 0, "a halt is told once"


def test_drawdown_just_below_at_and_just_above():
    for down, trading in ((499, Trading.ACTIVE), (500, Trading.HALTED), (501, Trading.HALTED)):
        r = gate(max_drawdown=500)
        assert risk_account(r, 0, 0, CAPITAL + 1_000) == 0
        reason = risk_account(r, 1, 0, CAPITAL + 1_000 - down)
        assert (r.trading, reason) == (trading, Reason.DRAWDOWN if trading else 0)


def test_losing_trips_in_a_row_just_below_at_and_just_above():
    r = gate(max_consecutive_losses=2)
    assert [risk_round_trip(r, net) for net in (-5, -4, -9, -9)] == [0, 0, 0, 0], "won one between, then one even"
    assert r.trading == Trading.ACTIVE
    assert risk_round_trip(r, -10) == Reason.CONSECUTIVE_LOSSES
    assert risk_round_trip(r, -11) == 0 and r.halt_reason == Reason.CONSECUTIVE_LOSSES
    risk_rearm(r)
    assert risk_round_trip(r, -12) == 0, "rearmed: the row begins anew"


def test_a_limit_of_zero_is_no_limit_and_only_the_bounds_of_the_integers_hold():
    r = gate()
    assert judge(r, px=1, qty=1 << 40, mark=0) == (*PASSES, 1 << 40)
    assert judge(r, px=1, qty=(1 << 40) + 1) == (Verdict.ADJUSTED, Reason.ORDER_SIZE, 1 << 40)
    assert judge(r, px=1 << 40, qty=1 << 10) == (Verdict.ADJUSTED, Reason.INTENT, 1 << 9)
    assert risk_account(r, 0, -(1 << 50), -(1 << 50)) == 0


def test_impossible_orders_are_refused_before_any_limit():
    assert judge(gate(), side=0) == (Verdict.REJECTED, Reason.BAD_ORDER, 0)
    assert judge(gate(), qty=0) == (Verdict.REJECTED, Reason.BAD_QUANTITY, 0)
    assert judge(gate(), qty=-1) == (Verdict.REJECTED, Reason.BAD_QUANTITY, 0)
    assert judge(gate(), px=0, mark=0) == (Verdict.REJECTED, Reason.BAD_PRICE, 0)
    assert judge(gate(), side=SELL, px=-1, position=50) == (Verdict.REJECTED, Reason.BAD_PRICE, 0)


EVERY_LIMIT_SHUT = {
    "max_intent": 1,
    "max_position_lots": 1,
    "max_order_lots": 1,
    "max_notional": 1,
    "orders_per_second": 1,
    "collar_cbps": 1,
}


@pytest.mark.parametrize(("side", "position"), [(SELL, 10), (BUY, -10)])
def test_an_order_that_only_reduces_passes_everything_but_a_halt(side, position):
    r = gate(**EVERY_LIMIT_SHUT)
    r.tokens, r.trading = 0, Trading.REDUCING
    assert judge(r, side=side, position=position, qty=10, px=0, mark=0) == (*PASSES, 10)
    working = {"sells": 4} if side == SELL else {"buys": 4}
    assert judge(r, side=side, position=position, qty=6, **working) == (*PASSES, 6)
    assert judge(r, side=side, position=position, qty=7, **working) == (Verdict.ADJUSTED, Reason.REDUCING, 6)
    other = {"buys": 4} if side == SELL else {"sells": 4}
    assert judge(r, side=side, position=position, qty=10, **other) == (*PASSES, 10)
    r.trading = Trading.ACTIVE
    assert judge(r, side=side, position=position, qty=12, px=7) == (Verdict.ADJUSTED, Reason.INTENT, 10)
    risk_control(r, Trading.HALTED)
    assert judge(r, side=side, position=position, qty=1) == (Verdict.REJECTED, Reason.KILL_SWITCH, 0)
    assert risk_headroom(r, side, 100, position, 0, 0) == 0


def test_reducing_refuses_what_adds():
    r = gate()
    risk_control(r, Trading.REDUCING)
    assert judge(r, side=BUY, position=3) == (Verdict.REJECTED, Reason.REDUCING, 0)
    assert judge(r, side=BUY, position=0) == (Verdict.REJECTED, Reason.REDUCING, 0)
    assert risk_headroom(r, SELL, 100, 3, 0, 1) == 2


def test_a_halt_keeps_its_first_reason_and_survives_midnight_until_rearmed():
    r = gate(daily_loss_cap=2_000)
    assert risk_account(r, 0, -2_000, 98_000) == Reason.DAILY_LOSS
    risk_halt(r, Reason.LEDGER_IDENTITY)
    risk_control(r, Trading.HALTED)
    risk_control(r, Trading.REDUCING)
    assert risk_account(r, DAY_NS, -2_000, 98_000) == 0
    assert (r.trading, r.halt_reason) == (Trading.HALTED, Reason.DAILY_LOSS)
    risk_rearm(r)
    assert judge(r) == (*PASSES, 10)
    assert risk_account(r, DAY_NS + 1, -2_001, 98_000) == 0, "rearmed: losses count from there"
    assert risk_account(r, DAY_NS + 2, -4_000, 96_000) == Reason.DAILY_LOSS


def test_the_loss_counts_from_midnight_utc():
    offset = 7 * SECOND
    r = gate(daily_loss_cap=2_000, offset_ns=offset)
    assert risk_account(r, DAY_NS - offset - 1, -1_700, 98_300) == 0
    assert (r.trading, risk_day_realized(r)) == (Trading.REDUCING, -1_700)
    assert risk_account(r, DAY_NS - offset, -1_800, 98_200) == 0
    assert (r.trading, risk_day_realized(r)) == (Trading.ACTIVE, -100), "REDUCING by loss ends with the day"
    assert risk_account(r, DAY_NS, -3_700, 96_300) == Reason.DAILY_LOSS
    r = gate(daily_loss_cap=2_000)
    risk_control(r, Trading.REDUCING)
    risk_account(r, DAY_NS, 0, CAPITAL)
    risk_account(r, 2 * DAY_NS, 0, CAPITAL)
    assert r.trading == Trading.REDUCING, "the operator's REDUCING does not"


def test_limits_out_of_range_are_all_named_at_once():
    assert RiskLimits().problems() == []
    named = RiskLimits(max_intent=-1, orders_per_second=10**7, max_order_lots=5).problems()
    assert len(named) == 2 and "max_intent -1" in named[0] and "orders_per_second" in named[1]


small = st.integers(0, 12)
limits_drawn = st.builds(
    RiskLimits,
    max_intent=st.integers(0, 120),
    max_position_lots=small,
    max_order_lots=small,
    max_notional=st.integers(0, 120),
    orders_per_second=st.integers(0, 3),
    daily_loss_cap=st.integers(0, 30),
    max_drawdown=st.integers(0, 30),
    collar_cbps=st.sampled_from([0, 0, 100_000, 1_000_000]),
    max_consecutive_losses=st.integers(0, 3),
)
steps_drawn = st.lists(
    st.one_of(
        st.tuples(
            st.just("judge"), st.integers(0, 600_000_000), st.sampled_from([1, 1, 1, 2, 2, 2, 0]), st.integers(-1, 12),
            st.integers(-1, 14), st.integers(-14, 14), small, small, st.integers(0, 12),
        ),
        st.tuples(st.just("account"), st.integers(0, DAY_NS), st.integers(-40, 40), st.integers(60, 140)),
        st.tuples(st.just("trip"), st.integers(-9, 9)),
        st.tuples(st.just("control"), st.sampled_from([0, 0, 1, 2])),
    ),
    max_size=25,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(limits_drawn, steps_drawn, st.integers(0, DAY_NS))
def test_same_answers_as_the_naive_gate(limits, steps, offset_ns):
    fast = np.zeros(1, RISK).view(np.recarray)[0]
    risk_open(fast, limits, 100, offset_ns)
    naive = NaiveGate(limits, 100, offset_ns)
    now = 0
    for what, *given_ in steps:
        if what == "judge":
            now += given_[0]
            side, px, qty, position, buys, sells, mark = given_[1:]
            expected = naive.judge(now, side, px, qty, position, buys, sells, mark)
            assert risk_judge(fast, now, side, px, qty, position, buys, sells, mark) == expected
            if limits.orders_per_second:
                assert 0 <= fast.tokens == naive.bucket * SECOND
            if side in (1, 2) and px > 0:
                room = risk_headroom(fast, side, px, position, buys, sells)
                assert min(room, 40) == naive.headroom(side, px, position, buys, sells, 40)
                reducible = risk_reducible(side, position, buys, sells)
                assert reducible == sum(naive.only_reduces(side, q, position, buys, sells) for q in range(1, 40))
        elif what == "account":
            now += given_[0]
            assert risk_account(fast, now, *given_[1:]) == naive.account(now, *given_[1:])
        elif what == "trip":
            assert risk_round_trip(fast, *given_) == naive.round_trip(*given_)
        else:
            risk_control(fast, *given_)
            naive.control(*given_)
        assert (fast.trading, fast.halt_reason) == (naive.trading, naive.reason)
