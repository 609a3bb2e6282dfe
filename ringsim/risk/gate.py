"""The gate that every order passes twice: in the strategy before it is sent, in the broker (account-wide) when it acts.

                ACTIVE ──(80 % of the loss cap, operator)──> REDUCING      only orders that reduce
                   └──────────┬────────────────────────────────┘
            (loss cap, drawdown, losses in a row, operator, broken invariant)
                              v
                            HALTED      nothing; latched over midnight and restarts with its first reason, until rearmed

Invariants:
- The smallest limit wins; an ADJUSTED order is exactly as large as the tightest limit allows, and names it.
- An order that can only bring the position nearer to zero, even with everything that works on its side filled, passes
  every limit, at any rate, unless HALTED. Of an order that is larger than that, at least the reducing part passes.
- Limits count what works: the worst case is the position with all working orders of the same side filled.
- A halt keeps its first reason; only `risk_rearm` ends it. Cancels never come here: they always pass.

The state is one record of integers (money is ticks x lots; 0 = no such limit, see risk.limits); the gate knows neither
strategy nor broker and reads no clock: `now` refills the token bucket.
"""

from typing import Any

import numpy as np

from ringsim.kernel import kernel
from ringsim.limits import MAX_NOTIONAL, MAX_QTY_LOTS
from ringsim.records import Reason, Side, Trading, Verdict
from ringsim.risk.limits import RiskLimits

RISK = np.dtype(
    [
        # limits, 0 = none
        ("max_intent", "i8"),
        ("max_position_lots", "i8"),
        ("max_order_lots", "i8"),
        ("max_notional", "i8"),
        ("orders_per_second", "i8"),
        ("daily_loss_cap", "i8"),
        ("max_drawdown", "i8"),
        ("collar_cbps", "i8"),
        ("max_consecutive_losses", "i8"),
        ("utc_offset_ns", "i8"),  # what turns the stage's `now` into UTC: 0 under the simulated clock
        # token bucket: an order costs ORDER_COST, each ns adds `orders_per_second`
        ("tokens", "i8"),
        ("refilled_ns", "i8"),
        # state
        ("trading", "i8"),  # Trading
        ("halt_reason", "i8"),  # why HALTED, 0 if not
        ("reducing_reason", "i8"),  # why REDUCING: DAILY_LOSS ends with the day, REDUCING is the operator's
        ("day", "i8"),  # UTC day number, -1 before the first account
        ("day_base", "i8"),  # net realised P&L when the day began, or when trading was rearmed
        ("net_realized", "i8"),  # realised P&L net of fees, as last told
        ("equity", "i8"),  # as last told
        ("peak_equity", "i8"),
        ("trip_base", "i8"),  # net realised P&L at the last flat position
        ("losses", "i8"),  # round trips lost in a row
    ]
)

DAY_NS = 86_400_000_000_000
ORDER_COST = 1_000_000_000  # so that `orders_per_second` tokens a ns are that many orders a second, in integers
REFILL_NS = 1_000_000_000  # the bucket holds one second of orders: any longer gap fills it

_BUY, _SELL = np.int64(Side.BUY), np.int64(Side.SELL)
_ACTIVE, _REDUCING, _HALTED = np.int64(Trading.ACTIVE), np.int64(Trading.REDUCING), np.int64(Trading.HALTED)
_APPROVED, _ADJUSTED, _REJECTED = np.int64(Verdict.APPROVED), np.int64(Verdict.ADJUSTED), np.int64(Verdict.REJECTED)
_INTENT, _POSITION, _ORDER_SIZE, _NOTIONAL = (
    np.int64(r) for r in (Reason.INTENT, Reason.POSITION, Reason.ORDER_SIZE, Reason.NOTIONAL)
)
_ORDER_RATE, _DAILY_LOSS, _DRAWDOWN = (
    np.int64(Reason.ORDER_RATE),
    np.int64(Reason.DAILY_LOSS),
    np.int64(Reason.DRAWDOWN),
)
_COLLAR, _LOSSES = np.int64(Reason.PRICE_COLLAR), np.int64(Reason.CONSECUTIVE_LOSSES)
_KILL_SWITCH, _REDUCING_REASON = np.int64(Reason.KILL_SWITCH), np.int64(Reason.REDUCING)
_BAD_PRICE, _BAD_QUANTITY, _BAD_ORDER = (
    np.int64(Reason.BAD_PRICE),
    np.int64(Reason.BAD_QUANTITY),
    np.int64(Reason.BAD_ORDER),
)


def risk_open(r: Any, limits: RiskLimits, capital: int, utc_offset_ns: int = 0) -> None:
    """Set a RISK record to the start of a run: ACTIVE, a full bucket, nothing lost. Cold.

    capital: money, the equity that drawdown is measured from at first.
    """
    for name in limits.__struct_fields__:
        r[name] = getattr(limits, name)
    r["utc_offset_ns"] = utc_offset_ns
    r["tokens"], r["refilled_ns"] = limits.orders_per_second * ORDER_COST, 0
    r["trading"] = _ACTIVE
    for name in ("halt_reason", "reducing_reason", "day_base", "net_realized", "trip_base", "losses"):
        r[name] = 0
    r["day"] = -1
    r["equity"] = r["peak_equity"] = capital


@kernel
def risk_reducible(side, position_lots, working_buy_lots, working_sell_lots):
    """Lots of a new order on `side` that could only bring the position nearer to zero, whatever else fills; >= 0."""
    if side == _BUY:
        return max(0, -position_lots - working_buy_lots)
    return max(0, position_lots - working_sell_lots)


@kernel
def _tightest(r, side, price, position_lots, working_buy_lots, working_sell_lots):
    """(lots, Reason) of the size limits: the fewest lots that one of them allows, >= 0; of equals the first named."""
    # The worst case on this side, signed so that a position on the other side gives room.
    worst = position_lots + working_buy_lots if side == _BUY else working_sell_lots - position_lots
    lots = (r.max_intent if r.max_intent > 0 else MAX_NOTIONAL) // price
    reason = _INTENT
    if r.max_position_lots > 0:
        room = max(0, r.max_position_lots - worst)
        if room < lots:
            lots, reason = room, _POSITION
    room = r.max_order_lots if r.max_order_lots > 0 else MAX_QTY_LOTS
    if room < lots:
        lots, reason = room, _ORDER_SIZE
    if r.max_notional > 0:
        room = max(0, r.max_notional // price - worst)
        if room < lots:
            lots, reason = room, _NOTIONAL
    return lots, reason


@kernel
def _refill(r, now):
    """Fill the token bucket up to `now`; time that stands still or goes back adds nothing."""
    gone = now - r.refilled_ns
    if gone > 0:
        r.tokens = min(r.orders_per_second * ORDER_COST, r.tokens + min(gone, REFILL_NS) * r.orders_per_second)
        r.refilled_ns = now


@kernel
def _take_token(r):
    """A passed order costs a token; a reducing one passes without, so the bucket never goes below zero."""
    if r.orders_per_second > 0:
        r.tokens = max(0, r.tokens - ORDER_COST)


@kernel
def risk_judge(r, now, side, px, qty, position_lots, working_buy_lots, working_sell_lots, mark):
    """May this order go, and how large?

    now: ns, refills the order-rate bucket. side: 1 buy, 2 sell. px: ticks, 0 of a market order (money limits then use
    `mark`). qty: lots. position_lots: signed; working_*_lots: unfilled lots of other open orders, >= 0. mark: ticks,
    mid price, 0 unknown (a price collar then lets nothing through).
    Returns (Verdict, Reason, allowed lots): APPROVED with NONE and qty; ADJUSTED with the tightest limit and what it
    allows; REJECTED with it and 0. HALTED rejects with the halt's reason. What passes takes a token of the bucket.
    """
    if side != _BUY and side != _SELL:
        return _REJECTED, _BAD_ORDER, 0
    if qty < 1:
        return _REJECTED, _BAD_QUANTITY, 0
    if px < 0:
        return _REJECTED, _BAD_PRICE, 0
    if r.trading == _HALTED:
        return _REJECTED, r.halt_reason, 0
    if r.orders_per_second > 0:
        _refill(r, now)
    reducible = risk_reducible(side, position_lots, working_buy_lots, working_sell_lots)
    if qty <= reducible:
        _take_token(r)
        return _APPROVED, 0, qty
    price = px if px > 0 else mark
    if price < 1:
        lots, reason = 0, _BAD_PRICE
    elif r.trading == _REDUCING:
        lots, reason = 0, _REDUCING_REASON
    else:
        lots, reason = _tightest(r, side, price, position_lots, working_buy_lots, working_sell_lots)
        if lots > 0 and r.orders_per_second > 0 and r.tokens < ORDER_COST:
            lots, reason = 0, _ORDER_RATE
        if lots > 0 and r.collar_cbps > 0:
            through = price - mark if side == _BUY else mark - price
            if mark < 1 or through * 1_000_000 > mark * r.collar_cbps:
                lots, reason = 0, _COLLAR
    lots = max(lots, reducible)
    if lots < 1:
        return _REJECTED, reason, 0
    _take_token(r)
    if lots >= qty:
        return _APPROVED, 0, qty
    return _ADJUSTED, reason, lots


@kernel
def risk_headroom(r, side, px, position_lots, working_buy_lots, working_sell_lots):
    """Largest order that the size limits would let pass now, lots, >= 0: what sizing takes its fraction of.

    px: ticks, >= 1. Order rate and collar say yes or no to any size, so they are not in it. 0 when HALTED; when
    REDUCING what reduces.
    """
    if r.trading == _HALTED or px < 1:
        return 0
    reducible = risk_reducible(side, position_lots, working_buy_lots, working_sell_lots)
    if r.trading == _REDUCING:
        return reducible
    lots, _ = _tightest(r, side, px, position_lots, working_buy_lots, working_sell_lots)
    return max(lots, reducible)


@kernel
def risk_token_ns(r, now):
    """Earliest time, ns, at which the bucket holds a whole order; `now` if it does already, or without such a limit."""
    if r.orders_per_second == 0:
        return now
    _refill(r, now)
    missing = ORDER_COST - r.tokens
    if missing <= 0:
        return now
    return now + (missing + r.orders_per_second - 1) // r.orders_per_second


@kernel
def risk_halt(r, reason):
    """Kill switch: HALTED from here. Of several reasons the first is kept."""
    if r.trading != _HALTED:
        r.trading = _HALTED
        r.halt_reason = reason


@kernel
def risk_reduce(r):
    """The operator wants only orders that reduce; stays until rearmed. Does not lift a halt."""
    if r.trading != _HALTED:
        r.trading = _REDUCING
        r.reducing_reason = _REDUCING_REASON


@kernel
def risk_rearm(r):
    """The operator lets trading go on: ACTIVE. Losses, drawdown and the row of losing trips count from here."""
    r.trading = _ACTIVE
    r.halt_reason = 0
    r.reducing_reason = 0
    r.day_base = r.net_realized
    r.peak_equity = r.equity
    r.losses = 0


@kernel
def risk_control(r, trading):
    """A TRADING control event. trading: a Trading; HALTED is the kill switch, an unknown value changes nothing."""
    if trading == _HALTED:
        risk_halt(r, _KILL_SWITCH)
    elif trading == _REDUCING:
        risk_reduce(r)
    elif trading == _ACTIVE:
        risk_rearm(r)


@kernel
def risk_day_realized(r):
    """Realised P&L of the day net of fees, money, as of the last risk_account."""
    return r.net_realized - r.day_base


@kernel
def risk_account(r, now, net_realized, equity):
    """Tell the gate how the account stands: after every fill, and now and then, so that days and drawdown are noticed.

    now: ns. net_realized: money since the start of the run, fees taken off. equity: money.
    Returns the Reason of a halt that happens in this call, else 0. A realised loss of exactly the cap halts. What was
    realised since the last call counts to the day of this one.
    """
    day = (now + r.utc_offset_ns) // DAY_NS
    if day > r.day:
        r.day = day
        r.day_base = r.net_realized
        if r.trading == _REDUCING and r.reducing_reason == _DAILY_LOSS:
            r.trading = _ACTIVE
            r.reducing_reason = 0
    r.net_realized = net_realized
    r.equity = equity
    r.peak_equity = max(r.peak_equity, equity)
    if r.trading == _HALTED:
        return 0
    loss = r.day_base - net_realized
    if r.daily_loss_cap > 0 and loss >= r.daily_loss_cap:
        risk_halt(r, _DAILY_LOSS)
        return _DAILY_LOSS
    if r.max_drawdown > 0 and r.peak_equity - equity >= r.max_drawdown:
        risk_halt(r, _DRAWDOWN)
        return _DRAWDOWN
    if r.daily_loss_cap > 0 and r.trading == _ACTIVE and loss >= r.daily_loss_cap - r.daily_loss_cap // 5:
        r.trading = _REDUCING
        r.reducing_reason = _DAILY_LOSS
    return 0


@kernel
def risk_round_trip(r, net_realized):
    """The position is flat, or has changed its side: one round trip ended.

    net_realized: as for risk_account. Returns CONSECUTIVE_LOSSES if this loss halts, else 0. A trip that ends where it
    began neither counts nor breaks the row.
    """
    result = net_realized - r.trip_base
    r.trip_base = net_realized
    if result < 0:
        r.losses += 1
    elif result > 0:
        r.losses = 0
    if r.trading != _HALTED and r.max_consecutive_losses > 0 and r.losses >= r.max_consecutive_losses:
        risk_halt(r, _LOSSES)
        return _LOSSES
    return 0
