"""The divergence strategy: strict, at its interval, one trade a trigger and each closed after its time; its twin; the regimes."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringsim.limits import CREDITS, OWN_ORDERS
from ringsim.records import EventFlag, EventKind, OrderFlag, OrderKind, OrderType, Reason, ReportKind, Side, Tif
from ringsim.strategy.divergence import TRADES, divergence
from ringsim.strategy.protocol import StrategyKind
from ringsim.strategy.regime import REGIME_PARAMS, REGIME_STATE, WINDOW, MarketRegime, regime_clear, regime_observe
from tests.naive.divergence import NaiveDivergence, regime_of
from tests.unit.strategy.stage import MILLI, SECOND, Stage
from tests.unit.strategy.test_fold_twin import Chance

NEW, REFUSED, SIGNAL, SIGNAL_END = OrderKind.NEW, OrderKind.REFUSED, OrderKind.SIGNAL, OrderKind.SIGNAL_END
LAST = EventFlag.LAST
FREE = {"max_intent": 10**6, "max_position_lots": 10**6, "max_order_lots": 0, "daily_loss_cap": 0}


class DivergenceStage(Stage):
    """A stage that follows predictions, and its twin."""

    def __init__(self, **given):
        super().__init__(**{"kind": StrategyKind.DIVERGENCE, "snapshot_interval_ns": 0} | given)
        self.naive = NaiveDivergence(self.params)

    def predict(self, px):
        return self.event(EventKind.PREDICTION, px=px, flags=LAST)

    def begun(self, bid=9_999, ask=10_001, prediction=10_000):
        """With a whole book and a first decision, which is no trigger."""
        self.snapshot(bid, ask)
        self.book(bid, ask)
        self.predict(prediction)
        return self

    def fill_all(self, px=10_000):
        while self.unanswered:
            self.answer()
        for order_id in list(self.open):
            self.fill(order_id, px=px)

    def laws(self, sent):
        assert self.s.v.own_orders <= OWN_ORDERS
        held = [t for t in self.s.divergence.trades if t.sign != 0]
        assert all(t.lots >= 0 for t in held)
        assert sum(int(t.sign * t.lots) for t in held) == self.position, "every lot belongs to a trade"
        assert [(t.lots, t.close_ns) for t in self.s.divergence.trades if t.sign] == [
            (t["lots"], t["until"]) for t in self.naive.trades if t
        ]
        assert (self.s.divergence.triggers, self.s.divergence.passed) == (self.naive.triggers, self.naive.passed)


def news(sent):
    return [r for r in sent if r["kind"] in (NEW, REFUSED)]


def test_prediction_101_market_100_is_a_buy_and_the_comparison_is_strict():
    stage = DivergenceStage(limits=FREE).begun(prediction=10_100)
    (order,) = news(stage.records)
    assert (order["side"], order["type"], order["tif"]) == (Side.BUY, OrderType.MARKET, Tif.IOC)
    assert (order["strength_ppm"], order["confidence_ppm"]) == (10_000, 1_000_000)
    for prediction, side in ((10_030, None), (10_031, Side.BUY), (9_970, None), (9_969, Side.SELL)):
        sent = DivergenceStage(limits=FREE).begun(prediction=prediction).records
        assert [r["side"] for r in news(sent)] == ([] if side is None else [side]), prediction


@given(st.integers(1, 2**40), st.integers(1, 10**9))
def test_a_divergence_of_exactly_the_threshold_is_equal_to_it(mid, ppb):
    """pred = mid (1 + ppb / 1e9), where that is a whole number of ticks: no trigger at that threshold, whatever the price."""
    mid2 = 2 * mid
    if (mid * ppb) % 10**9 == 0:
        assert divergence(mid + mid * ppb // 10**9, mid2) == float(f"{ppb}e-9")
    assert divergence(mid + 1 + mid * ppb // 10**9, mid2) > float(f"{ppb}e-9")


@pytest.mark.parametrize("interval", [1, 49 * MILLI, 50 * MILLI, 120 * MILLI])
def test_it_decides_once_an_interval_and_trades_once_a_trigger(interval):
    stage = DivergenceStage(limits=FREE, decision_interval_ns=interval, hold_ns=SECOND).begun(prediction=10_000)
    begin = stage.now
    stage.predict(10_100)
    stage.book(9_999, 10_001, 7, 7)
    assert news(stage.records) == [], "not before the next decision"
    sent = []
    for _ in range(4):
        sent += stage.wait(interval)
        stage.fill_all()
    assert [r["created_ns"] - begin for r in news(sent)] == [interval * k for k in (1, 2, 3, 4)]
    assert [r["kind"] for r in sent if r["kind"] in (SIGNAL, SIGNAL_END)] == [SIGNAL]
    stage.predict(10_000)
    assert [r["kind"] for r in stage.wait(interval)] == [SIGNAL_END]


def test_what_happens_at_the_time_of_a_decision_comes_before_it():
    """The market moves to the last prediction, then the next one comes, at one time: there never was a divergence."""
    stage = DivergenceStage(limits=FREE, hold_ns=SECOND).begun()
    begin = stage.now
    for k in range(1, 6):
        stage.now = begin + 50 * MILLI * k
        stage.book(9_999 + 100 * k, 10_001 + 100 * k)
        stage.predict(10_000 + 100 * k)
        stage.wait(1)
    assert stage.s.divergence.regime.count == 5 and news(stage.records) == []


def test_a_trade_is_closed_its_time_after_its_decision_with_what_it_filled():
    stage = DivergenceStage(limits=FREE, hold_ns=130 * MILLI).begun(prediction=10_100)
    begin = stage.now
    (entry,) = news(stage.records)
    stage.answer_all()
    stage.fill(entry["order_id"], 3, px=10_001)
    stage.cancel(entry["order_id"])
    stage.predict(10_000)
    sent = stage.wait(SECOND)
    closes = [r for r in news(sent) if r["flag_bits"] & OrderFlag.CLOSES]
    assert [(r["created_ns"] - begin, r["side"], r["qty_lots"]) for r in closes] == [(130 * MILLI, Side.SELL, 3)]
    stage.answer_all()
    stage.fill(closes[0]["order_id"], px=9_999)
    stage.wait(SECOND)
    assert not any(t.sign for t in stage.s.divergence.trades) and stage.position == 0


def test_trades_in_both_directions_are_closed_each_by_itself():
    stage = DivergenceStage(limits=FREE, hold_ns=70 * MILLI).begun(prediction=10_100)
    stage.fill_all()
    stage.predict(9_900)
    stage.wait(50 * MILLI)
    stage.fill_all()
    stage.predict(10_000)
    sides = []
    for _ in range(200):
        sides += [r["side"] for r in news(stage.wait(MILLI))]
        stage.fill_all()
    assert sides == [Side.SELL, Side.BUY] and stage.position == 0


def test_a_trigger_without_a_place_is_counted_and_passed_over():
    stage = DivergenceStage(limits=FREE, decision_interval_ns=MILLI, hold_ns=SECOND).begun(prediction=10_100)
    for _ in range(TRADES + 4):
        stage.fill_all()
        stage.wait(MILLI)
    assert stage.s.divergence.passed == 5 and sum(t.sign != 0 for t in stage.s.divergence.trades) == TRADES
    stage.predict(10_000)
    for _ in range(40):
        stage.wait(SECOND // 20)
        stage.fill_all()
    assert stage.position == 0, "more closes at one time than an input may emit follow"


def test_without_credits_a_decision_waits():
    stage = DivergenceStage(limits=FREE, decision_interval_ns=MILLI, hold_ns=5 * SECOND).begun()
    for k in range(2 * CREDITS):
        if stage.s.starved:
            break
        stage.predict(10_100 if k % 2 else 9_900)
        stage.wait(MILLI)
    assert stage.s.starved == 1 and stage.s.v.may_act == 0
    triggers = stage.s.divergence.triggers
    stage.wait(SECOND)
    assert stage.s.divergence.triggers == triggers
    stage.answer_all()
    assert stage.s.divergence.triggers > triggers, "it decides as soon as it may"


def test_an_entry_has_the_share_of_its_regime():
    def entry(size_ppm):
        stage = DivergenceStage(limits=FREE, size_ppm=size_ppm, order_size_ppm=500_000)
        stage.begun(prediction=10_100)
        return news(stage.records)[0]["qty_lots"]

    assert entry((1_000_000, 1, 1)) == 50 and entry((250_000, 1, 1)) == 12  # sideways until more is known


# Regimes


def classify(mids2, volatile_at=0.002, trend_at=0.45):
    p = np.zeros(1, REGIME_PARAMS).view(np.recarray)[0]
    p.volatile_at, p.trend_at = volatile_at, trend_at
    r = np.zeros(1, REGIME_STATE).view(np.recarray)[0]
    return [int(regime_observe(r, p, int(m))) for m in mids2], r


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 32), st.sampled_from([1, 30, 200, 20_000]), st.floats(-0.7, 0.7))
def test_the_regime_is_that_of_a_list_of_returns(seed, sigma, drift):
    rng = np.random.default_rng(seed)
    mids2 = np.maximum(2, 200_000 + np.cumsum(np.rint(sigma * (rng.normal(size=3 * WINDOW) + drift)))).astype(int)
    found, r = classify(mids2)
    assert found == [regime_of(mids2[: n + 1].tolist(), 0.002, 0.45) for n in range(len(mids2))]
    regime_clear(r)
    assert (r.count, r.way, r.net, r.squares, r.mid2_ticks) == (0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("sigma", "drift", "regime"),
    [(0.0005, 0.0, MarketRegime.SIDEWAYS), (0.0005, 1.0, MarketRegime.TREND), (0.004, 0.0, MarketRegime.VOLATILE)],
)
def test_what_was_generated_is_what_is_recognised(sigma, drift, regime):
    right = 0
    for seed in range(50):
        z = np.random.default_rng(seed).normal(size=WINDOW + 1) + drift
        right += classify(np.rint(1e7 * np.exp(np.cumsum(sigma * z))))[0][-1] == regime
    assert right >= 47


# The twin


class Session(Chance):
    """The random session of the twin test with predictions; market orders fill around the market."""

    def step(self):
        if self.rng.random() < 0.5:
            self.stage.predict(self.bid + self.pick([0, 1, 3, 4, 30, -3, -4, -40]))
        super().step()

    def fill(self):
        if self.stage.open:
            order = self.pick(list(self.stage.open.values()))
            lots = order["left"] if self.rng.random() < 0.7 else int(self.rng.integers(1, order["left"] + 1))
            self.stage.fill(order["order_id"], lots, self.pick([0, 0, 3]), self.bid + int(self.rng.integers(-20, 21)))

    def expire(self):
        if self.stage.open:
            self.stage.cancel(self.pick(list(self.stage.open)), Reason.NO_LIQUIDITY)


EXAMPLES = 3 if os.environ.get("NUMBA_DISABLE_JIT") == "1" else 20


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.data())
def test_the_stage_is_its_naive_twin(data):
    draw = data.draw
    stage = DivergenceStage(
        decision_interval_ns=draw(st.sampled_from([20 * MILLI, 50 * MILLI, 300 * MILLI])),
        hold_ns=draw(st.sampled_from([1, 20 * MILLI, 400 * MILLI])),
        size_ppm=(1_000_000, 500_000, 1),
        volatile_at=draw(st.sampled_from([0.0005, 0.002])),
        snapshot_interval_ns=draw(st.sampled_from([0, SECOND])),
        limits={
            "orders_per_second": draw(st.sampled_from([0, 3])),
            "max_position_lots": draw(st.sampled_from([0, 12])),
            "max_consecutive_losses": draw(st.sampled_from([0, 5])),
        },
    )
    session = Session(stage, draw(st.integers(0, 1 << 32)))
    for _ in range(draw(st.integers(50, 150))):
        session.step()
    stage.end()
    stage.answer_all()
    assert stage.s.credits == CREDITS


def test_a_rejected_entry_frees_its_place():
    stage = DivergenceStage(limits=FREE, hold_ns=10 * MILLI).begun(prediction=10_100)
    while stage.unanswered:
        kind = ReportKind.REJECTED if stage.unanswered[0]["kind"] == NEW else None
        stage.answer(kind, Reason.NO_BOOK)
    stage.predict(10_000)
    stage.wait(SECOND)
    assert not any(t.sign for t in stage.s.divergence.trades)
