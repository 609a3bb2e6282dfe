"""The ring between two processes on two cores: records per second and the hop, beside a bare ping-pong of two words.

Each of `repeats` rounds measures all four things one after the other, so that a moment of somebody else's work hits figure and
floor alike; the hop's ratio is the median of the rounds' ratios. Reported is the median, with the best and the whole spread.

Nothing is left behind: the segments have no names any more before the first fork, and the children die with their parent.
"""

import os
import secrets
import statistics
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from setproctitle import setproctitle

from procs.bench import rounds as at
from procs.launcher import tie_to
from ringsim.errors import BadInput, RingsimError
from ringsim.ring import RingSegment, batch_max
from ringsim.shm import Segment, segment_name

RECORD = np.dtype([("stamp", "i8"), ("words", "i8", (at.WORDS - 1,))])

BATCH_MAX = 64  # records announced at a time in the batched figure; a quarter of the ring where that is less
HOPS = 100_000  # of each ping-pong block: about 10 ms
LAPS_BEFORE = 2  # of the ring, before the first measurement: pages, caches, frequency

Figures = dict[str, Any]


class BenchFailed(RingsimError):
    """A process of the measurement died, or a record did not hold what was written."""


class _Shared:
    """Two rings and the page, mapped, without a name any more."""

    def __init__(self, capacity: int) -> None:
        run_id = f"bench.{os.getpid()}.{secrets.token_hex(4)}"
        self.there = RingSegment.create(segment_name(run_id, "there"), RECORD, capacity, [("reader", "gating")])
        self.there.segment.unlink()
        self.back = RingSegment.create(segment_name(run_id, "back"), RECORD, capacity, [("reader", "gating")])
        self.back.segment.unlink()
        self.segment = Segment(segment_name(run_id, "page"), create=True, size_bytes=8 * at.PAGE_WORDS)
        self.segment.unlink()
        self.page: np.ndarray = np.ndarray(at.PAGE_WORDS, np.int64, self.segment.buf)
        self.writer = (self.there.producer(), self.back.consumer("reader"))
        self.reader = (self.back.producer(), self.there.consumer("reader"))

    def load_kernels(self) -> None:
        """Run each on nothing, so that the children compile nothing."""
        page, (producer, consumer) = self.page, self.writer
        at.meet(page, at.BEGAN, at.BEGAN, 0)
        at.stream_out(page, producer, 0)
        at.batches_out(page, producer, 0, 1)
        at.stream_in(page, consumer, 0)
        at.ping(page, producer, consumer, 0)
        at.pong(page, producer, consumer, 0)
        at.bare_ping(page, 0)
        at.bare_pong(page, 0)


def bench_ring(records: int = 5_000_000, capacity: int = 1024, repeats: int = 9) -> Figures:
    """Measure a ring of 64-byte records between two processes, each pinned to a core of its own.

    records: of each throughput block, >= 1, rounded up to whole batches. capacity: a power of two. repeats: >= 1.
    Returns records_per_s (announced one by one), records_per_s_batched, hop_ns, floor_hop_ns, hop_ratio: medians; best and
    spread of the same; capacity, wraps (of the ring in one throughput block), batch, records, repeats, cores, steal_ratio.
    Waits for as long as the children are stopped. Call it in a process without threads: it forks.
    Raises BadInput, SegmentError, BenchFailed.
    """
    if records < 1 or repeats < 1:
        raise BadInput(f"records and repeats are at least 1, got {records} and {repeats}")
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise BadInput("the ring is measured between two cores, and this process may use only one; see taskset, nproc")
    if threading.active_count() > 1:
        raise RuntimeError("bench_ring forks, and a process with threads must not: a child may inherit a held lock")
    shared = _Shared(capacity)
    shared.load_kernels()
    batch = min(BATCH_MAX, int(batch_max(shared.writer[0])))
    count = -(-records // batch) * batch
    words = repeats * 4
    results = Segment(
        segment_name(f"bench.{os.getpid()}.{secrets.token_hex(4)}", "results"), create=True, size_bytes=8 * words
    )
    results.unlink()
    seconds: np.ndarray = np.ndarray((repeats, 4), np.float64, results.buf)
    stolen, total = _stolen()
    pair = (cores[0], cores[-1])
    together(
        ("writer", {pair[0]}, lambda: _write(shared, count, batch, repeats, seconds)),
        ("reader", {pair[1]}, lambda: _read(shared, count, batch, repeats)),
    )
    now_stolen, now_total = _stolen()
    if wrong := int(shared.page[at.WRONG] + shared.page[at.WRONG + 1]):
        raise BenchFailed(f"{wrong} words were not what was written: the ring is broken on this machine")
    return _figures(seconds.copy(), count) | {
        "capacity": capacity,
        "wraps": count // capacity,
        "batch": batch,
        "records": count,
        "repeats": repeats,
        "cores": list(pair),
        "steal_ratio": round((now_stolen - stolen) / max(1, now_total - total), 4),
    }


def _write(shared: _Shared, count: int, batch: int, repeats: int, seconds: np.ndarray) -> None:
    """The first process: it writes, it serves; the times are its."""
    page, (producer, consumer) = shared.page, shared.writer
    mine, other = at.READY
    number = 0

    def measured(work: Callable[[], Any]) -> float:
        nonlocal number
        number += 2
        at.meet(page, mine, other, number - 1)
        page[at.WRONG] += work() or 0
        at.meet(page, mine, other, number)  # the other has stored its end
        return (int(page[at.ENDED]) - int(page[at.BEGAN])) / 1e9

    measured(lambda: at.stream_out(page, producer, LAPS_BEFORE * shared.there.capacity))
    for repeat in range(repeats):
        seconds[repeat] = (
            measured(lambda: at.bare_ping(page, HOPS // 2)),
            measured(lambda: at.ping(page, producer, consumer, HOPS // 2)),
            measured(lambda: at.stream_out(page, producer, count)),
            measured(lambda: at.batches_out(page, producer, count, batch)),
        )


def _read(shared: _Shared, count: int, batch: int, repeats: int) -> None:
    """The second process: it reads, it answers."""
    page, (producer, consumer) = shared.page, shared.reader
    other, mine = at.READY
    number = 0

    def measured(work: Callable[[], Any]) -> None:
        nonlocal number
        number += 2
        at.meet(page, mine, other, number - 1)
        page[at.WRONG + 1] += work() or 0
        at.meet(page, mine, other, number)

    measured(lambda: at.stream_in(page, consumer, LAPS_BEFORE * shared.there.capacity))
    for _ in range(repeats):
        measured(lambda: at.bare_pong(page, HOPS // 2))
        measured(lambda: at.pong(page, producer, consumer, HOPS // 2))
        measured(lambda: at.stream_in(page, consumer, count))
        measured(lambda: at.stream_in(page, consumer, count))


def together(*lives: tuple[str, set[int], Callable[[], None]]) -> None:
    """Run each life (name, cores, what it does) in a process of its own, on one of its cores, to the end of all.

    BenchFailed if one dies; no child is left. Call it in a process without threads: it forks.
    """
    running: dict[int, str] = {}
    try:
        for name, cores, life in lives:
            running[_fork(name, cores, life)] = name
        while running:
            pid, status = os.waitpid(-1, 0)
            name = running.pop(pid, "")
            if name and status:
                raise BenchFailed(f"the {name} (pid {pid}) ended with {os.waitstatus_to_exitcode(status)}")
    finally:
        for pid in running:
            os.kill(pid, 9)
            os.waitpid(pid, 0)


def _fork(name: str, cores: set[int], life: Callable[[], None]) -> int:
    parent = os.getpid()
    sys.stdout.flush()
    if pid := os.fork():
        return pid
    try:
        tie_to(parent)
        setproctitle(f"ringsim bench {name}")
        os.sched_setaffinity(0, cores)
        life()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def _stolen() -> tuple[int, int]:
    """Clock ticks since boot that the hypervisor took from all cores, and all ticks."""
    ticks = [int(t) for t in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return ticks[7], sum(ticks)


def _figures(seconds: np.ndarray, count: int) -> Figures:
    floor, hop = seconds[:, 0] * 1e9 / HOPS, seconds[:, 1] * 1e9 / HOPS
    columns = {
        "records_per_s": count / seconds[:, 2],
        "records_per_s_batched": count / seconds[:, 3],
        "hop_ns": hop,
        "floor_hop_ns": floor,
        "hop_ratio": hop / floor,
    }
    digits = {name: 0 if name.startswith("records") else 3 for name in columns}
    lists = {name: [round(float(v), digits[name]) for v in values] for name, values in columns.items()}
    better = {name: max if name.startswith("records") else min for name in columns}
    return {name: round(statistics.median(values), digits[name]) for name, values in lists.items()} | {
        "best": {name: better[name](values) for name, values in lists.items()},
        "spread": {name: [min(values), max(values)] for name, values in lists.items()},
    }
