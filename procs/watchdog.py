"""Late or stalled, what an old heartbeat means; and what a stage that failed has said of its end.

A stage that is alive and says nothing is stalled if it is stopped (SIGSTOP), if it has used the processor since its last beat
(it hangs in a loop), or if this lasts too long for any machine. One that was not given the processor is late, and waited for.
"""

import os
import signal
from pathlib import Path

import msgspec
import numpy as np

from ringsim.control import S_ERROR, S_STATE, StageError, StageState, block, stage_of
from ringsim.limits import HEARTBEAT_STALE_NS, REDO_NS, STARVED_NS

_LOOK_NS = HEARTBEAT_STALE_NS // 4  # a silence from which on the processor time that is used counts

FATAL = (StageError.FATAL, StageError.OUT_OF_MEMORY)  # a replacement would meet the same


class Child(msgspec.Struct):
    """One generation of a stage. beat_ns: its last heartbeat. used_s: the processor time that it had used soon after."""

    role: str
    generation: int
    pid: int
    pidfd: int
    beat_ns: int = 0
    used_s: float | None = None
    stalled: str = ""  # why it counts as stalled, and is killed
    first_ns: int = 0  # when it was first looked at before it was up


def process_state(pid: int) -> tuple[bool, float]:
    """Whether a process is stopped, and the processor time that it has used, seconds."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False, 0.0
    return fields[0] in "Tt", (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def stalled(child: Child, beat_ns: int, now_ns: int) -> str | None:
    """Why a stage counts as stalled; None if it does not. beat_ns: its heartbeat word, 0 before the first."""
    if not beat_ns or child.stalled:
        return None
    if beat_ns != child.beat_ns:
        child.beat_ns, child.used_s = beat_ns, None
    silent = now_ns - beat_ns
    if silent < _LOOK_NS:  # nearly always: /proc costs more than the rest of the watch
        return None
    stopped, used_s = process_state(child.pid)
    if child.used_s is None:
        child.used_s = used_s
    if silent < HEARTBEAT_STALE_NS:
        return None
    if stopped:
        return "it is stopped"
    if used_s - child.used_s > HEARTBEAT_STALE_NS / 2e9:
        return "it runs without beating"
    return "it does not run" if silent > STARVED_NS else None


def overdue(child: Child, beat_ns: int, now_ns: int) -> str | None:
    """Why a replacement that is not up yet counts as stalled: it cannot beat while it folds its journal again."""
    child.first_ns = child.first_ns or now_ns
    if child.stalled or now_ns - child.first_ns < REDO_NS:  # it has not used more than there was
        return None
    return "it folds its journal again without end" if process_state(child.pid)[1] > REDO_NS / 1e9 else None


def ending(status: int) -> str:
    """A process's exit status in words."""
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"


def last_error(words: np.ndarray, role: str) -> StageError:
    """What a dead stage said of its end on the control page; NONE of one that was killed, and had no time to."""
    at = block(stage_of(role))
    return StageError(int(words[at + S_ERROR])) if words[at + S_STATE] == StageState.FAILED else StageError.NONE


def is_up(state: int) -> bool:
    """Whether a stage is warm, and has not failed since. state: its StageState."""
    return StageState.WARM <= state < StageState.FAILED
