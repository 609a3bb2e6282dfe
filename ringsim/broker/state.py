"""The state of the paper exchange, one flat record: everything that a commit must copy and a redo must find.

What every market event looks at comes first, so that an event that concerns no order of ours stays in a few lines of memory.
"""

import numpy as np

from ringsim.book import BOOK
from ringsim.broker.latency import DELAYS
from ringsim.broker.moves import MOVES
from ringsim.broker.params import BROKER_PARAMS
from ringsim.broker.rate import RATE
from ringsim.broker.shares import SHARE
from ringsim.fold.positions import POSITIONS
from ringsim.ledger import LEDGER
from ringsim.limits import (
    EXECUTION_OUT,
    IN_FLIGHT_CANCELS,
    MAX_IN_FLIGHT,
    MAX_OPEN_ORDERS,
    MAX_STRATEGIES,
    TAKE_LEVELS,
    TAKEN_LEVELS,
)
from ringsim.risk.gate import RISK

ORDER_SLOTS = (
    MAX_OPEN_ORDERS + 1
)  # one more for the order that is being acted on: it may take although the table is full
REASONS = 128  # places for counts by Reason

OPEN_ORDER = np.dtype(
    [
        ("order_id", "i8"),
        ("strategy", "i8"),
        ("symbol", "i8"),
        ("side", "i8"),
        ("type", "i8"),
        ("tif", "i8"),
        ("px", "i8"),  # ticks, 0 of a market order
        ("qty", "i8"),  # lots, after risk
        ("left", "i8"),  # lots
        ("status", "i8"),  # Status
        ("ranked", "i8"),  # 1 while it rests
        ("front", "f8"),  # F: lots ahead of it
        ("traded", "i8"),  # lots traded at its level since the level was last set
        ("newest_id", "i8"),  # FIFO: the highest order number displayed when it joined its level
        ("filled_seq", "i8"),  # market event that last filled it, -1 none
        ("trigger_seq", "i8"),
        ("trigger_ns", "i8"),
        ("created_ns", "i8"),
        ("received_ns", "i8"),
        ("acted_ns", "i8"),
    ]
)

IN_FLIGHT = np.dtype(
    [
        ("kind", "i8"),  # OrderKind
        ("order_id", "i8"),
        ("target_id", "i8"),
        ("strategy", "i8"),
        ("symbol", "i8"),
        ("side", "i8"),
        ("type", "i8"),
        ("tif", "i8"),
        ("px", "i8"),
        ("qty", "i8"),
        ("trigger_seq", "i8"),
        ("trigger_ns", "i8"),
        ("created_ns", "i8"),
        ("received_ns", "i8"),
        ("due_ns", "i8"),  # when the exchange acts on it
    ]
)

TAKEN = np.dtype([("side", "i8"), ("px", "i8"), ("lots", "i8")])

BROKER_COUNTERS = np.dtype(
    [
        ("submitted", "i8"),  # NEW records received
        ("accepted", "i8"),
        ("provisional", "i8"),
        ("adjusted", "i8"),  # accepted smaller than asked
        ("rejected", "i8", (REASONS,)),  # NEW, by reason
        ("cancel_rejected", "i8", (REASONS,)),  # CANCEL and REPLACE, by reason
        ("filled", "i8"),  # orders filled to the end
        ("cancelled", "i8"),  # orders, by whatever
        ("replaced", "i8"),
        ("fills", "i8"),
        ("maker_fills", "i8"),
        ("taker_fills", "i8"),
        ("halts", "i8"),
        ("forced_due", "i8"),  # orders that waited for the one before them on the connection
        ("forced_deliver", "i8"),  # reports that did
        ("taken_full", "i8"),  # times that taking stopped because no more taken levels can be remembered
    ]
)

BROKER_STATE = np.dtype(
    [
        ("pos", POSITIONS),
        ("timer_ns", "i8"),  # when on_timer wants to be called, NEVER_NS if not
        ("next_ns", "i8"),  # the same, while half of a message hides it
        ("open_orders", "i8"),  # resting
        ("mid_message", "i8"),  # 1 between the levels of one message: nothing acts on half of it
        ("look_ns", "i8"),  # when to look at the mid's way next; NEVER_NS: no model asks
        ("newest_id", "i8"),  # highest order number displayed so far; NEVER_NS: no model asks
        ("own_best", "i8", (4,)),  # by side: best own resting price; 0 (bids) or NEVER_NS (asks) if there is none
        (
            "watch_bits",
            "i8",
            (4,),
        ),  # by side: bit px mod 64 is set where a price may hold an own order or a taken level
        ("watch_low", "i8", (4,)),  # and prices below and above hold none
        ("watch_high", "i8", (4,)),
        ("touched", "i8"),  # this input changed the account
        ("breach", "i8"),  # Reason of an invariant that this input broke
        ("p", BROKER_PARAMS),
        ("lifecycle", "i8"),
        ("run", "i8"),
        ("finished", "i8"),  # 1 after the expiry: nothing executes any more
        (
            "cause_seq",
            "i8",
        ),  # market event, or trigger of the order, that caused what is reported now; -1: the clock did
        ("cause_ns", "i8"),
        ("mark_ticks", "i8"),  # last known mid, rounded down
        ("snapshot_ns", "i8"),  # next PERIODIC account
        ("expire_ns", "i8"),
        ("end_seq", "i8"),  # the END_OF_FEED event
        ("end_ns", "i8"),
        ("due_ns", "i8"),  # of the last record put in flight
        ("deliver_ns", "i8"),  # of the last report
        ("entries", "i8"),  # records ever put in flight
        ("responses", "i8"),  # reports ever made
        ("feed_ns", "i8"),  # when the feed began; 0: the clock is the session's, NEVER_NS: not known yet
        ("last_id", "i8", (MAX_STRATEGIES,)),
        ("last_order_id", "i8"),  # of the last fill
        ("working", "i8", (4,)),  # by side: lots left of resting orders
        ("ledger", LEDGER),
        ("shares", SHARE, (MAX_STRATEGIES,)),
        ("risk", RISK),
        ("counters", BROKER_COUNTERS),
        ("ranked", "i8", (4,)),  # by side: resting orders
        ("rank", "i8", (4, MAX_OPEN_ORDERS)),  # by side: slots of resting orders, best price first, then oldest
        ("unused", "i8", (ORDER_SLOTS,)),  # stack of slots that hold no order
        ("unused_count", "i8"),
        ("orders", OPEN_ORDER, (ORDER_SLOTS,)),
        ("taken", TAKEN, (TAKEN_LEVELS,)),
        ("taken_count", "i8"),
        ("acting", IN_FLIGHT),  # the record being acted on
        ("in_flight", IN_FLIGHT, (MAX_IN_FLIGHT,)),  # FIFO
        ("in_flight_head", "i8"),
        ("in_flight_count", "i8"),
        ("rate", RATE),
        ("moves", MOVES),
        ("delays", DELAYS),
        ("book", BOOK),
    ]
)

# The worst inputs: each resting order filled once and then, with all that is in flight, cancelled by a halt; or one order
# that takes all it may. Then HALTED, a second HALTED if an invariant broke, an ACCOUNT a strategy and the account's.
_NEW_IN_FLIGHT = MAX_IN_FLIGHT - IN_FLIGHT_CANCELS
assert TAKEN_LEVELS <= TAKE_LEVELS  # a take fills at most once at each level that it can remember
assert 2 * MAX_OPEN_ORDERS + _NEW_IN_FLIGHT + 3 + MAX_STRATEGIES <= EXECUTION_OUT
assert 1 + TAKE_LEVELS + 1 + MAX_OPEN_ORDERS + _NEW_IN_FLIGHT + 3 + MAX_STRATEGIES <= EXECUTION_OUT
assert MAX_OPEN_ORDERS + MAX_IN_FLIGHT + 3 + MAX_STRATEGIES <= EXECUTION_OUT  # the expiry
