"""The feed's process: recorded messages in, market events out. It is the run's only sequencer.

    input: the next message when its time has come | an operator's command | a reader's wish for a snapshot | the end
           -> journal (kind, number, now) -> feed fold -> market ring, a message never begun without the one before it done

Realtime clock: a message arrives at start + (its receive time - the first one's) / speed; that intended moment is its
`recv_ns`, whenever the process got round to it: how late it was is measured beside ("late"). Simulated clock: event times
stay what they are, and what an operator says becomes a CONTROL record in the market ring, at a message boundary.

Invariant: what is published follows from the journal alone, so a replacement publishes the same bytes.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from procs.stages.base import RedoMismatch
from procs.stages.working import HasState, Working
from procs.states import ENDED, ENDED_STOPPED, ENDS_NOT
from procs.topology import HOPS, Segments
from ringsim import control as c
from ringsim.atomics import load_acquire, now_ns, pause, prefetch_read, store_release
from ringsim.book import LOADING, VALID, book_best, book_next, book_qty
from ringsim.control import CELL_FEED, CELL_MARKET, FEED_CELL, MARKET_CELL, Stage, block
from ringsim.fold.call import called
from ringsim.fold.commit import EVERY_NS
from ringsim.fold.intake import NO_INPUT, NO_JOURNAL, NO_ROOM, WORKING
from ringsim.fold.journal import HEAD, Journal, entry_now, entry_seq, entry_stream, journal_commit, market_slot
from ringsim.fold.near import AHEAD, near_journal, near_ring, near_state
from ringsim.fold.neighbour import Neighbour, neighbour_waits
from ringsim.fold.rehearsal import (
    Rehearsal,
    Script,
    private_journal,
    private_producer,
    rehearsal,
    rehearsal_undo,
    rehearses,
)
from ringsim.fold.trap import (
    BEFORE_JOURNAL,
    FOLDED,
    FOLDING,
    JOURNALLED,
    PUBLISHED,
    REDO,
    WRITTEN,
    trap,
    trap_half_record,
)
from ringsim.kernel import bound, kernel
from ringsim.limits import REFRESH_EVERY_NS
from ringsim.market.binance import make_scratch
from ringsim.market.capture import INDEX, open_capture
from ringsim.market.events import Events, make_events
from ringsim.market.feed import feed_control, feed_snapshot, feed_step
from ringsim.records import MARKET_WORDS, ControlCode, Trading
from ringsim.ring import batch_max, publish, put, room
from ringsim.ring.producer import refused
from ringsim.ring.ring import P_NEXT, Producer
from ringsim.ring.wait import HANDOVER, idle, reset, waiter
from ringsim.telemetry.cell import write_cell
from ringsim.telemetry.histogram import observe

# Kinds of journal entries.
MESSAGE, COMMAND, SNAPSHOT, END = range(4)

# Setup words.
G_SIMULATED = 0
G_FIRST_NS = 1  # receive time of the first message
G_SPEED_NUM, G_SPEED_DEN = 2, 3  # speed as a fraction; 0: as fast as it goes
G_WORDS = 8


class Ingest(NamedTuple):
    """What the kernels need beside the state.

    text, index: the messages of the run. sent: int64[8], private: events of the message sent so far, why there is nothing
    to do, journal position up to which entries may be overwritten, the parent's epoch that the slice goes by,
    rounds without an input, when the next wish for a snapshot may be answered.
    """

    text: np.ndarray
    index: np.ndarray  # type: ignore[assignment]  # shadows tuple.index, which nobody calls
    scratch: np.ndarray
    events: Events
    market: Producer
    journal: Journal
    setup: np.ndarray
    control: np.ndarray
    sent: np.ndarray


class Practice(NamedTuple):
    """What ingest rehearses: the messages of a recording, folded and sent where nobody reads. g.index: empty if there is none."""

    g: Ingest
    twin: Rehearsal


def practice(g: Ingest, recording: tuple[Script, np.ndarray, np.ndarray] | None, dtype: np.dtype) -> Practice:
    """recording: the script (of states alone), text and index; None: nothing is rehearsed. g: the run's own."""
    script, text, index = recording or (None, np.zeros(1, np.uint8), np.zeros(0, INDEX).view(np.recarray))
    for array in (text, index):
        array.setflags(write=False)  # as a capture's are: the same types, the same code
    twin = g._replace(
        text=text,
        index=index,
        market=private_producer(g.market),
        journal=private_journal(g.journal),
        control=np.zeros_like(g.control),
        sent=np.zeros_like(g.sent),
    )
    # The realtime clock sets these two, and the script was recorded under the simulated one.
    return Practice(twin, rehearsal(script, dtype, also=("recv_ns", "exch_ns")))


_SENT, _REASON, _COMMITTED, _EPOCH, _TURN, _ANSWER_NS = range(6)
_PUBLISH, _LATE = HOPS.index("publish"), HOPS.index("late")
_MY_BLOCK = block(Stage.INGEST)
_WANTED = block(Stage.STRATEGY) + c.S_SNAPSHOT_WANTED
_STOPPING = int(c.RunState.STOPPING)
_END_OF_FEED = int(ControlCode.END_OF_FEED)


@kernel(inline=True)
def _due_ns(g, message):
    """When a message arrives, realtime; 0 under the simulated clock and at full speed: now."""
    if g.setup[G_SIMULATED] == 1 or g.setup[G_SPEED_NUM] == 0:
        return 0
    offset = g.index[message].recv_ns - g.setup[G_FIRST_NS]
    return g.control[c.P_START_NS] + offset * g.setup[G_SPEED_DEN] // g.setup[G_SPEED_NUM]


@kernel(inline=True)
def next_input(s, g, now):
    """The next input, if there is one: its kind or -1, its number, its time. Takes nothing."""
    kind, seq, time = -1, 0, now
    if s.ended != ENDS_NOT:
        kind = -1
    elif s.feed.book.valid == LOADING:
        kind, seq, time = MESSAGE, s.feed.next, s.recv_ns  # a snapshot and the diffs that waited for it are one message
    elif s.snapshot_part > 0:
        kind, seq = SNAPSHOT, s.answering
    elif load_acquire(g.control, c.P_COMMAND_SEQ) > s.commands:
        kind, seq = COMMAND, s.commands
    elif g.control[_WANTED] > s.snapshots and s.feed.book.valid == VALID and now >= g.sent[_ANSWER_NS]:
        kind, seq = SNAPSHOT, g.control[_WANTED]  # one answers all that was asked so far
        g.sent[_ANSWER_NS] = now + REFRESH_EVERY_NS
    elif s.feed.next >= g.index.size or g.control[c.P_RUN] == _STOPPING:
        kind, seq = END, s.feed.next
    else:
        due = _due_ns(g, s.feed.next)
        if due <= now:
            kind, seq = MESSAGE, s.feed.next
            time = due if due > 0 else now
    return kind, seq, time


@kernel(inline=True)
def _choose(s, g, now):
    """Journal the next input, if there is one; returns its kind or -1."""
    position = s.journal
    if position - g.sent[_COMMITTED] > g.journal.mask:
        g.sent[_REASON] = NO_JOURNAL
        return -1
    kind, seq, time = next_input(s, g, now)
    if kind >= 0:
        said = market_slot(g.journal, position)
        if kind == COMMAND:
            g.journal.words[said] = g.control[c.P_COMMAND_CODE]
            g.journal.words[said + 1] = g.control[c.P_COMMAND_VALUE]
        elif kind == END:
            g.journal.words[said] = g.control[c.P_RUN] == _STOPPING
        trap(g.control, _MY_BLOCK, BEFORE_JOURNAL, position)
        journal_commit(g.journal, position, kind, seq, time)
        trap(g.control, _MY_BLOCK, JOURNALLED, position)
    else:
        g.sent[_REASON] = NO_INPUT
    return kind


@kernel(inline=True)
def _fold(s, g):
    """Fold the journal's next entry; its events are then in the outbox, their times those of this run's clock."""
    journal, position = g.journal, s.journal
    kind, time, said = entry_stream(journal, position), entry_now(journal, position), market_slot(journal, position)
    s.journal += 1
    trap(g.control, _MY_BLOCK, FOLDING, s.journal)
    if kind == MESSAGE:
        s.event_ns = g.index[min(s.feed.next, g.index.size - 1)].recv_ns
        feed_step(s.feed, g.text, g.index, g.scratch, g.events)
    elif kind == COMMAND:
        feed_control(s.feed, g.events, journal.words[said], journal.words[said + 1])
        s.commands += 1
        s.command_at = s.feed.next
    elif kind == SNAPSHOT:
        s.answering = entry_seq(journal, position)
        s.snapshot_part = feed_snapshot(s.feed, g.events, s.snapshot_part)
        if s.snapshot_part == 0:
            s.snapshots = s.answering
    else:
        # Asked to stop, open orders need not live on: the value says "expire at once".
        stopped = journal.words[said]
        feed_control(s.feed, g.events, _END_OF_FEED, stopped)
        s.ended = ENDED_STOPPED if stopped != 0 else ENDED
    if g.setup[G_SIMULATED] == 0:
        for i in range(g.events.count[0]):
            event = g.events.records[i]
            lag = max(1, event.recv_ns - event.exch_ns)
            s.recv_ns = max(s.recv_ns, time)
            s.exch_ns = max(s.exch_ns, s.recv_ns - lag)
            event.recv_ns, event.exch_ns = s.recv_ns, min(s.exch_ns, s.recv_ns - 1)


@kernel(inline=True)
def send(s, g):
    """Publish what there is room for of the message under way. Returns whether all of it is out."""
    total = g.events.count[0]
    trap(g.control, _MY_BLOCK, FOLDED, s.journal)
    while g.sent[_SENT] < total:
        n = min(total - g.sent[_SENT], batch_max(g.market))
        free = g.market.ring.mask + 1 - (g.market.at[P_NEXT] - g.market.at[1])
        if free < n:
            free = room(g.market)
            n = min(n, free)
            if n == 0:
                refused(g.market)
                g.sent[_REASON] = NO_ROOM
                return False
        words, first = g.events.words, g.sent[_SENT] * MARKET_WORDS
        trap_half_record(g.control, _MY_BLOCK, s.journal, g.market, s.out, words, first)
        # The first one last: readers wait at it, and leave the lines of the others alone while they are written.
        for i in range(1, n):
            put(g.market, s.out + i, words, first + i * MARKET_WORDS)
        put(g.market, s.out, words, first)
        s.out += n
        trap(g.control, _MY_BLOCK, WRITTEN, s.journal)
        publish(g.market, n)
        trap(g.control, _MY_BLOCK, PUBLISHED, s.journal)
        g.sent[_SENT] += n
    g.sent[_SENT] = 0
    g.events.count[0] = 0
    return True


@kernel(inline=True)
def _stay_near(s, g, memory):
    """One round without an input: keep near what the next message needs, its text first of all."""
    turn = g.sent[_TURN]
    g.sent[_TURN] = turn + 1
    near_journal(g.journal, s.journal, 0, turn & 3)
    near_ring(g.market.ring, s.out, turn, np.int64(AHEAD))
    near_state(memory, turn)
    if s.feed.next < g.index.size:
        message = g.index[s.feed.next]
        prefetch_read(g.text, message.offset + (64 * turn) % message.length)


@kernel
def fold_and_send(s, g):
    """Fold the journal's next entry and publish what it gives. Returns how many events are out, -1 if the rest waits for room."""
    _fold(s, g)
    count = g.events.count[0]
    return count if count == 0 or send(s, g) else -1


@kernel
def _rehearse(practice):
    """Fold and send one message of the recording, as if it had arrived."""
    s, g = practice.twin.state[0], practice.g
    journal_commit(g.journal, s.journal, MESSAGE, s.feed.next, s.recv_ns)
    fold_and_send(s, g)
    if s.feed.next >= g.index.size:
        rehearsal_undo(practice.twin)


@kernel
def _show_market(s, g, cell):
    """The top of the book for screens."""
    b = s.feed.book
    bid, ask = book_best(b, 1), book_best(b, 2)
    cell[0] = s.event_ns
    cell[1], cell[2] = bid, book_qty(b, 1, bid) if bid > 0 else 0
    cell[3], cell[4] = ask, book_qty(b, 2, ask) if ask > 0 else 0
    bids, asks, px, qx = 0, 0, bid, ask
    for _ in range(5):
        if px > 0:
            bids += book_qty(b, 1, px)
            px = book_next(b, 1, px)
        if qx > 0:
            asks += book_qty(b, 2, qx)
            qx = book_next(b, 2, qx)
    cell[5] = (bids - asks) * 1_000_000 // (bids + asks) if bids + asks > 0 else 0
    cell[6] = 20_000_000 * (ask - bid) // (ask + bid) if bid > 0 and ask > 0 else 0
    cell[7], cell[8] = s.out, b.valid == VALID
    write_cell(g.control, CELL_MARKET, cell)


@kernel
def _show_feed(s, g, cell):
    """The feed's counts for screens."""
    counts = s.feed.counts
    cell[0], cell[1] = s.feed.next, g.index.size
    cell[2], cell[3], cell[4] = counts.gaps, counts.stale, counts.resyncs
    write_cell(g.control, CELL_FEED, cell)


@kernel
def ingest_slice(states, memory, g, practice, neighbour, hops, cell, feed_cell, waiter, until_ns, inputs):
    """Take, fold and publish inputs until `inputs` are done, the time is over, or the ring is full. Returns how many."""
    s = states[0]
    done = 0
    simulated = g.setup[G_SIMULATED] == 1
    while done < inputs:
        if g.events.count[0] > 0:
            if not send(s, g):
                now = now_ns()
                if called(g.control, _MY_BLOCK, g.sent[_EPOCH], now, s.feed.next) or now >= until_ns:
                    break
                idle(waiter)
                continue
            if not simulated:
                observe(hops[_PUBLISH], now_ns() - s.recv_ns)
            done += 1
        now = now_ns()
        over = called(g.control, _MY_BLOCK, g.sent[_EPOCH], now, s.feed.next) or now >= until_ns
        if over and done > 0:
            break
        kind = _choose(s, g, now)
        if kind < 0:
            if over or g.sent[_REASON] == NO_JOURNAL or s.ended != ENDS_NOT:
                break
            if waiter[0] == HANDOVER and neighbour_waits(neighbour, g.control, now):
                idle(waiter)  # at once: it may hold what was just published
                continue
            _stay_near(s, g, memory)
            for _ in range(rehearses(practice.twin, g.sent[_TURN])):
                _rehearse(practice)
            if waiter[0] == HANDOVER:
                pause()
            else:
                idle(waiter)
            continue
        reset(waiter)
        g.sent[_REASON] = WORKING
        if kind == MESSAGE and not simulated:
            observe(hops[_LATE], now - entry_now(g.journal, s.journal))
        sent = fold_and_send(s, g)
        if sent > 0 and not simulated:
            observe(hops[_PUBLISH], now_ns() - s.recv_ns)
        if sent >= 0:
            done += 1
    _show_market(s, g, cell)
    _show_feed(s, g, feed_cell)
    return done


@kernel
def ingest_redo(states, g, head):
    """Fold the journal to `head` again; publish what is missing. Returns False at a difference from what was published.

    The last message may have been published in part: its rest stays in the outbox, for the slice to send.
    """
    s = states[0]
    ring, published = g.market.ring, g.market.at[P_NEXT]
    while s.journal < head:
        trap(g.control, _MY_BLOCK, REDO, s.journal)
        _fold(s, g)
        count = g.events.count[0]
        old = min(count, max(0, published - s.out))
        for i in range(old):
            base = (s.out & ring.mask) * ring.width
            if ring.words[base] == s.out + 1:
                for k in range(1, ring.width):
                    if ring.words[base + k] != g.events.words[i * MARKET_WORDS + k]:
                        return False
            s.out += 1
        g.sent[_SENT] = old
        if old == count:
            g.sent[_SENT] = 0
            g.events.count[0] = 0
        elif s.journal < head:
            return False  # only the last input can be half published
    return True


class IngestStage(HasState):
    """A StageProgram over a recorded capture."""

    stage, name = Stage.INGEST, "ingest"

    def __init__(self, segments: Segments, recording: tuple[Script, np.ndarray, np.ndarray] | None = None) -> None:
        plan = segments.plan
        capture = open_capture(Path(plan.capture_folder))
        self.plan, self.capture, self.control = plan, capture, segments.control
        self.hops = segments.hops
        self.waiter = waiter(plan.waits[self.name])
        market, orders = segments.rings["market"], segments.rings["orders"]
        self.neighbour = Neighbour(
            market.ring.header,
            market.consumer("execution").line,
            orders.ring.header,
            orders.consumer("execution").line,
            block(Stage.EXECUTION) + c.S_NEXT_NS,
            np.zeros(1, np.int64),
        )
        setup = np.zeros(G_WORDS, np.int64)
        setup[G_SIMULATED], setup[G_FIRST_NS] = plan.simulated, capture.meta.first_recv_ns
        setup[G_SPEED_NUM], setup[G_SPEED_DEN] = plan.speed
        self.g = Ingest(
            capture.text,
            capture.index[: plan.messages],
            make_scratch(),
            make_events(),
            segments.rings["market"].producer(),
            segments.journals[self.name],
            setup,
            segments.control,
            np.zeros(8, np.int64),
        )
        self.practice = practice(self.g, recording, segments.copies[self.name].states.dtype)
        self.cell, self.feed_cell = np.zeros(len(MARKET_CELL), np.int64), np.zeros(len(FEED_CELL), np.int64)
        self._slice = bound(ingest_slice)
        self.working = Working(segments.copies[self.name], self.control, _MY_BLOCK)
        self.g.sent[_COMMITTED] = self.working.record.journal
        if not ingest_redo(self.state, self.g, int(self.g.journal.header[HEAD])):
            raise RedoMismatch("ingest: redoing the journal gave other market events than the published ones")

    def slice(self, until_ns: int, inputs: int, epoch: int) -> int:
        self.g.sent[_EPOCH] = epoch
        state, shown = (self.state, self.memory), (self.hops, self.cell, self.feed_cell)
        done = int(self._slice(*state, self.g, self.practice, self.neighbour, *shown, self.waiter, until_ns, inputs))
        used = int(self.working.record.journal) - int(self.g.sent[_COMMITTED])
        whole = int(self.g.events.count[0]) == 0  # a message half sent belongs to neither state
        full = used >= (self.g.journal.mask + 1) * 3 // 4
        if whole and used and (full or int(now_ns()) - self.working.committed_ns > EVERY_NS):
            self.commit()
        # The place first: the parent reads it once it sees the count. (Of a state that a redo reaches again.)
        self.control[_MY_BLOCK + c.S_COMMAND_AT] = self.working.record.command_at
        store_release(self.control, _MY_BLOCK + c.S_COMMANDS_DONE, int(self.working.record.commands))
        return done

    def commit(self) -> None:
        """Make what is folded and sent so far the state that a replacement begins with."""
        position = int(self.working.record.journal)
        self.working.commit(position)
        self.g.sent[_COMMITTED] = position

    def say(self, code: int, value: int) -> bool:
        """The feed folds no control events: under the simulated clock commands come through the command words."""
        return True

    def done(self) -> bool:
        return bool(self.working.record.ended) and int(self.g.events.count[0]) == 0

    def progress(self) -> tuple[int, int, int, int]:
        s = self.working.record
        return int(s.feed.next), int(s.out), int(s.event_ns), int(self.g.sent[_REASON])

    def trading(self) -> int:
        return int(Trading.ACTIVE)

    def close(self) -> None:
        if int(self.g.events.count[0]) == 0:
            self.commit()
