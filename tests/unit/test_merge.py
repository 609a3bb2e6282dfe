"""The stage that merges several strategies' orders: what goes first, what it says to whom, and where a replacement goes on."""

import itertools

import numpy as np
import pytest

from ringsim import control as c
from ringsim.fold import merge as m
from ringsim.records import NEVER_NS, ORDER, REPORT
from ringsim.ring import RingSegment
from ringsim.ring.producer import publish, put
from ringsim.ring.ring import P_NEXT, R_NEXT
from ringsim.ring.wait import waiter
from tests.ring.rings import fresh_name

ENTRY = 100
RESPONSE = 10
FAR = 1_000_000


class Desk:
    """The merging stage between rings that the test writes and reads. next, folded: of the strategies; execution likewise."""

    def __init__(self, count=3, simulated=True):
        self.count, self.made = count, []
        gating = [("merge", "gating")]
        self.desks = [self.ring(ORDER, gating) for _ in range(count)]
        self.orders = self.ring(ORDER, [("execution", "gating")])
        self.reports = self.ring(REPORT, [("persistence", "gating")])
        self.control = np.zeros(c.CONTROL_WORDS, np.int64)
        self.setup = np.zeros(m.M_SETUP, np.int64)
        self.setup[m.M_SIMULATED], self.setup[m.M_BLOCK] = simulated, c.block(c.Stage.MERGE)
        self.setup[m.M_EXECUTION], self.setup[m.M_STRATEGY] = c.block(c.Stage.EXECUTION), c.block(c.Stage.STRATEGY)
        self.setup[m.M_BLOCK_WORDS], self.setup[m.M_MERGED] = c.BLOCK_WORDS, c.MERGED
        self.setup[m.M_LINE], self.setup[m.M_ENTRY_NS], self.setup[m.M_RESPONSE_NS] = c.LINE, ENTRY, RESPONSE
        self.replaced()
        for k in range(count):
            self.says(k, NEVER_NS)
        self.execution(FAR)

    def ring(self, dtype, consumers):
        self.made.append(RingSegment.create(fresh_name(), dtype, 256, consumers))
        return self.made[-1]

    def close(self):
        for ring in self.made:
            ring.close()

    def replaced(self):
        """A fresh stage over the same rings. Returns whether they fit together."""
        count = self.count
        self.merge = m.Merge(
            tuple(desk.consumer("merge") for desk in self.desks), self.orders.producer(), self.reports.ring,
            self.control, self.setup, np.zeros(m.M_WORDS, np.int64), *(np.zeros(count, np.int64) for _ in range(3)),
        )  # fmt: skip
        return m.go_on(self.merge)

    def says(self, strategy, next_ns, folded=0):
        at = c.block(c.Stage.STRATEGY + strategy)
        self.control[at + c.S_NEXT_NS], self.control[at + c.S_FOLDED] = next_ns, folded

    def execution(self, next_ns, folded=0):
        at = c.block(c.Stage.EXECUTION)
        self.control[at + c.S_NEXT_NS], self.control[at + c.S_FOLDED] = next_ns, folded

    @staticmethod
    def append(ring, **fields):
        record = np.zeros(1, ring.dtype)
        for name, value in fields.items():
            record[name] = value
        producer = ring.producer()
        put(producer, int(producer.at[P_NEXT]), record.view(np.int64), 0)
        publish(producer, 1)

    def sends(self, strategy, created_ns):
        number = self.desks[strategy].published()
        self.append(self.desks[strategy], strategy=strategy, created_ns=created_ns, order_id=number)

    def report(self, deliver_ns):
        self.append(self.reports, deliver_ns=deliver_ns)

    def work(self):
        """(created, strategy) of all that was handed on so far."""
        m.merge_slice(self.merge, waiter("yield"), 0, 1 << 30)  # the first round only tells
        m.merge_slice(self.merge, waiter("yield"), m.now_ns() + 2_000_000, 1 << 30)
        found = self.orders.ring.slots[: self.orders.published()]
        return [(int(r.created_ns), int(r.strategy)) for r in found]

    def told(self, strategy):
        """(next, folded) to a strategy."""
        at = c.MERGED + strategy * c.LINE
        return int(self.control[at]), int(self.control[at + 1])

    def told_execution(self):
        at = c.block(c.Stage.MERGE)
        return int(self.control[at + c.S_NEXT_NS]), int(self.control[at + c.S_FOLDED])


@pytest.fixture
def desk():
    made = Desk()
    yield made
    made.close()


def test_by_time_then_number_then_as_sent(desk):
    sent = [(0, 5), (0, 7), (2, 5), (1, 5), (2, 7), (1, 6), (0, 7)]
    for strategy, created in sent:
        desk.sends(strategy, created)
    assert desk.work() == sorted((created, strategy) for strategy, created in sent)
    for k in range(3):
        mine = [int(r.order_id) for r in desk.orders.ring.slots[:7] if r.strategy == k]
        assert mine == list(range(len(mine)))


@pytest.mark.parametrize("quiet, goes", [(0, False), (2, True)])
def test_who_has_sent_nothing_is_waited_for_as_long_as_it_could_go_first(desk, quiet, goes):
    desk.sends(1, 50)
    desk.says(quiet, 49)
    assert desk.work() == []
    desk.says(quiet, 50)  # at the same time a smaller number would go first, a larger one would not
    assert desk.work() == ([(50, 1)] if goes else [])
    desk.says(quiet, 51)
    assert desk.work() == [(50, 1)]


def test_a_report_that_is_not_folded_may_make_somebody_send(desk):
    desk.says(0, NEVER_NS, folded=0)
    desk.report(deliver_ns=40)
    desk.sends(1, 50)
    assert desk.work() == []
    desk.says(0, NEVER_NS, folded=1)
    assert desk.work() == []  # 1 and 2 have not folded it, but 2 could be made to send at 40
    desk.says(2, NEVER_NS, folded=1)
    assert desk.work() == [(50, 1)]


@pytest.mark.parametrize(("next_ns", "goes"), [(49 - RESPONSE, False), (50 - RESPONSE, False), (51 - RESPONSE, True)])
def test_so_may_one_that_execution_has_yet_to_make(desk, next_ns, goes):
    """Strategy 0 and 2 may be told of something at that time still; at an equal time 0 goes first."""
    desk.sends(1, 50)
    desk.execution(next_ns)
    assert desk.work() == ([(50, 1)] if goes else [])
    desk.execution(FAR)
    assert desk.work() == [(50, 1)]


def test_what_execution_is_told(desk):
    desk.says(0, 70, folded=3), desk.says(1, 60, folded=2), desk.says(2, 90, folded=5)
    desk.work()
    assert desk.told_execution() == (60, 2)
    desk.sends(1, 55)
    desk.says(1, 80, folded=4)
    desk.work()
    assert desk.told_execution() == (70, 3), "what was handed on is in the ring: what may come yet counts"


def test_what_a_strategy_is_told_of_the_others_and_of_execution(desk):
    desk.says(0, 70), desk.says(1, 60), desk.says(2, 90)
    desk.execution(500)
    desk.work()
    assert [desk.told(k) for k in range(3)] == [(60 + ENTRY, 0), (70 + ENTRY, 0), (60 + ENTRY, 0)]
    desk.execution(65)
    desk.work()
    assert [desk.told(k)[0] for k in range(3)] == [65, 65, 65]
    desk.sends(1, 55), desk.says(1, 80)
    desk.execution(500, folded=0)
    assert desk.work() == [(55, 1)]
    assert [desk.told(k) for k in range(3)] == [(55 + ENTRY, 0)] * 3, "on its way: not folded"
    desk.execution(500, folded=1)
    desk.work()
    assert [desk.told(k) for k in range(3)] == [(80 + ENTRY, 0), (70 + ENTRY, 1), (70 + ENTRY, 0)]


def test_all_is_over_when_nobody_will_do_anything(desk):
    desk.sends(2, 5)
    desk.execution(NEVER_NS, folded=0)
    desk.work()
    assert desk.merge.at[m.M_IDLE] == 0
    desk.execution(NEVER_NS, folded=1)
    desk.work()
    assert desk.merge.at[m.M_IDLE] == 1 and desk.told(0) == (NEVER_NS, 0) and desk.told(2) == (NEVER_NS, 1)


@pytest.mark.parametrize("strategy", [0, 1, 2])
def test_a_replacement_releases_what_was_handed_on_and_hands_nothing_on_twice(desk, strategy):
    """Killed at each point of the last move: before its mark, before the record, before and after the release."""
    for k, created in itertools.product(range(3), (1, 2)):
        desk.sends(k, created)
    assert len(desk.work()) == 6
    desk.sends(strategy, 9)
    assert desk.replaced(), "nothing was begun"
    at = c.block(c.Stage.MERGE) + c.S_MERGING
    desk.control[at] = 6 * 8 + strategy
    assert desk.replaced() and desk.orders.published() == 6, "begun, and not written"
    slot, words = desk.desks[strategy].ring, np.zeros(ORDER.itemsize // 8, np.int64)
    words[:] = slot.words[2 * slot.width : 3 * slot.width]
    put(desk.merge.out, 6, words, 0)  # written, neither published nor released
    assert desk.replaced() and desk.orders.published() == 7
    assert [int(d.at[R_NEXT]) for d in desk.merge.desks] == [3 if k == strategy else 2 for k in range(3)]
    assert desk.work() == [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2), (9, strategy)]


def test_rings_that_do_not_fit_together_are_noticed(desk):
    desk.sends(0, 1), desk.sends(1, 2)
    desk.work()
    desk.desks[0].ring.header[32] = 0  # the released cursor: as if one were to come again
    desk.control[c.block(c.Stage.MERGE) + c.S_MERGING] = 7 * 8
    assert not desk.replaced()


def test_in_real_time_nobody_is_waited_for():
    desk = Desk(simulated=False)
    desk.says(0, 0, folded=12), desk.says(1, 0, folded=7), desk.says(2, 0, folded=9)
    desk.sends(2, 50), desk.sends(1, 40)
    assert desk.work() == [(40, 1), (50, 2)]
    assert desk.told_execution()[1] == 7, "market records that all of them have folded"
    desk.close()
