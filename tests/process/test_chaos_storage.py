"""A disk that is slow, full, locked or damaged, memory that is not there: in a running pipeline."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from procs.chaos.storage import STORAGE
from procs.chaos.verdict import PASS
from ringsim.shm import FOLDER, PREFIX
from tests.namespaces import UNSHARE, needs_namespace
from tests.process.test_chaos import verdict

pytestmark = [pytest.mark.timeout(280), pytest.mark.alone]

EVERYDAY = ("disk-full", "cut-log")
ROOT = Path(__file__).parents[2]
RUN = [sys.executable, "-m", "procs.cli.entry", "run", "--clock", "simulated", "--no-live"]


@pytest.mark.parametrize(
    "name", [pytest.param(row.name, marks=() if row.name in EVERYDAY else pytest.mark.slow) for row in STORAGE]
)
def test_a_storage_fault_ends_as_its_row_says(name: str):
    found = verdict(name)
    assert found.verdict == PASS, found.problems


@pytest.mark.slow
@pytest.mark.parametrize("name", ["corrupt-database", "cut-log", "short-write", "fsync-error"])
@pytest.mark.parametrize("seed", [2, 3, 4])
def test_wherever_the_damage_lies(name: str, seed: int):
    found = verdict(name, seed=seed)
    assert found.verdict == PASS, found.problems


def command(
    *more: str, before: tuple[str, ...] = (), room_bytes: int | None = None
) -> subprocess.CompletedProcess[str]:
    """`ringsim run` in a process of its own. room_bytes: the largest file that it may write, a segment too."""

    def limit() -> None:
        if room_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room_bytes, room_bytes))

    return subprocess.run(
        [*before, *RUN, *more], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        timeout=240, check=False, preexec_fn=limit,
    )  # fmt: skip


def assert_one_line(done: subprocess.CompletedProcess[str], words: str) -> None:
    """A failure, in words, without a traceback."""
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith("ringsim: ") and words in line], done.stderr


@pytest.mark.slow
def test_a_run_whose_segments_find_no_room_says_so_and_leaves_nothing(tmp_path: Path):
    before = set(FOLDER.glob(f"{PREFIX}*"))
    done = command("--out", str(tmp_path / "run"), room_bytes=1 << 19)
    assert_one_line(done, "/dev/shm cannot hold")
    assert set(FOLDER.glob(f"{PREFIX}*")) <= before


@pytest.mark.slow
@needs_namespace
def test_a_dev_shm_that_is_really_full_is_said(tmp_path: Path):
    mount = 'mount -t tmpfs -o size=2m none /dev/shm && "$@"; status=$?; ls /dev/shm | sed "s/^/left /"; exit $status'
    done = command("--out", str(tmp_path / "run"), before=(*UNSHARE, "sh", "-c", mount, "sh"))
    assert_one_line(done, "/dev/shm cannot hold")
    assert "No space left on device" in done.stderr and "left " not in done.stdout


@pytest.mark.slow
@needs_namespace
@pytest.mark.parametrize("kib", [400, 600, 1000])
def test_a_disk_that_is_really_full_ends_the_run_with_its_reason(tmp_path: Path, kib: int):
    """Everything of the run lies on it: database, log, status, summary. Nobody makes room."""
    mount = f'mount -t tmpfs -o size={kib}k none {tmp_path} && "$@"'
    settings = ("--set", "pipeline.storage_patience_s=1", "--set", "strategy.persistence.batch_size=10")
    done = command("--out", str(tmp_path / "run"), *settings, before=(*UNSHARE, "sh", "-c", mount, "sh"))
    assert_one_line(done, "free some space")
    assert "FAILED" in done.stdout
