"""The merge of two stages under the simulated clock (P4): each waits for the other only as long as it must, and never less.

                 ┌──────────> strategy ── orders ──> broker
    ingest ── market             ^                     │ ^
                 └───────────────│─────────────────────│─┘
                                 └────── reports ──────┘        and two words from each to the other: next, folded

The folds are as small as folds can be: some market records and some reports make the strategy send an order; the broker
accepts each, fills the oldest at a market record, expires what its timer ends. `reference` folds them in one process. Every
stage of the search must take exactly the inputs of the reference, in its order; so its state is the number of inputs taken.

    Stage, decide        take_input, choose_simulated    ringsim/fold/intake.py
    emit, emit again     emit, emit_again
    settle, ask, finish  settle, finished
    reference            advance                         ringsim/pipeline.py

Rings have few slots, and these are used again: a stage looks up its own unanswered record where it still may be.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from tests.ring.machines import ACQUIRE, RELAXED, RELEASE, Broken, Load, Scene, Store

NEVER = 10**6
MARKET, PEER, TIMER = range(3)
STRATEGY, BROKER = range(2)


class Rules(NamedTuple):
    """The protocol; each of them can be broken."""

    two_words: bool = True  # else one word that only grows: the earliest input that the stage knows of
    next_may_fall: bool = True  # `next` is no running maximum
    own_record: bool = True  # the bound counts the own record that the peer has not folded
    next_first: bool = True  # the writer stores `next` before `folded`
    folded_first: bool = True  # the reader loads `folded` before `next`
    words_first: bool = True  # and both before it looks into the ring
    folded_after_outputs: bool = (
        True  # `folded` counts what is folded with its outputs published, not what is journalled
    )
    redo_first: bool = True  # a replacement touches neither word until its redo has republished
    released_last: bool = (
        True  # a slot is given back after `folded` says so: the other stage may look into its own slot
    )
    words_released: bool = True  # both words are release stores
    words_acquired: bool = True  # and acquire loads


class Run(NamedTuple):
    """market: (exchange time, receive time) of its records, the end of the feed last. triggers: those that cause an order.

    answers: reports that cause one. entry, response: latencies of orders and reports. expiry: an order's time at the broker.
    *_slots: of the rings; None: as many as there are records.
    """

    market: tuple[tuple[int, int], ...]
    triggers: frozenset[int]
    answers: frozenset[int] = frozenset()
    entry: int = 3
    response: int = 3
    expiry: int = NEVER
    market_slots: int | None = None
    order_slots: int | None = None
    report_slots: int | None = None
    rules: Rules = Rules()


class Input(NamedTuple):
    key: int
    stream: int
    seq: int


class State(NamedTuple):
    """Of a stage, after some inputs. open: expiry times of the broker's orders."""

    market: int = 0
    peer: int = 0
    market_key: int = 0
    peer_key: int = 0
    out: int = 0
    ended: bool = False
    open: tuple[int, ...] = ()

    @property
    def timer(self):
        return min(self.open, default=NEVER)


class Reference(NamedTuple):
    """What one process does. inputs: of each stage. states: of each stage, before its input n. sent: keys of orders, reports."""

    inputs: tuple[tuple[Input, ...], ...]
    states: tuple[tuple[State, ...], ...]
    sent: tuple[tuple[int, ...], ...]


def later(key, latency):
    """A key that comes a latency after another one."""
    return min(NEVER, key + latency)


def fold(run, stage, state, taken):
    """The state after an input, and the times at which it emits something."""
    key, stream, seq = taken
    emits = 0
    if stream == MARKET:
        state = state._replace(market=seq + 1, market_key=key, ended=seq + 1 == len(run.market))
    elif stream == PEER:
        state = state._replace(peer=seq + 1, peer_key=key)
    if stage == STRATEGY:
        emits = int((stream == MARKET and seq in run.triggers) or (stream == PEER and seq in run.answers))
    elif stream == PEER:
        emits, state = 1, state._replace(open=(*state.open, later(key, run.expiry)))
    elif state.open and (stream == TIMER or not state.ended):
        emits, state = 1, state._replace(open=state.open[1:])
    return state._replace(out=state.out + emits), (key,) * emits


@cache
def reference(run):
    """The smallest key of both stages goes first; the broker's at equal keys."""
    states, sent = [State(), State()], ([], [])
    inputs: tuple[list[Input], list[Input]] = ([], [])
    before: tuple[list[State], list[State]] = ([], [])
    latency = (run.entry, run.response)
    while True:
        heads = []
        for stage in (BROKER, STRATEGY):
            s, peer = states[stage], sent[1 - stage]
            found = []
            if s.market < len(run.market):
                found.append(Input(max(s.market_key, run.market[s.market][stage == STRATEGY]), MARKET, s.market))
            if s.peer < len(peer):
                found.append(Input(max(s.peer_key, later(peer[s.peer], latency[1 - stage])), PEER, s.peer))
            if s.timer < NEVER:
                found.append(Input(s.timer, TIMER, 0))
            if found:
                heads.append((min(found), stage))
        if not heads:
            for stage in (STRATEGY, BROKER):
                before[stage].append(states[stage])
            return Reference(tuple(map(tuple, inputs)), tuple(map(tuple, before)), tuple(map(tuple, sent)))
        taken, stage = min(heads, key=lambda head: head[0].key)
        before[stage].append(states[stage])
        inputs[stage].append(taken)
        states[stage], emitted = fold(run, stage, states[stage], taken)
        sent[stage].extend(emitted)


class Places(NamedTuple):
    """Where the words lie: slots hold stamps (what a record says follows from its sequence), cursors, the two words of each."""

    rings: tuple[tuple[int, int], ...]  # first slot, slots: of orders, reports, market
    cursors: tuple[int, ...]  # of the reader of orders, of reports; of the market's readers
    words: tuple[tuple[int, int], ...]  # next, folded: of strategy, broker
    count: int

    def slot(self, ring, seq):
        first, slots = self.rings[ring]
        return first + seq % slots


_MARKET_RING = 2


@cache
def places(run):
    """The memory of a run."""
    ref = reference(run)
    wanted = (run.order_slots, run.report_slots, run.market_slots)
    counts = (len(ref.sent[STRATEGY]), len(ref.sent[BROKER]), len(run.market))
    rings, at = [], 0
    for slots, count in zip(wanted, counts, strict=True):
        rings.append((at, slots or max(1, count)))
        at += rings[-1][1]
    return Places(tuple(rings), (at, at + 1, at + 2, at + 3), ((at + 4, at + 5), (at + 6, at + 7)), at + 8)


class Stage(NamedTuple):
    """A stage's process. n: inputs taken, which its journal says. out: outputs published. folded, next, peer: just read.

    market_released, peer_released, said: what it stored last, for a word is stored when it changes.
    """

    at: str = "room"
    n: int = 0
    out: int = 0
    folded: int = 0
    next: int = 0
    has_peer: bool = False
    market_released: int = 0
    peer_released: int = 0
    said: tuple[int, int] = (0, 0)


def stage(run, me):
    """Strategy or broker: a program for tests.ring.machines.search."""
    rules, ref, memory = run.rules, reference(run), places(run)
    peer = 1 - me
    latency = (run.entry, run.response)
    inputs, states, own, theirs = ref.inputs[me], ref.states[me], ref.sent[me], ref.sent[peer]
    said_by = RELEASE if rules.words_released else RELAXED
    heard_by = ACQUIRE if rules.words_acquired else RELAXED
    my_slots, market_slots = memory.rings[me][1], memory.rings[_MARKET_RING][1]
    next_word, folded_word = memory.words[me]
    peer_next, peer_folded = memory.words[peer]

    def step(s):
        return steps[s.at](s)

    # Choosing an input

    def room(s):
        """_has_room; a ring with a slot for every record is never asked."""
        if my_slots >= len(own):
            return look(s)
        after = s._replace(at="look")
        return Load(memory.cursors[me], ACQUIRE, lambda c: after if s.out < c + my_slots else s._replace(at="settle"))

    def look(s):
        if not rules.words_first:
            return peer_slot(s)
        return load_folded(s) if rules.folded_first else load_next(s)

    def load_folded(s):
        at = "load next" if rules.folded_first else "peer slot" if rules.words_first else "market slot"
        return Load(peer_folded, heard_by, lambda value: s._replace(at=at, folded=value))

    def load_next(s):
        at = "load folded" if not rules.folded_first else "peer slot" if rules.words_first else "market slot"
        return Load(peer_next, heard_by, lambda value: s._replace(at=at, next=value))

    def peer_slot(s):
        seq = states[s.n].peer
        at = "market slot" if rules.words_first else "load folded" if rules.folded_first else "load next"
        return Load(memory.slot(peer, seq), ACQUIRE, lambda x: s._replace(at=at, has_peer=x == seq + 1))

    def market_slot(s):
        seq = states[s.n].market
        if seq == len(run.market):
            return step(decide(s, False))
        return Load(memory.slot(_MARKET_RING, seq), ACQUIRE, lambda x: decide(s, x == seq + 1))

    def own_delivery(s):
        """When the record of mine that the peer folds next reaches it; what is read is what its slot holds by now."""
        if s.folded >= s.out or not rules.own_record:
            return NEVER
        held = s.folded + (s.out - 1 - s.folded) // my_slots * my_slots
        return later(own[held], latency[me])

    def decide(s, has_market):
        """choose_simulated, once it has read everything."""
        pos = states[s.n]
        market_key = pos.market_key
        if has_market:
            market_key = max(pos.market_key, run.market[pos.market][me == STRATEGY])
        elif pos.ended:
            market_key = NEVER
        if s.has_peer:
            peer_key = max(pos.peer_key, later(theirs[pos.peer], latency[peer]))
        else:
            peer_key = later(min(s.next, own_delivery(s)), latency[peer])
        timer = pos.timer
        waiting = s._replace(folded=0, next=0, has_peer=False)
        if has_market and market_key <= peer_key and market_key <= timer:
            return taken(waiting, Input(market_key, MARKET, pos.market))
        if s.has_peer and peer_key < market_key and peer_key <= timer:
            return taken(waiting, Input(peer_key, PEER, pos.peer))
        if timer < market_key and timer < peer_key and timer < NEVER:
            return taken(waiting, Input(timer, TIMER, 0))
        return waiting._replace(at="settle")

    def taken(s, chosen):
        """It is in the journal."""
        if s.n == len(inputs) or chosen != inputs[s.n]:
            expected = inputs[s.n] if s.n < len(inputs) else "nothing"
            raise Broken(f"{('the strategy', 'the broker')[me]} takes {chosen}, the reference {expected}")
        return s._replace(at="emit" if rules.folded_after_outputs else "say early", n=s.n + 1)

    def say_early(s):
        """`folded` is what is journalled: the ring's cursor, in a stage that releases its rings before it folds."""
        folded = states[s.n].peer
        after = s._replace(at="emit", said=(s.said[0], folded))
        return step(after) if s.said[1] == folded else Store(folded_word, folded, said_by, after)

    # Outputs

    def emit(s):
        if s.out == states[s.n].out:
            now_and_then = [step(s._replace(at="room")), step(s._replace(at="settle"))]
            return [action for action in now_and_then if action is not None]
        return Store(memory.slot(me, s.out), s.out + 1, RELEASE, s._replace(at="emit", out=s.out + 1))

    def emit_again(s):
        """A replacement: what the last input emits may be there already."""
        if s.out == states[s.n].out:
            return step(s._replace(at="settle" if rules.redo_first else "room"))

        def then(x):
            return s._replace(out=s.out + 1) if x == s.out + 1 else s._replace(at="emit missing")

        return Load(memory.slot(me, s.out), ACQUIRE, then)

    def emit_missing(s):
        return Store(memory.slot(me, s.out), s.out + 1, RELEASE, s._replace(at="emit again", out=s.out + 1))

    # Settling

    def settle(s):
        return step(s._replace(at="say next" if rules.released_last else "release market"))

    def release_market(s):
        seq = states[s.n].market
        after = s._replace(at="release peer", market_released=seq)
        if seq == s.market_released or market_slots >= len(run.market):
            return step(after)
        return Store(memory.cursors[_MARKET_RING + me], seq, RELEASE, after)

    def release_peer(s):
        seq = states[s.n].peer
        after = s._replace(at="ask" if rules.released_last else "say next", peer_released=seq)
        if seq == s.peer_released or memory.rings[peer][1] >= len(theirs):
            return step(after)
        return Store(memory.cursors[peer], seq, RELEASE, after)

    def say_next(s):
        pos = states[s.n]
        if pos.market == len(run.market):
            return step(say(s, False))
        return Load(memory.slot(_MARKET_RING, pos.market), ACQUIRE, lambda x: say(s, x == pos.market + 1))

    def say(s, has_market):
        pos = states[s.n]
        market_key = pos.market_key
        if has_market:
            market_key = max(market_key, run.market[pos.market][me == STRATEGY])
        elif pos.ended:
            market_key = NEVER
        value = min(market_key, pos.timer)
        if not rules.next_may_fall or not rules.two_words:
            value = max(value, s.said[0])
        if not rules.two_words:
            return s._replace(at="store next", next=value)
        return s._replace(at="store next" if rules.next_first else "store folded", next=value)

    def store_next(s):
        after = s._replace(at="store folded" if rules.next_first else "said", said=(s.next, s.said[1]))
        return step(after) if s.said[0] == s.next else Store(next_word, s.next, said_by, after)

    def store_folded(s):
        folded = states[s.n].peer if rules.two_words else NEVER
        after = s._replace(at="said" if rules.next_first else "store next", said=(s.said[0], folded))
        return step(after) if s.said[1] == folded else Store(folded_word, folded, said_by, after)

    def said(s):
        s = s._replace(next=0)
        if s.out < states[s.n].out:
            return step(s._replace(at="emit"))
        return step(s._replace(at="release market" if rules.released_last else "ask"))

    # The end

    def ask(s):
        """finished: nothing of its own is left, and nothing will come."""
        pos = states[s.n]
        if not pos.ended or pos.timer < NEVER:
            return step(s._replace(at="room"))
        if not rules.two_words:
            return step(s._replace(at="room")) if s.n < len(inputs) else None
        return Load(peer_folded, heard_by, lambda value: s._replace(at="ask next", folded=value))

    def ask_next(s):
        return Load(peer_next, heard_by, lambda value: s._replace(at="ask peer", next=value))

    def ask_peer(s):
        seq = states[s.n].peer

        def then(x):
            over = s.next == NEVER and s.folded >= s.out and x != seq + 1
            if over and s.n < len(inputs):
                raise Broken(f"{('the strategy', 'the broker')[me]} is done before its input {inputs[s.n]}")
            return s._replace(at="done" if over else "room", folded=0, next=0)

        return Load(memory.slot(peer, seq), ACQUIRE, then)

    def done(s):
        return None

    own_steps = [
        room, look, load_folded, load_next, peer_slot, market_slot, say_early, emit, emit_again, emit_missing, settle,
        release_market, release_peer, say_next, store_next, store_folded, said, ask, ask_next, ask_peer, done,
    ]  # fmt: skip
    steps = {function.__name__.replace("_", " "): function for function in own_steps}
    return step


def replacement(run, me):
    """Of a stage: its journal says how many inputs it took; what the last one emitted may be missing."""
    states = reference(run).states[me]

    def begin(dead):
        out = states[max(0, dead.n - 1)].out
        at = "emit again" if run.rules.redo_first else "say next"
        return Stage(at, n=dead.n, out=out, market_released=-1, peer_released=-1, said=(-1, -1))

    return begin


class Ingest(NamedTuple):
    seq: int = 0
    free: int = 0  # readers of whose cursor it knows that the next slot is free


def ingest(run):
    """Publishes the market; waits for both readers."""
    memory = places(run)
    slots = memory.rings[_MARKET_RING][1]

    def step(g):
        if g.seq == len(run.market):
            return None
        if g.free < 2 and slots < len(run.market):
            cursor = memory.cursors[_MARKET_RING + g.free]
            return Load(cursor, ACQUIRE, lambda c: g._replace(free=g.free + 1) if g.seq < c + slots else g)
        return Store(memory.slot(_MARKET_RING, g.seq), g.seq + 1, RELEASE, Ingest(g.seq + 1))

    return step


def scene(run, *, kills=0, killed: Sequence[int] = (STRATEGY, BROKER)):
    """Both stages, which may be killed, and ingest."""
    programs: list[Any] = [stage(run, STRATEGY), stage(run, BROKER), ingest(run)]
    replaced = {me: replacement(run, me) for me in killed}
    states = [Stage(), Stage(), Ingest()]
    return Scene((0,) * places(run).count, programs, states, replaced if kills else {}, kills)
