"""A session of normalised event files (ringsim.market.eventfile), prepared as a capture is: market events, an index, what is known.

    rows ──> messages: depth rows of the same times, or one trade ──> MARKET_EVENT records in the text, one INDEX entry a message

A row for both is one event. A row for the exchange alone, or for the strategy alone, carries a flag, and the other skips it; its
time at the other is the newest one there, so that it holds nobody up. Rows that clear a book, or are of a snapshot, make a
message after which the book is whole: SNAPSHOT_BEGIN, every level of the viewer's book, SNAPSHOT_END; the exchange's and the
strategy's are one as long as no row was for one of them alone. Before its first row a session has an empty book, as in hftbacktest.

Invariants: what the exchange sees is in the order of exch_ts, what the strategy sees in that of local_ts; a value off the grid is
an error, named by its row, never rounded further than float64 is inexact.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from ringsim.book import BOOK, book_best, book_set
from ringsim.errors import BadInput
from ringsim.kernel import kernel
from ringsim.limits import BOOK_LEVELS, MAX_PRICE_TICKS, MAX_QTY_LOTS, MESSAGE_EVENTS
from ringsim.market import eventfile as f
from ringsim.market.binance import KIND_NAMES, MessageKind
from ringsim.market.capture import INDEX, TEXT, Capture, CaptureMeta, SourceFile, kept, session_key, write_index
from ringsim.market.events import make_events
from ringsim.market.instruments import grid_values, quote_of
from ringsim.market.scan import PADDING
from ringsim.records import MARKET_EVENT, NEVER_NS, EventFlag, EventKind, Side
from ringsim.units import Instrument

MARKET = "events"
_DECIMALS_MAX = 8  # of a grid that is taken from the file: beyond it float64 says little
_OFF_GRID = 1e-3  # of a step: how far a float64 may lie from the grid
_ORDER_KINDS = range(10, 20)

_DEPTH, _TRADE, _CLEAR, _SNAPSHOT = f.DEPTH, f.TRADE, f.DEPTH_CLEAR, f.DEPTH_SNAPSHOT
_E_LEVEL, _E_TRADE = np.int64(EventKind.LEVEL), np.int64(EventKind.TRADE)
_E_BEGIN, _E_END = np.int64(EventKind.SNAPSHOT_BEGIN), np.int64(EventKind.SNAPSHOT_END)
_WORDS = MARKET_EVENT.itemsize // 8
_LAST = np.int64(EventFlag.LAST)
_EXCHANGE_ONLY, _STRATEGY_ONLY = np.int64(EventFlag.EXCHANGE_ONLY), np.int64(EventFlag.STRATEGY_ONLY)
_BUY, _SELL, _NONE = np.int64(Side.BUY), np.int64(Side.SELL), np.int64(0)
_K_DEPTH, _K_TRADE, _K_SNAPSHOT = (int(k) for k in (MessageKind.DEPTH, MessageKind.TRADE, MessageKind.SNAPSHOT))

ROW = np.dtype(
    [
        ("kind", "i8"),
        ("side", "i8"),
        ("exch_ns", "i8"),
        ("recv_ns", "i8"),
        ("px", "i8"),
        ("qty", "i8"),
        ("viewers", "i8"),  # 1: the exchange, 2: the strategy, 3: both
        ("number", "i8"),  # of the row in its file, from 1
    ]
)
ARRANGING = np.dtype(
    [
        ("exch_ns", "i8"),  # newest that the exchange saw
        ("recv_ns", "i8"),
        ("apart", "i8"),  # 1: a row was for one of them alone, their books may differ
        ("begun", "i8"),
        ("forced", "i8"),  # rows whose exch_ts was not before their local_ts
        ("books", BOOK, (2,)),  # the exchange's, the strategy's
    ]
)


def prepare_events(files: Sequence[Path], symbol: str, tick: str | None, lot: str | None) -> Capture:
    """The session of these files (in order), from the cache or prepared now.

    symbol: what the files do not say. tick, lot: the grid, decimal text; None: taken from the first file.
    Raises BadInput, one line, for what cannot be read, is out of order, or off the grid.
    """
    key = session_key(files, __file__, [symbol, tick, lot])
    return kept(key, lambda folder: _prepare(folder, files, symbol, tick, lot))


def _prepare(folder: Path, files: Sequence[Path], symbol: str, tick: str | None, lot: str | None) -> None:
    instrument: Instrument | None = None
    state = np.zeros(1, ARRANGING).view(np.recarray)
    messages: list[np.ndarray] = []
    sources: list[SourceFile] = []
    left_out, newest = 0, {"exch_ns": 0, "recv_ns": 0}
    with (folder / TEXT).open("wb") as out:
        written = 0
        for number, path in enumerate(files):
            data = f.read_event_file(path)
            if instrument is None:
                instrument = _instrument(path, data, symbol, tick, lot)
            rows = _rows(path, data, instrument)
            left_out += len(data) - len(rows)
            _check_order(path, rows, newest)
            index, written = _arrange(path, rows, state, out, written)
            index["file"] = number
            messages.append(index)
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                sources.append(SourceFile(str(path), file.tell(), digest, len(data)))
        out.write(bytes(PADDING))
    assert instrument is not None
    index = np.concatenate(messages)
    if len(index) == 0:
        raise BadInput(f"{files[0]}: has no depth and no trade for anybody: there is nothing to fold")
    counted = np.bincount(index["kind"], minlength=len(MessageKind))
    notes = []
    if tick is None or lot is None:
        notes.append(
            f"tick {instrument.tick} and lot {instrument.lot} of {symbol}, taken from the event file where not given"
        )
    if left_out:
        notes.append(f"rows that are neither depth nor trade, have no side, or are for nobody, left out: {left_out}")
    if state[0].forced:
        notes.append(
            f"rows whose exchange time is not before their receive time, held a nanosecond before it: {state[0].forced}"
        )
    refused = sum(int(side.refused) for book in state[0].books for side in book.sides)
    if refused:
        notes.append(f"levels beyond the {BOOK_LEVELS} that a book holds, left out: {refused}")
    meta = CaptureMeta(
        files=sources,
        market=MARKET,
        symbol=symbol,
        instrument=instrument,
        instrument_known=tick is not None and lot is not None,
        counts={name: int(counted[kind]) for kind, name in KIND_NAMES.items()},
        first_recv_ns=int(index["recv_ns"][0]),
        last_recv_ns=int(index["recv_ns"][-1]),
        skew_ns=0,
        timed=len(index),
        cut_lots=0,
        warnings=[],
        notes=notes,
        records=True,
    )
    write_index(folder, index, meta)


# --- rows ------------------------------------------------------------------------------------------------------------


def _instrument(path: Path, data: np.ndarray, symbol: str, tick: str | None, lot: str | None) -> Instrument:
    """The grid that was given, or the finest power of ten on which the first file's values lie."""
    kind = data["ev"] & np.uint64(f.KIND_BITS)
    used = np.isin(kind, (_DEPTH, _TRADE, _SNAPSHOT))

    def step(name: str, given: str | None) -> str:
        if given is not None:
            return given
        values = data[name][used]
        values = values[np.isfinite(values) & (np.abs(values) < 2.0**53)]
        for digits in range(_DECIMALS_MAX + 1):
            scaled = values * 10.0**digits
            if np.all(np.abs(scaled - np.rint(scaled)) <= np.maximum(1e-6, np.abs(scaled) * 1e-15)):
                return f"{10.0**-digits:.{digits}f}"
        option = "--tick" if name == "px" else "--lot"
        raise BadInput(
            f"{path}: {name} lies on no decimal grid down to 1e-{_DECIMALS_MAX}: give the grid with {option}"
        )

    found = Instrument(symbol, step("px", tick), step("qty", lot), MARKET, quote_of(symbol))
    grid_values(found)  # BadInput for a tick or lot that is none
    return found


def _rows(path: Path, data: np.ndarray, instrument: Instrument) -> np.ndarray:
    """ROW[m]: the rows that somebody folds, on the grid. BadInput, naming the first row, for one that nobody could."""
    word = data["ev"]
    kind = (word & np.uint64(f.KIND_BITS)).astype(np.int64)
    viewers = ((word & np.uint64(f.EXCH)) != 0) * 1 + ((word & np.uint64(f.LOCAL)) != 0) * 2
    buy, sell = (word & np.uint64(f.BUY)) != 0, (word & np.uint64(f.SELL)) != 0
    if np.any(bad := np.isin(kind, _ORDER_KINDS) & (viewers > 0)):
        raise _wrong(
            path, bad, lambda k: f"is an order-by-order record (kind {kind[k]}): levels and trades can be folded"
        )
    priced = np.isin(kind, (_DEPTH, _SNAPSHOT, _TRADE)) & (viewers > 0)
    if np.any(bad := priced & buy & sell):
        raise _wrong(path, bad, lambda k: "is for both sides")
    kept_rows = (priced & (buy | sell)) | ((kind == _CLEAR) & (viewers > 0))
    found = np.zeros(len(data), ROW)
    found["kind"], found["viewers"], found["number"] = kind, viewers, np.arange(1, len(data) + 1)
    found["side"] = np.where(buy & ~sell, Side.BUY, np.where(sell & ~buy, Side.SELL, Side.NONE))
    found["exch_ns"], found["recv_ns"] = data["exch_ts"], data["local_ts"]
    for name, bit in (("exch_ns", 1), ("recv_ns", 2)):
        far = kept_rows & ((viewers & bit) != 0) & ((found[name] < 0) | (found[name] >= NEVER_NS))
        if np.any(far):
            times = found[name]
            raise _wrong(path, far, lambda k, times=times: f"has the time {times[k]}, outside 0..{NEVER_NS - 1} ns")  # type: ignore[misc]
    px_digits, px_units, qty_digits, qty_units = grid_values(instrument)
    grid = kept_rows & (priced | np.isfinite(data["px"]))
    found["px"] = _on_grid(path, "px", data["px"], grid, px_digits, px_units, MAX_PRICE_TICKS, "--tick")
    found["qty"] = _on_grid(path, "qty", data["qty"], priced & kept_rows, qty_digits, qty_units, MAX_QTY_LOTS, "--lot")
    if np.any(bad := kept_rows & priced & (found["px"] < 1)):
        raise _wrong(path, bad, lambda k: f"has the price {data['px'][k]}: it must be above 0")
    void = (kind == _TRADE) & (found["qty"] == 0)
    return found[kept_rows & ~void]


def _on_grid(
    path: Path, name: str, values: np.ndarray, used: np.ndarray, digits: int, units: int, most: int, option: str
) -> np.ndarray:
    """Whole steps, int64[n], 0 where a value is not used."""
    if np.any(bad := used & ~np.isfinite(values)):
        raise _wrong(path, bad, lambda k: f"has {name} {values[k]}: it must be finite")
    steps = np.where(used, values, 0.0) * 10.0**digits / units
    if np.any(bad := (steps < 0) | (steps > most)):
        raise _wrong(path, bad, lambda k: f"has {name} {values[k]}, outside 0..{most} steps of the grid")
    if np.any(bad := np.abs(steps - np.rint(steps)) > np.maximum(_OFF_GRID, np.abs(steps) * 1e-14)):
        step = f"{units / 10.0**digits:.{digits}f}"
        raise _wrong(
            path, bad, lambda k: f"has {name} {values[k]!r}, off the grid of {step}: give the right one with {option}"
        )
    return np.rint(steps).astype(np.int64)


def _wrong(path: Path, bad: np.ndarray, text: Callable[[int], str]) -> BadInput:
    k = int(np.argmax(bad))
    count = int(np.count_nonzero(bad))
    return BadInput(f"{path} row {k + 1}: {text(k)}" + (f" (and {count - 1} rows more)" if count > 1 else ""))


def _check_order(path: Path, rows: np.ndarray, newest: dict[str, int]) -> None:
    """BadInput where the exchange's rows, or the strategy's, go back in time. newest: of the files before; brought up to date."""
    for name, bit, whose in (("exch_ns", 1, "exchange"), ("recv_ns", 2, "receiver")):
        seen = rows[(rows["viewers"] & bit) != 0]
        back = np.diff(seen[name], prepend=newest[name]) < 0
        newest[name] = int(seen[name][-1]) if len(seen) else newest[name]
        if np.any(back):
            row = seen[int(np.argmax(back))]
            raise BadInput(
                f"{path} row {row['number']}: the {whose}'s time goes back to {row[name]}: rows must be in its order "
                "(hftbacktest's correct_event_order does it), files in order of time"
            )


# --- messages --------------------------------------------------------------------------------------------------------


@kernel
def _put(out, kind, side, px, qty, flags, exch_ns, recv_ns):
    e = out.records[out.count[0]]
    e.stamp, e.id, e.source_seq, e.code, e.symbol, e.pad = 0, 0, 0, 0, 0, 0
    e.exch_ns, e.recv_ns, e.px_ticks, e.qty_lots = exch_ns, recv_ns, px, qty
    e.kind, e.side, e.flag_bits = kind, side, flags
    out.count[0] += 1


@kernel
def _clear(book, side, px):
    """Delete the levels of a side (0: of both) from its best one to px; px 0: all."""
    for which in (_BUY, _SELL):
        if side != 0 and side != which:
            continue
        best = book_best(book, which)
        while best > 0 and (px == 0 or (best >= px if which == _BUY else best <= px)):
            book_set(book, which, best, 0)
            best = book_best(book, which)


@kernel
def _fold(book, row):
    if row.kind == _CLEAR:
        _clear(book, row.side, row.px)
    elif row.kind != _TRADE:
        book_set(book, row.side, row.px, row.qty)


@kernel
def _whole_book(book, out, flags, exch_ns, recv_ns):
    """A snapshot of a viewer's book. Returns False if it does not fit into one message."""
    if book.sides[0].count + book.sides[1].count + 2 > MESSAGE_EVENTS:
        return False
    _put(out, _E_BEGIN, _NONE, 0, 0, flags, exch_ns, recv_ns)
    for side in (_BUY, _SELL):
        levels = book.sides[side - 1].levels
        for place in range(BOOK_LEVELS):
            if levels[2 * place] != 0:
                _put(out, _E_LEVEL, side, levels[2 * place], levels[2 * place + 1], flags, exch_ns, recv_ns)
    _put(out, _E_END, _NONE, 0, 0, flags | _LAST, exch_ns, recv_ns)
    return True


@kernel
def _end(rows, first):
    """One past the last row of the message that begins with row `first`."""
    a = rows[first]
    end = first + 1
    if a.kind == _TRADE:
        return end
    while end < rows.size and end - first < MESSAGE_EVENTS:
        b = rows[end]
        if b.kind == _TRADE or b.viewers != a.viewers or b.exch_ns != a.exch_ns or b.recv_ns != a.recv_ns:
            break
        end += 1
    return end


@kernel
def _times(s, row):
    """(exch_ns, recv_ns) of a message: its own where somebody sees it, the newest where nobody does."""
    exch, recv = row.exch_ns, row.recv_ns
    if row.viewers == 1:
        recv = max(s.recv_ns, exch + 1)
    elif row.viewers == 2:
        exch = s.exch_ns
    if exch >= recv:
        s.forced += row.viewers == 3
        exch = max(s.exch_ns, recv - 1)
        recv = max(recv, exch + 1)
    s.exch_ns, s.recv_ns = max(s.exch_ns, exch), max(s.recv_ns, recv)
    return s.exch_ns, s.recv_ns


@kernel
def _note(index, message, out, before, written, row, kind, exch_ns, recv_ns):
    """The index entry of the events since `before`. Returns the next message's number."""
    e = index[message]
    size = 8 * _WORDS
    e.offset, e.length = written + before * size, (out.count[0] - before) * size
    e.recv_ns, e.exch_ns, e.line, e.kind = recv_ns, exch_ns, row.number, kind
    return message + 1


@kernel
def arrange(s, rows, first, out, index, first_message, written):
    """Make messages of rows from `first` on, until they are used up or `out` or the index may be too small for another.

    s: ARRANGING. rows: ROW[n]. out: Events. index: INDEX[m]. written: bytes before those in `out`.
    Returns (next row, next message); -1 for the row if a book is too large for a message.
    """
    k, message = first, first_message
    while k < rows.size and message + 4 <= index.size and out.count[0] + 2 * MESSAGE_EVENTS <= out.records.size:
        row = rows[k]
        end = _end(rows, k)
        s.apart = 1 if row.viewers != 3 else s.apart
        exch, recv = _times(s, row)
        flags = _EXCHANGE_ONLY if row.viewers == 1 else _STRATEGY_ONLY if row.viewers == 2 else _NONE
        reload = s.begun == 0
        for i in range(k, end):
            reload = reload or rows[i].kind == _CLEAR or rows[i].kind == _SNAPSHOT
            if (row.viewers & 1) != 0:
                _fold(s.books[0], rows[i])
            if (row.viewers & 2) != 0:
                _fold(s.books[1], rows[i])
        before = out.count[0]
        if reload:
            if s.apart == 0:
                if not _whole_book(s.books[0], out, _NONE, exch, recv):
                    return -1, message
                message = _note(index, message, out, before, written, row, _K_SNAPSHOT, exch, recv)
            for viewer in range(2):
                if s.apart != 0 and ((row.viewers & (1 + viewer)) != 0 or s.begun == 0):
                    before = out.count[0]
                    only = _EXCHANGE_ONLY if viewer == 0 else _STRATEGY_ONLY
                    if not _whole_book(s.books[viewer], out, only, exch, recv):
                        return -1, message
                    message = _note(index, message, out, before, written, row, _K_SNAPSHOT, exch, recv)
            before = out.count[0]
        if row.kind == _TRADE:
            _put(out, _E_TRADE, row.side, row.px, row.qty, flags | _LAST, exch, recv)
            message = _note(index, message, out, before, written, row, _K_TRADE, exch, recv)
        elif not reload:
            for i in range(k, end):
                last = _LAST if i == end - 1 else _NONE
                _put(out, _E_LEVEL, rows[i].side, rows[i].px, rows[i].qty, flags | last, exch, recv)
            message = _note(index, message, out, before, written, row, _K_DEPTH, exch, recv)
        s.begun = 1
        k = end
    return k, message


def _arrange(path: Path, rows: np.ndarray, state: np.recarray, out: IO[bytes], written: int) -> tuple[np.ndarray, int]:
    """Write the messages of a file. Returns its index and how many bytes are written now."""
    events, index = make_events(8 * MESSAGE_EVENTS), np.zeros(1 << 16, INDEX).view(np.recarray)
    found, k = [], 0
    viewed = rows.view(np.recarray)
    while k < len(rows):
        k, messages = arrange(state[0], viewed, k, events, index, 0, written)
        if k < 0:
            raise BadInput(f"{path}: a book of more than {MESSAGE_EVENTS - 2} levels cannot be sent as one snapshot")
        used = events.words[: events.count[0] * _WORDS]
        out.write(used.tobytes())
        written += used.nbytes
        events.count[0] = 0
        found.append(np.asarray(index[:messages]).copy())
    return np.concatenate(found) if found else np.zeros(0, INDEX), written
