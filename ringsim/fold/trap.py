"""Named places where a stage can be told to end, so that recovery from each of them can be tried on purpose.

The parent (chaos, tests) writes a point and a number of inputs to the stage's block of the control page; the first time that
the stage passes that point with as many inputs, it notes the time, takes the trap away and ends there as the third word says:
by SIGKILL in the middle of the kernel, by never coming back, or by an exception that the kernel raises. It is the code that
always runs: an unset trap costs one load of a line that nobody writes.
"""

from enum import IntEnum

import numpy as np

from ringsim.atomics import die, load_relaxed, now_ns, pause, store_relaxed, store_release
from ringsim.control import S_TRAP, S_TRAP_AT, S_TRAP_HOW, S_TRAP_NS
from ringsim.errors import InjectedFault
from ringsim.kernel import kernel
from ringsim.ring.producer import begin


class Point(IntEnum):
    """In the order in which a slice passes them; then those of a commit, and of a restart."""

    NONE = 0
    BEFORE_JOURNAL = 1  # the input is copied, the journal's head does not say so yet
    JOURNALLED = 2  # it has happened, and has had no effect
    FOLDING = 3  # in the fold, which a redo does again: an input that kills here kills every successor, too
    FOLDED = 4  # the state has it, nothing is published
    HALF_RECORD = 5  # half of an output's words are in its slot
    WRITTEN = 6  # the output is whole in its slot, `published` does not count it
    PUBLISHED = 7
    BEFORE_RELEASE = 8  # inputs are folded, their slots are not given back
    RELEASED = 9  # the market's are, the peer's are not
    BEFORE_COMMIT = 10
    FLIPPED = 11  # the working copy is the good one, the other is old
    HALF_COPY = 12  # half of the words of the other copy are new
    RESTART_HALF = 13  # a replacement has copied half of the good copy
    REDO = 14  # it has redone a part of its journal


class How(IntEnum):
    """How a stage ends at its point."""

    KILLED = 0
    HANGS = 1  # until the word is another: it runs, and does not beat
    RAISES = 2  # an exception leaves the kernel, and the process with it
    RAISES_AGAIN = 3  # the trap stays set: whoever passes here raises


_NONE = np.int64(Point.NONE)
_HANGS, _RAISES, _RAISES_AGAIN = np.int64(How.HANGS), np.int64(How.RAISES), np.int64(How.RAISES_AGAIN)

# The points as kernels want them: int64, so that no literal makes a second version of `trap`.
BEFORE_JOURNAL, JOURNALLED = np.int64(Point.BEFORE_JOURNAL), np.int64(Point.JOURNALLED)
FOLDING, FOLDED = np.int64(Point.FOLDING), np.int64(Point.FOLDED)
HALF_RECORD, WRITTEN, PUBLISHED = (np.int64(p) for p in (Point.HALF_RECORD, Point.WRITTEN, Point.PUBLISHED))
BEFORE_RELEASE, RELEASED = (np.int64(p) for p in (Point.BEFORE_RELEASE, Point.RELEASED))
BEFORE_COMMIT, FLIPPED, HALF_COPY = (np.int64(p) for p in (Point.BEFORE_COMMIT, Point.FLIPPED, Point.HALF_COPY))
RESTART_HALF, REDO = (np.int64(p) for p in (Point.RESTART_HALF, Point.REDO))


@kernel
def trap(control, at, point, inputs):
    """End here if that was asked. at: the stage's block of the control page. inputs: how many the stage has taken.

    Raises InjectedFault if it is to end so.
    """
    if load_relaxed(control, at + S_TRAP) == point and inputs >= load_relaxed(control, at + S_TRAP_AT):
        store_relaxed(control, at + S_TRAP_NS, now_ns())
        how = load_relaxed(control, at + S_TRAP_HOW)
        if how != _RAISES_AGAIN:
            store_release(control, at + S_TRAP, _NONE)
        if how >= _RAISES:
            raise InjectedFault("an exception was injected into the fold")
        while load_relaxed(control, at + S_TRAP_HOW) == _HANGS:
            pause()
        die()


@kernel
def trap_half_record(control, at, inputs, producer, seq, source, start):
    """HALF_RECORD: begin the record `seq`, write half of its words, and die there."""
    if load_relaxed(control, at + S_TRAP) == HALF_RECORD and inputs >= load_relaxed(control, at + S_TRAP_AT):
        base = begin(producer, seq)
        for k in range(1, producer.ring.width // 2):
            store_relaxed(producer.ring.words, base + k, source[start + k])
        trap(control, at, HALF_RECORD, inputs)
