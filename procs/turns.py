"""How soon a process gets a core when something has happened for it: the length of its turns, asked of the scheduler.

Since 6.12 Linux lets a process ask for short turns: when it wakes, it goes before those whose turns are longer, and gives the
core back sooner. No privilege is needed, since it gets no more of the processor in all. Who watches over others asks for short
ones: else the news of a death waits, twice, for the next tick of a core where a stage spins (4 ms at 250 Hz).
"""

import ctypes
import os
import platform
import struct

_SHORT_NS = 100_000  # the shortest that the kernel gives
_SYS_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}
_ATTR = struct.Struct(
    "=IIQiIQQQII"
)  # struct sched_attr: size, policy, flags, nice, priority, runtime, deadline, period, util


def ask_for_short_turns() -> bool:
    """For who watches over others. False where the kernel knows no such thing, which costs time and nothing else."""
    return _ask(os.SCHED_OTHER, _SHORT_NS)


def ask_for_usual_turns() -> bool:
    """For who was forked by one with short ones."""
    return _ask(os.SCHED_OTHER, 0)


def give_way() -> bool:
    """For who nobody waits for: when it wakes, it takes the core from nobody, and waits for its turn."""
    return _ask(os.SCHED_BATCH, 0)


def _ask(policy: int, runtime_ns: int) -> bool:
    number = _SYS_SCHED_SETATTR.get(platform.machine())
    if number is None:
        return False
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    attr = _ATTR.pack(_ATTR.size, policy, 0, nice, 0, runtime_ns, 0, 0, 0, 0)
    return bool(ctypes.CDLL(None, use_errno=True).syscall(number, 0, attr, 0) == 0)
