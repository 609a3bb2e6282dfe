"""Rehearsing while waiting changes nothing but what the caches hold: not the state, not the rings, not the journal."""

import os
from contextlib import contextmanager

import msgspec
import numba
import numpy as np
import pytest

from procs.first import prepare
from procs.prepare import prepare_run
from procs.stages.execution import ExecutionStage
from procs.stages.ingest import IngestStage
from procs.stages.strategy import StrategyStage
from procs.stages.table import program
from procs.topology import Segments
from procs.warmup import _made_up_session, warm_up
from ringsim import control as c
from ringsim import kernel
from ringsim.atomics import now_ns
from ringsim.config import load
from ringsim.fold.journal import HEAD
from ringsim.fold.positions import MARKET, PEER, TIMER
from ringsim.fold.rehearsal import E_RECORD, ENTRY_WORDS, NEXT_ENTRY, rehearsal
from ringsim.records import NEVER_NS, ORDER, ControlCode, OrderKind, Trading
from ringsim.strategy.fold import STRATEGY_STATE

STAGES = {"ingest": IngestStage, "strategy": StrategyStage, "execution": ExecutionStage}
LONG_NS = 20_000_000  # many times around the script
SLICES = 50


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    return prepare_run(load(), f"rehearse{os.getpid()}", out=str(tmp_path_factory.mktemp("run") / "run")).plan


@contextmanager
def stages_of(plan, name):
    segments = Segments(msgspec.structs.replace(plan, run_id=f"{plan.run_id}.{name}"), create=True)
    try:
        prepare(segments)
        yield segments
    finally:
        segments.close()


def nothing_is_due(segments):
    """The feed begins in an hour, and who shares ingest's core waits for nothing."""
    segments.control[c.P_START_NS] = now_ns() + 3600 * 10**9
    segments.control[c.block(c.Stage.EXECUTION) + c.S_NEXT_NS] = NEVER_NS


@pytest.fixture(scope="module")
def scripts(plan):
    with stages_of(plan, "first") as segments:
        return _made_up_session(plan, IngestStage(segments).state[0].feed.book)


def test_the_made_up_session_has_what_costs_time(scripts):
    script = scripts["strategy"][0]
    streams = script.entries.reshape(-1, ENTRY_WORDS)[:, 0]
    assert {MARKET, PEER, TIMER} <= set(streams)
    before, after = (words.view(STRATEGY_STATE).view(np.recarray)[0] for words in (script.before, script.after))
    assert after.signals - before.signals >= 4 and after.decisions - before.decisions >= 20
    orders = scripts["execution"][0].entries.reshape(-1, ENTRY_WORDS)
    kinds = {int(OrderKind.NEW), int(OrderKind.CANCEL)}
    peers = orders[orders[:, 0] == PEER]
    assert len(peers) >= 10
    assert kinds <= set(np.ascontiguousarray(peers[:, E_RECORD:]).view(ORDER)["kind"].reshape(-1))


@pytest.mark.parametrize("name", STAGES)
def test_a_waiting_stage_keeps_its_state_its_journal_and_its_rings(plan, scripts, name):
    with stages_of(plan, name) as segments:
        stage = STAGES[name](segments, *scripts[name])
        nothing_is_due(segments)
        state, journal = stage.memory.copy(), segments.journals[name]
        practice = stage.practice.twin
        twin = practice.memory.copy()
        for _ in range(SLICES):  # the first looks for the compiled code; a busy machine gives others no time
            stage.slice(now_ns() + LONG_NS, 1000, 0)
            if (practice.memory != twin).any():
                break
        else:
            pytest.fail("nothing was rehearsed")
        assert (stage.memory == state).all() and journal.header[HEAD] == 0
        assert [ring.published() for ring in segments.rings.values()] == [0, 0, 0]


@pytest.mark.parametrize("name", STAGES)
def test_the_twin_is_the_same_each_time_that_it_comes_to_the_same_place(plan, scripts, name):
    """However often the script was folded: nothing of one time around is left in the next."""
    with stages_of(plan, f"{name}.again") as segments:
        stage = STAGES[name](segments, *scripts[name])
        nothing_is_due(segments)
        practice = stage.practice.twin
        seen, met = {}, 0
        for _ in range(400):
            stage.slice(now_ns() + 300_000, 1000, 0)
            place = int(practice.state[0].feed.next if name == "ingest" else practice.at[NEXT_ENTRY])
            memory = practice.memory.copy()
            if place in seen:
                met += 1
                assert (memory == seen[place]).all()
            seen[place] = memory
        assert met > 0


@pytest.mark.parametrize("name", STAGES)
def test_what_rehearses_has_the_types_of_what_runs(plan, scripts, name):
    """A read-only array is another type, and another type is another compiled function: then the wrong one stays warm."""
    with stages_of(plan, f"{name}.types") as segments:
        stage = STAGES[name](segments, *scripts[name])
        own = (stage.g, stage.state) if name == "ingest" else (stage.intake, stage.hops, stage.state)
        twin = (stage.practice[0],) if name == "ingest" else (stage.practice.intake, stage.practice.hops)
        for mine, its in zip(own, (*twin, stage.practice.twin.state), strict=True):
            assert numba.typeof(its) == numba.typeof(mine)


def test_nothing_to_rehearse_is_no_script():
    nothing = rehearsal(None, STRATEGY_STATE)
    assert nothing.script.size == 0 and nothing.at[NEXT_ENTRY] == 0 and nothing.places.size == 0


@pytest.mark.parametrize("clock", ["realtime", "simulated"])
def test_a_stage_calls_what_the_warm_up_has_found(tmp_path, clock):
    """A replacement that looked for its compiled code again would be milliseconds late."""
    prepared = prepare_run(load(overrides={"run.clock": clock}), f"found{os.getpid()}", out=str(tmp_path / "run"))
    rehearsed = warm_up(prepared.plan, lambda done, total, what: None)
    found = set(kernel._found)
    with stages_of(prepared.plan, clock) as segments:
        for name in STAGES:
            stage = program(name, segments, *rehearsed.get(name, ()))
            stage.slice(0, 0, 0)
            stage.commit()
            stage.done()
            stage.say(int(ControlCode.TRADING), int(Trading.ACTIVE))
    assert found and set(kernel._found) == found
