"""What recoverability costs: the stages with their journals and commits, beside the same stages without (procs.bench.bare).

    run        ingest, strategy, execution and persistence as processes, with the rings, the cores and the database that a run under
               the simulated clock has. This is the run's throughput; of the four, three have a journal.
    pipeline   the same without persistence and its database: what the three do as fast as they can
    a stage    alone, in this process, never waiting: the rings that it reads are filled beforehand with what a backtest of the
               capture gave. Nothing hides its cost here, neither a slower neighbour nor the handshakes of the clock.

With and without, the records published and the last states must be the same, byte by byte, in every pass; a difference is an
error and not a figure. Each of `repeats` rounds measures all of it one after the other, with and without changing places from
round to round. The share is that of the throughput: 1 - time without / time with; reported are the medians of the rounds'
shares, and the spread.
"""

import hashlib
import os
import secrets
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from procs.bench import bare
from procs.bench.ring import BenchFailed, together
from procs.first import prepare
from procs.launcher import PERSISTENCE_NICE
from procs.prepare import Prepared, prepare_run
from procs.run import create_database, fold_session
from procs.stages.execution import ExecutionStage
from procs.stages.ingest import IngestStage
from procs.stages.persistence import PersistenceStage
from procs.stages.strategy import StrategyStage
from procs.topology import RECORD_DTYPES, Segments
from ringsim import control as c
from ringsim.broker.exchange import broker_init
from ringsim.broker.latency import latency_entry_min
from ringsim.config import load
from ringsim.control import Stage, block, stage_of
from ringsim.errors import BadInput
from ringsim.kernel import bound
from ringsim.limits import JOURNAL_ENTRIES
from ringsim.pipeline import Pipeline
from ringsim.records import ACCOUNT, NEVER_NS
from ringsim.ring.layout import SLOTS_OFFSET
from ringsim.strategy.fold import strategy_init

RUN, PIPELINE = "run", "pipeline"
_PROGRAMS: dict[str, Callable[[Segments], Any]] = {
    "ingest": IngestStage,
    "strategy": StrategyStage,
    "execution": ExecutionStage,
}
SUBJECTS = (*_PROGRAMS, PIPELINE, RUN)
_PEERS = {
    "strategy": ("execution", "reports"),
    "execution": ("strategy", "orders"),
}  # whose records a stage reads, and where
_OUTPUTS = {"ingest": "market", "strategy": "orders", "execution": "reports"}
_SLICE_NS, _INPUTS = 50_000_000, 1 << 14  # as procs.worker gives them
_MARKET_SLOTS = 1 << 14  # of the pipeline's market ring: as in a run, so that ingest is gated
_ALL_FOLDED = 1 << 40

Figures = dict[str, Any]
Slice = Callable[[int, int, int], int]


class _Session(msgspec.Struct, frozen=True):
    """A capture folded once: what the rings of a stage alone are filled with. records: of each ring, as int64 words.

    run: with the capacities that a run has; prepared: with rings that hold all of it.
    """

    run: Prepared
    prepared: Prepared
    records: dict[str, np.ndarray]

    def count(self, ring: str) -> int:
        return self.records[ring].size // (RECORD_DTYPES[ring].itemsize // 8)


class _Pass(msgspec.Struct, frozen=True):
    """A subject over the whole session. digest: of what was published and of the last states."""

    seconds: float
    digest: str
    inputs: int


def bench_recovery(source: str | None = None, repeats: int = 15, passes: int = 3) -> Figures:
    """Measure what journal and commits cost the pipeline, and each of its stages, on a capture (None: the shipped minute).

    source: as --source takes it. repeats: rounds, >= 1. passes: over the whole capture in each block of a round, >= 1.
    Returns share, share_spread, events_per_s, events_per_s_without, inputs and digest of each subject; events, repeats, passes.
    Raises BadInput, and BenchFailed if a subject does not publish the same with and without.
    Call it in a process without threads: it forks.
    """
    if repeats < 1 or passes < 1:
        raise BadInput(f"repeats and passes are at least 1, got {repeats} and {passes}")
    if len(os.sched_getaffinity(0)) < 2:
        raise BadInput("the stages are measured on two cores, and this process may use only one; see taskset, nproc")
    if threading.active_count() > 1:
        raise RuntimeError("bench_recovery forks, and a process with threads must not: a child may inherit a held lock")
    with tempfile.TemporaryDirectory(prefix="ringsim-bench-") as folder:
        session = _session(source, Path(folder))
        passed = {subject: _pass(session, subject, recoverable=True) for subject in SUBJECTS}
        for subject in SUBJECTS:  # both kinds are loaded and warm now, and agree
            _same([passed[subject], _pass(session, subject, recoverable=False)], subject)
        columns = {subject: np.zeros((repeats, 2)) for subject in SUBJECTS}
        for repeat in range(repeats):
            order = (True, False) if repeat % 2 else (False, True)
            for subject in SUBJECTS:
                for recoverable in order:
                    found = [_pass(session, subject, recoverable=recoverable) for _ in range(passes)]
                    _same([*found, passed[subject]], subject)
                    columns[subject][repeat, int(recoverable)] = sum(one.seconds for one in found) / passes
    return _figures(session, columns, passed) | {"repeats": repeats, "passes": passes}


def _session(source: str | None, folder: Path) -> _Session:
    effective = load(overrides={"run.clock": "simulated"} | ({"run.source": source} if source else {}))
    run_id = f"bench.{os.getpid()}.{secrets.token_hex(4)}"
    prepared = prepare_run(effective, run_id, out=str(folder / "run"))
    events, _ = fold_session(prepared, (), False)
    plan = prepared.plan
    strategy, broker = strategy_init(plan.strategies[0].params), broker_init(plan.broker)
    chunks = list(Pipeline(strategy, broker, events, int(latency_entry_min(broker[0].p.latency))).run())
    found = {
        "market": events,
        "orders": np.concatenate([orders for _, orders, _, _ in chunks]),
        "reports": np.concatenate([reports for _, _, _, reports in chunks]),
    }
    # Rings that hold all of it: what persistence does not read here gates nobody.
    sizes: Any = {ring: 1 << (len(records) + 1024).bit_length() for ring, records in found.items()}
    capacities = msgspec.structs.replace(plan.capacities, journal=JOURNAL_ENTRIES, **sizes)
    plan = msgspec.structs.replace(plan, capacities=capacities)
    words = {ring: np.ascontiguousarray(records).view(np.int64).reshape(-1) for ring, records in found.items()}
    return _Session(prepared, msgspec.structs.replace(prepared, plan=plan), words)


def _pass(session: _Session, subject: str, *, recoverable: bool) -> _Pass:
    plan = session.prepared.plan
    if subject == RUN:
        plan = session.run.plan
        shutil.rmtree(plan.folder)  # what the pass before has stored
        create_database(session.run)
    elif subject == PIPELINE:
        capacities = msgspec.structs.replace(plan.capacities, market=_MARKET_SLOTS)
        plan = msgspec.structs.replace(plan, capacities=capacities)
    segments = Segments(plan, create=True)
    try:
        prepare(segments)
        if subject in (PIPELINE, RUN):
            return _run(segments, recoverable, stored=subject == RUN)
        return _alone(session, segments, subject, recoverable)
    finally:
        segments.close()


def _alone(session: _Session, segments: Segments, stage: str, recoverable: bool) -> _Pass:
    """One stage, over rings that are filled."""
    if stage in _PEERS:
        peer, theirs = _PEERS[stage]
        for ring in ("market", theirs):
            width = RECORD_DTYPES[ring].itemsize // 8
            bare.fill(segments.rings[ring].producer(), session.records[ring], width, session.count(ring))
        at = block(stage_of(peer))  # the peer has done all that it will ever do
        segments.control[at + c.S_NEXT_NS], segments.control[at + c.S_FOLDED] = NEVER_NS, _ALL_FOLDED
    segments.populate()  # what is measured is the steady cost, not that of first touching a journal
    program = _PROGRAMS[stage](segments)
    slice_ = program.slice if recoverable else _bare(program, segments)
    began = time.monotonic_ns()
    while not program.done():
        if not slice_(time.monotonic_ns() + _SLICE_NS, _INPUTS, 0) and not program.done():
            raise BenchFailed(f"{stage} did not come to the end of its inputs")
    seconds = (time.monotonic_ns() - began) / 1e9
    state = program.state[0]
    inputs = int(state.journal if stage == "ingest" else state.pos.journal)
    return _Pass(seconds, _digest(segments, [_OUTPUTS[stage]], [state]), inputs)


def _run(segments: Segments, recoverable: bool, *, stored: bool) -> _Pass:
    """The three stages as processes, and persistence if all is to be stored. From the first one's beginning to the last's end."""
    words, cores = segments.control, segments.plan.cores
    blocks = {stage: block(stage_of(stage)) for stage in _PROGRAMS}

    def life(stage: str) -> None:
        segments.populate()
        program, at = _PROGRAMS[stage](segments), blocks[stage]
        slice_ = program.slice if recoverable else _bare(program, segments)
        words[at + c.S_STATE] = c.StageState.WARM
        while any(words[b + c.S_STATE] < c.StageState.WARM for b in blocks.values()):
            os.sched_yield()
        began = time.monotonic_ns()
        while not program.done():
            slice_(time.monotonic_ns() + _SLICE_NS, _INPUTS, 0)
        words[at + c.S_EVENT_NS], words[at + c.S_LATE_NS] = began, time.monotonic_ns()
        words[at + c.S_STATE] = c.StageState.DONE
        program.commit()  # for the digest, and not a part of the time

    def persist() -> None:
        os.nice(PERSISTENCE_NICE)
        program = PersistenceStage(segments)
        while any(words[b + c.S_STATE] != c.StageState.DONE for b in blocks.values()) or not program.done():
            program.slice(time.monotonic_ns() + _SLICE_NS, _INPUTS, 0)
        words[block(Stage.PERSISTENCE) + c.S_LATE_NS] = time.monotonic_ns()
        program.close()

    def lives(stage: str) -> tuple[str, set[int], Callable[[], None]]:
        return stage, {cores[stage][0]}, lambda: life(stage)

    anywhere = os.sched_getaffinity(0)
    together(*map(lives, _PROGRAMS), *[("persistence", anywhere, persist)] * stored)
    began = min(int(words[at + c.S_EVENT_NS]) for at in blocks.values())
    ended = max(int(words[block(stage) + c.S_LATE_NS]) for stage in Stage)
    states = [segments.good(stage) for stage in _PROGRAMS]
    inputs = int(states[0].journal) + sum(int(state.pos.journal) for state in states[1:])
    return _Pass((ended - began) / 1e9, _digest(segments, ["orders", "reports"], states), inputs)


def _digest(segments: Segments, rings: list[str], states: list[Any]) -> str:
    found = hashlib.sha256()
    for ring in (segments.rings[name] for name in rings):
        found.update(ring.ring.words[: ring.published() * ring.ring.width].tobytes())
    for state in states:
        found.update(state.tobytes())
    return found.hexdigest()


def _bare(program: Any, segments: Segments) -> Slice:
    """The stage's slice without journal and commits."""
    p, reports = program, segments.rings["reports"]
    run: Any = bound(getattr(bare, f"bare_{p.name}"))
    accounts = np.ndarray(reports.capacity, ACCOUNT, reports.segment.buf, SLOTS_OFFSET).view(np.recarray)

    def ingest(until_ns: int, inputs: int, epoch: int) -> int:
        return int(run(p.state, p.g, p.waiter, until_ns, inputs))

    def strategy(until_ns: int, inputs: int, epoch: int) -> int:
        common = (p.state, p.memory, p.schedule, p.intake, accounts, p.out, p.hops, p.waiter)
        return int(run(*common, until_ns, inputs))

    def execution(until_ns: int, inputs: int, epoch: int) -> int:
        common = (p.state, p.memory, p.intake, p.out, p.hops, p.cell, p.waiter)
        return int(run(*common, until_ns, inputs))

    return {"ingest": ingest, "strategy": strategy, "execution": execution}[program.name]


def _same(passes: list[_Pass], subject: str) -> None:
    if len({one.digest for one in passes}) > 1:
        raise BenchFailed(f"{subject} publishes something else without its journal than with it: nothing was measured")


def _figures(session: _Session, columns: dict[str, np.ndarray], passed: dict[str, _Pass]) -> Figures:
    """columns: of each subject float64[rounds, (without, with)], seconds."""
    events = session.count("market")
    shares = {name: [float(1 - a / b) for a, b in pairs] for name, pairs in columns.items()}
    return {
        "share": {name: round(statistics.median(values), 4) for name, values in shares.items()},
        "share_spread": {name: [round(min(v), 4), round(max(v), 4)] for name, v in shares.items()},
        "events_per_s": {name: round(events / statistics.median(pairs[:, 1])) for name, pairs in columns.items()},
        "events_per_s_without": {name: round(events / statistics.median(p[:, 0])) for name, p in columns.items()},
        "events": events,
        "inputs": {subject: one.inputs for subject, one in passed.items()},
        "digest": {subject: one.digest for subject, one in passed.items()},
    }
