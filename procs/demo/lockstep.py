"""The demo's page and kernels: three processes that take turns by counting steps.

    line 0   the parent: steps opened, the lifecycle they are in
    line 1   the producer: steps whose records are published
    line 2   the consumer: steps polled, and what it saw

A turn is a release store of "steps I have done" and an acquire load of another's, so a step's figures and records are
visible to whoever is let on by it. Invariant: parent >= producer >= consumer >= parent - 1, at every moment.
"""

from typing import NamedTuple

import numpy as np

from ringsim.atomics import load_acquire, load_relaxed, now_ns, store_relaxed, store_release
from ringsim.kernel import kernel
from ringsim.lifecycle import Lifecycle
from ringsim.limits import DEMO_RATE, DEMO_STEPS, SLICE_NS
from ringsim.ring import EMPTY, LAPPED, OK, batch_max, idle, poll, publish, put, reset, try_claim

_LINE = 16
OPENED = 0
LIFECYCLE = 1
PRODUCED = _LINE
POLLED = 2 * _LINE
SEEN = 2 * _LINE + 1  # the consumer's counts, in the order of `Seen`
PAGE_WORDS = 3 * _LINE


class Seen(NamedTuple):
    """What the consumer counts, from the start of the demo; in this order in its line."""

    acked: int
    executed: int  # acked in READY
    provisional: int  # acked in any other state
    lost: int  # gaps between the sequences that it got
    laps: int  # polls that found themselves lapped
    empty_polls: int
    mismatched: int  # payload words that were not those of their sequence: none, or the ring is broken
    checksum: int


_ACKED, _EXECUTED, _PROVISIONAL, _LOST, _LAPS, _EMPTY_POLLS, _MISMATCHED, _CHECKSUM = range(len(Seen._fields))
_NEXT = len(Seen._fields)  # behind them, private: the sequence that follows the last one got
COUNT_WORDS = _NEXT + 1

RECORD = np.dtype([("stamp", np.int64), ("payload", np.int64, 7)])
_WIDTH = RECORD.itemsize // 8
_SPREAD = 2_654_435_761  # a prime near 2**32 / golden ratio: neighbours differ in all their upper bits
_CHECKSUM_MASK = (1 << 52) - 1  # every reader of JSON keeps it exact
_READY = int(Lifecycle.READY)

assert SEEN + len(Seen._fields) <= PAGE_WORDS
assert DEMO_STEPS * DEMO_RATE * _SPREAD + _WIDTH < 1 << 62
assert 31 * _CHECKSUM_MASK < 1 << 62


@kernel
def payload_word(seq, k):
    """Word k of record `seq`: no two records of a demo share one."""
    return seq * _SPREAD + k


@kernel
def open_step(page, step, lifecycle):
    """Parent: step `step` begins, in this state."""
    store_relaxed(page, LIFECYCLE, lifecycle)
    store_release(page, OPENED, step + 1)


@kernel
def reached(page, word, steps, waiter):
    """Wait until the word says so many steps, at most a slice. Returns whether it does."""
    until_ns = now_ns() + SLICE_NS
    while load_acquire(page, word) < steps:
        if now_ns() > until_ns:
            return False
        idle(waiter)
    reset(waiter)
    return True


@kernel
def produce(page, producer, record, ingest, step):
    """Publish the step's records in batches, the last one perhaps smaller; more than the capacity wrap around.

    record: int64[8], scratch. Returns whether the ring took them all: with free readers alone it always does.
    """
    left, largest = ingest, batch_max(producer)
    while left > 0:
        n = min(left, largest)
        first = try_claim(producer, n)
        if first < 0:
            return False
        for seq in range(first, first + n):
            for k in range(1, _WIDTH):
                record[k] = payload_word(seq, k)
            put(producer, seq, record, 0)
        publish(producer, n)
        left -= n
    store_release(page, PRODUCED, step + 1)
    return True


@kernel
def consume(page, consumer, record, counts, polls, step):
    """Poll so many times, count, and say that the step is over.

    record: int64[8], scratch. counts: int64[COUNT_WORDS], private; copied to the page at the end of the step.
    """
    ready = load_relaxed(page, LIFECYCLE) == _READY
    for _ in range(polls):
        result = poll(consumer, record, 0)
        if result == EMPTY:
            counts[_EMPTY_POLLS] += 1
        if result & LAPPED:
            counts[_LAPS] += 1
        if result & OK:
            _acknowledge(record, counts, ready)
    for k in range(_NEXT):
        store_relaxed(page, SEEN + k, counts[k])
    store_release(page, POLLED, step + 1)


@kernel
def _acknowledge(record, counts, ready):
    """Check one record and count it: executed in READY, provisional otherwise."""
    seq = record[0] - 1
    counts[_LOST] += seq - counts[_NEXT]
    counts[_NEXT] = seq + 1
    counts[_ACKED] += 1
    counts[_EXECUTED if ready else _PROVISIONAL] += 1
    for k in range(1, _WIDTH):
        if record[k] != payload_word(seq, k):
            counts[_MISMATCHED] += 1
        counts[_CHECKSUM] = (counts[_CHECKSUM] * 31 + record[k]) & _CHECKSUM_MASK
