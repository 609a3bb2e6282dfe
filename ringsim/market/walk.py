"""A generated price: a seeded prediction that walks at random, and a market that follows it late and not quite exactly.

    prediction   one step each step_ns: sigma, and by regime a drift, a pull, wider steps; jumps
    market       the prediction of lag_ns (and up to jitter_ns) ago, times 1 + noise; late steps never overtake earlier ones

Invariants: a lag of L ns is L ns, whatever the step: the market is at P(k) exactly lag after P(k). Everything is integers,
counter-based random words and basic float operations: the same seed gives the same path on any machine.
Twin: tests/naive/synthetic.py.
"""

from enum import IntEnum

import msgspec
import numpy as np

from ringsim.draws import below, normal
from ringsim.kernel import kernel
from ringsim.limits import MAX_SYNTHETIC_EVENTS

FINE = 16  # prices are followed in 2**-16 ticks
TREND_DRIFT = 0.5  # sigmas a step
VOLATILE_FACTOR = 3.0
SIDEWAYS_PULL = 0.125  # of the distance to where the regime began, each step
ROOM = 64  # the prediction stays within start / ROOM and start * ROOM

MAX_START_TICKS = 1 << 28


class Regime(IntEnum):
    """What the prediction's steps are like. MIXED: one of the others, drawn anew each regime_ns."""

    CALM = 0
    TREND = 1
    SIDEWAYS = 2
    VOLATILE = 3
    MIXED = 4


SYNTHETIC = np.dtype(
    [
        ("seed", "i8"),
        ("start_fine", "i8"),  # price at the start, 2**-16 ticks
        ("step_ns", "i8"),
        ("duration_ns", "i8"),
        ("lag_ns", "i8"),
        ("jitter_ns", "i8"),
        ("latency_ns", "i8"),
        ("transport_jitter_ns", "i8"),
        ("regime", "i8"),
        ("regime_steps", "i8"),
        ("jump_ppb", "i8"),  # probability of a jump, a step
        ("levels", "i8"),
        ("spread_ticks", "i8"),
        ("level_lots", "i8"),  # mean quantity of a level
        ("trade_lots", "i8"),  # mean quantity of a trade
        ("depth_hz", "i8"),
        ("cancel_hz", "i8"),
        ("trade_hz", "i8"),
        ("sigma", "f8"),
        ("noise", "f8"),
        ("jump_by", "f8"),
    ]
)
# Streams of random words; those of the book are ringsim.market.ladder's.
_WALK, _REGIME, _DIRECTION, _JUMP, _JUMP_SIGN, _LAG, _NOISE = (np.int64(k) for k in range(1, 8))

_CALM, _TREND, _SIDEWAYS, _VOLATILE, _MIXED = (np.int64(r) for r in Regime)
_PPB = 1_000_000_000
_NONE = np.int64(0)


class SyntheticParams(msgspec.Struct, frozen=True, kw_only=True):
    """Of a generated market; ticks and lots are the instrument's. `problems()` says what lies outside its range."""

    seed: int = 1
    start_fine: int  # 2**-FINE ticks
    duration_ns: int
    step_ns: int = 50_000_000
    lag_ns: int = 120_000_000
    jitter_ns: int = 0
    latency_ns: int = 1_000_000
    transport_jitter_ns: int = 0
    regime: Regime = Regime.CALM
    regime_steps: int = 200
    jump_ppb: int = 0
    levels: int = 10
    spread_ticks: int = 2
    level_lots: int = 1000
    trade_lots: int = 10
    depth_hz: int = 100
    cancel_hz: int = 20
    trade_hz: int = 20
    sigma: float = 0.001  # of a step, a share of the price
    noise: float = 0.0
    jump_by: float = 0.01

    @property
    def steps(self) -> int:
        return self.duration_ns // self.step_ns + 1

    @property
    def events(self) -> int:
        """About how many market events, from above."""
        ladder = self.steps * (1 + 4 * self.levels)
        return ladder + self.duration_ns * (self.depth_hz + self.cancel_hz + 2 * self.trade_hz) // 1_000_000_000

    def problems(self) -> list[str]:
        """Every combination that cannot be generated, one line each; single values were checked where they were read."""
        found = []
        least = ROOM * (self.levels + self.spread_ticks + 2)
        if not least << FINE <= self.start_fine <= MAX_START_TICKS << FINE:
            found.append(
                f"the start price is {self.start_fine >> FINE:,} ticks; with {self.levels} levels and a spread of "
                f"{self.spread_ticks} it must be {least:,}..{MAX_START_TICKS:,}: choose another tick or price"
            )
        if self.level_lots < 1 or self.trade_lots < 1:
            found.append("the mean quantity of a level and of a trade must be at least one lot")
        if self.events > MAX_SYNTHETIC_EVENTS:
            found.append(
                f"about {self.events:,} events, more than {MAX_SYNTHETIC_EVENTS:,}: a shorter duration, longer steps, "
                "fewer levels or lower rates"
            )
        return found


def make_params(params: SyntheticParams) -> np.recarray:
    """The parameters as the kernels read them: a SYNTHETIC recarray[1]."""
    found = np.zeros(1, SYNTHETIC).view(np.recarray)
    for name in SYNTHETIC.names or ():
        found[0][name] = getattr(params, name)
    return found


@kernel
def _regime(p, k):
    """The regime of step k."""
    if p.regime != _MIXED:
        return p.regime
    return below(p.seed, _REGIME, k // p.regime_steps, _MIXED)


@kernel
def predict(ps, predictions, regimes):
    """The walk. ps: SYNTHETIC[1]. predictions: int64[n] for prices, 2**-16 ticks. regimes: int64[n] for a Regime each."""
    p = ps[0]
    low, high = p.start_fine // ROOM, p.start_fine * ROOM
    price, anchor, direction = p.start_fine, p.start_fine, 1.0
    for k in range(predictions.size):
        regime = _regime(p, k)
        regimes[k] = regime
        if k % p.regime_steps == 0:
            anchor = price
            direction = 1.0 if below(p.seed, _DIRECTION, k // p.regime_steps, 2) == 0 else -1.0
        if k > 0:
            z = normal(p.seed, _WALK, k)
            if regime == _VOLATILE:
                z *= VOLATILE_FACTOR
            elif regime == _TREND:
                z += direction * TREND_DRIFT
            move = price * (p.sigma * z)
            if regime == _SIDEWAYS:
                move += (anchor - price) * SIDEWAYS_PULL
            if p.jump_ppb > 0 and below(p.seed, _JUMP, k, _PPB) < p.jump_ppb:
                up = below(p.seed, _JUMP_SIGN, k, 2) == 0
                move += price * (p.jump_by if up else -p.jump_by)
            price += int(np.floor(move + 0.5))
            price = min(max(price, low), high)
        predictions[k] = price


@kernel
def follow(ps, predictions, times_ns, prices):
    """When the market has followed each step of the prediction, and to where: ns since the start; 2**-16 ticks."""
    p = ps[0]
    newest = _NONE
    for k in range(predictions.size):
        wanted = k * p.step_ns + p.lag_ns
        if p.jitter_ns > 0:
            wanted += below(p.seed, _LAG, k, p.jitter_ns + 1)
        newest = max(newest, wanted)
        times_ns[k] = newest
        prices[k] = predictions[k]
        if p.noise > 0.0:
            prices[k] += int(np.floor(predictions[k] * (p.noise * normal(p.seed, _NOISE, k)) + 0.5))


def prices_of(params: SyntheticParams) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(predictions, their regimes, the market's times, its prices), a row a step; times in ns since the start."""
    p, n = make_params(params), params.steps
    predictions, regimes, times_ns, prices = (np.zeros(n, np.int64) for _ in range(4))
    predict(p, predictions, regimes)
    follow(p, predictions, times_ns, prices)
    return predictions, regimes, times_ns, prices
