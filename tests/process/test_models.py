"""The central law with drawn latencies and a probability queue: one process and five have the same digest."""

from decimal import Decimal

import pytest

from tests.process.pipeline import backtest, processes

pytestmark = [pytest.mark.timeout(280), pytest.mark.alone]

DRAWN = {
    "strategy__params__min_confidence": 0,  # orders rest long enough for their place in the queue to matter
    "broker__latency_model": "jitter",
    "broker__entry_latency_ns": 1,  # the least bound there is: who waits for the other waits longest
    "broker__response_latency_ns": 1,
    "broker__entry_jitter_ns": 40_000_000,
    "broker__response_jitter_ns": 30_000_000,
    "broker__queue_model": "power",
    "broker__queue_exponent": Decimal("16"),
}


def test_processes_and_backtest_draw_the_same_latencies_and_the_same_places(tmp_path):
    twin, run = backtest(tmp_path, **DRAWN), processes(tmp_path, **DRAWN)
    assert run["exit_state"] == "DONE" and run["restarts"] == 0 and run["fills"] > 0
    assert run["digest"] == twin["digest"]
    for key in ("exchange", "orders", "fills", "cash", "fees"):
        assert run[key] == twin[key], key
    usual = backtest(tmp_path, "usual", strategy__params__min_confidence=0)
    assert usual["digest"] != twin["digest"] and usual["exchange"] != twin["exchange"]
