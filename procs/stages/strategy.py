"""The strategy's process: market and reports in, orders out."""

from procs.first import schedule_of
from procs.stages.base import FoldStage, intake_setup
from procs.topology import HOPS, Segments, desk_name
from ringsim.atomics import now_ns
from ringsim.broker.latency import latency_entry_min, latency_response_min
from ringsim.control import LINE, MERGED, S_NEXT_NS, S_SNAPSHOT_WANTED, Stage, block
from ringsim.fold.intake import (
    A_REASON,
    A_TURN,
    I_BLOCK,
    I_SIMULATED,
    KEY_CREATED,
    KEY_DELIVER,
    KEY_RECV,
    NO_INPUT,
    emit,
    emit_again,
    look_ahead,
    over,
    settle,
    stay_near,
    step_over,
    take_control,
    take_input,
)
from ringsim.fold.journal import entry_seq
from ringsim.fold.outbox import make_outbox
from ringsim.fold.positions import CONTROL, LOST, MARKET, NOTHING, PEER, TIMER
from ringsim.fold.rehearsal import NEAR, Script, rehearsal_offer, rehearses
from ringsim.fold.trap import FOLDING, trap
from ringsim.kernel import bound, kernel
from ringsim.limits import STRATEGY_OUT
from ringsim.records import FEATURES, ORDER
from ringsim.ring.wait import idle, reset
from ringsim.strategy.fold import on_market, on_report, on_timer
from ringsim.telemetry.histogram import observe

_TICK, _DECISION = HOPS.index("tick_to_strategy"), HOPS.index("decision")
_SETTLE = 32  # inputs between two settlings: often enough for the peer, seldom enough for the cache


@kernel(inline=True)
def _hand(s, schedule, journal, stream, out):
    """Hand the journal's last entry to the fold."""
    position = s.pos.journal - 1
    seq, now = entry_seq(journal, position), s.pos.now_ns
    if stream == PEER:
        at = seq & journal.mask
        on_report(s, schedule, journal.peer[at], journal.alternate[at], seq, now, out)
    elif stream == TIMER:
        on_timer(s, schedule, now, out)
    else:
        on_market(s, schedule, journal.market[position & journal.mask], seq, now, out)


@kernel(inline=True)
def _fold(s, schedule, intake, stream, out):
    """Fold the input that was just taken."""
    trap(intake.control, intake.setup[I_BLOCK], FOLDING, s.pos.journal)
    _hand(s, schedule, intake.journal, stream, out)


@kernel
def strategy_turn(s, schedule, intake, out, hops, not_before_ns, limit):
    """Take, fold and publish what there is, at most `limit` inputs. Returns how many.

    not_before_ns: the state's timer counts as set for then at the earliest; 0, but in a rehearsal.
    """
    journal = intake.journal
    realtime = intake.setup[I_SIMULATED] == 0
    done = 0
    while done < limit:
        stream = take_input(intake, s.pos, max(s.timer_ns, not_before_ns))
        if stream == NOTHING:
            break
        now = s.pos.now_ns
        if stream == MARKET:
            look_ahead(intake, s.pos, s.book)
        _fold(s, schedule, intake, stream, out)
        if stream == LOST:
            intake.control[intake.setup[I_BLOCK] + S_SNAPSHOT_WANTED] = (
                s.pos.laps
            )  # a count that only grows: ingest answers what it has not answered
        elif stream == MARKET:
            observe(hops[_TICK], now - journal.market[(s.pos.journal - 1) & journal.mask].recv_ns)
        if out.count[0] > 0:
            emit(intake, s.pos, out)
            if realtime:
                observe(hops[_DECISION], now_ns() - now)
        done += 1
    return done


@kernel
def _rehearse(practice, schedule, out):
    """One input of the script."""
    twin, intake = practice.twin, practice.intake
    not_before_ns = rehearsal_offer(twin, intake)
    strategy_turn(twin.state[0], schedule, intake, out, practice.hops, not_before_ns, 1)


@kernel
def strategy_slice(states, memory, schedule, intake, out, practice, hops, waiter, until_ns, inputs):
    """Take and fold inputs until `inputs` are done, the time is over, or the output is full. Returns how many."""
    s = states[0]
    done = 0
    while done < inputs:
        n = strategy_turn(s, schedule, intake, out, hops, 0, min(_SETTLE, inputs - done))
        done += n
        settle(intake, s.pos, s.timer_ns)
        if over(intake, s.pos, until_ns):
            break
        if n > 0:
            reset(waiter)
            continue
        if intake.at[A_REASON] != NO_INPUT:
            break
        for _ in range(practice.twin.at[NEAR]):
            stay_near(intake, s.pos, memory)
        for _ in range(rehearses(practice.twin, intake.at[A_TURN])):
            _rehearse(practice, schedule, out)
        idle(waiter)
        if s.pos.ended != 0:
            break  # perhaps for good: only the worker can say so
    return done


@kernel
def strategy_control(states, schedule, intake, out, code, value):
    """Fold what the parent said as an input of its own. Returns False if there is no room for it now."""
    s = states[0]
    if take_control(intake, s.pos, code, value) == NOTHING:
        return False
    _fold(s, schedule, intake, CONTROL, out)
    emit(intake, s.pos, out)
    settle(intake, s.pos, s.timer_ns)
    return True


@kernel
def strategy_redo(states, schedule, intake, out, head):
    """Fold the journal from the state's position to `head` again. Returns False if an output differs from the published."""
    s = states[0]
    while s.pos.journal < head:
        stream = step_over(intake, s.pos)
        _fold(s, schedule, intake, stream, out)
        if not emit_again(intake, s.pos, out):
            return False
    return True


class StrategyStage(FoldStage):
    """See FoldStage. number: which one, of several; the peer of each is the stage that stands for execution and all others."""

    name = "strategy"

    def __init__(self, segments: Segments, script: Script | None = None, *, number: int = 0) -> None:
        plan = segments.plan
        alone = len(plan.strategies) == 1
        self.stage, self.name = Stage.STRATEGY + number, plan.strategy_roles[number]
        self.schedule = schedule_of(plan.strategies[number])
        self.paced = len(self.schedule) > 0 and not segments.plan.simulated  # its times are of the feed's clock
        latency = segments.good("execution").p.latency
        setup = intake_setup(
            segments.plan,
            stage=self.stage,
            peer_words=block(Stage.EXECUTION) + S_NEXT_NS if alone else MERGED + number * LINE,
            market_key=KEY_RECV,
            peer_key=(KEY_DELIVER, 0),
            own_key=(KEY_CREATED, int(latency_entry_min(latency))),
            peer_bound_ns=int(latency_response_min(latency)),
            worst=STRATEGY_OUT,
            lossy=segments.plan.lossy_market,
            triggers=False,
        )
        out = make_outbox(ORDER, FEATURES, STRATEGY_OUT)
        self._slice, self._say = bound(strategy_slice), bound(strategy_control)
        super().__init__(
            segments, setup, peer="reports", output="orders" if alone else desk_name(number), out=out, script=script
        )

    def work(self, until_ns: int, inputs: int) -> int:
        if self.paced and not self.knows_the_clock(int(self.working.record.scripted.start_ns)):
            return 0
        state, out = (self.state, self.memory, self.schedule), (self.out, self.practice, self.hops)
        return int(self._slice(*state, self.intake, *out, self.waiter, until_ns, inputs))

    def redo(self, head: int) -> bool:
        return bool(strategy_redo(self.state, self.schedule, self.intake, self.out, head))

    def say(self, code: int, value: int) -> bool:
        return bool(self._say(self.state, self.schedule, self.intake, self.out, code, value))
