"""Market events of generated sessions: snapshots and gaps, predictions, and another symbol's events between."""

import random

import numpy as np

from ringsim.market.capture import prepare
from ringsim.market.feed import fold_capture
from ringsim.records import EventFlag, EventKind
from tests.sessions import session, write_capture


def market(tmp_path, seed, *, steps=60, predictions=True):
    """MARKET_EVENT[n] of a session with one diff left out, so that the book is lost and found again."""
    messages = session(seed, steps=steps, snapshots=(3, steps // 2 + 5))
    diffs = [k for k, m in enumerate(messages) if m.kind == "depth"]
    del messages[diffs[len(diffs) // 2]]
    events, _ = fold_capture(prepare([write_capture(tmp_path / f"{seed}.gz", messages)]))
    return np.asarray(with_predictions(events, seed) if predictions else events)


def with_predictions(events, seed):
    """Predictions at message boundaries, and now and then the event of another symbol."""
    chance, found = random.Random(seed), []
    for event in events:
        found.append(event.copy())
        if event["flag_bits"] & EventFlag.LAST and chance.random() < 0.1:
            said = event.copy()
            said["kind"], said["px_ticks"], said["flag_bits"] = (
                EventKind.PREDICTION,
                6_000_000 + chance.randint(-9, 9),
                EventFlag.LAST,
            )
            found.append(said)
        if chance.random() < 0.1:
            other = event.copy()
            other["symbol"] = 1
            found.append(other)
    return np.array(found, events.dtype)
