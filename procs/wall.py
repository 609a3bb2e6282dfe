"""The wall clock of this process, which can be set wrong on purpose: it may be read for labels (log lines), and for nothing else.

What is fake is what Python code reads, time.time and time.time_ns. Kernels read CLOCK_MONOTONIC, and nobody can set that.
"""

import time

_time, _time_ns = time.time, time.time_ns


def set_wall_clock(step_s: int) -> None:
    """From now on this process's wall clock is off by `step_s` seconds; 0: right again."""
    if step_s == 0:
        time.time, time.time_ns = _time, _time_ns
        return

    def stepped() -> float:
        return _time() + step_s

    def stepped_ns() -> int:
        return _time_ns() + step_s * 1_000_000_000

    time.time, time.time_ns = stepped, stepped_ns
