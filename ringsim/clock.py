"""Which time a run lives in. Library code reads no clock: it is handed `now`.

REALTIME: CLOCK_MONOTONIC; a stage takes whatever is there. SIMULATED: event time drives everything, and every run gives
the same bytes.
"""

from enum import IntEnum


class Clock(IntEnum):
    REALTIME = 0
    SIMULATED = 1
