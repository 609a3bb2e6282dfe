"""The divergence strategy: the market follows a prediction, late; be there first, and leave when it has arrived.

    D = (prediction - market) / market, the market its mid          trigger: D > threshold buys, D < -threshold sells, strictly

    decision, each interval_ns ──trigger──> ENTRY at the market ──hold_ns──> CLOSE at the market of what it filled

It decides by the clock: first at a prediction with a whole book, from then on each interval_ns, after whatever happens at that
time. One trade a trigger: each has a place of its own and is closed hold_ns (the market's lag) after its decision. The stage
sizes an entry as it does any, times the share of the regime (strategy.regime); a signal lasts while decisions trigger in one
direction.

Invariants: a trade closes what its own entry filled and nothing else; at most TRADES are under way, a trigger beyond them is
counted and passed over. It looks always and acts only if it may, so a lack of credit delays a decision and loses none.
"""

import numpy as np

from ringsim.kernel import kernel
from ringsim.records import NEVER_NS, OrderFlag, OrderKind, OrderType, Side, Tif
from ringsim.strategy.protocol import MAX_INTENTS, SIZED_BY_STAGE, Cause, propose_order, propose_signal
from ringsim.strategy.regime import REGIME_PARAMS, REGIME_STATE, MarketRegime, regime_clear, regime_observe

ENTRY, CLOSE = 0, 1  # tags
TRADES = 16  # under way at once

DIVERGENCE_PARAMS = np.dtype(
    [
        ("threshold", "f8"),  # of |D|, (0, 1]
        ("interval_ns", "i8"),
        ("hold_ns", "i8"),
        ("regime", REGIME_PARAMS),
        ("size_ppm", "i8", (len(MarketRegime),)),  # of the stage's size, by regime
    ]
)
_UNDER_WAY = np.dtype(
    [
        ("sign", "i8"),  # of its entry, 0: the place is free
        ("lots", "i8"),  # filled and not closed
        ("close_ns", "i8"),
    ]
)
DIVERGENCE_STATE = np.dtype(
    [
        ("wake_ns", "i8"),
        ("next_ns", "i8"),  # next decision, NEVER_NS before the first
        ("sign", "i8"),  # of the live signal, 0 none
        ("strength_ppm", "i8"),  # D at the last trigger
        ("confidence_ppm", "i8"),
        ("triggers", "i8"),
        ("passed", "i8"),  # triggers for which there was no place
        ("regime", REGIME_STATE),
        ("trades", _UNDER_WAY, (TRADES,)),
    ]
)

_BUY, _SELL = np.int64(Side.BUY), np.int64(Side.SELL)
_SIGNAL, _SIGNAL_END = np.int64(OrderKind.SIGNAL), np.int64(OrderKind.SIGNAL_END)
_MARKET, _IOC = np.int64(OrderType.MARKET), np.int64(Tif.IOC)
_CLOSES, _NONE = np.int64(OrderFlag.CLOSES), np.int64(0)
_PREDICTION, _NO_BOOK, _END = np.int64(Cause.PREDICTION), np.int64(Cause.NO_BOOK), np.int64(Cause.END)
_TIMER = np.int64(Cause.TIMER)
_ENTRY, _CLOSE = np.int64(ENTRY), np.int64(CLOSE)
_SIZED = np.int64(SIZED_BY_STAGE)
_NEVER = np.int64(NEVER_NS)
_FULL_PPM = 1_000_000
_STRENGTH_MAX = 1e9


@kernel
def divergence(prediction_ticks, mid2_ticks):
    """(prediction - market) / market. prediction_ticks: > 0. mid2_ticks: twice the mid, > 0.

    The quotient of two whole numbers, rounded once: compared with a threshold that is its decimal's nearest float64, a
    divergence of exactly the threshold is equal to it.
    """
    return (2 * prediction_ticks - mid2_ticks) / mid2_ticks


@kernel
def _side(sign):
    return _BUY if sign > 0 else _SELL


@kernel
def _working(v, orders, place):
    """Orders at work for a trade: (whether any, whether a close)."""
    any_order, close = False, False
    for k in range(v.own_orders):
        if orders[k].word == place:
            any_order = True
            close = close or orders[k].tag == _CLOSE
    return any_order, close


@kernel
def _book_fill(own, v):
    """The fill that it is called for belongs to a trade."""
    if v.fill_lots > 0:
        trade = own.trades[v.fill_word]
        trade.lots += v.fill_lots if v.fill_tag == _ENTRY else -v.fill_lots


@kernel
def _free(own, v, orders):
    """Let go of the trades that are over: their time has come, nothing is left of them and nothing at work."""
    for place in range(TRADES):
        trade = own.trades[place]
        if trade.sign != 0 and trade.lots == 0 and v.now_ns >= trade.close_ns:
            at_work, _ = _working(v, orders, place)
            if not at_work:
                trade.sign = 0


@kernel
def _closes(own, v, orders, intents, n):
    """Close what is due. Returns (intents so far, when to be called for the next one)."""
    wake = _NEVER
    for place in range(TRADES):
        trade = own.trades[place]
        if trade.sign == 0:
            continue
        if v.now_ns < trade.close_ns:
            wake = min(wake, trade.close_ns)
        elif trade.lots > 0:
            _, closing = _working(v, orders, place)
            if closing:
                continue
            if n == MAX_INTENTS:
                wake = v.now_ns + 1
                continue
            propose_order(
                intents[n], _side(-trade.sign), _MARKET, _IOC, _NONE, trade.lots, _CLOSE, _CLOSES, own.strength_ppm,
                own.confidence_ppm,
            )  # fmt: skip
            intents[n].word = place
            n += 1
    return n, wake


@kernel
def _enter(own, p, v, intents, n):
    """One more trade in the signal's direction, if there is a place."""
    place = 0
    while place < TRADES and own.trades[place].sign != 0:
        place += 1
    if place == TRADES:
        own.passed += 1
        return n
    trade = own.trades[place]
    trade.sign, trade.lots, trade.close_ns = own.sign, 0, v.now_ns + p.hold_ns
    propose_order(
        intents[n], _side(own.sign), _MARKET, _IOC, _NONE, _SIZED, _ENTRY, _NONE, own.strength_ppm, own.confidence_ppm
    )
    intents[n].word = place
    intents[n].size_ppm = p.size_ppm[own.regime.regime]
    return n + 1


@kernel
def _signal(own, kind, intents, n):
    propose_signal(intents[n], kind, _side(own.sign), own.strength_ppm, own.confidence_ppm)
    return n + 1


@kernel
def _decide(own, p, f, v, intents):
    """A decision: the signal goes on, ends or begins, and a trigger makes a trade. Returns the intents."""
    n = 0
    d = divergence(v.prediction_ticks, f.mid2_ticks)
    regime_observe(own.regime, p.regime, f.mid2_ticks)
    sign = 1 if d > p.threshold else -1 if d < -p.threshold else 0
    if own.sign != 0 and own.sign != sign:
        n = _signal(own, _SIGNAL_END, intents, n)
    before = own.sign
    own.sign = sign
    if sign == 0:
        return n
    own.triggers += 1
    own.strength_ppm = int(np.floor(min(max(d * 1e6, -_STRENGTH_MAX), _STRENGTH_MAX) + 0.5))
    own.confidence_ppm = int(np.floor(min(1.0, abs(d) / (2.0 * p.threshold)) * _FULL_PPM + 0.5))
    if before != sign:
        n = _signal(own, _SIGNAL, intents, n)
    return _enter(own, p, v, intents, n) if v.may_send != 0 else n


@kernel
def decide_divergence(own, p, f, v, orders, intents):
    """See strategy.protocol. At most two words on the signal, an entry, and as many closes as there is room for."""
    _book_fill(own, v)
    if v.cause == _NO_BOOK:
        regime_clear(own.regime)
    if v.may_act == 0:
        return 0
    n = 0
    if v.cause == _END:
        return _signal(own, _SIGNAL_END, intents, n) if own.sign != 0 else n
    _free(own, v, orders)
    seen = f.ready != 0 and v.prediction_ticks > 0
    first = own.next_ns == _NEVER and seen and v.cause == _PREDICTION
    if first:
        own.next_ns = v.now_ns
    # At its very time only by the clock: the market may have moved, and the prediction of the same time not have come yet.
    if first or v.now_ns > own.next_ns or (v.now_ns == own.next_ns and v.cause == _TIMER):
        own.next_ns += ((v.now_ns - own.next_ns) // p.interval_ns + 1) * p.interval_ns
        if seen:
            n = _decide(own, p, f, v, intents)
    n, wake = _closes(own, v, orders, intents, n)
    own.wake_ns = min(own.next_ns, wake)
    return n
