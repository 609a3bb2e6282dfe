"""Whatever configuration is accepted, the folds accept its parameters; and each value arrives in its unit."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringsim.config import Config, limits_in_grid, load
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
        ("broker.maker_bps", Decimal("-0.29"), "broker", "maker_cbps", -29),
        ("broker.taker_bps", Decimal("0.58"), "broker", "taker_cbps", 58),
        ("broker.whole_fills", True, "broker", "whole_fills", True),
        ("run.seed", 13, "broker", "seed", 13),
        ("risk.capital", 50_000, "broker", "cash0", SPOT.amount("50000")),
    ],
)
def test_a_value_arrives_in_its_unit(key, given_value, side, name, value):
    config = load(overrides={key: given_value}).config
    params = {"strategy": strategy_params, "broker": broker_params}[side](config, SPOT)
    assert getattr(params, name) == value


@given(
    threshold=st.decimals("0.000001", 1, places=6),
    confidence=st.decimals(0, 1, places=6),
    fraction=st.decimals("0.000001", 1, places=6),
    window=st.integers(1, 86_400_000),
    latency=st.integers(1, 60_000_000_000),
    fee=st.decimals(-100, 100, places=2),
    store=st.integers(16, 1 << 24),
    capital=st.integers(1, 10**10),
)
def test_the_folds_refuse_nothing_that_the_configuration_accepts(
    threshold, confidence, fraction, window, latency, fee, store, capital
):
    config = load(
        overrides={
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
        }
    ).config
    assert strategy_params(config, SPOT).problems() == []
    assert broker_params(config, SPOT).problems() == []
