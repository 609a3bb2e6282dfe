"""The ring's protocol (P1), every interleaving of small instances, on two memory models, with kills at every step.

The programs below are ringsim/ring/producer.py and consumer.py once more, one access to memory a step. A record has one
payload word: the words of a record are alike, so if any of several could be torn, one alone could be wrong.

What must never happen: a wrong word in a record that a reader believes; a gating reader overtaken; a record counted as lost
that still is whole; a reader that stops short of the end. Each rule of the protocol is left out once, and must be missed.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from tests.ring.machines import (
    ACQUIRE,
    RELAXED,
    RELEASE,
    Broken,
    Fence,
    Load,
    Program,
    Scene,
    Store,
    Tso,
    Views,
    search,
)


class Rules(NamedTuple):
    """The protocol; each of them can be broken."""

    zero_stamp: bool = True  # a slot is marked as being written before its payload is
    writer_fence: bool = True  # between that mark and the payload
    stamp: str = RELEASE
    second_look: bool = True  # a free reader looks at the stamp again after its copy
    reader_fence: bool = True  # before that look
    published_first: bool = True  # a free reader reads `published` before the stamp
    head_by_stamp: bool = True  # a lapped reader takes the larger of `published` and the stamp for the head
    clears: bool = True  # and takes back the stamps behind the first record that is not whole
    exact_scan: bool = True  # a replacement believes only a stamp of this lap
    gating: bool = True  # the writer waits for the gating reader


class Ring(NamedTuple):
    """Where a ring's words lie, and how many records go through it."""

    capacity: int
    records: int
    batch: int = 1
    smaller: tuple[int, ...] = ()  # other sizes that a batch may have, as it comes
    has_gating: bool = False
    resync: str = "oldest"
    rules: Rules = Rules()

    def stamp(self, seq):
        return seq % self.capacity

    def payload(self, seq):
        return self.capacity + seq % self.capacity

    @property
    def published(self):
        return 2 * self.capacity

    @property
    def cursor(self):
        return 2 * self.capacity + 1


class Writer(NamedTuple):
    """seq: the record at hand. first, end: of its batch. gate: the gating cursor when last seen.

    begun: the last record opened, and all before it but `hole`, the first of a batch whose others are written already.
    """

    at: str = "claim"
    seq: int = 0
    first: int = 0
    end: int = 0
    gate: int = 0
    begun: int = -1
    hole: int = -1

    def began(self, seq):
        return seq <= self.begun and seq != self.hole


def writer(ring):
    rules = ring.rules

    def step(w):
        match w.at:
            case "claim":
                if w.seq == ring.records:
                    return None
                return [claim(w, min(w.seq + size, ring.records)) for size in (ring.batch, *ring.smaller)]
            case "claimed":
                second = min(w.seq + 1, w.end - 1)  # the first one is written last: readers wait at it
                return step(w._replace(at="open", seq=second, first=w.seq))
            case "open":
                hole = w.first if w.seq > w.first and not w.began(w.first) else -1  # a dead one may have begun it
                opened = w._replace(at="fence", begun=max(w.begun, w.seq), hole=hole)
                return Store(ring.stamp(w.seq), 0, RELAXED, opened) if rules.zero_stamp else step(opened)
            case "fence":
                return Fence(RELEASE, w._replace(at="write")) if rules.writer_fence else step(w._replace(at="write"))
            case "write":
                return Store(ring.payload(w.seq), w.seq + 1, RELAXED, w._replace(at="stamp"))
            case "stamp":
                if w.seq == w.first:
                    after = w._replace(at="publish", seq=w.end)
                else:
                    after = w._replace(at="open", seq=w.seq + 1 if w.seq + 1 < w.end else w.first)
                return Store(ring.stamp(w.seq), w.seq + 1, rules.stamp, after)
            case "publish":
                return Store(ring.published, w.seq, RELEASE, w._replace(at="claim"))
            case "replaced":
                return Load(ring.published, ACQUIRE, lambda p: w._replace(at="scan", seq=p))
            case "scan":
                return Load(ring.stamp(w.seq), ACQUIRE, lambda x: scanned(w, x))
            case "behind":  # first: where it goes on; seq: looks at what comes after
                if w.seq >= w.first + ring.batch or not rules.clears:
                    return step(w._replace(at="publish", seq=w.first))
                return Load(ring.stamp(w.seq), ACQUIRE, lambda x: behind(w, x))
            case "clear":
                return Store(ring.stamp(w.seq), 0, RELEASE, w._replace(at="behind", seq=w.seq + 1))

    def claim(w, end):
        if ring.has_gating and rules.gating and end - w.gate > ring.capacity:
            return Load(ring.cursor, ACQUIRE, lambda cursor: w._replace(gate=cursor))
        return step(w._replace(at="claimed", end=end))

    def scanned(w, stamp):
        if stamp == w.seq + 1 or (stamp > 0 and not rules.exact_scan):
            if not w.began(w.seq):
                raise Broken(f"the replacement takes record {w.seq} for whole, and nobody began it")
            return w._replace(seq=w.seq + 1)
        return w._replace(at="behind", first=w.seq, seq=w.seq + 1, gate=w.seq - ring.capacity)

    def behind(w, stamp):
        return w._replace(at="clear") if stamp == w.seq + 1 else w._replace(seq=w.seq + 1)

    return step


class Gating(NamedTuple):
    seq: int = 0
    at: str = "wait"


def gating_reader(ring):
    """Waits by `published` or by the stamp, as it likes; reads in place; releases."""

    def step(g):
        match g.at:
            case "wait":
                if g.seq == ring.records:
                    return None
                return [
                    Load(ring.published, ACQUIRE, lambda p: g._replace(at="read") if p > g.seq else g),
                    Load(ring.stamp(g.seq), ACQUIRE, stamped(g)),
                ]
            case "read":
                return Load(ring.payload(g.seq), RELAXED, believed(g))
            case "release":
                return Store(ring.cursor, g.seq, RELEASE, g._replace(at="wait"))
            case "replaced":
                return Load(ring.cursor, ACQUIRE, lambda cursor: Gating(cursor))

    def stamped(g):
        def then(x):
            if x > g.seq + 1:
                raise Broken(f"the gating reader is at {g.seq} and meets record {x - 1}")
            return g._replace(at="read") if x == g.seq + 1 else g

        return then

    def believed(g):
        def then(word):
            if word != g.seq + 1:
                raise Broken(f"the gating reader finds a word of record {word - 1} in record {g.seq}")
            return Gating(g.seq + 1, "release")

        return then

    return step


class Free(NamedTuple):
    """seq: the record it wants. seen, stamp: of this poll. word: its copy. skipped: last record that a lap cost, for a moment."""

    at: str = "poll"
    seq: int = 0
    seen: int = 0
    stamp: int = 0
    word: int = 0
    acked: int = 0
    lost: int = 0
    skipped: int = -1


def free_reader(ring):
    rules = ring.rules

    def step(f):
        match f.at:
            case "poll":
                if f.seq == ring.records:
                    return None
                f = f._replace(skipped=-1)
                if rules.published_first:
                    return Load(ring.published, ACQUIRE, lambda p: f._replace(at="stamp", seen=p))
                return Load(ring.stamp(f.seq), ACQUIRE, lambda x: f._replace(at="published", stamp=x))
            case "stamp":
                return Load(ring.stamp(f.seq), ACQUIRE, lambda x: decide(f, f.seen, x))
            case "published":
                return Load(ring.published, ACQUIRE, lambda p: decide(f, p, f.stamp))
            case "copy":
                after = f._replace(at="fence")
                return Load(ring.payload(f.seq), RELAXED, lambda word: copied(after._replace(word=word)))
            case "fence":
                return Fence(ACQUIRE, f._replace(at="look")) if rules.reader_fence else step(f._replace(at="look"))
            case "look":
                return Load(ring.stamp(f.seq), RELAXED, lambda x: look(f, x))

    def decide(f, published, stamp):
        if stamp == f.seq + 1:
            return f._replace(at="copy", seen=published, stamp=0)
        if stamp > f.seq + 1 or published > f.seq:
            return lapped(f, published, stamp)
        return f._replace(at="poll", seen=0, stamp=0)

    def copied(f):
        return f if rules.second_look else believed(f)

    def look(f, stamp):
        return believed(f) if stamp == f.seq + 1 else lapped(f, max(f.seen, f.seq + 1), stamp)

    def believed(f):
        if f.word != f.seq + 1:
            raise Broken(f"the free reader believes a word of record {f.word - 1} in record {f.seq}")
        return Free(seq=f.seq + 1, acked=f.acked + 1, lost=f.lost)

    def lapped(f, published, stamp):
        head = max(published, stamp) if rules.head_by_stamp else published
        new = head - ring.capacity if ring.resync == "oldest" else head - 1
        if rules.head_by_stamp:
            new = max(new, f.seq + 1)
        if new <= f.seq:
            raise Broken(f"the free reader was lapped at {f.seq} and goes back to {new}")
        return Free(seq=new, acked=f.acked, lost=f.lost + new - f.seq, skipped=new - 1)

    return step


def scene(ring, *, free=True, kills=0):
    """Writer, gating reader if the ring has one, free reader if wanted; the first two may be killed."""
    programs: list[Program] = [writer(ring)]
    states: list[Any] = [Writer()]
    replaced: dict[int, Callable[[Any], Any]] = {0: lambda w: Writer("replaced", begun=w.begun, hole=w.hole)}
    if ring.has_gating:
        programs.append(gating_reader(ring))
        states.append(Gating())
        replaced[1] = lambda g: Gating(at="replaced")
    if free:
        programs.append(free_reader(ring))
        states.append(Free())

    def check(now):
        reader, began = now[-1], now[0].began
        if free and reader.acked + reader.lost != reader.seq:
            raise Broken(f"acked {reader.acked} + lost {reader.lost} are not {reader.seq}")
        if free and ring.resync == "oldest" and reader.skipped >= 0 and not began(reader.skipped + ring.capacity):
            raise Broken(f"record {reader.skipped} was counted as lost and is whole")

    values = (0,) * (2 * ring.capacity + 2)
    return Scene(values, programs, states, replaced if kills else {}, kills, check)


MACHINES = {"views": Views, "tso": Tso}
machines = pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)


def slow(*values):
    return pytest.param(*values, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])


@machines
@pytest.mark.parametrize(
    ("capacity", "records", "batch", "resync"),
    [
        (1, 3, 1, "oldest"),
        slow(2, 4, 1, "oldest"),
        (2, 3, 2, "newest"),
        slow(2, 4, 1, "newest"),
        slow(2, 5, 2, "oldest"),
        slow(4, 6, 1, "oldest"),
        slow(4, 6, 2, "newest"),
    ],
)
def test_a_free_reader_believes_only_whole_records_and_loses_none_that_is_there(
    machine, capacity, records, batch, resync
):
    search(machine, scene(Ring(capacity, records, batch, resync=resync), kills=1))


@machines
@pytest.mark.parametrize(("capacity", "records"), [(2, 3), slow(2, 4), slow(4, 4)])
def test_a_replacement_may_cut_the_rest_of_a_message_into_other_batches(machine, capacity, records):
    search(machine, scene(Ring(capacity, records, batch=2, smaller=(1,)), kills=1))


@machines
@pytest.mark.parametrize(
    ("capacity", "records", "batch", "kills"),
    [(1, 3, 1, 1), (2, 3, 1, 1), (2, 4, 2, 1), slow(1, 3, 1, 2), slow(2, 4, 1, 2), slow(2, 4, 2, 2), slow(4, 6, 2, 1)],
)
def test_a_gating_reader_gets_every_record_whole(machine, capacity, records, batch, kills):
    search(machine, scene(Ring(capacity, records, batch, has_gating=True), free=False, kills=kills))


@machines
@pytest.mark.parametrize(
    ("capacity", "records", "batch", "kills"),
    [(1, 2, 1, 0), (2, 3, 2, 0), slow(1, 2, 1, 1), slow(2, 3, 1, 1), slow(2, 3, 2, 1)],
)
def test_both_readers_share_a_ring(machine, capacity, records, batch, kills):
    search(machine, scene(Ring(capacity, records, batch, has_gating=True), kills=kills))


def found_by(machine, rules, **changes):
    """What the search says of a ring without one of its rules; empty if it finds nothing."""
    ring = Ring(capacity=2, records=4, rules=rules)._replace(**changes)
    try:
        search(machine, scene(ring, kills=int(not (rules.exact_scan and rules.clears))))
    except Broken as broken:
        return str(broken).splitlines()[0]
    return ""


@pytest.mark.parametrize(
    ("rules", "changes", "why"),
    [
        (Rules(zero_stamp=False), {}, "the free reader believes a word of record . in record ."),
        (Rules(second_look=False), {}, "the free reader believes a word of record . in record ."),
        (Rules(published_first=False), {"batch": 1}, "was counted as lost and is whole"),
        (Rules(head_by_stamp=False), {"batch": 2}, "goes back"),
        (Rules(exact_scan=False), {}, "takes record .* for whole"),
        (Rules(clears=False), {"batch": 2, "smaller": (1,), "records": 3}, "was counted as lost and is whole"),
        (Rules(gating=False), {"has_gating": True}, "the gating reader"),
    ],
    ids=lambda value: "",
)
@machines
def test_a_protocol_without_this_rule_breaks_on_every_machine(machine, rules, changes, why):
    assert re.search(why, found_by(machine, rules, **changes))


@pytest.mark.parametrize(
    ("rules", "changes", "why"),
    [
        (Rules(writer_fence=False), {}, "the free reader believes a word"),
        (Rules(reader_fence=False), {}, "the free reader believes a word"),
        (Rules(stamp=RELAXED), {"records": 3}, "the free reader believes a word"),
        (Rules(stamp=RELAXED), {"records": 2, "has_gating": True}, "reader .* a word"),
    ],
)
def test_without_this_order_c11_breaks_and_x86_never_does(rules, changes, why):
    """No run on x86 can show these: hence the checks of the emitted code."""
    assert re.search(why, found_by(Views, rules, **changes))
    assert found_by(Tso, rules, **changes) == ""


def test_a_deadlock_is_found():
    """A gate that never opens: the reader does not release."""
    ring = Ring(capacity=1, records=2, has_gating=True)
    held = scene(ring, free=False)._replace(programs=[writer(ring), lambda state: None])
    with pytest.raises(Broken, match="the end is never reached"):
        search(Tso, held)


def test_the_machines_know_the_textbook_cases():
    """Store buffering happens on both; message passing needs release and acquire on one and nothing on the other."""

    def outcomes(machine, *programs):
        """All pairs of what two processes read last."""
        seen = set()
        steps = [lambda state, todo=todo: todo[state[0]](state) if state[0] < len(todo) else None for todo in programs]

        def check(states):
            if all(state[0] == len(todo) for state, todo in zip(states, programs, strict=True)):
                seen.add(tuple(state[1] for state in states))

        search(machine, Scene((0, 0), steps, [(0, 0)] * len(programs), check=check))
        return seen

    def load(place, order):
        return lambda state: Load(place, order, lambda value: (state[0] + 1, 2 * state[1] + value))

    def store(place, order):
        return lambda state: Store(place, 1, order, (state[0] + 1, state[1]))

    for machine in (Views, Tso):
        buffering = outcomes(machine, [store(0, RELEASE), load(1, ACQUIRE)], [store(1, RELEASE), load(0, ACQUIRE)])
        assert (0, 0) in buffering and (1, 1) in buffering
        passing = outcomes(machine, [store(0, RELAXED), store(1, RELEASE)], [load(1, ACQUIRE), load(0, RELAXED)])
        assert passing == {(0, 0b00), (0, 0b01), (0, 0b11)}
        relaxed = outcomes(machine, [store(0, RELAXED), store(1, RELAXED)], [load(1, RELAXED), load(0, RELAXED)])
        assert ((0, 0b10) in relaxed) == (machine is Views)
