"""Sweeps what dead runs left in shared memory, and says what.

A segment belongs to a process (pid and start time, in a ring's header or on a run's control page) or to the run whose
control page or rings name one. Invariant: nothing whose owner lives is touched, and nothing that was made just now.
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


def _alive(owner: tuple[int, int]) -> bool:
    pid, start = owner
    return pid > 0 and process_start(pid) == start != 0


def sweep(*, dry: bool = False) -> list[Swept]:
    """Remove the segments of dead owners; with `dry` only say which. A file that vanishes meanwhile is nobody's problem."""
    runs: dict[str, list[Path]] = {}
    for path in FOLDER.glob(f"{PREFIX}*"):
        runs.setdefault(run_of(path.name), []).append(path)
    swept = []
    for paths in runs.values():
        try:
            owners = [owner for owner in map(_owner, paths) if owner is not None]
            young = any(time.time() - path.stat().st_mtime < _YOUNG_S for path in paths)
            if any(map(_alive, owners)) or (young and not any(pid for pid, _ in owners)):
                continue
        except FileNotFoundError:
            continue
        for path in paths:
            with contextlib.suppress(FileNotFoundError):  # somebody else sweeps, too
                swept.append(Swept(path.name, path.stat().st_size))
                if not dry:
                    path.unlink()
    return sorted(swept, key=lambda s: s.name)


def remove_run(run_id: str) -> None:
    """Remove every segment of one run, its warm-up's too. For its parent, when all its processes are gone."""
    for path in (*FOLDER.glob(f"{PREFIX}{run_id}-*"), *FOLDER.glob(f"{PREFIX}{run_id}.*")):
        path.unlink(missing_ok=True)
