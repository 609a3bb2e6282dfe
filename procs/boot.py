"""Exec a run's launcher: a process of its own, because it must have no threads, and the parent has some."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from procs.topology import Plan


def boot(plan: Plan) -> tuple[socket.socket, "subprocess.Popen[bytes]"]:
    """Start the launcher of a run whose plan is saved. Returns the channel to it, and its process."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-m", "procs.launcher", str(theirs.fileno()), str(Path(plan.folder) / "plan.json")]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    with theirs:
        launcher = subprocess.Popen(
            [*command, str(os.getpid())], pass_fds=[theirs.fileno()], env=environment, stdin=subprocess.DEVNULL
        )
    return ours, launcher
