"""The strategy stage and its naive twin agree on every input, whatever comes, and the laws hold (tests.unit.strategy.stage)."""

import os

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ringsim.limits import CREDITS
from ringsim.records import EventFlag, EventKind, GapCode, OrderKind, Reason, ReportKind, Trading
from tests.unit.strategy.stage import MILLI, SECOND, Stage

NEW = OrderKind.NEW

settings_drawn = st.fixed_dictionaries(
    {
        "min_confidence_ppm": st.sampled_from([350_000, 0, 500_000, 700_000]),
        "signal_decay_ns": st.sampled_from([500 * MILLI, 50 * MILLI, 5 * SECOND]),
        "order_size_ppm": st.sampled_from([1, 333_333, 1_000_000]),
        "snapshot_interval_ns": st.sampled_from([0, SECOND]),
        "feature_store": st.sampled_from([2, 16]),
        "limits": st.fixed_dictionaries(
            {
                "orders_per_second": st.sampled_from([0, 3]),
                "max_position_lots": st.sampled_from([0, 12]),
                "daily_loss_cap": st.sampled_from([0, 1_500]),
                "max_drawdown": st.sampled_from([0, 2_000]),
                "max_consecutive_losses": st.sampled_from([0, 5]),
            }
        ),
    }
)


LEANING = [(10, 2), (10, 3), (12, 4), (65, 35), (10, 9), (1, 40), (40, 1)]
WAITS = [0, 1, MILLI, MILLI, 5 * MILLI, 20 * MILLI, 100 * MILLI, 100 * MILLI, 400 * MILLI, 1_100 * MILLI]
REFUSALS = [Reason.WOULD_TAKE, Reason.WOULD_TAKE, Reason.ORDER_RATE, Reason.NOT_READY]
GOOD = [(1, 2), (2, 0), (3, 0)]  # READY, ACTIVE, RUNNING
BAD = [(1, 3), (1, 1), (2, 1), (2, 2), (3, 1)]


class Chance:
    """A long random session: the market leans for a while, the venue answers, fills, refuses or is silent for a while."""

    def __init__(self, stage, seed):
        self.stage, self.rng = stage, np.random.default_rng(seed)
        self.bid, self.side, self.silent = 1_000, 1, 0
        stage.snapshot()

    def pick(self, choices):
        return choices[int(self.rng.integers(len(choices)))]

    def step(self):
        kinds = {"book": 40, "answer": 0 if self.silent > 0 else 30, "fill": 14, "expire": 3, "trade": 5, "control": 1,
                 "account": 1, "heal": 6, "lost": 1, "turn": 3, "silence": 0.5}  # fmt: skip
        self.silent -= 1
        weights = np.array(list(kinds.values())) / sum(kinds.values())
        getattr(self, str(self.rng.choice(list(kinds), p=weights)))()
        self.stage.wait(self.pick(WAITS))

    def book(self):
        self.bid += int(self.rng.choice([0, 0, 0, 1, -1, 2]))
        if self.stage.naive.book.state == "invalid":
            self.stage.snapshot(self.bid, self.bid + 1)
        lots = self.pick(LEANING)
        self.stage.book(self.bid, self.bid + self.pick([1, 1, 1, 1, 2, 30]), *(lots if self.side > 0 else lots[::-1]))

    def turn(self):
        self.side = -self.side

    def silence(self):
        self.silent = int(self.rng.integers(10, 150))

    def answer(self):
        for _ in range(self.pick([1, 1, 3, 8])):
            if self.stage.unanswered:
                self.answer_one(self.stage)

    def answer_one(self, stage):
        chance = self.rng.random()
        if stage.unanswered[0]["kind"] == NEW and chance < 0.15:
            reason = self.pick(REFUSALS)
            kind = ReportKind.PROVISIONAL if reason == Reason.NOT_READY else ReportKind.REJECTED
            stage.answer(kind, reason)
        elif stage.unanswered[0]["kind"] == NEW and chance < 0.25:
            stage.answer(lots=int(self.rng.integers(1, stage.unanswered[0]["qty_lots"] + 1)))
        else:
            stage.answer()

    def fill(self):
        if self.stage.open:
            order = next(iter(self.stage.open.values()))
            lots = order["left"] if self.rng.random() < 0.5 else int(self.rng.integers(1, order["left"] + 1))
            px = order["px_ticks"] + int(self.rng.integers(-20, 21))
            self.stage.fill(order["order_id"], lots, self.pick([0, 0, 3]), px)

    def expire(self):
        if self.stage.open:
            self.stage.cancel(next(iter(self.stage.open)), self.pick([Reason.NO_LIQUIDITY, Reason.KILL_SWITCH]))

    def trade(self):
        self.stage.event(EventKind.TRADE, self.pick([1, 2]), self.bid, self.pick([1, 5, 30]), EventFlag.LAST)

    def control(self):
        self.stage.control(*self.pick(BAD))

    def account(self):
        trading = self.pick([Trading.REDUCING, Trading.HALTED])
        self.stage.account(trading, Reason.DAILY_LOSS if trading == Trading.HALTED else Reason.NONE)

    def heal(self):
        for code, value in GOOD:
            self.stage.control(code, value)
            self.stage.wait(self.pick(WAITS))
        self.stage.account(Trading.ACTIVE)

    def lost(self):
        self.stage.event(EventKind.GAP, code=GapCode.SEQUENCE)


EXAMPLES = 4 if os.environ.get("NUMBA_DISABLE_JIT") == "1" else 40  # plain bodies are a hundred times slower


@settings(max_examples=EXAMPLES, deadline=None)
@given(settings_drawn, st.integers(0, 1 << 32), st.integers(150, 400))
def test_the_fold_is_its_naive_twin(given_settings, seed, steps):
    stage = Stage(**given_settings)
    chance = Chance(stage, seed)
    for _ in range(steps):
        chance.step()
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
