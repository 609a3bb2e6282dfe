"""The default strategy: follow the side of the book that is heavier, patiently in, at once out.

    signal     |imbalance| >= threshold and spread <= max_spread, on a book message
    confidence 0.5 min(1, |imbalance| / (2 threshold)) + 0.3 min(1, streak / 10) + 0.2 [momentum has the same sign]

    NONE ──(condition, confidence >= min)──> LIVE(sign) ──(decayed below min, or condition with the other sign)──> NONE
                                              └── condition, same sign: confidence anew ──┘

Streak: consecutive book messages with |imbalance| >= threshold and the same sign; a lost book ends it. Confidence halves each
decay_ns since its last renewal; a renewal may also lower it, and below the minimum it ends the signal. So a signal's end is
known when it is renewed: the first ns at which confidence * 2**(-t / decay) < minimum. Confidences are rounded to 1e-6.

What it wants, from the signal, its own orders and the position:

    entry at work    signal over or turned, or the own best price (as last seen) moved: CANCEL it, and wait for the report
    close at work    wait for its report
    position against the signal, or without one:  IOC for all of it, through the opposite best by close_cross   (CLOSES)
    signal           post-only at the own best price on its side, sized by the stage                            (ENTRY)

Invariants: at most one entry order and at most one close order exist, never both; an entry exists only on the signal's side
or while its cancel is due. It looks always and acts only if it may, so a lack of credit delays and never loses a step.
"""

import numpy as np

from ringsim.kernel import kernel
from ringsim.records import NEVER_NS, OrderFlag, OrderKind, OrderType, Side, Tif
from ringsim.strategy.logarithm import log2_ratio
from ringsim.strategy.protocol import SIZED_BY_STAGE, Cause, propose_cancel, propose_order, propose_signal

ENTRY, CLOSE = 0, 1  # tags

FULL_STREAK = 10  # messages after which a longer streak adds nothing
CBPS = 1_000_000  # hundredths of a basis point in one

IMBALANCE_PARAMS = np.dtype(
    [
        ("threshold", "f8"),  # of |imbalance|, (0, 1]
        ("max_spread_bps", "f8"),
        ("min_confidence_ppm", "i8"),  # 0: a signal ends only by turning
        ("decay_ns", "i8"),  # half-life of the confidence
        ("close_cross_cbps", "i8"),  # worst price of a close: this far behind the opposite best
    ]
)
IMBALANCE_STATE = np.dtype(
    [
        ("wake_ns", "i8"),
        ("streak", "i8"),
        ("streak_sign", "i8"),
        ("met", "i8"),  # sign of the condition at this message, 0 if not met
        ("fresh_ppm", "i8"),  # confidence at this message, if met
        ("strength_ppm", "i8"),  # imbalance at the last renewal, signed
        ("confidence_ppm", "i8"),  # at the last renewal
        ("sign", "i8"),  # of the live signal, 0 none
        ("end_ns", "i8"),  # when it ends unless renewed
    ]
)

_BUY, _SELL = np.int64(Side.BUY), np.int64(Side.SELL)
_SIGNAL, _SIGNAL_END = np.int64(OrderKind.SIGNAL), np.int64(OrderKind.SIGNAL_END)
_LIMIT, _IOC, _POST_ONLY = np.int64(OrderType.LIMIT), np.int64(Tif.IOC), np.int64(Tif.POST_ONLY)
_CLOSES = np.int64(OrderFlag.CLOSES)
_BOOK, _NO_BOOK, _END = np.int64(Cause.BOOK), np.int64(Cause.NO_BOOK), np.int64(Cause.END)
_NEVER = NEVER_NS


@kernel
def _ppm(value):
    """Nearest millionth, halves up."""
    return int(np.floor(value * 1e6 + 0.5))


@kernel
def confidence_ppm(imbalance, threshold, streak, agrees):
    """Confidence of a signal, 0..1,000,000.

    imbalance: -1..1. threshold: > 0. streak: messages, >= 1. agrees: whether momentum has the imbalance's sign.
    """
    size = 0.5 * min(1.0, abs(imbalance) / (2.0 * threshold))
    length = 0.3 * min(1.0, streak / FULL_STREAK)
    return _ppm(size + length + (0.2 if agrees else 0.0))


@kernel
def signal_end_ns(renewed_ns, confidence, minimum, decay_ns):
    """First ns at which a confidence renewed at renewed_ns has decayed below the minimum. Both in ppm; minimum 0: never."""
    if minimum <= 0:
        return _NEVER
    if confidence < minimum:
        return renewed_ns
    return renewed_ns + int(np.floor(decay_ns * log2_ratio(float(confidence), float(minimum)))) + 1


@kernel
def _observe(own, p, f, now):
    """Streak, condition and confidence of a book message; renews a live signal."""
    sign = 0
    if f.ready != 0 and abs(f.imbalance) >= p.threshold:
        sign = 1 if f.imbalance > 0 else -1
    if sign == 0:
        own.streak = 0
    elif sign == own.streak_sign:
        own.streak += 1
    else:
        own.streak = 1
    own.streak_sign = sign
    if sign == 0 or f.spread_bps > p.max_spread_bps:
        return
    own.met = sign
    own.fresh_ppm = confidence_ppm(f.imbalance, p.threshold, own.streak, f.move2_ticks * sign > 0)
    if own.sign == sign and now < own.end_ns:
        _renew(own, p, f, now)


@kernel
def _renew(own, p, f, now):
    own.strength_ppm = _ppm(f.imbalance)
    own.confidence_ppm = own.fresh_ppm
    own.end_ns = signal_end_ns(now, own.fresh_ppm, p.min_confidence_ppm, p.decay_ns)


@kernel
def _side(sign):
    return _BUY if sign > 0 else _SELL


@kernel
def _trade(own, p, f, v, orders, intents, n):
    """The table of the file's head: at most one intent."""
    entry, close = -1, -1
    for k in range(v.own_orders):
        if orders[k].tag == ENTRY:
            entry = k
        else:
            close = k
    if entry >= 0:
        order = orders[entry]
        best = f.bid_ticks if order.side == _BUY else f.ask_ticks
        if own.sign != 0 and order.side == _side(own.sign) and order.px_ticks == best:
            return n
        propose_cancel(intents[n], order)
        return n + 1
    if close >= 0 or v.may_send == 0:
        return n
    position = v.position_lots
    if position * own.sign < 0 or (own.sign == 0 and position != 0):
        if position > 0:
            side, px = _SELL, max(1, f.bid_ticks - max(1, f.bid_ticks * p.close_cross_cbps // CBPS))
        else:
            side, px = _BUY, f.ask_ticks + max(1, f.ask_ticks * p.close_cross_cbps // CBPS)
        propose_order(
            intents[n], side, _LIMIT, _IOC, px, abs(position), CLOSE, _CLOSES, own.strength_ppm, own.confidence_ppm
        )
        return n + 1
    if own.sign != 0:
        side = _side(own.sign)
        px = f.bid_ticks if side == _BUY else f.ask_ticks
        propose_order(
            intents[n], side, _LIMIT, _POST_ONLY, px, SIZED_BY_STAGE, ENTRY, 0, own.strength_ppm, own.confidence_ppm
        )
        return n + 1
    return n


@kernel
def decide(own, p, f, v, orders, intents):
    """See strategy.protocol. At most three intents: a signal's end, the next one's start, and one of `_trade`."""
    own.met = 0
    if v.cause == _BOOK:
        _observe(own, p, f, v.now_ns)
    elif v.cause == _NO_BOOK:
        own.streak, own.streak_sign = 0, 0
    if v.may_act == 0:
        return 0
    n = 0
    if own.sign != 0 and (v.now_ns >= own.end_ns or own.met == -own.sign or v.cause == _END):
        propose_signal(intents[n], _SIGNAL_END, _side(own.sign), own.strength_ppm, own.confidence_ppm)
        n += 1
        own.sign = 0
    if own.sign == 0 and own.met != 0 and own.fresh_ppm >= p.min_confidence_ppm:
        own.sign = own.met
        _renew(own, p, f, v.now_ns)
        propose_signal(intents[n], _SIGNAL, _side(own.sign), own.strength_ppm, own.confidence_ppm)
        n += 1
    own.wake_ns = own.end_ns if own.sign != 0 else _NEVER
    if v.cause == _END:
        return n
    return _trade(own, p, f, v, orders, intents, n)
