"""Reads one Binance market-data message from its bytes: integers out, nothing allocated, nothing trusted.

    {"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":..,"U":..,"u":..,"b":[["61737.63","0.1"],..],"a":[..]}}
    └── combined-stream wrapper, or the inner object bare ──┘   spot; futures add T, pu, ps;  keys in any order

Invariants: a price lies exactly on the grid, or the message is refused; a quantity is whole lots, and what it has beyond
them is counted (venues do show a far level of 25.426189 where the lot is .00001: the rest of a lot cannot be traded). What
is returned with OK is whole: every field that its kind needs was there, once, with the right type, and only white space
follows. Anything else is a `Parse` code, never an exception and never a guess.

The bytes: text[stop] must exist and be a control character (a newline, or the padding of a capture): it ends every inner
loop, so that none of them compares with `stop`.
"""

from enum import IntEnum

import numpy as np

from ringsim.kernel import kernel
from ringsim.limits import MAX_PRICE_TICKS, MAX_QTY_LOTS, MESSAGE_EVENTS
from ringsim.market.jsontext import (
    CLOSE_LIST,
    CLOSE_OBJECT,
    COLON,
    COMMA,
    OPEN_LIST,
    OPEN_OBJECT,
    QUOTE,
    Parse,
    blank,
    read_decimal,
    read_integer,
    same_word,
    skip_value,
    string_end,
)
from ringsim.market.scan import byte, scan
from ringsim.records import Side


class MessageKind(IntEnum):
    """Stored in a capture's index: append, never renumber."""

    OTHER = 0  # sound, but nothing that is folded: another stream, an answer to a subscription
    DEPTH = 1
    TRADE = 2
    BOOK_TICKER = 3
    SNAPSHOT = 4
    BAD = 5
    PREDICTION = 6  # of a generated market; no venue sends one


KIND_NAMES = {  # as the venue and the summary call them
    MessageKind.DEPTH: "depth",
    MessageKind.TRADE: "trade",
    MessageKind.BOOK_TICKER: "bookTicker",
    MessageKind.SNAPSHOT: "snapshot",
    MessageKind.OTHER: "other",
    MessageKind.BAD: "bad",
}

MESSAGE_LEVELS = MESSAGE_EVENTS - 2  # a snapshot's begin and end are events too

PARSE_WORDS = {
    Parse.SYNTAX: "is no JSON object",
    Parse.SHAPE: "has a field of the wrong type, or one twice",
    Parse.MISSING: "lacks a field that its kind needs",
    Parse.OFF_GRID: "has a price off the instrument's grid",
    Parse.RANGE: "has a number out of range",
    Parse.LEVELS: f"has more than {MESSAGE_LEVELS} levels",
}

MESSAGE = np.dtype(
    [
        ("kind", "i8"),
        ("exch_ns", "i8"),  # E; 0 if the message has none
        ("first_id", "i8"),  # U of a diff
        ("last_id", "i8"),  # u of a diff or ticker; lastUpdateId
        ("before_id", "i8"),  # the update id that this diff follows: pu, or U - 1 where there is none
        ("futures", "i8"),  # 1: has pu
        ("trade_id", "i8"),
        ("px_ticks", "i8"),  # trade
        ("qty_lots", "i8"),
        ("aggressor", "i8"),  # trade: a Side
        ("bid_ticks", "i8"),  # bookTicker
        ("bid_lots", "i8"),
        ("ask_ticks", "i8"),
        ("ask_lots", "i8"),
        ("cut_lots", "i8"),  # quantities that had a part below one lot
        ("levels", "i8"),  # how many of the next are used
        ("level", "i8", (MESSAGE_LEVELS, 3)),  # side, ticks, lots
    ]
)


def make_scratch() -> np.recarray:
    """Room for one parsed message: a MESSAGE recarray[1]."""
    return np.zeros(1, MESSAGE).view(np.recarray)


_OTHER, _DEPTH, _TRADE, _TICKER, _SNAPSHOT = (
    int(k)
    for k in (
        MessageKind.OTHER,
        MessageKind.DEPTH,
        MessageKind.TRADE,
        MessageKind.BOOK_TICKER,
        MessageKind.SNAPSHOT,
    )
)
_OK, _SYNTAX, _SHAPE, _MISSING, _OFF_GRID, _RANGE, _LEVELS = (int(c) for c in Parse)
_BUY, _SELL = int(Side.BUY), int(Side.SELL)

_DEPTH_UPDATE, _TRADE_WORD, _TICKER_WORD = (
    np.frombuffer(w, np.uint8) for w in (b"depthUpdate", b"trade", b"bookTicker")
)
_DATA, _LAST_UPDATE_ID, _BIDS, _ASKS = (
    np.frombuffer(w, np.uint8) for w in (b"data", b"lastUpdateId", b"bids", b"asks")
)

# Which fields were there. A kind needs its own.
(_F_EVENT, _F_E, _F_FIRST, _F_LAST, _F_PREVIOUS, _F_BIDS, _F_ASKS, _F_TRADE, _F_PX, _F_QTY, _F_MAKER) = (
    1 << k for k in range(11)
)
(_F_BID_PX, _F_BID_QTY, _F_ASK_PX, _F_ASK_QTY, _F_SNAPSHOT, _F_SNAPSHOT_BIDS, _F_SNAPSHOT_ASKS) = (
    1 << k for k in range(11, 18)
)
_F_BUYER, _F_SELLER = 1 << 18, 1 << 19  # order ids, which older trades carry as b and a
_NEED_DEPTH = _F_E | _F_FIRST | _F_LAST | _F_BIDS | _F_ASKS
_NEED_TRADE = _F_E | _F_TRADE | _F_PX | _F_QTY | _F_MAKER
_NEED_TICKER = _F_LAST | _F_BID_PX | _F_BID_QTY | _F_ASK_PX | _F_ASK_QTY
_NEED_SNAPSHOT = _F_SNAPSHOT | _F_SNAPSHOT_BIDS | _F_SNAPSHOT_ASKS

# An E is milliseconds or microseconds of this era; between them lies nothing, and above it no int64 of nanoseconds.
_MS_MAX, _US_MIN, _US_MAX = 9 * 10**12, 10**14, 9 * 10**15


@kernel
def _price(t, i, grid):
    """A price on the grid: ticks >= 0. Returns (ticks, place after) or (-code, i)."""
    value, fine, i = read_decimal(t, i, grid.px_digits, grid.px_units, MAX_PRICE_TICKS)
    return np.int64(-_OFF_GRID) if fine != 0 and value >= 0 else value, i


@kernel
def _quantity(t, i, grid, m):
    """A quantity in whole lots: a part of a lot cannot be traded; it is cut off and counted. (lots, after) or (-code, i)."""
    value, fine, i = read_decimal(t, i, grid.qty_digits, grid.qty_units, MAX_QTY_LOTS)
    m.cut_lots += fine
    return value, i


@kernel
def _level_list(t, i, stop, side, grid, m):
    """The levels of one side, i at the opening bracket, into levels[m.levels:].

    Returns (0, place after the closing bracket), or (-code, i).
    """
    n = m.levels
    i = blank(t, i + 1, stop)
    if byte(t, i) == CLOSE_LIST:
        return np.int64(0), i + 1
    while True:
        if byte(t, i) != OPEN_LIST:
            return np.int64(-_SHAPE), i
        px, i = _price(t, blank(t, i + 1, stop), grid)
        if px <= 0:
            return np.int64(-_RANGE) if px == 0 else px, i
        i = blank(t, i, stop)
        if byte(t, i) != COMMA:
            return np.int64(-_SHAPE), i
        qty, i = _quantity(t, blank(t, i + 1, stop), grid, m)
        if qty < 0:
            return qty, i
        i = blank(t, i, stop)
        if byte(t, i) != CLOSE_LIST:
            return np.int64(-_SHAPE), i
        if n >= MESSAGE_LEVELS:
            return np.int64(-_LEVELS), i
        m.level[n, 0], m.level[n, 1], m.level[n, 2] = side, px, qty
        n += 1
        i = blank(t, i + 1, stop)
        if byte(t, i) == COMMA:
            i = blank(t, i + 1, stop)
        elif byte(t, i) == CLOSE_LIST:
            m.levels = n
            return np.int64(0), i + 1
        else:
            return np.int64(-_SHAPE), i


@kernel
def _event_kind(t, i, n):
    """MessageKind of the value of "e"."""
    if same_word(t, i, n, _TICKER_WORD):
        return _TICKER
    if same_word(t, i, n, _TRADE_WORD):
        return _TRADE
    if same_word(t, i, n, _DEPTH_UPDATE):
        return _DEPTH
    return _OTHER


@kernel
def _exchange_time(value):
    """Nanoseconds of an E in milliseconds or microseconds; -code if it is out of range, or was none."""
    if value < 0:
        return value
    if value <= _MS_MAX:
        return value * 1_000_000
    return value * 1_000 if _US_MIN <= value <= _US_MAX else np.int64(-_RANGE)


@kernel
def _side_field(t, key, i, stop, grid, m):
    """The fields b, a: the levels of a diff, or a ticker's best price. Returns as _short_field does."""
    bid = key == 98
    if byte(t, i) == OPEN_LIST:
        code, i = _level_list(t, i, stop, _BUY if bid else _SELL, grid, m)
        return np.int64(_F_BIDS if bid else _F_ASKS), code, i
    if byte(t, i) != QUOTE:
        return np.int64(_F_BUYER if bid else _F_SELLER), np.int64(0), skip_value(t, i, stop)
    value, i = _price(t, i, grid)
    if bid:
        m.bid_ticks = value
    else:
        m.ask_ticks = value
    return np.int64(_F_BID_PX if bid else _F_ASK_PX), min(value, np.int64(0)), i


@kernel
def _quantity_field(t, key, i, grid, m):
    """The fields p (a price), q, B, A (quantities). Returns as _short_field does."""
    if key == 112:
        value, i = _price(t, i, grid)
        m.px_ticks, bit = value, np.int64(_F_PX)
        return bit, min(value, np.int64(0)), i
    value, i = _quantity(t, i, grid, m)
    if key == 113:
        m.qty_lots, bit = value, np.int64(_F_QTY)
    elif key == 66:
        m.bid_lots, bit = value, np.int64(_F_BID_QTY)
    else:
        m.ask_lots, bit = value, np.int64(_F_ASK_QTY)
    return bit, min(value, np.int64(0)), i


@kernel
def _number_field(t, key, i, m):
    """The fields E, U, u, t. Returns as _short_field does."""
    value, i = read_integer(t, i)
    if key == 69:
        value = _exchange_time(value)
        m.exch_ns, bit = value, np.int64(_F_E)
    elif key == 85:
        m.first_id, bit = value, np.int64(_F_FIRST)
    elif key == 117:
        m.last_id, bit = value, np.int64(_F_LAST)
    else:
        m.trade_id, bit = value, np.int64(_F_TRADE)
    return bit, min(value, np.int64(0)), i


@kernel
def _short_field(t, key, i, stop, grid, m):
    """A field with a key of one letter, its value at i.

    Returns (its bit, or 0 if nobody needs it; 0 or -code; place after it). Of a refused value the place says nothing.
    """
    if key == 98 or key == 97:  # b a
        return _side_field(t, key, i, stop, grid, m)
    if key == 112 or key == 113 or key == 66 or key == 65:  # p q B A
        return _quantity_field(t, key, i, grid, m)
    if key == 69 or key == 85 or key == 117 or key == 116:  # E U u t
        return _number_field(t, key, i, m)
    if key == 101:  # e
        end = np.int64(-1) if byte(t, i) != QUOTE else string_end(t, i + 1)
        if end < 0:
            m.kind = _OTHER
            return np.int64(_F_EVENT), np.int64(0), skip_value(t, i, stop)
        m.kind = _event_kind(t, i + 1, end - i - 1)
        return np.int64(_F_EVENT), np.int64(0), end + 1
    if key == 109:  # m: the buyer is the maker
        if byte(t, i) == 116 and byte(t, i + 1) == 114:
            m.aggressor = _SELL
        elif byte(t, i) == 102 and byte(t, i + 1) == 97:
            m.aggressor = _BUY
        else:
            return np.int64(_F_MAKER), np.int64(-_SHAPE), i
        return np.int64(_F_MAKER), np.int64(0), skip_value(t, i, stop)
    return np.int64(0), np.int64(0), skip_value(t, i, stop)


@kernel
def _long_field(t, start, n, i, stop, grid, m):
    """A field with a longer key: the n bytes at `start`. Returns as _short_field does."""
    if n == 2 and byte(t, start) == 112 and byte(t, start + 1) == 117:  # pu
        value, i = read_integer(t, i)
        m.before_id = value
        return np.int64(_F_PREVIOUS), min(value, np.int64(0)), i
    if same_word(t, start, n, _LAST_UPDATE_ID):
        value, i = read_integer(t, i)
        m.last_id = value
        return np.int64(_F_SNAPSHOT), min(value, np.int64(0)), i
    bids = same_word(t, start, n, _BIDS)
    if bids or same_word(t, start, n, _ASKS):
        bit = np.int64(_F_SNAPSHOT_BIDS if bids else _F_SNAPSHOT_ASKS)
        if byte(t, i) != OPEN_LIST:
            return bit, np.int64(-_SHAPE), i
        code, i = _level_list(t, i, stop, _BUY if bids else _SELL, grid, m)
        return bit, code, i
    return np.int64(0), np.int64(0), skip_value(t, i, stop)


@kernel
def _conclude(m, seen, wrapped, wrong):
    """Which kind the fields make, and whether it is whole. Returns a Parse code."""
    if seen & _F_EVENT == 0:
        m.kind = _OTHER
        if seen & _F_SNAPSHOT != 0:
            # Inside a wrapper it comes from a partial-depth stream: the top few levels, no snapshot of the book.
            m.kind = _OTHER if wrapped else _SNAPSHOT
        elif seen & _F_LAST != 0 and seen & (_F_BID_QTY | _F_ASK_QTY) != 0:
            m.kind = _TICKER  # spot's has no "e"
    if m.kind == _OTHER:
        return _OK
    if wrong != _OK:
        return wrong
    need = _NEED_SNAPSHOT
    if m.kind == _DEPTH:
        need = _NEED_DEPTH
    elif m.kind == _TRADE:
        need = _NEED_TRADE
    elif m.kind == _TICKER:
        need = _NEED_TICKER
    if seen & need != need:
        return _MISSING
    if (m.kind == _DEPTH or m.kind == _TICKER) and seen & (_F_BUYER | _F_SELLER) != 0:
        return _SHAPE
    if m.kind == _DEPTH:
        m.futures = 1 if seen & _F_PREVIOUS != 0 else 0
        if m.futures == 0:
            m.before_id = m.first_id - 1
        if m.first_id > m.last_id or m.before_id > m.last_id:
            return _RANGE
    return _OK


@kernel
def parse_message(text, start, stop, grid, m):
    """Read the message text[start:stop] into m. Returns a Parse code; m.kind is set where it is OK.

    text: uint8[], text[stop] a control character. grid: a GRID record. m: a MESSAGE record.
    A kind that is not folded is OK with kind OTHER, whatever else is in it.
    """
    t = scan(text)
    m.kind, m.exch_ns, m.levels, m.cut_lots = _OTHER, 0, 0, 0
    i = blank(t, start, stop)
    if byte(t, i) != OPEN_OBJECT:
        return _SYNTAX
    i += 1
    level, wrapped, opened = 1, False, True
    seen, wrong = np.int64(0), np.int64(_OK)
    while level > 0:
        i = blank(t, i, stop)
        if byte(t, i) == CLOSE_OBJECT:
            level -= 1
            i += 1
            opened = False
            continue
        if not opened:
            if byte(t, i) != COMMA:
                return _SYNTAX
            i = blank(t, i + 1, stop)
        opened = False
        if byte(t, i) != QUOTE:
            return _SYNTAX
        key = i + 1
        end = string_end(t, key)
        if end < 0:
            return _SYNTAX
        i = blank(t, end + 1, stop)
        if byte(t, i) != COLON:
            return _SYNTAX
        i = blank(t, i + 1, stop)
        if level == 1 and not wrapped and byte(t, i) == OPEN_OBJECT and same_word(t, key, end - key, _DATA):
            level, wrapped, opened = 2, True, True
            i += 1
            continue
        value = i
        if end - key == 1:
            bit, code, i = _short_field(t, byte(t, key), i, stop, grid, m)
        else:
            bit, code, i = _long_field(t, key, end - key, i, stop, grid, m)
        if code < 0:
            i = skip_value(t, value, stop)
        if wrong == _OK and (code < 0 or seen & bit != 0):
            wrong = np.int64(-code if code < 0 else _SHAPE)
        seen |= bit
        if i < 0:
            return _SYNTAX
    if blank(t, i, stop) != stop:
        return _SYNTAX
    return _conclude(m, seen, wrapped, wrong)
