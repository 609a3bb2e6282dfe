"""A waiting stage rehearses: it takes, folds and publishes a script of inputs, over and over, where nobody sees it.

Between two messages of a quiet market lie milliseconds, and in them a core forgets: the code of the folds leaves its caches,
its branches are predicted no longer. The first message then costs five to ten times what it costs in bulk, at every stage on
its way. A stage that spins has nothing better to do than to stay in practice.

    script  inputs as a journal has them, each input as the stage once took it       (a made-up market, made by the warm-up)
    twin    the state as it was before the script's first entry, with rings and a journal of its own (private memory)
    undo    the words that the script changes, with what was in them     (at the script's end they are put back)

Invariants: all that a rehearsal writes is the twin's, so neither a redo nor a reader knows of it. The compiled function that
takes an input is the one that rehearses: the twin's arrays are of the same types as the run's own (down to whether they may
be written), or it would be another function, of the same text, that stays warm.
"""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from ringsim.fold.intake import A_COMMITTED, I_WORST, Intake
from ringsim.fold.journal import (
    HEAD,
    MARKET_WORDS,
    PEER_WORDS,
    Journal,
    entry_now,
    entry_seq,
    entry_stream,
    journal_size,
    open_journal,
)
from ringsim.fold.positions import MARKET, PEER, TIMER
from ringsim.kernel import kernel
from ringsim.records import NEVER_NS
from ringsim.ring.layout import LINE
from ringsim.ring.ring import R_NEXT, Consumer, Producer, Ring


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

_SLOTS = 16  # of the twin's rings and its journal: they are to be in a cache and to leave the others there
_NEVER = NEVER_NS

# Words of an entry of a script.
E_STREAM, E_NOW, E_RECORD = range(3)
ENTRY_WORDS = E_RECORD + PEER_WORDS

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
    numbers = range(first, head) if head - first <= journal.mask + 1 else range(0)
    entries = np.zeros((len(numbers), ENTRY_WORDS), np.int64)
    for entry, position in zip(entries, numbers, strict=True):
        stream = entry_stream(journal, position)
        entry[E_STREAM], entry[E_NOW] = stream, entry_now(journal, position)
        if stream == PEER:
            entry[E_RECORD:] = journal.peer_words.reshape(-1, PEER_WORDS)[entry_seq(journal, position) & journal.mask]
        else:
            record = journal.words.reshape(-1, MARKET_WORDS)[position & journal.mask]
            entry[E_RECORD : E_RECORD + MARKET_WORDS] = record
    return Script(entries.reshape(-1), before.copy(), after.copy())


def rehearsal(script: Script | None, dtype: np.dtype, pace: Pace = ALONE, *, also: Collection[str] = ()) -> Rehearsal:
    """A rehearsal of a script (None: of nothing), in memory of its own. dtype: of the state.

    also: words of the state (int64 fields) that a rehearsal changes and the recording of the script did not.
    """
    if script is None:
        pace = NOTHING_TO_REHEARSE
        entries: np.ndarray = np.zeros(0, np.int64)
        memory: np.ndarray = np.zeros(dtype.itemsize // 8, np.int64)
        places: np.ndarray = entries
        values: np.ndarray = entries
    else:
        changed = script.before != script.after
        changed[[dtype.fields[field][1] // 8 for field in also]] = True  # type: ignore[index]
        entries, memory, places = script.entries, script.before.copy(), np.flatnonzero(changed).astype(np.int64)
        values = script.before[places]
    at = np.array([0, pace.entries, pace.every - 1, pace.near], np.int64)
    return Rehearsal(entries, memory.view(dtype).view(np.recarray), memory, places, values, at)


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
def rehearsal_offer(r, intake):
    """Lay the script's next entry where the twin's intake finds it, and nothing else.

    Returns the time before which the twin's timer is not to be looked at: what is offered is what is taken.
    """
    if (r.at[NEXT_ENTRY] + 1) * ENTRY_WORDS > r.script.size:
        rehearsal_undo(r)
    source = r.at[NEXT_ENTRY] * ENTRY_WORDS
    r.at[NEXT_ENTRY] += 1
    stream, pos = r.script[source + E_STREAM], r.state[0].pos
    pos.now_ns = r.script[source + E_NOW]
    intake.at[A_COMMITTED] = pos.journal
    if stream == TIMER:
        return 0
    if stream == MARKET:
        _lay(intake.market.ring, pos.market, r.script, source + E_RECORD)
        intake.market.at[R_NEXT] = pos.market
    else:
        _lay(intake.peer.ring, pos.peer, r.script, source + E_RECORD)
    return _NEVER


@kernel(inline=True)
def _lay(ring, seq, words, start):
    """A record into the slot `seq` of a ring that nobody else reads."""
    base = (seq & ring.mask) * ring.width
    ring.words[base] = seq + 1
    for k in range(1, ring.width):
        ring.words[base + k] = words[start + k]


def private_ring(like: Ring) -> Ring:
    """An empty ring of the same types, small, with no readers, in private memory."""
    words = np.zeros(_SLOTS * like.width, np.int64)
    return Ring(
        np.zeros_like(like.header), words.view(like.slots.dtype).view(np.recarray), words, _SLOTS - 1, like.width
    )


def private_producer(like: Producer) -> Producer:
    """The writing end of a ring for nobody."""
    ring = private_ring(like.ring)
    return Producer(ring, ring.header[LINE : 2 * LINE])


def private_journal(like: Journal) -> Journal:
    """An empty journal of the same types, in private memory."""
    return open_journal(memoryview(bytearray(journal_size(_SLOTS))), _SLOTS, like.peer.dtype, like.alternate.dtype)


def private_intake(like: Intake) -> Intake:
    """An intake of the same types whose rings, journal and control page are its own."""
    setup = like.setup.copy()
    setup[I_WORST] = _SLOTS

    def reader(consumer: Consumer) -> Consumer:
        return Consumer(private_ring(consumer.ring), consumer.at.copy(), consumer.line)

    return Intake(
        reader(like.market),
        reader(like.peer),
        private_producer(like.out),
        private_journal(like.journal),
        setup,
        np.zeros_like(like.control),
        like.at.copy(),
    )
