"""Warm-up: the run's own stages, in one process, over its own first messages, on segments that are thrown away.

Every kernel that a stage will call is compiled (or loaded from the cache) here, in the launcher, before any stage is
forked; caches and branch predictors meet real input. Nothing of it reaches the run.
"""

import os
from collections.abc import Callable

import msgspec
import numpy as np

from procs.first import prepare
from procs.stages.execution import ExecutionStage
from procs.stages.ingest import IngestStage
from procs.stages.persistence import copy_out
from procs.stages.strategy import StrategyStage
from procs.topology import Plan, Segments
from ringsim import control as c
from ringsim.atomics import now_ns
from ringsim.ring import idle, release, reset, waiter
from ringsim.telemetry.cell import read_cell

_STEPS = ("feed", "strategy", "paper broker", "persistence", "redo", "ticks")


def warm_up(plan: Plan, say: Callable[[int, int, str], None]) -> None:
    """Load every kernel and fold `plan.warmup_ticks` messages. say(done, total, what) before each step."""
    scratch = msgspec.structs.replace(
        plan,
        run_id=f"warm{os.getpid()}",
        simulated=True,
        lossy_market=False,
        speed=(0, 1),
        messages=min(plan.messages, plan.warmup_ticks),
    )
    segments = Segments(scratch, create=True)
    try:
        prepare(segments)
        _run(segments, say)
    finally:
        segments.close()


def _run(segments: Segments, say: Callable[[int, int, str], None]) -> None:
    def step(index: int) -> None:
        say(index, len(_STEPS), _STEPS[index])

    step(0)
    ingest = IngestStage(segments)
    ingest.slice(_soon(), 1)
    step(1)
    strategy = StrategyStage(segments)
    strategy.slice(_soon(), 1)
    strategy.say(c.P_TRADING, 0)
    step(2)
    execution = ExecutionStage(segments)
    execution.slice(_soon(), 1)
    execution.say(c.P_TRADING, 0)
    step(3)
    readers = [segments.rings[name].consumer("persistence") for name in ("orders", "reports")]
    buffers = [np.zeros(64 * reader.ring.width, np.int64) for reader in readers]
    pause = waiter("yield")
    idle(pause), reset(pause)
    read_cell(segments.control, c.CELL_MARKET, np.zeros(len(c.MARKET_CELL), np.int64))
    step(4)
    for stage in (ingest, strategy, execution):
        stage.commit()
        type(stage)(segments)
    step(5)
    while not (ingest.done() and strategy.done() and execution.done()):
        ingest.slice(_soon() + 1_000_000, 64)
        strategy.slice(_soon(), 4096)
        execution.slice(_soon(), 4096)
        for reader, buffer in zip(readers, buffers, strict=True):
            release(reader, copy_out(reader, buffer))
    say(len(_STEPS), len(_STEPS), "warm")


def _soon() -> int:
    """A deadline that has passed once a stage finds nothing to do."""
    return int(now_ns())
