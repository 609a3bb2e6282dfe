"""Several strategies' orders into one ring: by time, at equal times by number, then as they were sent (protocol P4, generalised).

    orders-0 ──┐
    orders-1 ──┼──> orders ring ──> execution, persistence          reports ring ──> every strategy
      ...    ──┘

So execution has one peer, as with one strategy, and each strategy has one, too: this stage stands for all the others. To each
it says the two words of ringsim.fold.intake, simulated clock:

    head_k  = time of strategy k's next record, if it has sent one
    made    = min(execution's next, arrival of the first record that it has not folded) + the reports' latency lower bound
    bound_k = min(k's next, delivery of the first report that k has not folded, made): no later record of k's is earlier
    take head_k iff for every other i: (head_i, i) > (head_k, k), or, if i has sent nothing, (bound_i, i) > (head_k, k)

    to execution   next = min over k of head_k, else bound_k        folded = min over k of what k has folded
    to strategy i  next = min of execution's next and, as times at which the exchange has them, of the first record that
                   it has not folded and, over k != i, of head_k, else bound_k      folded = records of i that it has folded

A report that i has not seen comes of what execution does by itself, of a record on its way, or of one that somebody may send
yet; i's own are looked up by i. What comes of reports that are yet to be made is later than they are.

Order matters: execution's words are read before the reports ring, each strategy's before its ring: what is missing there was
then not yet caused. In this stage nothing is kept but where it stands, and that is in the rings:

    S_MERGING <-rel number of the record, strategy;  record -> orders ring;  published;  release of the strategy's ring

Invariant: the released cursors of the strategies' rings add up to what is published, or lack the one record that S_MERGING
names: its writer died before the release, and its successor does it. Realtime clock: whatever is there, earliest first.
"""

from typing import NamedTuple

import numpy as np

from ringsim.atomics import fence_acquire, load_acquire, load_relaxed, now_ns, store_release
from ringsim.control import S_FOLDED, S_MERGING, S_NEXT_NS
from ringsim.fold.call import called
from ringsim.fold.intake import KEY_CREATED, KEY_DELIVER, NO_INPUT, NO_ROOM, WORKING
from ringsim.kernel import kernel
from ringsim.limits import CANCEL_ALL_CREDITS, CREDITS, STRATEGY_OUT
from ringsim.records import NEVER_NS, ORDER
from ringsim.ring.consumer import release
from ringsim.ring.layout import W_PUBLISHED
from ringsim.ring.producer import fits, publish, put
from ringsim.ring.ring import P_NEXT, R_NEXT, Consumer, Producer, Ring
from ringsim.ring.wait import idle, reset

# Setup words.
M_SIMULATED = 0
M_BLOCK = 1  # the stage's own
M_EXECUTION = 2  # block of execution
M_STRATEGY = 3  # of strategy 0; the others follow
M_BLOCK_WORDS = 4
M_MERGED = 5  # words to strategy 0; the others follow
M_LINE = 6
M_ENTRY_NS = 7  # the order latency's lower bound
M_RESPONSE_NS = 8  # the reports'
M_SETUP = 9

# Private words.
M_REASON = 0
M_EPOCH = 1
M_IDLE = 2  # 1: nothing will ever come
M_MOVED = 3
M_WORDS = 4

_NEVER = np.int64(NEVER_NS)
_STRATEGY, _SHIFT = ORDER.fields["strategy"][1] // 8, 8 * (ORDER.fields["strategy"][1] % 8)  # type: ignore[index]
_MOST = 16  # records of one round
# A strategy looks up its first record that execution has not folded, as this stage said last, in a slot that must hold it still:
# behind that one are what had no answer then, what a round has moved since, and what has none now.
DESK_MIN = 256
assert 2 * (CREDITS + CANCEL_ALL_CREDITS) + _MOST + STRATEGY_OUT <= DESK_MIN


class Merge(NamedTuple):
    """desks: each strategy's orders, by number. heads, bounds, folded: int64[strategies], of a round."""

    desks: tuple[Consumer, ...]
    out: Producer
    reports: Ring
    control: np.ndarray
    setup: np.ndarray
    at: np.ndarray
    heads: np.ndarray
    bounds: np.ndarray
    folded: np.ndarray


@kernel
def _head(desk):
    """Time of a strategy's next record; NEVER if it has sent none."""
    ring, seq = desk.ring, desk.at[R_NEXT]
    base = (seq & ring.mask) * ring.width
    return ring.words[base + KEY_CREATED] if load_acquire(ring.words, base) == seq + 1 else _NEVER


@kernel
def _delivery(reports, seq):
    """When report number `seq` is delivered, and whether that is known: NEVER if there is none yet.

    It is in its slot as long as the strategy that has not folded it holds it. Published and not there any more, it is folded, and
    that strategy has said so since.
    """
    base = (seq & reports.mask) * reports.width
    if load_acquire(reports.words, base) == seq + 1:
        deliver_ns = load_relaxed(reports.words, base + KEY_DELIVER)
        fence_acquire()
        return deliver_ns, load_relaxed(reports.words, base) == seq + 1
    return _NEVER, load_acquire(reports.header, W_PUBLISHED) <= seq


@kernel
def _listen(m):
    """What each strategy may do yet, into `bounds` and `folded`, then what it has sent, into `heads`."""
    for k in range(len(m.desks)):
        at = m.setup[M_STRATEGY] + k * m.setup[M_BLOCK_WORDS]
        known = False
        while not known:
            m.folded[k] = load_acquire(m.control, at + S_FOLDED)
            next_ns = load_acquire(m.control, at + S_NEXT_NS)
            deliver_ns, known = _NEVER, True
            if m.setup[M_SIMULATED] == 1:
                deliver_ns, known = _delivery(m.reports, m.folded[k])
            m.bounds[k] = min(next_ns, deliver_ns)
    for k in range(len(m.desks)):
        m.heads[k] = _head(m.desks[k])


@kernel
def _made(m, taken, execution_ns):
    """Delivery of a report that execution has yet to make, at the earliest. taken: of execution, folded. execution_ns: its next."""
    if taken < m.out.at[P_NEXT]:
        ring = m.out.ring
        created_ns = ring.words[(taken & ring.mask) * ring.width + KEY_CREATED]
        execution_ns = min(execution_ns, created_ns + m.setup[M_ENTRY_NS])
    return min(_NEVER, execution_ns + m.setup[M_RESPONSE_NS])


@kernel
def _first(m, made_ns):
    """The strategy whose record goes next; -1 if that cannot be known yet, or there is none."""
    count = len(m.desks)
    first = 0
    for k in range(1, count):
        if m.heads[k] < m.heads[first]:
            first = k
    if m.heads[first] >= _NEVER:
        return -1
    if m.setup[M_SIMULATED] == 1:
        for k in range(count):
            bound_ns = min(m.bounds[k], made_ns)
            if m.heads[k] >= _NEVER and (bound_ns < m.heads[first] or (bound_ns == m.heads[first] and k < first)):
                return -1
    return first


@kernel
def _move(m, k):
    """Strategy k's next record into the orders ring."""
    desk, seq = m.desks[k], m.out.at[P_NEXT]
    store_release(m.control, m.setup[M_BLOCK] + S_MERGING, seq * 8 + k)
    put(m.out, seq, desk.ring.words, (desk.at[R_NEXT] & desk.ring.mask) * desk.ring.width)
    publish(m.out, 1)
    release(desk, 1)
    m.heads[k] = _head(desk)


@kernel
def _tell(m, taken, execution_ns):
    """The watermark words of everybody, all that was moved being published. taken: of execution, folded. execution_ns: its next."""
    control, own, count = m.control, m.setup[M_BLOCK], len(m.desks)
    entry_ns, ring, end = m.setup[M_ENTRY_NS], m.out.ring, m.out.at[P_NEXT]
    earliest, least = _NEVER, m.folded[0]
    for k in range(count):
        earliest = min(earliest, min(m.heads[k], m.bounds[k]))
        least = min(least, m.folded[k])
    store_release(control, own + S_NEXT_NS, earliest)
    store_release(control, own + S_FOLDED, least)
    on_way = _NEVER
    if taken < end:
        on_way = ring.words[(taken & ring.mask) * ring.width + KEY_CREATED] + entry_ns
    over = earliest >= _NEVER
    for k in range(count):
        others = _NEVER
        for i in range(count):
            if i != k:
                others = min(others, min(m.heads[i], m.bounds[i]) + entry_ns)
        unfolded = 0
        for seq in range(taken, end):
            word = ring.words[(seq & ring.mask) * ring.width + _STRATEGY]
            if ((word >> _SHIFT) & 0xFFFF) == k:
                unfolded += 1
        next_ns = min(_NEVER, min(execution_ns, min(on_way, others)))
        at = m.setup[M_MERGED] + k * m.setup[M_LINE]
        store_release(control, at, next_ns)
        store_release(control, at + 1, m.desks[k].at[R_NEXT] - unfolded)
        over = over and next_ns >= _NEVER
    m.at[M_IDLE] = 1 if over else 0


@kernel
def merge_slice(m, waiter, until_ns, inputs):
    """Move records until `inputs` are moved or the time is over. Returns how many.

    The first round only tells: what a predecessor has moved and died before telling is told before more is moved.
    """
    moved, most = 0, 0
    simulated = m.setup[M_SIMULATED] == 1
    while True:
        execution = m.setup[M_EXECUTION]
        taken = load_acquire(m.control, execution + S_FOLDED)
        execution_ns = load_acquire(m.control, execution + S_NEXT_NS)
        _listen(m)
        before, m.at[M_REASON] = moved, NO_INPUT
        while moved - before < most:
            k = _first(m, _made(m, taken, execution_ns))
            if k < 0:
                break
            # What execution has not folded is looked up when it is told of: its slots are not used again before.
            if not fits(m.out, 1) or (simulated and m.out.at[P_NEXT] - taken > m.out.ring.mask):
                m.at[M_REASON] = NO_ROOM
                break
            _move(m, k)
            moved += 1
        if simulated:
            _tell(m, taken, execution_ns)
        else:
            _tell_realtime(m)
        m.at[M_MOVED] += moved - before
        most = _MOST
        now = now_ns()
        if called(m.control, m.setup[M_BLOCK], m.at[M_EPOCH], now, m.at[M_MOVED]) or now >= until_ns or moved >= inputs:
            return moved
        if moved > before:
            m.at[M_REASON] = WORKING
            reset(waiter)
        else:
            idle(waiter)


@kernel
def _tell_realtime(m):
    """To execution: market records that every strategy has folded."""
    least = m.folded[0]
    for k in range(1, len(m.desks)):
        least = min(least, m.folded[k])
    store_release(m.control, m.setup[M_BLOCK] + S_FOLDED, least)


def go_on(m: Merge) -> bool:
    """Release what a predecessor moved and did not release. Returns whether the rings fit together then. Cold."""
    published, mark = int(m.out.at[P_NEXT]), int(m.control[m.setup[M_BLOCK] + S_MERGING])
    taken = sum(int(desk.at[R_NEXT]) for desk in m.desks)
    if taken == published - 1 and mark // 8 == taken:
        release(m.desks[mark % 8], 1)
        taken += 1
    return taken == published
