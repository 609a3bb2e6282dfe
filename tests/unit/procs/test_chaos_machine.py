"""What the injectors do to a machine, on processes and words of the tests' own."""

import logging
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from procs.chaos import storm
from procs.chaos.machine import MACHINE, ClockSetter, LedgerDamager, Poison, Raiser
from procs.chaos.scenario import Options
from procs.chaos.starve import Starver
from procs.wall import set_wall_clock
from procs.watchdog import process_state
from ringsim.broker.state import BROKER_STATE
from ringsim.control import (
    CONTROL_WORDS,
    P_WALL_STEP_S,
    S_HEARTBEAT_NS,
    S_INPUTS,
    S_TRAP,
    S_TRAP_AT,
    S_TRAP_HOW,
    S_WALL_STEP_S,
    Stage,
    block,
)
from ringsim.errors import InjectedFault
from ringsim.fold.commit import copies_size, open_copies
from ringsim.fold.trap import FOLDED, FOLDING, How, Point, trap
from ringsim.ledger import LEDGER
from ringsim.lifecycle import Lifecycle

YEAR_S = 31_536_000


def parent(**more):
    """As much of a Supervisor as an injector looks at."""
    segments = SimpleNamespace(control=np.zeros(CONTROL_WORDS, np.int64))
    given = {"segments": segments, "lifecycle": Lifecycle.READY, "children": {}, "restarts": 0, "failure": None}
    return SimpleNamespace(**given | {"finished": False} | more)


def says(run, stage, inputs):
    run.segments.control[block(stage) + S_INPUTS] = inputs


@pytest.fixture
def sleeper():
    """A process that does nothing."""
    process = subprocess.Popen([sys.executable, "-ISc", "import time; time.sleep(60)"])
    pidfd = os.pidfd_open(process.pid)
    yield SimpleNamespace(role="execution", pid=process.pid, pidfd=pidfd)
    os.close(pidfd)
    process.kill()
    process.wait()


@pytest.fixture(autouse=True)
def _right_time():
    yield
    set_wall_clock(0)


# A trap that raises


@pytest.mark.parametrize("body", [trap, trap.py_func], ids=["compiled", "plain"])
def test_a_trap_raises_once_or_again_and_again(body):
    words, at = np.zeros(CONTROL_WORDS, np.int64), block(Stage.STRATEGY)
    words[at + S_TRAP], words[at + S_TRAP_AT], words[at + S_TRAP_HOW] = Point.FOLDING, 10, How.RAISES
    body(words, at, FOLDING, np.int64(9))
    body(words, at, FOLDED, np.int64(10))
    with pytest.raises(InjectedFault, match="exception was injected"):
        body(words, at, FOLDING, np.int64(10))
    body(words, at, FOLDING, np.int64(11))
    words[at + S_TRAP], words[at + S_TRAP_HOW] = Point.FOLDING, How.RAISES_AGAIN
    for inputs in (10, 10, 12):
        with pytest.raises(InjectedFault):
            body(words, at, FOLDING, np.int64(inputs))


def test_a_raiser_sets_the_next_trap_when_one_has_fired():
    run, at = parent(), block(Stage.STRATEGY)
    raiser = Raiser("strategy", 2, 1, (5, 5))
    words = run.segments.control
    for n in range(2):
        raiser.each_turn(run)
        assert words[at + S_TRAP] == Point.FOLDING and words[at + S_TRAP_HOW] == How.RAISES and len(raiser.strikes) == n
        says(run, Stage.STRATEGY, int(words[at + S_TRAP_AT]))
        words[at + S_TRAP] = 0  # it fired
    raiser.each_turn(run)
    assert words[at + S_TRAP] == 0 and [s.what for s in raiser.strikes] == ["exception"] * 2


def test_poison_stays_and_every_death_by_it_is_a_strike():
    run, at = parent(), block(Stage.PERSISTENCE)
    poison = Poison("persistence", 1, (5, 5))
    poison.each_turn(run)
    assert run.segments.control[at + S_TRAP] == Point.FOLDED, "persistence has no fold to raise in"
    assert run.segments.control[at + S_TRAP_HOW] == How.RAISES_AGAIN and poison.strikes == []
    run.restarts, run.failure = 3, "the budget is spent"
    poison.each_turn(run)
    assert len(poison.strikes) == 4


# Memory


@pytest.mark.parametrize("seed", range(8))
def test_one_bit_of_the_ledger_changes_in_both_copies_of_a_stage_that_goes_on(seed, sleeper):
    memory = memoryview(bytearray(copies_size(BROKER_STATE)))
    copies = open_copies(memory, BROKER_STATE)
    copies.states["ledger"] = tuple(range(100, 100 + len(LEDGER.names)))
    before = copies.words.copy()
    run = parent(children={1: sleeper})
    run.segments.copies = {"execution": copies}
    damager = LedgerDamager(seed, (50, 50))
    says(run, Stage.EXECUTION, 49)
    damager.each_turn(run)
    assert damager.strikes == [] and np.array_equal(copies.words, before)
    says(run, Stage.EXECUTION, 50)
    damager.each_turn(run)
    damager.each_turn(run)
    assert len(damager.strikes) == 1 and damager.field in damager.strikes[0].what
    changed = copies.words ^ before
    assert (changed != 0).sum(axis=1).tolist() == [1, 1] and set(changed[changed != 0]) == {1 << damager.bit}
    assert (copies.states["ledger"][damager.field] != 100 + LEDGER.names.index(damager.field)).all()
    until = time.monotonic() + 10
    while process_state(sleeper.pid)[0] and time.monotonic() < until:
        pass
    assert not process_state(sleeper.pid)[0]


# The wall clock


def test_a_wall_clock_that_is_set_moves_labels_and_nothing_else():
    before, steady = time.time(), time.monotonic()
    set_wall_clock(YEAR_S)
    assert YEAR_S - 60 < time.time() - before < YEAR_S + 60
    assert abs(time.time_ns() / 1e9 - time.time()) < 60 and time.monotonic() - steady < 60
    record = logging.LogRecord("x", logging.INFO, "", 0, "", None, None)
    assert record.created - before > YEAR_S - 60
    set_wall_clock(-YEAR_S)
    assert time.time() < before - YEAR_S + 60, "off the true time, not off the last one"
    set_wall_clock(0)
    assert abs(time.time() - before) < 60


def test_the_clock_counts_as_set_once_every_stage_goes_by_it():
    run = parent()
    words = run.segments.control
    setter = ClockSetter(2, 1, (10, 10))
    says(run, Stage.INGEST, 9)
    setter.each_turn(run)
    assert words[P_WALL_STEP_S] == 0
    says(run, Stage.INGEST, 10)
    before = time.time()
    setter.each_turn(run)
    assert words[P_WALL_STEP_S] == ClockSetter.STEPS_S[0] and time.time() - before > YEAR_S - 60
    for stage in (Stage.INGEST, Stage.STRATEGY, Stage.EXECUTION):
        words[block(stage) + S_WALL_STEP_S] = words[P_WALL_STEP_S]
    setter.each_turn(run)
    assert setter.strikes == []
    words[block(Stage.PERSISTENCE) + S_WALL_STEP_S] = words[P_WALL_STEP_S]
    setter.each_turn(run)
    setter.each_turn(run)
    assert len(setter.strikes) == 1 and words[P_WALL_STEP_S] == ClockSetter.STEPS_S[0], (
        "the next one waits for its time"
    )
    setter.close()
    assert abs(time.time() - before) < 60


# The processor


def used(process):
    """Processor time, seconds."""
    return sum(process.cpu_times()[:2])


def test_competitors_sleep_until_they_are_wanted_and_leave_nothing():
    core = min(os.sched_getaffinity(0))
    run = parent(plan=SimpleNamespace(cores={"strategy": [core]}))
    starver = Starver(["strategy"], 1, (10, 10))
    try:
        starver.each_turn(run)
        children = psutil.Process().children()
        assert starver.strikes == [] and len(children) == 3
        says(run, Stage.INGEST, 10)
        starver.each_turn(run)
        until = time.monotonic() + 30
        while min(used(child) for child in children) < 0.2 and time.monotonic() < until:
            time.sleep(0.01)
        assert all(used(child) >= 0.2 and child.cpu_affinity() == [core] for child in children)
        run.segments.control[block(Stage.STRATEGY) + S_HEARTBEAT_NS] = time.monotonic_ns()  # it was not silent
        run.finished = True
        starver.each_turn(run)
        assert psutil.Process().children() == [] and starver.strikes == []
    finally:
        starver.close()
        starver.close()


def test_a_competitor_ends_with_whoever_started_it():
    code = (
        "import os; from types import SimpleNamespace as N; from procs.chaos.starve import Starver;"
        "s = Starver(['strategy'], 1, (1, 1)); s._prepare(N(plan=N(cores={})));"
        "print(*(c.pid for c in s._competitors), flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 3 * len(os.sched_getaffinity(0))
    until = time.monotonic() + 30
    while any(map(psutil.pid_exists, pids)) and time.monotonic() < until:
        time.sleep(0.01)
    assert not any(map(psutil.pid_exists, pids))


# The feed's reader


def test_the_reader_stands_still_for_a_burst_and_a_burst_that_was_missed_is_none(sleeper, monkeypatch):
    recv_ns = np.array([1, 2, *[5] * 100, 6, *[7] * 100, 8, *[9] * 100])
    capture = SimpleNamespace(index=SimpleNamespace(recv_ns=recv_ns))
    monkeypatch.setattr(storm, "open_capture", lambda folder: capture)
    sleeper.role = "strategy"
    run = parent(children={1: sleeper}, plan=SimpleNamespace(capture_folder=""))
    injector = storm.Storm(3)

    def turn(inputs):
        says(run, Stage.INGEST, inputs)
        injector.each_turn(run)
        return len(injector.strikes)

    def stopped():
        until = time.monotonic() + 10
        while not process_state(sleeper.pid)[0] and time.monotonic() < until:
            pass
        return process_state(sleeper.pid)[0]

    assert turn(1) == 0 and not process_state(sleeper.pid)[0]
    assert turn(2) == 0 and stopped()
    assert turn(50) == 0 and turn(102) == 1, "the burst is out"
    assert turn(110) == 1 and turn(150) == 1, "the second had begun when the parent looked"
    assert turn(204) == 1 and stopped()
    monkeypatch.setattr(storm, "_AT_MOST_NS", 0)
    assert turn(205) == 1, "let go before it stalls: no strike"
    until = time.monotonic() + 10
    while process_state(sleeper.pid)[0] and time.monotonic() < until:
        pass
    assert not process_state(sleeper.pid)[0] and turn(305) == 1


# The rows


def test_the_rows_say_how_each_must_end():
    ends = {row.name: (row.ends, row.restarts(6)) for row in MACHINE}
    assert ends == {
        "exception-in-strategy": ("DONE", (6, 6)),
        "exception-again": ("FAILED", (5, 5)),
        "ledger-corrupt": ("HALTED", (0, 0)),
        "clock-step": ("DONE", (0, 0)),
        "starved-cpu": ("DONE", (0, 0)),
    }
    for row in MACHINE:
        assert row.make(Options(1, 4, None)).planned >= 1


def test_a_budget_that_ends_for_another_reason_is_no_pass():
    row = next(row for row in MACHINE if row.name == "exception-again")
    said = "strategy (pid 5) died: an exception was injected into the fold; the restart budget (5 in 30 s) is spent, "
    assert row.holds({"failure": said + "trading is halted"}, {}) == []
    assert row.holds({"failure": "strategy (pid 5) died; the restart budget is spent, trading is halted"}, {})
    assert row.holds({"failure": None}, {})
