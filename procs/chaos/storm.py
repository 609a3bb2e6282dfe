"""A feed that comes in bursts, and its free reader held back while each of them goes by.

The reader is stopped in the silence before a burst, and goes on once the burst is out: on any machine, however fast its
reader, more passes it by than the ring holds. Nobody else is held back: what gates goes on gating. A burst for which the parent
came too late is let go, and is no strike.
"""

import contextlib
import signal
import time
from pathlib import Path

import numpy as np

from procs.chaos.inject import Strike, inputs_of
from procs.supervisor import Supervisor
from procs.watchdog import Child
from ringsim.lifecycle import Lifecycle
from ringsim.limits import HEARTBEAT_STALE_NS
from ringsim.market.capture import open_capture

_AT_ONCE = 100  # messages with one receive time are a burst; a recorded feed has no such
_AT_MOST_NS = HEARTBEAT_STALE_NS // 2  # that the reader stands still: else it counts as stalled


def bursts(recv_ns: np.ndarray) -> list[tuple[int, int]]:
    """Messages first..end - 1 of each burst. recv_ns: int64[n], never decreasing."""
    starts = np.flatnonzero(np.diff(recv_ns, prepend=recv_ns[:1] - 1))
    ends = np.append(starts[1:], len(recv_ns))
    return [(int(a), int(b)) for a, b in zip(starts, ends, strict=True) if b - a >= _AT_ONCE]


class Storm:
    """Stops the strategy for each burst of a realtime feed. A strike: the burst is out."""

    def __init__(self, planned: int) -> None:
        self.planned = planned
        self.strikes: list[Strike] = []
        self._todo: list[tuple[int, int]] = []  # first message, end
        self._stopped: Child | None = None
        self._since_ns = 0
        self._read = False

    def each_turn(self, parent: Supervisor) -> None:
        if parent.segments is None or parent.lifecycle is not Lifecycle.READY:
            return
        if not self._read:
            self._read = True
            recv_ns = open_capture(Path(parent.plan.capture_folder)).index.recv_ns
            self._todo = bursts(np.asarray(recv_ns))
        now, inputs = time.monotonic_ns(), inputs_of(parent, "ingest")
        if self._stopped is not None:
            out = inputs >= self._todo[0][1]
            if out or now - self._since_ns > _AT_MOST_NS:
                self._go_on(out, inputs, now)
        elif self._todo:
            first = self._todo[0][0]
            if inputs == first:
                self._stop(parent, now)
            elif inputs > first:
                del self._todo[0]

    def _stop(self, parent: Supervisor, now: int) -> None:
        child = next((c for c in parent.children.values() if c.role == "strategy"), None)
        if child is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(child.pidfd, signal.SIGSTOP)
                self._stopped, self._since_ns = child, now

    def _go_on(self, out: bool, inputs: int, now: int) -> None:
        assert self._stopped is not None
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(self._stopped.pidfd, signal.SIGCONT)
        self._stopped = None
        first, end = self._todo.pop(0)
        if out:
            self.strikes.append(Strike(f"burst of {end - first} messages", "ingest", inputs, now))
