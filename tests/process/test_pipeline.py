"""The central law: the digest of one process is that of the processes, whatever happens to them."""

import json
import os
import random
import signal
import sqlite3
from pathlib import Path

import pytest

from procs.topology import ROLES
from ringsim.control import S_INPUTS, S_STATE, Stage, StageState, block, stage_of
from ringsim.lifecycle import Lifecycle
from tests.process.pipeline import backtest, processes

pytestmark = pytest.mark.timeout(280)


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    """The backtest of the shipped minute."""
    return backtest(tmp_path_factory.mktemp("twin"))


def test_the_shipped_minute_trades(twin):
    assert twin["signals"] > 0 and twin["orders"]["accepted"] > 0 and twin["fills"] > 0
    assert twin["messages"] == {"other": 0, "depth": 600, "trade": 1381, "bookTicker": 5360, "snapshot": 1, "bad": 0}
    assert twin["exit_state"] == "DONE" and twin["feed"]["gaps"] == 0


@pytest.mark.alone  # nobody may be late: it asks for a lifecycle without DEGRADED
def test_processes_and_backtest_have_the_same_digest(twin, tmp_path):
    run = processes(tmp_path)
    assert run["digest"] == twin["digest"]
    for key in (
        "messages",
        "feed",
        "events_published",
        "signals",
        "orders",
        "fills",
        "position",
        "cash",
        "equity",
        "fees",
    ):
        assert run[key] == twin[key], key
    assert run["exit_state"] == "DONE" and run["restarts"] == 0
    assert [state for _, state, _ in run["lifecycle"]] == ["WARMUP", "READY"]


def killer(seed, kills, *, seen_dead=False, roles=ROLES):
    """Kill random stages, each kill after more inputs of that stage; returns the hook and what it killed.

    seen_dead: none is killed before the parent has seen that the last one is dead, which takes a busy machine a while.
    """
    chance, killed, seen, pids = random.Random(seed), [], {}, []

    def each_turn(parent):
        if parent.lifecycle is not Lifecycle.READY or len(killed) >= kills:
            return
        if seen_dead and any(child.pid in pids for child in parent.children.values()):
            return
        role = roles[len(killed) % len(roles)]
        child = next((c for c in parent.children.values() if c.role == role), None)
        at = block(stage_of(role))
        inputs = int(parent.segments.control[at + S_INPUTS])
        if child and inputs > seen.get(role, 0) + chance.randrange(40):
            seen[role] = inputs
            killed.append(role)
            pids.append(child.pid)
            os.kill(child.pid, signal.SIGKILL)

    return each_turn, killed


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_killed_stages_change_nothing(twin, tmp_path, seed):
    hook, killed = killer(seed, kills=8)
    run = processes(tmp_path, each_turn=hook, pipeline__restart_budget=100)
    assert set(killed) == set(ROLES) and len(killed) >= 6, f"seed {seed}: only {killed}"
    assert run["digest"] == twin["digest"], f"seed {seed}: {killed}"
    assert run["exit_state"] == "DONE" and run["restarts"] == len(killed)
    states = [state for _, state, _ in run["lifecycle"]]
    assert states[:2] == ["WARMUP", "READY"] and states[-1] == "READY" and "DEGRADED" in states


def test_a_stopped_stage_is_found_killed_and_replaced(twin, tmp_path):
    stopped = []

    def each_turn(parent):
        if parent.lifecycle is Lifecycle.READY and not stopped:
            child = next(c for c in parent.children.values() if c.role == "strategy")
            if int(parent.segments.control[block(Stage.STRATEGY) + S_INPUTS]) > 50:
                stopped.append(child.pid)
                os.kill(child.pid, signal.SIGSTOP)

    run = processes(tmp_path, each_turn=each_turn)
    assert run["digest"] == twin["digest"] and run["restarts"] == 1 and stopped


@pytest.mark.parametrize("whom", [*ROLES, "launcher"])
def test_who_is_killed_before_the_run_is_ready_is_replaced(twin, tmp_path, whom):
    """Ready is what the run becomes all the same; a run that is resumed would lose what it was."""
    killed = []

    def kill(parent):
        if parent.lifecycle is not Lifecycle.WARMUP or killed:
            return
        if whom == "launcher":
            killed.append(parent.launcher.pid)
        killed.extend(child.pid for child in parent.children.values() if child.role == whom)
        if killed:
            os.kill(killed[0], signal.SIGKILL)

    run = processes(tmp_path, each_turn=kill)
    assert killed and run["digest"] == twin["digest"] and run["restarts"] == 1
    assert [state for _, state, _ in run["lifecycle"]] == ["WARMUP", "READY"]
    assert run["lifecycle"][-1][2] == "every stage is warm; replaced meanwhile: 1"


def test_a_spent_restart_budget_ends_the_run_with_its_reason(tmp_path):
    hook, killed = killer(3, kills=9, seen_dead=True)
    run = processes(tmp_path, each_turn=hook, pipeline__restart_budget=2)
    assert len(killed) == 3 and run["exit_state"] == "FAILED" and "restart budget" in run["failure"]
    left = json.loads(Path(run["terminal"]).read_text())
    assert left["failure"] == run["failure"] and (left["state"], left["trading"]) == ("DEGRADED", "HALTED")
    assert left["lifecycle"] == run["lifecycle"] and left["lifecycle"][-1][1] == "DEGRADED"
    assert [loss["stage"] for loss in left["losses"]] == killed and left["losses"][-1]["back_ns"] == 0
    assert set(left["stages"]) == set(ROLES) and set(left["rings"]) == {"market", "orders", "reports"}
    dead = left["stages"][killed[-1]]
    assert dead["generation"] == 1 + killed[:-1].count(killed[-1]) and dead["silent_ms"] >= 0
    assert {k: left["account"][k] for k in ("position", "cash", "fills")} == {
        k: json.loads(json.dumps(run[k], default=float)) for k in ("position", "cash", "fills")
    }
    assert left["inputs_beyond_the_account"] >= 0 and isinstance(left["open_orders"], list)


def test_a_stop_drains_and_ends_in_good_order(tmp_path):
    def each_turn(parent):
        if parent.lifecycle is Lifecycle.READY and int(parent.segments.control[block(Stage.INGEST) + S_INPUTS]) > 300:
            parent.stop("the test says so")

    run = processes(tmp_path, each_turn=each_turn, run__clock="realtime", run__speed=20)
    assert run["exit_state"] == "DONE" and 300 < run["messages_taken"] < 7342
    with sqlite3.connect(run["database"]) as database:
        stored = dict(database.execute("SELECT ring, count(*) FROM ring_records GROUP BY ring"))
    assert stored == {name: run["rings"][name]["published"] for name in ("orders", "reports")}


def test_a_kill_switch_under_the_simulated_clock_is_an_input_like_any_other(tmp_path):
    asked = []

    def each_turn(parent):
        if parent.lifecycle is Lifecycle.READY and not asked:
            asked.append(parent.command({"command": "kill", "why": "test"}))

    run = processes(tmp_path, each_turn=each_turn)
    assert run["exit_state"] == "HALTED" and len(run["commands"]) == 1
    again = backtest(tmp_path, commands=run["commands"])
    assert again["digest"] == run["digest"]


@pytest.mark.parametrize("messages", [1, pytest.param(1500, marks=pytest.mark.slow), 6000])
def test_a_stopped_simulated_run_can_be_repeated(tmp_path, messages):
    """Where the feed ended, and that it was told to, is part of the result: the backtest of a stopped run has its digest."""

    def each_turn(parent):
        taken = int(parent.segments.control[block(Stage.INGEST) + S_INPUTS])
        if parent.lifecycle is Lifecycle.READY and taken > messages:
            parent.stop("the test says so")

    run = processes(tmp_path, each_turn=each_turn, pipeline__slice_us=100)
    assert run["stopped"] and messages < run["messages_taken"] < 7342
    again = backtest(tmp_path, messages=run["messages_taken"], stopped=True)
    assert again["digest"] == run["digest"]


def test_a_stop_that_comes_after_the_feed_has_ended_changes_nothing(twin, tmp_path):
    run = processes(tmp_path, each_turn=lambda parent: parent.stop("too late") if _fed(parent) else None)
    assert run["digest"] == twin["digest"] and not run["stopped"]


def _fed(parent):
    """Whether ingest has nothing more to do."""
    return int(parent.segments.control[block(Stage.INGEST) + S_STATE]) == StageState.DONE


def test_rings_too_small_for_the_latencies_are_named_and_not_sat_out(tmp_path):
    """The strategy needs the market beyond a report's latency, which a ring in the middle of a snapshot cannot give it."""
    run = processes(
        tmp_path, strategy__performance__market_channel_size=1024, broker__response_latency_ns=999_999
    )  # fmt: skip
    assert run["exit_state"] == "FAILED" and "market_channel_size" in run["failure"]
