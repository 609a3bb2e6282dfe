"""LOBSTER files, order by order: messages of one day at NASDAQ, and the book after each of them.

    MSG.csv   time,type,order id,size,price,direction      BOOK.csv   ask,size,bid,size,ask,size,...   a row a message
    type      1 new  2 part of it cancelled  3 deleted  4 executed  5 executed, hidden  6 auction  7 trading halted or resumed

    row ──> Replay: a queue of orders a level ──> TRADE (4, 5), LEVEL (1 - 4) ──> market.records

Time is seconds after midnight, price 1e-4 of the currency, direction the side of the resting order. The replay begins with the
first row of BOOK.csv, whose quantities belong to orders nobody has named: they stand ahead of all that come later, in one block.
Without BOOK.csv it begins with an empty book. From then on the book comes from the messages alone: BOOK.csv is compared with it
(market.lobstercheck), never copied.

A queue stands in the order of the orders' numbers: NASDAQ gives them as orders are entered, and what was entered before the
open and joins the book at 9:30 keeps its place. (By arrival, 50 of the 160 visible executions of the MSFT excerpt would have
met somebody ahead of them; by number four do.)

An event names its order (MARKET_EVENT.id): UNNAMED_ORDER is one of the block, HIDDEN_ORDER one that was not displayed. Events of
the snapshot have the first message's number: it had been given by then.

Invariants: a level's quantity is the block plus the orders in its queue; a level changes by one order at a time; a trade is
published before the level that it leaves.
"""

import gzip
import hashlib
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ringsim.errors import BadInput
from ringsim.limits import MAX_PRICE_TICKS, MAX_QTY_LOTS
from ringsim.market.capture import Capture, SourceFile, session_key
from ringsim.market.instruments import LOBSTER, find_instrument
from ringsim.market.records import RecordWriter, keep_records
from ringsim.records import HIDDEN_ORDER, MARKET_EVENT, UNNAMED_ORDER, EventFlag, EventKind, Side
from ringsim.units import Instrument

NEW, REDUCED, DELETED, EXECUTED, HIDDEN, AUCTION, HALT = range(1, 8)
PRICE_DIGITS = 4
DUMMY_PRICE = 9_999_999_999  # price of a level that is not there, either sign
_DAY_S = 86_400
_PART = 1 << 16  # events handed on at once
_DESCRIBED = 60  # characters of a wrong row


class Message(NamedTuple):
    """A row. time_ns: after midnight. price: units of 1e-4. side: of the resting order; row: from 1."""

    row: int
    time_ns: int
    type: int
    order_id: int
    size: int
    price: int
    side: Side


class Trade(NamedTuple):
    """What was executed. ahead: lots that stood before it in its queue; better: whether a better price rested on its side."""

    price: int
    size: int
    aggressor: Side
    ahead: int
    better: bool
    visible: bool


class Level:
    """A price's queue: the block of unnamed orders first, then orders by their number."""

    def __init__(self, block: int = 0) -> None:
        self.block = block
        self.orders: dict[int, int] = {}

    @property
    def size(self) -> int:
        return self.block + sum(self.orders.values())


class Replay:
    """The book, order by order. `unknown` counts messages on orders that no level can have held."""

    def __init__(self, row: Sequence[int] = ()) -> None:
        """row: of BOOK.csv, the book to begin with."""
        self.levels: dict[Side, dict[int, Level]] = {Side.BUY: {}, Side.SELL: {}}
        self.unknown = 0
        for side, first in ((Side.SELL, 0), (Side.BUY, 2)):
            for price, size in zip(row[first::4], row[first + 1 :: 4], strict=True):
                if abs(price) < DUMMY_PRICE and size > 0:
                    self.levels[side][price] = Level(size)

    def name(self, message: Message) -> None:
        """The message belongs to the first row already: its new order is the last one of its level's block."""
        level = self.levels[message.side].get(message.price)
        if message.type == NEW and level is not None and level.block >= message.size:
            level.block -= message.size
            level.orders[message.order_id] = message.size

    def number(self, message: Message) -> int:
        """The number of the order that a message is about, before it is folded."""
        if message.type == HIDDEN:
            return HIDDEN_ORDER
        level = self.levels[message.side].get(message.price)
        named = message.type == NEW or (level is not None and message.order_id in level.orders)
        return message.order_id if named else UNNAMED_ORDER

    def best(self, side: Side) -> int:
        """Best price of a side, 0 if it is empty."""
        prices = self.levels[side]
        return (max(prices) if side == Side.BUY else min(prices)) if prices else 0

    def fold(self, message: Message) -> Trade | None:
        """Apply a message; the trade that it is, if it is one."""
        side, price = message.side, message.price
        if message.type == NEW:
            level = self.levels[side].setdefault(price, Level())
            level.orders[message.order_id] = level.orders.get(message.order_id, 0) + message.size
        elif message.type in (REDUCED, DELETED):
            self._take(message)
        elif message.type == EXECUTED:
            ahead, best = self._ahead(message), self.best(side)
            self._take(message)
            return Trade(price, message.size, _other(side), ahead, best != price, True)
        elif message.type == HIDDEN:
            return Trade(price, message.size, _other(side), 0, False, False)
        return None

    def _ahead(self, message: Message) -> int:
        level = self.levels[message.side].get(message.price)
        if level is None or message.order_id not in level.orders:
            return 0  # of the block: nobody knows where in it
        return level.block + sum(size for order_id, size in level.orders.items() if order_id < message.order_id)

    def _take(self, message: Message) -> None:
        """Its size goes, from its order or from the block."""
        levels = self.levels[message.side]
        level = levels.get(message.price)
        if level is None:
            self.unknown += 1
            return
        size = level.orders.get(message.order_id)
        if size is None:
            self.unknown += level.block < message.size
            level.block = max(0, level.block - message.size)
        elif size > message.size and message.type != DELETED:
            level.orders[message.order_id] = size - message.size
        else:
            del level.orders[message.order_id]
        if level.block == 0 and not level.orders:
            del levels[message.price]


def _other(side: Side) -> Side:
    return Side.SELL if side == Side.BUY else Side.BUY


# --- files -----------------------------------------------------------------------------------------------------------


def read_rows(path: Path) -> tuple[list[bytes], SourceFile]:
    """The lines of a file, plain or gzip, without blank ones at its end. BadInput, one line, for what cannot be read."""
    try:
        data = path.read_bytes()
        text = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror or error}") from None
    except (EOFError, zlib.error):
        raise BadInput(f"{path}: its gzip data is damaged; nothing of it was used, get the file again") from None
    rows = text.rstrip().split(b"\n") if text.strip() else []
    if not rows:
        raise BadInput(f"{path}: is empty; LOBSTER message rows are time,type,order id,size,price,direction")
    return rows, SourceFile(str(path), len(data), hashlib.sha256(data).hexdigest(), len(rows))


def read_messages(path: Path, rows: Iterable[bytes]) -> Iterator[Message]:
    """The messages of a file. BadInput, with the line, for a row that is none or goes back in time."""
    last_ns = 0
    for number, row in enumerate(rows, 1):
        message = _message(number, row.strip())
        if isinstance(message, str):
            raise BadInput(f"{path} line {number}: {message}: {row[:_DESCRIBED].decode('latin-1')!r}")
        if message.time_ns < last_ns:
            raise BadInput(f"{path} line {number}: its time lies before that of the row above")
        last_ns = message.time_ns
        yield message


_ROW = re.compile(rb"(\d+)(?:\.(\d+))?,(\d+),(\d+),(\d+),(-?\d+),(-?1)(?:,.*)?")


def _message(number: int, row: bytes) -> Message | str:
    """A row, or what is wrong with it."""
    found = _ROW.fullmatch(row)
    if found is None or len(row) > 200:
        return "is no message row: time,type,order id,size,price,direction"
    seconds, part, *others = found.groups()
    time_ns = int(seconds) * 10**9 + int((part or b"0")[:9].ljust(9, b"0"))
    kind, order_id, size, price, direction = map(int, others)
    if not NEW <= kind <= HALT:
        return f"has the type {kind}, which LOBSTER has not"
    if time_ns >= _DAY_S * 10**9:
        return "has a time after midnight"
    if kind < HIDDEN and order_id >= HIDDEN_ORDER:
        return "has an order number out of range"
    if kind < AUCTION and not (0 < price <= MAX_PRICE_TICKS and 0 < size <= MAX_QTY_LOTS):
        return "has a price or size out of range"
    return Message(number, time_ns, kind, order_id, size, price, Side.BUY if direction > 0 else Side.SELL)


def read_book(path: Path, rows: Iterable[bytes]) -> Iterator[list[int]]:
    """The rows of a book file. BadInput, with the line, for one that is none."""
    for number, row in enumerate(rows, 1):
        try:
            found = list(map(int, row.split(b",")))
        except ValueError:
            found = []
        if not found or len(found) % 4:
            raise BadInput(f"{path} line {number}: is no book row: ask,size,bid,size for each level")
        yield found


def day_of(path: Path) -> int | None:
    """Midnight (ns since the epoch, as if UTC) of the date in a file's name; None without one."""
    found = re.search(r"\d{4}-\d{2}-\d{2}", path.name)
    try:
        return int(datetime.fromisoformat(found[0]).replace(tzinfo=UTC).timestamp()) * 10**9 if found else None
    except ValueError:
        return None


def symbol_of(path: Path) -> str:
    """AAPL of AAPL_2012-06-21_34200000_57600000_message_10.csv."""
    return re.split(r"[_.]", path.name)[0] or "LOBSTER"


# --- preparing -------------------------------------------------------------------------------------------------------


def prepare_lobster(
    files: Sequence[Path], instruments: Iterable[Instrument] = (), latency_ns: int = 1_000_000
) -> Capture:
    """The session in MSG.csv, with the book that BOOK.csv begins with, from the cache or prepared now.

    files: one or two. latency_ns: from the exchange to the receiver, >= 1. Raises BadInput, one line.
    """
    if len(files) > 2:
        raise BadInput(f"source lobster: takes MSG.csv and perhaps BOOK.csv, not {len(files)} files")
    more = list(instruments)
    key = session_key(files, __file__, [more, latency_ns])
    return keep_records(key, lambda writer: _write(writer, files, more, latency_ns))


def _write(writer: RecordWriter, files: Sequence[Path], more: list[Instrument], latency_ns: int) -> None:
    rows, source = read_rows(files[0])
    sources, first_row = [source], []
    if len(files) == 2:
        book_rows, book_source = read_rows(files[1])
        sources.append(book_source)
        if len(book_rows) != len(rows):
            raise BadInput(f"{files[1]}: has {len(book_rows)} rows where {files[0].name} has {len(rows)} messages")
        first_row = next(read_book(files[1], book_rows))
    messages = list(read_messages(files[0], rows))
    symbol = symbol_of(files[0])
    prices = [m.price for m in messages if m.type < AUCTION] + [p for p in first_row[::2] if abs(p) < DUMMY_PRICE]
    cents = all(price % 100 == 0 for price in prices)
    instrument = find_instrument(symbol, LOBSTER, more) or Instrument(
        symbol, "0.01" if cents else "0.0001", "1", LOBSTER, "USD"
    )
    midnight = day_of(files[0])
    events = _events(messages, first_row, _ticks(instrument, files[0]), midnight or 0, latency_ns)
    for part in events:
        writer.add(part)
    notes = ["LOBSTER times are those of the exchange's day, taken as UTC"]
    if midnight is None:
        notes.append(f"{files[0].name} names no date: its day is 1970-01-01")
    if len(files) == 1:
        notes.append("no BOOK.csv: the book begins empty, and orders from before the first message are not in it")
    others = sum(m.type in (AUCTION, HALT) for m in messages)
    if others:
        notes.append(f"auctions and trading halts, which are no events here: {others}")
    writer.finish(instrument, sources, notes)


def _ticks(instrument: Instrument, path: Path):
    """price in 1e-4 -> ticks; lots are shares."""
    step = instrument.ticks("1")  # ticks in one currency unit
    if instrument.lots("1") != 1:
        raise BadInput(f"{instrument.symbol}: the lot of a LOBSTER instrument must be 1 share, not {instrument.lot}")

    def ticks(price: int) -> int:
        whole, rest = divmod(price * step, 10**PRICE_DIGITS)
        if rest:
            raise BadInput(f"{path}: the price {price / 10**PRICE_DIGITS} is off the tick of {instrument.tick}")
        return whole

    return ticks


def _events(
    messages: list[Message], first_row: Sequence[int], ticks, midnight: int, latency_ns: int
) -> Iterator[np.ndarray]:
    """MARKET_EVENT arrays of whole messages."""
    replay, found = Replay(first_row), []

    def event(m: Message, kind: EventKind, side: Side, price: int, size: int, number: int, last: bool) -> None:
        exch = midnight + m.time_ns
        flag = int(EventFlag.LAST) if last else 0
        found.append((0, exch, exch + latency_ns, price, size, number, 0, 0, 0, int(kind), int(side), flag, 0))

    first = messages[0]
    given = first.order_id if first_row and first.type <= EXECUTED else UNNAMED_ORDER
    event(first, EventKind.SNAPSHOT_BEGIN, Side.NONE, 0, 0, given, False)
    for side, levels in replay.levels.items():
        for price, level in levels.items():
            event(first, EventKind.LEVEL, side, ticks(price), level.size, given, False)
    event(first, EventKind.SNAPSHOT_END, Side.NONE, 0, 0, given, True)
    for m in messages:
        before = m is first and bool(first_row)
        if before:
            replay.name(m)
        number = replay.number(m)
        trade = None if before and m.type != HIDDEN else replay.fold(m)
        if trade is not None:
            event(m, EventKind.TRADE, trade.aggressor, ticks(trade.price), trade.size, number, True)
        if m.type <= EXECUTED and not before:
            left = replay.levels[m.side].get(m.price)
            event(m, EventKind.LEVEL, m.side, ticks(m.price), left.size if left else 0, number, True)
        if len(found) >= _PART:
            yield np.array(found, MARKET_EVENT)
            found.clear()
    yield np.array(found, MARKET_EVENT)
