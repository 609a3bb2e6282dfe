"""A stage whose output ring is full waits, and the ring's header says how often that was: once a record, not once a look."""

import os

import msgspec

from procs.first import prepare
from procs.prepare import prepare_run
from procs.stages.ingest import IngestStage
from procs.topology import Segments
from ringsim.atomics import now_ns
from ringsim.config import load
from ringsim.ring import release
from ringsim.ring.layout import W_FULL_WAITS

CAPACITY = 256


def test_a_full_market_ring_is_counted_once_however_often_ingest_looks(tmp_path):
    plan = prepare_run(load(), f"full{os.getpid()}", out=str(tmp_path / "run")).plan
    capacities = msgspec.structs.replace(plan.capacities, market=CAPACITY)
    plan = msgspec.structs.replace(plan, simulated=True, lossy_market=False, rehearse=False, capacities=capacities)
    segments = Segments(plan, create=True)
    try:
        prepare(segments)
        ring, ingest = segments.rings["market"], IngestStage(segments)
        readers = [ring.consumer(name) for name in ring.consumer_names()]
        for full in (1, 2, 3):
            for _ in range(5):
                ingest.slice(now_ns() + 1_000_000, 1000, 0)
            assert ring.published() == CAPACITY * full
            assert ring.ring.header[W_FULL_WAITS] == full
            for reader in readers:
                release(reader, CAPACITY)
    finally:
        segments.close()
