"""A writer that is killed again and again: run as a program, in a process of its own that has no threads and may fork.

    python -m tests.unit.store.killed DATABASE KILLS

Kills alternate between the n-th step of the writer's life (by itself, exactly there) and whenever the parent has read some
acknowledgements (anywhere). After each, the database must hold whole batches, at least those acknowledged.
"""

import os
import random
import signal
import struct
import sys
from pathlib import Path

from ringsim.store.sqlite import Store
from tests.unit.store.conftest import no_wait
from tests.unit.store.streams import FACTS, Stream, long_stream
from tests.unit.store.tables import assert_reconciled

_ACK = struct.Struct("qq")
BATCH = 25  # actions


def write_on(path: Path, stream: Stream, acknowledge: int, die_at: int) -> None:
    """Open, go on at the cursors, acknowledge each batch through a pipe."""
    steps = [0]

    def seam(point: str) -> None:
        steps[0] += 1
        if steps[0] == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    store = Store.open_or_create(path, FACTS, wait=no_wait, seam=seam, synchronous="normal", check="none")
    for o_end, r_end in stream.cuts[BATCH::BATCH] + stream.cuts[-1:]:
        o, r = store.next_seq("orders"), store.next_seq("reports")
        if (o, r) < (o_end, r_end):
            store.write((o, stream.orders[o:o_end]), (r, stream.reports[r:r_end]))
            os.write(acknowledge, _ACK.pack(o_end, r_end))
    store.close()


def main(path: Path, kills: int) -> None:
    stream, random_source = long_stream(2000), random.Random(kills)
    ends = [(0, 0), *stream.cuts[BATCH::BATCH], stream.cuts[-1]]
    acknowledged, killed, finished = (0, 0), 0, False
    while not finished:
        die_at = random_source.randrange(1, 60) if killed < kills and killed % 2 else 0
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read_end)
            write_on(path, stream, write_end, die_at)
            os._exit(0)
        os.close(write_end)
        after = 0 if die_at or killed >= kills else random_source.randrange(1, 4)
        while packed := os.read(read_end, _ACK.size):
            acknowledged = _ACK.unpack(packed)
            after -= 1
            if after == 0:
                os.kill(child, signal.SIGKILL)
        os.close(read_end)
        _, status = os.waitpid(child, 0)
        assert status in (0, signal.SIGKILL), status
        killed += status == signal.SIGKILL
        finished = status == 0
        if path.exists() and path.stat().st_size:
            with Store.open_or_create(path, FACTS, wait=no_wait, check="rows") as store:
                found = store.next_seq("orders"), store.next_seq("reports")
            assert found in ends and found >= acknowledged, (found, acknowledged)
    assert_reconciled(path, stream.orders, stream.reports)
    print(f"killed {killed} times")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
