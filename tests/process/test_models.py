"""The central law with each model that is not the usual one: one process and five have the same digest."""

import sqlite3
from decimal import Decimal

import numpy as np
import pytest

from procs.latencies import write_latencies
from procs.record import begin
from procs.topology import HOPS
from ringsim.config import load
from ringsim.market.capture import prepare
from ringsim.market.source import sample_path
from ringsim.telemetry.histogram import HISTOGRAM, observe
from tests.process.pipeline import backtest, prepared, processes

pytestmark = pytest.mark.timeout(280)

NEAR, FAR = 2_000_000, 80_000_000
SLACK = 250_000_000  # the first order comes some time after the feed began

EAGER = {"strategy__params__min_confidence": 0}  # orders rest long enough for their place in the queue to matter
DRAWN = EAGER | {
    "broker__latency_model": "jitter",
    "broker__entry_latency_ns": 1,  # the least bound there is: who waits for the other waits longest
    "broker__response_latency_ns": 1,
    "broker__entry_jitter_ns": 40_000_000,
    "broker__response_jitter_ns": 30_000_000,
    "broker__queue_model": "power",
    "broker__queue_exponent": Decimal("16"),
}


def drawn(folder):
    return DRAWN


def rows(folder):
    """Measured latencies over the shipped minute, 1 ns at the least."""
    first = prepare([sample_path()]).meta.first_recv_ns
    lines = ["request_ns,exchange_ns,response_ns"]
    for k in range(200):
        request = first + k * 300_000_000
        exchange = request + 1 + k * 17 % 23 * 1_500_000
        lines.append(f"{request},{exchange},{exchange + 1 + k * 11 % 19 * 1_500_000}")
    (folder / "rows.csv").write_text("\n".join(lines))
    return EAGER | {"broker__latency_model": "rows", "broker__latency_rows": str(folder / "rows.csv")}


def measured(folder):
    """Hop latencies as a run records them: from 0 to 70 ms."""
    hops = np.zeros(len(HOPS), HISTOGRAM).view(np.recarray)
    for k in range(500):
        observe(hops[HOPS.index("tick_to_order")], k * 37 % 71 * 1_000_000)
        observe(hops[HOPS.index("order_hop")], k * 53 % 41 * 1_000_000)
    begun = prepared(folder, "measured")
    begin(load(), begun, [])
    write_latencies(begun.folder, hops, HOPS)
    return EAGER | {"broker__latency_model": "measured", "broker__latency_run": str(begun.folder)}


def volatility(folder):
    """A millisecond and a fifth of one for each tenth of a basis point."""
    return EAGER | {
        "broker__latency_model": "volatility",
        "broker__volatility_ns_per_bps": 2_000_000,
        "broker__volatility_most_ns": 60_000_000,
    }


def slippage(folder):
    """Takers pay three basis points more."""
    return EAGER | {"broker__slippage_model": "bps", "broker__slippage_bps": Decimal(3)}


def rate(folder):
    """The venue takes two orders a second."""
    return EAGER | {
        "broker__rate_limit_model": "windows",
        "broker__rate_limit_orders": 2,
        "broker__rate_limit_s": 1,
    }


def adverse(folder):
    """Others have seven in ten of the trades at a level that holds, in a market of large ticks and deep levels."""
    market = {
        "run__source": "synthetic",
        "sim__duration_s": 20,
        "sim__sigma": Decimal("0.0001"),
        "sim__book__level_size": 1,
        "sim__book__trade_size": Decimal("0.05"),
        "sim__book__trade_hz": 50,
    }
    return EAGER | market | {"broker__adverse_fills": True, "broker__adverse_pct": 70}


OTHERS = rows, volatility, slippage, rate, adverse


@pytest.mark.parametrize("model", [drawn, measured, *(pytest.param(m, marks=pytest.mark.slow) for m in OTHERS)])
def test_processes_and_backtest_draw_the_same_latencies_and_the_same_places(tmp_path, model):
    settings = model(tmp_path)
    twin, run = backtest(tmp_path, **settings), processes(tmp_path, **settings)
    assert run["exit_state"] == "DONE" and run["restarts"] == 0 and run["fills"] > 0
    assert run["digest"] == twin["digest"]
    for key in ("exchange", "orders", "fills", "cash", "fees"):
        assert run[key] == twin[key], key
    usual = backtest(tmp_path, "usual", **{k: v for k, v in settings.items() if not k.startswith("broker__")})
    assert usual["digest"] != twin["digest"] and usual["exchange"] != twin["exchange"]


@pytest.mark.alone
def test_under_the_realtime_clock_rows_are_found_by_the_feeds_clock(tmp_path):
    first, step = prepare([sample_path()]).meta.first_recv_ns, 30_000_000_000
    lines = [
        f"{first + at},{first + at + ns},{first + at + 2 * ns}" for at, ns in ((0, NEAR), (step - 1, NEAR), (step, FAR))
    ]
    (tmp_path / "rows.csv").write_text("\n".join(["request_ns,exchange_ns,response_ns", *lines]))
    settings = {"broker__latency_model": "rows", "broker__latency_rows": str(tmp_path / "rows.csv")}
    run = processes(tmp_path, run__clock="realtime", run__speed=20, **settings)
    assert run["exit_state"] == "DONE" and run["restarts"] == 0
    with sqlite3.connect(run["database"]) as database:
        found = database.execute(
            "SELECT created_ns, acted_ns - created_ns FROM orders WHERE acted_ns > 0 ORDER BY 1"
        ).fetchall()
    began = found[0][0]
    near = [ns for at, ns in found if at < began + step // 20 - SLACK]
    far = [ns for at, ns in found if at > began + step // 20 + SLACK]
    assert near and NEAR <= min(near) < FAR <= min(far), "the second half of the minute is far away"
