"""Queue positions: the worked example, the bounds of every model, and agreement with exact fractions."""

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringsim.broker.queue import QueueModel, probability_behind, queue_depth, queue_executable
from tests.naive import queue as naive

MODELS = [m for m in QueueModel if m != QueueModel.FIFO]  # that one is told: test_fifo
CHANCES = [m for m in MODELS if m != QueueModel.RISK_AVERSE]

lots = st.integers(0, 2000)
exponents = st.sampled_from([1.0, 2.0, 3.0, 0.5, 7.0])
changes = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 300)), min_size=1, max_size=30
)  # traded, then new quantity


@settings(max_examples=200, deadline=None)
@given(model=st.sampled_from(CHANCES), n=exponents, front=lots, back=lots)
def test_a_probability_is_one_and_grows_with_what_stands_behind(model, n, front, back):
    p = probability_behind(model, n, float(front), float(back))
    assert 0.0 <= p <= 1.0
    assert p <= probability_behind(model, n, float(front), back + 10.0) + 1e-12
    assert p >= probability_behind(model, n, front + 10.0, float(back)) - 1e-12
    exact = naive.probability(model, int(n) if n == int(n) else n, Fraction(front), Fraction(back))
    assert math.isclose(p, exact, rel_tol=1e-12, abs_tol=1e-12)


@pytest.mark.parametrize("model", CHANCES)
def test_zero_by_zero_is_behind_and_nothing_ahead_means_behind(model):
    assert probability_behind(model, 2.0, 0.0, 0.0) == 1.0
    assert probability_behind(model, 2.0, 0.0, 5.0) == 1.0
    assert probability_behind(model, 2.0, 5.0, 0.0) == 0.0
    assert probability_behind(model, 2.0, -0.3, 5.0) == 1.0


@pytest.mark.parametrize(
    "model, n, front, back, p",
    [
        (QueueModel.POWER, 1.0, 30, 10, 1 / 4),
        (QueueModel.POWER, 2.0, 3, 1, 1 / 10),
        (QueueModel.POWER2, 2.0, 30, 10, 1 / 16),
        (QueueModel.POWER3, 2.0, 30, 10, 7 / 16),
        (QueueModel.LOG, 1.0, 3, 1, math.log(2) / (math.log(2) + math.log(4))),
        (QueueModel.LOG2, 1.0, 2, 1, math.log(2) / math.log(4)),
    ],
)
def test_the_formulas_by_hand(model, n, front, back, p):
    assert math.isclose(probability_behind(model, n, float(front), float(back)), p)


@settings(max_examples=200, deadline=None)
@given(model=st.sampled_from(MODELS), n=st.sampled_from([1, 2, 3]), start=st.integers(0, 300), steps=changes)
def test_a_life_in_the_queue(model, n, start, steps):
    """Never behind the end of the level; never pushed back by others; near the exact value."""
    front, exact, level = float(start), Fraction(start), start
    rational = model in (QueueModel.RISK_AVERSE, QueueModel.POWER, QueueModel.POWER2, QueueModel.POWER3)
    for traded, after in steps:
        front -= traded
        if queue_executable(front) > 0:
            front = 0.0
        before_change = front
        if rational:
            exact = Fraction(front)
        front = queue_depth(model, float(n), front, traded, level, after)
        if rational:
            exact = naive.depth(model, n, exact, traded, level, after)
            assert math.isclose(front, exact, rel_tol=1e-9, abs_tol=1e-9)
        assert front <= after and front <= before_change + 1e-9
        level = after


def test_oracle_worked_example():
    front, left = 100.0, 50
    got = []
    for traded in (80, 30, 50):
        front -= traded
        lots_now = min(queue_executable(front), left)
        if queue_executable(front) > 0:
            front = 0.0
        left -= lots_now
        got.append(lots_now)
    assert got == [0, 10, 40] and left == 0


@pytest.mark.parametrize(
    "front, reach", [(1.0, 0), (0.0, 0), (-0.4, 0), (-0.5, 1), (-0.6, 1), (-1.4, 1), (-1.5, 2), (-7.0, 7)]
)
def test_executable_lots_are_rounded_halves_up(front, reach):
    assert queue_executable(front) == naive.executable(front) == reach


def test_trades_are_not_counted_twice_when_the_level_shrinks_by_them():
    for model in MODELS:
        assert queue_depth(model, 2.0, 70.0, 30, 200, 170) == 70.0
