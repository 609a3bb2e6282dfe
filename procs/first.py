"""The first states of a run's stages, from its plan: what the parent stores before any stage starts."""

from pathlib import Path

import numpy as np

from procs.states import INGEST_STATE
from procs.topology import Plan, Segments
from ringsim.broker.exchange import broker_init
from ringsim.fold.commit import first_state
from ringsim.market.capture import open_capture
from ringsim.market.feed import new_feed
from ringsim.strategy.fold import strategy_init


def first_ingest(plan: Plan) -> np.ndarray:
    """The ingest's state before the first message."""
    state = np.zeros(1, INGEST_STATE).view(np.recarray)
    state["feed"] = new_feed(open_capture(Path(plan.capture_folder)), latency_ns=plan.base_latency_ns)
    return state


def prepare(segments: Segments) -> None:
    """Store every stage's first state."""
    plan = segments.plan
    first_state(segments.copies["ingest"], first_ingest(plan))
    first_state(segments.copies["strategy"], strategy_init(plan.strategy))
    first_state(segments.copies["execution"], broker_init(plan.broker))
