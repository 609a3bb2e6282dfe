"""Warm-up: the run's own stages, in one process, over its own first messages, on segments that are thrown away.

Every kernel that a stage will call is compiled (or loaded from the cache) here, in the launcher, before any stage is
forked; caches and branch predictors meet real input. Nothing of it reaches the run.

What is not in the cache yet is compiled by one forked process a stage, side by side; this one then only loads it.
"""

import os
from collections.abc import Callable
from contextlib import contextmanager

import msgspec
import numpy as np

from procs.first import prepare
from procs.launcher import tie_to
from procs.stages.base import FoldStage
from procs.stages.execution import ExecutionStage
from procs.stages.ingest import IngestStage
from procs.stages.persistence import copy_lossy, copy_out
from procs.stages.strategy import StrategyStage
from procs.topology import Plan, Segments
from ringsim import control as c
from ringsim.atomics import now_ns
from ringsim.ring import idle, release, reset, waiter
from ringsim.telemetry.cell import read_cell

Say = Callable[[int, int, str], None]

_STAGES: tuple[type[IngestStage] | type[FoldStage], ...] = (IngestStage, StrategyStage, ExecutionStage)


def warm_up(plan: Plan, say: Say) -> None:
    """Load every kernel and fold `plan.warmup_ticks` messages. say(done, total, what) before each step."""
    total = len(_STAGES) + 2
    say(0, total, "kernels")
    for done, name in enumerate(_compile_side_by_side(plan), 1):
        say(done, total, name)
    with _scratch(plan, "warm") as segments:
        stages = [_load(stage, segments) for stage in _STAGES]
        say(total - 1, total, "ticks")
        _fold_ticks(segments, *stages)
    say(total, total, "warm")


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


def _compile_side_by_side(plan: Plan):
    """One process a stage; yields the names of the stages as they are done. A failed one is met again by whoever loads."""
    me, children = os.getpid(), {}
    for stage in _STAGES:
        pid = os.fork()
        if pid == 0:
            try:
                tie_to(me)
                with _scratch(plan, f"compile.{stage.name}") as segments:
                    _load(stage, segments)
            finally:
                os._exit(0)
        children[pid] = stage.name
    while children:
        pid, _ = os.wait()
        yield children.pop(pid)


def _load(stage: type, segments: Segments):
    """A stage whose every kernel has been called: with nothing to do, from its first state, and again from a redo."""
    program = stage(segments)
    program.slice(_soon(), 1)
    program.say(c.P_TRADING, 0)
    program.commit()
    return stage(segments)


def _fold_ticks(segments: Segments, ingest: IngestStage, strategy: StrategyStage, execution: ExecutionStage) -> None:
    readers = [segments.rings[name].consumer("persistence") for name in ("orders", "reports")]
    buffers = [np.zeros(64 * reader.ring.width, np.int64) for reader in readers]
    copy_lossy(segments.rings["market"].observer(), buffers[0])
    pause = waiter("yield")
    idle(pause), reset(pause)
    read_cell(segments.control, c.CELL_MARKET, np.zeros(len(c.MARKET_CELL), np.int64))
    while not (ingest.done() and strategy.done() and execution.done()):
        ingest.slice(_soon() + 1_000_000, 64)
        strategy.slice(_soon(), 4096)
        execution.slice(_soon(), 4096)
        for reader, buffer in zip(readers, buffers, strict=True):
            release(reader, copy_out(reader, buffer))


def _soon() -> int:
    """A deadline that has passed once a stage finds nothing to do."""
    return int(now_ns())
