"""Real processes on one ring, every word of every record checked. Run by test_processes.py, or by hand to repeat a failure:

    python -m tests.ring.stress gating --capacity 4 --records 1000000 --start 4611686018427387900

A free reader proves nothing while it is never lapped, or always: that writer goes on until it was both often enough. This
process has no thread and has compiled everything before it forks writers and readers; it prints one JSON object.
"""

import argparse
import ctypes
import json
import mmap
import os
import signal
import sys
from collections.abc import Callable

import numpy as np

from ringsim.atomics import load_acquire, load_relaxed, pause, store_relaxed
from ringsim.kernel import kernel
from ringsim.ring import (
    EMPTY,
    FULL,
    OK,
    Consumer,
    Producer,
    RingSegment,
    available,
    batch_max,
    begin,
    commit,
    idle,
    layout,
    poll,
    publish,
    release,
    reset,
    try_claim,
    waiter,
)
from ringsim.ring.ring import P_NEXT, R_LAPS, R_LOST, R_NEXT, Mode
from tests.ring.rings import WIDTH, is_whole, ring_of, word_of

# What a reader found, in memory that outlives it; and where it shall stop, NEVER until that is known.
ACKED, TORN, LAST, LOST, LAPS, END = range(6)
NEVER = 2**63 - 1

Reader = tuple[int, np.ndarray]  # its pid and what it found


@kernel
def write_records(producer, end, batch, pauses, wait):
    """Write records up to sequence `end`, at most `batch` between two announcements; 0..pauses (2**n - 1) pauses after each."""
    seq = producer.at[P_NEXT]
    while seq < end:
        count = min(batch, end - seq)
        first = try_claim(producer, count)
        if first == FULL:
            idle(wait)
            continue
        reset(wait)
        for seq in range(first, first + count):
            base = begin(producer, seq)
            for k in range(1, WIDTH):
                store_relaxed(producer.ring.words, base + k, word_of(seq, k))
            commit(producer, seq)
        publish(producer, count)
        seq = first + count
        for _ in range((seq ^ (seq >> 5)) & pauses):
            pause()


@kernel
def read_gating(consumer, found, wait):
    """Read in place every record up to the end."""
    ring, at = consumer.ring, consumer.at
    while at[R_NEXT] < load_relaxed(found, END):
        count = available(consumer)
        if count == 0:
            idle(wait)
            continue
        reset(wait)
        for seq in range(at[R_NEXT], at[R_NEXT] + count):
            base = (seq & ring.mask) * ring.width
            if ring.words[base] != seq + 1 or not is_whole(ring.words, base, seq, WIDTH):
                found[TORN] += 1
        found[LAST] = at[R_NEXT] + count - 1
        found[ACKED] += count
        release(consumer, count)


@kernel
def read_free(consumer, found, into, pauses, wait):
    """Poll up to the end; `pauses` after every 8th record or so."""
    at = consumer.at
    found[LAST] = at[R_NEXT] - 1
    while at[R_NEXT] < load_relaxed(found, END):
        result = poll(consumer, into, 0)
        if result & OK:
            seq = into[0] - 1
            if seq <= found[LAST] or seq != at[R_NEXT] - 1 or not is_whole(into, 0, seq, WIDTH):
                found[TORN] += 1
            found[LAST] = seq
            store_relaxed(found, ACKED, found[ACKED] + 1)
            reset(wait)
        elif result == EMPTY:
            idle(wait)
        store_relaxed(found, LOST, at[R_LOST])
        store_relaxed(found, LAPS, at[R_LAPS])
        if found[ACKED] & 7 == 0:
            for _ in range(pauses):
                pause()


@kernel
def wait_for(header, seq, wait):
    """Until `seq` records are published."""
    while load_acquire(header, layout.W_PUBLISHED) < seq:
        idle(wait)


def child(work: Callable[[], None]) -> int:
    """Fork a process that does `work`, and dies with this one. Its pid."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() == parent:
            work()
            status = 0
    finally:
        os._exit(status)


def join(pid: int) -> int:
    """Its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def words_of_a_reader(end: int) -> np.ndarray:
    """int64[8] that a child shares with this process."""
    found = np.frombuffer(mmap.mmap(-1, 64), np.int64)
    found[END] = end
    return found


def write(producer: Producer, end: int, options: argparse.Namespace) -> None:
    batch = min(options.batch, int(batch_max(producer)))
    write_records(producer, end, batch, options.writer_pauses, waiter("yield"))


def start_gating(consumer: Consumer, end: int) -> Reader:
    found = words_of_a_reader(end)
    return child(lambda: read_gating(consumer, found, waiter("yield"))), found


def start_free(consumer: Consumer, end: int, options: argparse.Namespace) -> Reader:
    found, into = words_of_a_reader(end), np.zeros(WIDTH, np.int64)
    return child(lambda: read_free(consumer, found, into, options.reader_pauses, waiter("yield"))), found


def compile_all() -> None:
    """Before the first fork, on a ring of its own."""
    with ring_of(2, [("gate", "gating"), ("tape", "free")]) as ring:
        found, into, wait = words_of_a_reader(1), np.zeros(WIDTH, np.int64), waiter("busy")
        write_records(ring.producer(), 1, 1, 0, wait)
        read_gating(ring.consumer("gate"), found, wait)
        read_free(ring.consumer("tape"), found, into, 0, wait)
        wait_for(ring.ring.header, 1, wait)
        assert found[TORN] == 0


def gating(ring: RingSegment, first: int, options: argparse.Namespace) -> list[Reader]:
    """One writer, two gating readers."""
    end = first + options.records
    readers = [start_gating(ring.consumer(name), end) for name in ("ledger", "audit")]
    write(ring.producer(), end, options)
    return readers


def free(ring: RingSegment, first: int, options: argparse.Namespace) -> list[Reader]:
    """One writer that nothing holds up, one free reader that is now and then too slow."""
    pid, found = start_free(ring.consumer("tape", resync=options.resync), NEVER, options)
    producer, end = ring.producer(), first
    while end < first + options.records or found[ACKED] < options.acked or found[LAPS] < options.laps:
        end += options.slice
        write(producer, end, options)
    store_relaxed(found, END, end)
    return [(pid, found)]


def killed(ring: RingSegment, first: int, options: argparse.Namespace) -> list[Reader]:
    """The writer is killed again and again, and replaced; a gating and a slow free reader go on all the time."""
    end = first + options.records
    readers = [
        start_gating(ring.consumer("ledger"), end),
        start_free(ring.consumer("tape", resync=options.resync), end, options),
    ]
    for kill in range(1, options.kills + 1):
        writer = child(lambda: write(ring.producer(), end, options))
        wait_for(ring.ring.header, first + options.records * kill // (options.kills + 1), waiter("backoff"))
        os.kill(writer, signal.SIGKILL)
        join(writer)
    write(ring.producer(), end, options)
    return readers


SCENARIOS: dict[str, tuple[Callable[[RingSegment, int, argparse.Namespace], list[Reader]], list[tuple[str, Mode]]]] = {
    "gating": (gating, [("ledger", "gating"), ("audit", "gating")]),
    "free": (free, [("tape", "free")]),
    "killed": (killed, [("ledger", "gating"), ("tape", "free")]),
}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("--capacity", type=int, default=64)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--writer-pauses", type=int, default=0)
    parser.add_argument("--reader-pauses", type=int, default=20)
    parser.add_argument("--resync", choices=["oldest", "newest"], default="oldest")
    parser.add_argument("--acked", type=int, default=10_000, help="of a free reader, at least")
    parser.add_argument("--laps", type=int, default=100, help="of a free reader, at least")
    parser.add_argument("--slice", type=int, default=10_000, help="records between two looks at the free reader")
    parser.add_argument("--kills", type=int, default=20)
    options = parser.parse_args(arguments)
    run, consumers = SCENARIOS[options.scenario]
    compile_all()
    with ring_of(options.capacity, consumers, start=options.start) as ring:
        readers = run(ring, options.start, options)
        exits = [join(pid) for pid, _ in readers]
        result = {
            "published": ring.published() - options.start,
            "readers": {
                name: {"acked": int(found[ACKED]), "torn": int(found[TORN]), "last": int(found[LAST]) - options.start}
                | {"lost": int(found[LOST]), "laps": int(found[LAPS])}
                for (name, _), (_, found) in zip(consumers, readers, strict=True)
            },
            "exits": exits,
            "lost": ring.lost(),
            "lag": ring.lag(),
            "full_waits": int(ring.ring.header[layout.W_FULL_WAITS]),
        }
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
