"""The database of a run as a public interface: its tables, its views, its version. docs/database.md explains it.

    ring_records   every record of the orders and reports rings, as bytes: the ground truth, what the digest is made of
    cursors        where persistence goes on, written in the same transaction as everything else
    orders trades signals positions performance_metrics strategy_snapshots     the same, as rows a person can query
    <table>_decimal                                                            the same, in units instead of integers

Invariant: the rows are a function of the records; they hold absolute values, exact integers (ticks, lots, money = ticks x
lots, ns), and names instead of numbers. All tables are STRICT, so a wrong type is an error and not a surprise.

What changes incompatibly raises SCHEMA_VERSION (in PRAGMA user_version and meta); columns may be appended.
"""

from collections.abc import Iterator
from enum import IntEnum

import msgspec

from ringsim.errors import BadInput
from ringsim.limits import MAX_STRATEGIES, MAX_SYMBOLS
from ringsim.units import Instrument, fraction

SCHEMA_VERSION = 1
APPLICATION_ID = 0x52534D31  # "RSM1": PRAGMA application_id, by which `file` and we know our own
MIN_SQLITE = (3, 37)  # STRICT

# tick x lot = multiple / a power of ten. The views multiply money by the multiple, in integers up to 2**63 and as REAL, which
# keeps 15 digits, beyond; a power of ten above 10**22 is no exact REAL.
MAX_GRID_MULTIPLE = 1 << 31
MAX_GRID_PLACES = 22

_BASE = """
CREATE TABLE meta ( -- facts of the run: schema_version, run_id, clock, created, ringsim, crc32 (of the schema and all such facts)
  key TEXT PRIMARY KEY, -- name of the fact
  value TEXT NOT NULL -- as text
) STRICT, WITHOUT ROWID;

CREATE TABLE instruments ( -- the grids: price = ticks x tick, quantity = lots x lot, money = amount x tick x lot
  symbol TEXT PRIMARY KEY, -- as the venue names it
  number INTEGER NOT NULL UNIQUE, -- in the records
  market TEXT NOT NULL, -- spot, usdm, coinm, lobster, synthetic, events
  quote TEXT NOT NULL, -- currency that money is in
  tick TEXT NOT NULL, -- exact decimal
  lot TEXT NOT NULL, -- exact decimal
  tick_mul INTEGER NOT NULL, -- tick = tick_mul / tick_div
  tick_div REAL NOT NULL, -- a power of ten
  lot_mul INTEGER NOT NULL, -- lot = lot_mul / lot_div
  lot_div REAL NOT NULL, -- a power of ten
  money_mul INTEGER NOT NULL, -- tick_mul x lot_mul
  money_div REAL NOT NULL -- tick_div x lot_div
) STRICT, WITHOUT ROWID;

CREATE TABLE strategies ( -- names of the strategy numbers in the records; after several strategies: account
  strategy_id TEXT PRIMARY KEY, -- its name in the configuration
  number INTEGER NOT NULL UNIQUE -- in the records
) STRICT, WITHOUT ROWID;

CREATE TABLE ring_records ( -- every record, byte for byte without its stamp
  ring TEXT NOT NULL, -- orders, reports
  seq INTEGER NOT NULL, -- from 0, without holes
  record BLOB NOT NULL, -- 120 bytes, little-endian; fields in ringsim/records.py
  PRIMARY KEY (ring, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE cursors ( -- how far the rows and records go
  ring TEXT PRIMARY KEY, -- orders, reports
  next_seq INTEGER NOT NULL, -- records 0 .. next_seq - 1 are stored
  crc32 INTEGER NOT NULL -- over their bytes in sequence order
) STRICT, WITHOUT ROWID;
"""

_ROWS = """
CREATE TABLE orders ( -- each order that a strategy sent, or that its own risk refused
  seq INTEGER PRIMARY KEY, -- of its record in the orders ring
  order_id INTEGER, -- the strategy's number, from 1; NULL of a refusal that got none
  strategy_id TEXT NOT NULL, -- its name in the configuration
  symbol TEXT NOT NULL, -- instruments.symbol
  kind TEXT NOT NULL, -- NEW, REFUSED
  side TEXT NOT NULL, -- BUY, SELL
  type TEXT NOT NULL, -- LIMIT, MARKET
  tif TEXT NOT NULL, -- GTC, IOC, FOK, POST_ONLY
  price_ticks INTEGER, -- as last replaced; NULL of a market order
  qty_lots INTEGER NOT NULL, -- as accepted or last replaced
  asked_lots INTEGER NOT NULL, -- what the strategy wanted before risk adjusted it
  filled_lots INTEGER NOT NULL, -- so far
  left_lots INTEGER NOT NULL, -- not filled: still working, or what was cancelled or refused
  filled_value INTEGER NOT NULL, -- sum of price x quantity of its fills, money
  fees INTEGER NOT NULL, -- money; negative: a rebate
  status TEXT NOT NULL, -- PENDING, OPEN, PARTIAL, FILLED, CANCELLED, REJECTED, PROVISIONAL
  reason TEXT NOT NULL, -- why it was refused, rejected or cancelled; NONE
  verdict TEXT NOT NULL, -- of risk: APPROVED, ADJUSTED, REJECTED, NONE
  verdict_reason TEXT NOT NULL, -- the limit that decided; NONE
  provisional INTEGER NOT NULL, -- 1: acknowledged while not ready, never executed
  reduces INTEGER NOT NULL, -- 1: could only bring the position nearer to zero
  closes INTEGER NOT NULL, -- 1: meant to close the position
  signal_id INTEGER, -- NULL none
  trigger_seq INTEGER NOT NULL, -- market event that caused it
  trigger_ns INTEGER NOT NULL, -- arrival of that event
  created_ns INTEGER NOT NULL, -- the strategy decided
  received_ns INTEGER, -- the broker had it
  acted_ns INTEGER, -- the exchange accepted or rejected it
  filled_ns INTEGER, -- last fill
  reported_ns INTEGER, -- last report about it reached the strategy
  report_seq INTEGER -- that report, in the reports ring
) STRICT;

CREATE INDEX orders_working ON orders (strategy_id, order_id) WHERE status IN ('PENDING', 'OPEN', 'PARTIAL');

CREATE TABLE trades ( -- each fill
  trade_id INTEGER PRIMARY KEY, -- sequence of its report in the reports ring
  order_seq INTEGER NOT NULL, -- orders.seq
  order_id INTEGER NOT NULL, -- the strategy's number of the order
  strategy_id TEXT NOT NULL, -- its name in the configuration
  symbol TEXT NOT NULL, -- instruments.symbol
  side TEXT NOT NULL, -- BUY, SELL
  price_ticks INTEGER NOT NULL, -- of this fill
  qty_lots INTEGER NOT NULL, -- of this fill
  left_lots INTEGER NOT NULL, -- of the order, after it
  fee INTEGER NOT NULL, -- money; negative: a rebate
  liquidity TEXT NOT NULL, -- MAKER, TAKER
  exch_ns INTEGER NOT NULL, -- the exchange filled
  recv_ns INTEGER NOT NULL, -- the strategy knew
  trigger_seq INTEGER NOT NULL, -- market event that caused the fill
  trigger_ns INTEGER NOT NULL, -- arrival of that event
  order_trigger_ns INTEGER NOT NULL, -- arrival of the event that caused the order
  created_ns INTEGER NOT NULL, -- of the order
  received_ns INTEGER NOT NULL, -- the broker had the order
  acted_ns INTEGER NOT NULL -- the exchange accepted the order
) STRICT;

CREATE TABLE signals ( -- each signal, from its begin
  seq INTEGER PRIMARY KEY, -- of its record in the orders ring
  signal_id INTEGER NOT NULL, -- the strategy's number, from 1
  strategy_id TEXT NOT NULL, -- its name in the configuration
  symbol TEXT NOT NULL, -- instruments.symbol
  side TEXT NOT NULL, -- BUY, SELL: where it points
  strength_ppm INTEGER NOT NULL, -- signed, 1e-6
  confidence_ppm INTEGER NOT NULL, -- 1e-6
  verdict TEXT NOT NULL, -- of risk, on the first order made for it; NONE: it made none
  reason TEXT NOT NULL, -- of the verdict; NONE
  trigger_seq INTEGER NOT NULL, -- market event that caused it
  trigger_ns INTEGER NOT NULL, -- arrival of that event
  started_ns INTEGER NOT NULL, -- the strategy decided
  ended_ns INTEGER, -- its end, or its next begin under the same id; NULL: neither is on record
  hold_ns INTEGER, -- holding period, from first entry order (or the start) to the end
  end_reason TEXT, -- of the record that ended it
  end_seq INTEGER -- that record, or the next begin, in the orders ring
) STRICT;

CREATE INDEX signals_active ON signals (strategy_id, signal_id) WHERE ended_ns IS NULL;

CREATE TABLE positions ( -- the account as last reported, for each symbol; of several strategies each one's share, too
  strategy_id TEXT NOT NULL, -- its name in the configuration
  symbol TEXT NOT NULL, -- instruments.symbol
  position_lots INTEGER NOT NULL, -- signed
  cost INTEGER NOT NULL, -- signed sum of price x quantity of what is open, money
  cash INTEGER NOT NULL, -- money
  realized INTEGER NOT NULL, -- before fees, money
  unrealized INTEGER NOT NULL, -- position x mark - cost, money
  fees INTEGER NOT NULL, -- money
  equity INTEGER NOT NULL, -- cash + position x mark, money
  mark_ticks INTEGER NOT NULL, -- mid of the book, rounded down
  day_realized INTEGER NOT NULL, -- net of fees, since the UTC day began, money
  start_cash INTEGER NOT NULL, -- money
  equity_peak INTEGER NOT NULL, -- highest equity on record, money
  drawdown INTEGER NOT NULL, -- peak - equity, money
  drawdown_max INTEGER NOT NULL, -- money
  open_orders INTEGER NOT NULL, -- resting
  fills INTEGER NOT NULL, -- so far
  trading TEXT NOT NULL, -- ACTIVE, REDUCING, HALTED
  reason TEXT NOT NULL, -- of the halt; NONE
  time_ns INTEGER NOT NULL, -- the exchange's
  seq INTEGER NOT NULL, -- of the account record in the reports ring
  PRIMARY KEY (strategy_id, symbol)
) STRICT, WITHOUT ROWID;

CREATE TABLE performance_metrics ( -- the account at each snapshot interval and at the end, one row a figure
  seq INTEGER NOT NULL, -- of the account record in the reports ring
  name TEXT NOT NULL, -- equity cash realized unrealized fees drawdown position open_orders fills
  strategy_id TEXT NOT NULL, -- its name in the configuration
  symbol TEXT NOT NULL, -- instruments.symbol
  time_ns INTEGER NOT NULL, -- the exchange's
  value INTEGER NOT NULL, -- in the unit
  unit TEXT NOT NULL, -- money, lots, count
  final INTEGER NOT NULL, -- 1: the last of the run
  PRIMARY KEY (seq, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE strategy_snapshots ( -- what a strategy saw, at each snapshot interval
  seq INTEGER PRIMARY KEY, -- of its record in the orders ring
  sample INTEGER NOT NULL, -- number of the feature sample
  strategy_id TEXT NOT NULL, -- its name in the configuration
  symbol TEXT NOT NULL, -- instruments.symbol
  time_ns INTEGER NOT NULL, -- the strategy's
  trigger_seq INTEGER NOT NULL, -- newest market event in it
  trigger_ns INTEGER NOT NULL, -- arrival of that event
  bid_ticks INTEGER NOT NULL, -- best bid
  ask_ticks INTEGER NOT NULL, -- best ask
  position_lots INTEGER NOT NULL, -- signed
  imbalance REAL, -- of the best levels, -1 .. 1; as all features NULL where undefined
  spread_bps REAL, -- of the mid
  depth_ratio REAL, -- bid quantity / ask quantity of the best levels
  pressure_bps REAL, -- microprice against mid
  momentum_bps REAL, -- mid against the mid at the window's start
  volatility REAL, -- root mean square of log mid returns in the window
  trade_flow REAL -- signed / all traded quantity in the window, -1 .. 1
) STRICT;
"""


def _price(column: str, name: str) -> str:
    return f"{column} * i.tick_mul / i.tick_div AS {name}"


def _qty(column: str, name: str) -> str:
    return f"{column} * i.lot_mul / i.lot_div AS {name}"


def _money(*columns: str) -> str:
    return ", ".join(f"{c} * i.money_mul / i.money_div AS {c}" for c in columns)


def _us(later: str, earlier: str, name: str) -> str:
    return f"({later} - {earlier}) / 1e3 AS {name}"


# Integer x integer / power of ten is one correctly rounded division: exact to the 15 digits that a double can show.
# Text would be exact beyond them, but SQL compares any text as greater than any number, silently.
_VIEWS = {
    "orders": f"""seq, order_id, strategy_id, symbol, kind, side, type, tif, {_price("price_ticks", "price")},
  {_qty("qty_lots", "qty")}, {_qty("asked_lots", "asked_qty")}, {_qty("filled_lots", "filled_qty")},
  {_qty("left_lots", "left_qty")}, {_money("filled_value", "fees")},
  CASE WHEN filled_lots > 0 THEN filled_value * 1.0 / filled_lots * i.tick_mul / i.tick_div END AS average_price,
  status, reason, verdict, verdict_reason, provisional, reduces, closes, signal_id, trigger_seq, trigger_ns, created_ns,
  received_ns, acted_ns, filled_ns, reported_ns, report_seq, {_us("created_ns", "trigger_ns", "decision_us")},
  {_us("acted_ns", "created_ns", "exchange_us")}, {_us("filled_ns", "trigger_ns", "end_to_end_us")}""",
    "trades": f"""trade_id, order_seq, order_id, strategy_id, symbol, side, {_price("price_ticks", "price")},
  {_qty("qty_lots", "qty")}, {_qty("left_lots", "left_qty")}, {_money("fee")}, liquidity, exch_ns, recv_ns, trigger_seq,
  trigger_ns, order_trigger_ns, created_ns, received_ns, acted_ns, {_us("created_ns", "order_trigger_ns", "decision_us")},
  {_us("acted_ns", "created_ns", "exchange_us")}, {_us("exch_ns", "order_trigger_ns", "end_to_end_us")}""",
    "signals": """seq, signal_id, strategy_id, symbol, side, strength_ppm / 1e6 AS strength,
  confidence_ppm / 1e6 AS confidence, verdict, reason, trigger_seq, trigger_ns, started_ns, ended_ns,
  hold_ns / 1e6 AS hold_ms, end_reason, end_seq""",
    "positions": f"""strategy_id, symbol, {_qty("position_lots", "position")},
  {_money("cost", "cash", "realized", "unrealized", "fees", "equity")}, {_price("mark_ticks", "mark")},
  {_money("day_realized", "start_cash", "equity_peak", "drawdown", "drawdown_max")}, open_orders, fills, trading, reason,
  time_ns, seq""",
    "performance_metrics": """seq, name, strategy_id, symbol, time_ns, CASE unit
    WHEN 'money' THEN value * i.money_mul / i.money_div
    WHEN 'lots' THEN value * i.lot_mul / i.lot_div
    ELSE value END AS value,
  unit, final""",
    "strategy_snapshots": f"""seq, sample, strategy_id, symbol, time_ns, trigger_seq, trigger_ns,
  {_price("bid_ticks", "bid")}, {_price("ask_ticks", "ask")}, {_qty("position_lots", "position")}, imbalance, spread_bps,
  depth_ratio, pressure_bps, momentum_bps, volatility, trade_flow""",
}

# The tables that are derived from the records, each with its key.
ROW_KEYS = {
    "orders": "seq",
    "trades": "trade_id",
    "signals": "seq",
    "positions": "strategy_id, symbol",
    "performance_metrics": "seq, name",
    "strategy_snapshots": "seq",
}
assert ROW_KEYS.keys() == _VIEWS.keys()
RINGS = ("orders", "reports")  # in name order, which is the order of the digest


def statements() -> Iterator[str]:
    """The statements that make an empty database, one by one."""
    for script in (_BASE, _ROWS):
        yield from (s.strip() for s in script.split(";\n") if s.strip())
    for table, columns in _VIEWS.items():
        yield f"CREATE VIEW {table}_decimal AS SELECT {columns} FROM {table} LEFT JOIN instruments AS i USING (symbol)"
    yield f"PRAGMA application_id = {APPLICATION_ID}"
    yield f"PRAGMA user_version = {SCHEMA_VERSION}"


class RunFacts(msgspec.Struct, frozen=True):
    """What a database knows of its run from the start. created: a label, wall clock in words.

    instruments, strategies: in the order of their numbers in the records; of several strategies the account is the last.
    """

    run_id: str
    clock: str  # realtime, simulated
    created: str
    instruments: tuple[Instrument, ...]
    strategies: tuple[str, ...]
    ringsim: str = ""  # version of the program


def check_facts(facts: RunFacts) -> None:
    """BadInput if names repeat, there are too many, or a grid is too coarse a fraction for exact views."""
    symbols = [i.symbol for i in facts.instruments]
    bounds = (("symbols", symbols, MAX_SYMBOLS), ("strategies", list(facts.strategies), MAX_STRATEGIES + 1))
    for what, names, most in bounds:
        if len(set(names)) < len(names) or not 0 < len(names) <= most:
            raise BadInput(f"a database takes 1..{most} {what} with different names, got {names}")
    for instrument in facts.instruments:
        instrument_row(0, instrument)


def instrument_row(number: int, instrument: Instrument) -> tuple[str | int | float, ...]:
    """The row of `instruments`, columns as declared. BadInput if its grid would overflow the views."""
    tick_mul, tick_places = fraction(instrument.tick, f"{instrument.symbol} tick")
    lot_mul, lot_places = fraction(instrument.lot, f"{instrument.symbol} lot")
    money_mul, places = tick_mul * lot_mul, tick_places + lot_places
    if money_mul > MAX_GRID_MULTIPLE or places > MAX_GRID_PLACES:
        raise BadInput(
            f"{instrument.symbol}: tick {instrument.tick} x lot {instrument.lot} is {money_mul} / 10**{places};"
            f" the database takes at most {MAX_GRID_MULTIPLE} / 10**{MAX_GRID_PLACES}"
        )
    names = (instrument.symbol, number, instrument.market, instrument.quote, instrument.tick, instrument.lot)
    return names + (tick_mul, 10.0**tick_places, lot_mul, 10.0**lot_places, money_mul, 10.0**places)


class EnumNames(dict[int, str]):
    """Number -> name of an enum's values; a number that it lacks reads UNKNOWN_<number>: a bad record is still a row."""

    def __init__(self, enum: type[IntEnum]) -> None:
        super().__init__({int(e): e.name for e in enum})

    def __missing__(self, number: int) -> str:
        return f"UNKNOWN_{number}"
