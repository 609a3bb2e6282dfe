"""What a paper exchange can be told: one struct for people, one record for the fold, the same fields."""

from typing import Any

import msgspec
import numpy as np

from ringsim.broker.adverse import WHOLE_PCT
from ringsim.broker.latency import LATENCY, LatencyModel
from ringsim.broker.queue import EXPONENT_MAX, QueueModel
from ringsim.broker.rate import RATE_ORDERS_MAX
from ringsim.broker.slippage import SLIPPAGE_CBPS_MAX, SLIPPAGE_TICKS_MAX
from ringsim.limits import MAX_FEE_CBPS, MAX_STRATEGIES, MAX_SYMBOLS
from ringsim.records import NEVER_NS
from ringsim.risk.limits import MONEY_MAX, RiskLimits

DELAY_MAX_NS = 60_000_000_000  # a latency longer than a minute is a mistake in the unit
SPEED_MAX = 1_000_000_000  # of either part of the feed's speed
PERIOD_MAX_NS = 86_400_000_000_000

BROKER_PARAMS = np.dtype(
    [
        ("symbol", "i8"),
        ("strategies", "i8"),
        ("maker_cbps", "i8"),
        ("taker_cbps", "i8"),
        ("latency", LATENCY),
        ("queue_model", "i8"),
        ("queue_n", "f8"),
        ("whole_fills", "i8"),
        ("adverse_pct", "i8"),
        ("seed", "i8"),
        ("slippage_ticks", "i8"),
        ("slippage_cbps", "i8"),
        ("rate_orders", "i8"),
        ("rate_window_ns", "i8"),
        ("snapshot_interval_ns", "i8"),
        ("expiry_ns", "i8"),
    ]
)


class BrokerParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of one account on one instrument. `problems()` says what lies outside its range."""

    symbol: int = 0  # number of the instrument, 0..MAX_SYMBOLS - 1; orders for another one are BAD_SYMBOL
    strategies: int = 1  # that trade on the account, 1..MAX_STRATEGIES; of several each one's share is reported, too
    cash0: int = 0  # money, 0..MONEY_MAX
    maker_cbps: int = 200  # fee of a fill that rested, hundredths of a basis point, +-MAX_FEE_CBPS; negative: rebate
    taker_cbps: int = 200
    latency_model: LatencyModel = LatencyModel.CONSTANT
    entry_ns: int = 1_000_000  # 0..DELAY_MAX_NS; the simulated clock needs at least 1
    response_ns: int = 1_000_000
    entry_jitter_ns: int = 0  # JITTER: uniform 0..this on top
    response_jitter_ns: int = 0
    ns_per_bps: int = 0  # VOLATILITY: on top for each basis point that the mid went of late
    most_ns: int = 0  # and no more than this
    first_ns: int = 0  # ROWS: the first time of the session under the realtime clock; event time is the session's
    speed: tuple[int, int] = (1, 1)  # of the feed, a fraction
    realtime: bool = False  # ROWS: a CLOCK event says when first_ns is
    seed: int = 0  # >= 0
    queue_model: QueueModel = QueueModel.RISK_AVERSE
    queue_n: float = 2.0  # exponent of the power models, 0 < n <= EXPONENT_MAX
    whole_fills: bool = False  # an order fills completely once any of it is executable, a taker at the best price
    adverse_pct: int = 0  # percent: how often others have a trade at our price whose level holds; not with whole_fills
    slippage_ticks: int = 0  # what a taker pays beyond each level
    slippage_cbps: int = 0  # the same as a share of the level's price, hundredths of a basis point, rounded up
    rate_orders: int = 0  # new orders and replacements that the venue takes in one window, 0: any number
    rate_window_ns: int = 10_000_000_000  # length of a window, 1..PERIOD_MAX_NS; windows begin at its multiples of UTC
    snapshot_interval_ns: int = 60_000_000_000  # of the PERIODIC account, 0: none
    expiry_ns: int = 1_000_000_000  # open orders live this long after the end of the feed
    utc_offset_ns: int = 0  # added to `now` gives UTC, for the day of the loss cap
    limits: RiskLimits = RiskLimits()  # of the account

    def problems(self) -> list[str]:
        """Every value out of its range, one line each; empty when all hold."""
        ranges = {
            "symbol": (0, MAX_SYMBOLS - 1),
            "strategies": (1, MAX_STRATEGIES),
            "cash0": (0, MONEY_MAX),
            "maker_cbps": (-MAX_FEE_CBPS, MAX_FEE_CBPS),
            "taker_cbps": (-MAX_FEE_CBPS, MAX_FEE_CBPS),
            "entry_ns": (0, DELAY_MAX_NS),
            "response_ns": (0, DELAY_MAX_NS),
            "entry_jitter_ns": (0, DELAY_MAX_NS),
            "response_jitter_ns": (0, DELAY_MAX_NS),
            "ns_per_bps": (0, DELAY_MAX_NS),
            "most_ns": (0, DELAY_MAX_NS),
            "first_ns": (0, NEVER_NS - 1),
            "seed": (0, (1 << 63) - 1),
            "adverse_pct": (0, WHOLE_PCT),
            "slippage_ticks": (0, SLIPPAGE_TICKS_MAX),
            "slippage_cbps": (0, SLIPPAGE_CBPS_MAX),
            "rate_orders": (0, RATE_ORDERS_MAX),
            "rate_window_ns": (1, PERIOD_MAX_NS),
            "snapshot_interval_ns": (0, PERIOD_MAX_NS),
            "expiry_ns": (0, PERIOD_MAX_NS),
        }
        found = [
            f"{name} {getattr(self, name)} lies outside {least}..{most}"
            for name, (least, most) in ranges.items()
            if not least <= getattr(self, name) <= most
        ]
        if not 0.0 < self.queue_n <= EXPONENT_MAX:
            found.append(f"queue_n {self.queue_n} lies outside 0 (excluded)..{EXPONENT_MAX}")
        if not all(1 <= part <= SPEED_MAX for part in self.speed):
            found.append(f"speed {self.speed} lies outside 1..{SPEED_MAX} in a part")
        return found + [f"limits.{problem}" for problem in self.limits.problems()]

    def store(self, p: Any) -> None:
        """Write the values that the fold reads into a BROKER_PARAMS record."""
        for name in BROKER_PARAMS.names or ():
            if name != "latency":
                p[name] = getattr(self, name)
        p["latency"]["model"] = self.latency_model
        p["latency"]["speed_num"], p["latency"]["speed_den"] = self.speed
        for name in LATENCY.names or ():
            if name not in ("model", "speed_num", "speed_den"):
                p["latency"][name] = getattr(self, name)
