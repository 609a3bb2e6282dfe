"""The market that a run saw, told again: its inputs folded once more, as `ringsim verify` does.

Market events are not stored, since they follow from the inputs; so they are there again as long as those are. Invariant:
a market that is not, event for event, the one that the run saw is not handed out: the records' own triggers (sequence and
arrival of the event that caused them) are compared with it.

    simulated   every trigger names an event that arrived at that time
    realtime    times are the machine's; between two triggers as much time passed as the feed's schedule says, or more (the feed
                stood still). Less: events that the inputs do not have (a snapshot that a reader asked for) moved the sequences.
                At full speed there is no schedule; there the number of events must be the same.
"""

import sqlite3
import tempfile
from pathlib import Path

import msgspec
import numpy as np

from procs.repeat import prepared_again, source_changes
from procs.run import fold_session
from procs.status import read_status
from ringsim.errors import BadInput
from ringsim.store.connection import read_records
from ringsim.store.manifest import Manifest

_FAR = 1 << 62
_ROUNDING_NS = 2  # of two lengths of time on the feed's schedule


class NoMarket(BadInput):
    """The market of a run cannot be told again; the message says why."""


class Market(msgspec.Struct, frozen=True):
    """All events of a run's market ring, in order, and when they arrived on the run's clock.

    speed: of the feed against the run's clock, (0, 1): as fast as it went, no schedule. anchor_seqs, anchor_ns: int64[n], events
    whose arrival is on record, ascending; realtime only.
    """

    events: np.ndarray  # MARKET_EVENT[n], times of the capture
    speed: tuple[int, int]
    realtime: bool
    anchor_seqs: np.ndarray
    anchor_ns: np.ndarray

    @property
    def unscheduled(self) -> bool:
        """Whether the feed kept no times that could be known again."""
        return self.realtime and self.speed[0] == 0

    def arrivals_ns(self, seqs: np.ndarray) -> np.ndarray:
        """int64[n]: when the events with these sequences arrived, on the run's clock.

        Simulated: as they say. Realtime: by the feed's schedule from the newest arrival on record before them (a pause counts
        from the next one on); at full speed in between those on record, a straight line.
        """
        arrived = self.events["recv_ns"]
        if not self.realtime:
            return np.asarray(arrived[seqs])
        if self.unscheduled:
            return np.interp(seqs, self.anchor_seqs, self.anchor_ns).astype(np.int64)
        anchors = np.maximum(np.searchsorted(self.anchor_seqs, seqs, side="right") - 1, 0)
        return self.anchor_ns[anchors] + self._run_ns(arrived[seqs] - arrived[self.anchor_seqs[anchors]])

    def exchange_ns(self) -> np.ndarray | None:
        """int64[n]: when the paper broker, which is the exchange, had each event, on the run's clock; None if unknown.

        Simulated: when the exchange said it. Realtime: its arrival, since the broker fills by what has come in.
        """
        if self.unscheduled or (self.realtime and not len(self.anchor_seqs)):
            return None
        return self.arrivals_ns(np.arange(len(self.events))) if self.realtime else np.asarray(self.events["exch_ns"])

    def _run_ns(self, event_ns: np.ndarray) -> np.ndarray:
        return event_ns * self.speed[1] // self.speed[0]


def market_again(manifest: Manifest, folder: Path, connection: sqlite3.Connection) -> Market:
    """The market of the run in `folder`, checked against its stored records. Raises NoMarket, and what preparing a run does.

    connection: to its database. Memory: 64 bytes an event, as in a backtest.
    """
    try:
        changed = source_changes(manifest)
    except BadInput as error:
        raise NoMarket(str(error)) from None
    if changed:
        raise NoMarket("; ".join(changed))
    result = manifest.result
    simulated = manifest.clock == "simulated"
    commands = result["commands"] if "commands" in result else read_status(folder).commands
    with tempfile.TemporaryDirectory(prefix="ringsim-market-") as scratch:
        _, prepared = prepared_again(folder, Path(scratch) / manifest.run_id)
    taken = result.get("messages_taken")
    if taken is not None:
        prepared = msgspec.structs.replace(prepared, plan=msgspec.structs.replace(prepared.plan, messages=taken))
    said = [(int(at), int(code), int(value)) for at, code, value in commands] if simulated else []
    events, _ = fold_session(prepared, said, bool(result.get("stopped")))
    anchors = _anchors(
        np.asarray(events), prepared.plan.speed, not simulated, connection, result.get("events_published")
    )
    return Market(np.asarray(events), prepared.plan.speed, not simulated, *anchors)


def _anchors(
    events: np.ndarray, speed: tuple[int, int], realtime: bool, connection: sqlite3.Connection, published: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Events of which the stored records say when they arrived: (sequences, times), realtime only.

    NoMarket unless these are the events that the records speak of: see the file's head.
    """
    arrivals = np.asarray(events["recv_ns"])
    kept: list[np.ndarray] = [np.zeros((2, 0), np.int64)]
    unscheduled = realtime and speed[0] == 0
    if unscheduled and published != len(arrivals):
        raise NoMarket(
            f"the run's market had {published or 'an unknown number of'} events and its inputs have {len(arrivals)}, "
            "and at full speed their times do not say which is which"
        )
    lead = None  # of the run's clock over the feed's schedule
    for _, records in read_records(connection, "orders"):
        records = records[records["trigger_seq"] >= 0]
        if not len(records):
            continue
        seqs, times = records["trigger_seq"], records["trigger_ns"]
        if seqs.max() >= len(arrivals):
            raise NoMarket(f"the run's market went on to event {seqs.max()}, its inputs have {len(arrivals)}")
        if not realtime:
            wrong = np.flatnonzero(arrivals[seqs] != times)
            if len(wrong):
                k = int(wrong[0])
                raise NoMarket(
                    f"event {seqs[k]} of the market arrived at {times[k]} ns, of its inputs at {arrivals[seqs[k]]}"
                )
            continue
        leads = times if unscheduled else times - (arrivals[seqs] - arrivals[0]) * speed[1] // speed[0]
        before = np.concatenate(([-_FAR if lead is None else lead], leads[:-1]))
        early = np.flatnonzero(leads < before - _ROUNDING_NS)
        if len(early):
            k = int(early[0])
            raise NoMarket(
                f"event {seqs[k]} of the market came {before[k] - leads[k]} ns before its time: its sequences are not "
                "those of its inputs, a reader had asked for a snapshot again"
            )
        lead = int(leads[-1])
        moved = (leads > before + _ROUNDING_NS) | unscheduled  # without a schedule each one counts
        kept.append(np.stack((seqs[moved], times[moved])))
    seqs, times = np.concatenate(kept, axis=1)
    return seqs, times
