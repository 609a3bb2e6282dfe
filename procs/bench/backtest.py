"""Events a second of the broker's and the strategy's fold together, in this process, beside hftbacktest on the same events.

A round measures one after the other: our folds over all events of the session; our folds over those that hftbacktest has a
record of (levels, trades); that program event by event; that program in steps of 10 ms. So a moment of somebody else's work
hits figure and floor alike. Reported are medians, with the best and the worst round, and the median of the rounds' ratios.

Parsing the capture, the database and the event log are not in it: what is measured is what happens to an event. That program
keeps two books, the exchange's and the receiver's, as ours does; it has no strategy here, ours its default one.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from procs.bench import walk
from procs.prepare import open_session
from ringsim.broker.exchange import broker_init
from ringsim.broker.latency import latency_entry_min
from ringsim.config import load
from ringsim.errors import BadInput
from ringsim.market.eventfile import has_record, to_event_file
from ringsim.market.feed import fold_capture
from ringsim.pipeline import Pipeline
from ringsim.strategy.fold import strategy_init
from ringsim.wiring import broker_params, strategy_params

Figures = dict[str, Any]

STEP_NS = 10_000_000
LAP_EVENTS = 1_500_000  # of a measurement: a quarter of a second; a shorter session is folded several times
LATENCY_NS = 1_000_000  # each way, as the default configuration has it
_ABSENT = "hftbacktest is not installed: its figures are null (pip install hftbacktest)"


def bench_backtest(source: str, repeats: int) -> Figures:
    """The figures. source: as --source writes it. BadInput for what cannot be folded, or a session without events."""
    config = load(overrides={"run.source": source, "run.clock": "simulated"}).config
    capture = open_session(config)
    instrument = capture.meta.instrument
    events, _ = fold_capture(capture)
    shared = events[has_record(events)].view(np.recarray)
    if len(shared) == 0:
        raise BadInput("the session has no level and no trade: there is nothing to fold")
    shared = np.concatenate([shared, events[-1:]]).view(np.recarray)  # the END_OF_FEED
    params = strategy_params(config, instrument), broker_params(config, instrument)

    laps = 1 + LAP_EVENTS // len(events)

    def folds(session: np.recarray) -> Callable[[], float]:
        def measure() -> float:
            took = 0.0
            for _ in range(laps):
                strategy, broker = strategy_init(params[0]), broker_init(params[1])
                pipeline = Pipeline(strategy, broker, session, int(latency_entry_min(broker[0].p.latency)))
                began = time.perf_counter()
                for _ in pipeline.run():
                    pass
                took += time.perf_counter() - began
            return laps * len(session) / took

        return measure

    measures = {"events_per_s": folds(events), "shared_events_per_s": folds(shared)}
    theirs = walk.engine(to_event_file(events, instrument), instrument, LATENCY_NS, laps)
    if theirs is not None:
        measures["hftbacktest_events_per_s"] = lambda: theirs(0)
        measures["hftbacktest_10ms_events_per_s"] = lambda: theirs(STEP_NS)
    rounds: list[dict[str, float]] = []
    for measure in measures.values():
        measure()  # compiles, and fills the caches
    for _ in range(repeats):
        rounds.append({name: measure() for name, measure in measures.items()})
    return _figures(rounds, len(events), len(shared), repeats, theirs is not None) | {
        "source": [str(Path(file.path).name) for file in capture.meta.files]
    }


def _figures(rounds: list[dict[str, float]], events: int, shared: int, repeats: int, compared: bool) -> Figures:
    def median(values: list[float]) -> float:
        return statistics.median(values)

    found: Figures = {"events": events, "shared_events": shared, "repeats": repeats}
    names = ("events_per_s", "shared_events_per_s", "hftbacktest_events_per_s", "hftbacktest_10ms_events_per_s")
    for name in names:
        values = [r[name] for r in rounds if name in r]
        found[name] = round(median(values)) if values else None
        found[f"{name}_spread"] = [round(min(values)), round(max(values))] if values else None
    for name, other in (("ratio", names[2]), ("ratio_10ms", names[3])):
        found[name] = round(median([r[names[1]] / r[other] for r in rounds]), 3) if compared else None
    found["notes"] = [] if compared else [_ABSENT]
    return found
