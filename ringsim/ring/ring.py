"""A ring in shared memory: creating it, attaching to it, and the handles that kernels take.

    with RingSegment.create("demo", EVENT, capacity=1024, consumers=[("reader", "gating")]) as ring:
        producer = ring.producer()          # to ringsim.ring.try_claim, put, publish
    ring = RingSegment.attach("demo", EVENT)
        consumer = ring.consumer("reader")  # to ringsim.ring.available, slots, release, poll

Invariant: one producer; consumers are fixed at creation; a handle holds the private words of exactly one of them.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Self

import numpy as np

from ringsim.atomics import load_acquire, store_release
from ringsim.errors import BadInput, LayoutError
from ringsim.kernel import kernel
from ringsim.limits import BATCH_SHARE, MAX_CAPACITY, MAX_CONSUMERS, MIN_CAPACITY
from ringsim.ring import layout as at
from ringsim.shm import Segment

Mode = Literal["gating", "free"]
_MODES: dict[str, int] = {"gating": at.GATING, "free": at.FREE}

# Words of a producer (handle.at is its line in the header).
P_NEXT = 0  # sequence of the next record: `published` itself
P_GATE = at.W_GATE - at.W_PUBLISHED
P_FULL = at.W_FULL_WAITS - at.W_PUBLISHED
P_REFUSED = at.W_REFUSED - at.W_PUBLISHED

# Private words of a consumer.
R_NEXT = 0  # sequence of the next record to read
R_SEEN = 1  # `published` when last looked
R_LOST = 2
R_LAPS = 3
R_NEWEST = 4  # 1: a lapped reader moves to the newest record, 0: to the oldest


class Ring(NamedTuple):
    """The shared part, as kernels see it. (A NamedTuple of an importable module: the kernel cache pickles its type.)

    header: int64[:], see layout. slots: recarray[capacity]. words: int64[capacity * width], the same memory.
    mask: capacity - 1. width: 64-bit words a slot.
    """

    header: np.ndarray
    slots: np.recarray
    words: np.ndarray
    mask: int
    width: int


class Producer(NamedTuple):
    """The writing end. at: int64[16], its line of the header, which nobody else writes."""

    ring: Ring
    at: np.ndarray


class Consumer(NamedTuple):
    """A reading end. at: int64[8], private. line: first header word of its line; -1 for an observer, which has none."""

    ring: Ring
    at: np.ndarray
    line: int


def process_start(pid: int) -> int:
    """Start time of a process in clock ticks since boot, 0 if it is gone: with the pid it names a process for good."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(text.rpartition(")")[2].split()[19])


def _pack_name(name: str) -> np.ndarray:
    raw = name.encode()
    if not 0 < len(raw) <= 24:
        raise BadInput(f"a ring's consumer or producer is named in 1..24 bytes, got {name!r}")
    return np.frombuffer(raw.ljust(24, b"\0"), np.int64)


def _unpack_name(words: np.ndarray) -> str:
    return words.tobytes().rstrip(b"\0").decode(errors="replace")


def check_capacity(capacity: int) -> int:
    """The capacity itself, or BadInput naming the power of two to use instead."""
    if not MIN_CAPACITY <= capacity <= MAX_CAPACITY:
        raise BadInput(f"ring capacity {capacity} is outside {MIN_CAPACITY}..{MAX_CAPACITY}")
    if capacity & (capacity - 1):
        raise BadInput(f"ring capacity {capacity} is no power of two; the next one is {1 << capacity.bit_length()}")
    return capacity


def check_record(dtype: np.dtype) -> np.dtype:
    """The dtype itself, or BadInput: a record starts with an int64 `stamp` and fills whole cache lines."""
    stamp = dtype.fields.get("stamp") if dtype.fields else None
    if stamp is None or stamp[0] != np.int64 or stamp[1] != 0:
        raise BadInput("a ring's record must begin with an int64 field named 'stamp'")
    if dtype.itemsize % 64:
        raise BadInput(f"a ring's record must fill whole 64-byte cache lines, got {dtype.itemsize} bytes; pad it")
    return dtype


@kernel
def _take_over(ring):
    """Publish what a dead producer stamped and did not get round to publish. Returns the sequence of the next record.

    It ends: a slot's stamp can equal the sequence only once a lap. A batch may be written with its first record last: what is
    stamped behind a record that is not whole was never to be seen, and is taken back before it is written again.
    """
    seq = load_acquire(ring.header, at.W_PUBLISHED)
    while load_acquire(ring.words, (seq & ring.mask) * ring.width) == seq + 1:
        seq += 1
    for behind in range(seq + 1, seq + max(1, (ring.mask + 1) // BATCH_SHARE)):
        if load_acquire(ring.words, (behind & ring.mask) * ring.width) == behind + 1:
            store_release(ring.words, (behind & ring.mask) * ring.width, 0)
    store_release(ring.header, at.W_PUBLISHED, seq)
    return seq


class RingSegment:
    """A ring and the segment that it lies in. Use `create` or `attach`; close it, or use it as a context manager.

    The creator's `with` block unlinks the segment at its end; an attached one is only unmapped.
    """

    def __init__(self, segment: Segment, dtype: np.dtype, *, owner: bool) -> None:
        self.segment, self.dtype, self.owner = segment, dtype, owner
        self.name = segment.name
        header: np.ndarray = np.ndarray(at.HEADER_WORDS, np.int64, segment.buf)
        capacity = int(header[at.W_CAPACITY])
        width = dtype.itemsize // 8
        slots = np.ndarray(capacity, dtype, segment.buf, at.SLOTS_OFFSET).view(np.recarray)
        words: np.ndarray = np.ndarray(capacity * width, np.int64, segment.buf, at.SLOTS_OFFSET)
        self.ring = Ring(header, slots, words, capacity - 1, width)

    @classmethod
    def create(
        cls,
        name: str,
        dtype: np.dtype,
        capacity: int,
        consumers: Sequence[tuple[str, Mode]],
        *,
        producer: str = "producer",
    ) -> Self:
        """Make a ring and mark it ready.

        name: of the segment. dtype: begins with int64 `stamp`, size a multiple of 64 bytes. capacity: a power of two,
        2..2**24. consumers: at most 8 (name, "gating" | "free"), names of 1..24 bytes, each once.
        Raises BadInput for these, SegmentError if the name exists or memory is short.
        """
        check_record(dtype)
        check_capacity(capacity)
        names = [n for n, _ in consumers]
        if len(names) > MAX_CONSUMERS or len(set(names)) < len(names):
            raise BadInput(f"a ring has at most {MAX_CONSUMERS} consumers with different names, got {names}")
        unknown = [mode for _, mode in consumers if mode not in _MODES]
        if unknown:
            raise BadInput(f"a ring's consumer is {' or '.join(_MODES)}, got {unknown[0]!r}")
        # Everything that can be refused is refused before there is a segment to leave behind.
        packed = [_pack_name(n) for n in (producer, *names)]
        segment = Segment(name, create=True, size_bytes=at.segment_size(capacity, dtype.itemsize))
        header: np.ndarray = np.ndarray(at.HEADER_WORDS, np.int64, segment.buf)
        header[at.W_MAGIC], header[at.W_VERSION], header[at.W_LAYOUT] = at.MAGIC, at.VERSION, at.layout_hash(dtype)
        header[at.W_CAPACITY], header[at.W_SLOT_SIZE], header[at.W_CONSUMERS] = capacity, dtype.itemsize, len(names)
        header[at.W_OWNER_PID], header[at.W_OWNER_START] = os.getpid(), process_start(os.getpid())
        header[at.W_NAME : at.W_NAME + 3] = packed[0]
        for index, (_, mode) in enumerate(consumers):
            line = at.consumer_line(index)
            header[line + at.C_MODE] = _MODES[mode]
            header[line + at.C_NAME : line + at.C_NAME + 3] = packed[index + 1]
        header[at.W_READY] = 1
        return cls(segment, dtype, owner=True)

    @classmethod
    def attach(cls, name: str, dtype: np.dtype) -> Self:
        """Map an existing ring. LayoutError if it is no ring, not ready, or of another version or record."""
        segment = Segment(name)
        problem = _header_problem(segment, dtype)
        if problem:
            segment.close()
            raise LayoutError(f"{name}: {problem}")
        return cls(segment, dtype, owner=False)

    @property
    def capacity(self) -> int:
        return self.ring.mask + 1

    def consumer_names(self) -> list[str]:
        """In the order of their lines."""
        header = self.ring.header
        lines = [at.consumer_line(k) for k in range(int(header[at.W_CONSUMERS]))]
        return [_unpack_name(header[line + at.C_NAME : line + at.C_NAME + 3]) for line in lines]

    def producer_name(self) -> str:
        return _unpack_name(self.ring.header[at.W_NAME : at.W_NAME + 3])

    def producer(self) -> Producer:
        """The writing end, at the end of what is published: a first producer at 0, a replacement where the old one stopped.

        A dead producer may have stamped records that it did not get round to publish; they are whole, and published here.
        """
        header = self.ring.header
        seq = int(_take_over(self.ring))
        header[at.W_GATE] = seq - self.capacity  # seems full, so that the first claim looks at the cursors
        return Producer(self.ring, header[at.LINE : 2 * at.LINE])

    def consumer(self, name: str, *, resync: Literal["oldest", "newest"] = "oldest") -> Consumer:
        """The reading end named so at creation, at its released cursor. BadInput, with the names there are, if none."""
        names = self.consumer_names()
        if name not in names:
            raise BadInput(f"ring {self.name} has no consumer {name!r}; it has {', '.join(names) or 'none'}")
        line = at.consumer_line(names.index(name))
        private = np.zeros(8, np.int64)
        private[R_NEXT] = self.ring.header[line + at.C_RELEASED]
        private[R_LOST], private[R_LAPS] = self.ring.header[line + at.C_LOST], self.ring.header[line + at.C_LAPS]
        private[R_NEWEST] = resync == "newest"
        return Consumer(self.ring, private, line)

    def observer(self, *, resync: Literal["oldest", "newest"] = "newest") -> Consumer:
        """A read-only free reader with no line of its own: nobody sees it, nobody waits for it. It starts at the head."""
        private = np.zeros(8, np.int64)
        private[R_NEXT] = self.ring.header[at.W_PUBLISHED]
        private[R_NEWEST] = resync == "newest"
        return Consumer(self.ring, private, -1)

    def published(self) -> int:
        """Records published so far."""
        return int(self.ring.header[at.W_PUBLISHED])

    def gating_cursors(self) -> dict[str, int]:
        """Released cursor of each gating consumer, by name."""
        header, found = self.ring.header, {}
        for index, name in enumerate(self.consumer_names()):
            line = at.consumer_line(index)
            if header[line + at.C_MODE] == at.GATING:
                found[name] = int(header[line + at.C_RELEASED])
        return found

    def lag(self) -> dict[str, int]:
        """Records published and not yet released, >= 0, for each consumer.

        A reader that goes by stamps can be ahead of `published` for a moment; that is a lag of 0.
        """
        header, published = self.ring.header, self.published()
        released = [int(header[at.consumer_line(k) + at.C_RELEASED]) for k in range(int(header[at.W_CONSUMERS]))]
        return {name: max(0, published - cursor) for name, cursor in zip(self.consumer_names(), released, strict=True)}

    def lost(self) -> dict[str, int]:
        """Records that each consumer lost, as it last said."""
        header = self.ring.header
        return {name: int(header[at.consumer_line(k) + at.C_LOST]) for k, name in enumerate(self.consumer_names())}

    def who_gates(self) -> str | None:
        """Name of the gating consumer furthest behind, None without one or when it has read everything."""
        cursors = self.gating_cursors()
        slowest = min(cursors, key=lambda name: cursors[name], default=None)
        return slowest if slowest is not None and cursors[slowest] < self.published() else None

    def close(self) -> None:
        """Unmap; the creator also removes the name."""
        self.segment.close()
        if self.owner:
            self.segment.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _header_problem(segment: Segment, dtype: np.dtype) -> str | None:
    if segment.size < at.SLOTS_OFFSET:
        return f"{segment.size} bytes are too few for a ring"
    header: np.ndarray = np.ndarray(at.HEADER_WORDS, np.int64, segment.buf)
    if header[at.W_MAGIC] != at.MAGIC:
        return "not a ring (wrong magic word)"
    if header[at.W_VERSION] != at.VERSION:
        return f"ring layout version {header[at.W_VERSION]}, this program reads {at.VERSION}"
    if header[at.W_READY] != 1:
        return "its creator has not finished it"
    if header[at.W_LAYOUT] != at.layout_hash(dtype):
        return "it holds another kind of record"
    if segment.size < at.segment_size(int(header[at.W_CAPACITY]), dtype.itemsize):
        return "the segment is shorter than its header says"
    return None
