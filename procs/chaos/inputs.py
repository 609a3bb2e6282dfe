"""Inputs: a feed with gaps, a feed full of garbage, a feed far faster than who reads it.

The faults of a feed lie in the capture that the run reads, so that they come at the same message whatever the machine does.
A strike is noted when the run has met the fault.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from procs.chaos.captures import with_bursts, with_garbage, without_updates, write_capture
from procs.chaos.inject import Strike, inputs_of
from procs.chaos.laws import everything_answered_once, no_trade_without_book
from procs.chaos.scenario import Options, Scenario
from procs.chaos.storm import Storm
from procs.supervisor import Supervisor
from ringsim.control import CELL_FEED, FEED_CELL
from ringsim.market.binance import MessageKind
from ringsim.market.capture import Capture, open_capture, prepare
from ringsim.market.source import open_source
from ringsim.summary import DEGRADED
from ringsim.telemetry.cell import read_cell

_GAPS, _BAD, _DOUBLED = 3, 64, 40
_BURSTS, _BURST_S = 3, 10.0


def _none(strikes: int) -> tuple[int, int]:
    """No replacement."""
    return 0, 0


class FeedWatcher:
    """Notes a strike for each fault of the feed that the run has met so far, as `met` counts them."""

    def __init__(self, what: str, planned: int, met: Callable[[Supervisor], int]) -> None:
        self.what, self.planned, self.met = what, planned, met
        self.strikes: list[Strike] = []

    def each_turn(self, parent: Supervisor) -> None:
        if parent.segments is not None:
            for _ in range(len(self.strikes), self.met(parent)):
                self.strikes.append(Strike(self.what, "ingest", inputs_of(parent, "ingest"), time.monotonic_ns()))


def gaps_met(parent: Supervisor) -> int:
    """Gaps that the feed has counted, as its cell shows them."""
    assert parent.segments is not None
    value = np.zeros(len(FEED_CELL), np.int64)
    return int(value[FEED_CELL.index("gaps")]) if read_cell(parent.segments.control, CELL_FEED, value) else 0


class BadLinesMet:
    """How many bad lines of its capture the feed has passed."""

    def __init__(self) -> None:
        self._places: np.ndarray | None = None

    def __call__(self, parent: Supervisor) -> int:
        if self._places is None:
            index = open_capture(Path(parent.plan.capture_folder)).index
            self._places = np.flatnonzero(index.kind == MessageKind.BAD)
        return int(np.searchsorted(self._places, inputs_of(parent, "ingest")))


def _capture(source: str) -> Capture:
    return prepare(open_source(source))


def _gap_feed(count: int, *, mended: bool) -> Callable[[Path, Options, str], str]:
    def make(folder: Path, options: Options, source: str) -> str:
        lines = without_updates(_capture(source), count, options.seed, mended=mended)
        return write_capture(folder / "gaps.txt", lines)

    return make


def _garbage_feed(folder: Path, options: Options, source: str) -> str:
    return write_capture(folder / "garbage.txt", with_garbage(_capture(source), _BAD, _DOUBLED, options.seed))


def _burst_feed(folder: Path, options: Options, source: str) -> str:
    return write_capture(folder / "bursts.txt", with_bursts(_capture(source), _BURSTS, _BURST_S))


def _counts(run: dict[str, Any], **expected: int) -> list[str]:
    feed = run["feed"]
    return [f"{name}: {feed[name]}, expected {n}" for name, n in expected.items() if feed[name] != n]


def _gaps_mended(run: dict[str, Any], twin: dict[str, Any]) -> list[str]:
    return _counts(run, gaps=_GAPS, resyncs=_GAPS) + no_trade_without_book(run)


def _gap_open(run: dict[str, Any], twin: dict[str, Any]) -> list[str]:
    problems = _counts(run, gaps=1, resyncs=0) + no_trade_without_book(run)
    if run["digest"] != twin["digest"] or twin["exit_state"] != DEGRADED:
        problems.append("the digest, or the end, is not that of the twin on the same capture")
    if not any("gap" in note for note in run["notes"]):
        problems.append("no note says why the run is DEGRADED")
    return problems


def _garbage_counted(run: dict[str, Any], twin: dict[str, Any]) -> list[str]:
    """twin: on the capture without the garbage."""
    messages, sound = run["messages"], twin["messages"]
    problems = []
    if messages["bad"] != _BAD:
        problems.append(f"{messages['bad']} bad lines counted, {_BAD} were put in")
    doubled = sum(messages[kind] - sound[kind] for kind in messages if kind != "bad")
    if doubled != _DOUBLED:
        problems.append(f"{doubled} doubled messages counted, {_DOUBLED} were put in")
    if run["feed"]["stale"] <= twin["feed"]["stale"]:
        problems.append("no doubled diff was counted as stale")
    if not any("bad line" in note for note in run["notes"]):
        problems.append("no note tells of the bad lines")
    return problems


def _storm_accounted(run: dict[str, Any], twin: dict[str, Any]) -> list[str]:
    """Realtime clock: each published event was taken once by the strategy, or is counted as lost; the exchange lost none."""
    published, lost = run["events_published"], run["market_lost"]
    taken = int(run["latency_us"]["tick_to_strategy"]["n"])
    problems = everything_answered_once(run)
    if taken + lost != published:
        problems.append(f"{taken} market events taken and {lost} lost are not the {published} published")
    market = run["rings"]["market"]
    if market["published"] != published or market["lost"] != lost:
        problems.append(
            f"the ring says {market['published']} published, {market['lost']} lost: another reader lost some"
        )
    if not lost:
        problems.append("the free reader lost nothing: it was no storm for it")
    if not run["orders"]["submitted"]:
        problems.append("nothing was ordered: this proves nothing about orders")
    return problems


INPUTS: tuple[Scenario, ...] = (
    Scenario(
        "feed-gap",
        "diffs are missing, a snapshot comes later: no trade without a book, resynced; the twin's digest",
        lambda o: FeedWatcher("gap", _GAPS, gaps_met),
        restarts=_none,
        source=_gap_feed(_GAPS, mended=True),
        holds=_gaps_mended,
    ),
    Scenario(
        "feed-gap-open",
        "diffs are missing and no snapshot ever comes: no trade from there on, the run ends DEGRADED",
        lambda o: FeedWatcher("gap", 1, gaps_met),
        ends=DEGRADED,
        restarts=_none,
        source=_gap_feed(1, mended=False),
        holds=_gap_open,
    ),
    Scenario(
        "feed-garbage",
        "bad JSON, binary, cut lines, messages twice: counted, skipped; the digest of the capture without them",
        lambda o: FeedWatcher("bad line", _BAD, BadLinesMet()),
        restarts=_none,
        source=_garbage_feed,
        sound_twin=True,
        holds=_garbage_counted,
    ),
    Scenario(
        "producer-storm",
        "realtime, three bursts of ten seconds at once while the free reader stands still: its losses are exact, orders lossless",
        lambda o: Storm(_BURSTS),
        restarts=_none,
        least=1,
        settings={"run.clock": "realtime", "run.speed": 40, "strategy.performance.market_channel_size": 2048},
        same=False,
        source=_burst_feed,
        holds=_storm_accounted,
    ),
)
