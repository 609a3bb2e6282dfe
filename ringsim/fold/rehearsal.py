"""A waiting stage rehearses: it folds a script of inputs, over and over, into a state of its own that nobody sees.

Between two messages of a quiet market lie milliseconds, and in them a core forgets: the code of the folds leaves its caches,
its branches are predicted no longer. The first message then costs five to ten times what it costs in bulk, at every stage on
its way. A stage that spins has nothing better to do than to stay in practice.

    script  journal entries, each input as the stage once took it       (a made-up market, made by the warm-up)
    state   the twin: as it was before the script's first entry          (private memory, never committed)
    undo    the words that the script changes, with what was in them     (at the script's end they are put back)

Invariants: an entry is laid into the journal's next, still open place and never committed, so a redo does not know of it;
the outbox is emptied and nothing is published; the stage's own state is not touched. The same compiled functions run for a
rehearsal and for an input, or it would be another function that stays warm.
"""

from typing import NamedTuple

import numpy as np

from ringsim.fold.journal import E_NOW, E_STREAM, ENTRY_WORDS, HEAD, Journal, journal_slot
from ringsim.kernel import kernel


class Pace(NamedTuple):
    """What a stage does in its rounds of waiting. every: a power of two.

    entries: of the script, folded in one round of `every`; near: rounds of ringsim.fold.near in each.
    """

    entries: int
    every: int
    near: int


ALONE = Pace(entries=1, every=4, near=1)  # who spins looks at its rings most of the time
SHARING = Pace(
    entries=20, every=1, near=32
)  # who shares a core has seldom a turn, and each costs as much as twenty entries
NOTHING_TO_REHEARSE = Pace(entries=0, every=1, near=1)

# Words of Rehearsal.at.
NEXT_ENTRY, ENTRIES, EVERY_MASK, NEAR = range(4)


class Rehearsal(NamedTuple):
    """script: int64[entries * ENTRY_WORDS]. state: recarray[1]. memory: its words, int64[:].

    places, values: int64[:], the undo. at: int64[4], the next entry of the script, and the pace.
    """

    script: np.ndarray
    state: np.ndarray
    memory: np.ndarray
    places: np.ndarray
    values: np.ndarray
    at: np.ndarray


class Script(NamedTuple):
    """What a rehearsal begins with. before: the words of the state before the first entry; after: behind the last one."""

    entries: np.ndarray
    before: np.ndarray
    after: np.ndarray


def recorded(journal: Journal, first: int, before: np.ndarray, after: np.ndarray) -> Script:
    """The script of what a journal holds from its entry `first` on; empty if that was overwritten.

    before, after: the words of the states before `first` and at the journal's end.
    """
    head = int(journal.header[HEAD])
    numbers = np.arange(first, head) if head - first <= journal.mask + 1 else np.arange(0)
    entries = journal.words.reshape(-1, ENTRY_WORDS)[numbers & journal.mask]
    return Script(entries.reshape(-1).copy(), before.copy(), after.copy())


def rehearsal(script: Script | None, dtype: np.dtype, pace: Pace = ALONE) -> Rehearsal:
    """A rehearsal of a script (None: of nothing), in memory of its own. dtype: of the state."""
    if script is None:
        pace = NOTHING_TO_REHEARSE
        nothing = np.zeros(dtype.itemsize // 8, np.int64)
        script = Script(np.zeros(0, np.int64), nothing, nothing)
    memory = script.before.copy()
    places = np.flatnonzero(script.before != script.after)
    values = script.before[places]
    at = np.array([0, pace.entries, pace.every - 1, pace.near], np.int64)
    return Rehearsal(script.entries, memory.view(dtype).view(np.recarray), memory, places, values, at)


@kernel(inline=True)
def rehearses(r, turn):
    """How many entries are to be folded in this round of waiting. turn: rounds so far."""
    return r.at[ENTRIES] if turn & r.at[EVERY_MASK] == 0 else 0


@kernel
def rehearsal_undo(r):
    """Back to the script's first entry: the state is again what it was before it."""
    for k in range(r.places.size):
        r.memory[r.places[k]] = r.values[k]
    r.at[NEXT_ENTRY] = 0


@kernel
def rehearsal_next(r, journal, position):
    """Lay the script's next entry into the journal's open place `position`, as input number `position` of the twin.

    Returns its stream. Only where there is a script, and room in the journal.
    """
    if (r.at[NEXT_ENTRY] + 1) * ENTRY_WORDS > r.script.size:
        rehearsal_undo(r)
    source, target = r.at[NEXT_ENTRY] * ENTRY_WORDS, journal_slot(journal, position)
    for k in range(ENTRY_WORDS):
        journal.words[target + k] = r.script[source + k]
    r.at[NEXT_ENTRY] += 1
    pos = r.state[0].pos
    pos.journal = position + 1
    pos.now_ns = r.script[source + E_NOW]
    return r.script[source + E_STREAM]
