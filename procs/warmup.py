"""Warm-up: the run's own stages, in one process, over its own first messages, on segments that are thrown away.

Every kernel that a stage will call is compiled (or loaded from the cache) here, in the launcher, before any stage is
forked; caches and branch predictors meet real input. Nothing of it reaches the run.

What is not in the cache yet is compiled by forked processes, as many at a time as there are cores; this one then only loads
it. They compile what the backtest and the demos need, too, so that those answer at once later.
"""

import os
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from procs.demo.run import warm_up as load_demo
from procs.first import first_broker, first_ingest, first_strategy, install_strategies, prepare
from procs.launcher import tie_to
from procs.rehearsal import PRELUDE, write_recording
from procs.stages.base import FoldStage
from procs.stages.execution import ExecutionStage
from procs.stages.ingest import IngestStage
from procs.stages.merge import MergeStage
from procs.stages.persistence import copy_lossy, copy_out
from procs.stages.strategy import StrategyStage
from procs.topology import Plan, Segments
from ringsim import control as c
from ringsim.atomics import now_ns
from ringsim.book import book_best, book_qty
from ringsim.fold.journal import HEAD
from ringsim.fold.rehearsal import recorded
from ringsim.fold.trap import FOLDED, trap
from ringsim.kernel import cache_root, closure_key
from ringsim.market.capture import Capture, open_capture, prepare_in
from ringsim.market.events import make_events
from ringsim.market.feed import feed_control
from ringsim.market.instruments import SPOT, USDM
from ringsim.pipeline import Pipeline
from ringsim.records import ControlCode, Side
from ringsim.ring import idle, poll, release, reset, waiter
from ringsim.telemetry.cell import read_cell

Say = Callable[[int, int, str], None]

_IDLE_ROUNDS = 100
_ANY_TICKS, _ANY_LOTS = 1_000_000, 1_000  # of the made-up market, if the run has no book yet
_STAGES: tuple[type[IngestStage] | type[FoldStage], ...] = (IngestStage, StrategyStage, ExecutionStage)


def warm_up(plan: Plan, say: Say) -> dict[str, Any]:
    """Load every kernel and fold `plan.warmup_ticks` messages. say(done, total, what) before each step.

    Returns what each stage rehearses while it waits, by its name.
    """
    jobs = [job for job in _jobs(plan) if not _cached(job.source)]
    total = len(jobs) + 2
    say(0, total, "kernels")
    for done, name in enumerate(_compile_side_by_side(jobs), 1):
        say(done, total, name)
    alone = msgspec.structs.replace(plan, strategies=plan.strategies[:1])
    with _scratch(alone, "warm") as segments:
        stages = [_load(stage, segments) for stage in _STAGES]
        say(total - 1, total, "ticks")
        _fold_ticks(segments, *stages)
        scripts = _made_up_session(plan, stages[0].state[0].feed.book) if plan.rehearse else {}
    if len(plan.strategies) > 1:
        with _scratch(plan, "merge") as segments:
            MergeStage(segments).slice(_soon(), 1, 0)
    install_strategies(plan)  # only now: it may be slow, and nobody watches this process
    say(total, total, "warm")
    return scripts


class Job(NamedTuple):
    """Kernels to compile: their name, the module that has them, and what calls each of them once."""

    name: str
    source: str
    work: Callable[[], object]


def _jobs(plan: Plan) -> list[Job]:
    """The stages of the run, and what else a user will call next: the backtest, the demos.

    Two jobs side by side compile twice what both need: strategy and execution do not begin together, and the backtest, which has
    the folds of both, comes last.
    """

    def stage_job(stage: type[IngestStage] | type[FoldStage]) -> Job:
        def work() -> None:
            alone = msgspec.structs.replace(plan, strategies=plan.strategies[:1])
            with _scratch(alone, f"compile.{stage.name}") as segments:
                _load(stage, segments)

        return Job(stage.name, stage.__module__, work)

    def read() -> None:
        with _scratch(plan, "compile.readers") as segments:
            _Readers(segments).read()

    readers = Job("readers", "procs.stages.persistence", read)
    pipeline = Job("backtest", "ringsim.pipeline", lambda: _load_backtest(plan))
    demo = Job("demo", "procs.demo.lockstep", load_demo)
    return [stage_job(ExecutionStage), stage_job(IngestStage), stage_job(StrategyStage), demo, readers, pipeline]


def _load_backtest(plan: Plan) -> None:
    events = make_events(16)
    feed_control(first_ingest(plan)[0].feed, events, int(ControlCode.END_OF_FEED), 0)
    folds = Pipeline(first_strategy(plan), first_broker(plan), events.records[:1], 1)
    list(folds.run())


def _cached(module: str) -> bool:
    """Whether the cache has kernels of a module as it is now. (Not all of them, if it was interrupted: they are met later.)"""
    file = import_module(module).__file__
    if file is None:
        return False
    folder = cache_root() / closure_key(Path(file).resolve())
    return any(folder.rglob("*.nbi"))


@contextmanager
def _scratch(plan: Plan, what: str):
    """Segments like the run's, for nobody. They carry its id, so that its parent can remove them whatever happens."""
    scratch = msgspec.structs.replace(
        plan,
        run_id=f"{plan.run_id}.{what}",
        simulated=True,
        lossy_market=False,
        speed=(0, 1),
        messages=min(plan.messages, plan.warmup_ticks),
    )
    segments = Segments(scratch, create=True)
    try:
        prepare(segments)
        yield segments
    finally:
        segments.close()


def _compile_side_by_side(jobs: list[Job]):
    """One process a job, one a core at a time; yields their names as they are done. A failed one is met again later."""
    me, waiting = os.getpid(), list(jobs)
    running: dict[int, str] = {}
    width = max(1, len(os.sched_getaffinity(0)))
    while waiting or running:
        while waiting and len(running) < width:
            job = waiting.pop(0)
            pid = os.fork()
            if pid == 0:
                try:
                    tie_to(me)
                    job.work()
                finally:
                    os._exit(0)
            running[pid] = job.name
        pid, _ = os.wait()
        yield running.pop(pid)


def _load(stage: type, segments: Segments):
    """A stage whose every kernel has been called: with nothing to do, from its first state, and again from a redo."""
    program = stage(segments)
    program.slice(_soon(), 1, 0)
    program.say(c.P_TRADING, 0)
    program.commit()
    return stage(segments)


class _Readers:
    """What reads along: as persistence does and whoever watches."""

    def __init__(self, segments: Segments) -> None:
        self._gating = [segments.rings[name].consumer("persistence") for name in ("orders", "reports")]
        self._buffers = [np.zeros(64 * reader.ring.width, np.int64) for reader in self._gating]
        market = segments.rings["market"].observer()
        copy_lossy(market, self._buffers[0])
        poll(market, self._buffers[0], 0)
        trap(segments.control, c.block(c.Stage.PERSISTENCE), FOLDED, 0)
        pause = waiter("yield")
        idle(pause), reset(pause)
        read_cell(segments.control, c.CELL_MARKET, np.zeros(len(c.MARKET_CELL), np.int64))

    def read(self) -> None:
        for reader, buffer in zip(self._gating, self._buffers, strict=True):
            release(reader, copy_out(reader, buffer))


def _fold_ticks(
    segments: Segments, ingest: IngestStage, strategy: StrategyStage, execution: ExecutionStage, messages: int = 0
) -> None:
    """Fold all that there is, or so many messages and what follows from them."""
    readers = _Readers(segments)
    idle_rounds = 0
    # Rings too small for the run's latencies stand still here, too; the run itself will say so.
    while idle_rounds < _IDLE_ROUNDS and not (ingest.done() and strategy.done() and execution.done()):
        done = 0
        if messages == 0:
            done = ingest.slice(_soon() + 1_000_000, 64, 0)
        elif ingest.progress()[0] < messages:
            done = ingest.slice(_soon() + 1_000_000, 1, 0)
        done += strategy.slice(_soon(), 4096, 0) + execution.slice(_soon(), 4096, 0)
        idle_rounds = 0 if done else idle_rounds + 1
        readers.read()


def _made_up_session(plan: Plan, book: Any) -> dict[str, Any]:
    """Have the stages fold the session that they will rehearse. book: of the run, for its prices and quantities."""
    meta = open_capture(Path(plan.capture_folder)).meta
    # A recording is read as a venue's, whatever the source is: on this run's grid, not on the venue's own of that symbol.
    instrument = msgspec.structs.replace(meta.instrument, market=USDM if meta.futures else SPOT)
    best = int(book_best(book, int(Side.BUY))) or _ANY_TICKS
    with tempfile.TemporaryDirectory(prefix="ringsim-rehearsal-") as folder:
        file, prepared = Path(folder) / "session", Path(folder) / "capture"
        prepared.mkdir()
        write_recording(file, instrument, meta.futures, best, int(book_qty(book, int(Side.BUY), best)) or _ANY_LOTS)
        capture = prepare_in(prepared, [file], [instrument])
        made_up = msgspec.structs.replace(plan, capture_folder=str(prepared), messages=len(capture.index))
        with _scratch(made_up, "rehearsal") as segments:
            return _rehearsed(segments, capture)


def _rehearsed(segments: Segments, capture: Capture) -> dict[str, Any]:
    """The scripts of a session: fold its prelude, note where each stage stands, fold the rest."""
    ingest, strategy, execution = IngestStage(segments), StrategyStage(segments), ExecutionStage(segments)
    stages: list[IngestStage | FoldStage] = [ingest, strategy, execution]
    _fold_ticks(segments, ingest, strategy, execution, messages=PRELUDE)
    first = [int(segments.journals[stage.name].header[HEAD]) for stage in stages]
    before = [stage.memory.copy() for stage in stages]
    _fold_ticks(segments, ingest, strategy, execution)
    scripts = [
        recorded(segments.journals[stage.name], first[k], before[k], stage.memory) for k, stage in enumerate(stages)
    ]
    text, index = np.array(capture.text), np.array(capture.index).view(np.recarray)
    return {ingest.name: [(scripts[0], text, index)], strategy.name: scripts[1:2], execution.name: scripts[2:]}


def _soon() -> int:
    """A deadline that has passed once a stage finds nothing to do."""
    return int(now_ns())
