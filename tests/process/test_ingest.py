"""The feed's stage by itself: what it answers, and that it goes on meanwhile."""

import time

import msgspec

from procs.first import prepare
from procs.stages.ingest import IngestStage
from procs.topology import Segments
from ringsim import control as c
from ringsim.ring import available, release
from tests.process.pipeline import prepared


def test_a_reader_that_asks_again_and_again_for_the_book_does_not_stop_the_feed(tmp_path):
    """Of a ring smaller than the book it loses a part of each answer, and asks for another."""
    settings = {"run__clock": "realtime", "run__speed": "max", "strategy__performance__market_channel_size": 1024}
    ready = prepared(tmp_path, "ingest", **settings)
    plan = msgspec.structs.replace(ready.plan, run_id=f"{ready.plan.run_id}-stage")
    segments = Segments(plan, create=True)
    try:
        prepare(segments)
        words = segments.control
        words[c.P_RUN] = c.RunState.RUNNING
        stage = IngestStage(segments)
        gate = segments.rings["market"].consumer("execution")
        slices = 0
        while not stage.done() and slices < 50_000:
            words[c.block(c.Stage.STRATEGY) + c.S_SNAPSHOT_WANTED] += 1
            stage.slice(time.monotonic_ns() + 1_000_000, 64, 0)
            release(gate, available(gate))
            slices += 1
        assert stage.done() and stage.progress()[0] == plan.messages, f"at message {stage.progress()[0]}"
        assert stage.state[0].feed.counts.refreshes >= 1, "and it was answered"
    finally:
        segments.close()
