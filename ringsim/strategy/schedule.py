"""A list of orders to be sent at given times: a CSV file, checked row by row at the edge, as records for the fold.

    time_ns,side,price,qty,type,tif,cancel_after_ns
    1723161255000000000,buy,61000.10,0.01,limit,gtc,500000000
    1723161256000000000,sell,,0.01,market,ioc,

time_ns is on the receiver's clock, as the capture has it. Invariant: what `read_schedule` returns can be sent as it stands,
in its order; of a file that cannot, every bad row is named by its line, all of them at once.
"""

import csv
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ringsim.errors import BadInput
from ringsim.given import as_text, read_given
from ringsim.limits import MAX_NOTIONAL, MAX_PRICE_TICKS, MAX_QTY_LOTS, MAX_SCHEDULE, SCHEDULE_BYTES
from ringsim.records import NEVER_NS, OrderType, Side, Tif
from ringsim.units import Instrument

SCHEDULED = np.dtype(
    [
        ("time_ns", "i8"),  # on the receiver's clock, never decreasing
        ("cancel_after_ns", "i8"),  # after it was sent; 0: never
        ("px_ticks", "i8"),  # 0 of a market order
        ("qty_lots", "i8"),
        ("side", "i8"),
        ("type", "i8"),
        ("tif", "i8"),
        ("pad", "i8"),
    ]
)

COLUMNS = ("time_ns", "side", "price", "qty", "type", "tif", "cancel_after_ns")
_SIDES = {"buy": Side.BUY, "sell": Side.SELL}
_TYPES = {"limit": OrderType.LIMIT, "market": OrderType.MARKET}
_TIFS = {"gtc": Tif.GTC, "ioc": Tif.IOC, "fok": Tif.FOK, "post_only": Tif.POST_ONLY}
_DESCRIBED = 100  # bad rows that are described one by one; the rest is counted


class BadSchedule(BadInput):
    """A file of orders that cannot be sent; `problems` has a line for each bad row."""

    def __init__(self, path: Path, problems: list[str], more: int) -> None:
        self.problems = problems
        count = len(problems) + more
        rest = [f"and {more} more"] if more else []
        if count == 1:
            super().__init__(f"{path} {problems[0]}")
        else:
            super().__init__(f"{path}: {count} bad rows" + "\n  ".join(["", *problems, *rest]))


class Schedule(msgspec.Struct, frozen=True):
    """orders: SCHEDULED recarray. path, size_bytes, sha256: of the file, as it was when it was read."""

    orders: Any
    path: str
    size_bytes: int
    sha256: str


def no_orders() -> np.ndarray:
    """The schedule of a strategy that has none: SCHEDULED recarray[0]."""
    return np.zeros(0, SCHEDULED).view(np.recarray)


def read_schedule(path: Path, instrument: Instrument) -> Schedule:
    """The orders of a CSV file, on the instrument's grid.

    Raises BadInput, one line, for a file that is missing, unreadable, too large or has not the columns; BadSchedule for bad rows.
    """
    data = read_given(path, "schedule", SCHEDULE_BYTES)
    text = as_text(path, "schedule", data)
    orders = _parse(path, text, instrument)
    return Schedule(orders, str(path), len(data), hashlib.sha256(data).hexdigest())


def _rows(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of every row that is not blank; its first is the header. BadInput where the text is no CSV."""
    reader = csv.reader(text.splitlines(), strict=True)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise BadInput(f"the schedule {path} is no CSV: line {reader.line_num}: {error}") from None


def _parse(path: Path, text: str, instrument: Instrument) -> np.ndarray:
    rows = _rows(path, text)
    _, header = next(rows, (0, []))
    if sorted(header) != sorted(COLUMNS):
        names = ",".join(header) or "none"
        names = names if len(names) <= 80 else names[:77] + "..."
        raise BadInput(f"the schedule {path} must have the columns {','.join(COLUMNS)}, not {names}")
    found: list[tuple[int | None, ...]] = []
    problems: list[str] = []
    more, last_ns = 0, 0
    for line, cells in rows:
        if len(found) >= MAX_SCHEDULE:
            raise BadInput(f"the schedule {path} has more than {MAX_SCHEDULE:,} orders")
        wrong: list[str] = []
        if len(cells) == len(header):
            order = _order(dict(zip(header, cells, strict=True)), instrument, wrong)
            if order[0] is not None:
                if order[0] < last_ns:
                    wrong.append(f"time_ns {order[0]} lies before the row above ({last_ns}): times must not decrease")
                last_ns = max(last_ns, order[0])
            found.append(order)
        else:
            wrong.append(f"has {len(cells)} cells where {len(header)} belong")
        if wrong and len(problems) < _DESCRIBED:
            problems.append(f"line {line}: {'; '.join(wrong)}")
        elif wrong:
            more += 1
    if problems:
        raise BadSchedule(path, problems, more)
    if not found:
        raise BadInput(f"the schedule {path} holds no order")
    orders = np.zeros(len(found), SCHEDULED)
    for k, name in enumerate(SCHEDULED.names or ()):
        if name != "pad":
            orders[name] = [order[k] for order in found]
    return orders.view(np.recarray)


def _order(cells: dict[str, str], instrument: Instrument, wrong: list[str]) -> tuple[int | None, ...]:
    """The fields of a row in the order of SCHEDULED; what is wrong with it is appended to `wrong`."""
    time_ns = _whole("time_ns", cells["time_ns"], 0, NEVER_NS - 1, wrong)
    cancel = 0
    if cells["cancel_after_ns"]:
        most = NEVER_NS - 1 - (time_ns or 0)
        cancel = _whole("cancel_after_ns", cells["cancel_after_ns"], 1, most, wrong) or 0
    side, kind, tif = (
        _word(name, cells[name], known, wrong) for name, known in (("side", _SIDES), ("type", _TYPES), ("tif", _TIFS))
    )
    price: int | None = 0
    if kind == OrderType.MARKET:
        if cells["price"]:
            wrong.append(f"price {_short(cells['price'])} of a market order: leave it empty")
        if tif == Tif.POST_ONLY:
            wrong.append("a market order cannot be post_only")
    elif cells["price"] or kind is not None:
        price = _on_grid("price", cells["price"], instrument.ticks, instrument.tick, MAX_PRICE_TICKS, wrong)
    qty = _on_grid("qty", cells["qty"], instrument.lots, instrument.lot, MAX_QTY_LOTS, wrong)
    if price and qty and price * qty > MAX_NOTIONAL:
        wrong.append(f"price x qty is larger than {instrument.money(MAX_NOTIONAL):f} {instrument.quote}")
    return time_ns, cancel, price, qty, side, kind, tif


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")


def _whole(name: str, text: str, low: int, high: int, wrong: list[str]) -> int | None:
    """A whole number in its range, written in plain digits."""
    if not text:
        wrong.append(f"{name} is empty")
    elif not (text.isascii() and text.isdigit()):
        wrong.append(f"{name} {_short(text)} is no whole number of nanoseconds from {low} on")
    elif len(text) > 19 or not low <= int(text) <= high:
        wrong.append(f"{name} {_short(text)} lies outside {low}..{high}")
    else:
        return int(text)
    return None


def _word(name: str, text: str, known: dict[str, Any], wrong: list[str]) -> int | None:
    if text in known:
        return int(known[text])
    wrong.append(f"{name} must be one of {', '.join(known)}, not {_short(text)}")
    return None


def _on_grid(name: str, text: str, exact: Callable[[str], int], step: str, most: int, wrong: list[str]) -> int | None:
    """Ticks or lots, 1..most, of a text that lies on the grid."""
    if not text:
        wrong.append(f"{name} is empty")
        return None
    try:
        if len(text) > 40:
            raise BadInput("")
        count = exact(text)
    except (BadInput, ArithmeticError):
        wrong.append(f"{name} {_short(text)} is no number on the grid of {step}")
        return None
    if not 1 <= count <= most:
        wrong.append(f"{name} {text} must be above 0" if count < 1 else f"{name} {text} is more than {most} x {step}")
        return None
    return count
