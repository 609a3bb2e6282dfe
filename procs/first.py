"""The first states of a run's stages, from its plan: what the parent stores before any stage starts."""

from pathlib import Path

import numpy as np

from procs.states import INGEST_STATE
from procs.topology import Plan, Segments
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


def schedule_of(plan: Plan) -> np.ndarray:
    """The orders that the run's strategy is to send, SCHEDULED[n]."""
    return np.load(plan.schedule).view(np.recarray) if plan.schedule else no_orders()


def install_strategy(plan: Plan) -> None:
    """Have this process call the run's own strategy, if it is a user's. BadInput if its file is not what it was."""
    if plan.user is not None:
        install_file(plan.user, plan.strategy.user_words)


def first_strategy(plan: Plan) -> np.ndarray:
    """The strategy's state before the first input; a scripted one wants to be called when its first order is due."""
    schedule = schedule_of(plan)
    wake_ns = int(schedule[0].time_ns) if plan.simulated and len(schedule) else NEVER_NS
    return strategy_init(plan.strategy, wake_ns)


def first_broker(plan: Plan) -> np.ndarray:
    """The paper exchange before the first input, with the latencies that it looks up."""
    return broker_init(plan.broker, np.load(plan.delays).view(np.recarray) if plan.delays else None)


def prepare(segments: Segments) -> None:
    """Store every stage's first state."""
    plan = segments.plan
    first_state(segments.copies["ingest"], first_ingest(plan))
    first_state(segments.copies["strategy"], first_strategy(plan))
    first_state(segments.copies["execution"], first_broker(plan))
