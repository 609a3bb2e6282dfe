"""The venue's rate limit: so many orders in a window, counted as venues count them.

    window    UTC // length        fixed and aligned to the clock, as a venue's counters are: none slides with the orders
    passes    while fewer than `orders` of this window have passed; who is refused is not counted

So twice the limit can pass around the edge of two windows, and after it nothing until the next edge. That is the venue's
limit on the whole connection; how often the account may send is a limit of its own (ringsim.risk.gate).

Integers alone, and no look at a clock: the window is that of the exchange's `now`.
"""

import numpy as np

from ringsim.kernel import kernel

RATE_ORDERS_MAX = 1_000_000

RATE = np.dtype(
    [
        ("window", "i8"),  # number of the newest window in which an order passed
        ("passed", "i8"),  # orders that passed in it, 0..rate_orders
    ]
)


@kernel
def rate_passes(r, p, utc_ns):
    """Whether an order that arrives now passes; if so, it is counted.

    r: RATE. p: BROKER_PARAMS; rate_orders 0 is no limit, and counts nothing. utc_ns: now, never decreasing.
    """
    if p.rate_orders == 0:
        return True
    window = utc_ns // p.rate_window_ns
    if window != r.window:
        r.window, r.passed = window, 0
    if r.passed >= p.rate_orders:
        return False
    r.passed += 1
    return True
