"""The persistence stage in this process, over rings of its own that are filled from a made-up stream."""

import contextlib
import os
import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from procs.audit import audit
from procs.prepare import Prepared
from procs.stages.persistence import PersistenceStage
from procs.topology import Segments
from ringsim.control import S_FAULT, S_FAULT_FROM, S_FAULT_UNTIL, S_STEPS, Stage, block
from ringsim.ring.layout import W_PUBLISHED
from ringsim.store.fault import Fault
from ringsim.store.runlog import NAME as LOG_NAME
from ringsim.store.sqlite import Store
from tests.process.pipeline import prepared
from tests.unit.store.conftest import no_wait
from tests.unit.store.streams import FACTS, Stream
from tests.unit.store.tables import assert_reconciled

AT = block(Stage.PERSISTENCE)
RINGS = ("orders", "reports")
SETTINGS = {
    "strategy__performance__order_channel_size": 512,
    "strategy__performance__persist_channel_size": 512,
    "strategy__performance__market_channel_size": 64,
    "strategy__persistence__batch_size": 1,
    "pipeline__storage_patience_s": 1,
}


_SLICES = 50


class Desk:
    """A run's rings, its database, and what is published so far. ends: how far each batch goes, (orders, reports)."""

    def __init__(self, ready: Prepared, stream: Stream, ends: Sequence[tuple[int, int]]) -> None:
        self.stream, self.ends = stream, ends
        self.database, self.log = Path(ready.plan.database), ready.folder / LOG_NAME
        self.database.parent.mkdir(parents=True)
        Store.create(self.database, FACTS, wait=no_wait, synchronous="normal").close()
        self.segments = Segments(ready.plan, create=True)
        self.words = self.segments.control

    def ask(self, fault: Fault, first: int, until: int) -> None:
        """Steps first .. until - 1 at the disk fail."""
        self.words[AT + S_FAULT], self.words[AT + S_FAULT_FROM], self.words[AT + S_FAULT_UNTIL] = fault, first, until

    @property
    def steps(self) -> int:
        return int(self.words[AT + S_STEPS])

    def publish(self, end: tuple[int, int]) -> None:
        """Records up to `end`, as their producers would."""
        for name, records, count in zip(RINGS, (self.stream.orders, self.stream.reports), end, strict=True):
            ring = self.segments.rings[name].ring
            ring.slots[:count] = records[:count]
            ring.header[W_PUBLISHED] = max(count, int(ring.header[W_PUBLISHED]))

    def acknowledged(self) -> dict[str, int]:
        return {name: self.segments.rings[name].gating_cursors()["persistence"] for name in RINGS}

    def store_all(self) -> None:
        """One life of the stage: everything stored, or the error that ended it."""
        stage = None
        try:
            stage = PersistenceStage(self.segments)
            for end in self.ends:
                self.publish(end)
                for _ in range(_SLICES):
                    if stage.done():
                        break
                    stage.slice(0, 0, 0)
                assert stage.done(), f"not stored after {_SLICES} slices"
            stage.close()
        except BaseException:
            if stage is not None:
                die(stage)
            raise

    def assert_whole(self) -> None:
        """A whole number of batches, and no fewer than were acknowledged."""
        assert audit(self.database, self.acknowledged()).problem is None
        with Store.open(self.database, wait=no_wait, check="rows") as store:
            found = store.next_seq("orders"), store.next_seq("reports")
        assert_reconciled(self.database, self.stream.orders[: found[0]], self.stream.reports[: found[1]])

    def assert_complete(self) -> None:
        """Everything, once, in the database and in the log."""
        assert_reconciled(self.database, self.stream.orders, self.stream.reports)
        lines = [msgspec.json.decode(line) for line in self.log.read_bytes().splitlines()]
        for name, records in zip(RINGS, (self.stream.orders, self.stream.reports), strict=True):
            seqs = [line["seq"] for line in lines if line.get("ring") == name]
            assert seqs == sorted(seqs) and set(seqs) <= set(range(len(records)))
            pairs = [(line["seq"], line["event_type"]) for line in lines if line.get("ring") == name]
            assert len(set(pairs)) == len(pairs), "a line was written twice"
            assert len(pairs) > len(records) // 2


def die(stage: PersistenceStage) -> None:
    """What the kernel does with a process that is gone: its descriptors are closed, nothing is written any more."""
    with contextlib.suppress(sqlite3.Error):
        stage.store._connection.close()
    if hasattr(stage, "log") and stage.log._fd >= 0:
        os.close(stage.log._fd)
        stage.log._fd = -1


@contextlib.contextmanager
def desk(folder: Path, stream: Stream, ends: Sequence[tuple[int, int]]) -> Iterator[Desk]:
    """A desk in `folder`; its segments are gone afterwards."""
    assert max(len(stream.orders), len(stream.reports)) <= 512, "the rings do not wrap here"
    found = Desk(prepared(folder, f"run{uuid.uuid4().hex[:8]}", **SETTINGS), stream, ends)
    try:
        yield found
    finally:
        found.segments.close()
