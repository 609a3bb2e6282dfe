"""A scripted run is the same run in one process, in five, and with stages that are killed; its schedule is part of it."""

import os
import signal
import sqlite3

import pytest

from ringsim.control import S_INPUTS, Stage, block
from ringsim.lifecycle import Lifecycle
from ringsim.market.capture import prepare
from ringsim.market.eventfile import to_event_file, write_event_file
from ringsim.market.feed import fold_capture
from ringsim.market.source import sample_path
from tests.process.pipeline import backtest, processes
from tests.unit.market.eventfiles import apart

pytestmark = pytest.mark.timeout(280)

HEADER = "time_ns,side,price,qty,type,tif,cancel_after_ns"


@pytest.fixture
def schedule(tmp_path):
    """Orders of every kind over the shipped minute, the first before there is a book; and their times."""
    first_ns = prepare([sample_path()]).meta.first_recv_ns
    times = [first_ns - 1_000_000, *(first_ns + k * 500_000_007 for k in range(1, 100))]
    kinds = ("buy,,0.001,market,ioc,", "sell,61000.00,0.002,limit,ioc,", "buy,61800.00,0.003,limit,gtc,700000000",
             "sell,61900.00,0.004,limit,post_only,300000000", "sell,,0.001,market,fok,")  # fmt: skip
    path = tmp_path / "orders.csv"
    path.write_text("\n".join([HEADER, *(f"{t},{kinds[k % len(kinds)]}" for k, t in enumerate(times)), ""]))
    return path, times


def created(run):
    """When the orders of a run went out, refused ones among them."""
    with sqlite3.connect(run["database"]) as database:
        return [
            t
            for (t,) in database.execute("SELECT created_ns FROM orders WHERE kind IN ('NEW', 'REFUSED') ORDER BY seq")
        ]


def test_one_process_five_and_killed_ones_have_the_same_digest(schedule, tmp_path):
    path, times = schedule
    given = {"strategy__name": f"scripted:{path}"}
    twin = backtest(tmp_path, **given)
    assert created(twin) == times and twin["fills"] > 20 and twin["orders"]["rejected"]["NO_BOOK"] == 1
    killed, seen = [], 0

    def each_turn(parent):
        nonlocal seen
        child = next((c for c in parent.children.values() if c.role == "strategy"), None)
        inputs = int(parent.segments.control[block(Stage.STRATEGY) + S_INPUTS])
        alive = parent.lifecycle is Lifecycle.READY and child and child.pid not in killed  # its end takes a moment
        if alive and len(killed) < 3 and inputs > seen + 20:
            seen = inputs
            killed.append(child.pid)
            os.kill(child.pid, signal.SIGKILL)

    run = processes(tmp_path, each_turn=each_turn, **given)
    assert run["digest"] == twin["digest"] and run["orders"] == twin["orders"] and run["restarts"] == len(killed) > 0


@pytest.mark.alone
@pytest.mark.slow
def test_an_event_file_in_which_rows_overtake_each_other_gives_the_same_digest_in_five_processes(schedule, tmp_path):
    """Also when ingest, which alone reads the file, is killed."""
    path, _ = schedule
    capture = prepare([sample_path()])
    file = tmp_path / "minute.npz"
    write_event_file(file, apart(to_event_file(fold_capture(capture)[0], capture.meta.instrument), 7))
    given = {"strategy__name": f"scripted:{path}", "run__source": f"events:{file}"}
    twin = backtest(tmp_path, **given)
    assert twin["fills"] > 20
    killed = []

    def each_turn(parent):
        child = next((c for c in parent.children.values() if c.role == "ingest"), None)
        inputs = int(parent.segments.control[block(Stage.INGEST) + S_INPUTS])
        if parent.lifecycle is not Lifecycle.READY or child is None or child.pid in killed or len(killed) == 3:
            return
        if inputs > 500 * (1 + len(killed)):
            killed.append(child.pid)
            os.kill(child.pid, signal.SIGKILL)

    run = processes(tmp_path, each_turn=each_turn, **given)
    assert run["digest"] == twin["digest"] and run["restarts"] == len(killed) > 0


@pytest.mark.alone
@pytest.mark.slow
def test_under_the_realtime_clock_orders_go_out_at_their_times_of_the_feed(schedule, tmp_path):
    path, times = schedule
    run = processes(tmp_path, strategy__name=f"scripted:{path}", run__clock="realtime", run__speed=10)
    sent = created(run)
    assert len(sent) == len(times) and run["orders"]["accepted"] > 50 and run["exit_state"] == "DONE"
    planned = [(t - times[1]) / 10 for t in times[1:]]
    early = [t - sent[1] - p for t, p in zip(sent[1:], planned, strict=True)]
    assert min(early) >= min(0, -planned[0]) - 500_000_000  # the first one itself may have been late
