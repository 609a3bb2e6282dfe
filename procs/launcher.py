"""The launcher: a single-threaded process with warm kernels that forks stages on request.

    parent ── {"start": stage, "generation": g} + log pipe ──> launcher ── fork ──> stage
    parent <── {"started": stage, "pid": p} + pidfd, {"ended": stage, "status": s} ── launcher
    parent <── {"warming": ...}, {"warm"} before that, or {"failed": why} and the end ── launcher

Why a process of its own: forking is what makes a restart take milliseconds, and forking a process that has threads hangs
sooner or later. The parent has threads, so it execs this one, which never starts any.
Why pidfds: the launcher opens one before it reaps, so the parent's view of a death can never hit a recycled pid.

Invariant: a stage outlives neither its launcher (PDEATHSIG) nor, through it, the parent.
"""

import contextlib
import ctypes
import gc
import json
import logging
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

_PR_SET_PDEATHSIG = 1
_MESSAGE_MAX = 1 << 16
PERSISTENCE_NICE = 5  # stages that share a core with it go first


def tie_to(parent: int) -> None:
    """Die with the process `parent`, also if it is already gone."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def send_message(channel: socket.socket, message: dict[str, Any], fds: tuple[int, ...] = ()) -> None:
    """One datagram, with file descriptors."""
    socket.send_fds(channel, [json.dumps(message).encode()], list(fds))


def receive_message(channel: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """One datagram; None when the other side is gone."""
    try:
        data, fds, *_ = socket.recv_fds(channel, _MESSAGE_MAX, 4)
    except ConnectionResetError:
        return None, []
    return (json.loads(data) if data else None), fds


class Launcher:
    """Serves start requests until the parent is gone. start: runs a stage's whole life in the forked child."""

    def __init__(self, channel: socket.socket, start: Callable[[str, int, int], None]) -> None:
        self.channel, self.start = channel, start
        self.children: dict[int, dict[str, Any]] = {}
        self.poll = select.poll()
        self.poll.register(channel, select.POLLIN)

    def serve(self) -> None:
        while True:
            for fd, _ in self.poll.poll():
                if fd == self.channel.fileno():
                    self._request()
                else:
                    self._reap(fd)

    def _request(self) -> None:
        message, fds = receive_message(self.channel)
        if message is None:
            os._exit(0)  # PDEATHSIG takes the stages
        launcher = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                tie_to(launcher)
                os.setpgid(0, 0)  # Ctrl-C is the parent's business
                self.channel.close()
                for child in self.children:
                    os.close(child)
                self.start(message["start"], message["generation"], fds[0])
            finally:
                os._exit(1)  # never unwind into the launcher's loop
        for fd in fds:
            os.close(fd)  # the stage is the log pipe's only writer
        pidfd = os.pidfd_open(pid)  # free of races: only this process reaps
        self.children[pidfd] = message
        self.poll.register(pidfd, select.POLLIN)
        send_message(
            self.channel, {"started": message["start"], "generation": message["generation"], "pid": pid}, (pidfd,)
        )

    def _reap(self, pidfd: int) -> None:
        result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
        self.poll.unregister(pidfd)
        os.close(pidfd)
        message = self.children.pop(pidfd)
        ended = {"ended": message["start"], "generation": message["generation"]}
        if result is not None:
            signalled = result.si_code in (os.CLD_KILLED, os.CLD_DUMPED)
            ended["status"] = -result.si_status if signalled else result.si_status
        send_message(self.channel, ended)


def _stage_life(segments: Any, scripts: dict[str, Any], role: str, generation: int, log_fd: int) -> None:
    """Everything a forked stage does. Leaves by os._exit: 0 stopped, 1 failed."""
    from procs.logs import writing_end
    from procs.stages.table import program
    from procs.worker import Worker, log_failure

    log = writing_end(log_fd)
    try:
        plan = segments.plan
        _place(plan, role)
        if not plan.simulated:
            segments.populate(role)  # else the first touch of each page costs an input 2 to 20 us
        how = {
            "simulated": plan.simulated,
            "generation": generation,
            "slice_us": plan.slice_us,
            "pause_us": plan.pause_us,
        }
        Worker(program(role, segments, *scripts.get(role, [])), segments.control, **how).run()
    except BaseException:
        log_failure(segments.control, role, log)
        logging.shutdown()
        os._exit(1)
    os._exit(0)


def _place(plan: Any, role: str) -> None:
    """Put the stage on its cores, name it, and lower the priority of what nobody waits for."""
    import setproctitle

    setproctitle.setproctitle(f"ringsim {role} {plan.run_id}")
    cores = set(plan.cores.get(role, [])) & os.sched_getaffinity(0)
    if cores:
        os.sched_setaffinity(0, cores)
    if role == "persistence":
        os.nice(PERSISTENCE_NICE)


def _give_up(channel: socket.socket, error: Exception) -> NoReturn:
    """Tell the parent what stands in the way; the traceback of a bug is for its log."""
    import traceback

    from ringsim.errors import RingsimError

    meant = isinstance(error, RingsimError)
    why = str(error) if meant else f"{type(error).__name__}: {error}"
    whole = "" if meant else "".join(traceback.format_exception(error))[-_MESSAGE_MAX // 8 :]
    with contextlib.suppress(OSError):
        send_message(channel, {"failed": why.partition("\n")[0][:1000], "traceback": whole})
    os._exit(1)


def main() -> None:
    """`python -m procs.launcher CHANNEL_FD PLAN PARENT_PID`; started by the supervisor alone."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    # The parent's business, also where a whole group is told to go (timeout, systemd); inherited by the stages: no window.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    tie_to(int(sys.argv[3]))
    # What a stage needs, so that no replacement has to import it.
    import setproctitle  # noqa: F401

    import procs.stages.table
    import procs.worker  # noqa: F401
    from procs.topology import Plan, Segments
    from procs.warmup import warm_up

    try:
        plan = Plan.load(Path(sys.argv[2]))
        scripts = warm_up(
            plan, lambda done, total, what: send_message(channel, {"warming": what, "done": done, "total": total})
        )
        send_message(channel, {"warm": True})
        message, _ = receive_message(channel)  # {"attach"}: the parent has made the segments
        if message is None:
            os._exit(0)
        segments = Segments(plan, create=False)
    except BrokenPipeError:
        os._exit(0)  # the parent has given up: it says why
    except Exception as error:
        _give_up(channel, error)
    gc.collect()
    gc.freeze()
    Launcher(channel, lambda role, generation, fd: _stage_life(segments, scripts, role, generation, fd)).serve()


if __name__ == "__main__":
    main()
