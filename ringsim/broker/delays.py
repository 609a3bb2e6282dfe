"""Latencies that were measured, as the table that the fold looks into: a distribution, or a CSV file, checked row by row.

    request_ns,exchange_ns,response_ns
    1723161255000000000,1723161255000850000,1723161255001900000      sent, at the exchange, back: the times of one order

entry at request_ns = exchange_ns - request_ns, response at exchange_ns = response_ns - exchange_ns. All three are of one clock,
the receiver's, as the session has it. Invariant: what is returned has 1..MAX_LATENCY_ROWS rows a direction, `at` never
decreasing, and no latency below `entry_ns` and `response_ns`, which are at least 1.
"""

import csv
import hashlib
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ringsim.broker.latency import DELAYS
from ringsim.broker.params import DELAY_MAX_NS
from ringsim.errors import BadInput
from ringsim.given import as_text, read_given
from ringsim.limits import LATENCY_FILE_BYTES, MAX_LATENCY_ROWS
from ringsim.records import NEVER_NS

COLUMNS = ("request_ns", "exchange_ns", "response_ns")


class Delays(msgspec.Struct, frozen=True):
    """table: a record of DELAYS. entry_ns, response_ns: the least in it. path, size_bytes, sha256: of the file it is from."""

    table: Any
    entry_ns: int
    response_ns: int
    path: str
    size_bytes: int
    sha256: str


def delay_table(
    entry: Sequence[tuple[int, int]], response: Sequence[tuple[int, int]], values: tuple[int, int] = (0, 0)
) -> np.ndarray:
    """DELAYS recarray of one record.

    entry, response: (at, ns), 1..MAX_LATENCY_ROWS of them, `at` never decreasing. values: of either distribution, if they are.
    """
    found = np.zeros(1, DELAYS)
    for name, rows, size in (("entry", entry, values[0]), ("response", response, values[1])):
        assert 1 <= len(rows) <= MAX_LATENCY_ROWS
        found[name]["count"], found[name]["values"] = len(rows), size
        for field, values in zip(("at", "ns"), zip(*rows, strict=True), strict=True):
            found[name]["rows"][field][0, : len(rows)] = values
    return found.view(np.recarray)


def no_delays() -> np.ndarray:
    """The table of the models that have none: DELAYS recarray[1]."""
    return np.zeros(1, DELAYS).view(np.recarray)


def drawn_delays(
    entry: Sequence[tuple[int, int]], response: Sequence[tuple[int, int]], path: str, size_bytes: int, sha256: str
) -> Delays:
    """Of two distributions. entry, response: (ns, how many times), ns ascending, 1..MAX_LATENCY_ROWS of them.

    A latency of 0 ns is drawn as 1, one above a minute as a minute.
    """
    found = []
    for buckets in (entry, response):
        counts = [count for _, count in buckets]
        before = accumulate(counts, initial=0)
        found.append([(at, min(max(ns, 1), DELAY_MAX_NS)) for at, (ns, _) in zip(before, buckets, strict=False)])
    values = sum(count for _, count in entry), sum(count for _, count in response)
    table = delay_table(found[0], found[1], values)
    return Delays(table, found[0][0][1], found[1][0][1], path, size_bytes, sha256)


def read_rows(path: Path) -> Delays:
    """The measured latencies of a CSV file.

    Raises BadInput, one line that names the row, for a file that is missing, unreadable, too large or has not the columns, for
    times that go back, and for a latency that is not 1 ns to a minute.
    """
    data = read_given(path, "latencies", LATENCY_FILE_BYTES, missing="file of latencies", verb="are")
    text = as_text(path, "latencies", data)
    rows = _checked(path, _cells(path, text))
    entry = [(request, exchange - request) for request, exchange, _ in rows]
    back = [(exchange, response - exchange) for _, exchange, response in rows]
    least_entry, least_back = (min(ns for _, ns in direction) for direction in (entry, back))
    return Delays(
        delay_table(entry, back), least_entry, least_back, str(path), len(data), hashlib.sha256(data).hexdigest()
    )


def _cells(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """(line, cells in the order of COLUMNS) of every row that is not blank."""
    reader = csv.reader(text.splitlines(), strict=True)
    order: list[int] | None = None
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if not any(cells):
                continue
            if order is None:
                if sorted(cells) != sorted(COLUMNS):
                    raise BadInput(
                        f"the latencies {path} must have the columns {','.join(COLUMNS)}, not {_short(','.join(cells))}"
                    )
                order = [cells.index(name) for name in COLUMNS]
            elif len(cells) != len(order):
                raise _bad(path, reader.line_num, f"has {len(cells)} cells where {len(order)} belong")
            else:
                yield reader.line_num, [cells[k] for k in order]
    except csv.Error as error:
        raise BadInput(f"the latencies {path} are no CSV: line {reader.line_num}: {error}") from None


def _checked(path: Path, rows: Iterator[tuple[int, list[str]]]) -> list[tuple[int, int, int]]:
    found: list[tuple[int, int, int]] = []
    for line, cells in rows:
        if len(found) == MAX_LATENCY_ROWS:
            raise BadInput(f"the latencies {path} have more than {MAX_LATENCY_ROWS:,} rows")
        for name, cell in zip(COLUMNS, cells, strict=True):
            if not (cell.isascii() and cell.isdigit() and len(cell) <= 19 and int(cell) < NEVER_NS):
                raise _bad(path, line, f"{name} {_short(cell)} is no time in whole nanoseconds")
        request, exchange, response = map(int, cells)
        for ns, how in (
            (exchange - request, "exchange_ns - request_ns"),
            (response - exchange, "response_ns - exchange_ns"),
        ):
            if not 1 <= ns <= DELAY_MAX_NS:
                why = f"{how} is {ns}: a latency must be from 1 to {DELAY_MAX_NS} ns"
                raise _bad(path, line, why)
        if found and (request < found[-1][0] or exchange < found[-1][1]):
            raise _bad(path, line, "lies before the row above: request_ns and exchange_ns must not decrease")
        found.append((request, exchange, response))
    if not found:
        raise BadInput(f"the latencies {path} have no row")
    return found


def _bad(path: Path, line: int, wrong: str) -> BadInput:
    return BadInput(f"the latencies {path}: line {line}: {wrong}")


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
