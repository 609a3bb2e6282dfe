"""Who has a cached capture open: a shared lock on one of its files, which the kernel drops with the process.

A run opens its capture again for each new ingest, and others may prepare theirs meanwhile: what is in use stays in the cache.
"""

import fcntl
import os
from pathlib import Path


class Held:
    """A shared lock on a file, until this object is gone. OSError if there is no such file, or somebody is dropping it."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def __del__(self) -> None:
        if hasattr(self, "_fd"):
            os.close(self._fd)


def in_use(path: Path) -> bool:
    """Whether anybody, in any process, holds this file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(fd)
    return False
