"""The own logarithm is the real one to the last bits, and exact where exactness is promised."""

import math
from decimal import Decimal, getcontext

from hypothesis import given
from hypothesis import strategies as st

from ringsim.strategy.logarithm import log2_ratio, log_ratio

getcontext().prec = 50
positive = st.one_of(st.integers(1, 1 << 41).map(float), st.floats(1e-6, 1e6))


def exactly(a, b):
    return (Decimal(a) / Decimal(b)).ln()


@given(positive, positive)
def test_any_ratio(a, b):
    true = exactly(a, b)
    assert abs(Decimal(log_ratio(a, b)) - true) <= abs(true) * Decimal("4e-16")
    true /= Decimal(2).ln()
    assert abs(Decimal(log2_ratio(a, b)) - true) <= abs(true) * Decimal("6e-16")


@given(st.integers(1 << 20, 1 << 41), st.integers(-100, 100))
def test_neighbouring_prices(a, move):
    true = exactly(a + move, a)
    assert abs(Decimal(log_ratio(float(a + move), float(a))) - true) <= abs(true) * Decimal("4e-16")


@given(st.integers(0, 60), st.integers(1, 1 << 40))
def test_halvings_are_exact(k, b):
    assert log2_ratio(float(b << k), float(b)) == k
    assert log2_ratio(float(b), float(b << k)) == -k
    assert log_ratio(float(b), float(b)) == 0.0


def test_it_is_the_logarithm():
    assert math.isclose(log_ratio(10.0, 7.0), math.log(10 / 7), rel_tol=1e-15)
