"""Which input a stage takes next. The only place where arrival order, clocks and bounds matter; folds never see them.

Simulated clock, protocol P4: the smallest (key, stream, seq) over the stage's streams, and an empty stream needs a bound
on its next record. Each stage tells its peer two words, neither of them a running maximum:

    next   its earliest next event that the peer did not cause: head of the market (the last market key if that is empty,
           NEVER after the end of the feed), its timer
    folded the number of the peer's records that it has folded, their outputs published

    bound  = min(next, delivery time of my record number `folded`, if I published one) + the peer's latency lower bound
    take head h iff every other stream has a larger head, or bound > h.key, or bound == h.key and h's stream is smaller

Realtime clock: whatever is there, smallest key first, nothing whose time has not come; the broker takes the market up to
an order's trigger before the order.

Invariant: an input is taken only if the journal and the output ring have room for the worst that it can cause.
"""

from typing import NamedTuple

import numpy as np

from ringsim.atomics import copy_words, load_acquire, load_relaxed, now_ns, prefetch_read, store_release
from ringsim.fold.call import called
from ringsim.fold.journal import (
    MARKET_WORDS,
    PEER_WORDS,
    Journal,
    entry_now,
    entry_seq,
    entry_stream,
    journal_commit,
    market_slot,
    peer_slot,
)
from ringsim.fold.near import near_journal, near_level, near_ring, near_state
from ringsim.fold.positions import CONTROL, LOST, MARKET, NOTHING, PEER, TIMER
from ringsim.fold.trap import (
    BEFORE_JOURNAL,
    BEFORE_RELEASE,
    FOLDED,
    JOURNALLED,
    PUBLISHED,
    REDO,
    RELEASED,
    WRITTEN,
    trap,
    trap_half_record,
)
from ringsim.kernel import kernel
from ringsim.records import MARKET_EVENT, NEVER_NS, ORDER, REPORT, ControlCode, EventKind, GapCode
from ringsim.ring.consumer import LAPPED, OK, poll, release
from ringsim.ring.layout import W_PUBLISHED
from ringsim.ring.producer import batch_max, fits, publish, put
from ringsim.ring.ring import P_NEXT, R_LOST, R_NEXT, Consumer, Producer

# Setup words of an intake: what differs between stages and clocks.
I_SIMULATED = 0
I_MARKET_KEY = 1  # word of the market record that is its key
I_PEER_KEY = 2  # word of the peer's record that is its key
I_PEER_ADD_NS = 3  # added to it: the latency lower bound of what the peer sends, where the record carries its sending
I_PEER_BOUND_NS = 4  # the peer's latency lower bound
I_OWN_KEY = 5  # word of the own records that is the peer's key for them
I_OWN_ADD_NS = 6
I_WORST = 7  # outputs that one input can cause
I_LOSSY = 8  # the market is read as a free reader
I_TRIGGERS = 9  # 1: peer records wait for the market up to their trigger
I_WORDS = 10  # first of the own watermark words: next, folded
I_PEER_WORDS = 11
I_BLOCK = 12  # the stage's block of the control page
I_SETUP = 16

# Why a stage has nothing to do (shown to the watchdog and the live view).
WORKING, NO_INPUT, NO_ROOM, NO_JOURNAL = range(4)

# Private words of an intake.
A_REASON = 0
A_COMMITTED = 1  # journal position up to which entries may be overwritten
A_EPOCH = 2  # the parent's epoch that this slice goes by
A_TURN = 3  # rounds without an input, for `stay_near`
A_LINES, A_LEVELS = (
    4,
    5,
)  # market records up to which `look_ahead` has asked for the lines, for their places in the book
A_WORDS = 8

_LINES_AHEAD, _LEVELS_AHEAD = 8, 3  # market records

_EVENT_KIND = MARKET_EVENT.fields["kind"][1] // 8  # type: ignore[index]
_KIND_SHIFT = 8 * (MARKET_EVENT.fields["kind"][1] % 8)  # type: ignore[index]
_CODE_SHIFT = 8 * (MARKET_EVENT.fields["code"][1] % 8)  # type: ignore[index]
assert MARKET_EVENT.fields["code"][1] // 8 == _EVENT_KIND  # type: ignore[index]
_FLAG_SHIFT = 8 * (MARKET_EVENT.fields["flag_bits"][1] % 8)  # type: ignore[index]
_TRIGGER = ORDER.fields["trigger_seq"][1] // 8  # type: ignore[index]
_CONTROL, _GAP = int(EventKind.CONTROL), int(EventKind.GAP)
_END, _LAPPED = int(ControlCode.END_OF_FEED), int(GapCode.LAPPED)
_NEVER = NEVER_NS

KEY_EXCH = MARKET_EVENT.fields["exch_ns"][1] // 8  # type: ignore[index]
KEY_RECV = MARKET_EVENT.fields["recv_ns"][1] // 8  # type: ignore[index]
KEY_CREATED = ORDER.fields["created_ns"][1] // 8  # type: ignore[index]
KEY_DELIVER = REPORT.fields["deliver_ns"][1] // 8  # type: ignore[index]
_QTY = MARKET_EVENT.fields["qty_lots"][1] // 8  # type: ignore[index]


class Intake(NamedTuple):
    """A stage's way in and out. setup: int64[I_SETUP]. control: the control page's words. at: int64[A_WORDS], private."""

    market: Consumer
    peer: Consumer
    out: Producer
    journal: Journal
    setup: np.ndarray
    control: np.ndarray
    at: np.ndarray


@kernel(inline=True)
def _word(ring, seq, word):
    return ring.words[(seq & ring.mask) * ring.width + word]


@kernel
def _own_delivery(intake, pos, folded):
    """When my record number `folded` reaches the peer; NEVER if I have not published it."""
    if folded >= pos.out:
        return _NEVER
    return _word(intake.out.ring, folded, intake.setup[I_OWN_KEY]) + intake.setup[I_OWN_ADD_NS]


@kernel
def _market_end(intake, pos):
    """Whether the market record just read says END_OF_FEED (its words are in the journal's next entry)."""
    word = intake.journal.words[market_slot(intake.journal, pos.journal) + _EVENT_KIND]
    return ((word >> _KIND_SHIFT) & 255) == _CONTROL and ((word >> _CODE_SHIFT) & 0xFFFF) == _END


@kernel(inline=True)
def _journalled(intake, pos, stream, seq, now):
    """The input whose record lies in the journal's next entry has happened."""
    control, at = intake.control, intake.setup[I_BLOCK]
    trap(control, at, BEFORE_JOURNAL, pos.journal)
    journal_commit(intake.journal, pos.journal, stream, seq, now)
    pos.journal += 1
    trap(control, at, JOURNALLED, pos.journal)


@kernel(inline=True)
def _take(intake, pos, stream, key):
    """Journal the chosen input and step over it."""
    seq, journal = pos.journal, intake.journal
    if stream == MARKET:
        seq, ring = pos.market, intake.market.ring
        base = (seq & ring.mask) * MARKET_WORDS
        copy_words(journal.words, market_slot(journal, pos.journal), ring.words, base, MARKET_WORDS)
        if _market_end(intake, pos):
            pos.ended = 1
        pos.market += 1
        pos.market_key = key
    elif stream == PEER:
        seq, ring = pos.peer, intake.peer.ring
        base = (seq & ring.mask) * PEER_WORDS
        copy_words(journal.peer_words, peer_slot(journal, seq), ring.words, base, PEER_WORDS)
        pos.peer += 1
        pos.peer_key = key
    _journalled(intake, pos, stream, seq, key)
    pos.now_ns = key
    intake.at[A_REASON] = WORKING
    return stream


@kernel(inline=True)
def _has_room(intake, pos):
    if pos.journal - intake.at[A_COMMITTED] > intake.journal.mask:
        intake.at[A_REASON] = NO_JOURNAL
        return False
    if not fits(intake.out, intake.setup[I_WORST]):
        intake.at[A_REASON] = NO_ROOM
        return False
    return True


@kernel(inline=True)
def choose_simulated(intake, pos, timer_ns):
    """Protocol P4: the stream of the next input and its key; NOTHING if it cannot be known yet. Takes nothing."""
    setup = intake.setup
    market_ring, peer_ring = intake.market.ring, intake.peer.ring
    # Order matters: the peer's words first, then its ring. A record missing from the ring was then not yet caused.
    folded = load_acquire(intake.control, setup[I_PEER_WORDS] + 1)
    peer_next = load_acquire(intake.control, setup[I_PEER_WORDS])
    has_peer = _is_there(intake.peer, pos.peer)
    has_market = _is_there(intake.market, pos.market)
    market_key = pos.market_key
    if has_market:
        market_key = max(market_key, _word(market_ring, pos.market, setup[I_MARKET_KEY]))
    elif pos.ended != 0:
        market_key = _NEVER
    if has_peer:
        peer_key = max(pos.peer_key, _word(peer_ring, pos.peer, setup[I_PEER_KEY]) + setup[I_PEER_ADD_NS])
    else:
        peer_key = min(_NEVER, min(peer_next, _own_delivery(intake, pos, folded)) + setup[I_PEER_BOUND_NS])
    # A missing stream's key is a bound: its next record may have just that key, so equality is decided by the stream.
    if has_market and market_key <= peer_key and market_key <= timer_ns:
        return MARKET, market_key
    if has_peer and peer_key < market_key and peer_key <= timer_ns:
        return PEER, peer_key
    if timer_ns < market_key and timer_ns < peer_key and timer_ns < _NEVER:
        return TIMER, timer_ns
    return NOTHING, _NEVER


@kernel(inline=True)
def _is_there(consumer, seq):
    """Whether a gating consumer can read record `seq`: its stamp is the commit point, and lies in the line that is read next."""
    ring = consumer.ring
    return load_acquire(ring.words, (seq & ring.mask) * ring.width) == seq + 1


@kernel(inline=True)
def _take_lossy(intake, pos, now):
    """The next market record of a free reader, or what it lost; NOTHING if there is none."""
    lost, first = intake.market.at[R_LOST], intake.market.at[R_NEXT]
    start = market_slot(intake.journal, pos.journal)
    result = poll(intake.market, intake.journal.words, start)
    if result & LAPPED:
        missed = intake.market.at[R_LOST] - lost
        # The record that came with it is left to the next poll: the loss is an input of its own, and comes first.
        if result & OK:
            intake.market.at[R_NEXT] -= 1
        for k in range(MARKET_WORDS):
            intake.journal.words[start + k] = 0
        intake.journal.words[start + KEY_EXCH] = now
        intake.journal.words[start + KEY_RECV] = now
        intake.journal.words[start + _QTY] = missed
        intake.journal.words[start + _EVENT_KIND] = (
            (_GAP << _KIND_SHIFT) | (_LAPPED << _CODE_SHIFT) | (1 << _FLAG_SHIFT)
        )
        _journalled(intake, pos, LOST, first, now)
        pos.market = intake.market.at[R_NEXT]
        pos.lost += missed
        pos.laps += 1
        pos.now_ns = now
        intake.at[A_REASON] = WORKING
        return LOST
    if result == OK:
        seq = pos.market
        if _market_end(intake, pos):
            pos.ended = 1
        _journalled(intake, pos, MARKET, seq, now)
        pos.market = seq + 1
        pos.now_ns = now
        intake.at[A_REASON] = WORKING
        return MARKET
    return NOTHING


@kernel(inline=True)
def _take_realtime(intake, pos, timer_ns):
    setup = intake.setup
    now = max(now_ns(), pos.now_ns)
    if timer_ns <= now:
        return _take(intake, pos, TIMER, now)
    if _is_there(intake.peer, pos.peer):
        due = _word(intake.peer.ring, pos.peer, setup[I_PEER_KEY]) + setup[I_PEER_ADD_NS]
        waits = setup[I_TRIGGERS] == 1 and _word(intake.peer.ring, pos.peer, _TRIGGER) >= pos.market
        if (due <= now or setup[I_TRIGGERS] == 1) and not waits:
            return _take(intake, pos, PEER, now)
    if setup[I_LOSSY] == 1:
        stream = _take_lossy(intake, pos, now)
        if stream != NOTHING:
            return stream
    elif _is_there(intake.market, pos.market):
        return _take(intake, pos, MARKET, now)
    intake.at[A_REASON] = NO_INPUT
    return NOTHING


@kernel(inline=True)
def take_input(intake, pos, timer_ns):
    """Choose, journal and step over the next input.

    pos: the state's POSITIONS. timer_ns: the state's next own time, NEVER_NS if none.
    Returns its stream, or NOTHING (the reason is in at[A_REASON]). The entry is number pos.journal - 1; its time pos.now_ns.
    """
    if not _has_room(intake, pos):
        return NOTHING
    if intake.setup[I_SIMULATED] == 0:
        return _take_realtime(intake, pos, timer_ns)
    stream, key = choose_simulated(intake, pos, timer_ns)
    if stream != NOTHING:
        return _take(intake, pos, stream, key)
    intake.at[A_REASON] = NO_INPUT
    return NOTHING


@kernel
def take_control(intake, pos, code, value):
    """Journal what the parent said, as a CONTROL market event (realtime clock only). Returns CONTROL or NOTHING (no room)."""
    if not _has_room(intake, pos):
        return NOTHING
    now = max(now_ns(), pos.now_ns)
    start = market_slot(intake.journal, pos.journal)
    for k in range(MARKET_WORDS):
        intake.journal.words[start + k] = 0
    intake.journal.words[start + KEY_EXCH] = now
    intake.journal.words[start + KEY_RECV] = now
    intake.journal.words[start + _QTY] = value
    intake.journal.words[start + _EVENT_KIND] = (_CONTROL << _KIND_SHIFT) | (code << _CODE_SHIFT) | (1 << _FLAG_SHIFT)
    _journalled(intake, pos, CONTROL, pos.journal, now)
    pos.now_ns = now
    return CONTROL


@kernel
def step_over(intake, pos):
    """Redo: step over the journal's next entry as if it had just been taken. Returns its stream."""
    trap(intake.control, intake.setup[I_BLOCK], REDO, pos.journal)
    journal = intake.journal
    stream, seq = entry_stream(journal, pos.journal), entry_seq(journal, pos.journal)
    now = entry_now(journal, pos.journal)
    if stream == MARKET:
        if _market_end(intake, pos):
            pos.ended = 1
        pos.market, pos.market_key = seq + 1, now
    elif stream == PEER:
        pos.peer, pos.peer_key = seq + 1, now
    elif stream == LOST:
        missed = journal.words[market_slot(journal, pos.journal) + _QTY]
        pos.market = seq + missed
        pos.lost += missed
        pos.laps += 1
    pos.journal += 1
    pos.now_ns = now
    return stream


@kernel
def emit_again(intake, pos, out):
    """Redo: what was published already must be what the fold emits now; what was not is published.

    Returns False at a difference. A slot that the producer has used again since cannot be compared any more.
    """
    width = intake.out.ring.width
    published = intake.out.at[P_NEXT]
    same = True
    for i in range(out.count[0]):
        seq = pos.out
        if seq < published:
            base = (seq & intake.out.ring.mask) * width
            if intake.out.ring.words[base] == seq + 1:
                for k in range(1, width):
                    if intake.out.ring.words[base + k] != out.words[i * width + k]:
                        same = False
        else:
            put(intake.out, seq, out.words, i * width)
            publish(intake.out, 1)
        pos.out += 1
    out.count[0] = 0
    return same


@kernel
def emit(intake, pos, out):
    """Publish what the fold put into its outbox, and empty that. There is room: it was checked before the input was taken."""
    count = out.count[0]
    if count == 0:
        return
    control, at = intake.control, intake.setup[I_BLOCK]
    trap(control, at, FOLDED, pos.journal)
    width = intake.out.ring.width
    chunk = batch_max(intake.out)
    pending = 0
    trap_half_record(control, at, pos.journal, intake.out, pos.out, out.words, 0)
    for i in range(count):
        put(intake.out, pos.out, out.words, i * width)
        pos.out += 1
        pending += 1
        if pending == chunk:
            publish(intake.out, pending)
            pending = 0
    trap(control, at, WRITTEN, pos.journal)
    if pending > 0:
        publish(intake.out, pending)
    trap(control, at, PUBLISHED, pos.journal)
    out.count[0] = 0


@kernel(inline=True)
def settle(intake, pos, timer_ns):
    """After a batch of inputs, and whenever there is none: give the rings' slots back, tell the peer how far this stage is."""
    control, at = intake.control, intake.setup[I_BLOCK]
    trap(control, at, BEFORE_RELEASE, pos.journal)
    if intake.setup[I_LOSSY] == 0 and pos.market > intake.market.at[R_NEXT]:
        release(intake.market, pos.market - intake.market.at[R_NEXT])
    trap(control, at, RELEASED, pos.journal)
    if intake.setup[I_SIMULATED] == 1:
        market_key = pos.market_key
        if _is_there(intake.market, pos.market):
            market_key = max(market_key, _word(intake.market.ring, pos.market, intake.setup[I_MARKET_KEY]))
        elif pos.ended != 0:
            market_key = _NEVER
        store_release(intake.control, intake.setup[I_WORDS], min(market_key, timer_ns))
        store_release(intake.control, intake.setup[I_WORDS] + 1, pos.peer)
    else:
        store_release(intake.control, intake.setup[I_WORDS], timer_ns)  # for whoever shares this core
        store_release(intake.control, intake.setup[I_WORDS] + 1, pos.market)  # behind what this stage has sent for it
    # After the words: until the peer reads `folded`, it looks up its record of that number in a slot that must still hold it.
    if pos.peer > intake.peer.at[R_NEXT]:
        release(intake.peer, pos.peer - intake.peer.at[R_NEXT])


@kernel(inline=True)
def peer_behind(intake, pos):
    """Realtime clock: whether the peer still folds market records that this stage has folded: something may come of them."""
    return load_acquire(intake.control, intake.setup[I_PEER_WORDS] + 1) < pos.market


@kernel(inline=True)
def over(intake, pos, until_ns):
    """Whether a slice ends now: its time is over, or the parent has something to say. Beats. Ask it between two inputs."""
    now = now_ns()
    return called(intake.control, intake.setup[I_BLOCK], intake.at[A_EPOCH], now, pos.journal) or now >= until_ns


@kernel(inline=True)
def stay_near(intake, pos, state_words):
    """One round without an input: keep near what the next one needs. state_words: the working copy, int64[:]."""
    turn = intake.at[A_TURN]
    intake.at[A_TURN] = turn + 1
    near_journal(intake.journal, pos.journal, pos.peer, turn)
    near_ring(intake.out.ring, pos.out, turn, intake.setup[I_WORST])
    near_state(state_words, turn)


@kernel(inline=True)
def look_ahead(intake, pos, book):
    """Bring near what the next market records will need: their lines and, of those that set levels, the places in the book.

    A line comes from another core: at the start of a batch all are asked for at once, for to wait for one after the other
    takes longer. Nothing that is still being written is touched. Call it when a market record was taken, before its fold.
    """
    at, ring = intake.at, intake.market.ring
    published = load_relaxed(ring.header, W_PUBLISHED)
    line = at[A_LINES] if 0 <= at[A_LINES] - pos.market <= _LINES_AHEAD else pos.market
    while line < min(published, pos.market + _LINES_AHEAD):
        prefetch_read(ring.words, (line & ring.mask) * ring.width)
        line += 1
    at[A_LINES] = line
    level = at[A_LEVELS] if 0 <= at[A_LEVELS] - pos.market <= _LEVELS_AHEAD else pos.market
    while level < min(published, pos.market + _LEVELS_AHEAD):
        near_level(book, ring, level)
        level += 1
    at[A_LEVELS] = level


@kernel
def finished(intake, pos, timer_ns):
    """Whether this stage has nothing left to do: the feed has ended, no timer runs, no record waits.

    Call after `settle`, when there was no input. Under the simulated clock it is final; under the realtime clock the peer
    may still cause something, and the run is over when both say so and each has folded all of the other's records.
    """
    if pos.ended == 0 or timer_ns < _NEVER or _is_there(intake.peer, pos.peer):
        return False
    if intake.setup[I_SIMULATED] == 0:
        return True
    folded = load_acquire(intake.control, intake.setup[I_PEER_WORDS] + 1)
    peer_next = load_acquire(intake.control, intake.setup[I_PEER_WORDS])
    return peer_next >= _NEVER and folded >= pos.out and not _is_there(intake.peer, pos.peer)
