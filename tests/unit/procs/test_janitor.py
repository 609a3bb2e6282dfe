"""What the janitor sweeps: what nobody alive owns, all of it, and nothing else. Each case in names of its own."""

import os
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import numpy as np
import pytest

from procs import janitor
from procs.janitor import lives, sweep
from ringsim.control import CONTROL_WORDS, P_OWNER_PID, P_OWNER_START
from ringsim.ring.ring import process_start
from ringsim.shm import FOLDER, PREFIX

pytestmark = pytest.mark.alone  # segments without an owner are what the tests beside this one would have left behind


@pytest.fixture
def run():
    """A run's id; whatever bears it is removed afterwards."""
    name = f"test{uuid.uuid4().hex[:8]}"
    yield name
    for path in mine(name):
        path.unlink(missing_ok=True)


@pytest.fixture
def process():
    """Somebody else, alive."""
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield other
    other.kill()
    other.communicate()


def mine(run: str) -> list[Path]:
    return sorted(FOLDER.glob(f"{PREFIX}{run}*"))


def make(run: str, owner: tuple[int, int] | None) -> None:
    """A control page that names its owner, if there is one, and a segment that names nobody."""
    words = np.zeros(CONTROL_WORDS, np.int64)
    if owner is not None:
        words[P_OWNER_PID], words[P_OWNER_START] = owner
    (FOLDER / f"{PREFIX}{run}-control").write_bytes(words.tobytes())
    (FOLDER / f"{PREFIX}{run}-state.x").write_bytes(bytes(64))


def owner(pid: int) -> tuple[int, int]:
    return pid, process_start(pid)


GONE = (os.getpid(), 1)  # a pid that somebody else has now


def names(swept: list[janitor.Swept], run: str) -> list[str]:
    """Of this run: others may leave things behind at the same moment."""
    return [s.name for s in swept if s.name.startswith(f"{PREFIX}{run}")]


def test_what_a_dead_owner_left_goes_and_is_named(run):
    make(run, GONE)
    there = [path.name for path in mine(run)]
    assert names(sweep(dry=True, patience_s=0), run) == there == [path.name for path in mine(run)]
    assert names(sweep(patience_s=0), run) == there and mine(run) == []


def test_what_a_living_owner_uses_stays(run, process):
    make(run, owner(process.pid))
    assert names(sweep(patience_s=0), run) == [] and len(mine(run)) == 2


def test_a_zombie_owns_nothing(run):
    """Nobody may ever reap it: its memory is free all the same."""
    zombie = os.fork()
    if zombie == 0:
        os._exit(0)
    try:
        os.waitid(os.P_PID, zombie, os.WEXITED | os.WNOWAIT)
        make(run, owner(zombie))
        assert process_start(zombie) and not lives(*owner(zombie))
        assert len(names(sweep(patience_s=0), run)) == 2
    finally:
        os.waitpid(zombie, 0)


def test_a_launcher_that_outlives_its_parent_for_a_moment_is_waited_for(run, process):
    """As after `kill -9` in the warm-up: the page of the warm-up names the launcher, and that is still dying."""
    make(run, GONE)
    make(f"{run}.warm", owner(process.pid))
    timer = threading.Timer(0.3, lambda: (process.kill(), process.wait()))
    timer.start()
    swept = sweep(patience_s=20)
    timer.join()
    assert len(names(swept, run)) == 4 and mine(run) == []


def test_the_warm_up_of_a_run_that_goes_on_is_nobodys_to_wait_for(run, process):
    make(run, owner(process.pid))
    make(f"{run}.warm", owner(process.pid))
    janitor_began = time.monotonic()
    assert names(sweep(patience_s=20), run) == [] and len(mine(run)) == 4
    assert time.monotonic() - janitor_began < 15


@pytest.mark.parametrize("page", [None, b""], ids=["not named yet", "not sized yet"])
def test_what_was_made_just_now_may_be_in_the_making_until_it_is_old(run, page, monkeypatch):
    """Whoever made it may have been killed before the page named them, or after the page was unlinked again."""
    make(run, None)
    if page is not None:
        (FOLDER / f"{PREFIX}{run}-control").write_bytes(page)
    assert names(sweep(patience_s=0), run) == [] and len(mine(run)) == 2
    monkeypatch.setattr(janitor, "_YOUNG_S", 0.3)
    assert len(names(sweep(patience_s=20), run)) == 2 and mine(run) == []
