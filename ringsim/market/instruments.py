"""Known instruments and their grids, and what to do about an unknown one.

Invariant: an instrument's grid is decided before the first message is folded, and never changes in a session: a value
off the grid makes its message bad, it is never rounded.
"""

from collections.abc import Iterable
from decimal import Decimal

import numpy as np

from ringsim.errors import BadInput
from ringsim.units import Instrument, decimal

SPOT, USDM, COINM = "spot", "usdm", "coinm"
SYNTHETIC, LOBSTER = "synthetic", "lobster"

KNOWN = (
    Instrument("BTCUSDT", "0.01", "0.00001", SPOT),
    Instrument("ETHUSDT", "0.01", "0.0001", SPOT),
    Instrument("BTCUSDT", "0.1", "0.001", USDM),
    Instrument("ETHUSDT", "0.01", "0.001", USDM),
)

MAX_DECIMALS = 12  # of a tick or lot: 18 digits fit an int64, and prices need some in front of the point
_QUOTES = ("USDT", "USDC", "FDUSD", "TUSD", "BUSD", "BTC", "ETH", "BNB", "EUR", "TRY", "USD")

# A grid as kernels use it: value = count * units * 10**-digits (tick 0.05: units 5, digits 2).
GRID = np.dtype([("px_digits", "i8"), ("px_units", "i8"), ("qty_digits", "i8"), ("qty_units", "i8")])


def find_instrument(symbol: str, market: str, more: Iterable[Instrument] = ()) -> Instrument | None:
    """The instrument of that symbol and market, from `more` (the configuration's) first, then KNOWN; None if unknown."""
    for one in (*more, *KNOWN):
        if (one.symbol, one.market) == (symbol, market):
            return one
    return None


def infer_instrument(symbol: str, market: str, levels: Iterable[tuple[str, str]]) -> Instrument:
    """An unknown instrument on the finest grid that its levels (price and quantity texts) use.

    Powers of ten only: the greatest common divisor of a thin snapshot may be coarser than the venue's grid, and then the
    first finer price would be lost. No levels: whole ticks and lots.
    """
    px_digits = qty_digits = 0
    for px, qty in levels:
        px_digits = max(px_digits, _decimals(px))
        qty_digits = max(qty_digits, _decimals(qty))
    return Instrument(symbol, _step(px_digits), _step(qty_digits), market, quote_of(symbol))


def quote_of(symbol: str) -> str:
    """The quote currency that a symbol ends in ("BTCUSDT" and "BTCUSDT_240927": USDT); "" if none is known."""
    pair = symbol.partition("_")[0]
    return next((q for q in _QUOTES if pair.endswith(q)), "")


def grid_values(one: Instrument) -> tuple[int, int, int, int]:
    """px_digits, px_units, qty_digits, qty_units of GRID. BadInput if tick or lot is no positive decimal in range."""
    return *_parts(one.tick, f"{one.symbol} tick"), *_parts(one.lot, f"{one.symbol} lot")


def make_grid(one: Instrument) -> np.recarray:
    """A GRID array of one record, for kernels."""
    return np.array([grid_values(one)], GRID).view(np.recarray)


def _decimals(text: str) -> int:
    return len(text.partition(".")[2].rstrip("0"))


def _step(digits: int) -> str:
    return f"{Decimal(1).scaleb(-digits):f}"


def _parts(step: str, what: str) -> tuple[int, int]:
    value = decimal(step, what)
    digits = max(0, -int(value.normalize().as_tuple().exponent))
    if value <= 0 or digits > MAX_DECIMALS or value > 10**6:
        raise BadInput(f"{what} {step} must be above 0, at most 1000000, with at most {MAX_DECIMALS} decimals")
    return digits, int(value.scaleb(digits))
