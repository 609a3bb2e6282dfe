"""Slippage: a taker pays what is asked beyond the level, never more than its limit and never less than the book's price."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringsim.broker.params import BROKER_PARAMS, BrokerParams
from ringsim.broker.slippage import SLIPPAGE_CBPS_MAX, SLIPPAGE_TICKS_MAX, slipped
from ringsim.limits import MAX_NOTIONAL, MAX_PRICE_TICKS
from ringsim.records import OrderType, Tif
from ringsim.risk.limits import RiskLimits
from tests.naive import slippage
from tests.unit.broker.venue import BUY, SELL, Venue, fills, kinds, reasons


def by_kernel(params, side, level, limit):
    p = np.zeros(1, BROKER_PARAMS).view(np.recarray)[0]
    params.store(p)
    return slipped(p, side, level, limit or 0)


@pytest.mark.parametrize(
    ("ticks", "cbps", "side", "level", "limit", "price"),
    [
        (0, 0, BUY, 100, None, 100),
        (3, 0, BUY, 100, None, 103),
        (3, 0, SELL, 100, None, 97),
        (3, 0, BUY, 100, 104, 103),  # just within the limit, at it, cut by it
        (3, 0, BUY, 100, 103, 103),
        (3, 0, BUY, 100, 102, 102),
        (3, 0, BUY, 100, 100, 100),
        (3, 0, SELL, 100, 96, 97),
        (3, 0, SELL, 100, 97, 97),
        (3, 0, SELL, 100, 98, 98),
        (3, 0, SELL, 4, None, 1),  # a price is at least one tick
        (3, 0, SELL, 3, None, 1),
        (3, 0, BUY, MAX_PRICE_TICKS - 3, None, MAX_PRICE_TICKS),
        (3, 0, BUY, MAX_PRICE_TICKS - 2, None, MAX_PRICE_TICKS),
        (0, 100, BUY, 10_000, None, 10_001),  # one basis point; what is less than a tick is a whole one
        (0, 100, BUY, 9_999, None, 10_000),
        (0, 100, BUY, 10_001, None, 10_003),
        (0, 100, SELL, 10_001, None, 9_999),
        (0, 1, SELL, 1, None, 1),
    ],
)
def test_by_hand(ticks, cbps, side, level, limit, price):
    params = BrokerParams(slippage_ticks=ticks, slippage_cbps=cbps)
    assert by_kernel(params, side, level, limit) == slippage.slipped(params, side, level, limit) == price


@given(
    ticks=st.integers(0, SLIPPAGE_TICKS_MAX),
    cbps=st.integers(0, SLIPPAGE_CBPS_MAX),
    side=st.sampled_from([BUY, SELL]),
    level=st.integers(1, MAX_PRICE_TICKS),
    room=st.one_of(st.none(), st.integers(0, 1_000_000)),
)
def test_as_its_twin_never_better_than_the_book_and_never_beyond_the_limit(ticks, cbps, side, level, room):
    params = BrokerParams(slippage_ticks=ticks, slippage_cbps=cbps)
    limit = room if room is None else min(level + room, MAX_PRICE_TICKS) if side == BUY else max(level - room, 1)
    price = by_kernel(params, side, level, limit)
    assert price == slippage.slipped(params, side, level, limit)
    assert level <= price <= (limit or MAX_PRICE_TICKS) if side == BUY else (limit or 1) <= price <= level


@pytest.mark.parametrize("name", ["slippage_ticks", "slippage_cbps"])
def test_what_is_out_of_range_is_named(name):
    most = SLIPPAGE_TICKS_MAX if name == "slippage_ticks" else SLIPPAGE_CBPS_MAX
    assert BrokerParams(**{name: 0}).problems() == BrokerParams(**{name: most}).problems() == []
    for value in (-1, most + 1):
        assert BrokerParams(**{name: value}).problems() == [f"{name} {value} lies outside 0..{most}"]


def venue(**params):
    v = Venue(slippage_ticks=2, **params)
    v.book(((98, 5), (97, 5)), ((102, 5), (103, 5), (104, 5)))
    return v


def test_each_level_is_paid_for_with_its_own_slippage():
    v = venue()
    assert fills(v.market(BUY, 8)) == [(104, 5), (105, 3)]
    assert fills(v.market(SELL, 7)) == [(96, 5), (95, 2)]
    assert v.s.ledger.cash == 10**12 - 104 * 5 - 105 * 3 + 96 * 5 + 95 * 2
    v.close()


def test_a_limit_order_pays_no_more_than_its_limit_and_rests_at_it():
    v = venue()
    assert fills(v.place(BUY, 103, 12)) == [(103, 5), (103, 5)]
    assert v.s.open_orders == 1 and v.s.own_best[BUY] == 103
    v.close()


def test_who_rests_pays_no_slippage():
    v = venue()
    v.place(BUY, 98, 3, Tif.POST_ONLY)
    assert fills(v.trade(SELL, 97, 9)) == [(98, 3)]
    v.close()


def test_whole_fills_slip_too():
    v = venue(whole_fills=True)
    assert fills(v.market(SELL, 50)) == [(96, 50)]
    v.close()


@pytest.mark.parametrize(("lots", "allowed"), [(2, 2), (3, 3), (4, 3)])
def test_limits_judge_the_price_that_is_paid(lots, allowed):
    v = venue(limits=RiskLimits(max_intent=3 * 104))
    assert fills(v.market(BUY, lots)) == [(104, allowed)]
    v.close()


@pytest.mark.parametrize(("qty", "accepted"), [(MAX_NOTIONAL // 1004, True), (MAX_NOTIONAL // 1004 + 1, False)])
def test_the_largest_order_is_one_by_the_price_that_is_paid(qty, accepted):
    v = Venue(slippage_ticks=2)
    v.book(((998, 5),), ((1002, 5),))
    told = v.place(BUY, 0, qty, Tif.IOC, OrderType.MARKET)
    assert (kinds(told)[0] == "ACCEPTED") == accepted and (reasons(told)[0] == "NOTIONAL") != accepted
    v.close()
