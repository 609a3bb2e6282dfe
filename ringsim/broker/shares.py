"""What of the account is each strategy's: a ledger a strategy, booked beside the account's by the same fills.

    fill of an order of strategy k ──┬──> the account's ledger: what the venue knows, and what the account's limits see
                                     └──> share k

Invariants, held with the account's own (`shares_add_up`):
- Each share's ledger keeps every identity of a ledger (ringsim.ledger).
- Positions, lots bought and sold, fills, fees and what was paid of all shares add up to the account's. So does what they have
  gained, cash + position x mark - start cash, at every mark. Realised and unrealised gains do so only together: where one
  strategy is long and another short, the account has closed what each of them still holds.

A share begins with the whole capital, as its strategy's own ledger does: its figures are those of the strategy run alone.
"""

import numpy as np

from ringsim.kernel import kernel
from ringsim.ledger import LEDGER, ledger_check, ledger_fill, ledger_open
from ringsim.risk.gate import DAY_NS

SHARE = np.dtype(
    [
        ("ledger", LEDGER),
        ("told_fills", "i8"),  # fills in its last ACCOUNT
        ("last_order_id", "i8"),  # of its last fill
        ("day", "i8"),  # UTC day number of its last fill or ACCOUNT
        ("day_base", "i8"),  # realised P&L net of fees when that day began
    ]
)


@kernel
def shares_open(shares, cash0):
    """Every strategy's share at the start of a run. cash0: the account's, money."""
    for k in range(len(shares)):
        ledger_open(shares[k].ledger, cash0)


@kernel
def _see_day(share, utc_ns):
    """What was realised until now counts to the days before, if this is a new one."""
    day = utc_ns // DAY_NS
    if day > share.day:
        share.day, share.day_base = day, share.ledger.realized - share.ledger.fees


@kernel
def share_fill(share, side, px, qty, fee, order_id, utc_ns):
    """Book a fill, as `ledger_fill` does. utc_ns: its time, for the day that it counts to."""
    _see_day(share, utc_ns)
    ledger_fill(share.ledger, side, px, qty, fee)
    share.last_order_id = order_id


@kernel
def share_day_realized(share, utc_ns):
    """Realised P&L net of fees since the UTC day began, money."""
    _see_day(share, utc_ns)
    return share.ledger.realized - share.ledger.fees - share.day_base


@kernel
def shares_add_up(shares, account, mark_ticks):
    """Whether every share is whole, and all of them are the account: see the file's head."""
    bought, sold, fills, fees, paid, gained = 0, 0, 0, 0, 0, 0
    for k in range(len(shares)):
        ledger = shares[k].ledger
        if ledger.fills == 0:
            continue
        if not ledger_check(ledger, mark_ticks):
            return False
        bought += ledger.bought_lots
        sold += ledger.sold_lots
        fills += ledger.fills
        fees += ledger.fees
        paid += ledger.paid
        gained += ledger.cash - ledger.cash0
    if bought != account.bought_lots or sold != account.sold_lots or fills != account.fills:
        return False
    return fees == account.fees and paid == account.paid and gained == account.cash - account.cash0
