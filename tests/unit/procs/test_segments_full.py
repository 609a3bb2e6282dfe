"""Shared memory that is full: said with the size that was wanted, and nothing stays of what was made before."""

import errno
import os
import resource
import uuid
from pathlib import Path

import pytest

from procs.topology import Segments
from ringsim.errors import SegmentError
from ringsim.shm import FOLDER, PREFIX, Segment
from tests.process.pipeline import prepared


def left(run_id: str) -> list[str]:
    return [path.name for path in FOLDER.glob(f"{PREFIX}{run_id}*")]


def test_any_segment_may_find_no_room_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The first cannot be made, the second, ... until all can."""
    plan = prepared(tmp_path, f"full{uuid.uuid4().hex[:8]}").plan
    reserve, made = os.posix_fallocate, [0]
    for n in range(1, 50):
        made[0] = 0

        def nth(fd: int, start: int, size_bytes: int, n: int = n) -> None:
            made[0] += 1
            if made[0] == n:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            reserve(fd, start, size_bytes)

        monkeypatch.setattr(os, "posix_fallocate", nth)
        try:
            Segments(plan, create=True).close()
        except SegmentError as error:
            assert "/dev/shm cannot hold" in str(error) and "No space left on device" in str(error)
            assert left(plan.run_id) == []
            continue
        assert left(plan.run_id) == [] and n == made[0] + 1 > 10
        return
    raise AssertionError("it never came to an end")


def test_a_limit_of_the_process_is_no_room_either():
    """RLIMIT_FSIZE: what the kernel itself refuses, without filling anything."""
    name = f"{PREFIX}test{uuid.uuid4().hex[:8]}-x"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
    try:
        with pytest.raises(SegmentError, match=r"cannot hold 131,072 bytes for .*free some, or lower the capacities"):
            Segment(name, create=True, size_bytes=1 << 17)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (FOLDER / name).exists()
