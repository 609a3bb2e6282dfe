"""The ledger's identities hold after every fill, to the last unit of money, and it is the naive ledger."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringsim.ledger import (
    LEDGER,
    ledger_check,
    ledger_equity,
    ledger_fill,
    ledger_open,
    ledger_unrealized,
    share_of,
)
from ringsim.limits import MAX_NOTIONAL
from ringsim.records import Side
from tests.naive.ledger import NaiveLedger

BUY, SELL = int(Side.BUY), int(Side.SELL)


def new_ledger(cash0=0):
    ledger = np.zeros(1, LEDGER).view(np.recarray)[0]
    ledger_open(ledger, cash0)
    return ledger


small = st.tuples(st.sampled_from([BUY, SELL]), st.integers(1, 30), st.integers(1, 12), st.integers(-3, 3))
large = st.integers(1, 1 << 40).flatmap(
    lambda px: st.tuples(
        st.sampled_from([BUY, SELL]), st.just(px), st.integers(1, MAX_NOTIONAL // px), st.integers(-9, 9)
    )
)


@settings(max_examples=300, deadline=None)
@given(
    fills=st.one_of(st.lists(small, max_size=40), st.lists(large, max_size=12)),
    cash0=st.integers(0, 1 << 45),
    mark=st.integers(1, 60),
)
def test_identities_and_the_naive_ledger_after_every_fill(fills, cash0, mark):
    ledger, naive = new_ledger(cash0), NaiveLedger(cash0)
    for side, px, qty, fee in fills:
        assert ledger_fill(ledger, side, px, qty, fee) == naive.fill(side, px, qty, fee)
        assert ledger.position_lots == naive.position == naive.open_lots
        assert (ledger.cash, ledger.fees, ledger.cost) == (naive.cash, naive.fees, naive.open_cost)
        assert ledger.realized == naive.realized
        assert ledger_unrealized(ledger, mark) == naive.unrealized(mark)
        assert ledger_equity(ledger, mark) == naive.equity(mark)
        assert naive.realized + naive.unrealized(mark) - naive.fees == naive.equity(mark) - cash0
        assert ledger_check(ledger, mark)
    assert ledger.fills == len(fills)


@settings(max_examples=200, deadline=None)
@given(fills=st.lists(small, min_size=1, max_size=30), side=st.sampled_from([BUY, SELL]), px=st.integers(1, 30))
def test_the_average_price_moves_on_adds_and_not_on_reductions(fills, side, px):
    ledger = new_ledger()
    for step in fills:
        ledger_fill(ledger, *step)
    held, cost = int(ledger.position_lots), int(ledger.cost)
    if held == 0:
        return
    reducing = (held > 0) == (side == SELL)
    qty = max(1, abs(held) // 2) if reducing else 5
    realized = ledger_fill(ledger, side, px, qty, 0)
    if ledger.position_lots == 0:
        assert ledger.cost == 0
        return
    after = Fraction(int(ledger.cost), int(ledger.position_lots))
    if reducing:  # less than one unit of money stays behind, spread over what is open
        assert abs(after - Fraction(cost, held)) * abs(int(ledger.position_lots)) < 1
    else:
        assert realized == 0
        assert after == Fraction(cost + px * (qty if side == BUY else -qty), held + (qty if side == BUY else -qty))


def test_a_reversal_closes_then_opens():
    ledger = new_ledger(1000)
    ledger_fill(ledger, BUY, 100, 3, 0)
    assert ledger_fill(ledger, SELL, 110, 5, 1) == 30
    assert (ledger.position_lots, ledger.cost, ledger.realized, ledger.fees) == (-2, -220, 30, 1)
    assert ledger_unrealized(ledger, 100) == 20


@settings(max_examples=200)
@given(amount=st.integers(0, 1 << 55), whole=st.integers(1, (1 << 61) - 1), data=st.data())
def test_a_share_is_exact_however_large_the_position(amount, whole, data):
    part = data.draw(st.integers(0, whole))
    if amount // whole * part < 1 << 62:
        assert share_of(amount, part, whole) == amount * part // whole


@pytest.mark.parametrize("field", ["cash", "position_lots", "cost", "realized", "fees", "bought_lots", "paid"])
def test_a_ledger_that_lost_one_unit_anywhere_fails_the_check(field):
    ledger = new_ledger(50)
    ledger_fill(ledger, BUY, 7, 3, 2)
    ledger_fill(ledger, SELL, 9, 1, 1)
    assert ledger_check(ledger, 8)
    ledger[field] += 1
    assert not ledger_check(ledger, 8)
