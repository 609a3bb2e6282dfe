"""The venue's rate limit: so many orders a window, no more; what is free stays free, and what is refused is not counted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringsim.broker.params import BROKER_PARAMS, PERIOD_MAX_NS, BrokerParams
from ringsim.broker.rate import RATE, RATE_ORDERS_MAX, rate_passes
from ringsim.control import RunState
from ringsim.lifecycle import Lifecycle
from ringsim.records import ControlCode, OrderKind, Reason, ReportKind, Trading
from tests.unit.broker.venue import BUY, MS, SELL, Venue, kinds, reasons

WINDOW = 100 * MS


def record(dtype):
    return np.zeros(1, dtype).view(np.recarray)[0]


def passes(orders, window_ns, times_ns):
    """What the kernel says of orders that arrive at these times, one after the other."""
    p, r = record(BROKER_PARAMS), record(RATE)
    BrokerParams(rate_orders=orders, rate_window_ns=window_ns).store(p)
    return [bool(rate_passes(r, p, t)) for t in times_ns]


@pytest.mark.parametrize(
    ("orders", "times", "expected"),
    [
        (2, [0, 1], [True, True]),
        (2, [0, 1, 99], [True, True, False]),
        (2, [0, 1, 99, 100], [True, True, False, True]),  # the edge belongs to the window that begins
        (2, [98, 99, 100, 101, 102], [True, True, True, True, False]),  # twice the limit around an edge
        (1, [0, 99, 99, 199, 199, 350], [True, False, False, True, False, True]),
        (0, [5] * 9, [True] * 9),
    ],
)
def test_by_hand(orders, times, expected):
    assert passes(orders, 100, times) == expected


@given(
    orders=st.integers(1, 5),
    window_ns=st.integers(1, 50),
    gaps=st.lists(st.integers(0, 30), max_size=60),
    first=st.integers(0, 1 << 61),
)
def test_of_each_window_the_first_orders_pass(orders, window_ns, gaps, first):
    times = (first + np.cumsum([0, *gaps])).tolist()
    windows = [t // window_ns for t in times]
    assert passes(orders, window_ns, times) == [windows[:k].count(w) < orders for k, w in enumerate(windows)]


@pytest.mark.parametrize(
    ("name", "least", "most"), [("rate_orders", 0, RATE_ORDERS_MAX), ("rate_window_ns", 1, PERIOD_MAX_NS)]
)
def test_what_is_out_of_range_is_named(name, least, most):
    assert BrokerParams(**{name: least}).problems() == BrokerParams(**{name: most}).problems() == []
    for value in (least - 1, most + 1):
        assert BrokerParams(**{name: value}).problems() == [f"{name} {value} lies outside {least}..{most}"]


def venue(orders=3, **params):
    """At 10 ms of a window; an order arrives a millisecond after it was sent."""
    v = Venue(rate_orders=orders, rate_window_ns=WINDOW, **params)
    v.book(((98, 50),), ((102, 50),))
    return v


def full(v):
    """Use this window up."""
    while v.s.rate.passed < v.params.rate_orders:
        v.place(BUY, 97, 10)


@pytest.mark.parametrize("sent", [2, 3, 4, 9])
def test_below_at_and_above_the_limit(sent):
    v = venue()
    told = [v.place(BUY, 97, 1) for _ in range(sent)]
    assert [reasons(r)[0] for r in told] == (["NONE"] * 3 + ["EXCHANGE_RATE"] * 6)[:sent]
    assert [kinds(r)[0] for r in told[3:]] == ["REJECTED"] * (sent - 3)
    assert v.s.counters.rejected[Reason.EXCHANGE_RATE] == max(0, sent - 3)
    assert v.s.rate.passed == min(sent, 3), "who is refused is not counted"
    v.close()


@pytest.mark.parametrize(("arrives", "passed"), [(WINDOW - 1, False), (WINDOW, True), (WINDOW + 1, True)])
def test_a_window_begins_at_its_first_nanosecond(arrives, passed):
    v = venue()
    full(v)
    v.wait(arrives - v.params.entry_ns - v.now)
    told = v.place(BUY, 97, 1)
    assert v.now == arrives and (reasons(told) == ["NONE"]) == passed
    v.close()


def test_a_new_window_has_the_whole_limit_however_many_were_refused():
    v = venue()
    full(v)
    for _ in range(7):
        assert reasons(v.place(BUY, 97, 1)) == ["EXCHANGE_RATE"]
    v.wait(WINDOW)
    assert [reasons(v.place(BUY, 97, 1)) for _ in range(4)] == [["NONE"]] * 3 + [["EXCHANGE_RATE"]]
    v.close()


@pytest.mark.parametrize(("arrives", "passed"), [(70 * MS - 1, False), (70 * MS, True)])
def test_windows_are_those_of_utc(arrives, passed):
    v = venue(utc_offset_ns=3 * WINDOW + 30 * MS)
    full(v)
    v.wait(arrives - v.params.entry_ns - v.now)
    assert (reasons(v.place(BUY, 97, 1)) == ["NONE"]) == passed
    v.close()


def test_an_order_counts_whatever_becomes_of_it():
    v = venue(orders=4)
    told = [v.place(BUY, 0, 1), v.place(BUY, 97, 1, order_id=1), v.market(SELL, 1), v.place(BUY, 97, 1)]
    assert [reasons(r)[0] for r in told] == ["BAD_PRICE", "DUPLICATE_ID", "NONE", "NONE"]
    assert reasons(v.place(BUY, 97, 1)) == ["EXCHANGE_RATE"]
    v.close()


def test_the_rate_is_looked_at_before_the_order():
    v = venue()
    full(v)
    assert reasons(v.place(BUY, 0, 1)) == ["EXCHANGE_RATE"]
    assert reasons(v.place(BUY, 97, 1, order_id=1)) == ["EXCHANGE_RATE"]
    v.close()


def test_the_id_of_a_refused_order_is_used():
    v = venue()
    full(v)
    refused = v.new(BUY, 97, 1)
    assert reasons(v.wait(MS)) == ["EXCHANGE_RATE"]
    v.wait(WINDOW)
    assert reasons(v.place(BUY, 97, 1, order_id=refused)) == ["DUPLICATE_ID"]
    v.close()


@pytest.mark.parametrize(
    ("code", "stopped", "goes_on", "reason"),
    [
        (ControlCode.LIFECYCLE, Lifecycle.DEGRADED, Lifecycle.READY, "NOT_READY"),
        (ControlCode.RUN, RunState.PAUSED, RunState.RUNNING, "PAUSED"),
    ],
)
def test_what_is_provisional_is_not_counted(code, stopped, goes_on, reason):
    v = venue()
    v.control(code, stopped)
    for _ in range(5):
        told = v.place(BUY, 97, 1)
        assert kinds(told) == ["PROVISIONAL"] and reasons(told) == [reason]
    assert v.s.rate.passed == 0
    v.control(code, goes_on)
    full(v)
    v.control(code, stopped)
    assert reasons(v.place(BUY, 97, 1)) == [reason], "it does not execute: that comes first"
    v.close()


# Replacing


def replace(v, px, qty, target_id=1):
    return v.change(OrderKind.REPLACE, target_id=target_id, px_ticks=px, qty_lots=qty)


def test_a_replacement_that_is_judged_counts_and_is_refused_like_a_new_order():
    v = venue()
    v.place(BUY, 97, 10)
    told = [replace(v, px, 10) for px in (96, 95, 94)]
    assert [kinds(r) for r in told] == [["REPLACED"], ["REPLACED"], ["CANCEL_REJECTED"]]
    assert reasons(told[2]) == ["EXCHANGE_RATE"] and v.s.counters.cancel_rejected[Reason.EXCHANGE_RATE] == 1
    assert v.s.own_best[BUY] == 95 and v.s.working[BUY] == 10, "the old order stays as it was"
    v.wait(WINDOW)
    assert kinds(replace(v, 94, 10)) == ["REPLACED"]
    v.close()


def test_a_larger_one_at_the_same_price_is_judged_too():
    v = venue()
    full(v)
    assert reasons(replace(v, 97, 11)) == ["EXCHANGE_RATE"]
    v.close()


def test_what_keeps_its_place_passes_and_is_not_counted():
    v = venue()
    v.place(BUY, 97, 10)
    assert [kinds(replace(v, 97, qty)) for qty in (9, 8, 8, 7)] == [["REPLACED"]] * 4
    assert v.s.rate.passed == 1
    full(v)
    assert kinds(replace(v, 97, 6)) == ["REPLACED"]
    v.close()


@pytest.mark.parametrize(
    ("target_id", "px", "qty", "reason"),
    [(9, 96, 10, "UNKNOWN_ORDER"), (1, 0, 10, "BAD_PRICE"), (1, 96, 0, "BAD_QUANTITY")],
)
def test_a_replacement_of_nothing_or_to_nothing_is_not_counted(target_id, px, qty, reason):
    v = venue()
    v.place(BUY, 97, 10)
    for _ in range(4):
        assert reasons(replace(v, px, qty, target_id)) == [reason]
    assert v.s.rate.passed == 1
    v.close()


def test_a_replacement_while_the_exchange_does_not_execute_is_not_counted():
    v = venue()
    v.place(BUY, 97, 10)
    v.control(ControlCode.RUN, RunState.PAUSED)
    assert reasons(replace(v, 96, 10)) == ["PAUSED"] and v.s.rate.passed == 1
    v.close()


# Cancels


@pytest.mark.parametrize("kind", [OrderKind.CANCEL, OrderKind.CANCEL_ALL])
def test_a_cancel_always_passes_and_is_not_counted(kind):
    v = venue()
    v.place(BUY, 97, 10)
    for _ in range(5):
        v.change(kind, target_id=1)
    assert v.s.open_orders == 0 and v.s.rate.passed == 1
    full(v)
    told = v.change(kind, target_id=2)
    assert told[0]["kind"] == ReportKind.CANCELLED
    v.close()


def test_the_accounts_own_halt_is_seen_behind_the_venues_rate():
    v = venue(orders=1)
    v.control(ControlCode.TRADING, Trading.HALTED)
    assert [reasons(v.place(BUY, 97, 1)) for _ in range(2)] == [["KILL_SWITCH"], ["EXCHANGE_RATE"]]
    v.close()


def test_without_a_limit_nothing_is_counted():
    v = venue(orders=0)
    assert {reasons(v.place(BUY, 97, 1))[0] for _ in range(20)} == {"NONE"}
    assert v.s.rate.passed == 0
    v.close()
