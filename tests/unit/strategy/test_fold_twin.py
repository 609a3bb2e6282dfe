"""The strategy stage and its naive twin agree on every input, whatever comes, and the laws hold (tests.unit.strategy.stage)."""

import os

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ringsim.limits import CREDITS
from ringsim.records import EventFlag, EventKind, GapCode, OrderKind, Reason, ReportKind, Trading
from tests.unit.strategy.stage import MILLI, SECOND, Stage

NEW = OrderKind.NEW

leaning = st.sampled_from([(10, 2), (10, 2), (2, 10), (12, 4), (10, 9), (65, 35), (1, 40)])
steps = st.one_of(
    st.tuples(st.just("book"), st.integers(-2, 2), st.sampled_from([1, 1, 1, 2, 30]), leaning),
    st.tuples(st.just("book"), st.integers(-1, 1), st.just(1), st.sampled_from([(10, 2), (10, 3)])),
    st.tuples(st.just("wait"), st.sampled_from([1, MILLI, 20 * MILLI, 100 * MILLI, 300 * MILLI, 1_100 * MILLI])),
    st.tuples(st.just("answer")),
    st.tuples(st.just("answer")),
    st.tuples(st.just("refuse"), st.sampled_from([Reason.WOULD_TAKE, Reason.ORDER_RATE, Reason.NOT_READY])),
    st.tuples(st.just("shrink"), st.integers(1, 3)),
    st.tuples(st.just("fill"), st.integers(1, 9), st.integers(-40, 40), st.sampled_from([0, 3])),
    st.tuples(st.just("fill"), st.just(99), st.integers(-5, 5), st.just(1)),
    st.tuples(st.just("expire"), st.sampled_from([Reason.NO_LIQUIDITY, Reason.KILL_SWITCH])),
    st.tuples(st.just("trade"), st.sampled_from([1, 2]), st.integers(1, 9)),
    st.tuples(st.just("control"), st.sampled_from([(1, 2), (1, 3), (1, 1), (2, 0), (2, 0), (2, 1), (2, 2), (3, 1), (3, 0)])),
    st.tuples(st.just("account"), st.sampled_from([Trading.ACTIVE, Trading.ACTIVE, Trading.REDUCING, Trading.HALTED])),
    st.tuples(st.just("lost")),
)  # fmt: skip
settings_drawn = st.fixed_dictionaries(
    {
        "min_confidence_ppm": st.sampled_from([0, 350_000, 500_000, 700_000]),
        "signal_decay_ns": st.sampled_from([50 * MILLI, 500 * MILLI, 5 * SECOND]),
        "order_size_ppm": st.sampled_from([1, 333_333, 1_000_000]),
        "snapshot_interval_ns": st.sampled_from([0, SECOND]),
        "feature_store": st.sampled_from([2, 16]),
        "limits": st.fixed_dictionaries(
            {
                "orders_per_second": st.sampled_from([0, 3]),
                "max_position_lots": st.sampled_from([0, 12]),
                "daily_loss_cap": st.sampled_from([0, 200]),
                "max_drawdown": st.sampled_from([0, 300]),
                "max_consecutive_losses": st.sampled_from([0, 2]),
            }
        ),
    }
)


EXAMPLES = 15 if os.environ.get("NUMBA_DISABLE_JIT") == "1" else 120  # plain bodies are a hundred times slower


@settings(max_examples=EXAMPLES, deadline=None)
@given(settings_drawn, st.lists(steps, max_size=60))
def test_the_fold_is_its_naive_twin(given_settings, drawn):
    stage = Stage(**given_settings)
    stage.snapshot()
    bid = 1_000
    for step, *what in drawn:
        orders = [r for r in stage.unanswered if r["kind"] == NEW]
        if step == "book":
            bid += what[0]
            if stage.naive.book.state == "invalid":
                stage.snapshot(bid, bid + 1)
            stage.book(bid, bid + what[1], *what[2])
        elif step == "wait":
            stage.wait(what[0])
        elif step == "answer" and stage.unanswered:
            stage.answer()
        elif step == "refuse" and orders and stage.unanswered[0] is orders[0]:
            kind = ReportKind.PROVISIONAL if what[0] == Reason.NOT_READY else ReportKind.REJECTED
            stage.answer(kind, what[0])
        elif step == "shrink" and orders and stage.unanswered[0] is orders[0]:
            stage.answer(lots=min(what[0], orders[0]["qty_lots"]))
        elif step == "fill" and stage.open:
            order = next(iter(stage.open.values()))
            stage.fill(order["order_id"], min(what[0], order["left"]), what[2], order["px_ticks"] + what[1])
        elif step == "expire" and stage.open:
            stage.cancel(next(iter(stage.open)), what[0])
        elif step == "trade":
            stage.event(EventKind.TRADE, what[0], bid, what[1], EventFlag.LAST)
        elif step == "control":
            stage.control(*what[0])
        elif step == "account":
            stage.account(what[0], Reason.DAILY_LOSS if what[0] == Trading.HALTED else Reason.NONE)
        elif step == "lost":
            stage.event(EventKind.GAP, code=GapCode.SEQUENCE)
        stage.wait(MILLI)
    stage.end()
    stage.answer_all()
    assert stage.s.credits == CREDITS


def test_the_same_inputs_give_the_same_bytes():
    def run():
        stage = Stage(min_confidence_ppm=400_000)
        stage.snapshot()
        rng = np.random.default_rng(5)
        for _ in range(200):
            stage.wait(int(rng.integers(1, 50)) * MILLI)
            bid = 1_000 + int(rng.integers(-3, 4))
            stage.book(bid, bid + 1, *(int(q) for q in rng.integers(1, 20, 2)))
            if stage.unanswered and rng.integers(2):
                stage.answer()
            if stage.open and rng.integers(3) == 0:
                stage.fill(next(iter(stage.open)))
        return stage.state.tobytes(), len(stage.records)

    first, again = run(), run()
    assert first == again and first[1] > 50
