"""The stages' slices without what makes them recoverable: no journal, no commits. For the benchmark alone; nothing runs on them.

    input -> fold from the ring's slot, in place -> publish -> settle        (procs/stages: input -> journal -> fold from it ...)

Everything else is what the stages do: the same choice of inputs, the same folds, the same outputs, histograms, heartbeats. So
a difference in time is the journal's and the commits', and the digests must be the same; if they are not, nothing was measured.
A stage that dies here has lost its state.
"""

from procs.stages.execution import observe_reports, show_account
from procs.stages.ingest import MESSAGE, next_input, send
from procs.states import ENDED
from procs.topology import HOPS
from ringsim.atomics import now_ns
from ringsim.broker import exchange
from ringsim.control import Stage, block
from ringsim.fold.call import called
from ringsim.fold.intake import A_TURN, I_WORST, choose_simulated, emit, look_ahead, over, settle
from ringsim.fold.near import near_ring, near_state
from ringsim.fold.positions import MARKET, NOTHING, PEER
from ringsim.kernel import kernel
from ringsim.market.feed import feed_control, feed_step
from ringsim.records import ControlCode, EventKind, OrderFlag, OrderKind
from ringsim.ring import publish, put
from ringsim.ring.producer import fits
from ringsim.ring.wait import idle, reset
from ringsim.strategy import fold as strategy
from ringsim.telemetry.histogram import observe

_SETTLE = 32  # as in procs/stages
_TICK_TO_STRATEGY, _TICK, _HOP = (HOPS.index(h) for h in ("tick_to_strategy", "tick_to_order", "order_hop"))
_CONTROL, _END = int(EventKind.CONTROL), int(ControlCode.END_OF_FEED)
_LAST_ACTED, _BY_TICK = int(OrderKind.REPLACE), int(OrderFlag.BY_TICK)
_EPOCH = 3  # of procs.stages.ingest's private words
_INGEST = block(Stage.INGEST)


@kernel
def fill(producer, words, width, count):
    """Publish `count` records, one by one. words: int64[count * width]; their first words are not looked at. There is room."""
    for seq in range(count):
        put(producer, seq, words, seq * width)
        publish(producer, 1)


@kernel(inline=True)
def _step_over(pos, stream, event_ended, key):
    """Take the input chosen, without writing it down."""
    if stream == MARKET:
        if event_ended:
            pos.ended = 1
        pos.market += 1
        pos.market_key = key
    elif stream == PEER:
        pos.peer += 1
        pos.peer_key = key
    pos.journal += 1
    pos.now_ns = key


@kernel(inline=True)
def _stay_near(intake, pos, memory):
    """As ringsim.fold.intake.stay_near, without a journal to be near to."""
    turn = intake.at[A_TURN]
    intake.at[A_TURN] = turn + 1
    near_ring(intake.out.ring, pos.out, turn, intake.setup[I_WORST])
    near_state(memory, turn)


@kernel(inline=True)
def _ends(event):
    return event.kind == _CONTROL and event.code == _END


@kernel
def _strategy_turn(s, schedule, intake, accounts, out, hops, limit):
    """As procs.stages.strategy.strategy_turn."""
    market, reports = intake.market.ring, intake.peer.ring
    done = 0
    while done < limit and fits(intake.out, intake.setup[I_WORST]):
        stream, key = choose_simulated(intake, s.pos, s.timer_ns)
        if stream == NOTHING:
            break
        if stream == MARKET:
            seq = s.pos.market
            event = market.slots[seq & market.mask]
            _step_over(s.pos, stream, _ends(event), key)
            look_ahead(intake, s.pos, s.book)
            strategy.on_market(s, schedule, event, seq, key, out)
            observe(hops[_TICK_TO_STRATEGY], key - event.recv_ns)
        elif stream == PEER:
            seq = s.pos.peer
            _step_over(s.pos, stream, False, key)
            at = seq & reports.mask
            strategy.on_report(s, schedule, reports.slots[at], accounts[at], seq, key, out)
        else:
            _step_over(s.pos, stream, False, key)
            strategy.on_timer(s, schedule, key, out)
        if out.count[0] > 0:
            emit(intake, s.pos, out)
        done += 1
    return done


@kernel
def bare_strategy(states, memory, schedule, intake, accounts, out, hops, waiter, until_ns, inputs):
    """procs.stages.strategy.strategy_slice, simulated clock. accounts: the reports ring's slots as ACCOUNT records."""
    s = states[0]
    done = 0
    while done < inputs:
        n = _strategy_turn(s, schedule, intake, accounts, out, hops, min(_SETTLE, inputs - done))
        done += n
        settle(intake, s.pos, s.timer_ns)
        if over(intake, s.pos, until_ns):
            break
        if n > 0:
            reset(waiter)
            continue
        if not fits(intake.out, intake.setup[I_WORST]):
            break
        _stay_near(intake, s.pos, memory)
        idle(waiter)
        if s.pos.ended != 0:
            break
    return done


@kernel
def _execution_turn(b, intake, out, hops, limit):
    """As procs.stages.execution.execution_turn."""
    market, orders = intake.market.ring, intake.peer.ring
    done = 0
    while done < limit and fits(intake.out, intake.setup[I_WORST]):
        stream, key = choose_simulated(intake, b.pos, b.timer_ns)
        if stream == NOTHING:
            break
        if stream == MARKET:
            seq = b.pos.market
            event = market.slots[seq & market.mask]
            _step_over(b.pos, stream, _ends(event), key)
            look_ahead(intake, b.pos, b.book)
            exchange.on_market(b, event, seq, key, out)
        elif stream == PEER:
            seq = b.pos.peer
            order = orders.slots[seq & orders.mask]
            _step_over(b.pos, stream, False, key)
            if order.kind <= _LAST_ACTED:
                if (order.flag_bits & _BY_TICK) != 0:
                    observe(hops[_TICK], key - order.trigger_ns)
                observe(hops[_HOP], key - order.created_ns)
            exchange.on_order(b, order, seq, key, out)
        else:
            _step_over(b.pos, stream, False, key)
            exchange.on_timer(b, key, out)
        if out.count[0] > 0:
            observe_reports(out, hops, key)
            emit(intake, b.pos, out)
        done += 1
    return done


@kernel
def bare_execution(states, memory, intake, out, hops, cell, waiter, until_ns, inputs):
    """procs.stages.execution.execution_slice, simulated clock."""
    b = states[0]
    done = 0
    while done < inputs:
        n = _execution_turn(b, intake, out, hops, min(_SETTLE, inputs - done))
        done += n
        settle(intake, b.pos, b.timer_ns)
        if over(intake, b.pos, until_ns):
            break
        if n > 0:
            reset(waiter)
            continue
        if not fits(intake.out, intake.setup[I_WORST]):
            break
        _stay_near(intake, b.pos, memory)
        idle(waiter)
        if b.pos.ended != 0:
            break  # perhaps for good: only the caller can say so
    show_account(b, intake.control, cell)
    return done


@kernel
def _fold_and_send(s, g, kind):
    """As procs.stages.ingest.fold_and_send, for messages and the end of the feed."""
    s.journal += 1
    if kind == MESSAGE:
        s.event_ns = g.index[min(s.feed.next, g.index.size - 1)].recv_ns
        feed_step(s.feed, g.text, g.index, g.scratch, g.events)
    else:
        feed_control(s.feed, g.events, _END, 0)
        s.ended = ENDED
    count = g.events.count[0]
    return count if count == 0 or send(s, g) else -1


@kernel
def bare_ingest(states, g, waiter, until_ns, inputs):
    """procs.stages.ingest.ingest_slice, simulated clock, nobody commanding."""
    s = states[0]
    done = 0
    while done < inputs:
        if g.events.count[0] > 0:
            if not send(s, g):
                now = now_ns()
                if called(g.control, _INGEST, g.sent[_EPOCH], now, s.feed.next) or now >= until_ns:
                    break
                idle(waiter)
                continue
            done += 1
        now = now_ns()
        late = called(g.control, _INGEST, g.sent[_EPOCH], now, s.feed.next) or now >= until_ns
        if late and done > 0:
            break
        kind, _, _ = next_input(s, g, now)
        if kind < 0:
            break
        reset(waiter)
        if _fold_and_send(s, g, kind) >= 0:
            done += 1
    return done
