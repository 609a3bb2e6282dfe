"""What latency costs, from the real pipeline: a generated market, the divergence strategy, orders d steps late (oracles 6).

With a step of sigma s and a market that is k steps late, D is N(0, s sqrt(k)). Of the decisions 2 (1 - Phi(z)) trigger,
z = T / (s sqrt(k)); a trade that comes d steps late and leaves at convergence captures E|D| (k - d) / k. Each trade is read
from its two fills in the database. Trades overlap, so standard errors are those of blocks of trades.
"""

import math
import sqlite3
from decimal import Decimal

import numpy as np
import pytest

from tests.process.pipeline import backtest, processes

pytestmark = pytest.mark.timeout(290)

STEP_NS = 50_000_000
S, T = 0.001, 0.003
MARKET = {  # a quiet book, a fine grid: what is measured is the lag
    "run__source": "synthetic",
    "strategy__name": "divergence",
    "risk__limits": "none",
    "sim__fee_bps": 0,
    "sim__book__depth_hz": 0,
    "sim__book__cancel_hz": 0,
    "sim__book__trade_hz": 0,
    "sim__book__levels": 2,
    "sim__book__level_size": Decimal(10_000),
    "instruments__synthetic__BTCUSDT__tick": Decimal("0.0001"),
    "instruments__synthetic__BTCUSDT__lot": Decimal("0.001"),
    "strategy__params__max_position_size": Decimal(1_000),
    "strategy__params__order_size_fraction": Decimal("0.01"),
}


def phi(z):
    return math.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def tail(z):
    return 0.5 * math.erfc(z / math.sqrt(2))


def law(k, d):
    """(trigger rate, captured share of the price)."""
    sigma = S * math.sqrt(k)
    z = T / sigma
    return 2 * tail(z), sigma * phi(z) / tail(z) * (k - d) / k


def settings(k, d, seed, seconds):
    return MARKET | {
        "run__seed": seed,
        "sim__duration_s": seconds,
        "sim__market_lag_ms": 50 * k,
        "broker__entry_latency_ns": d * STEP_NS + 1_000_000,
    }


def trades_of(run):
    """(what each trade captured, a share of the price with the spread given back, in order; how many entries there were).

    A trade's close is decided exactly its holding time after its entry's decision, and no two entries are decided at once.
    """
    query = (
        "SELECT created_ns, side, closes, 1.0 * filled_value / filled_lots, reported_ns FROM orders WHERE filled_lots > 0"
        " ORDER BY seq"
    )
    with sqlite3.connect(run["database"]) as database:
        rows = database.execute(query).fetchall()
    entries = [(t, 1 if side == "BUY" else -1, px, known) for t, side, closes, px, known in rows if not closes]
    by_time = {t: (-1 if side == "BUY" else 1, px) for t, side, closes, px, _ in rows if closes}
    found = []
    for t, sign, px, known in entries:
        due = max(t + run["hold_ns"], known)  # what is not filled by then is closed once it is
        if due in by_time:
            other_sign, close_px = by_time[due]
            assert other_sign == sign
            found.append(sign * (close_px - px) / px + 2 / px)  # a spread of two ticks, half of it each time
    return np.array(found), len(entries)


def error_of(values, blocks=40):
    """Standard error of the mean of overlapping values."""
    size = len(values) // blocks
    means = values[: size * blocks].reshape(blocks, size).mean(axis=1)
    return means.std(ddof=1) / math.sqrt(blocks)


def measured(tmp_path, k, d, seed, seconds):
    run = backtest(tmp_path, f"k{k}d{d}s{seed}", **settings(k, d, seed, seconds))
    assert run["exit_state"] == "DONE" and not run["orders"]["rejected"], run["orders"]
    return trades_of(run | {"hold_ns": k * STEP_NS})


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.parametrize(("k", "d"), [(2, 0), (2, 1), (2, 2), (4, 0), (4, 1), (4, 2), (4, 3), (4, 4)])
def test_what_is_captured_falls_with_every_step_of_delay(tmp_path, k, d):
    seconds = 7_000 if k == 2 else 2_000
    captured, triggers = measured(tmp_path, k, d, 1, seconds)
    rate, wanted = law(k, d)
    decisions = seconds * 20 + 1
    assert len(captured) >= triggers - k - d > 1_000
    assert abs(captured.mean() - wanted) < 3 * error_of(captured), (captured.mean() * 1e4, wanted * 1e4)
    assert error_of(captured) < 0.0003, "or it would prove nothing"
    cluster = 2 * k  # triggers come in clusters of that many decisions at most
    assert abs(triggers / decisions - rate) < 3 * math.sqrt(rate * cluster / decisions)


def test_a_delay_of_the_whole_lag_captures_nothing_and_none_nearly_all(tmp_path):
    """The everyday part: few trades, so only what is far apart."""
    at_once, late = (measured(tmp_path, 4, d, 3, 200)[0] for d in (0, 4))
    assert abs(at_once.mean() - law(4, 0)[1]) < 4 * error_of(at_once, 10) and at_once.mean() > 0.003
    assert abs(late.mean()) < 4 * error_of(late, 10)


@pytest.mark.parametrize("lag_ms", [99])
def test_a_lag_between_two_steps_is_not_one_of_them(tmp_path, lag_ms):
    """99 ms at a decision every 50: a decision at P(k) sees the market at P(k - 2), and none of them is on time."""
    given = settings(2, 0, 5, 120) | {"sim__market_lag_ms": lag_ms, "strategy__divergence__hold_ms": 100}
    run = backtest(tmp_path, **given)
    captured, triggers = trades_of(run | {"hold_ns": 2 * STEP_NS})
    assert triggers > 30 and captured.mean() > 0.002
    none = backtest(tmp_path, "none", **given | {"sim__market_lag_ms": 0})
    assert none["orders"]["submitted"] == 0, "without a lag there is no divergence"


@pytest.mark.alone
@pytest.mark.slow
def test_one_process_and_five_have_the_same_digest(tmp_path):
    given = settings(3, 1, 7, 20) | {"sim__book__depth_hz": 100, "sim__book__trade_hz": 20, "risk__limits": "enforced"}
    twin = backtest(tmp_path, **given)
    assert twin["fills"] > 10
    assert processes(tmp_path, **given)["digest"] == twin["digest"]
