"""Whatever configuration is accepted, the folds accept its parameters; and each value arrives in its unit."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringsim.broker.adverse import WHOLE_PCT
from ringsim.broker.latency import LatencyModel
from ringsim.broker.params import DELAY_MAX_NS, PERIOD_MAX_NS
from ringsim.broker.queue import EXPONENT_MAX, QueueModel
from ringsim.broker.rate import RATE_ORDERS_MAX
from ringsim.broker.slippage import SLIPPAGE_CBPS_MAX, SLIPPAGE_TICKS_MAX
from ringsim.config import Config, limits_in_grid, load, model_settings
from ringsim.config.kinds import kind_of
from ringsim.risk.limits import RiskLimits
from ringsim.units import Instrument
from ringsim.wiring import broker_params, strategy_params

SPOT = Instrument("BTCUSDT", "0.01", "0.00001")


def test_the_founding_defaults_are_the_folds_defaults():
    params = strategy_params(Config(), SPOT)
    assert (params.imbalance_threshold, params.min_confidence_ppm, params.order_size_ppm) == (0.3, 700_000, 500_000)
    assert (params.signal_decay_ns, params.feature_window_ns) == (500_000_000, 1_000_000_000)
    assert SPOT.money(params.capital) == 100_000 and params.snapshot_interval_ns == 60_000_000_000
    broker = broker_params(Config(), SPOT)
    assert (broker.maker_cbps, broker.taker_cbps, broker.entry_ns, broker.response_ns) == (
        200,
        200,
        1_000_000,
        1_000_000,
    )
    assert broker.cash0 == params.capital and not broker.whole_fills
    assert broker.limits == params.limits == limits_in_grid(Config(), SPOT).limits


@pytest.mark.parametrize(
    ("key", "given_value", "side", "name", "value"),
    [
        ("strategy.params.imbalance_threshold", Decimal("0.45"), "strategy", "imbalance_threshold", 0.45),
        ("strategy.params.min_confidence", Decimal("0.29"), "strategy", "min_confidence_ppm", 290_000),
        ("strategy.params.order_size_fraction", Decimal("0.000001"), "strategy", "order_size_ppm", 1),
        ("strategy.params.feature_window_ms", 7, "strategy", "feature_window_ns", 7_000_000),
        ("strategy.params.signal_decay_ms", 3, "strategy", "signal_decay_ns", 3_000_000),
        ("strategy.performance.buffer_capacity", 1000, "strategy", "feature_store", 1024),
        ("strategy.persistence.snapshot_interval_ms", 5, "strategy", "snapshot_interval_ns", 5_000_000),
        ("strategy.persistence.snapshot_interval_ms", 5, "broker", "snapshot_interval_ns", 5_000_000),
        ("broker.entry_latency_ns", 11, "broker", "entry_ns", 11),
        ("broker.response_latency_ns", 12, "broker", "response_ns", 12),
        ("broker.latency_model", "jitter", "broker", "latency_model", LatencyModel.JITTER),
        ("broker.entry_jitter_ns", 21, "broker", "entry_jitter_ns", 21),
        ("broker.response_jitter_ns", 22, "broker", "response_jitter_ns", 22),
        ("run.clock", "simulated", "broker", "realtime", False),
        ("run.speed", Decimal("2.5"), "broker", "speed", (5, 2)),
        ("run.speed", "max", "broker", "realtime", False),
        ("broker.volatility_ns_per_bps", 31, "broker", "ns_per_bps", 31),
        ("broker.volatility_most_ns", 32, "broker", "most_ns", 32),
        ("broker.queue_model", "log2", "broker", "queue_model", QueueModel.LOG2),
        ("broker.queue_exponent", Decimal("2.5"), "broker", "queue_n", 2.5),
        ("broker.maker_bps", Decimal("-0.29"), "broker", "maker_cbps", -29),
        ("broker.taker_bps", Decimal("0.58"), "broker", "taker_cbps", 58),
        ("broker.slippage_ticks", 3, "broker", "slippage_ticks", 0),  # no model in force reads it
        ("broker.slippage_bps", Decimal("0.29"), "broker", "slippage_cbps", 0),
        ("broker.rate_limit_orders", 3, "broker", "rate_orders", 0),
        ("broker.rate_limit_s", 3, "broker", "rate_window_ns", 3_000_000_000),
        ("broker.whole_fills", True, "broker", "whole_fills", True),
        ("broker.adverse_pct", 30, "broker", "adverse_pct", 0),
        ("run.seed", 13, "broker", "seed", 13),
        ("risk.capital", 50_000, "broker", "cash0", SPOT.amount("50000")),
    ],
)
def test_a_value_arrives_in_its_unit(key, given_value, side, name, value):
    config = load(overrides={key: given_value}).config
    params = {"strategy": strategy_params, "broker": broker_params}[side](config, SPOT)
    assert getattr(params, name) == value


def test_a_model_of_the_configuration_is_one_of_the_broker_and_every_one_can_be_chosen():
    for path, models in (("broker.queue_model", QueueModel), ("broker.latency_model", LatencyModel)):
        assert [name.upper() for name in kind_of(path).choices] == [model.name for model in models]
    assert kind_of("broker.queue_exponent").within.high == EXPONENT_MAX
    for name in ("entry_latency_ns", "response_latency_ns", "entry_jitter_ns", "response_jitter_ns"):
        assert kind_of(f"broker.{name}").within.high == DELAY_MAX_NS


def test_a_slippage_arrives_in_its_unit():
    for option, expected in (("ticks:7", (7, 0)), ("bps:0.29", (0, 29)), ("none", (0, 0))):
        params = broker_params(load(overrides=model_settings("slippage", option)).config, SPOT)
        assert (params.slippage_ticks, params.slippage_cbps) == expected
    assert kind_of("broker.slippage_ticks").within.high == SLIPPAGE_TICKS_MAX
    assert kind_of("broker.slippage_bps").within.high * 100 == SLIPPAGE_CBPS_MAX


def test_fills_arrive_as_they_were_chosen():
    for option, expected in (("partial", (False, 0)), ("whole", (True, 0)), ("adverse:70", (False, 70))):
        params = broker_params(load(overrides=model_settings("fills", option)).config, SPOT)
        assert (params.whole_fills, params.adverse_pct) == expected
    assert kind_of("broker.adverse_pct").within.high == WHOLE_PCT


def test_a_rate_limit_arrives_in_its_unit():
    for option, expected in (("50:10", (50, 10_000_000_000)), ("none", (0, 10_000_000_000))):
        params = broker_params(load(overrides=model_settings("rate-limit", option)).config, SPOT)
        assert (params.rate_orders, params.rate_window_ns) == expected
    assert kind_of("broker.rate_limit_orders").within.high == RATE_ORDERS_MAX
    assert kind_of("broker.rate_limit_s").within.high * 1_000_000_000 == PERIOD_MAX_NS


def test_without_limits_the_account_has_none_and_the_strategy_its_own_size():
    size = {
        "strategy.params.max_position_size": Decimal("0.75"),
        "strategy.risk_limits.max_position_size": Decimal("0.25"),
    }
    effective = load(overrides=size | {"risk.limits": "none"})
    assert broker_params(effective.config, SPOT).limits == RiskLimits()
    assert strategy_params(effective.config, SPOT).limits == RiskLimits(max_position_lots=75_000)
    (said,) = [note.text for note in effective.notes if note.path == "risk.limits"]
    assert said.startswith("none: neither the strategy nor the account has a limit")
    assert not any(note.path == "risk.limits" for note in load(overrides=size).notes)


@given(
    threshold=st.decimals("0.000001", 1, places=6),
    confidence=st.decimals(0, 1, places=6),
    fraction=st.decimals("0.000001", 1, places=6),
    window=st.integers(1, 86_400_000),
    latency=st.integers(1, 60_000_000_000),
    fee=st.decimals(-100, 100, places=2),
    store=st.integers(16, 1 << 24),
    capital=st.integers(1, 10**10),
    jitter=st.integers(0, 60_000_000_000),
    queue=st.sampled_from(kind_of("broker.queue_model").choices),
    exponent=st.decimals("0.000000000001", 16, places=12),
    enforced=st.sampled_from(["enforced", "none"]),
)
def test_the_folds_refuse_nothing_that_the_configuration_accepts(
    threshold, confidence, fraction, window, latency, fee, store, capital, jitter, queue, exponent, enforced
):
    config = load(
        overrides={
            "run.source": "lobster:m.csv" if queue == "fifo" else "sample",
            "strategy.params.imbalance_threshold": threshold,
            "strategy.params.min_confidence": confidence,
            "strategy.params.order_size_fraction": fraction,
            "strategy.params.feature_window_ms": window,
            "strategy.params.signal_decay_ms": window,
            "strategy.persistence.snapshot_interval_ms": window,
            "strategy.performance.buffer_capacity": store,
            "broker.entry_latency_ns": latency,
            "broker.response_latency_ns": latency,
            "broker.maker_bps": fee,
            "broker.taker_bps": fee,
            "risk.capital": capital,
            "risk.limits": enforced,
            "broker.latency_model": "jitter",
            "broker.entry_jitter_ns": jitter,
            "broker.response_jitter_ns": jitter,
            "broker.queue_model": queue,
            "broker.queue_exponent": exponent,
        }
    ).config
    assert strategy_params(config, SPOT).problems() == []
    assert broker_params(config, SPOT).problems() == []
