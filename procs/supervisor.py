"""The parent of a run: the authority over its lifecycle, the only writer of its words, the only listener to its commands.

    INIT ── launcher started ──> WARMUP ── every stage warm ──> READY <──> DEGRADED

One event loop in the main thread: the launcher's messages, deaths (pidfds), commands (a socket in the run's folder), and a
look at the stages' heartbeats. Threads exist only to receive logs.

Invariant: whatever happens, `close` ends every process that this run started and removes its segments.
"""

import contextlib
import fcntl
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from procs.commands import CommandServer
from procs.launcher import receive_message, send_message
from procs.logs import LOGGER, PIPE_BYTES, PipeHandler, reading_end
from procs.topology import Plan, Segments
from ringsim import control as c
from ringsim.errors import RingsimError
from ringsim.lifecycle import Change, Lifecycle, change
from ringsim.limits import HEARTBEAT_STALE_NS
from ringsim.records import Trading

ROLES = ("ingest", "strategy", "execution", "persistence")
_POLL_MS = 20
_STOP_GRACE_S = 5.0  # for draining, after which what is left is killed
_END_GRACE_S = 2.0  # for a stage to leave once it is told to


class StageFailed(RingsimError):
    """A stage ended by itself, or was killed, and cannot be replaced."""


class Child(msgspec.Struct):
    """One generation of a stage."""

    role: str
    generation: int
    pid: int
    pidfd: int


class Supervisor:
    """One run's processes. Use it as a context manager; call `step` until `finished`."""

    def __init__(
        self, plan: Plan, sink: logging.Handler, *, on_warming: Callable[[int, int, str], None] | None = None
    ) -> None:
        self.plan, self.sink = plan, sink
        self.on_warming = on_warming or (lambda done, total, what: None)
        self.log = logging.getLogger(LOGGER + ".parent")
        self.log.setLevel(logging.INFO)
        self.log.propagate = False
        self.log.handlers[:] = [sink]
        self.lifecycle = Lifecycle.INIT
        self.changes: list[Change] = []
        self.started_ns = time.monotonic_ns()
        self.children: dict[int, Child] = {}  # by pidfd
        self.generations = dict.fromkeys(ROLES, 0)
        self.restarts = 0
        self.reasons: dict[str, str] = {}  # why the run is not READY: cause -> words
        self.failure: str | None = None
        self.finished = False
        self.stop_reason: str | None = None
        self._stop_by: float | None = None
        self._quiet: tuple[int, ...] | None = None
        self._pipes: list[PipeHandler] = []
        self.segments: Segments | None = None
        self.launcher: subprocess.Popen[bytes] | None = None
        self.launcher_alive = True
        self.poll = select.poll()
        self.commands: CommandServer | None = None

    # Start

    def start(self, prepare: Callable[[Segments], None]) -> None:
        """Start the launcher, make the segments, let `prepare` fill the stages' first states."""
        path = self.plan.save()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel = ours
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self.launcher = subprocess.Popen(
            [sys.executable, "-m", "procs.launcher", str(theirs.fileno()), str(path), str(os.getpid())],
            pass_fds=[theirs.fileno()],
            env=environment,
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        self.poll.register(ours, select.POLLIN)
        self.segments = Segments(self.plan, create=True)
        prepare(self.segments)
        self.commands = CommandServer(Path(self.plan.folder))
        self.poll.register(self.commands.socket, select.POLLIN)
        self._change(Lifecycle.WARMUP, "kernels compile and caches fill")

    def __enter__(self) -> "Supervisor":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # The loop

    def step(self, timeout_ms: int = _POLL_MS) -> None:
        """One turn: whatever came in, then a look at the stages."""
        for fd, _ in self.poll.poll(timeout_ms):
            if fd == self.channel.fileno():
                self._from_launcher()
            elif self.commands and fd == self.commands.socket.fileno():
                self.commands.serve(self.command)
            elif fd in self.children:
                self._died(fd)
        self._look()

    def _from_launcher(self) -> None:
        message, fds = receive_message(self.channel)
        if message is None:
            self.poll.unregister(self.channel)
            self.launcher_alive = False
            status = self.launcher.wait() if self.launcher else 0
            self._fail(f"the launcher ended ({_ending(status)}) and its stages with it")
        elif "warming" in message:
            self.on_warming(message["done"], message["total"], message["warming"])
        elif "warm" in message:
            send_message(self.channel, {"attach": True})
            for role in ROLES:
                self._start(role)
        elif "started" in message:
            child = Child(message["started"], message["generation"], message["pid"], fds[0])
            self.children[fds[0]] = child
            self.poll.register(fds[0], select.POLLIN)
        elif "ended" in message and message["status"] != 0:
            self._fail(f"{message['ended']} {_ending(message['status'])}")

    def _start(self, role: str) -> None:
        self.generations[role] += 1
        read, write = os.pipe()
        fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        try:
            send_message(self.channel, {"start": role, "generation": self.generations[role]}, (write,))
        finally:
            os.close(write)
        self._pipes.append(reading_end(read, self.sink))

    def _died(self, pidfd: int) -> None:
        child = self.children.pop(pidfd)
        self.poll.unregister(pidfd)
        os.close(pidfd)
        self.log.info("%s (pid %d) ended", child.role, child.pid)

    def _look(self) -> None:
        """Where are the stages, and what follows from it?"""
        if self.segments is None or self.finished:
            return
        words = self.segments.control
        states = {role: int(words[c.block(c.Stage[role.upper()]) + c.S_STATE]) for role in ROLES}
        if self.lifecycle is Lifecycle.WARMUP and all(s >= c.StageState.WARM for s in states.values()):
            words[c.P_START_NS] = time.monotonic_ns() + 1_000_000
            self._change(Lifecycle.READY, "every stage is warm")
            self._publish()
        if self.lifecycle in (Lifecycle.READY, Lifecycle.DEGRADED):
            self._watch_persistence()
            if all(s == c.StageState.DONE for s in states.values()):
                self._settle_finish()
            else:
                self._quiet = None
        if self._stop_by is not None and time.monotonic() > self._stop_by:
            self._fail("the stages did not drain in time")

    def _watch_persistence(self) -> None:
        """Money waits for the database: when it is far behind, the run is DEGRADED and says why."""
        assert self.segments is not None
        cause = "persistence"
        behind = max(
            ring.lag()["persistence"] / ring.capacity for name, ring in self.segments.rings.items() if name != "market"
        )
        if behind > 0.5 and cause not in self.reasons:
            self.degrade(cause, f"persistence is {behind:.0%} of a ring behind")
        elif behind < 0.25 and cause in self.reasons:
            self.heal(cause)

    def _settle_finish(self) -> None:
        """Finished means: all say so twice, with nothing in between that one of them may not have seen."""
        assert self.segments is not None
        rings = self.segments.rings
        counts = tuple(r.published() for r in rings.values())
        drained = all(lag == 0 for name in ("orders", "reports") for lag in rings[name].lag().values())
        if drained and self._quiet == counts:
            self.finished = True
        self._quiet = counts if drained else None

    # Lifecycle

    def _change(self, after: Lifecycle, reason: str) -> None:
        step = change(self.lifecycle, after, reason, time.monotonic_ns())
        self.changes.append(step)
        self.lifecycle = after
        self.log.info("%s -> %s: %s", step.before.name, step.after.name, reason)
        self._publish()

    def _publish(self) -> None:
        """The parent's words for the stages; the epoch last."""
        if self.segments is None:
            return
        words = self.segments.control
        words[c.P_LIFECYCLE] = self.lifecycle
        running = words[c.P_RUN] in (c.RunState.RUNNING, c.RunState.STOPPING)
        healthy = self.lifecycle in (Lifecycle.READY, Lifecycle.DEGRADED)
        if self.plan.simulated:
            words[c.P_GO] = healthy and running and self.failure is None
        else:
            words[c.P_GO] = healthy and self.failure is None
        words[c.P_EPOCH] += 1

    def degrade(self, cause: str, reason: str) -> None:
        """One more reason not to be READY. Idempotent for each cause."""
        self.reasons.setdefault(cause, reason)
        if self.lifecycle is Lifecycle.READY:
            self._change(Lifecycle.DEGRADED, reason)

    def heal(self, cause: str) -> None:
        """One reason fewer; READY again when it was the last. Idempotent."""
        healed = self.reasons.pop(cause, None)
        if healed is not None and not self.reasons and self.lifecycle is Lifecycle.DEGRADED:
            self._change(Lifecycle.READY, f"healed: {healed}")

    def _fail(self, reason: str) -> None:
        """The run cannot go on."""
        if self.failure is None and not self.finished:
            self.failure = reason
            self.log.error("%s", reason)
            self.degrade("failure", reason)
            self._publish()
            self.finished = True

    def stop(self, reason: str) -> None:
        """Drain and end: the feed stops, what is under way is finished. Idempotent."""
        if self.stop_reason is None and self.segments is not None:
            self.stop_reason = reason
            self._stop_by = time.monotonic() + _STOP_GRACE_S
            self.segments.control[c.P_RUN] = c.RunState.STOPPING
            self._publish()
            self.log.info("stopping: %s", reason)

    # Commands

    def command(self, request: dict[str, Any]) -> dict[str, Any]:
        """One operator command; answers {"ok": ...}. Unknown or impossible ones say why."""
        assert self.segments is not None
        words, name, why = self.segments.control, request.get("command"), request.get("why") or "operator"
        self.log.info("command %s: %s", name, why)
        if name == "pause":
            words[c.P_RUN] = c.RunState.PAUSED
        elif name == "resume":
            words[c.P_RUN] = c.RunState.RUNNING
        elif name == "stop":
            self.stop(why)
        elif name == "degrade":
            self.degrade("operator", why)
        elif name == "heal":
            self.heal("operator")
        elif name in ("kill", "rearm"):
            words[c.P_TRADING] = Trading.HALTED if name == "kill" else Trading.ACTIVE
            self.trading_reason = why
        elif name != "health":
            return {"ok": False, "error": f"unknown command {name!r}"}
        self._publish()
        return {"ok": True, **self.health()}

    def health(self) -> dict[str, Any]:
        """Liveness and readiness, with the reasons in words."""
        assert self.segments is not None
        words, now = self.segments.control, time.monotonic_ns()
        stages = {}
        for role in ROLES:
            at = c.block(c.Stage[role.upper()])
            age = now - int(words[at + c.S_HEARTBEAT_NS])
            stages[role] = {
                "pid": int(words[at + c.S_PID]),
                "state": c.StageState(int(words[at + c.S_STATE])).name,
                "heartbeat_ms": round(age / 1e6, 1),
                "live": age < HEARTBEAT_STALE_NS,
            }
        return {
            "run_id": self.plan.run_id,
            "ready": self.lifecycle is Lifecycle.READY and int(words[c.P_RUN]) == c.RunState.RUNNING,
            "live": all(s["live"] for s in stages.values()),
            "lifecycle": self.lifecycle.name,
            "run_state": c.RunState(int(words[c.P_RUN])).name,
            "trading": Trading(int(words[c.P_TRADING])).name,
            "reasons": list(self.reasons.values()),
            "stages": stages,
        }

    # End

    def halt(self) -> None:
        """End the stages, in good order as far as they can: their states are committed then. The segments stay."""
        if self.segments is None:
            return
        self.segments.control[c.P_RUN] = c.RunState.STOPPED
        deadline = time.monotonic() + _END_GRACE_S
        while self.children and self.launcher_alive and time.monotonic() < deadline:
            for fd, _ in self.poll.poll(_POLL_MS):
                if fd in self.children:
                    self._died(fd)
                elif fd == self.channel.fileno():
                    self._from_launcher()
        for pidfd in list(self.children):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)

    def close(self) -> None:
        """End whatever runs, hand on the last logs, remove the segments. Idempotent."""
        self.finished = True
        self.halt()
        if self.launcher is not None:
            self.channel.close()
            try:
                self.launcher.wait(_END_GRACE_S)
            except subprocess.TimeoutExpired:
                self.launcher.kill()
                self.launcher.wait()
        for pidfd in list(self.children):
            select.select([pidfd], [], [], _END_GRACE_S)  # observed dead, before its memory goes
            os.close(pidfd)
        self.children.clear()
        for pipe in self._pipes:
            pipe.join(_END_GRACE_S)
        if self.commands is not None:
            self.commands.close()
        if self.segments is not None:
            self.segments.close()
            self.segments = None


def _ending(status: int) -> str:
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"
