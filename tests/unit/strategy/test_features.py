"""Features computed event by event are those computed from everything: integers exactly, quotients to 1e-14."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringsim.book import BOOK, book_best, book_set
from ringsim.limits import MAX_QTY_LOTS
from ringsim.strategy.features import (
    FEATURE_STATE,
    features_clear,
    features_open,
    features_sample,
    features_trade,
)
from tests.naive.book import NaiveBook
from tests.naive.features import NaiveFeatures

QUOTIENT_ERROR = 1e-14  # relative: a few roundings
VOLATILITY_ERROR = 1e-9  # relative, for prices up to 10**7 ticks: 2**-90 against the square of a half-tick return


def opened(window_ns=1_000, store=8):
    book = np.zeros(1, BOOK).view(np.recarray)[0]
    f = np.zeros(1, FEATURE_STATE).view(np.recarray)[0]
    features_open(f, window_ns, store)
    return book, f


def fill(book, plain, levels):
    """Both books hold just these (side, px, qty). New levels first: a book that never empties never looks far."""
    old = [(side, px) for side in (1, 2) for px in plain.prices(side)]
    for side, px, qty in levels:
        book_set(book, side, px, qty)
        plain.set(side, px, qty)
    for side, px in old:
        if all((side, px) != level[:2] for level in levels):
            book_set(book, side, px, 0)
            plain.set(side, px, 0)


def agree(f, expected):
    assert bool(f.now.ready) == (expected is not None)
    for name, value in (expected or {}).items():
        found = f.now[name]
        if isinstance(found, np.integer):
            assert found == value, name
        else:
            error = VOLATILITY_ERROR if name == "volatility" else QUOTIENT_ERROR
            assert math.isclose(found, float(value), rel_tol=error, abs_tol=1e-16), name


mids = st.one_of(st.integers(1_000_000, 1_000_030), st.integers(995_000, 1_005_000))
quantities = st.one_of(st.integers(1, 50), st.just(MAX_QTY_LOTS))
books = st.tuples(
    mids,
    st.lists(st.tuples(st.integers(0, 12), quantities), min_size=1, max_size=8),
    st.lists(st.tuples(st.integers(-1, 12), quantities), min_size=1, max_size=8),  # now and then it crosses
)
waits = st.one_of(st.just(0), st.integers(0, 400), st.sampled_from([999, 1_000, 1_001]))
inputs = st.lists(
    st.tuples(
        waits,
        st.one_of(
            books,
            books,
            st.tuples(st.just("trade"), st.sampled_from([1, 2]), quantities),
            st.sampled_from(["lost", "lost", "lost", "one side"]),
        ),
    ),
    max_size=40,
)


SHARED = opened()[0], NaiveBook()  # one book for all examples: filling an empty one is slow without compilation


@settings(max_examples=150, deadline=None)
@given(inputs, st.sampled_from([2, 8]))
def test_same_values_as_the_naive_features(steps, store):
    (book, plain), (_, f) = SHARED, opened(store=store)
    naive = NaiveFeatures(1_000, store)
    now = 0
    for wait, what in steps:
        now += wait
        if what == "lost":
            features_clear(f)
            naive.clear()
        elif what[0] == "trade":
            features_trade(f, now, *what[1:])
            naive.trade(now, *what[1:])
        else:
            levels = [(1, 900_000, 1)]
            if what != "one side":
                mid, bids, asks = what
                levels = [(1, mid - away, qty) for away, qty in bids] + [(2, mid + away, qty) for away, qty in asks]
            fill(book, plain, levels)
            assert features_sample(f, book, now) == (naive.sample(plain, now) is not None)
        agree(f, naive.now)


def two_sided(book, bid, ask, bid_lots=10, ask_lots=10):
    """The book holds these two levels only."""
    old = [(side, book_best(book, side)) for side in (1, 2)]
    new = [(1, bid, bid_lots), (2, ask, ask_lots)]
    for level in new:
        book_set(book, *level)
    for side, px in old:
        if px > 0 and (side, px) not in ((1, bid), (2, ask)):
            book_set(book, side, px, 0)


def test_worked_values():
    book, f = opened()
    for level in range(7):  # the sixth and seventh level of each side are not seen
        book_set(book, 1, 10_000 - level, 29 if level < 5 else 1_000)
        book_set(book, 2, 10_002 + level, 11 if level < 5 else 1_000)
    assert features_sample(f, book, 5)
    assert (f.now.bid_depth_lots, f.now.ask_depth_lots) == (145, 55)
    assert f.now.imbalance == 0.45
    assert f.now.depth_ratio == 145 / 55
    assert f.now.microprice_ticks == pytest.approx((10_000 * 11 + 10_002 * 29) / 40, rel=1e-15)
    assert f.now.pressure_bps == pytest.approx(1e4 * (10_001.45 - 10_001) / 10_001, rel=1e-13)
    assert f.now.spread_bps == pytest.approx(1e4 * 2 / 10_001, rel=1e-15)
    assert f.now.momentum_bps == f.now.volatility == f.now.trade_flow == 0.0


@pytest.mark.parametrize("ask", [10_000, 9_999])
def test_a_locked_or_crossed_book_is_no_sample(ask):
    book, f = opened()
    two_sided(book, 10_000, 10_001)
    assert features_sample(f, book, 1) and f.now.ready == 1
    two_sided(book, 10_000, ask)
    assert not features_sample(f, book, 2) and f.now.ready == 0 and f.now.sample == 1


def test_the_window_holds_its_own_start_and_no_sample_before_it():
    book, f = opened(window_ns=1_000)
    for time_ns, bid in ((0, 100), (1, 110), (1_000, 120)):
        two_sided(book, bid, bid + 2)
        features_sample(f, book, time_ns)
    assert f.now.move2_ticks == 40, "the sample at 0 is exactly one window old"
    features_sample(f, book, 1_001)
    assert f.now.move2_ticks == 20
    expected = math.sqrt((math.log(121 / 111) ** 2 + 0.0) / 2)
    assert f.now.volatility == pytest.approx(expected, rel=1e-12), (
        "the return into the window's first sample is outside"
    )


def test_trades_count_by_their_own_time():
    book, f = opened(window_ns=1_000)
    two_sided(book, 100, 102)
    features_trade(f, 0, 1, 30)
    features_trade(f, 10, 2, 10)
    features_sample(f, book, 1_000)
    assert f.now.trade_flow == 0.5
    features_sample(f, book, 1_001)
    assert f.now.trade_flow == -1.0
    features_sample(f, book, 1_011)
    assert f.now.trade_flow == 0.0


def test_a_full_store_drops_the_oldest_and_counts():
    book, f = opened(window_ns=1 << 40, store=4)
    for k in range(6):
        two_sided(book, 100 + 10 * k, 102 + 10 * k)
        features_sample(f, book, k)
        features_trade(f, k, 1 + k % 2, 1)
    assert f.dropped == 4 and f.now.sample == 6
    assert f.now.move2_ticks == 60 and f.now.trade_flow == pytest.approx(1 / 4 * 0)
    assert f.next - f.oldest == 4


def test_nothing_drifts_in_a_long_run_with_wild_and_quiet_stretches():
    book, f = opened(window_ns=50, store=64)
    rng = np.random.default_rng(3)
    bid = 6_000_000
    for k in range(4_000):
        bid += int(rng.integers(-4_000, 4_001)) if k % 500 < 3 else int(rng.integers(-1, 2))
        two_sided(book, bid, bid + 1)
        features_sample(f, book, k)
    squares = f.samples["squared_return"][np.arange(f.oldest + 1, f.next) & 63]
    assert f.now.volatility == pytest.approx(math.sqrt(math.fsum(squares) / len(squares)), rel=VOLATILITY_ERROR)
    for k in range(60):  # and when nothing has moved for a window, it is nothing, not a residue
        features_sample(f, book, 4_000 + k)
    assert f.now.volatility == 0.0 and f.squares_high == f.squares_low == 0
