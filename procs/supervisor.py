"""The parent of a run: the authority over its lifecycle, the only writer of its words, the only listener to its commands.

    INIT ── launcher started ──> WARMUP ── every stage warm ──> READY <── a reason comes, the last one goes ──> DEGRADED

One event loop in the main thread: the launcher's messages, deaths (pidfds), commands (a socket in the run's folder), and a
look at the stages' heartbeats. Threads exist only to receive logs.

A stage that died (the kernel says so) or stalled (its heartbeat is old: killed, and seen dead) is replaced by the launcher;
its replacement redoes its journal. Meanwhile the run is DEGRADED, and under the simulated clock time stands still: GO is 0.
More replacements than the budget allows end the run with its reason.

Invariant: whatever happens, `close` ends every process that this run started and removes its segments.
"""

import contextlib
import fcntl
import logging
import os
import select
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from procs.behind import Behind, storage_refuses
from procs.boot import boot
from procs.budget import RestartBudget
from procs.commands import CommandServer
from procs.draining import Draining
from procs.health import health
from procs.janitor import remove_run
from procs.launcher import receive_message, send_message
from procs.logs import LOGGER, PIPE_BYTES, PipeHandler, reading_end
from procs.losses import Losses, history
from procs.postmortem import scene
from procs.stalemate import Stalemate
from procs.status import Status, read_status, write_status
from procs.topology import Plan, Segments
from procs.watchdog import FATAL, Child, ending, is_up, last_error, overdue, stalled
from ringsim import control as c
from ringsim.lifecycle import Change, Lifecycle, change
from ringsim.limits import HEARTBEAT_STALE_NS
from ringsim.records import ControlCode, Trading

OPERATOR, PERSISTENCE_LAG, LAUNCHER = "operator", "persistence behind", "launcher"
POLL_MS = 100  # deaths and commands wake the parent; a look costs 0.2 ms of a core that a hot stage may be on
_BRISK_MS = 2  # while it waits for a stage to come back, or for the last ones to finish
_LAST_WORDS_S = 1.0  # the words are in the pipe; the thread that reads them wants a processor
_END_GRACE_S = 10.0  # for a stage to leave once it is told to: it commits, persistence stores; machines are busy


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
        self.generations = dict.fromkeys(plan.roles, 0)
        self.budget = RestartBudget(plan.restart_budget, plan.restart_window_s)
        self.losses = Losses()
        self._looked_ns = time.monotonic_ns()
        self.behind = Behind(simulated=plan.simulated)
        self.commands_said: list[tuple[int, int, int]] = []  # simulated clock: message, code, value, as sequenced
        self._queue: deque[tuple[int, int]] = deque()  # commands that ingest has yet to sequence
        self.reasons: dict[str, str] = {}  # why the run is not READY: cause -> words
        self.failure: str | None = None
        self.scene: dict[str, Any] = {}  # of a failure: how everything stood
        self.finished = False
        self.ending = False  # stages that leave now were told to
        self.trading_reason = ""
        self.stop_reason: str | None = None
        self._draining: Draining | None = None
        self._quiet: tuple[int, ...] | None = None
        self._stalemate = Stalemate()
        self._fed_until_ns = 0  # of an adopted run: when its feed's process was last alive
        self._pipes: dict[tuple[str, int], PipeHandler] = {}  # by stage and generation
        self.segments: Segments | None = None
        self.launcher: subprocess.Popen[bytes] | None = None
        self.launcher_alive = True
        self.poll = select.poll()
        self.commands: CommandServer | None = None

    @property
    def restarts(self) -> int:
        """Replacements so far."""
        return self.budget.spent

    # Start

    def start(self, prepare: Callable[[Segments], None], *, adopt: bool = False) -> None:
        """Start the launcher, make the segments, let `prepare` fill the stages' first states.

        adopt: take over what a killed parent has left, instead; its stages are replaced like any that died.
        """
        self.plan.save()
        self._boot()
        if adopt:
            self._adopt()
        else:
            self.segments = Segments(self.plan, create=True)
            prepare(self.segments)
        self.commands = CommandServer(Path(self.plan.folder))
        self.poll.register(self.commands.socket, select.POLLIN)
        self._change(Lifecycle.WARMUP, "resumed: its parent was killed" if adopt else "kernels compile and caches fill")

    def _adopt(self) -> None:
        """Go on where the killed parent's stages stood: their states, journals and rings, and what the operator had said."""
        self.segments = Segments.adopt(self.plan)
        words = self.segments.control
        for role in self.plan.roles:
            at = c.block(c.stage_of(role))
            self.generations[role] = int(words[at + c.S_GENERATION])
            words[at + c.S_STATE], words[at + c.S_TRAP], words[at + c.S_TRAP_HOW] = c.StageState.STARTING, 0, 0
            words[at + c.S_FAULT] = 0
        self._fed_until_ns = int(words[c.block(c.Stage.INGEST) + c.S_HEARTBEAT_NS])
        said = read_status(Path(self.plan.folder))
        self.commands_said = list(said.commands)
        if OPERATOR in said.reasons:
            self.reasons[OPERATOR] = said.reasons[OPERATOR]
        self.trading_reason = said.trading_reason

    def _boot(self) -> None:
        """Exec a launcher; its stages are started once it is warm."""
        self.channel, self.launcher = boot(self.plan)
        self.poll.register(self.channel, select.POLLIN)
        self.launcher_alive = True

    def __enter__(self) -> "Supervisor":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # The loop

    def step(self, poll_ms: int = POLL_MS) -> None:
        """One turn: whatever came in, at most poll_ms later, then a look at the stages."""
        starting = self.lifecycle is Lifecycle.WARMUP and self.children
        brisk = starting or self.losses.down or self._quiet is not None or self._draining or self._queue
        for fd, _ in self.poll.poll(min(poll_ms, _BRISK_MS) if brisk else poll_ms):
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
            self._launcher_died()
        elif "warming" in message:
            self.on_warming(message["done"], message["total"], message["warming"])
        elif "warm" in message:
            send_message(self.channel, {"attach": True})
            for role in self.plan.roles:
                self._start(role)
        elif "started" in message:
            child = Child(message["started"], message["generation"], message["pid"], fds[0])
            self.children[fds[0]] = child
            self.poll.register(fds[0], select.POLLIN)
        elif "failed" in message:
            if message["traceback"]:
                self.log.error("the launcher failed\n%s", message["traceback"])
            self._fail(message["failed"])
        elif "ended" in message and message["status"] != 0:
            self.log.warning("%s %s", message["ended"], ending(message["status"]))

    def _launcher_died(self) -> None:
        """Its stages die with it; a new launcher starts all of them again."""
        now = time.monotonic_ns()
        self.poll.unregister(self.channel)
        self.channel.close()
        self.launcher_alive = False
        status = self.launcher.wait() if self.launcher else 0
        reason = f"the launcher {ending(status)} and its stages with it"
        if self.ending or (self.lifecycle is Lifecycle.WARMUP and status >= 0):  # by itself: it would again
            self._fail(reason)
            return
        for pidfd in list(self.children):
            select.select([pidfd], [], [], _END_GRACE_S)
            self._forget(pidfd)
        assert self.segments is not None
        for role in self.plan.roles:
            self.losses.seen(self.segments.control, role, self.generations[role], now)
        if self._spend(reason):
            for role in self.plan.roles:
                self._lost(role, reason)
            self._boot()

    def _start(self, role: str) -> None:
        self.generations[role] += 1
        read, write = os.pipe()
        fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        try:
            send_message(self.channel, {"start": role, "generation": self.generations[role]}, (write,))
        finally:
            os.close(write)
        self._pipes[role, self.generations[role]] = reading_end(read, self.sink)

    def _forget(self, pidfd: int) -> Child:
        self.poll.unregister(pidfd)
        os.close(pidfd)
        return self.children.pop(pidfd)

    def _died(self, pidfd: int) -> None:
        """A stage is dead: replace it, unless it was told to go."""
        now, child = time.monotonic_ns(), self._forget(pidfd)
        self.log.info("%s (pid %d, generation %d) ended", child.role, child.pid, child.generation)
        if self.ending or not self.launcher_alive:
            return
        assert self.segments is not None
        self.losses.seen(self.segments.control, child.role, child.generation, now)
        how = f"was {child.stalled} and killed" if child.stalled else f"died{self._last_words(child)}"
        reason = f"{child.role} (pid {child.pid}) {how}"
        if self.segments and last_error(self.segments.control, child.role) in FATAL:
            self._fail(f"{reason}; a replacement would meet the same: trading is halted")
        elif self._spend(reason):
            self._lost(child.role, reason)
            self._start(child.role)

    def _last_words(self, child: Child) -> str:
        """What a dead stage said of its end, if it had the time."""
        pipe = self._pipes[child.role, child.generation]
        pipe.join(_LAST_WORDS_S)  # the writer is gone: what it wrote is in the pipe
        words = pipe.last_words.removeprefix(f"{child.role} failed: ")
        if self.segments and last_error(self.segments.control, child.role) is c.StageError.OUT_OF_MEMORY:
            words = f"it is out of memory ({words})" if words else "it is out of memory"
        return f": {words}" if words else ""

    def _lost(self, role: str, reason: str) -> None:
        """Note that a stage is gone, before anybody can think that it is there."""
        assert self.segments is not None
        self.losses.lost(role)
        self.segments.control[c.block(c.stage_of(role)) + c.S_STATE] = c.StageState.STARTING
        self._quiet = None
        self.degrade(role, reason)

    def _spend(self, reason: str) -> bool:
        """Whether the budget allows one more replacement; the run fails if not."""
        if not self.budget.spend():
            self._fail(f"{reason}; the restart budget ({self.budget}) is spent, trading is halted")
        return self.failure is None

    def _look(self) -> None:
        """Where are the stages, and what follows from it?"""
        if self.segments is None or self.finished:
            return
        words, now = self.segments.control, time.monotonic_ns()
        own_delay, self._looked_ns = now - self._looked_ns, now
        states = {role: int(words[c.block(c.stage_of(role)) + c.S_STATE]) for role in self.plan.roles}
        self._welcome(states)
        if self.lifecycle is Lifecycle.WARMUP and all(map(is_up, states.values())):
            words[c.P_START_NS] += now - (self._fed_until_ns or -1_000_000)  # an adopted feed goes on where it ended
            replaced = f"; replaced meanwhile: {self.restarts}" if self.restarts else ""
            self._change(Lifecycle.READY, f"every stage is warm{replaced}")
            if self.reasons:
                self._change(Lifecycle.DEGRADED, next(iter(self.reasons.values())))
        if self.lifecycle in (Lifecycle.READY, Lifecycle.DEGRADED):
            self._watch_persistence()
            self._sequence()
            if own_delay < HEARTBEAT_STALE_NS // 2:  # else the silence was ours: Ctrl-Z, a paused machine
                self._watch_heartbeats(now)
            if self.plan.simulated and (why := self._stalemate.look(words, self.segments.rings, now)):
                self._fail(why)
            if all(s == c.StageState.DONE for s in states.values()):
                self._settle_finish()
            else:
                self._quiet = None
        if self._draining is not None and self._draining.overdue(words, now):
            why = storage_refuses(words)
            self._fail("the stages did not drain in time" + (f": persistence waits, {why}" if why else ""))

    def _welcome(self, states: dict[str, int]) -> None:
        """Stages that are back: their replacement has redone its journal."""
        assert self.segments is not None
        for role in list(self.losses.down):
            at = c.block(c.stage_of(role))
            back = int(self.segments.control[at + c.S_GENERATION]) == self.generations[role]
            if back and is_up(states[role]):
                self.losses.back(role, time.monotonic_ns())
                self.heal(role)

    def _watch_heartbeats(self, now: int) -> None:
        """A stalled stage is killed; what follows is a death like any other."""
        assert self.segments is not None
        for child in self.children.values():
            beat = int(self.segments.control[c.block(c.stage_of(child.role)) + c.S_HEARTBEAT_NS])
            why = (overdue if child.role in self.losses.down else stalled)(child, beat, now)
            if why:
                self.losses.seen(self.segments.control, child.role, child.generation, now)
                child.stalled = f"stalled ({why} for {(now - beat) / 1e9:.1f} s)"
                self.log.warning("%s (pid %d) is %s", child.role, child.pid, child.stalled)
                self._kill(child)

    def _kill(self, child: Child) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)

    def _watch_persistence(self) -> None:
        """Money waits for the database: when it is far behind, the run is DEGRADED and says why."""
        assert self.segments is not None
        said = self.reasons.get(PERSISTENCE_LAG)
        reason = self.behind.look(self.segments.rings, self.segments.control, said, time.monotonic_ns())
        if reason is None and said is not None:
            self.heal(PERSISTENCE_LAG)
        elif reason is not None and reason != said:
            self.reasons.pop(PERSISTENCE_LAG, None)  # the same one, in better words
            self.degrade(PERSISTENCE_LAG, reason)

    def _sequence(self) -> None:
        """Simulated clock: hand the next command to ingest, and keep where it put the last one."""
        assert self.segments is not None
        words = self.segments.control
        at = c.block(c.Stage.INGEST)
        said, done = int(words[c.P_COMMAND_SEQ]), int(words[at + c.S_COMMANDS_DONE])
        if len(self.commands_said) < said == done:
            code, value = int(words[c.P_COMMAND_CODE]), int(words[c.P_COMMAND_VALUE])
            self.commands_said.append((int(words[at + c.S_COMMAND_AT]), code, value))
            self._publish()  # who resumes this run has to know
        if self._queue and said == done == len(self.commands_said):
            words[c.P_COMMAND_CODE], words[c.P_COMMAND_VALUE] = self._queue.popleft()
            words[c.P_COMMAND_SEQ] = said + 1

    def _settle_finish(self) -> None:
        """Finished means: all say so twice, with nothing in between that one of them may not have seen."""
        assert self.segments is not None
        rings = self.segments.rings
        counts = tuple(r.published() for r in rings.values())
        drained = all(lag == 0 for name in rings if name != "market" for lag in rings[name].lag().values())
        if drained and self._quiet == counts:
            self.finished = True
        self._quiet = counts if drained else None

    # Lifecycle

    def _change(self, after: Lifecycle, reason: str) -> None:
        step = change(self.lifecycle, after, reason, time.monotonic_ns())
        self.changes.append(step)
        self.lifecycle = after
        self.log.info("%s -> %s: %s", step.before.name, after.name, reason)
        self._publish()

    def _publish(self) -> None:
        """The parent's words for the stages, the epoch last; and the reasons, for screens."""
        if self.segments is None:
            return
        words = self.segments.control
        words[c.P_LIFECYCLE] = self.lifecycle
        going = self.lifecycle in (Lifecycle.READY, Lifecycle.DEGRADED) and self.failure is None
        if self.plan.simulated:
            # An injected failure is an input like any other; everything else stops time.
            sound = not set(self.reasons) - {OPERATOR, PERSISTENCE_LAG}
            going = going and sound and words[c.P_RUN] in (c.RunState.RUNNING, c.RunState.STOPPING)
        words[c.P_GO] = going
        words[c.P_EPOCH] += 1
        write_status(
            Path(self.plan.folder),
            Status(self.lifecycle.name, self.reasons, list(self.commands_said), self.trading_reason),
        )

    def degrade(self, cause: str, reason: str) -> None:
        """One more reason not to be READY. Idempotent for each cause."""
        self.reasons.setdefault(cause, reason)
        if self.lifecycle is Lifecycle.READY:
            self._change(Lifecycle.DEGRADED, reason)
        else:
            self._publish()

    def heal(self, cause: str) -> None:
        """One reason fewer; READY again when it was the last. Idempotent."""
        healed = self.reasons.pop(cause, None)
        if healed is not None and not self.reasons and self.lifecycle is Lifecycle.DEGRADED:
            self._change(Lifecycle.READY, f"healed: {healed}")
        else:
            self._publish()

    def _fail(self, reason: str) -> None:
        """The run cannot go on."""
        if self.failure is None and not self.finished:
            self.failure = reason
            self.log.error("%s", reason)
            assert self.segments is not None
            self.segments.control[c.P_TRADING], self.trading_reason = Trading.HALTED, reason
            self.degrade("failure", reason)
            how = (reason, self.changes, self.started_ns, self.reasons, self.losses)
            self.scene = scene(self.segments, self.plan.roles, *how)
            self.finished = True

    def stop(self, reason: str) -> None:
        """Drain and end: the feed stops, what is under way is finished. Idempotent."""
        if self.stop_reason is None and self.segments is None:
            self.stop_reason, self.finished = reason, True  # nothing has been started yet
        elif self.stop_reason is None and self.segments is not None:
            self.stop_reason = reason
            self._draining = Draining(self.plan.roles)
            if self.lifecycle in (Lifecycle.INIT, Lifecycle.WARMUP):
                self.finished = True  # nothing is under way yet
            self.segments.control[c.P_RUN] = c.RunState.STOPPING
            self._publish()
            self.log.info("stopping: %s", reason)

    # Commands

    def command(self, request: dict[str, Any]) -> dict[str, Any]:
        """One operator command; answers {"ok": ...}. Unknown or impossible ones say why."""
        assert self.segments is not None
        words, name, why = self.segments.control, request.get("command"), request.get("why") or "operator"
        if name == "history":  # asked in the middle of things: changes nothing, and no stage hears of it
            return {"ok": True, **history(self.losses, self.changes, self.started_ns)}
        self.log.info("command %s: %s", name, why)
        if name == "pause":
            words[c.P_RUN] = c.RunState.PAUSED
        elif name == "resume":
            words[c.P_RUN] = c.RunState.RUNNING
        elif name == "stop":
            self.stop(why)
        elif name == "degrade":
            self.degrade(OPERATOR, why)
            self._input(ControlCode.LIFECYCLE, Lifecycle.DEGRADED)
        elif name == "heal":
            self.heal(OPERATOR)
            self._input(ControlCode.LIFECYCLE, Lifecycle.READY)
        elif name in ("kill", "rearm"):
            trading = Trading.HALTED if name == "kill" else Trading.ACTIVE
            words[c.P_TRADING] = trading
            self.trading_reason = why
            self._input(ControlCode.TRADING, trading)
        elif name != "health":
            return {"ok": False, "error": f"unknown command {name!r}"}
        self._publish()
        return {"ok": True, **self.health()}

    def _input(self, code: ControlCode, value: int) -> None:
        """What the operator said, as an input of the folds. Realtime: the workers read the words themselves."""
        if self.plan.simulated:
            self._queue.append((int(code), int(value)))

    def health(self) -> dict[str, Any]:
        """Liveness and readiness, with the reasons in words."""
        assert self.segments is not None
        return health(self.plan, self.segments.control, self.lifecycle, list(self.reasons.values()))

    # End

    def halt(self) -> None:
        """End the stages, in good order as far as they can: their states are committed then. The segments stay."""
        if self.segments is None:
            return
        self.ending = True
        self.segments.control[c.P_RUN] = c.RunState.STOPPED
        self.segments.control[c.P_EPOCH] += 1
        deadline = time.monotonic() + _END_GRACE_S
        while self.children and self.launcher_alive and time.monotonic() < deadline:
            for fd, _ in self.poll.poll(POLL_MS):
                if fd in self.children:
                    self._died(fd)
                elif fd == self.channel.fileno():
                    self._from_launcher()
        for pidfd, child in list(self.children.items()):
            self.log.warning("%s (pid %d) did not leave and is killed", child.role, child.pid)
            self._kill(child)
            select.select([pidfd], [], [], _END_GRACE_S)  # observed dead, before anybody reads its state
            self._forget(pidfd)

    def close(self) -> None:
        """End whatever runs, hand on the last logs, remove the segments. Idempotent."""
        self.finished = True
        self.halt()
        if self.launcher is not None:
            self.channel.close()
            try:
                self.launcher.wait(0.2 if self.lifecycle is Lifecycle.WARMUP else _END_GRACE_S)
            except subprocess.TimeoutExpired:
                self.launcher.kill()  # in the middle of a compilation
                self.launcher.wait()
        for pipe in self._pipes.values():
            pipe.join(_END_GRACE_S)
        if self.commands is not None:
            self.commands.close()
        if self.segments is not None:
            self.segments.close()
            self.segments = None
        remove_run(self.plan.run_id)
