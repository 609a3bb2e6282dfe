"""What a strategy can be told: one struct for people and the edge, one record for the fold."""

import msgspec
import numpy as np

from ringsim.limits import FEATURE_WINDOW, MAX_STRATEGIES, MAX_SYMBOLS
from ringsim.risk.limits import MONEY_MAX, RiskLimits
from ringsim.strategy.divergence import DIVERGENCE_PARAMS
from ringsim.strategy.foreign import USER_PARAMS
from ringsim.strategy.imbalance import CBPS, IMBALANCE_PARAMS
from ringsim.strategy.protocol import StrategyKind
from ringsim.strategy.scripted import SCRIPTED_PARAMS
from ringsim.strategy.sizing import WHOLE_PPM

PERIOD_MAX_NS = 86_400_000_000_000  # a day: longer windows, half-lives and intervals are mistakes in the unit

STRATEGY_PARAMS = np.dtype(
    [
        ("strategy", "i8"),
        ("strategies", "i8"),
        ("kind", "i8"),  # StrategyKind
        ("symbol", "i8"),
        ("order_size_ppm", "i8"),
        ("snapshot_interval_ns", "i8"),
        ("imbalance", IMBALANCE_PARAMS),
        ("scripted", SCRIPTED_PARAMS),
        ("divergence", DIVERGENCE_PARAMS),
        ("user", USER_PARAMS),
    ]
)


class StrategyParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of one strategy on one instrument; the defaults are the founding documents'. Money is ticks x lots.

    `problems()` says what lies outside its range.
    """

    strategy: int = 0  # number of the strategy, 0..MAX_STRATEGIES - 1: its records carry it
    strategies: int = 1  # on the account, 1..MAX_STRATEGIES; reports that carry this number are the account's
    kind: StrategyKind = StrategyKind.IMBALANCE
    symbol: int = 0  # number of the instrument, 0..MAX_SYMBOLS - 1
    capital: int  # money, 1..MONEY_MAX: cash of its own ledger at the start
    limits: RiskLimits = RiskLimits()  # of this strategy; the account has its own in the broker
    imbalance_threshold: float = 0.3  # 0.000001..1
    min_confidence_ppm: int = 700_000  # 0..1,000,000; 0: a signal ends only by turning
    max_spread_bps: float = 10.0  # 0..10,000
    signal_decay_ns: int = 500_000_000  # half-life of the confidence, 1..PERIOD_MAX_NS
    feature_window_ns: int = 1_000_000_000  # 1..PERIOD_MAX_NS
    feature_store: int = FEATURE_WINDOW  # samples of the window kept at most, a power of two, 2..FEATURE_WINDOW
    order_size_ppm: int = 500_000  # entry: share of what the limits allow, 1..1,000,000
    close_cross_cbps: int = (
        500  # close: how far through the opposite best, hundredths of a bp, 0..1,000,000 (never under a tick)
    )
    snapshot_interval_ns: int = (
        60_000_000_000  # of the SNAPSHOT records, 0..PERIOD_MAX_NS; 0: only the first and the last
    )
    utc_offset_ns: int = 0  # added to `now` gives UTC, for the day of the loss cap
    realtime: bool = False  # SCRIPTED: its times are of the receiver's clock; a CLOCK event says when first_ns is
    first_ns: int = 0
    speed: tuple[int, int] = (1, 1)  # of the feed, a fraction
    divergence_threshold: float = 0.003  # of |D|, above 0, at most 1
    decision_interval_ns: int = 50_000_000  # 1..PERIOD_MAX_NS
    hold_ns: int = 120_000_000  # of a divergence trade, 1..PERIOD_MAX_NS
    volatile_at: float = 0.002  # root mean square return from a decision to the next, 0..1
    trend_at: float = 0.45  # efficiency ratio, 0..1
    size_ppm: tuple[int, int, int] = (
        WHOLE_PPM,
        WHOLE_PPM,
        WHOLE_PPM,
    )  # of the entry's size, by MarketRegime, 1..1,000,000
    user_words: tuple[int, ...] = ()  # USER: its parameters as words of its own dtype (strategy.user)

    def problems(self) -> list[str]:
        """Every value out of its range, one line each; empty when all hold."""
        ranges: dict[str, tuple[float, float]] = {
            "strategy": (0, self.strategies - 1),
            "strategies": (1, MAX_STRATEGIES),
            "symbol": (0, MAX_SYMBOLS - 1),
            "capital": (1, MONEY_MAX),
            "imbalance_threshold": (0.000001, 1.0),
            "min_confidence_ppm": (0, WHOLE_PPM),
            "max_spread_bps": (0.0, 10_000.0),
            "signal_decay_ns": (1, PERIOD_MAX_NS),
            "feature_window_ns": (1, PERIOD_MAX_NS),
            "feature_store": (2, FEATURE_WINDOW),
            "order_size_ppm": (1, WHOLE_PPM),
            "close_cross_cbps": (0, CBPS),
            "snapshot_interval_ns": (0, PERIOD_MAX_NS),
            "divergence_threshold": (1e-12, 1.0),
            "decision_interval_ns": (1, PERIOD_MAX_NS),
            "hold_ns": (1, PERIOD_MAX_NS),
            "volatile_at": (0.0, 1.0),
            "trend_at": (0.0, 1.0),
        }
        found = [
            f"{name} {getattr(self, name)} lies outside {least}..{most}"
            for name, (least, most) in ranges.items()
            if not least <= getattr(self, name) <= most
        ]
        if self.feature_store & (self.feature_store - 1) != 0:
            found.append(f"feature_store {self.feature_store} is no power of two")
        if not 1 <= min(self.size_ppm) <= max(self.size_ppm) <= WHOLE_PPM:
            found.append(f"size_ppm {self.size_ppm} lies outside 1..{WHOLE_PPM}")
        if min(self.speed) < 1:
            found.append(f"speed {self.speed[0]}/{self.speed[1]} is not above 0")
        return found + [f"limits.{problem}" for problem in self.limits.problems()]

    def store(self, p) -> None:
        """Write the values that the fold reads into a STRATEGY_PARAMS record."""
        for name in ("strategy", "strategies", "kind", "symbol", "order_size_ppm", "snapshot_interval_ns"):
            p[name] = getattr(self, name)
        q = p["imbalance"]
        q["threshold"], q["max_spread_bps"] = self.imbalance_threshold, self.max_spread_bps
        q["min_confidence_ppm"], q["decay_ns"] = self.min_confidence_ppm, self.signal_decay_ns
        q["close_cross_cbps"] = self.close_cross_cbps
        r = p["scripted"]
        d = p["divergence"]
        d["threshold"], d["interval_ns"] = self.divergence_threshold, self.decision_interval_ns
        d["hold_ns"], d["size_ppm"] = self.hold_ns, self.size_ppm
        d["regime"]["volatile_at"], d["regime"]["trend_at"] = self.volatile_at, self.trend_at
        p["user"]["words"][: len(self.user_words)] = self.user_words
        r["first_ns"], (r["speed_num"], r["speed_den"]) = self.first_ns, self.speed
