"""ENOSPC from the kernel: a disk that is really full, at every size from hardly enough for the empty database on."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.namespaces import UNSHARE, needs_namespace

ROOT = Path(__file__).parents[3]
pytestmark = [pytest.mark.slow, needs_namespace, pytest.mark.timeout(180)]


def test_a_disk_that_is_really_full_is_waited_for_and_nothing_is_missing_when_there_is_room(tmp_path: Path):
    done = subprocess.run(
        [*UNSHARE, sys.executable, "-m", "tests.unit.procs.small_disk", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=170, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert msgspec.json.decode(done.stdout)["full"] >= 5
