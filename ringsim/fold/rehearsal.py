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


class Rehearsal(NamedTuple):
    """script: int64[entries * ENTRY_WORDS], empty: there is none. state: recarray[1]. memory: its words, int64[:].

    places, values: int64[:], the undo. at: int64[2], the next entry, and how many are folded in one round of waiting.
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


def rehearsal(script: Script | None, dtype: np.dtype, entries: int = 1) -> Rehearsal:
    """A rehearsal of a script (None: of nothing), in memory of its own. dtype: of the state. entries: in a round."""
    if script is None:
        nothing = np.zeros(dtype.itemsize // 8, np.int64)
        script = Script(np.zeros(0, np.int64), nothing, nothing)
    memory = script.before.copy()
    places = np.flatnonzero(script.before != script.after)
    values = script.before[places]
    return Rehearsal(
        script.entries, memory.view(dtype).view(np.recarray), memory, places, values, np.array([0, entries, 0, 0, 3 if entries == 1 else 0, 1 if entries == 1 else 32], np.int64)
    )


@kernel
def rehearsal_undo(r):
    """Back to the script's first entry: the state is again what it was before it."""
    for k in range(r.places.size):
        r.memory[r.places[k]] = r.values[k]
    r.at[0] = 0


@kernel
def rehearsal_next(r, journal, position):
    """Lay the script's next entry into the journal's open place `position`, as input number `position` of the twin.

    Returns its stream. Only where there is a script, and room in the journal.
    """
    if (r.at[0] + 1) * ENTRY_WORDS > r.script.size:
        rehearsal_undo(r)
    source, target = r.at[0] * ENTRY_WORDS, journal_slot(journal, position)
    for k in range(ENTRY_WORDS):
        journal.words[target + k] = r.script[source + k]
    r.at[0] += 1
    pos = r.state[0].pos
    pos.journal = position + 1
    pos.now_ns = r.script[source + E_NOW]
    return r.script[source + E_STREAM]
