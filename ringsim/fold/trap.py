"""Named places where a stage can be told to die, so that recovery from each of them can be tried on purpose.

The parent (chaos, tests) writes a point and a number of inputs to the stage's block of the control page; the first time that
the stage passes that point with as many inputs, it notes the time, takes the trap away and ends itself by SIGKILL, in the
middle of the kernel. It is the code that always runs: an unset trap costs one load of a line that nobody writes.
"""

from enum import IntEnum

import numpy as np

from ringsim.atomics import die, load_relaxed, now_ns, pause, store_relaxed, store_release
from ringsim.control import S_TRAP, S_TRAP_AT, S_TRAP_HANGS, S_TRAP_NS
from ringsim.kernel import kernel
from ringsim.ring.producer import begin


class Point(IntEnum):
    """In the order in which a slice passes them; then those of a commit, and of a restart."""

    NONE = 0
    BEFORE_JOURNAL = 1  # the input is copied, the journal's head does not say so yet
    JOURNALLED = 2  # it has happened, and has had no effect
    FOLDED = 3  # the state has it, nothing is published
    HALF_RECORD = 4  # half of an output's words are in its slot
    WRITTEN = 5  # the output is whole in its slot, `published` does not count it
    PUBLISHED = 6
    BEFORE_RELEASE = 7  # inputs are folded, their slots are not given back
    RELEASED = 8  # the market's are, the peer's are not
    BEFORE_COMMIT = 9
    FLIPPED = 10  # the working copy is the good one, the other is old
    HALF_COPY = 11  # half of the words of the other copy are new
    RESTART_HALF = 12  # a replacement has copied half of the good copy
    REDO = 13  # it has redone a part of its journal


_NONE = np.int64(Point.NONE)

# The points as kernels want them: int64, so that no literal makes a second version of `trap`.
BEFORE_JOURNAL, JOURNALLED, FOLDED = (np.int64(p) for p in (Point.BEFORE_JOURNAL, Point.JOURNALLED, Point.FOLDED))
HALF_RECORD, WRITTEN, PUBLISHED = (np.int64(p) for p in (Point.HALF_RECORD, Point.WRITTEN, Point.PUBLISHED))
BEFORE_RELEASE, RELEASED = (np.int64(p) for p in (Point.BEFORE_RELEASE, Point.RELEASED))
BEFORE_COMMIT, FLIPPED, HALF_COPY = (np.int64(p) for p in (Point.BEFORE_COMMIT, Point.FLIPPED, Point.HALF_COPY))
RESTART_HALF, REDO = (np.int64(p) for p in (Point.RESTART_HALF, Point.REDO))


@kernel
def trap(control, at, point, inputs):
    """Die here if that was asked. at: the stage's block of the control page. inputs: how many the stage has taken."""
    if load_relaxed(control, at + S_TRAP) == point and inputs >= load_relaxed(control, at + S_TRAP_AT):
        store_relaxed(control, at + S_TRAP_NS, now_ns())
        store_release(control, at + S_TRAP, _NONE)
        while load_relaxed(control, at + S_TRAP_HANGS) != 0:
            pause()  # a kernel that hangs: it runs, and does not beat
        die()


@kernel
def trap_half_record(control, at, inputs, producer, seq, source, start):
    """HALF_RECORD: begin the record `seq`, write half of its words, and die there."""
    if load_relaxed(control, at + S_TRAP) == HALF_RECORD and inputs >= load_relaxed(control, at + S_TRAP_AT):
        base = begin(producer, seq)
        for k in range(1, producer.ring.width // 2):
            store_relaxed(producer.ring.words, base + k, source[start + k])
        trap(control, at, HALF_RECORD, inputs)
