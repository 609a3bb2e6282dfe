"""The processor taken away: the stages may run only when nobody else wants to, and somebody does, on each of their cores.

Competitors are processes of this one, started before they are needed and asleep until then. They end when they are told to,
when their parent is gone, and after a while by themselves.
"""

import contextlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterable

from procs.chaos.inject import Strike, inputs_of
from procs.supervisor import Supervisor
from ringsim.control import S_HEARTBEAT_NS, block, stage_of
from ringsim.lifecycle import Lifecycle
from ringsim.limits import HEARTBEAT_STALE_NS, STARVED_NS

_LIFE_S = 20.0
_RIVALS = (
    3  # on each core: an idle-class process gets a few ms a second beside one, so it is silent for seconds beside three
)
_STARVED_NS = 5_000_000_000  # at the most, well below what no machine is excused for
assert _STARVED_NS < STARVED_NS // 2

_COMPETITOR = f"""
import ctypes, os, signal, sys, time
ctypes.CDLL(None).prctl(1, int(signal.SIGKILL), 0, 0, 0)
if os.getppid() != int(sys.argv[1]): os._exit(0)
os.sched_setaffinity(0, {{int(sys.argv[2])}})
if not sys.stdin.readline(): os._exit(0)
end = time.monotonic() + {_LIFE_S}
while time.monotonic() < end: pass
"""


class Starver:
    """The stages get no processor for a while. One strike: one of them was silent for longer than a heartbeat may be old.

    stages: whom it concerns. gap: (least, most) messages of the feed before it begins.
    """

    planned = 1

    def __init__(self, stages: Iterable[str], seed: int, gap: tuple[int, int]) -> None:
        self.stages = tuple(stages)
        self.strikes: list[Strike] = []
        self._at = random.Random(seed).randint(*gap)
        self._competitors: list[subprocess.Popen[bytes]] = []
        self._since_ns = 0
        self._over = False

    def each_turn(self, parent: Supervisor) -> None:
        if self._over or parent.segments is None:
            return
        if not self._competitors:
            self._prepare(parent)
        now = time.monotonic_ns()
        if not self._since_ns:
            if parent.lifecycle is Lifecycle.READY and inputs_of(parent, "ingest") >= self._at:
                self._begin(parent)
                self._since_ns = now
            return
        for role in self.stages:
            beat_ns = int(parent.segments.control[block(stage_of(role)) + S_HEARTBEAT_NS])
            if now - max(beat_ns, self._since_ns) > HEARTBEAT_STALE_NS and not self.strikes:
                self.strikes.append(Strike("starved", role, inputs_of(parent, role), now))
        if self.strikes or parent.finished or now - self._since_ns > _STARVED_NS:
            self._end(parent)

    def close(self) -> None:
        """End the competitors. Idempotent."""
        for competitor in self._competitors:
            competitor.kill()
            competitor.wait()
            if competitor.stdin is not None:
                competitor.stdin.close()
        self._competitors.clear()
        self._over = True

    def _prepare(self, parent: Supervisor) -> None:
        here = os.sched_getaffinity(0)
        cores = set().union(*(set(parent.plan.cores.get(role) or here) for role in self.stages)) & here
        for core in sorted(cores) * _RIVALS:
            command = [sys.executable, "-ISc", _COMPETITOR, str(os.getpid()), str(core)]
            self._competitors.append(subprocess.Popen(command, stdin=subprocess.PIPE))

    def _pids(self, parent: Supervisor) -> list[int]:
        return [child.pid for child in parent.children.values() if child.role in self.stages]

    def _begin(self, parent: Supervisor) -> None:
        for competitor in self._competitors:
            assert competitor.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                competitor.stdin.write(b"go\n")
                competitor.stdin.flush()
        for pid in self._pids(parent):
            with contextlib.suppress(OSError):  # not allowed: then nobody starves, and there is no strike
                os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))

    def _end(self, parent: Supervisor) -> None:
        self.close()
        for pid in self._pids(parent):
            with contextlib.suppress(OSError):
                os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))
