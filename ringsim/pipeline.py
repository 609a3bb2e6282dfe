"""The same folds in one process, on a simulated clock: the backtest, and the twin that proves the processes.

    market events ──> strategy fold ──> orders log ──> broker fold ──> reports log ──> strategy fold
          └───────────────────────────────────────────────^

Invariant: the smallest key of both stages goes first. What a stage emits reaches the other one strictly later (latencies
have a lower bound > 0), so every stage meets its inputs in (key, stream, seq) order: the order in which the processes
take theirs. Between stages of equal keys either may go first: neither can see the other's output at that key.

Records leave through two logs, circular arrays that the caller empties between calls of `advance`.
"""

from typing import NamedTuple

import numpy as np

from ringsim.broker import exchange
from ringsim.errors import Stalled
from ringsim.fold.outbox import Outbox, make_outbox, outbox_clear
from ringsim.kernel import kernel
from ringsim.limits import EXECUTION_OUT, STRATEGY_OUT
from ringsim.records import ACCOUNT, FEATURES, NEVER_NS, ORDER, REPORT
from ringsim.strategy import fold as strategy
from ringsim.strategy.schedule import no_orders

_NEVER = NEVER_NS
_WIDTH = ORDER.itemsize // 8

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


@kernel
def _append(log, pos, out):
    """Move a stage's outbox to its log; sequences and stamps are those of its ring."""
    for i in range(out.count[0]):
        start = (pos.out & log.mask) * _WIDTH
        for k in range(1, _WIDTH):
            log.words[start + k] = out.words[i * _WIDTH + k]
        log.words[start] = pos.out + 1
        pos.out += 1
    out.count[0] = 0


@kernel
def _strategy_input(s, schedule, events, reports, out, market_key, peer_key):
    """One input of the strategy: market before reports before its timer at equal keys."""
    pos = s.pos
    if market_key <= peer_key and market_key <= s.timer_ns:
        seq = pos.market
        pos.market += 1
        pos.market_key, pos.now_ns = market_key, market_key
        strategy.on_market(s, schedule, events[seq], seq, market_key, out)
    elif peer_key <= s.timer_ns:
        seq = pos.peer
        pos.peer += 1
        pos.peer_key, pos.now_ns = peer_key, peer_key
        strategy.on_report(
            s, schedule, reports.records[seq & reports.mask], reports.alternate[seq & reports.mask], seq, peer_key, out
        )
    else:
        now = s.timer_ns
        pos.now_ns = now
        strategy.on_timer(s, schedule, now, out)
    pos.journal += 1


@kernel
def _broker_input(b, events, orders, out, market_key, peer_key):
    """One input of the broker: market before orders before its timer at equal keys."""
    pos = b.pos
    if market_key <= peer_key and market_key <= b.timer_ns:
        seq = pos.market
        pos.market += 1
        pos.market_key, pos.now_ns = market_key, market_key
        exchange.on_market(b, events[seq], seq, market_key, out)
    elif peer_key <= b.timer_ns:
        seq = pos.peer
        pos.peer += 1
        pos.peer_key, pos.now_ns = peer_key, peer_key
        exchange.on_order(b, orders.records[seq & orders.mask], seq, peer_key, out)
    else:
        now = b.timer_ns
        pos.now_ns = now
        exchange.on_timer(b, now, out)
    pos.journal += 1


@kernel
def advance(ss, bs, schedule, events, orders, reports, strategy_out, broker_out, entry_bound_ns, taken, steps):
    """Fold up to `steps` inputs.

    ss, bs: state arrays of one record. schedule: SCHEDULED[n]. events: recarray of MARKET_EVENT, the whole
    session. taken: int64[2], orders and reports that the caller has copied out. entry_bound_ns: the order latency's lower bound.
    Returns FINISHED, MORE (steps used up) or LOGS_FULL (empty them, then go on).
    """
    s, b = ss[0], bs[0]
    last = events.size
    for _ in range(steps):
        s_market = max(s.pos.market_key, events[s.pos.market].recv_ns) if s.pos.market < last else _NEVER
        b_market = max(b.pos.market_key, events[b.pos.market].exch_ns) if b.pos.market < last else _NEVER
        s_peer, b_peer = _NEVER, _NEVER
        if s.pos.peer < b.pos.out:
            s_peer = max(s.pos.peer_key, reports.records[s.pos.peer & reports.mask].deliver_ns)
        if b.pos.peer < s.pos.out:
            b_peer = max(b.pos.peer_key, orders.records[b.pos.peer & orders.mask].created_ns + entry_bound_ns)
        s_next = min(s_market, min(s_peer, s.timer_ns))
        b_next = min(b_market, min(b_peer, b.timer_ns))
        if s_next >= _NEVER and b_next >= _NEVER:
            return FINISHED
        if b_next <= s_next:
            if b.pos.out + EXECUTION_OUT - min(taken[1], s.pos.peer) > reports.mask + 1:
                return LOGS_FULL
            _broker_input(b, events, orders, broker_out, b_market, b_peer)
            if broker_out.count[0] > 0:
                _append(reports, b.pos, broker_out)
        else:
            if s.pos.out + STRATEGY_OUT - min(taken[0], b.pos.peer) > orders.mask + 1:
                return LOGS_FULL
            _strategy_input(s, schedule, events, reports, strategy_out, s_market, s_peer)
            if strategy_out.count[0] > 0:
                _append(orders, s.pos, strategy_out)
    return MORE


def unroll(log: Log, first: int, end: int, alternate: bool = False) -> np.ndarray:
    """A copy of the log's records first..end - 1, in order."""
    source = log.alternate if alternate else log.records
    return source[np.arange(first, end) & log.mask].copy()


class Pipeline:
    """A whole run in this process.

    strategy_state, broker_state: arrays of one record, from strategy_init and broker_init. events: the session's market
    events, END_OF_FEED last. schedule: what a scripted strategy sends. Iterate over `run()` to receive
    (orders, reports) as they come, each with its first sequence.
    """

    LOG_SIZE = 1 << 15
    STEPS = 1 << 18

    def __init__(
        self,
        strategy_state: np.ndarray,
        broker_state: np.ndarray,
        events: np.ndarray,
        entry_bound_ns: int,
        schedule: np.ndarray | None = None,
    ) -> None:
        self.schedule = no_orders() if schedule is None else schedule
        self.strategy_state, self.broker_state, self.events = strategy_state, broker_state, events
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
                self.strategy_state, self.broker_state, self.schedule, self.events, self.orders, self.reports,
                self.strategy_out, self.broker_out, self.entry_bound_ns, self.taken, steps,
            )  # fmt: skip
            first, ends = self.taken.copy(), (int(self.strategy_state[0].pos.out), int(self.broker_state[0].pos.out))
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
