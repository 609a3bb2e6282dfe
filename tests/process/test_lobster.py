"""Order-level data with the exact place in the queue: one process, five, and killed ones have the same digest."""

import random

import pytest

from tests.process.pipeline import backtest, processes
from tests.process.test_pipeline import killer
from tests.unit.broker.orderqueues import Queues

pytestmark = pytest.mark.timeout(280)

MIDDLE = 1_000_000  # price in units of 1e-4; a cent is 100 of them
DAY_NS = 1_340_236_800 * 10**9


def order_flow(path, rows=6_000, seed=5):
    """A session of orders at five prices a side: new ones, cancelled ones, and the best level's first one executed."""
    chance, queues, lines, number = random.Random(seed), Queues(), [], 1_000
    for k in range(rows):
        side = chance.choice((1, 2))
        prices = queues.prices(side)
        direction = 1 if side == 1 else -1
        if k < 60 or len(prices) < 3 or chance.random() < 0.42:
            number += chance.randint(1, 5)
            away = chance.choice((1, 1, 1, 2, 2, 3, 4, 5))
            px, lots, kind, which = MIDDLE - direction * 100 * away, 10 * chance.randint(1, 12), 1, number
            queues.add(side, px, which, lots)
        else:
            kind = chance.choice((2, 3, 3, 4, 4, 4))
            px = prices[0] if kind == 4 else chance.choice(prices)
            which = queues.numbers(side, px)[0] if kind == 4 else chance.choice(queues.numbers(side, px))
            there = queues.lots(side, px, which)
            lots = there if kind == 3 or chance.random() < 0.5 else chance.randint(1, there)
            queues.take(side, px, which, lots)
        time = f"{34_200 + k // 100}.{k % 100:02d}{chance.randint(0, 9_999_999):07d}"
        lines.append(f"{time},{kind},{which},{lots},{px},{direction}")
    path.write_text("\n".join(lines))


def schedule(path):
    """Orders at the best prices and behind them, some of them cancelled."""
    lines = ["time_ns,side,price,qty,type,tif,cancel_after_ns"]
    for k in range(100):
        side, price = (("buy", 99.99), ("sell", 100.01), ("buy", 99.98), ("sell", 100.02))[k % 4]
        at = DAY_NS + 34_201 * 10**9 + k * 550_000_000
        lines.append(f"{at},{side},{price:.2f},{20 + k % 7},limit,post_only,{(2, 5, 9)[k % 3] * 10**9}")
    path.write_text("\n".join([*lines, ""]))


def test_one_process_five_and_killed_ones_have_the_same_digest_and_another_one_than_an_estimate(tmp_path):
    order_flow(tmp_path / "ACME_2012-06-21_m.csv")
    schedule(tmp_path / "orders.csv")
    given = {
        "run__source": f"lobster:{tmp_path / 'ACME_2012-06-21_m.csv'}",
        "strategy__name": f"scripted:{tmp_path / 'orders.csv'}",
        "risk__limits": "none",
        "strategy__params__max_position_size": 10_000,
        "strategy__risk_limits__max_order_size": 100,
    }
    exact = {**given, "broker__queue_model": "fifo"}
    twin, estimate = backtest(tmp_path, **exact), backtest(tmp_path, "estimate", **given)
    assert twin["fills"] > 20 and twin["exchange"]["queue"] == "fifo"
    assert twin["digest"] != estimate["digest"]
    hook, killed = killer(4, kills=3)
    run = processes(tmp_path, each_turn=hook, pipeline__restart_budget=100, **exact)
    assert run["exit_state"] == "DONE" and run["restarts"] == len(killed) > 0
    for key in ("digest", "exchange", "orders", "fills", "cash"):
        assert run[key] == twin[key], key
