"""`fifo`: an order's place in the queue is the one that lists of orders give, after every event; so are its fills."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringsim.broker.fifo import fifo_executable, fifo_front
from ringsim.broker.queue import QueueModel
from ringsim.records import HIDDEN_ORDER, UNNAMED_ORDER, OrderKind, ReportKind, Tif
from tests.naive import queue as naive
from tests.unit.broker.orderqueues import Queues
from tests.unit.broker.test_twin import PROGRAMS
from tests.unit.broker.venue import BUY, MS, SELL, Venue, fills

lots = st.integers(0, 40)
numbers = st.sampled_from([UNNAMED_ORDER, 1, 2, 3, HIDDEN_ORDER])


@given(front=lots, newest=st.integers(0, 3), number=numbers, before=lots, after=lots)
def test_the_kernel_is_its_twin(front, newest, number, before, after):
    given_ = float(front), newest, number
    assert fifo_front(*given_, before, after) == naive.fifo_front(*given_, before, after)
    assert 0 <= fifo_front(*given_, before, after) <= after
    assert fifo_executable(*given_, before) == naive.fifo_executable(*given_, before)


# What the rules say, one by one: 20 at 99 that nobody names, then order 50 with 10, then ours, then order 60 with 5.


@pytest.fixture
def joined():
    v = Venue(queue_model=QueueModel.FIFO)
    v.book([(99, 20)], [(101, 20)])
    v.level(BUY, 99, 30, number=50)
    v.place(BUY, 99, 8)
    v.level(BUY, 99, 35, number=60)
    assert fronts(v) == [30]
    return v


def fronts(v):
    """F of each resting order in the order of priority, as the exchange has it; its twin has the same."""
    found = [v.s.orders[v.s.rank[side, i]].front for side in (BUY, SELL) for i in range(v.s.ranked[side])]
    assert found == [order["front"] for side in (BUY, SELL) for order in v.naive.priority(side)]
    return found


def test_who_came_later_may_go_and_nothing_moves(joined):
    joined.level(BUY, 99, 33, number=60)
    joined.level(BUY, 99, 30, number=60)
    assert fronts(joined) == [30]


def test_who_was_there_before_moves_it_up_whether_cancelled_or_executed(joined):
    joined.level(BUY, 99, 31, number=50)
    assert fronts(joined) == [26]
    assert fills(joined.trade(SELL, 99, 6, number=50)) == [] and fronts(joined) == [26]  # the level says it, next
    joined.level(BUY, 99, 25, number=50)
    assert fronts(joined) == [20]
    joined.level(BUY, 99, 12, number=UNNAMED_ORDER)
    assert fronts(joined) == [7]


def test_who_was_entered_before_and_is_displayed_later_stands_ahead(joined):
    joined.level(BUY, 99, 44, number=40)
    assert fronts(joined) == [39]
    joined.level(BUY, 99, 45, number=70)
    assert fronts(joined) == [39]


def test_it_fills_when_the_front_is_gone_and_somebody_behind_is_executed(joined):
    joined.level(BUY, 99, 25, number=50)
    joined.level(BUY, 99, 5, number=UNNAMED_ORDER)
    assert fronts(joined) == [0]
    assert fills(joined.trade(SELL, 99, 3, number=60)) == [(99, 3)]
    joined.level(BUY, 99, 2, number=60)
    assert fills(joined.trade(SELL, 99, 2, number=60)) == [(99, 2)]
    joined.level(BUY, 99, 0, number=60)
    assert fills(joined.trade(SELL, 99, 9, number=HIDDEN_ORDER)) == [(99, 3)]  # displayed goes before hidden


def test_an_execution_that_jumped_the_queue_or_was_hidden_fills_nobody_behind_others(joined):
    for number in (60, HIDDEN_ORDER):
        assert fills(joined.trade(SELL, 99, 5, number=number)) == []
    assert fronts(joined) == [30]


def test_two_of_ours_share_what_reaches_both_and_each_has_its_own_place(joined):
    joined.place(BUY, 99, 4)
    assert fronts(joined) == [30, 35]
    joined.level(BUY, 99, 25, number=50)
    joined.level(BUY, 99, 5, number=UNNAMED_ORDER)
    assert fronts(joined) == [0, 5]
    assert fills(joined.trade(SELL, 99, 5, number=60)) == [(99, 5)]  # order 60 is ahead of the second one
    joined.level(BUY, 99, 0, number=60)
    assert fronts(joined) == [0, 0]
    assert fills(joined.trade(SELL, 99, 6, number=80)) == [(99, 3), (99, 3)]


def test_a_replacement_keeps_the_place_or_joins_the_end(joined):
    joined.change(OrderKind.REPLACE, target_id=1, px_ticks=99, qty_lots=5)
    joined.level(BUY, 99, 32, number=60)
    assert fronts(joined) == [30]
    joined.change(OrderKind.REPLACE, target_id=1, px_ticks=99, qty_lots=9)
    assert fronts(joined) == [32]
    joined.level(BUY, 99, 30, number=60)
    assert fronts(joined) == [30]


def test_after_a_gap_it_stands_no_further_back_than_the_whole_level(joined):
    joined.book([(99, 12)], [(101, 20)])
    assert fronts(joined) == [12]
    joined.level(BUY, 99, 9, number=50)
    joined.level(BUY, 99, 7, number=60)
    assert fronts(joined) == [7]


# Random flows of orders


class Flow:
    """A market of orders, what the exchange is told of it, and the lists beside it. Sides never meet: 95..99 and 101..105."""

    def __init__(self):
        self.v, self.queues, self.number, self.given = Venue(queue_model=QueueModel.FIFO), Queues(), 0, set()
        books = {BUY: [(99, 20), (97, 5)], SELL: [(101, 20), (103, 5)]}
        for side, levels in books.items():
            for px, size in levels:
                self.queues.levels[side, px] = [[UNNAMED_ORDER, size, None]]
        self.v.book(books[BUY], books[SELL])
        self.ours = {}  # order id: [side, px, left]

    def say(self, side, px, number):
        self.v.level(side, px, self.queues.displayed(side, px), number=number)

    def add(self, side, px, size, back):
        """An order is displayed. back: how many numbers it was entered before the newest one; 0: it is the newest."""
        number = max(1, self.queues.newest - back) if back else self.queues.newest + 7
        while number in self.given:
            number += 1
        self.given.add(number)
        self.queues.add(side, px, number, size)
        self.say(side, px, number)

    def take(self, side, px, which, size, kind):
        """A part of one of a level's orders is cancelled, all of it, or it is executed; which: counted from the front."""
        there = self.queues.numbers(side, px)
        if not there:
            return
        number = there[which % len(there)]
        whole = self.queues.lots(side, px, number)
        size = whole if kind == "delete" else min(size, whole)
        if kind == "execute":
            self.trade(side, px, size, number)
        self.queues.take(side, px, number, size)
        self.say(side, px, number)

    def trade(self, side, px, size, number):
        wanted = self.reached(side, px, size, number)
        got = [r for r in self.v.trade(3 - side, px, size, number=number) if r["kind"] == ReportKind.FILL]
        assert {r["order_id"]: r["qty_lots"] for r in got} == wanted
        for order, filled in wanted.items():
            self.ours[order][2] -= filled
            if not self.ours[order][2]:
                self.queues.leave(*self.ours.pop(order)[:2], order)

    def reached(self, side, px, size, number):
        """{order: lots} of a trade with the order `number`: ours at better prices, then those that stand right before it."""
        found, used = {}, 0
        mine = [(-at if side == BUY else at, order) for order, (which, at, _) in self.ours.items() if which == side]
        for _, order in sorted(mine):  # ids grow: the older first
            at, left = self.ours[order][1:]
            if at == px:
                first = self.queues.ahead(side, px, order) == 0 and number > self.queues.joined(side, px, order)
                reach = size if first else 0
            else:
                reach = size if (at > px) == (side == BUY) else 0
            if min(reach - used, left) > 0:
                found[order] = min(reach - used, left)
                used += found[order]
        return found

    def own(self, side, px, size):
        order = self.v.new(side, px, size, Tif.POST_ONLY)
        if any(r["kind"] == ReportKind.ACCEPTED for r in self.v.wait(self.v.params.entry_ns)):
            self.ours[order] = [side, px, size]
            self.queues.join(side, px, order)

    def cancel(self, which):
        if self.ours:
            order = list(self.ours)[which % len(self.ours)]
            self.v.change(OrderKind.CANCEL, target_id=order)
            self.queues.leave(*self.ours.pop(order)[:2], order)

    def check(self):
        for order, (side, px, left) in self.ours.items():
            (mine,) = [o for o in self.v.naive.resting if o["order_id"] == order]
            slots = [self.v.s.rank[side, i] for i in range(self.v.s.ranked[side])]
            (kept,) = [self.v.s.orders[k] for k in slots if self.v.s.orders[k].order_id == order]
            assert kept.front == mine["front"] == self.queues.ahead(side, px, order) and kept.left == left


place = st.one_of(st.tuples(st.just(BUY), st.integers(95, 99)), st.tuples(st.just(SELL), st.integers(101, 105)))
size = st.sampled_from([1, 2, 3, 5, 8, 13])
kind = st.sampled_from(["reduce", "delete", "execute", "execute"])
action = st.one_of(
    st.tuples(st.just("add"), place, size, st.sampled_from([0, 0, 0, 3, 20, 200])),
    st.tuples(st.just("take"), place, st.sampled_from([0, 0, 0, 1, 2, 3]), size, kind),
    st.tuples(st.just("take"), place, st.just(0), st.just(30), kind),
    st.tuples(st.just("hidden"), place, size),
    st.tuples(st.just("own"), place, size),
    st.tuples(st.just("cancel"), st.integers(0, 5)),
)


@settings(max_examples=PROGRAMS, deadline=None)
@given(st.lists(action, min_size=20, max_size=100))
def test_places_and_fills_are_those_of_the_lists(actions):
    flow = Flow()
    for what, *given_ in actions:
        if what == "hidden":
            (side, px), lots_ = given_
            flow.trade(side, px, lots_, HIDDEN_ORDER)
        elif what == "cancel":
            flow.cancel(*given_)
        else:
            getattr(flow, what)(*given_[0], *given_[1:])
        flow.check()
        flow.v.wait(MS // 4)
    flow.v.close()
