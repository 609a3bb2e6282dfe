"""Fills of adverse selection: where the level is going an order fills as ever, where it holds others have the trade."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringsim.broker.adverse import ADVERSE, WHOLE_PCT, level_holds, others_had
from ringsim.broker.params import BROKER_PARAMS, BrokerParams
from ringsim.broker.queue import QueueModel
from ringsim.records import ReportKind
from tests.naive import adverse
from tests.naive.draws import random_word
from tests.unit.broker.venue import BUY, SELL, Venue, fills


def by_kernel(params, left, other, seq):
    p = np.zeros(1, BROKER_PARAMS).view(np.recarray)[0]
    params.store(p)
    return bool(others_had(p, left, other, seq))


@pytest.mark.parametrize(
    ("left", "other", "holds"),
    [
        (-1, 0, False),  # more traded than was displayed
        (0, 0, False),  # nothing is left
        (0, 5, False),
        (1, 0, True),  # the other side is empty
        (4, 5, False),
        (5, 5, True),
        (6, 5, True),
    ],
)
def test_a_level_holds_while_it_is_the_larger_queue(left, other, holds):
    assert level_holds(left, other) == adverse.holds(left, other) == holds


lots = st.integers(-10, 1 << 40)


@given(
    pct=st.integers(0, 100),
    left=lots,
    other=st.integers(0, 1 << 40),
    seq=st.integers(0, 1 << 60),
    seed=st.integers(0, 9),
)
def test_as_its_twin_never_at_0_always_at_100_and_never_where_the_level_goes(pct, left, other, seq, seed):
    params = BrokerParams(adverse_pct=pct, seed=seed)
    found = by_kernel(params, left, other, seq)
    assert found == adverse.others_had(params, left, other, seq)
    if pct in (0, 100) or not adverse.holds(left, other):
        assert found == (pct == 100 and adverse.holds(left, other))


@pytest.mark.parametrize("pct", [1, 30, 99])
def test_others_have_as_many_as_was_asked_for(pct):
    """Within five standard deviations; and of a hundred equal draws exactly that many."""
    n = 20_000
    draws = [random_word(1, ADVERSE, seq) % 100 for seq in range(n)]
    had = sum(draw < pct for draw in draws)
    assert abs(had / n - pct / 100) < 5 * (pct / 100 * (1 - pct / 100) / n) ** 0.5
    for draw in range(100):
        assert by_kernel(BrokerParams(adverse_pct=pct, seed=1), 9, 1, draws.index(draw)) == (draw < pct)


def test_a_trade_that_others_have_with_a_lower_chance_they_have_with_a_higher():
    had = [{seq for seq in range(500) if by_kernel(BrokerParams(adverse_pct=pct), 9, 1, seq)} for pct in (10, 40, 90)]
    assert had[0] < had[1] < had[2]


def test_what_is_out_of_range_is_named():
    assert BrokerParams(adverse_pct=0).problems() == BrokerParams(adverse_pct=WHOLE_PCT).problems() == []
    for value in (-1, 101):
        assert BrokerParams(adverse_pct=value).problems() == [f"adverse_pct {value} lies outside 0..100"]


# At the exchange


def venue(pct=100, qty=40, **params):
    """A buy of `qty` at 98 behind 5 lots, 45 behind it; 10 lots on the other side."""
    v = Venue(adverse_pct=pct, **params)
    v.book(((98, 5),), ((102, 10),))
    v.place(BUY, 98, qty)
    v.level(BUY, 98, 50)
    return v


def front(v):
    return v.s.orders[v.s.rank[BUY, 0]].front


def test_a_level_that_holds_keeps_its_order_at_the_front_and_one_that_goes_fills_it():
    v = venue()
    assert v.trade(SELL, 98, 4) == [] and front(v) == 1  # the queue comes first
    assert fills(v.trade(SELL, 98, 4)) == [] and front(v) == 0
    assert fills(v.trade(SELL, 98, 3)) == [] and front(v) == 0
    assert fills(v.trade(SELL, 98, 29)) == []  # 10 are left, and 10 stand on the other side
    assert fills(v.trade(SELL, 98, 1)) == [(98, 1)]  # 9
    assert fills(v.trade(SELL, 98, 20)) == [(98, 20)]  # more than there was
    v.close()


def test_without_chance_it_is_the_partial_fill():
    v = venue(pct=0)
    assert fills(v.trade(SELL, 98, 8)) == [(98, 3)]
    v.close()


def test_the_other_side_decides_as_it_is_when_the_trade_comes():
    v = venue()
    assert fills(v.trade(SELL, 98, 8)) == []
    v.level(SELL, 101, 43)
    assert fills(v.trade(SELL, 98, 1)) == [(98, 1)]  # 41 left against 43
    v.level(SELL, 101, 2)
    assert fills(v.trade(SELL, 98, 1)) == []  # 40 against 2
    v.close()


def test_what_traded_is_counted_once_when_the_level_is_set():
    v = venue()
    assert fills(v.trade(SELL, 98, 30)) == []
    v.level(BUY, 98, 20)
    assert fills(v.trade(SELL, 98, 10)) == []  # 10 left, not a quantity below zero
    assert fills(v.trade(SELL, 98, 1)) == [(98, 1)]
    v.close()


def test_a_sale_is_judged_by_the_bids():
    v = Venue(adverse_pct=100)
    v.book(((98, 10),), ((102, 5),))
    v.place(SELL, 102, 40)
    v.level(SELL, 102, 50)
    assert fills(v.trade(BUY, 102, 40)) == []
    assert fills(v.trade(BUY, 102, 1)) == [(102, 1)]
    v.close()


def test_where_nobody_else_is_displayed_the_level_goes():
    v = Venue(adverse_pct=100)
    v.book(((98, 5),), ((102, 10),))
    v.place(BUY, 99, 4)
    assert fills(v.trade(SELL, 99, 1)) == [(99, 1)]
    v.close()


def test_with_an_empty_other_side_what_is_left_holds():
    v = Venue(adverse_pct=100)
    v.book(((98, 5),))
    v.place(BUY, 98, 4)
    v.level(BUY, 98, 50)
    assert fills(v.trade(SELL, 98, 49)) == []
    assert fills(v.trade(SELL, 98, 1)) == [(98, 1)]
    v.close()


def test_a_trade_through_the_price_always_fills():
    v = venue()
    assert fills(v.trade(SELL, 97, 9)) == [(98, 9)]
    v.close()


def test_the_other_side_displayed_at_the_price_always_fills():
    v = venue()
    assert fills(v.level(SELL, 98, 7)) == [(98, 7)]
    v.close()


def test_who_takes_is_not_concerned():
    v = venue()
    assert fills(v.market(BUY, 4)) == [(102, 4)]
    v.close()


def test_whole_fills_stay_as_they_are():
    v = venue(whole_fills=True)
    assert fills(v.trade(SELL, 98, 6)) == [(98, 40)]
    v.close()


def test_two_orders_at_a_price_meet_the_same_draw():
    seen = set()
    for seed in range(30):
        v = venue(pct=50, qty=3, seed=seed)
        v.place(BUY, 98, 5)
        v.s.orders[v.s.rank[BUY, 1]].front = v.naive.resting[1]["front"] = 10.0  # one trade reaches both
        seen.add(tuple(r["order_id"] for r in v.trade(SELL, 98, 30) if r["kind"] == ReportKind.FILL))
    assert seen == {(), (1, 2)}


MODELS = st.sampled_from(list(QueueModel))
TRADES = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 60), st.integers(1, 30)), min_size=1, max_size=25)


@settings(max_examples=25, deadline=None)
@given(model=MODELS, seed=st.integers(0, 3), steps=TRADES)
def test_a_lower_chance_never_fills_later(model, seed, steps):
    """The same market for three chances: at any time the one with the lower chance has filled at least as much."""
    venues = [venue(pct, seed=seed, queue_model=model, qty=500) for pct in (0, 50, 100)]
    for traded, bids, asks in steps:
        for v in venues:
            v.trade(SELL, 98, traded)
            v.level(BUY, 98, bids)
            v.level(SELL, 102, asks)
        had = [int(v.s.ledger.bought_lots) for v in venues]
        assert had == sorted(had, reverse=True)
