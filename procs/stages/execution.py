"""The paper broker's process: market and orders in, reports out."""

import numpy as np

from procs.stages.base import FoldStage, intake_setup
from procs.topology import HOPS, Segments
from ringsim.atomics import now_ns, pause
from ringsim.broker.exchange import on_market, on_order, on_timer
from ringsim.broker.latency import LatencyModel, latency_entry_min
from ringsim.control import ACCOUNT_CELL, CELL_ACCOUNT, S_NEXT_NS, Stage, block
from ringsim.fold.intake import (
    A_REASON,
    A_TURN,
    I_BLOCK,
    I_SIMULATED,
    KEY_CREATED,
    KEY_DELIVER,
    KEY_EXCH,
    NO_INPUT,
    emit,
    emit_again,
    look_ahead,
    over,
    peer_behind,
    settle,
    stay_near,
    step_over,
    take_control,
    take_input,
)
from ringsim.fold.journal import entry_seq
from ringsim.fold.outbox import make_outbox
from ringsim.fold.positions import CONTROL, MARKET, NOTHING, PEER, TIMER
from ringsim.fold.rehearsal import NEAR, Script, rehearsal_offer, rehearses
from ringsim.fold.trap import FOLDING, trap
from ringsim.kernel import bound, kernel
from ringsim.ledger import ledger_equity, ledger_unrealized
from ringsim.limits import EXECUTION_OUT
from ringsim.records import ACCOUNT, REPORT, OrderFlag, OrderKind, ReportKind
from ringsim.ring.wait import idle, reset
from ringsim.telemetry.cell import write_cell
from ringsim.telemetry.histogram import observe

_TICK, _HOP, _EXCHANGE, _FILL, _END = (
    HOPS.index(h) for h in ("tick_to_order", "order_hop", "exchange", "tick_to_fill", "end_to_end")
)
_LAST_ACTED = int(OrderKind.REPLACE)  # NEW, CANCEL, CANCEL_ALL, REPLACE: what the exchange acts on
_FILLED, _ACCEPTED = int(ReportKind.FILL), int(ReportKind.ACCEPTED)
_BY_TICK = np.int64(OrderFlag.BY_TICK)
_SETTLE = 32
_HOLD = 256  # rounds of waiting for the strategy, about 50 us: beyond that it is not at work


@kernel
def observe_reports(out, hops, sent):
    """Latencies that are whole once the reports are on their way."""
    for i in range(out.count[0]):
        report = out.records[i]
        if report.kind == _FILLED:
            observe(hops[_FILL], sent - report.trigger_ns)
            observe(hops[_END], report.filled_ns - report.order_trigger_ns)
        elif report.kind == _ACCEPTED:
            observe(hops[_EXCHANGE], report.acted_ns - report.received_ns)


@kernel
def show_account(b, control, value):
    """Put the account where screens find it."""
    ledger = b.ledger
    value[0], value[1], value[2] = b.pos.now_ns, ledger.position_lots, ledger.cash
    value[3], value[4] = ledger.realized, ledger_unrealized(ledger, b.mark_ticks)
    value[5], value[6], value[7] = ledger.fees, ledger_equity(ledger, b.mark_ticks), b.mark_ticks
    value[8], value[9] = b.open_orders, ledger.fills
    value[10], value[11], value[12] = b.counters.submitted, b.counters.accepted, b.counters.provisional
    value[13] = b.counters.adjusted
    value[14] = b.risk.trading
    write_cell(control, CELL_ACCOUNT, value)


@kernel(inline=True)
def _hand(b, journal, stream, out):
    """Hand the journal's last entry to the fold."""
    position = b.pos.journal - 1
    seq, now = entry_seq(journal, position), b.pos.now_ns
    if stream == PEER:
        on_order(b, journal.peer[seq & journal.mask], seq, now, out)
    elif stream == TIMER:
        on_timer(b, now, out)
    else:
        on_market(b, journal.market[position & journal.mask], seq, now, out)


@kernel(inline=True)
def _fold(b, intake, stream, out):
    """Fold the input that was just taken."""
    trap(intake.control, intake.setup[I_BLOCK], FOLDING, b.pos.journal)
    _hand(b, intake.journal, stream, out)


@kernel
def execution_turn(b, intake, out, hops, not_before_ns, limit):
    """Take, fold and publish what there is, at most `limit` inputs. Returns how many.

    not_before_ns: the state's timer counts as set for then at the earliest; 0, but in a rehearsal.
    """
    journal = intake.journal
    simulated = intake.setup[I_SIMULATED] == 1
    done = 0
    while done < limit:
        stream = take_input(intake, b.pos, max(b.timer_ns, not_before_ns))
        if stream == NOTHING:
            break
        if stream == PEER:
            order = journal.peer[(b.pos.peer - 1) & journal.mask]
            if order.kind <= _LAST_ACTED:
                if (order.flag_bits & _BY_TICK) != 0:
                    observe(hops[_TICK], b.pos.now_ns - order.trigger_ns)
                observe(hops[_HOP], b.pos.now_ns - order.created_ns)
        if stream == MARKET:
            look_ahead(intake, b.pos, b.book)
        _fold(b, intake, stream, out)
        if out.count[0] > 0:
            observe_reports(out, hops, b.pos.now_ns if simulated else now_ns())
            emit(intake, b.pos, out)
        done += 1
    return done


@kernel
def _rehearse(practice, out):
    """One input of the script."""
    twin, intake = practice.twin, practice.intake
    not_before_ns = rehearsal_offer(twin, intake)
    execution_turn(twin.state[0], intake, out, practice.hops, not_before_ns, 1)


@kernel
def execution_slice(states, memory, intake, out, practice, hops, cell, waiter, until_ns, inputs):
    """Take and fold inputs until `inputs` are done, the time is over, or the output is full. Returns how many."""
    b = states[0]
    realtime = intake.setup[I_SIMULATED] == 0
    done = 0
    while done < inputs:
        n = execution_turn(b, intake, out, hops, 0, min(_SETTLE, inputs - done))
        done += n
        settle(intake, b.pos, b.timer_ns)
        if over(intake, b.pos, until_ns):
            break
        if n > 0:
            reset(waiter)
            continue
        if intake.at[A_REASON] != NO_INPUT:
            break
        if waiter[1] < _HOLD and realtime and peer_behind(intake, b.pos):
            waiter[1] += 1  # an order may be about to come: to leave the core now and be called back costs more
            pause()
            continue
        for _ in range(practice.twin.at[NEAR]):
            stay_near(intake, b.pos, memory)
        for _ in range(rehearses(practice.twin, intake.at[A_TURN])):
            _rehearse(practice, out)
        idle(waiter)
        if b.pos.ended != 0:
            break  # perhaps for good: only the worker can say so
    show_account(b, intake.control, cell)
    return done


@kernel
def execution_control(states, intake, out, code, value):
    """Fold what the parent said as an input of its own. Returns False if there is no room for it now."""
    b = states[0]
    if take_control(intake, b.pos, code, value) == NOTHING:
        return False
    _fold(b, intake, CONTROL, out)
    emit(intake, b.pos, out)
    settle(intake, b.pos, b.timer_ns)
    return True


@kernel
def execution_redo(states, intake, out, head):
    """Fold the journal from the state's position to `head` again. Returns False if an output differs from the published."""
    b = states[0]
    while b.pos.journal < head:
        stream = step_over(intake, b.pos)
        _fold(b, intake, stream, out)
        if not emit_again(intake, b.pos, out):
            return False
    return True


class ExecutionStage(FoldStage):
    """See FoldStage."""

    stage, name = Stage.EXECUTION, "execution"

    def __init__(self, segments: Segments, script: Script | None = None) -> None:
        latency = segments.good("execution").p.latency
        # Looks latencies up at a time of the feed, whose clock is not its own.
        self.paced = segments.plan.broker.realtime and segments.plan.broker.latency_model == LatencyModel.ROWS
        setup = intake_setup(
            segments.plan,
            stage=Stage.EXECUTION,
            peer_words=block(Stage.STRATEGY if len(segments.plan.strategies) == 1 else Stage.MERGE) + S_NEXT_NS,
            market_key=KEY_EXCH,
            peer_key=(KEY_CREATED, int(latency_entry_min(latency))),
            own_key=(KEY_DELIVER, 0),
            peer_bound_ns=int(latency_entry_min(latency)),
            worst=EXECUTION_OUT,
            lossy=False,
            triggers=True,
        )
        self.cell = np.zeros(len(ACCOUNT_CELL), np.int64)
        out = make_outbox(REPORT, ACCOUNT, EXECUTION_OUT)
        self._slice, self._say = bound(execution_slice), bound(execution_control)
        super().__init__(segments, setup, peer="orders", output="reports", out=out, script=script)

    def work(self, until_ns: int, inputs: int) -> int:
        if self.paced and not self.knows_the_clock(int(self.working.record.feed_ns)):
            return 0
        arguments = (
            self.state,
            self.memory,
            self.intake,
            self.out,
            self.practice,
            self.hops,
            self.cell,
            self.waiter,
            until_ns,
            inputs,
        )
        return int(self._slice(*arguments))

    def redo(self, head: int) -> bool:
        return bool(execution_redo(self.state, self.intake, self.out, head))

    def say(self, code: int, value: int) -> bool:
        return bool(self._say(self.state, self.intake, self.out, code, value))

    def trading(self) -> int:
        return int(self.working.record.risk.trading)
