"""The same folds in one process, on a simulated clock: the backtest, and the twin that proves the processes.

    market events ──┬──> strategy 0 ──> its desk ──┐ (key, strategy, seq)
                    ├──> strategy 1 ──> its desk ──┼──> orders log ──> broker fold ──> reports log ──> every strategy
                    │       ...                    │                       ^
                    └──────────────────────────────┴───────────────────────┘

Invariants:
- The smallest key of all stages goes first. What a stage emits reaches another one strictly later (latencies have a lower
  bound > 0), so every stage meets its inputs in (key, stream, seq) order: the order in which the processes take theirs. Between
  stages of equal keys any may go first: none can see another's output at that key.
- The orders log has what the broker took, as it took it: by key, at equal keys by the strategies' numbers, then as they were
  sent. A strategy's records that it has not taken lie on its desk, which credits (protocol P5) keep from being full.
- Every strategy folds every report; those about others change nothing in it.

Records leave through two logs, circular arrays that the caller empties between calls of `advance`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ringsim.broker import exchange
from ringsim.errors import Stalled
from ringsim.fold.outbox import Outbox, make_outbox, outbox_clear
from ringsim.kernel import kernel
from ringsim.limits import CANCEL_ALL_CREDITS, CREDITS, EXECUTION_OUT, STRATEGY_OUT
from ringsim.records import ACCOUNT, FEATURES, NEVER_NS, ORDER, REPORT
from ringsim.strategy import fold as strategy
from ringsim.strategy.schedule import SCHEDULED, no_orders

_NEVER, _NONE = np.int64(NEVER_NS), np.int64(0)
_WIDTH = ORDER.itemsize // 8
_DESK = 64  # records of one strategy that the broker has not taken
assert CREDITS + CANCEL_ALL_CREDITS + STRATEGY_OUT <= _DESK

FINISHED, MORE, LOGS_FULL = range(3)


class Log(NamedTuple):
    """A circular record of what a stage emitted. records, alternate, words: one memory. mask: size - 1."""

    records: np.ndarray
    alternate: np.ndarray
    words: np.ndarray
    mask: int


def make_log(dtype: np.dtype, alternate: np.dtype, size: int) -> Log:
    """An empty log of `size` records, a power of two."""
    words = np.zeros(size * _WIDTH, np.int64)
    return Log(words.view(dtype).view(np.recarray), words.view(alternate).view(np.recarray), words, size - 1)


class Desks(NamedTuple):
    """What strategies, by number, have sent and are given to read.

    records: ORDER[strategies, _DESK], circular; words: the same memory, int64[strategies, _DESK * width]. next: int64[strategies],
    sequence of the record that the broker takes next. key: int64[strategies], of the one that it took last. schedule: SCHEDULED[n],
    those of all, one after the other; begin: int64[strategies + 1], where each one's begins.
    """

    records: np.ndarray
    words: np.ndarray
    next: np.ndarray
    key: np.ndarray
    schedule: np.ndarray
    begin: np.ndarray


def make_desks(schedules: Sequence[np.ndarray]) -> Desks:
    """Empty desks, one for each schedule."""
    count = len(schedules)
    words = np.zeros((count, _DESK * _WIDTH), np.int64)
    begin = np.cumsum([0, *(len(schedule) for schedule in schedules)])
    whole = np.concatenate([np.asarray(schedule) for schedule in schedules]).astype(SCHEDULED).view(np.recarray)
    records = words.view(ORDER).view(np.recarray)
    return Desks(records, words, np.zeros(count, np.int64), np.zeros(count, np.int64), whole, begin)


@kernel
def _append(words, mask, pos, out):
    """Move a stage's outbox to its log; sequences and stamps are those of its ring."""
    for i in range(out.count[0]):
        start = (pos.out & mask) * _WIDTH
        for k in range(1, _WIDTH):
            words[start + k] = out.words[i * _WIDTH + k]
        words[start] = pos.out + 1
        pos.out += 1
    out.count[0] = 0


# An array is handed over as seven words. So what happens at nearly every step takes few of them, and the rest is apart.


@kernel
def _strategy_market(s, schedule, events, out, key):
    """A strategy's next market event."""
    pos = s.pos
    seq = pos.market
    pos.market += 1
    pos.market_key, pos.now_ns = key, key
    pos.journal += 1
    strategy.on_market(s, schedule, events[seq], seq, key, out)


@kernel
def _strategy_rare(s, schedule, reports, out, peer_key):
    """A strategy's next report before its timer at equal keys."""
    pos = s.pos
    pos.journal += 1
    if peer_key <= s.timer_ns:
        seq = pos.peer
        pos.peer += 1
        pos.peer_key, pos.now_ns = peer_key, peer_key
        report, account = reports.records[seq & reports.mask], reports.alternate[seq & reports.mask]
        strategy.on_report(s, schedule, report, account, seq, peer_key, out)
    else:
        pos.now_ns = s.timer_ns
        strategy.on_timer(s, schedule, pos.now_ns, out)


@kernel
def _broker_market(b, events, out, key):
    """The broker's next market event."""
    pos = b.pos
    seq = pos.market
    pos.market += 1
    pos.market_key, pos.now_ns = key, key
    pos.journal += 1
    exchange.on_market(b, events[seq], seq, key, out)


@kernel
def _broker_rare(b, desks, k, orders, out, peer_key):
    """The broker's next order, strategy k's, into the orders log, before its timer at equal keys."""
    pos = b.pos
    pos.journal += 1
    if peer_key <= b.timer_ns:
        seq = pos.peer
        source, start = (desks.next[k] & (_DESK - 1)) * _WIDTH, (seq & orders.mask) * _WIDTH
        for i in range(1, _WIDTH):
            orders.words[start + i] = desks.words[k, source + i]
        orders.words[start] = seq + 1
        desks.next[k] += 1
        desks.key[k] = peer_key
        pos.peer += 1
        pos.peer_key, pos.now_ns = peer_key, peer_key
        exchange.on_order(b, orders.records[seq & orders.mask], seq, peer_key, out)
    else:
        pos.now_ns = b.timer_ns
        exchange.on_timer(b, pos.now_ns, out)


@kernel
def _slowest(ss):
    """Sequence of the first report that some strategy has not folded."""
    least = ss[0].pos.peer
    for k in range(1, ss.size):
        least = min(least, ss[k].pos.peer)
    return least


@kernel
def _head_key(desks, k, pos, entry_bound_ns):
    """When the broker may take the next record of strategy k's desk; NEVER if there is none. pos: of the strategy."""
    if desks.next[k] >= pos.out:
        return _NEVER
    return max(desks.key[k], desks.records[k, desks.next[k] & (_DESK - 1)].created_ns + entry_bound_ns)


@kernel
def _market_key(pos, events, exchange_time):
    """When a stage may take its next market event; NEVER after the last one. exchange_time: the broker does."""
    if pos.market >= events.size:
        return _NEVER
    event = events[pos.market]
    return max(pos.market_key, event.exch_ns if exchange_time else event.recv_ns)


@kernel
def _report_key(pos, b, reports):
    """When a strategy may take its next report; NEVER if there is none. pos: of the strategy."""
    if pos.peer >= b.pos.out:
        return _NEVER
    return max(pos.peer_key, reports.records[pos.peer & reports.mask].deliver_ns)


@kernel
def _choose(ss, b, desks, events, reports, entry_bound_ns):
    """(strategy that goes first, when the next other one does, when the broker may take an order of another one, whose)."""
    first, first_next, other_next = 0, _NEVER, _NEVER
    for k in range(ss.size):
        pos = ss[k].pos
        key = min(_market_key(pos, events, False), min(_report_key(pos, b, reports), ss[k].timer_ns))
        if key < first_next:
            first, first_next, other_next = k, key, first_next
        else:
            other_next = min(other_next, key)
    other_peer, whose = _NEVER, 0
    for k in range(ss.size):
        key = _head_key(desks, k, ss[k].pos, entry_bound_ns)
        if k != first and key < other_peer:
            other_peer, whose = key, k
    return first, other_next, other_peer, whose


@kernel
def advance(ss, bs, desks, events, orders, reports, strategy_out, broker_out, entry_bound_ns, taken, steps):
    """Fold up to `steps` inputs.

    ss: STRATEGY_STATE[strategies], by number. bs: BROKER_STATE[1]. desks: theirs. events: recarray of MARKET_EVENT, the whole
    session. taken: int64[2], orders and reports that the caller has copied out. entry_bound_ns: the order latency's lower bound.
    Returns FINISHED, MORE (steps used up) or LOGS_FULL (empty them, then go on).
    """
    b = bs[0]
    orders_end = taken[0] + orders.mask + 1
    reports_end = _NONE  # the broker may fold an input up to here; looked at again when it gets there
    while True:
        # One strategy and the broker take turns, until another one's turn has come or may have moved.
        first, other_next, other_peer, whose = _choose(ss, b, desks, events, reports, entry_bound_ns)
        s, schedule = ss[first], desks.schedule[desks.begin[first] : desks.begin[first + 1]]
        s_market, b_market = _market_key(s.pos, events, False), _market_key(b.pos, events, True)
        s_peer, own_peer = _report_key(s.pos, b, reports), _head_key(desks, first, s.pos, entry_bound_ns)
        moved = False
        while not moved:
            if steps == 0:
                return MORE
            taker, b_peer = first, own_peer
            if other_peer < own_peer or (other_peer == own_peer and whose < first):
                taker, b_peer = whose, other_peer
            s_next = min(s_market, min(s_peer, s.timer_ns))
            b_next = min(b_market, min(b_peer, b.timer_ns))
            if b_next <= s_next and b_next <= other_next:
                if b_next >= _NEVER:  # and so is everybody's
                    return FINISHED
                if b.pos.out > reports_end:
                    reports_end = min(taken[1], _slowest(ss)) + reports.mask + 1 - EXECUTION_OUT
                if b.pos.out > reports_end or b.pos.peer >= orders_end:
                    return LOGS_FULL
                if b_next == b_market:
                    _broker_market(b, events, broker_out, b_market)
                    b_market = _market_key(b.pos, events, True)
                else:
                    moved = taker != first and b_next == b_peer
                    _broker_rare(b, desks, taker, orders, broker_out, b_peer)
                    own_peer = _head_key(desks, first, s.pos, entry_bound_ns)
                if broker_out.count[0] > 0:
                    _append(reports.words, reports.mask, b.pos, broker_out)
                    s_peer = _report_key(s.pos, b, reports)
                    moved = ss.size > 1
                steps -= 1
            elif s_next <= other_next:
                if s_next == s_market:
                    _strategy_market(s, schedule, events, strategy_out, s_market)
                    s_market = _market_key(s.pos, events, False)
                else:
                    _strategy_rare(s, schedule, reports, strategy_out, s_peer)
                    s_peer = _report_key(s.pos, b, reports)
                if strategy_out.count[0] > 0:
                    _append(desks.words[first], _DESK - 1, s.pos, strategy_out)
                    own_peer = _head_key(desks, first, s.pos, entry_bound_ns)
                steps -= 1
            else:
                moved = True


def unroll(log: Log, first: int, end: int, alternate: bool = False) -> np.ndarray:
    """A copy of the log's records first..end - 1, in order."""
    source = log.alternate if alternate else log.records
    return source[np.arange(first, end) & log.mask].copy()


class Pipeline:
    """A whole run in this process.

    strategy_states: STRATEGY_STATE[strategies], by number, from strategy_init. broker_state: an array of one record, from
    broker_init. events: the session's market events, END_OF_FEED last. schedules: what each strategy is given to send, by number.
    Iterate over `run()` to receive (orders, reports) as they come, each with its first sequence.
    """

    LOG_SIZE = 1 << 15
    STEPS = 1 << 18

    def __init__(
        self,
        strategy_states: np.ndarray,
        broker_state: np.ndarray,
        events: np.ndarray,
        entry_bound_ns: int,
        schedules: Sequence[np.ndarray] = (),
    ) -> None:
        self.strategy_states, self.broker_state, self.events = strategy_states, broker_state, events
        self.desks = make_desks(schedules or [no_orders()] * len(strategy_states))
        self.entry_bound_ns = entry_bound_ns
        self.orders, self.reports = make_log(ORDER, FEATURES, self.LOG_SIZE), make_log(REPORT, ACCOUNT, self.LOG_SIZE)
        self.strategy_out: Outbox = make_outbox(ORDER, FEATURES, STRATEGY_OUT)
        self.broker_out: Outbox = make_outbox(REPORT, ACCOUNT, EXECUTION_OUT)
        self.taken = np.zeros(2, np.int64)

    def run(self, steps: int = STEPS):
        """Fold to the end; yields (first order seq, orders, first report seq, reports) after every `steps` inputs at most.

        Raises Stalled if the logs are full of records that a stage cannot take yet.
        """
        outbox_clear(self.strategy_out)
        outbox_clear(self.broker_out)
        while True:
            result = advance(
                self.strategy_states, self.broker_state, self.desks, self.events, self.orders, self.reports,
                self.strategy_out, self.broker_out, self.entry_bound_ns, self.taken, steps,
            )  # fmt: skip
            pos = self.broker_state[0].pos
            first, ends = self.taken.copy(), (int(pos.peer), int(pos.out))
            if result == LOGS_FULL and tuple(first) == ends:
                raise Stalled(
                    f"{self.LOG_SIZE} undelivered records: a latency is too long for the logs of the backtest"
                )
            self.taken[:] = ends
            yield (
                int(first[0]),
                unroll(self.orders, first[0], ends[0]),
                int(first[1]),
                unroll(self.reports, first[1], ends[1]),
            )
            if result == FINISHED:
                return
