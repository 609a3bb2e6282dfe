"""Sweeps what dead runs left in shared memory, and says what.

A segment belongs to a process (pid and start time, in a ring's header or on a run's control page) or to the run whose
control page or rings name one. A run's warm-up has segments of its own, `<run id>.<what>`; they belong to its launcher, which
dies with the run's parent, but a moment later than it. Invariant: nothing whose owner lives is touched, and nothing that was
made just now.
"""

import contextlib
import time
from pathlib import Path

import msgspec
import numpy as np

from ringsim.control import CONTROL_WORDS, P_OWNER_PID, P_OWNER_START
from ringsim.ring import layout
from ringsim.ring.ring import process_start
from ringsim.shm import FOLDER, PREFIX

_YOUNG_S = 5.0  # a segment whose owner is not written yet may be in the making
_PATIENCE_S = _YOUNG_S + 1.0  # until what is neither owned nor left behind has become one of the two
_NAP_S = 0.02


class Swept(msgspec.Struct):
    """One segment that was removed."""

    name: str
    size_bytes: int


def run_of(name: str) -> str:
    """The run id in a segment's name."""
    return name.removeprefix(PREFIX).rpartition("-")[0]


def _words(path: Path, count: int) -> np.ndarray:
    with path.open("rb") as file:
        data = file.read(8 * count)
    return np.frombuffer(data[: len(data) // 8 * 8], np.int64)


def _owner(path: Path) -> tuple[int, int] | None:
    """Pid and start time that the segment itself names; None if it is of a kind that names none."""
    if path.name.endswith("-control"):
        words = _words(path, CONTROL_WORDS)
        return (int(words[P_OWNER_PID]), int(words[P_OWNER_START])) if len(words) == CONTROL_WORDS else None
    words = _words(path, layout.HEADER_WORDS)
    if len(words) == layout.HEADER_WORDS and words[layout.W_MAGIC] == layout.MAGIC:
        return int(words[layout.W_OWNER_PID]), int(words[layout.W_OWNER_START])
    return None


def lives(pid: int, start: int) -> bool:
    """Whether the process with this pid and start time is there. A zombie is not: it has let go of its memory, and where
    nobody reaps orphans (a container without an init) it stays for ever."""
    if pid <= 0 or not start or process_start(pid) != start:
        return False
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def is_cut_short(folder: Path, run_id: str) -> bool:
    """Whether a pipeline that is on record as running has no parent any more. (A backtest has no segments to tell it by.)"""
    if not (folder / "plan.json").exists():
        return False
    try:
        owner = _owner(FOLDER / f"{PREFIX}{run_id}-control")
    except OSError:
        return True
    return owner is None or not lives(*owner)


def sweep(*, dry: bool = False, patience_s: float = _PATIENCE_S) -> list[Swept]:
    """Remove the segments of dead owners; with `dry` only say which. A file that vanishes meanwhile is nobody's problem.

    Waits, patience_s at most, for owners that are about to die and for segments that may be in the making.
    """
    until = time.monotonic() + patience_s
    swept: dict[str, Swept] = {}
    ended: set[str] = set()  # runs whose parent is dead
    while True:
        found, unsettled = _look(ended)
        for path in found:
            with contextlib.suppress(FileNotFoundError):  # somebody else sweeps, too
                swept[path.name] = Swept(path.name, path.stat().st_size)
                if not dry:
                    path.unlink()
        if not unsettled or time.monotonic() >= until:
            return sorted(swept.values(), key=lambda s: s.name)
        time.sleep(_NAP_S)


def _look(ended: set[str]) -> tuple[list[Path], bool]:
    """What dead owners have left, and whether there is something of which it cannot be said yet. Adds to `ended`."""
    runs: dict[str, list[Path]] = {}
    for path in sorted(FOLDER.glob(f"{PREFIX}*")):
        runs.setdefault(run_of(path.name), []).append(path)
    found, unsettled = [], False
    for run, paths in sorted(runs.items()):  # a run before its warm-up
        try:
            owners = [owner for owner in map(_owner, paths) if owner is not None and owner[0] > 0]
            young = any(time.time() - path.stat().st_mtime < _YOUNG_S for path in paths)
        except FileNotFoundError:
            unsettled = True  # its owner removes it, or dies meanwhile
            continue
        if any(lives(*owner) for owner in owners):
            unsettled |= run.partition(".")[0] in ended
        elif owners or not young:
            ended.add(run)
            found += paths
        else:
            unsettled = True
    return found, unsettled


def remove_run(run_id: str) -> None:
    """Remove every segment of one run, its warm-up's too. For its parent, when all its processes are gone."""
    for path in (*FOLDER.glob(f"{PREFIX}{run_id}-*"), *FOLDER.glob(f"{PREFIX}{run_id}.*")):
        path.unlink(missing_ok=True)
