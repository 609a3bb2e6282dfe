"""The records that cross process borders, field by field. Everything that market, strategy, risk and broker know of each other.

    market ring   MARKET_EVENT  64 B   ingest -> strategy, execution
    orders ring   ORDER        128 B   strategy -> execution, persistence     (kind SNAPSHOT: FEATURES)
    reports ring  REPORT       128 B   execution -> strategy, persistence     (kind ACCOUNT: ACCOUNT)

Prices are integer ticks, quantities integer lots, money ticks x lots, times int64 ns: units end the name. Under the
simulated clock every time is event time (the capture's epoch, skew removed); under the realtime clock CLOCK_MONOTONIC.
`stamp` belongs to the ring (0 being written, seq + 1 whole) and to nobody else.

Values of the enums are stored: append, never renumber. No field is named like an attribute of a numpy array (`flags`,
`base`, `size` ...): compiled code would find the field and the plain body the attribute.
"""

from enum import IntEnum, IntFlag

import numpy as np

NEVER_NS = 1 << 62  # a time that does not come

# Numbers of orders in order-level data, given as orders are entered; a queue stands in their order.
UNNAMED_ORDER = 0  # displayed when the data begin, and not told apart: ahead of all others
HIDDEN_ORDER = (1 << 62) - 1  # not displayed: behind all that are


class Side(IntEnum):
    NONE = 0
    BUY = 1  # bid; of a trade: the aggressor bought
    SELL = 2  # ask; of a trade: the aggressor sold


class EventKind(IntEnum):
    """Of a market event."""

    LEVEL = 1  # side, px, qty: the level's new total quantity, 0 deletes it; id: of the update or order
    TRADE = 2  # side: the aggressor; id: of the trade, or of the order that was executed
    PREDICTION = 3
    SNAPSHOT_BEGIN = 4  # the book is empty from here; LEVELs follow
    SNAPSHOT_END = 5  # the book is whole again; id: its update id
    GAP = 6  # updates are missing: the book is invalid until the next snapshot; code: a GapCode
    CONTROL = 7  # code: a ControlCode; qty_lots: its value
    QUOTE = 8  # best bid (side BUY) or ask (SELL) as the venue announced it; screens and features only, never the book


class EventFlag(IntFlag):
    LAST = 1  # last event of its message: only now may anybody act
    REFRESH = 2  # part of a snapshot that repeats what is known: a reader with a valid book skips it
    EXCHANGE_ONLY = 4  # the strategy never sees it: the same comes once more, at its receiver's time
    STRATEGY_ONLY = 8  # the exchange has seen it before


class GapCode(IntEnum):
    SEQUENCE = 1  # the feed skipped updates
    LAPPED = 2  # this reader lost events of the ring
    FEED_DIED = 3


class ControlCode(IntEnum):
    LIFECYCLE = 1  # value: a Lifecycle
    TRADING = 2  # value: a Trading
    RUN = 3  # value: a RunState
    END_OF_FEED = 4  # value 1: the run is being stopped, what is open expires at once
    CLOCK = (
        5  # value: when the feed began, ns of the stage's clock; realtime, to who asks for it, never in the market ring
    )


class Trading(IntEnum):
    """Whether risk lets orders through. HALTED latches until an operator rearms."""

    ACTIVE = 0
    REDUCING = 1  # only orders that reduce exposure
    HALTED = 2


class OrderKind(IntEnum):
    """Of a record in the orders ring. Each holds one credit until its report with `returns_credit`."""

    NEW = 1
    CANCEL = 2  # target_id
    CANCEL_ALL = 3
    REPLACE = 4  # target_id, new price and quantity
    REFUSED = 5  # the strategy's own risk said no: verdict, reason; never executed
    SIGNAL = 6  # a signal began, or turned
    SIGNAL_END = 7  # hold_ns: how long it held
    SNAPSHOT = 8  # read as FEATURES


class OrderType(IntEnum):
    LIMIT = 1
    MARKET = 2


class Tif(IntEnum):
    """How long an order stays."""

    GTC = 1
    IOC = 2
    FOK = 3
    POST_ONLY = 4  # GTC, but refused if it would take


class Verdict(IntEnum):
    """What risk said."""

    NONE = 0
    APPROVED = 1
    ADJUSTED = 2  # smaller than asked: `reason` says which limit
    REJECTED = 3


class ReportKind(IntEnum):
    """Of a record in the reports ring."""

    ACCEPTED = 1  # the order is at the exchange
    PROVISIONAL = 2  # acknowledged outside READY + RUNNING: never executes, the order is done
    REJECTED = 3  # reason
    FILL = 4  # px, qty: of this fill; left_lots
    CANCELLED = 5  # left_lots is what was cancelled; reason
    CANCEL_REJECTED = 6
    NOTED = 7  # answer to a refusal, a signal or a snapshot: it only returns the credit
    ACCOUNT = 8  # read as ACCOUNT
    REPLACED = 9
    HALTED = 10  # trading halted; reason


class Status(IntEnum):
    """Of an order, as the broker keeps it and the database shows it."""

    PENDING = 0  # on its way
    OPEN = 1
    PARTIAL = 2
    FILLED = 3
    CANCELLED = 4
    REJECTED = 5
    PROVISIONAL = 6


class Liquidity(IntEnum):
    NONE = 0
    MAKER = 1
    TAKER = 2


class Reason(IntEnum):
    """Why something was refused, adjusted, cancelled or halted. Everything that is not plain success has one."""

    NONE = 0
    # limits; a verdict ADJUSTED or REJECTED carries the tightest
    INTENT = 1  # share of capital per trade intent
    POSITION = 2
    ORDER_SIZE = 3
    NOTIONAL = 4
    ORDER_RATE = 5
    DAILY_LOSS = 6
    DRAWDOWN = 7
    PRICE_COLLAR = 8
    CONSECUTIVE_LOSSES = 9
    OPEN_ORDERS = 10
    IN_FLIGHT = 11  # too many records on their way to the exchange
    # states
    KILL_SWITCH = 20
    REDUCING = 21
    NOT_READY = 22
    PAUSED = 23
    NO_BOOK = 24  # before the first snapshot, or after a gap
    RESUMED = 25
    # the exchange
    WOULD_TAKE = 30  # post-only
    NO_LIQUIDITY = 31  # market order, IOC: what was left
    NOT_FILLABLE = 32  # FOK
    UNKNOWN_ORDER = 33
    BAD_PRICE = 34
    BAD_QUANTITY = 35
    BAD_SYMBOL = 36
    SELF_TRADE = 37
    DUPLICATE_ID = 38
    BAD_ORDER = 39  # unknown kind, type, side or time in force
    EXCHANGE_RATE = 40  # the venue's limit, not the account's
    # ends
    ASKED = 50  # the strategy, or the operator, cancelled it
    END_OF_FEED = 51
    # invariants
    LEDGER_IDENTITY = 70
    SEQUENCE_ORDER = 71
    REDO_MISMATCH = 72
    ORDER_STATE = 73  # an order took a step that its states do not have
    # a user's strategy, which is not called any more
    STRATEGY_RAISED = 80  # it raised, reached out of an array, or divided by zero
    STRATEGY_COUNT = 81  # it returned no number of intents


class OrderFlag(IntFlag):
    REDUCES = 1  # the order can only bring the position nearer to zero
    CLOSES = 2
    BY_TICK = 4  # the event that it names caused it; without it a report or a timer did, later


class ReportFlag(IntFlag):
    RETURNS_CREDIT = 1
    FINAL = 2  # the last ACCOUNT of a run
    PERIODIC = 4  # an ACCOUNT of the snapshot interval, not of a fill


MARKET_EVENT = np.dtype(
    [
        ("stamp", "i8"),
        ("exch_ns", "i8"),  # at the exchange, never above recv_ns - 1, never decreasing
        ("recv_ns", "i8"),  # arrival of the bytes, never decreasing
        ("px_ticks", "i8"),
        ("qty_lots", "i8"),
        ("id", "i8"),  # of the update, trade or (order-level data) order; of a control event its running number
        ("source_seq", "i8"),  # number of the message in its source, from 0
        ("code", "u2"),  # GapCode, ControlCode
        ("symbol", "u2"),
        ("kind", "u1"),
        ("side", "u1"),
        ("flag_bits", "u1"),
        ("pad", "u1"),
    ]
)

ORDER = np.dtype(
    [
        ("stamp", "i8"),
        ("order_id", "i8"),  # per strategy, from 1; of records that are no order 0
        ("trigger_seq", "i8"),  # market event that caused it
        ("trigger_ns", "i8"),  # recv_ns of that event: the arrival of the bytes
        ("created_ns", "i8"),  # the strategy's now
        ("px_ticks", "i8"),  # 0 of a market order
        ("qty_lots", "i8"),
        ("asked_lots", "i8"),  # what the strategy wanted before risk adjusted it
        ("target_id", "i8"),  # order to cancel or replace
        ("signal_id", "i8"),  # per strategy, from 1; 0 none
        ("hold_ns", "i8"),  # SIGNAL_END: from first entry order (or the signal's start) to its end
        ("strength_ppm", "i4"),  # signed, 1e-6
        ("confidence_ppm", "i4"),
        ("symbol", "u2"),
        ("strategy", "u2"),
        ("kind", "u1"),
        ("side", "u1"),
        ("type", "u1"),
        ("tif", "u1"),
        ("verdict", "u1"),
        ("flag_bits", "u1"),
        ("reason", "u2"),
        ("pad", "u1", (4,)),
        ("spare", "i8", (2,)),
    ]
)

# A strategy's snapshot, read from an ORDER record of kind SNAPSHOT: same size, same places for stamp .. created_ns and kind.
FEATURES = np.dtype(
    {
        "names": ["stamp", "sample", "trigger_seq", "trigger_ns", "created_ns", "bid_ticks", "ask_ticks", "imbalance",
                  "spread_bps", "depth_ratio", "pressure_bps", "momentum_bps", "symbol", "strategy", "kind", "pad",
                  "position_lots", "volatility", "trade_flow"],
        "formats": ["i8", "i8", "i8", "i8", "i8", "i8", "i8", "f8", "f8", "f8", "f8", "f8", "u2", "u2", "u1",
                    ("u1", (3,)), "i8", "f8", "f8"],
        "offsets": [0, 8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 98, 100, 101, 104, 112, 120],
        "itemsize": 128,
    }
)  # fmt: skip

REPORT = np.dtype(
    [
        ("stamp", "i8"),
        ("order_id", "i8"),
        ("trigger_seq", "i8"),  # market event that caused this report; the order's own where the order did
        ("trigger_ns", "i8"),  # recv_ns of that event
        ("order_trigger_ns", "i8"),  # recv_ns of the event that caused the order
        ("created_ns", "i8"),  # of the order
        ("received_ns", "i8"),  # the broker had it
        ("acted_ns", "i8"),  # the exchange acted on it: created + entry latency, or later
        ("filled_ns", "i8"),  # time of this fill, 0 if none
        ("deliver_ns", "i8"),  # when the strategy has it: the exchange's now + response latency, never decreasing
        ("px_ticks", "i8"),  # of the fill; else of the order
        ("qty_lots", "i8"),  # of the fill; else of the order
        ("symbol", "u2"),
        ("strategy", "u2"),
        ("kind", "u1"),
        ("side", "u1"),
        ("type", "u1"),
        ("tif", "u1"),
        ("left_lots", "i8"),  # not yet filled
        ("fee", "i8"),  # money; negative: a rebate
        ("reason", "u2"),
        ("flag_bits", "u1"),
        ("status", "u1"),
        ("liquidity", "u1"),
        ("order_kind", "u1"),  # of the record that this answers
        ("pad", "u1", (2,)),
    ]
)

# The account after a fill or at the snapshot interval, read from a REPORT record of kind ACCOUNT.
ACCOUNT = np.dtype(
    {
        "names": ["stamp", "order_id", "trigger_seq", "trigger_ns", "time_ns", "cash", "realized", "unrealized", "fees",
                  "deliver_ns", "mark_ticks", "position_lots", "symbol", "strategy", "kind", "open_orders", "trading",
                  "pad", "cost", "day_realized", "reason", "flag_bits", "pad2", "fills"],
        "formats": ["i8", "i8", "i8", "i8", "i8", "i8", "i8", "i8", "i8", "i8", "i8", "i8", "u2", "u2", "u1", "u1", "u1",
                    "u1", "i8", "i8", "u2", "u1", "u1", "u4"],
        "offsets": [0, 8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 98, 100, 101, 102, 103, 104, 112, 120, 122, 123, 124],
        "itemsize": 128,
    }
)  # fmt: skip

assert MARKET_EVENT.itemsize == 64
assert ORDER.itemsize == FEATURES.itemsize == REPORT.itemsize == ACCOUNT.itemsize == 128
for _one, _other, _names in (
    (ORDER, FEATURES, ("stamp", "trigger_seq", "trigger_ns", "created_ns", "symbol", "strategy", "kind")),
    (
        REPORT,
        ACCOUNT,
        ("stamp", "trigger_seq", "trigger_ns", "deliver_ns", "symbol", "strategy", "kind", "reason", "flag_bits"),
    ),
):
    assert all(_one.fields[_n] == _other.fields[_n] for _n in _names)  # type: ignore[index]

MARKET_WORDS = MARKET_EVENT.itemsize // 8
ORDER_WORDS = ORDER.itemsize // 8
