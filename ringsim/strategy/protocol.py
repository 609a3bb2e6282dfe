"""What a strategy is to the stage that runs it: one kernel that looks and proposes.

    decide(own, p, f, v, orders, intents) -> how many intents it wrote

One of the user's own is called through strategy.foreign. One that does not look at the market takes no `f`, one that reads a
list of orders takes that; strategy.fold has the branch.

    own      its state, its own dtype; `wake_ns` in it is when it wants to be called by the clock (NEVER_NS: not)
    p        its parameters, its own dtype
    f        strategy.features.FEATURE_VALUES: the market as of the newest whole book message
    v        VIEW: why it is called, the time, the position, what it may do now
    orders   OWN_ORDER[OWN_ORDERS]: the first v.own_orders are on their way or at the exchange
    intents  INTENT[MAX_INTENTS]: what it wants, in the order in which it wants it

Invariant: a strategy never touches risk, credit, ids or records. The stage (strategy.fold) judges each intent, sizes those
without a size, gives ids, holds back an order like one that was just refused until something changed, and sends one
cancel an order. So a kernel may propose the same at every call.

It is called at each book message and prediction, each report that changed an order of its own or the position, at `wake_ns`,
when the book is lost, after a control event, and at the end of the feed (then only SIGNAL_END goes out). With v.may_act == 0
(too few credits) nothing that it proposes is carried out: it should only look; the stage calls again as soon as it may.
"""

from enum import IntEnum

import numpy as np

from ringsim.kernel import kernel
from ringsim.limits import STRATEGY_OUT
from ringsim.records import OrderKind
from ringsim.strategy.sizing import WHOLE_PPM

MAX_INTENTS = STRATEGY_OUT - 2  # beside them the stage may emit a CANCEL_ALL and a SNAPSHOT
ONCE = -1  # tag of an order that is proposed once: never held back, refused on the record also where others just wait
TAGS = 4  # a power of two: purposes of orders that a strategy tells apart; each has its own memory of refusals
SIZED_BY_STAGE = 0  # qty_lots of an intent: order_size_fraction of what the limits allow


class StrategyKind(IntEnum):
    """The strategies that the stage has. Values are stored: append, never renumber."""

    IMBALANCE = 0
    SCRIPTED = 1
    DIVERGENCE = 2
    USER = 3


class Cause(IntEnum):
    """Why a strategy is called."""

    BOOK = 1  # a book message ended: `f` is new
    NO_BOOK = 2  # the book was lost: f.ready is 0 until a whole message after the next snapshot
    REPORT = 3
    TIMER = 4
    CONTROL = 5
    END = 6  # end of the feed
    PREDICTION = 7  # v.prediction_ticks is new


VIEW = np.dtype(
    [
        ("cause", "i8"),
        ("now_ns", "i8"),
        ("may_act", "i8"),  # 1: intents will be carried out
        ("may_send", "i8"),  # 1: also new orders: there is a whole book, and trading is not stopped or paused
        ("position_lots", "i8"),  # from reports
        ("own_orders", "i8"),
        ("prediction_ticks", "i8"),  # the newest prediction, 0: none
        ("fill_lots", "i8"),  # of the fill that it is called for, 0: for something else ...
        ("fill_tag", "i8"),  # ... and its order's tag and word
        ("fill_word", "i8"),
    ]
)

OWN_ORDER = np.dtype(
    [
        ("order_id", "i8"),
        ("signal_id", "i8"),
        ("side", "i8"),
        ("px_ticks", "i8"),
        ("qty_lots", "i8"),
        ("left_lots", "i8"),
        ("tag", "i8"),  # the strategy's word for its purpose, 0..TAGS - 1, or ONCE
        ("word", "i8"),  # whatever else the strategy wants to know it by
        ("sent_ns", "i8"),
        ("cancelling", "i8"),  # 1: a cancel is on its way
    ]
)

INTENT = np.dtype(
    [
        ("kind", "i8"),  # OrderKind: NEW, CANCEL, SIGNAL, SIGNAL_END
        ("side", "i8"),
        ("type", "i8"),
        ("tif", "i8"),
        ("px_ticks", "i8"),
        ("qty_lots", "i8"),
        ("size_ppm", "i8"),  # SIZED_BY_STAGE: share of that size, 1..1,000,000
        ("target_id", "i8"),  # of a CANCEL
        ("tag", "i8"),
        ("word", "i8"),  # of a NEW, kept with the own order
        ("flag_bits", "i8"),  # OrderFlag
        ("strength_ppm", "i8"),
        ("confidence_ppm", "i8"),
        ("fault", "i8"),  # Reason: of a NEW that is no order (strategy.foreign), refused with it
    ]
)

_WHOLE_PPM = np.int64(WHOLE_PPM)
_NEW, _CANCEL = np.int64(OrderKind.NEW), np.int64(OrderKind.CANCEL)


@kernel
def propose_order(intent, side, order_type, tif, px, qty, tag, flag_bits, strength_ppm, confidence_ppm):
    """Fill an intent: a new order. qty: lots, or SIZED_BY_STAGE. tag: 0..TAGS - 1, or ONCE."""
    intent.kind = _NEW
    intent.side, intent.type, intent.tif = side, order_type, tif
    intent.px_ticks, intent.qty_lots, intent.size_ppm, intent.target_id = px, qty, _WHOLE_PPM, 0
    intent.tag, intent.word, intent.flag_bits = tag, 0, flag_bits
    intent.strength_ppm, intent.confidence_ppm = strength_ppm, confidence_ppm


@kernel
def propose_cancel(intent, order):
    """Fill an intent: cancel an own order."""
    intent.kind = _CANCEL
    intent.target_id = order.order_id


@kernel
def propose_signal(intent, kind, side, strength_ppm, confidence_ppm):
    """Fill an intent: a signal begins (OrderKind.SIGNAL) or ends (SIGNAL_END)."""
    intent.kind = kind
    intent.side = side
    intent.strength_ppm, intent.confidence_ppm = strength_ppm, confidence_ppm
