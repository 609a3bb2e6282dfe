"""The scripted strategy: send a list of orders, each at its time, and cancel those that ask for it.

    row      time_ns ──(clock)──> due        NEW at the first call with now >= due: under the simulated clock exactly then
    order    sent + cancel_after             CANCEL, if it still works

Invariants: every row is proposed once, in the order of the file; what the gate refuses is on record and not tried again.
More than MAX_INTENTS at one time go out a nanosecond later each; without a credit a row waits for one.

Clocks: due = start_ns + (time_ns - first_ns) / speed. Under the simulated clock start and first are 0 and the speed is 1.
Under the realtime clock a CLOCK event says when the feed began (control.ControlCode); before it nothing is due.
"""

import numpy as np

from ringsim.kernel import kernel
from ringsim.records import NEVER_NS
from ringsim.strategy.protocol import MAX_INTENTS, ONCE, Cause, propose_cancel, propose_order

SCRIPTED_PARAMS = np.dtype(
    [
        ("first_ns", "i8"),  # time on the receiver's clock that is start_ns on the stage's
        ("speed_num", "i8"),  # of the feed, a fraction
        ("speed_den", "i8"),
    ]
)
SCRIPTED_STATE = np.dtype(
    [
        ("wake_ns", "i8"),
        ("next", "i8"),  # row that is sent next
        ("start_ns", "i8"),  # NEVER_NS: not known yet
    ]
)

_END = np.int64(Cause.END)
_NEVER = np.int64(NEVER_NS)
_ONCE, _NONE = np.int64(ONCE), np.int64(0)


@kernel
def due_ns(own, p, time_ns):
    """When a time of the receiver's clock is, ns of the stage's; NEVER_NS while the clock is not known."""
    if own.start_ns >= _NEVER:
        return _NEVER
    return own.start_ns + (time_ns - p.first_ns) * p.speed_den // p.speed_num


@kernel
def _cancels(p, schedule, v, orders, intents):
    """Propose the cancels that are due, of the older orders first. Returns (how many, when the next one is due)."""
    n, wake, last_id = 0, _NEVER, _NONE
    while True:
        oldest = -1
        for k in range(v.own_orders):
            after = schedule[orders[k].word].cancel_after_ns
            if after == 0 or orders[k].cancelling != 0 or orders[k].order_id <= last_id:
                continue
            due = orders[k].sent_ns + after * p.speed_den // p.speed_num
            if due > v.now_ns or n == MAX_INTENTS:
                wake = min(wake, due)
            elif oldest < 0 or orders[k].order_id < orders[oldest].order_id:
                oldest = k
        if oldest < 0:
            return n, wake
        propose_cancel(intents[n], orders[oldest])
        last_id = orders[oldest].order_id
        n += 1


@kernel
def decide_scripted(own, p, schedule, v, orders, intents):
    """See strategy.protocol. schedule: SCHEDULED[n]; an own order's `word` is its row."""
    if v.may_act == 0 or v.cause == _END:
        return 0
    n, wake = _cancels(p, schedule, v, orders, intents)
    while own.next < schedule.size:
        row = schedule[own.next]
        due = due_ns(own, p, row.time_ns)
        if due > v.now_ns or n == MAX_INTENTS:
            wake = min(wake, due)
            break
        intent = intents[n]
        propose_order(intent, row.side, row.type, row.tif, row.px_ticks, row.qty_lots, _ONCE, _NONE, _NONE, _NONE)
        intent.word = own.next
        if row.cancel_after_ns > 0:
            wake = min(wake, v.now_ns + row.cancel_after_ns * p.speed_den // p.speed_num)
        n += 1
        own.next += 1
    own.wake_ns = wake
    return n
