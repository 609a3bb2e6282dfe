"""What a scenario must not leave: processes of its run, dead children that nobody waited for, segments, open files.

A process is known by the run's id in its command line (stages carry it as their title, the launcher has the run's plan), so one
that has lost its parent is found, too. Files are counted in this process, over the whole scenario; and in parent and launcher,
between the first and the last time that the run was READY, where a few may be closing just then.
"""

import contextlib
import os
import time
from pathlib import Path

import msgspec
import psutil

from procs.janitor import run_of
from procs.supervisor import Supervisor
from ringsim.lifecycle import Lifecycle
from ringsim.shm import FOLDER, PREFIX

_PATIENCE_S = 3.0  # for what is dying
_CLOSING = 8  # descriptors that replaced stages may hold for a moment more: a pidfd and a log pipe each


class Remains(msgspec.Struct, frozen=True):
    """descriptors: by how many the open files of each process grew."""

    orphans: list[int] = []
    zombies: list[int] = []
    segments: list[str] = []
    descriptors: dict[str, int] = {}

    def problems(self) -> list[str]:
        """In words; none if nothing was left."""
        grown = {who: n for who, n in self.descriptors.items() if n > (0 if who == "chaos" else _CLOSING)}
        return [
            *(f"process {pid} is left" for pid in self.orphans),
            *(f"process {pid} is dead, and nobody waited for it" for pid in self.zombies),
            *(f"segment {name} is left" for name in self.segments),
            *(f"{who} has {n} more open files than before" for who, n in grown.items()),
        ]


def open_files(pid: int) -> int:
    """How many files a process has open; 0 if it is gone."""
    try:
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:
        return 0


class Descriptors:
    """Counts of open files. Call `look` in every turn of a run's loop, `grown` when all of it is over."""

    def __init__(self) -> None:
        self.before = open_files(os.getpid())
        self._ready: dict[str, list[int]] = {}  # process -> at the first, at the last time of being READY
        self._at = -1
        self._launcher = 0

    def look(self, parent: Supervisor) -> None:
        """Count once after each change of the lifecycle to READY, when the parent knows of nothing that is down."""
        if parent.lifecycle is not Lifecycle.READY or parent.losses.down or self._at == len(parent.changes):
            return
        self._at = len(parent.changes)
        launcher = parent.launcher.pid if parent.launcher else 0
        if launcher != self._launcher:  # another one: it starts with a count of its own
            self._launcher = launcher
            self._ready.pop("launcher", None)
        for who, pid in (("parent", os.getpid()), ("launcher", launcher)):
            count = open_files(pid)
            self._ready.setdefault(who, [count, count])[1] = count

    def grown(self) -> dict[str, int]:
        """By how many each process's open files grew, as far as it was counted."""
        found = {"chaos": max(0, open_files(os.getpid()) - self.before)}
        return found | {who: max(0, last - first) for who, (first, last) in self._ready.items()}


def remains(run_id: str, descriptors: dict[str, int]) -> Remains:
    """What is left of a run whose parent has closed it. Waits, a moment at most, for what is dying."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        alive, dead = _processes(run_id)
        segments = sorted(path.name for path in FOLDER.glob(f"{PREFIX}{run_id}*") if _of_run(path, run_id))
        if not (alive or dead or segments) or time.monotonic() > until:
            return Remains(alive, dead, segments, descriptors)
        time.sleep(0.02)


def _of_run(path: Path, run_id: str) -> bool:
    return run_of(path.name).partition(".")[0] == run_id


def _processes(run_id: str) -> tuple[list[int], list[int]]:
    """Living processes of the run, wherever they hang now, and descendants of this one; and its dead children."""
    own = {os.getpid(), *(process.pid for process in psutil.Process().parents())}
    alive: set[int] = set()
    dead: set[int] = set()
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            (dead if child.status() == psutil.STATUS_ZOMBIE else alive).add(child.pid)
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid not in own and any(run_id in word for word in process.cmdline()):
                alive.add(process.pid)
    return sorted(alive), sorted(dead)
