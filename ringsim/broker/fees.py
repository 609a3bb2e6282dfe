"""Fees: a rate on the money of a fill, in hundredths of a basis point (cbps), one for makers and one for takers."""

from ringsim.kernel import kernel

CBPS = 1_000_000  # hundredths of a basis point in the whole


@kernel
def fee_money(px, qty, cbps):
    """Fee of a fill, money, rounded to the nearest unit, halves up. A negative rate is a rebate.

    px: ticks. qty: lots; px * qty <= limits.MAX_NOTIONAL. cbps: int64, |cbps| <= limits.MAX_FEE_CBPS.
    """
    return (px * qty * cbps + CBPS // 2) // CBPS
