"""The limits of one account or one strategy, in the instrument's integers: money is ticks x lots, sizes are lots.

0 switches a limit off, each by itself and on purpose; `RiskLimits()` is a gate without limits (`--limits none`).
Values in quote units become integers at the edge (`Instrument.amount`, rounded toward zero: a limit is never wider than
it reads; one that would round to 0 must become 1, the narrowest there is).
"""

import msgspec

from ringsim.limits import MAX_NOTIONAL, MAX_QTY_LOTS

RATE_MAX = 1_000_000  # orders per second: one a microsecond; the bucket then still counts in int64
MONEY_MAX = 1 << 61  # sums of two stay below 2**63
COLLAR_MAX_CBPS = 1_000_000  # 100 % of the mark


class RiskLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All int, 0 = no such limit."""

    max_intent: int = 0  # money of one order
    max_position_lots: int = 0  # long or short, with everything that works filled
    max_order_lots: int = 0
    max_notional: int = 0  # money: |position with everything that works filled| x price
    orders_per_second: int = 0  # token bucket, burst of one second
    daily_loss_cap: int = 0  # money: realised net of fees <= -cap halts; REDUCING from 80 % of it
    max_drawdown: int = 0  # money: equity this far below its peak halts
    collar_cbps: int = 0  # hundredths of a basis point: how far through the mark a price may be
    max_consecutive_losses: int = 0  # round trips that lost, in a row: this many halt

    def problems(self) -> list[str]:
        """Every value out of its range, one line each; empty when all hold."""
        widest = {
            "max_intent": MAX_NOTIONAL,
            "max_position_lots": MAX_QTY_LOTS,
            "max_order_lots": MAX_QTY_LOTS,
            "max_notional": MONEY_MAX,
            "orders_per_second": RATE_MAX,
            "daily_loss_cap": MONEY_MAX,
            "max_drawdown": MONEY_MAX,
            "collar_cbps": COLLAR_MAX_CBPS,
            "max_consecutive_losses": RATE_MAX,
        }
        return [
            f"{name} {getattr(self, name)} lies outside 0..{most} (0: no limit)"
            for name, most in widest.items()
            if not 0 <= getattr(self, name) <= most
        ]


def usual_limits(capital: int) -> RiskLimits:
    """What the founding documents fix for any account: 0.5 % of capital an intent, 2 % realised loss a day.

    capital: money. Both are rounded toward zero, and are at least 1 so that they never switch themselves off.
    """
    return RiskLimits(max_intent=max(1, capital // 200), daily_loss_cap=max(1, capital // 50))
