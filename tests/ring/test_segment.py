"""Making a ring and attaching to it: what is refused, in which words, and that a refusal leaves nothing behind."""

import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest

from ringsim.errors import BadInput, LayoutError, SegmentError
from ringsim.limits import MAX_CAPACITY, MAX_CONSUMERS
from ringsim.ring import RingSegment, layout
from ringsim.ring.ring import process_start
from ringsim.shm import FOLDER, Segment
from tests.ring.rings import RECORD, fresh_name, ring_of


@contextmanager
def plain_segment(size_bytes):
    """A segment that is no ring; its name while it lives."""
    segment = Segment(fresh_name(), create=True, size_bytes=size_bytes)
    try:
        yield segment.name
    finally:
        segment.close()
        segment.unlink()


@pytest.fixture
def ring():
    with ring_of(4, [("ledger", "gating"), ("screen", "free")]) as ring:
        yield ring


@pytest.mark.parametrize(("capacity", "named"), [(3, "4"), (5, "8"), (1000, "1024"), (10000, "16384")])
def test_a_capacity_that_is_no_power_of_two_is_refused_and_the_next_one_named(capacity, named):
    with pytest.raises(BadInput, match=rf"{capacity} is no power of two; the next one is {named}\b"):
        RingSegment.create(fresh_name(), RECORD, capacity, [])


@pytest.mark.parametrize("capacity", [-4, 0, 1, MAX_CAPACITY * 2])
def test_a_capacity_out_of_range_is_refused_and_the_range_named(capacity):
    with pytest.raises(BadInput, match=rf"{capacity} is outside 2\.\.{MAX_CAPACITY}"):
        RingSegment.create(fresh_name(), RECORD, capacity, [])


@pytest.mark.parametrize(
    ("dtype", "problem"),
    [
        (np.dtype("i8"), "begin with an int64 field named 'stamp'"),
        (np.dtype([("seq", "i8"), ("words", "i8", (7,))]), "begin with an int64 field named 'stamp'"),
        (np.dtype([("stamp", "f8"), ("words", "i8", (7,))]), "begin with an int64 field named 'stamp'"),
        (np.dtype([("words", "i8", (7,)), ("stamp", "i8")]), "begin with an int64 field named 'stamp'"),
        (np.dtype([("stamp", "i8"), ("words", "i8", (6,))]), "whole 64-byte cache lines, got 56 bytes"),
    ],
)
def test_a_record_without_a_stamp_or_with_half_a_line_is_refused(dtype, problem):
    with pytest.raises(BadInput, match=problem):
        RingSegment.create(fresh_name(), dtype, 4, [])


@pytest.mark.parametrize(
    ("consumers", "problem"),
    [
        ([(f"reader {k}", "free") for k in range(MAX_CONSUMERS + 1)], f"at most {MAX_CONSUMERS} consumers"),
        ([("twice", "free"), ("twice", "gating")], "different names"),
        ([("reader", "lossy")], "gating or free, got 'lossy'"),
        ([("", "free")], r"1\.\.24 bytes"),
        ([("a name of more than 24 bytes", "free")], r"1\.\.24 bytes"),
    ],
)
def test_consumers_that_a_header_cannot_hold_are_refused(consumers, problem):
    with pytest.raises(BadInput, match=problem):
        RingSegment.create(fresh_name(), RECORD, 4, consumers)


def test_names_and_modes_are_kept(ring):
    with ring_of(2, [(f"reader {k}", "free" if k % 2 else "gating") for k in range(MAX_CONSUMERS)]) as full:
        assert full.consumer_names() == [f"reader {k}" for k in range(MAX_CONSUMERS)]
        assert list(full.gating_cursors()) == [f"reader {k}" for k in range(0, MAX_CONSUMERS, 2)]
    assert ring.producer_name() == "producer" and ring.consumer_names() == ["ledger", "screen"]
    assert ring.capacity == 4 and set(ring.gating_cursors()) == {"ledger"}


def test_an_unknown_reader_is_refused_and_the_known_ones_named(ring):
    with pytest.raises(BadInput, match=r"no consumer 'tape'; it has ledger, screen"):
        ring.consumer("tape")
    with ring_of(2, []) as bare, pytest.raises(BadInput, match="it has none"):
        bare.consumer("tape")


def test_a_name_that_exists_is_refused(ring):
    with pytest.raises(SegmentError, match=f"{ring.name} is already there"):
        RingSegment.create(ring.name, RECORD, 4, [])


def test_a_name_that_is_missing_is_refused():
    with pytest.raises(SegmentError, match="no shared-memory segment named"):
        RingSegment.attach(fresh_name(), RECORD)


def test_more_than_dev_shm_holds_is_an_error_by_name_and_leaves_nothing():
    name = fresh_name()
    with pytest.raises(SegmentError, match=rf"cannot hold {2**45:,} bytes for {name}.*lower the capacities"):
        Segment(name, create=True, size_bytes=2**45)
    assert not (FOLDER / name).exists()
    wide = np.dtype([("stamp", "i8"), ("rest", "i8", (2**18 - 1,))])
    with pytest.raises(SegmentError, match="cannot hold"):
        RingSegment.create(name, wide, MAX_CAPACITY, [])
    assert not (FOLDER / name).exists()


def test_a_segment_too_short_for_a_header_is_no_ring():
    with plain_segment(64) as name, pytest.raises(LayoutError, match="too few for a ring"):
        RingSegment.attach(name, RECORD)


def test_a_segment_that_is_something_else_is_no_ring():
    with plain_segment(1 << 16) as name, pytest.raises(LayoutError, match="not a ring"):
        RingSegment.attach(name, RECORD)


@pytest.mark.parametrize(
    ("word", "value", "problem"),
    [
        (layout.W_MAGIC, 7, "not a ring"),
        (layout.W_VERSION, layout.VERSION + 1, f"version {layout.VERSION + 1}, this program reads {layout.VERSION}"),
        (layout.W_READY, 0, "not finished"),
        (layout.W_LAYOUT, 1, "another kind of record"),
        (layout.W_CAPACITY, 1 << 20, "shorter than its header says"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(ring, word, value, problem):
    ring.ring.header[word] = value
    with pytest.raises(LayoutError, match=problem):
        RingSegment.attach(ring.name, RECORD)


def test_another_record_of_the_same_size_is_refused(ring):
    for other in ([("stamp", "i8"), ("words", "f8", (7,))], [("stamp", "i8"), ("others", "i8", (7,))]):
        with pytest.raises(LayoutError, match="another kind of record"):
            RingSegment.attach(ring.name, np.dtype(other))


def test_an_attached_ring_is_the_same_memory_and_only_the_creator_removes_it(ring):
    with RingSegment.attach(ring.name, RECORD) as attached:
        attached.ring.slots[3].words[6] = 42
        assert ring.ring.slots[3].words[6] == 42 and attached.capacity == 4
        assert attached.consumer_names() == ring.consumer_names()
    assert (FOLDER / ring.name).exists()
    ring.close()
    assert not (FOLDER / ring.name).exists()
    ring.close()


def test_a_stranger_that_attaches_and_exits_leaves_the_ring_alone(ring):
    program = (
        "import sys; from ringsim.ring import RingSegment; from tests.ring.rings import RECORD;"
        "ring = RingSegment.attach(sys.argv[1], RECORD); print(ring.consumer_names())"
    )
    done = subprocess.run([sys.executable, "-c", program, ring.name], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "['ledger', 'screen']\n", "")
    assert (FOLDER / ring.name).exists()


def test_the_owner_is_named_for_good(ring):
    header = ring.ring.header
    assert process_start(int(header[layout.W_OWNER_PID])) == header[layout.W_OWNER_START] > 0
    assert process_start(2**22 + 1) == 0  # above the kernel's highest pid
