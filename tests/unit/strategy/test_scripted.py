"""The scripted strategy: every row once and at its time, every refusal on record, every cancel when it is due."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringsim.limits import CREDITS, OWN_ORDERS
from ringsim.records import NEVER_NS, ControlCode, EventKind, GapCode, OrderKind, OrderType, Reason, Side, Tif
from ringsim.strategy.fold import strategy_init
from ringsim.strategy.protocol import MAX_INTENTS, StrategyKind
from ringsim.strategy.schedule import SCHEDULED
from tests.naive.scripted import NaiveScripted
from tests.unit.strategy.stage import SECOND, Stage
from tests.unit.strategy.test_fold_twin import Chance

BEGIN = 10 * SECOND  # of a stage
NEW, REFUSED, CANCEL = OrderKind.NEW, OrderKind.REFUSED, OrderKind.CANCEL


def row(time_ns, side=Side.BUY, px=990, qty=5, type_=OrderType.LIMIT, tif=Tif.GTC, cancel_after=0):
    return {
        "time_ns": time_ns, "side": side, "px_ticks": px, "qty_lots": qty, "type": type_, "tif": tif,
        "cancel_after_ns": cancel_after,
    }  # fmt: skip


class ScriptedStage(Stage):
    """A stage with a list of orders, and its twin."""

    def __init__(self, rows, **given):
        super().__init__(**{"kind": StrategyKind.SCRIPTED} | given)
        wake_ns = NEVER_NS if self.params.realtime or not rows else rows[0]["time_ns"]
        self.state = strategy_init(self.params, wake_ns)
        self.s = self.state[0]
        self.schedule = np.zeros(len(rows), SCHEDULED).view(np.recarray)
        for k, values in enumerate(rows):
            for name, value in values.items():
                self.schedule[k][name] = value
        self.naive = NaiveScripted(self.params, rows, wake_ns)

    def laws(self, sent):
        assert self.s.v.own_orders <= OWN_ORDERS


def kinds(sent):
    return [r["kind"] for r in sent if r["kind"] != OrderKind.SNAPSHOT]


def test_an_order_goes_out_at_exactly_its_time_and_its_cancel_after_exactly_that_long():
    stage = ScriptedStage([row(BEGIN + 3_000_000_007, cancel_after=499_999_999)])
    stage.snapshot()
    stage.book(1_000, 1_001)
    sent = stage.wait(5 * SECOND)
    assert [(r["kind"], r["created_ns"]) for r in sent] == [
        (NEW, BEGIN + 3_000_000_007),
        (CANCEL, BEGIN + 3_500_000_006),
    ]
    order = sent[0]
    assert (order["side"], order["px_ticks"], order["qty_lots"], order["tif"]) == (Side.BUY, 990, 5, Tif.GTC)
    assert sent[1]["target_id"] == order["order_id"]


def test_before_a_book_and_while_paused_a_row_is_refused_on_record_and_not_tried_again():
    stage = ScriptedStage([row(BEGIN + 1), row(BEGIN + SECOND), row(BEGIN + 2 * SECOND), row(BEGIN + 3 * SECOND)])
    assert [(r["kind"], r["reason"]) for r in stage.wait(10)] == [(REFUSED, Reason.NO_BOOK)]
    stage.snapshot()
    stage.book(1_000, 1_001)
    stage.control(ControlCode.RUN, 1)
    assert [(r["kind"], r["reason"]) for r in stage.wait(SECOND)] == [(REFUSED, Reason.PAUSED)]
    stage.control(ControlCode.RUN, 0)
    stage.control(ControlCode.LIFECYCLE, 1)
    assert [(r["kind"], r["reason"]) for r in stage.wait(SECOND)] == [(REFUSED, Reason.NOT_READY)]
    stage.control(ControlCode.LIFECYCLE, 2)
    assert kinds(stage.wait(2 * SECOND)) == [NEW]


def test_one_refusal_holds_nothing_back():
    stage = ScriptedStage([row(BEGIN + k, qty=5) for k in range(1, 6)], limits={"max_position_lots": 10})
    stage.snapshot()
    stage.book(1_000, 1_001)
    sent = stage.wait(100)
    assert kinds(sent) == [NEW, NEW, REFUSED, REFUSED, REFUSED]
    assert {r["reason"] for r in sent[2:]} == {Reason.POSITION} and stage.s.held_back == 0


def test_more_rows_at_one_time_than_an_input_may_emit_follow_a_nanosecond_later():
    stage = ScriptedStage([row(BEGIN + SECOND, qty=1) for _ in range(MAX_INTENTS + 2)])
    stage.snapshot()
    stage.book(1_000, 1_001)
    times = [r["created_ns"] - BEGIN - SECOND for r in stage.wait(2 * SECOND)]
    assert times == [0] * MAX_INTENTS + [1, 1]


def test_without_credits_a_row_waits_for_one_and_is_not_lost():
    rows = [row(BEGIN + k, qty=1, cancel_after=1) for k in range(1, 60)]
    stage = ScriptedStage(rows)
    stage.snapshot()
    stage.book(1_000, 1_001)
    stage.wait(SECOND)
    assert stage.s.credits <= MAX_INTENTS
    while stage.unanswered:
        stage.answer()
        stage.wait(10)
    news = [r for r in stage.records if r["kind"] in (NEW, REFUSED)]
    assert len(news) == len(rows) and stage.s.scripted.next == len(rows) and stage.s.credits == CREDITS
    assert not stage.open


@pytest.mark.parametrize("speed", [(1, 1), (10, 1), (1, 4), (3, 7)])
def test_under_the_realtime_clock_times_are_those_of_the_feed(speed):
    first = 1_700_000_000 * SECOND
    stage = ScriptedStage(
        [row(first + 7 * SECOND, cancel_after=SECOND)],
        realtime=True,
        first_ns=first,
        speed=speed,
        snapshot_interval_ns=0,
    )
    stage.snapshot()
    stage.book(1_000, 1_001)
    assert kinds(stage.wait(SECOND)) == []  # nobody has said when the feed began
    stage.control(ControlCode.CLOCK, BEGIN)
    stage.wait(60 * SECOND)
    sent = [r for r in stage.records if r["kind"] in (NEW, CANCEL)]
    num, den = speed
    due = BEGIN + 7 * SECOND * den // num
    assert [r["kind"] for r in sent] == [NEW, CANCEL]
    assert sent[0]["created_ns"] == max(due, BEGIN + SECOND)
    assert sent[1]["created_ns"] == sent[0]["created_ns"] + SECOND * den // num


def test_after_the_end_of_the_feed_nothing_goes_out():
    stage = ScriptedStage([row(BEGIN + SECOND)])
    stage.snapshot()
    stage.book(1_000, 1_001)
    stage.end()
    assert kinds(stage.wait(3 * SECOND)) == [] and stage.s.scripted.next == 0


class Session(Chance):
    """The random session of the twin test, but a market order may be among what is sent."""

    def lost(self):
        self.stage.event(EventKind.GAP, code=GapCode.SEQUENCE)


def rows_of(rng, count):
    times = BEGIN + np.sort(rng.integers(0, 40 * SECOND, count))
    rows = []
    for time_ns in times:
        type_ = OrderType(int(rng.choice([OrderType.LIMIT] * 4 + [OrderType.MARKET])))
        tif = Tif(int(rng.choice([Tif.GTC, Tif.IOC, Tif.FOK])))
        px = 0 if type_ == OrderType.MARKET else int(rng.integers(980, 1_050))
        cancel = int(rng.choice([0, 1, 5_000_000, SECOND]))
        rows.append(row(int(time_ns), Side(int(rng.integers(1, 3))), px, int(rng.integers(1, 20)), type_, tif, cancel))
    return rows


EXAMPLES = 3 if os.environ.get("NUMBA_DISABLE_JIT") == "1" else 20


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.integers(0, 1 << 32), st.integers(0, 120), st.sampled_from([0, 3]), st.sampled_from([0, 12]))
def test_the_stage_is_its_naive_twin(seed, count, rate, position):
    rows = rows_of(np.random.default_rng(seed), count)
    limits = {"orders_per_second": rate, "max_position_lots": position}
    stage = ScriptedStage(rows, limits=limits, snapshot_interval_ns=0)
    session = Session(stage, seed)
    for _ in range(150):
        session.step()
    stage.end()
    stage.answer_all()
    assert stage.s.credits == CREDITS
    tried = [r for r in stage.records if r["kind"] in (NEW, REFUSED)]
    assert len(tried) == stage.s.scripted.next
    for found, wanted in zip(tried, rows, strict=False):
        assert (found["side"], found["px_ticks"], found["asked_lots"]) == (
            wanted["side"],
            wanted["px_ticks"],
            wanted["qty_lots"],
        )
