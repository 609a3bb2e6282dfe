"""What a person should know of a run now, in words and by rank: for every face that has a line to spare.

Invariant: a run that is not READY, ACTIVE and RUNNING has at least one note, which says why.
"""

from collections import Counter
from collections.abc import Iterator
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

from procs import figures as f

if TYPE_CHECKING:
    from procs.readmodel import StageView, View

STALE_MS = 1000.0  # a heartbeat older than this is a warning, as for the supervisor
NEARLY_FULL = 0.5  # of a ring that nobody may lose from


class Grade(IntEnum):
    """How much it matters."""

    ASIDE = 0
    LOOK = 1
    BAD = 2


class Note(NamedTuple):
    """One thing to know."""

    text: str
    grade: Grade


def notes(view: "View") -> list[Note]:
    """Most important first: why the run is not as it should be, then what deserves a look."""
    return [*_states(view), *_stages(view), *_rings(view), *_feed(view), *_orders(view), *_screen(view)]


def is_stale(stage: "StageView") -> bool:
    """Whether a stage that should beat has not for too long."""
    return stage.state == "RUNNING" and not stage.heartbeat_ms <= STALE_MS


def _states(view: "View") -> Iterator[Note]:
    if view.trading == "HALTED":
        reasons = [r.reason for r in view.reports if r.kind == "HALTED" and r.reason != "NONE"]
        why = f": {reasons[-1]}" if reasons else ""
        yield Note(f"trading HALTED{why}; orders are refused until `ringsim rearm`", Grade.BAD)
    elif view.trading == "REDUCING":
        yield Note("trading REDUCING: only orders that reduce the position pass", Grade.LOOK)
    elif view.trading != "ACTIVE":
        yield Note(f"trading {view.trading}", Grade.BAD)
    yield from _lifecycle(view)
    if view.run_state != "RUNNING":
        yield Note(_RUN.get(view.run_state, f"run state {view.run_state}"), Grade.LOOK)


_RUN = {
    "PAUSED": "PAUSED by the operator, until `ringsim resume`",
    "STOPPING": "STOPPING: what is under way is finished",
    "STOPPED": "STOPPED: the run is over",
}
_NO_REASON = {
    "INIT": ("INIT: nothing has been started yet", Grade.LOOK),
    "WARMUP": ("WARMUP: kernels compile and caches fill", Grade.LOOK),
}


def _lifecycle(view: "View") -> Iterator[Note]:
    grade = Grade.LOOK if view.lifecycle in _NO_REASON else Grade.BAD
    reasons = [reason for reason in view.reasons if reason.strip()]
    yield from (Note(f"{view.lifecycle}: {reason}", grade) for reason in reasons)
    if view.lifecycle != "READY" and not reasons:
        yield Note(*_NO_REASON.get(view.lifecycle, (f"{view.lifecycle}: the reason is in the run's log", Grade.BAD)))


def _stages(view: "View") -> Iterator[Note]:
    for s in view.stages:
        if s.state == "FAILED":
            yield Note(f"{s.name} FAILED", Grade.BAD)
        elif is_stale(s):
            yield Note(f"{s.name}: no heartbeat for {f.micros(s.heartbeat_ms * 1e3)}", Grade.BAD)
    for s in view.stages:
        if s.generation > 1:
            yield Note(f"{s.name} was restarted: this is its generation {s.generation}", Grade.LOOK)


def _rings(view: "View") -> Iterator[Note]:
    for r in view.rings:
        for name, lost in r.lost.items():
            if lost > 0:
                grade = Grade.LOOK if r.name == "market" else Grade.BAD  # money is lossless
                yield Note(f"{name} lost {f.count(lost)} records of the {r.name} ring", grade)
    for r in view.rings:
        if r.name != "market" and r.capacity > 0 and r.fill > NEARLY_FULL:
            yield Note(f"the {r.name} ring is {r.fill:.0%} full: waits for {r.gated_by or 'its reader'}", Grade.LOOK)


def _feed(view: "View") -> Iterator[Note]:
    gaps, resyncs = view.feed.get("gaps", 0), view.feed.get("resyncs", 0)
    if gaps > 0:
        yield Note(f"gaps in the feed: {f.count(gaps)}, resynchronised {f.count(resyncs)} times", Grade.LOOK)


def _orders(view: "View") -> Iterator[Note]:
    """Orders that were not carried out, and why."""
    if (provisional := view.account.get("provisional", 0)) > 0:
        yield Note(f"provisional orders: {f.count(provisional)}, acknowledged and never executed", Grade.LOOK)
    refused = [o for o in view.orders if o.kind == "REFUSED"] + [r for r in view.reports if r.kind == "REJECTED"]
    if refused:
        reasons = Counter(line.reason for line in refused).most_common()
        yield Note("refused lately: " + ", ".join(f"{reason} {n}" for reason, n in reasons), Grade.LOOK)


def _screen(view: "View") -> Iterator[Note]:
    if view.missed > 0:
        yield Note(f"this screen was too slow for {f.count(view.missed)} records (the run was not)", Grade.ASIDE)
