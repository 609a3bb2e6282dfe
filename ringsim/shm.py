"""Named shared-memory segments that nobody unlinks by accident and that never fault in the hot path.

- Never registered with multiprocessing's resource tracker: before Python 3.13 the tracker of an unrelated process that
  attaches and exits would unlink the segment under everybody else. The run's janitor unlinks, by name.
- Blocks are reserved at creation, so a full /dev/shm is a SegmentError and not a SIGBUS in the middle of a run.
- Every process that maps a segment touches its pages first (MADV_POPULATE_WRITE).

Names: `ringsim-<run id>-<what>`, so that the janitor can tell whose they are.
"""

import contextlib
import errno
import os
import sys
from multiprocessing import resource_tracker, shared_memory
from pathlib import Path

from ringsim.errors import SegmentError

FOLDER = Path("/dev/shm")
PREFIX = "ringsim-"
_MADV_POPULATE_WRITE = 23  # Linux >= 5.14; not in the mmap module
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOMEM}


def segment_name(run_id: str, what: str) -> str:
    """`ringsim-<run id>-<what>`; what: letters, digits, dots."""
    return f"{PREFIX}{run_id}-{what}"


def _no_room(name: str, size_bytes: int, error: OSError) -> SegmentError:
    reason = os.strerror(error.errno or 0)
    return SegmentError(
        f"{FOLDER} cannot hold {size_bytes:,} bytes for {name}: {reason}; free some, or lower the capacities"
    )


class Segment(shared_memory.SharedMemory):
    """One mapped segment. `buf` is its memory; `close()` drops this mapping, `unlink()` removes the name for everyone.

    create=True: size_bytes > 0, reserved and zeroed; SegmentError if the name exists or /dev/shm cannot hold it.
    create=False: attaches; SegmentError if there is no such segment.
    """

    def __init__(self, name: str, *, create: bool = False, size_bytes: int = 0, populate: bool = True) -> None:
        try:
            self._open(name, create, size_bytes)
        except FileNotFoundError:
            raise SegmentError(f"no shared-memory segment named {name}") from None
        except FileExistsError:
            raise SegmentError(f"the shared-memory segment {name} is already there") from None
        except OSError as error:
            if create and error.errno in _NO_ROOM:  # the name is gone again: SharedMemory saw to it
                raise _no_room(name, size_bytes, error) from None
            raise SegmentError(f"shared memory {name}: {os.strerror(error.errno or 0)}") from None
        if create:
            try:
                os.posix_fallocate(self._fd, 0, size_bytes)
            except OSError as error:
                self.close()
                self.unlink()
                raise _no_room(name, size_bytes, error) from None
        if populate:
            self.populate()

    def populate(self) -> None:
        """Touch every page of this process's mapping. A forked child has the mapping, and none of its pages, yet."""
        # An older kernel refuses: then the first touch of each page faults, which costs time and nothing else.
        with contextlib.suppress(OSError):
            self._mmap.madvise(_MADV_POPULATE_WRITE)  # type: ignore[attr-defined]

    def _open(self, name: str, create: bool, size_bytes: int) -> None:
        if sys.version_info >= (3, 13):
            super().__init__(name, create, size_bytes, track=False)
            return
        register, resource_tracker.register = resource_tracker.register, lambda *_: None
        try:
            super().__init__(name, create, size_bytes)
        finally:
            resource_tracker.register = register

    def close(self) -> None:
        """Drop the mapping. With numpy views alive it stays until the process ends, which is harmless."""
        try:
            super().close()
        except BufferError:
            if self._fd >= 0:  # type: ignore[has-type]
                os.close(self._fd)  # type: ignore[has-type]
                self._fd = -1

    def __del__(self) -> None:
        self.close()

    def unlink(self) -> None:
        """Remove the name. Idempotent."""
        (FOLDER / self.name).unlink(missing_ok=True)
