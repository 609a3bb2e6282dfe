"""The first states of a run's stages, from its plan: what the parent stores before any stage starts."""

from pathlib import Path

import numpy as np

from procs.states import INGEST_STATE
from procs.topology import Plan, Segments, StrategyPlan
from ringsim.broker.exchange import broker_init
from ringsim.fold.commit import first_state
from ringsim.market.capture import open_capture
from ringsim.market.feed import new_feed
from ringsim.records import NEVER_NS
from ringsim.strategy.fold import strategy_init
from ringsim.strategy.schedule import no_orders
from ringsim.strategy.user import install_file


def first_ingest(plan: Plan) -> np.ndarray:
    """The ingest's state before the first message."""
    state = np.zeros(1, INGEST_STATE).view(np.recarray)
    state["feed"] = new_feed(open_capture(Path(plan.capture_folder)), latency_ns=plan.base_latency_ns)
    return state


def schedule_of(strategy: StrategyPlan) -> np.ndarray:
    """The orders that a strategy is to send, SCHEDULED[n]."""
    return np.load(strategy.schedule).view(np.recarray) if strategy.schedule else no_orders()


def install_strategies(plan: Plan) -> None:
    """Have this process call the run's own strategies, those that are a user's. BadInput if a file is not what it was."""
    for number, strategy in enumerate(plan.strategies):
        if strategy.user is not None:
            install_file(strategy.user, strategy.params.user_words, number)


def first_strategy(plan: Plan, number: int = 0) -> np.ndarray:
    """A strategy's state before the first input; a scripted one wants to be called when its first order is due."""
    strategy = plan.strategies[number]
    schedule = schedule_of(strategy)
    wake_ns = int(schedule[0].time_ns) if plan.simulated and len(schedule) else NEVER_NS
    return strategy_init(strategy.params, wake_ns)


def first_broker(plan: Plan) -> np.ndarray:
    """The paper exchange before the first input, with the latencies that it looks up."""
    return broker_init(plan.broker, np.load(plan.delays).view(np.recarray) if plan.delays else None)


def prepare(segments: Segments) -> None:
    """Store every stage's first state."""
    plan = segments.plan
    first_state(segments.copies["ingest"], first_ingest(plan))
    for number, role in enumerate(plan.strategy_roles):
        first_state(segments.copies[role], first_strategy(plan, number))
    first_state(segments.copies["execution"], first_broker(plan))
