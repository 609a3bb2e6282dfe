"""The ledger of one account in one instrument: position, cost, cash, realised and unrealised, in exact integers.

    money = ticks x lots        cost = sum of px * qty of what is open, signed like the position

Identities, always, for every mark (`ledger_check`):
    position = bought - sold
    cash     = cash0 - sum(side * px * qty) - fees
    realised + unrealised - fees = equity - cash0
The average price (cost / position) moves when the position grows, never when it shrinks: a reduction takes its share of
the cost out, rounded toward zero, and what was rounded stays with what is open, so that no unit of money is lost. A
reversal closes, then opens. `realized` is before fees.

Bounds: px * qty of a fill is at most limits.MAX_NOTIONAL and position * mark stays below 2**62; the callers see to it.
Twin: tests/naive/ledger.py.
"""

import numpy as np

from ringsim.kernel import kernel
from ringsim.records import Side

LEDGER = np.dtype(
    [
        ("cash0", "i8"),  # money at the start
        ("cash", "i8"),
        ("position_lots", "i8"),
        ("cost", "i8"),
        ("realized", "i8"),
        ("fees", "i8"),  # paid; rebates make it smaller
        ("fills", "i8"),
        ("bought_lots", "i8"),
        ("sold_lots", "i8"),
        ("paid", "i8"),  # sum of side * px * qty; kept apart from cash, so that one can be held against the other
    ]
)

_BUY = int(Side.BUY)
_DIRECT = 1 << 31  # below it a product of two remainders fits into 63 bits


@kernel
def share_of(amount, part, whole):
    """floor(amount * part / whole) without leaving 63 bits.

    amount: int64, >= 0. part, whole: int64, 0 <= part <= whole, 1 <= whole < 2**61.
    """
    rest = amount % whole
    taken = amount // whole * part
    if whole <= _DIRECT:
        return taken + rest * part // whole
    quotient, remainder = 0, 0  # long multiplication and division, a bit of `part` at a time
    for bit in range(60, -1, -1):
        quotient <<= 1
        remainder <<= 1
        if (part >> bit) & 1 != 0:
            remainder += rest
        while remainder >= whole:
            remainder -= whole
            quotient += 1
    return taken + quotient


@kernel
def ledger_open(ledger, cash0):
    """An account with `cash0` money and no position."""
    ledger.cash0, ledger.cash = cash0, cash0
    ledger.position_lots, ledger.cost, ledger.realized, ledger.fees = 0, 0, 0, 0
    ledger.fills, ledger.bought_lots, ledger.sold_lots, ledger.paid = 0, 0, 0, 0


@kernel
def ledger_fill(ledger, side, px, qty, fee):
    """Book a fill. Returns what it realised, money before its fee: 0 where it only opens.

    side: 1 buy, 2 sell. px: ticks, >= 1. qty: lots, >= 1. fee: money, negative is a rebate.
    """
    signed = qty if side == _BUY else -qty
    held = ledger.position_lots
    realized = 0
    opens = signed
    if held != 0 and (held > 0) != (signed > 0):
        closed = min(qty, abs(held))
        removed = share_of(abs(ledger.cost), closed, abs(held))
        if held > 0:
            realized = px * closed - removed
            ledger.cost -= removed
            opens += closed
        else:
            realized = removed - px * closed
            ledger.cost += removed
            opens -= closed
    ledger.cost += px * opens
    ledger.position_lots = held + signed
    ledger.realized += realized
    ledger.fees += fee
    ledger.cash -= px * signed + fee
    ledger.fills += 1
    ledger.paid += px * signed
    if side == _BUY:
        ledger.bought_lots += qty
    else:
        ledger.sold_lots += qty
    return realized


@kernel
def ledger_unrealized(ledger, mark_ticks):
    """What closing at `mark_ticks` would realise, money before fees."""
    return ledger.position_lots * mark_ticks - ledger.cost


@kernel
def ledger_equity(ledger, mark_ticks):
    """Cash and the position at `mark_ticks`, money."""
    return ledger.cash + ledger.position_lots * mark_ticks


@kernel
def ledger_check(ledger, mark_ticks):
    """Whether every identity of the file's head holds at this mark."""
    if ledger.position_lots != ledger.bought_lots - ledger.sold_lots:
        return False
    if ledger.cash != ledger.cash0 - ledger.paid - ledger.fees:
        return False
    if (
        ledger.realized + ledger_unrealized(ledger, mark_ticks) - ledger.fees
        != ledger_equity(ledger, mark_ticks) - ledger.cash0
    ):
        return False
    if ledger.position_lots == 0:
        return ledger.cost == 0
    return ledger.cost != 0 and (ledger.cost > 0) == (ledger.position_lots > 0)
