"""The parser: exact numbers, keys in any order, and a code for whatever is not right."""

import json
import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringsim.errors import BadInput
from ringsim.limits import MAX_PRICE_TICKS, MESSAGE_EVENTS
from ringsim.market.binance import MessageKind, make_scratch, parse_message
from ringsim.market.instruments import KNOWN, find_instrument, grid_values, infer_instrument, make_grid, quote_of
from ringsim.market.jsontext import Parse
from ringsim.market.scan import PADDING, byte, digits8, scan
from ringsim.records import Side
from ringsim.units import Instrument
from tests.naive.feed import BadMessage, NaiveFeed
from tests.sessions import SPOT, USDM, session
from tests.unit.market.kernels import digits_at

SCRATCH = make_scratch()
KINDS = {"depthUpdate": MessageKind.DEPTH, "trade": MessageKind.TRADE, "bookTicker": MessageKind.BOOK_TICKER}
KINDS |= {"snapshot": MessageKind.SNAPSHOT, "other": MessageKind.OTHER}


def parse(raw, one=KNOWN[0], before=b"", after=b""):
    """(code, the message record) of bytes that lie somewhere in a text."""
    text = np.frombuffer(before + raw + b"\n" + after + bytes(PADDING), np.uint8)
    code = parse_message(text, len(before), len(before) + len(raw), make_grid(one)[0], SCRATCH[0])
    return Parse(code), SCRATCH[0]


def levels(m):
    return [tuple(row) for row in m.level[: m.levels].tolist()]


def fields(m):
    """What the naive parser would return."""
    match MessageKind(int(m.kind)):
        case MessageKind.DEPTH:
            return (m.exch_ns, m.before_id, m.last_id, levels(m))
        case MessageKind.SNAPSHOT:
            return (m.exch_ns, m.last_id, levels(m))
        case MessageKind.TRADE:
            return (m.exch_ns, m.trade_id, m.aggressor, m.px_ticks, m.qty_lots)
        case MessageKind.BOOK_TICKER:
            return (m.exch_ns, m.last_id, (m.bid_ticks, m.bid_lots), (m.ask_ticks, m.ask_lots))


text8 = st.binary(min_size=8, max_size=8) | st.from_regex(rb"[0-9]{0,8}[\".:0-9]*", fullmatch=True).map(
    lambda b: (b + bytes(8))[:8]
)


@given(text8, st.integers(0, 8))
def test_eight_digits_at_once_are_the_digits_one_by_one(eight, most):
    text = np.frombuffer(b"x" + eight + bytes(PADDING), np.uint8)
    assert digits_at(text, 1, most) == digits8(text, 1, most)
    assert byte(text, 1) == eight[0]


def test_a_scanned_text_is_the_text_when_compilation_is_off():
    text = np.frombuffer(b"abc", np.uint8)
    assert scan(text) is text


decimals = st.tuples(st.integers(0, 10**9), st.text("0123456789", max_size=11)).map(
    lambda parts: f"{parts[0]}.{parts[1]}" if parts[1] else str(parts[0])
)
steps = st.sampled_from(["0.01", "0.05", "0.25", "1", "10", "5", "0.1", "0.00000001", "0.00001", "1E+2", "0.0125"])


@given(px=decimals, qty=decimals, tick=steps, lot=steps)
def test_a_price_is_exact_or_refused_and_a_quantity_is_whole_lots(px, qty, tick, lot):
    raw = b'{"e":"trade","E":1,"t":7,"p":"%s","q":"%s","m":true}' % (px.encode(), qty.encode())
    code, m = parse(raw, Instrument("X", tick, lot))
    ticks, lots = Fraction(px) / Fraction(tick), Fraction(qty) / Fraction(lot)
    if ticks.denominator != 1 and int(ticks) <= MAX_PRICE_TICKS:
        assert code is Parse.OFF_GRID
    elif ticks > MAX_PRICE_TICKS or int(lots) > MAX_PRICE_TICKS:
        assert code in (Parse.RANGE, Parse.OFF_GRID)
    else:
        assert code is Parse.OK
        assert (m.px_ticks, m.qty_lots, m.cut_lots) == (ticks, int(lots), lots.denominator != 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "1.",
        ".5",
        "-1",
        "+1",
        "1e5",
        " 1",
        "1 ",
        "1,5",
        "0x1",
        "1.2.3",
        "٣",
        "NaN",
        "1_0",
        "99999999999999999999",
    ],
)
def test_what_is_no_plain_decimal_is_refused(text):
    raw = b'{"e":"trade","E":1,"t":7,"p":"%s","q":"1","m":true}' % text.encode()
    assert parse(raw)[0] in (Parse.SHAPE, Parse.RANGE, Parse.OFF_GRID)


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), market=st.sampled_from([SPOT, USDM]), spaced=st.booleans())
def test_every_message_is_read_as_json_reads_it_in_any_order_of_keys(seed, market, spaced):
    chance = random.Random(seed)
    one = find_instrument("BTCUSDT", market)
    naive = NaiveFeed(market == USDM, one.tick, one.lot, 0)
    for message in chance.sample(session(seed, market, steps=12), 12):
        keys = list(message.body)
        chance.shuffle(keys)
        body = {key: message.body[key] for key in keys}
        whole = body if message.kind == "snapshot" else {"data": body, "stream": "x@y"}
        raw = json.dumps(whole, indent=1 if spaced else None).encode()
        code, m = parse(raw, one, before=b'17 {"u":1}\n17 ', after=b'18 {"e":"trade"}')
        kind, expected = naive.parse(raw)
        assert code is Parse.OK and m.kind == KINDS[kind]
        assert fields(m) == expected


@settings(max_examples=300)
@given(
    seed=st.integers(0, 200),
    market=st.sampled_from([SPOT, USDM]),
    where=st.floats(0, 1),
    new=st.integers(32, 126),
    cut=st.booleans(),
)
def test_one_wrong_byte_never_becomes_a_wrong_number(seed, market, where, new, cut):
    """Whatever JSON still accepts, the parser reads as JSON does, or refuses; what JSON refuses never crashes it."""
    chance = random.Random(seed)
    one = find_instrument("BTCUSDT", market)
    message = chance.choice(session(seed % 7, market, steps=8))
    raw = bytearray(message.line().partition(b" ")[2].rstrip())
    at = int(where * (len(raw) - 1))
    raw[at] = new
    raw = bytes(raw[: at + 1] if cut else raw)
    code, m = parse(raw, one)
    try:
        json.loads(raw)
    except ValueError:
        return
    naive = NaiveFeed(market == USDM, one.tick, one.lot, 0)
    try:
        kind, expected = naive.parse(raw)
    except BadMessage:
        assert code is not Parse.OK or m.kind in (
            MessageKind.OTHER,
            MessageKind.DEPTH,
        )  # a diff's market is the fold's to check
        return
    assert code is Parse.OK and m.kind == KINDS[kind]
    if kind != "other":
        assert fields(m) == expected


TRADE = {"e": "trade", "E": 1, "s": "BTCUSDT", "t": 5, "p": "1.00", "q": "1", "m": True}
DEPTH = {"e": "depthUpdate", "E": 1, "s": "BTCUSDT", "U": 5, "u": 6, "b": [["1.00", "1"]], "a": []}


@pytest.mark.parametrize(
    "body, code",
    [
        ([TRADE], Parse.SYNTAX),
        ({**TRADE, "t": "5"}, Parse.SHAPE),
        ({**TRADE, "t": -5}, Parse.RANGE),
        ({**TRADE, "t": 5.5}, Parse.SHAPE),
        ({**TRADE, "t": 10**18}, Parse.RANGE),
        ({**TRADE, "m": None}, Parse.SHAPE),
        ({**TRADE, "p": 1.0}, Parse.SHAPE),
        ({**TRADE, "E": 10**17}, Parse.RANGE),
        ({k: v for k, v in TRADE.items() if k != "q"}, Parse.MISSING),
        ({**TRADE, "b": 88, "a": 50}, Parse.OK),  # order ids, in older recordings
        ({**DEPTH, "b": "1.00"}, Parse.MISSING),
        ({**DEPTH, "b": 1}, Parse.MISSING),
        ({**TRADE, "E": 9_700_000_001_391}, Parse.RANGE),
        ({**DEPTH, "b": [["1.00"]]}, Parse.SHAPE),
        ({**DEPTH, "b": [["1.00", "1", "2"]]}, Parse.SHAPE),
        ({**DEPTH, "b": [["0.00", "1"]]}, Parse.RANGE),
        ({**DEPTH, "b": [["1.001", "1"]]}, Parse.OFF_GRID),
        ({**DEPTH, "U": 7}, Parse.RANGE),
        ({**DEPTH, "pu": 7}, Parse.RANGE),
        ({**DEPTH, "a": [["1.00", "1"]] * (MESSAGE_EVENTS - 1)}, Parse.LEVELS),
        ({"lastUpdateId": 1, "bids": []}, Parse.MISSING),
        ({"u": 1, "s": "X", "b": "1.00", "B": "1", "a": "2.00"}, Parse.MISSING),
        ({"e": "kline", "p": "0.0001", "k": {"t": [1, {"x": "}"}]}}, Parse.OK),
        ({"result": None, "id": 1}, Parse.OK),
        ({}, Parse.OK),
    ],
)
def test_what_is_wrong_has_its_code(body, code):
    assert parse(json.dumps(body).encode())[0] is code


def test_the_largest_price_is_the_limit():
    raw = b'{"e":"trade","E":1,"t":7,"p":"%d","q":"1","m":true}'
    whole = Instrument("X", "1", "1")
    assert parse(raw % MAX_PRICE_TICKS, whole)[0] is Parse.OK
    assert parse(raw % (MAX_PRICE_TICKS + 1), whole)[0] is Parse.RANGE


def test_a_snapshot_in_a_stream_is_a_partial_one_and_no_snapshot():
    bare = b'{"lastUpdateId":7,"bids":[["1.00","1"]],"asks":[]}'
    code, m = parse(bare)
    assert code is Parse.OK and m.kind == MessageKind.SNAPSHOT
    code, m = parse(b'{"stream":"btcusdt@depth20","data":%s}' % bare)
    assert code is Parse.OK and m.kind == MessageKind.OTHER


def test_a_key_twice_is_refused_and_an_escaped_quote_ends_no_string():
    assert parse(b'{"e":"trade","E":1,"t":5,"t":6,"p":"1.00","q":"1","m":true}')[0] is Parse.SHAPE
    assert parse(b'{"x":"\\"}{","e":"trade","E":1,"t":5,"p":"1.00","q":"1","m":true}')[0] is Parse.OK
    assert parse(b'{"e":"trade","E":1,"t":5,"p":"1.00","q":"1","m":true} x')[0] is Parse.SYNTAX


@given(st.integers(0, 10**20))
def test_an_integer_of_any_length_is_exact_or_out_of_range(number):
    code, m = parse(b'{"u":%d,"b":"1.00","B":"1","a":"1.00","A":"1"}' % number)
    assert (code, m.last_id) == (Parse.OK, number) if number < 10**18 else code is Parse.RANGE


def test_microseconds_are_recognised():
    _, m = parse(json.dumps({**TRADE, "E": 1_723_161_255_343_123}).encode())
    assert m.exch_ns == 1_723_161_255_343_123_000
    _, m = parse(json.dumps({**TRADE, "E": 1_723_161_255_343}).encode())
    assert m.exch_ns == 1_723_161_255_343_000_000
    assert m.aggressor == Side.SELL  # the buyer was the maker


@pytest.mark.parametrize(
    "symbol, market, tick, lot",
    [
        ("BTCUSDT", "spot", "0.01", "0.00001"),
        ("ETHUSDT", "spot", "0.01", "0.0001"),
        ("BTCUSDT", "usdm", "0.1", "0.001"),
        ("ETHUSDT", "usdm", "0.01", "0.001"),
    ],
)
def test_the_known_grids(symbol, market, tick, lot):
    one = find_instrument(symbol, market)
    assert (one.tick, one.lot, one.quote) == (tick, lot, "USDT")


def test_a_configuration_extends_the_table_and_goes_before_it():
    mine = [Instrument("BTCUSDT", "0.1", "0.1"), Instrument("DOGEUSDT", "0.00001", "1")]
    assert find_instrument("BTCUSDT", "spot", mine) is mine[0]
    assert find_instrument("DOGEUSDT", "spot", mine) is mine[1]
    assert find_instrument("DOGEUSDT", "spot") is None


def test_an_unknown_grid_is_the_finest_that_its_levels_use():
    one = infer_instrument("NKNBTC", "spot", [("0.35210000", "672.00000000"), ("0.3500", "0.5"), ("1", "10.25")])
    assert (one.tick, one.lot, one.quote) == ("0.0001", "0.01", "BTC")
    assert infer_instrument("BTCUSD_PERP", "coinm", [("61804.7", "35")]).quote == "USD"
    assert quote_of("XYZ") == ""


@pytest.mark.parametrize("tick", ["0", "-0.01", "x", "NaN", "1e-13", "1e7"])
def test_a_grid_that_cannot_be_is_refused_by_name(tick):
    with pytest.raises(BadInput, match="AAA tick"):
        grid_values(Instrument("AAA", tick, "1"))


def test_a_grid_in_digits_and_units():
    assert grid_values(Instrument("A", "0.05", "10")) == (2, 5, 0, 10)
