"""The fast book is the naive book: same best, same neighbours, same quantities, after every event."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ringsim.book import BOOK, book_best, book_clear, book_fold, book_next, book_qty, book_set
from ringsim.limits import BOOK_LEVELS_USED, BOOK_WINDOW
from ringsim.records import MARKET_EVENT, EventKind, Side
from tests.naive.book import NaiveBook


def new_book():
    return np.zeros(1, BOOK).view(np.recarray)[0]


def agree(book, naive, near):
    for side in (Side.BUY, Side.SELL):
        best = naive.best(side)
        assert book_best(book, side) == best
        s = book.sides[side - 1]
        assert s.count == len(naive.levels[side])
        px = best
        for _ in range(6):
            if px == 0:
                break
            assert book_qty(book, side, px) == naive.qty(side, px)
            following = naive.next(side, px)
            assert book_next(book, side, px) == following
            px = following
        assert book_qty(book, side, near) == naive.qty(side, near)


# Prices near each other, a window's edge apart, and far away: all three ways a level can lie.
prices = st.one_of(
    st.integers(1_000_000, 1_000_020),
    st.integers(1_000_000 - 2 * BOOK_WINDOW, 1_000_000 + 2 * BOOK_WINDOW),
    st.integers(1, 1 << 40),
    st.sampled_from([1_000_000 + (k << 14) for k in range(40)]),  # the same home in the hash, nearly
)
changes = st.tuples(st.sampled_from([1, 2]), prices, st.sampled_from([0, 0, 1, 2, 7, 1 << 40]))


@settings(max_examples=150, deadline=None)
@given(st.lists(changes, max_size=120))
def test_same_state_as_the_naive_book_after_every_change(steps):
    book, naive = new_book(), NaiveBook()
    seen = []
    for side, px, qty in steps:
        if qty == 0 and seen and px % 3:
            px = seen[px % len(seen)]  # deleting what is there is the interesting deletion
        seen.append(px)
        book_set(book, side, px, qty)
        naive.set(side, px, qty)
        agree(book, naive, px)


def test_a_walking_market_keeps_its_window():
    rng = np.random.default_rng(7)
    book, naive = new_book(), NaiveBook()
    mid = 6_000_000
    for step in range(4000):
        mid += int(rng.integers(-400, 405))
        side = int(rng.integers(1, 3))
        away = int(rng.integers(1, 60_000))
        px = mid - away if side == 1 else mid + away
        book_set(book, side, px, 1 + step)
        naive.set(side, px, 1 + step)
        for s in (1, 2):  # what the market walked through is gone
            while (best := naive.best(s)) and ((s == 1 and best > mid) or (s == 2 and best < mid)):
                book_set(book, s, best, 0)
                naive.set(s, best, 0)
        if step % 50 == 0:
            agree(book, naive, px)
    agree(book, naive, mid)


def test_a_full_table_refuses_far_levels_and_says_so():
    book = new_book()
    for k in range(BOOK_LEVELS_USED):
        book_set(book, Side.SELL, 10_000 + k, 1)
    book_set(book, Side.SELL, 999_999, 1)
    assert book.sides[1].refused == 1 and book_qty(book, Side.SELL, 999_999) == 0
    book_set(book, Side.SELL, 9_999, 5)  # the best is never refused
    assert book_best(book, Side.SELL) == 9_999 and book_qty(book, Side.SELL, 9_999) == 5
    book_clear(book)
    assert book_best(book, Side.SELL) == 0 and book.valid == 0


kinds = st.sampled_from(
    [EventKind.LEVEL] * 6 + [EventKind.SNAPSHOT_BEGIN, EventKind.SNAPSHOT_END, EventKind.GAP, EventKind.TRADE]
)
events = st.tuples(
    kinds, st.sampled_from([1, 2]), st.integers(100, 110), st.sampled_from([0, 1, 5]), st.sampled_from([0, 1, 1, 2, 3])
)


@settings(max_examples=150, deadline=None)
@given(st.lists(events, max_size=60))
def test_folding_events_keeps_the_same_validity_and_book(stream):
    book, naive = new_book(), NaiveBook()
    record = np.zeros(1, MARKET_EVENT).view(np.recarray)
    for kind, side, px, qty, flags in stream:
        record.kind, record.side, record.px_ticks, record.qty_lots, record.flag_bits = kind, side, px, qty, flags
        assert bool(book_fold(book, record[0])) == naive.fold(kind, side, px, qty, flags)
        if naive.state != "invalid":
            agree(book, naive, px)


def test_oracle_walk_of_the_asks():
    book = new_book()
    for px, qty in ((102, 5), (100, 1), (101, 2)):
        book_set(book, Side.SELL, px, qty)
    assert [book_best(book, 2), book_next(book, 2, 100), book_next(book, 2, 101), book_next(book, 2, 102)] == [
        100,
        101,
        102,
        0,
    ]
