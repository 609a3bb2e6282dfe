"""Where everything lies in a ring's segment, and nothing else.

    bytes 0..        header: identity, written once; `ready` stored last
    128              producer line: published; in its second cache line what the producer keeps for itself
    256 + 128 k      consumer line k (k < 8): released cursor, mode, lost, laps, name
    4096..           slots: capacity x slot size; word 0 of a slot is its stamp

Counters of different writers are 128 bytes apart: two cache lines, because the prefetcher fetches pairs. Offsets are in
64-bit words. docs/memory-layout.md shows the same table and a test compares the two.
"""

import hashlib

import numpy as np

from ringsim.limits import MAX_CONSUMERS

MAGIC = 0x52494E4753494D31  # "RINGSIM1"
VERSION = 2

LINE = 16  # words between counters of different writers

# Header line, written once by the creator.
W_MAGIC = 0
W_VERSION = 1
W_LAYOUT = 2  # hash of the record's dtype
W_CAPACITY = 3  # slots
W_SLOT_SIZE = 4  # bytes
W_CONSUMERS = 5
W_OWNER_PID = 6
W_OWNER_START = 7  # the owner's start time in clock ticks since boot: a recycled pid is somebody else
W_READY = 8
W_NAME = 9  # 3 words of UTF-8: the producer's name

# Producer line. A store to another cache line between a record and `published` costs a record 5 ns: the producer's own words
# lie here too, where a replacement finds them, and off the cache line that readers wait on.
W_PUBLISHED = LINE
W_GATE = LINE + 8  # smallest released cursor when last looked
W_FULL_WAITS = LINE + 9  # claims that had to wait
W_REFUSED = LINE + 10  # 1 + sequence of the last such claim

# Consumer lines.
W_CONSUMER_0 = 2 * LINE
C_RELEASED = 0
C_MODE = 1
C_LOST = 2
C_LAPS = 3
C_NAME = 4  # 3 words of UTF-8

HEADER_WORDS = W_CONSUMER_0 + MAX_CONSUMERS * LINE
SLOTS_OFFSET = 4096  # bytes; the slots begin on a page of their own

# Consumer modes.
GATING = 1
FREE = 2

assert HEADER_WORDS * 8 <= SLOTS_OFFSET


def consumer_line(index: int) -> int:
    """First word of consumer `index`'s line."""
    return W_CONSUMER_0 + index * LINE


def segment_size(capacity: int, slot_size: int) -> int:
    """Bytes of a ring's segment."""
    return SLOTS_OFFSET + capacity * slot_size


def layout_hash(dtype: np.dtype) -> int:
    """A positive int64 that changes with any field's name, type or offset."""
    fields = [(name, str(kind), offset) for name, (kind, offset, *_) in sorted((dtype.fields or {}).items())]
    digest = hashlib.sha256(repr((dtype.itemsize, fields)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1
