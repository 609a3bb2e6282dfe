"""Late or stalled: what an old heartbeat means.

A stage that is alive and says nothing is stalled if it is stopped (SIGSTOP), if it has used the processor since its last beat
(it hangs in a loop), or if this lasts too long for any machine. One that was not given the processor is late, and waited for.
"""

import os
from pathlib import Path

import msgspec

from ringsim.limits import HEARTBEAT_STALE_NS, STARVED_NS


class Child(msgspec.Struct):
    """One generation of a stage. beat_ns, used_s: its last heartbeat, and the processor time that it had used then."""

    role: str
    generation: int
    pid: int
    pidfd: int
    beat_ns: int = 0
    used_s: float = 0.0
    killed: bool = False


def process_state(pid: int) -> tuple[bool, float]:
    """Whether a process is stopped, and the processor time that it has used, seconds."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False, 0.0
    return fields[0] in "Tt", (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def stalled(child: Child, beat_ns: int, now_ns: int) -> str | None:
    """Why a stage counts as stalled; None if it does not. beat_ns: its heartbeat word, 0 before the first."""
    if not beat_ns or child.killed:
        return None
    fresh = beat_ns != child.beat_ns
    silent = now_ns - beat_ns
    if not fresh and silent < HEARTBEAT_STALE_NS:
        return None
    stopped, used_s = process_state(child.pid)
    if fresh:
        child.beat_ns, child.used_s = beat_ns, used_s
    if silent < HEARTBEAT_STALE_NS:
        return None
    if stopped:
        return "it is stopped"
    if used_s - child.used_s > HEARTBEAT_STALE_NS / 2e9:
        return "it runs without beating"
    return "it does not run" if silent > STARVED_NS else None
