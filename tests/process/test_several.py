"""Several strategies as processes: the digest of one process, whatever happens to any of them."""

import sqlite3
from contextlib import closing

import pytest

from procs.topology import Plan
from ringsim.market.capture import prepare
from ringsim.market.source import sample_path
from tests.process.pipeline import backtest, processes
from tests.process.test_pipeline import killer

pytestmark = [pytest.mark.timeout(600), pytest.mark.alone]

HEADER = "time_ns,side,price,qty,type,tif,cancel_after_ns"
THREE = ("strategy", "strategy-1", "strategy-2")


@pytest.fixture(scope="module")
def strategies(tmp_path_factory):
    """The program's own between two lists of market orders, some of them at the same times."""
    start, folder = prepare([sample_path()]).meta.first_recv_ns, tmp_path_factory.mktemp("schedules")
    for name, every_ms, count in (("often", 400, 130), ("seldom", 1_000, 50)):
        rows = [
            f"{start + 4_000_000_000 + k * every_ms * 1_000_000},{'buy' if k % 2 else 'sell'},,0.0004,market,ioc,"
            for k in range(count)
        ]
        (folder / f"{name}.csv").write_text("\n".join([HEADER, *rows, ""]))
    return {"strategy__name": [f"scripted:{folder}/often.csv", "imbalance", f"scripted:{folder}/seldom.csv"]}


@pytest.fixture(scope="module")
def twin(tmp_path_factory, strategies):
    """The backtest."""
    return backtest(tmp_path_factory.mktemp("twin"), **strategies)


def test_all_three_trade(twin):
    assert min(share["fills"] for share in twin["strategies"]) > 10 and twin["exit_state"] == "DONE"


def test_processes_and_backtest_have_the_same_digest(twin, tmp_path, strategies):
    run = processes(tmp_path, **strategies)
    assert run["digest"] == twin["digest"]
    for key in ("signals", "orders", "strategies", "fills", "position", "cash", "equity", "fees"):
        assert run[key] == twin[key], key
    assert run["exit_state"] == "DONE" and run["restarts"] == 0
    assert set(run["rings"]) == {"market", "orders", "reports", "orders-0", "orders-1", "orders-2"}


def test_a_market_in_which_much_happens_at_one_time_gives_the_same_digest(tmp_path):
    """Everything is a multiple of a millisecond there: reports, orders and events meet at the same times."""
    settings = {"run__source": "synthetic", "strategy__name": ["imbalance", "divergence", "imbalance"]}
    found = backtest(tmp_path, **settings)
    assert found["fills"] > 100
    for k in range(3):
        assert processes(tmp_path, f"run{k}", **settings)["digest"] == found["digest"]


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def test_killed_stages_change_nothing(twin, tmp_path, strategies, seed):
    """Each of the seven in its turn, the two strategies more and what merges among them."""
    roles = ("ingest", *THREE, "merge", "execution", "persistence")
    hook, killed = killer(seed, kills=14, roles=roles)
    run = processes(tmp_path, each_turn=hook, pipeline__restart_budget=100, **strategies)
    assert run["failure" if "failure" in run else "digest"] in (None, twin["digest"])
    assert run["digest"] == twin["digest"], f"seed {seed}, killed {killed}"
    assert set(killed) == set(roles) and run["restarts"] == len(killed)
    for key in ("orders", "strategies", "fills", "equity"):
        assert run[key] == twin[key], key
    assert Plan.load(tmp_path / "processes" / "plan.json").roles == roles


def test_in_real_time_every_record_is_answered_once(tmp_path, strategies):
    run = processes(tmp_path, run__clock="realtime", run__speed=20, **strategies)
    assert run["exit_state"] == "DONE" and run["market_lost"] == 0
    assert min(share["orders"] for share in run["strategies"]) > 0 < run["fills"]
    with closing(sqlite3.connect(run["database"])) as database:
        (sent,) = database.execute("SELECT count(*) FROM ring_records WHERE ring = 'orders'").fetchone()
        assert (
            sent
            == sum(run["rings"][f"orders-{k}"]["published"] for k in range(3))
            == run["rings"]["orders"]["published"]
        )
        (open_orders,) = database.execute("SELECT count(*) FROM orders WHERE status IN ('PENDING', 'OPEN')").fetchone()
        assert open_orders == 0
        gains = dict(database.execute("SELECT strategy_id, equity - start_cash FROM positions"))
    account = gains.pop("account")
    assert sum(gains.values()) == account
