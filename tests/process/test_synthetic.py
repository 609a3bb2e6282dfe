"""A generated market is a source like any other: one process, five, and killed ones end with the same digest."""

from decimal import Decimal

import pytest

from procs.topology import ROLES
from tests.process.pipeline import backtest, processes
from tests.process.test_pipeline import killer

pytestmark = pytest.mark.timeout(280)

MARKET = {
    "run__source": "synthetic",
    "sim__duration_s": 12,
    "sim__regime": "mixed",
    "sim__regime_ms": 2000,
    "sim__jump_share": Decimal("0.01"),
    "sim__lag_jitter_ms": 60,
    "sim__transport_jitter_ns": 5_000_000,
    "sim__noise": Decimal("0.0002"),
    "sim__book__depth_hz": 300,
}


@pytest.mark.slow
def test_one_process_and_killed_ones_have_the_same_digest(tmp_path):
    twin = backtest(tmp_path, **MARKET)
    assert twin["messages"]["prediction"] == 241 and twin["fills"] > 0 and twin["source"] == ["synthetic"]
    hook, killed = killer(4, kills=4)
    run = processes(tmp_path, each_turn=hook, pipeline__restart_budget=100, **MARKET)
    assert set(killed) == set(ROLES) and run["restarts"] == len(killed)
    assert run["digest"] == twin["digest"] and run["messages"] == twin["messages"] and run["exit_state"] == "DONE"


@pytest.mark.alone
@pytest.mark.slow
def test_under_the_realtime_clock_it_is_paced_like_a_recording(tmp_path):
    run = processes(tmp_path, run__clock="realtime", run__speed=4, **MARKET)
    assert run["exit_state"] == "DONE" and run["messages"]["prediction"] == 241
