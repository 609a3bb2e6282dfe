"""Slices, commits, restarts (P2 and P3): one stage with everything that its replacement finds.

    ring G (gating, one slot) ──┐
                                ├─> stage: journal -> fold in a copy of the state ─> output ring ─> persistence (database)
    ring F (free, one slot) ────┘

The stage takes G and F in any order: that order is what only the journal knows. Its state is the inputs that it has folded, so
an output (that tuple and a number) shows every input that was lost, doubled or taken in another order since the last look.

    FoldStage.__init__, _recover   resume .. live     procs/stages/base.py
    resume, commit                                    ringsim/fold/commit.py
    take_input, _take, _take_lossy, journal_commit    ringsim/fold/intake.py, journal.py
    step_over, emit, emit_again, settle               ringsim/fold/intake.py
    _take_over                     published, scan    ringsim/ring/ring.py
    PersistenceStage.slice         persistence()      procs/stages/persistence.py
    _choose, _send, ingest_redo    Plant.in_parts     procs/stages/ingest.py

The stage's own words are never read back but by its replacement: while it lives it knows what it stored there.
"""

from typing import Any, NamedTuple

from tests.ring.machines import ACQUIRE, RELAXED, RELEASE, Broken, Load, Scene, Store

_OUTPUTS = {"G": 2, "F": 1, "LOST": 1}  # an input's outputs; the worst case is two
_WORST = 2


class Rules(NamedTuple):
    """The protocol; each of them can be broken."""

    journal_first: bool = True  # an input is in the journal before its ring's slot is released
    entry_first: bool = True  # a journal entry is whole before the head counts it
    full_copy: bool = True  # a replacement copies all of the good copy before it works
    other_copy: bool = True  # and works in the other one
    whole_before_good: bool = True  # `good` is stored when the working copy is whole
    brought_up: bool = True  # after a commit the other copy is brought up in full
    journal_bound: bool = True  # no entry is overwritten that came after the committed state
    journal_moves: bool = True  # a replacement's positions are those of its state, moved by every journal entry
    skip_published: bool = True  # a redo publishes only what was not
    room_for_worst: bool = True  # an input is taken only if the output ring has room for the worst case
    counts_absolute: bool = True  # lost records are stored as a copy of the state's count
    whole_message: bool = True  # no commit while an input's outputs are sent in part
    stored_first: bool = True  # persistence releases what the database holds


class Plant(NamedTuple):
    """What is there, and where its words lie."""

    gating: int = 1  # records through ring G
    free: int = 2  # records through ring F
    journal: int = 2  # entries
    out: int = 2  # slots
    in_parts: bool = False  # ingest: outputs wait one by one for room, so an input may cause more than the ring holds
    rules: Rules = Rules()

    G_SLOT = 0
    G_CURSOR = 1
    F_SLOT = 2
    LOST = 3  # what the stage says that it lost: header word of ring F
    HEAD = 4
    GOOD = 5
    PUBLISHED = 6
    OUT_CURSOR = 7
    DATABASE = 8  # its rows; their number is the cursor of the same transaction
    COPIES = 9  # twice (positions, folded)
    ENTRIES = 13

    def entry(self, position):
        return self.ENTRIES + position % self.journal

    def slot(self, seq):
        return self.ENTRIES + self.journal + seq % self.out

    def values(self):
        """Memory before the run."""
        values: list[Any] = [0] * (self.ENTRIES + self.journal + self.out)
        values[self.COPIES : self.ENTRIES] = [Positions(), (), Positions(), ()]
        values[self.DATABASE] = ()
        for k in range(self.out):
            values[self.ENTRIES + self.journal + k] = (0, None)  # stamp, content
        return values


class Positions(NamedTuple):
    """How far a state is (ringsim/fold/positions.py)."""

    journal: int = 0
    g: int = 0
    f: int = 0
    lost: int = 0
    out: int = 0

    def over(self, entry):
        """After one more input, its outputs not counted."""
        kind, first, count = entry
        if kind == "G":
            return self._replace(journal=self.journal + 1, g=first + 1)
        lost = count if kind == "LOST" else 0
        return self._replace(journal=self.journal + 1, f=first + count, lost=self.lost + lost)


class Stage(NamedTuple):
    """The process. pos, folded: what it has stored in its working copy.

    committed: journal position up to which entries may be overwritten. released: its cursor of ring G. published: its outputs.
    head: where the redo ends, 0 in a slice. entry: the input at hand. number: of its outputs, the next. seen: a word just read.
    """

    at: str = "published"
    work: int = 0
    pos: Positions = Positions()
    folded: tuple[Any, ...] = ()
    committed: int = 0
    released: int = 0
    published: int = 0
    head: int = 0
    entry: Any = None
    number: int = 0
    seen: Any = 0


def stage(plant):
    """The stage and its replacements: a program for tests.ring.machines.search."""
    rules = plant.rules

    def copy_word(copy, word):
        return plant.COPIES + 2 * copy + word

    def step(s):
        return steps[s.at](s)

    # Start and restart

    def published(s):
        return Load(plant.PUBLISHED, ACQUIRE, lambda n: s._replace(at="scan", published=n))

    def scan(s):
        def then(record):
            if record[0] == s.published + 1:
                return s._replace(published=s.published + 1)
            return s._replace(at="take over")

        return Load(plant.slot(s.published), ACQUIRE, then)

    def take_over(s):
        return Store(plant.PUBLISHED, s.published, RELEASE, s._replace(at="cursor"))

    def cursor(s):
        return Load(plant.G_CURSOR, ACQUIRE, lambda n: s._replace(at="good", released=n))

    def good(s):
        def then(good):
            if rules.other_copy:
                return s._replace(at="positions", work=1 - good)
            return s._replace(at="positions in place", work=good)

        return Load(plant.GOOD, ACQUIRE, then)

    def positions(s):
        return Load(copy_word(1 - s.work, 0), RELAXED, lambda word: s._replace(at="copy positions", pos=word))

    def copy_positions(s):
        committed = s._replace(at="folded", committed=s.pos.journal)
        return Store(copy_word(s.work, 0), s.pos, RELAXED, committed)

    def folded(s):
        source = 1 - s.work if rules.full_copy else s.work
        return Load(copy_word(source, 1), RELAXED, lambda word: s._replace(at="copy folded", folded=word))

    def copy_folded(s):
        return Store(copy_word(s.work, 1), s.folded, RELAXED, s._replace(at="head"))

    def positions_in_place(s):
        after = s._replace(at="folded in place")
        return Load(copy_word(s.work, 0), RELAXED, lambda word: after._replace(pos=word, committed=word.journal))

    def folded_in_place(s):
        return Load(copy_word(s.work, 1), RELAXED, lambda word: s._replace(at="head", folded=word))

    def head(s):
        return Load(plant.HEAD, ACQUIRE, lambda n: step_on(s, n))

    def step_on(s, head):
        return s._replace(at="redo", head=head) if s.pos.journal < head else s._replace(at="live")

    def redo(s):
        return Load(plant.entry(s.pos.journal), RELAXED, lambda entry: again(s, entry))

    def again(s, entry):
        if entry == 0 or entry[0] != s.pos.journal:
            raise Broken(f"the redo wants journal entry {s.pos.journal} and finds {entry}")
        return s._replace(at="step over", entry=entry[1])

    # A slice

    def live(s):
        """take_input, or a commit: it may come between any two inputs, and must when the journal is full."""
        if s.pos.g == plant.gating and s.pos.f == plant.free and s.released == s.pos.g:
            return Load(plant.LOST, RELAXED, lambda lost: ended(s, lost)) if s.seen != "ended" else None
        choices = []
        if s.pos.journal > s.committed:
            choices += [step(s._replace(at="commit"))]
        if s.pos.journal - s.committed < plant.journal or not rules.journal_bound:
            choices += [Load(plant.OUT_CURSOR, ACQUIRE, lambda n: s._replace(at="room", seen=n))]
        if s.released < s.pos.g:
            choices += [step(s._replace(at="settle"))]
        return choices

    def ended(s, lost):
        if lost != s.pos.lost:
            raise Broken(f"the ring's word says {lost} lost, and it were {s.pos.lost}")
        return s._replace(seen="ended")

    def room(s):
        """_has_room; then any ring that has something."""
        worst = _WORST if rules.room_for_worst else 1
        waiting = s._replace(at="live", seen=0)
        if s.pos.out + worst - s.seen > plant.out and not plant.in_parts:
            return step(waiting)
        return [
            Load(
                plant.G_SLOT, ACQUIRE, lambda stamp: chosen(s, ("G", s.pos.g, 1)) if stamp == s.pos.g + 1 else waiting
            ),
            Load(plant.F_SLOT, ACQUIRE, lambda stamp: polled(s, stamp, waiting)),
        ]

    def polled(s, stamp, waiting):
        """poll: the ring has one slot, so whatever lies behind its record is lost. The loss is an input and comes first."""
        if stamp == s.pos.f + 1:
            return chosen(s, ("F", s.pos.f, 1))
        if stamp > s.pos.f + 1:
            return s._replace(at="count lost", entry=("LOST", s.pos.f, stamp - 1 - s.pos.f), seen=0)
        return waiting

    def chosen(s, entry):
        if rules.journal_first or entry[0] != "G":
            return s._replace(at="entry" if rules.entry_first else "journal head", entry=entry, seen=0)
        return s._replace(at="release early", entry=entry, seen=0)

    def count_lost(s):
        if not rules.counts_absolute and s.seen == 0:
            return Load(plant.LOST, RELAXED, lambda lost: s._replace(seen=lost + s.entry[2]))
        lost = s.pos.lost + s.entry[2] if rules.counts_absolute else s.seen
        return Store(plant.LOST, lost, RELAXED, s._replace(at="entry" if rules.entry_first else "journal head", seen=0))

    def release_early(s):
        released = s._replace(at="entry", released=s.pos.g + 1)
        return Store(plant.G_CURSOR, s.pos.g + 1, RELEASE, released)

    def entry(s):
        after = s._replace(at="journal head" if rules.entry_first else "step over")
        return Store(plant.entry(s.pos.journal), (s.pos.journal, s.entry), RELAXED, after)

    def journal_head(s):
        after = s._replace(at="step over" if rules.entry_first else "entry")
        return Store(plant.HEAD, s.pos.journal + 1, RELEASE, after)

    def step_over(s):
        pos = s.pos.over(s.entry)
        if s.head > 0 and not rules.journal_moves:
            pos = s.pos._replace(journal=s.pos.journal + 1)
        return Store(copy_word(s.work, 0), pos, RELAXED, s._replace(at="fold", pos=pos))

    def fold(s):
        """The state is not whole between `step over` and the last `count out`."""
        folded = (*s.folded, s.entry)
        stored = Store(copy_word(s.work, 1), folded, RELAXED, s._replace(at="emit", folded=folded, seen=0))
        if rules.whole_before_good or s.seen == "good":
            return stored
        return [stored, Store(plant.GOOD, s.work, RELEASE, s._replace(seen="good"))]

    def emit(s):
        """emit; in a redo emit_again: what is published already is compared, if its slot still has it."""
        content, seq = (s.folded, s.number), s.pos.out
        counted = s._replace(at="count out")
        if s.head > 0 and not rules.skip_published:
            seq = s.published
        elif s.head > 0 and seq < s.published:
            return Load(plant.slot(seq), RELAXED, lambda record: compared(counted, seq, content, record))
        if plant.in_parts and s.seen != "room":
            return wait(s)
        return Store(plant.slot(seq), (seq + 1, content), RELEASE, counted._replace(seen=0))

    def wait(s):
        """_send: there is room for one more, or it waits."""
        if s.pos.journal < s.head:
            raise Broken(f"only the last input can be half published, and {s.pos.journal} of {s.head} is")
        room = s._replace(seen="room")
        looks = Load(plant.OUT_CURSOR, ACQUIRE, lambda cursor: room if s.pos.out < cursor + plant.out else s)
        if rules.whole_message or s.seen == "good":
            return looks
        return [looks, Store(plant.GOOD, s.work, RELEASE, s._replace(seen="good"))]

    def compared(s, seq, content, record):
        if record[0] == seq + 1 and record[1] != content:
            raise Broken(f"the redo emits {content} as output {seq}, and {record[1]} was published")
        return s

    def count_out(s):
        pos, number = s.pos._replace(out=s.pos.out + 1), s.number + 1
        last = number == _OUTPUTS[s.entry[0]]
        after = s._replace(pos=pos, number=number, at="emit")
        if last or s.head > 0 or plant.in_parts:
            after = after._replace(at="publish")
        return Store(copy_word(s.work, 0), pos, RELAXED, after)

    def publish(s):
        """All outputs of an input at once; in a redo one by one, those that are missing."""
        last = s.number == _OUTPUTS[s.entry[0]]
        after = s._replace(at="emit")
        if last:
            more = s.pos.journal < s.head
            after = s._replace(at="redo" if more else "live", head=s.head if more else 0, entry=None, number=0)
        out = s.pos.out if rules.skip_published or s.head == 0 else s.published + 1
        if out <= s.published:
            return step(after)
        return Store(plant.PUBLISHED, out, RELEASE, after._replace(published=out))

    def settle(s):
        return Store(plant.G_CURSOR, s.pos.g, RELEASE, s._replace(at="live", released=s.pos.g))

    # A commit

    def commit(s):
        return Store(plant.GOOD, s.work, RELEASE, s._replace(at="bring up positions", work=1 - s.work))

    def bring_up_positions(s):
        return Store(copy_word(s.work, 0), s.pos, RELAXED, s._replace(at="bring up folded"))

    def bring_up_folded(s):
        after = s._replace(at="live", committed=s.pos.journal)
        if not rules.brought_up:
            return Load(copy_word(s.work, 1), RELAXED, lambda word: after._replace(folded=word))
        return Store(copy_word(s.work, 1), s.folded, RELAXED, after)

    own = [
        published, scan, take_over, cursor, good, positions, copy_positions, folded, copy_folded, positions_in_place,
        folded_in_place, head, redo, live, room, count_lost, release_early, entry, journal_head, step_over, fold, emit,
        count_out, publish, settle, commit, bring_up_positions, bring_up_folded,
    ]  # fmt: skip
    steps = {function.__name__.replace("_", " "): function for function in own}
    return step


def gating_source(plant):
    """Producer of ring G: it waits for the stage's cursor."""

    def step(seq):
        if seq == plant.gating:
            return None
        return Load(plant.G_CURSOR, ACQUIRE, lambda cursor: Written(seq) if cursor == seq else seq)

    def program(state):
        if isinstance(state, Written):
            return Store(plant.G_SLOT, state.seq + 1, RELEASE, state.seq + 1)
        return step(state)

    return program


class Written(NamedTuple):
    """A producer with a record for which there is room."""

    seq: int


def free_source(plant):
    """Producer of ring F: nobody holds it up."""
    return lambda seq: Store(plant.F_SLOT, seq + 1, RELEASE, seq + 1) if seq < plant.free else None


class Sink(NamedTuple):
    """Persistence. seq: the next record of the ring. row: what it read there."""

    at: str = "wait"
    seq: int = 0
    row: Any = None
    rows: tuple[Any, ...] = ()


def persistence(plant):
    """Reads the outputs, stores them with its cursor in one transaction, releases them."""

    def step(s):
        match s.at:
            case "wait":
                if is_complete(plant, s.rows) and s.seq == len(s.rows):
                    return None
                return Load(plant.slot(s.seq), ACQUIRE, lambda record: read(s, record))
            case "store":
                rows = stored(s.rows, s.seq, s.row)
                after = s._replace(rows=rows, row=None, at="release" if plant.rules.stored_first else "wait")
                if not plant.rules.stored_first:
                    after = after._replace(seq=s.seq + 1)
                return Store(plant.DATABASE, rows, RELAXED, after)
            case "release":
                after = s._replace(seq=s.seq + 1, at="wait") if plant.rules.stored_first else s._replace(at="store")
                return Store(plant.OUT_CURSOR, s.seq + 1, RELEASE, after)
            case "replaced":
                return Load(plant.OUT_CURSOR, ACQUIRE, lambda n: s._replace(at="cursor", seq=n))
            case "cursor":
                return Load(plant.DATABASE, RELAXED, lambda rows: s._replace(at="wait", rows=rows))

    def read(s, record):
        stamp, content = record
        if stamp > s.seq + 1:
            raise Broken(f"output {s.seq} is overwritten before persistence has it")
        if stamp <= s.seq:
            return s
        return s._replace(at="store" if plant.rules.stored_first else "release", row=content)

    return step


def stored(rows, seq, row):
    """Rows after one more; Broken if it is not what comes next after the last one."""
    if seq > len(rows):
        raise Broken(f"record {len(rows)} comes next in the database, got {seq}")
    if seq < len(rows):
        if rows[seq] != row:
            raise Broken(f"row {seq} is {rows[seq]}, and {row} comes for it")
        return rows
    folded = row[0]
    if rows and rows[-1][1] + 1 < _OUTPUTS[rows[-1][0][-1][0]]:
        expected = (rows[-1][0], rows[-1][1] + 1)
    else:
        expected = ((*(rows[-1][0] if rows else ()), folded[-1]), 0)
    if row != expected:
        raise Broken(f"the outputs are not those of one run: {row} after {rows[-1] if rows else 'nothing'}")
    next_g, next_f = 0, 0
    for kind, first, count in folded:
        if first != (next_g if kind == "G" else next_f):
            raise Broken(f"inputs lost or taken twice: {folded}")
        if kind == "G":
            next_g += 1
        else:
            next_f += count
    return (*rows, row)


def is_complete(plant, rows):
    """Whether the last input of the run has its last row."""
    if not rows:
        return False
    folded, number = rows[-1]
    taken = sum(entry[2] for entry in folded)
    return taken == plant.gating + plant.free and number + 1 == _OUTPUTS[folded[-1][0]]


def scene(plant, *, kills=0, sink_kills=0):
    """Stage, its sources, persistence; the stage killed so often, or persistence."""
    programs = [stage(plant), gating_source(plant), free_source(plant), persistence(plant)]
    states = [Stage(), 0, 0, Sink()]
    replaced = {0: lambda dead: Stage()} if kills else {3: lambda dead: Sink("replaced")}
    return Scene(plant.values(), programs, states, replaced if kills or sink_kills else {}, kills or sink_kills)
