"""Exact conversion between decimal text and the integers that everything here computes with.

An instrument's grid: price = ticks x tick, quantity = lots x lot, money = (ticks x lots) x tick x lot; tick and lot are
exact decimals. A value that does not lie on the grid is an error, never rounded.
"""

from decimal import Decimal, InvalidOperation

import msgspec

from ringsim.errors import BadInput


def decimal(text: str, what: str) -> Decimal:
    """The finite decimal that `text` spells. BadInput, naming `what`, otherwise."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise BadInput(f"{what}: {text!r} is no number") from None
    if not value.is_finite():
        raise BadInput(f"{what}: {text!r} is not finite")
    return value


def fraction(text: str, what: str) -> tuple[int, int]:
    """(multiple, decimals) of a positive decimal: text = multiple / 10**decimals, decimals as few as they can be.

    BadInput, naming `what`, for what is no number above 0.
    """
    value = decimal(text, what)
    if value <= 0:
        raise BadInput(f"{what} must be above 0, got {text}")
    _, digits, exponent = value.normalize().as_tuple()
    assert isinstance(exponent, int)
    whole = int("".join(map(str, digits)))
    return (whole * 10**exponent, 0) if exponent > 0 else (whole, -exponent)


def fixed(value: int, places: int) -> str:
    """value / 10**places in decimal text with exactly `places` (>= 0) decimals: exact, whatever the size."""
    if places == 0:
        return str(value)
    digits = f"{abs(value):0{places + 1}d}"
    return f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"


class Instrument(msgspec.Struct, frozen=True):
    """A tradable thing and its grid. tick, lot: decimal text, > 0 (".01", "0.00001")."""

    symbol: str
    tick: str
    lot: str
    market: str = "spot"  # spot, usdm, coinm, lobster, synthetic, events
    quote: str = "USDT"

    def ticks(self, price: str) -> int:
        """Exact ticks of a price text; BadInput off the grid."""
        return _on_grid(price, self.tick, f"{self.symbol} price")

    def lots(self, quantity: str) -> int:
        """Exact lots of a quantity text; BadInput off the grid."""
        return _on_grid(quantity, self.lot, f"{self.symbol} quantity")

    def price(self, ticks: int) -> Decimal:
        return Decimal(ticks) * Decimal(self.tick)

    def quantity(self, lots: int) -> Decimal:
        return Decimal(lots) * Decimal(self.lot)

    def money(self, amount: int) -> Decimal:
        """Quote units of an integer amount of money (ticks x lots)."""
        return Decimal(amount) * Decimal(self.tick) * Decimal(self.lot)

    def amount(self, quote_units: str) -> int:
        """Money (ticks x lots) of a decimal text in quote units, rounded toward zero: money has no grid of its own."""
        return int(decimal(quote_units, f"{self.symbol} money") / (Decimal(self.tick) * Decimal(self.lot)))


def _on_grid(text: str, step: str, what: str) -> int:
    count = decimal(text, what) / Decimal(step)
    if count != int(count):
        raise BadInput(f"{what} {text} does not lie on the grid of {step}")
    return int(count)
