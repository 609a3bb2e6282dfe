"""Rings for tests: records whose every word derives from their sequence, and rings that begin anywhere."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

import numpy as np

from ringsim.kernel import kernel
from ringsim.ring import Consumer, RingSegment, layout
from ringsim.ring.ring import R_NEXT, Mode
from ringsim.shm import segment_name

WIDTH = 8
RECORD = np.dtype([("stamp", "i8"), ("words", "i8", (WIDTH - 1,))])

_numbers = count()


def fresh_name() -> str:
    """A segment name that nobody else uses."""
    return segment_name(f"test{os.getpid()}", f"ring{next(_numbers)}")


@contextmanager
def ring_of(
    capacity: int, consumers: Sequence[tuple[str, Mode]], *, start: int = 0, dtype: np.dtype = RECORD
) -> Iterator[RingSegment]:
    """A new ring that stands at sequence `start`, as if `start` records had gone through it and all readers were there."""
    with RingSegment.create(fresh_name(), dtype, capacity, consumers) as ring:
        stand_at(ring, start)
        yield ring


def stand_at(ring: RingSegment, start: int) -> None:
    """Set the words that a ring has after `start` records, the last lap's stamps included."""
    header = ring.ring.header
    slots: Any = ring.ring.slots
    header[layout.W_PUBLISHED] = start
    for index in range(len(ring.consumer_names())):
        header[layout.consumer_line(index) + layout.C_RELEASED] = start
    for seq in range(max(0, start - ring.capacity), start):
        slots.stamp[seq & ring.ring.mask] = seq + 1


def memory_of(ring: RingSegment) -> bytes:
    """All of it, header and slots."""
    assert ring.segment.buf is not None
    return bytes(ring.segment.buf)


@kernel(inline=True)
def word_of(seq, k):
    """Word k of record `seq`: no two words of no two records near each other are the same."""
    return seq ^ (k << 48)


@kernel
def fill(words, start, seq, width):
    """Words 1.. of record `seq`, at words[start]."""
    for k in range(1, width):
        words[start + k] = word_of(seq, k)


@kernel
def is_whole(words, start, seq, width):
    """Whether the words at words[start] are those of record `seq`, all of them."""
    same = True
    for k in range(1, width):
        if words[start + k] != word_of(seq, k):
            same = False
    return same


def read_in_place(consumer: Consumer, number: int) -> bool:
    """Whether the record `number` places after a gating consumer's cursor is whole and the right one."""
    ring, seq = consumer.ring, int(consumer.at[R_NEXT]) + number
    return bool(is_whole(ring.words, (seq & ring.mask) * ring.width, seq, ring.width))
