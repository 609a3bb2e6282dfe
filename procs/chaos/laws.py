"""What must be true of a disturbed run beside its digest, read from what it left: its database, and the capture that it read.

Each law returns problems in words, none when it holds.
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from procs.topology import RECORD_DTYPES
from ringsim.market.capture import Capture, prepare
from ringsim.market.feed import fold_capture
from ringsim.records import EventKind, OrderKind, ReportFlag, ReportKind
from ringsim.store.connection import connect_reading, read_records

_ENDED = (ReportKind.CANCELLED, ReportKind.REJECTED, ReportKind.PROVISIONAL)


def stored(run: dict[str, Any], ring: str) -> np.ndarray:
    """All records of a ring (orders, reports) as the run's database has them, in order."""
    with closing(connect_reading(Path(run["database"]))) as connection:
        found = [records for _, records in read_records(connection, ring)]
    return np.concatenate(found) if found else np.zeros(0, RECORD_DTYPES[ring])


def without_book(capture: Capture) -> Iterator[tuple[np.record, np.record | None]]:
    """The stretches of a capture, simulated clock, in which nobody has a whole book after having had one: the GAP event, and
    the SNAPSHOT_END that mended it (None: nothing did)."""
    events, _ = fold_capture(capture)
    gap = None
    for event in events[np.isin(events.kind, (EventKind.GAP, EventKind.SNAPSHOT_END))]:
        if event.kind == EventKind.GAP:
            gap = gap or event
        elif gap is not None:
            yield gap, event
            gap = None
    if gap is not None:
        yield gap, None


def no_trade_without_book(run: dict[str, Any]) -> list[str]:
    """Between a gap in the feed and the snapshot that mends it nothing is filled and nothing is ordered (simulated clock)."""
    reports, orders = stored(run, "reports"), stored(run, "orders")
    filled = reports["filled_ns"][reports["kind"] == ReportKind.FILL]
    ordered = orders["created_ns"][orders["kind"] == OrderKind.NEW]
    problems = []
    for gap, end in without_book(prepare([Path(path) for path in run["source"]])):
        # The exchange folds an event at its exch_ns, the strategy at its recv_ns.
        for what, times, field in (("fills", filled, "exch_ns"), ("orders", ordered, "recv_ns")):
            inside = times > gap[field]
            if end is not None:
                inside &= times < end[field]
            if inside.any():
                problems.append(f"{inside.sum()} {what} without a book, after the gap at message {gap['source_seq']}")
    return problems


def everything_answered_once(run: dict[str, Any]) -> list[str]:
    """Orders are lossless: all that was published is stored, each record has one answer, each order one end."""
    orders, reports = stored(run, "orders"), stored(run, "reports")
    problems = []
    for ring, records in (("orders", orders), ("reports", reports)):
        if len(records) != run["rings"][ring]["published"]:
            problems.append(f"{len(records)} {ring} stored of {run['rings'][ring]['published']}")
        if run["rings"][ring]["lost"]:
            problems.append(f"{run['rings'][ring]['lost']} {ring} lost")
    answers = ((reports["flag_bits"] & ReportFlag.RETURNS_CREDIT) != 0) & (reports["kind"] != ReportKind.ACCOUNT)
    if answers.sum() != len(orders):
        problems.append(f"{answers.sum()} answers to {len(orders)} records of the strategy")
    ids = np.sort(orders["order_id"][orders["kind"] == OrderKind.NEW])
    full = (reports["kind"] == ReportKind.FILL) & (reports["left_lots"] == 0)
    ends = np.sort(reports["order_id"][np.isin(reports["kind"], _ENDED) | full])
    if not np.array_equal(ids, ends):
        problems.append(f"{len(ids)} orders and {len(ends)} ends of orders, which are not one for one")
    return problems
