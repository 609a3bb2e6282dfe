"""Where two runs part: the first record in which their databases differ, field by field.

The rings are compared each in its own order. Of two rings that differ, the one whose record is earlier in event time says
where it began; the other's difference mostly follows from it.
"""

from collections.abc import Iterator
from enum import Enum
from itertools import zip_longest
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ringsim.records import (
    ACCOUNT,
    FEATURES,
    ORDER,
    REPORT,
    OrderKind,
    OrderType,
    Reason,
    ReportKind,
    Side,
    Tif,
    Trading,
    Verdict,
)
from ringsim.store.connection import connect_reading, read_records

_PADDING = ("stamp", "pad", "pad2", "spare")
_WORDS: dict[str, type[Enum]] = {
    "side": Side, "type": OrderType, "tif": Tif, "reason": Reason, "verdict": Verdict, "trading": Trading,
}  # fmt: skip
_TIMES = {"orders": "created_ns", "reports": "deliver_ns"}


class Difference(msgspec.Struct, frozen=True):
    """The first difference of one ring. a, b: the whole records, None where a run has no more. fields: those that differ."""

    ring: str
    seq: int
    time_ns: int  # of the record, by the run's clock
    fields: list[str]
    a: dict[str, Any] | None
    b: dict[str, Any] | None


class Comparison(msgspec.Struct, frozen=True):
    """Of two runs. first: where they part, None if they do not. also: the other ring's first difference."""

    same: bool
    records: dict[str, tuple[int, int]]  # of each ring, how many each run has
    first: Difference | None = None
    also: Difference | None = None


def compare(one: Path, other: Path) -> Comparison:
    """Compare the databases of two runs. Raises what opening them does (ringsim.store.errors)."""
    a, b = connect_reading(one), connect_reading(other)
    try:
        found, counts = [], {}
        for ring in _TIMES:
            difference = _first(ring, _each(a, ring), _each(b, ring))
            counts[ring] = tuple(
                c.execute("SELECT count(*) FROM ring_records WHERE ring = ?", (ring,)).fetchone()[0] for c in (a, b)
            )
            if difference is not None:
                found.append(difference)
    finally:
        a.close()
        b.close()
    found.sort(key=lambda d: (d.time_ns, d.ring))
    return Comparison(not found, counts, *found)


def _each(connection: Any, ring: str) -> Iterator[np.void]:
    for _, records in read_records(connection, ring):
        yield from records


def _first(ring: str, a: Iterator[np.void], b: Iterator[np.void]) -> Difference | None:
    for seq, (x, y) in enumerate(zip_longest(a, b)):
        if x is None or y is None or x.tobytes() != y.tobytes():
            fields_a, fields_b = _fields(ring, x), _fields(ring, y)
            times = [int(r[_TIMES[ring]]) for r in (x, y) if r is not None]
            return Difference(ring, seq, min(times), _differing(fields_a, fields_b), fields_a, fields_b)
    return None


def _differing(a: dict[str, Any] | None, b: dict[str, Any] | None) -> list[str]:
    if a is None or b is None:
        return []
    return [name for name in {**a, **b} if a.get(name) != b.get(name)]


def _fields(ring: str, record: np.void | None) -> dict[str, Any] | None:
    """A record in words, read as what its kind says it is."""
    if record is None:
        return None
    kinds: type[OrderKind] | type[ReportKind] = OrderKind if ring == "orders" else ReportKind
    kind = int(record["kind"])
    if ring == "orders":
        dtype = FEATURES if kind == OrderKind.SNAPSHOT else ORDER
    else:
        dtype = ACCOUNT if kind == ReportKind.ACCOUNT else REPORT
    read = np.frombuffer(record.tobytes(), dtype)[0]
    values = {name: read[name].item() for name in dtype.names or () if name not in _PADDING}
    for name, words in _WORDS.items():
        if name in values:
            values[name] = _word(words, values[name])
    return values | {"kind": _word(kinds, kind)}


def _word(words: type[Enum], value: int) -> str | int:
    try:
        return words(value).name
    except ValueError:
        return value  # a number that nobody named: the record is damaged, or of another version
