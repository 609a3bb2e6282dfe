"""What holds for every test: it leaves nothing behind, and those marked `alone` run while nothing else does.

Left behind would be a segment in /dev/shm or a process. Both are removed and the test that left them fails; others use
this machine too, so a new segment counts only if no process outside this test has it mapped.

Workers share two locked files. A test takes the gate, then the floor, and leaves the gate: ordinary tests take the
floor shared, `alone` ones exclusive. Whoever waits for the floor holds the gate, so nobody overtakes a waiting one.
"""

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, settings

from ringsim.shm import FOLDER, PREFIX

# A kernel's first call compiles it and the machine is shared: how long an example takes says nothing.
settings.register_profile("ringsim", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ringsim")

_LOOKS = 20  # at a suspicious segment: a process of somebody else may just be mapping it
_DEATH_S = 10


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "alone: measures or fills the machine; no other test runs beside it")


@pytest.fixture(scope="session")
def _locks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int] | None]:
    if "PYTEST_XDIST_WORKER" not in os.environ:
        yield None
        return
    folder: Path = tmp_path_factory.getbasetemp().parent  # the workers' common one
    with open(folder / "gate", "w") as gate, open(folder / "floor", "w") as floor:
        yield gate.fileno(), floor.fileno()


@pytest.fixture(autouse=True)
def _floor(request: pytest.FixtureRequest, _locks: tuple[int, int] | None) -> Iterator[None]:
    if _locks is None:
        yield
        return
    gate, floor = _locks
    fcntl.flock(gate, fcntl.LOCK_EX)
    fcntl.flock(floor, fcntl.LOCK_EX if request.node.get_closest_marker("alone") else fcntl.LOCK_SH)
    fcntl.flock(gate, fcntl.LOCK_UN)
    try:
        yield
    finally:
        fcntl.flock(floor, fcntl.LOCK_UN)


def _segments() -> set[Path]:
    return set(FOLDER.glob(f"{PREFIX}*"))


def _children() -> set[psutil.Process]:
    """All descendants, the dead ones that nobody has waited for too; not multiprocessing's own helper."""
    found = set()
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "multiprocessing.resource_tracker" not in " ".join(_command(child)):
                found.add(child)
    return found


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.ZombieProcess:
        return ["(dead, not waited for)"]


def _used_elsewhere(segment: Path) -> bool:
    """Whether a process outside this test has it mapped."""
    own = {str(os.getpid()), *(str(child.pid) for child in _children())}
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):
            if maps.parent.name not in own and re.search(rf"{re.escape(str(segment))}(?: |$)", maps.read_text(), re.M):
                return True
    return False


def _is_left(segment: Path) -> bool:
    for _ in range(_LOOKS):
        if not segment.exists() or segment.stat().st_uid != os.getuid() or _used_elsewhere(segment):
            return False
    return True


@pytest.fixture(autouse=True)
def _nothing_left(_floor: None) -> Iterator[None]:
    segments, children = _segments(), _children()
    yield
    complaints = []
    for child in sorted(_children() - children, key=lambda p: p.pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            complaints.append(f"process {child.pid}: {' '.join(_command(child)) or '(no command line)'}")
            child.kill()
            child.wait(_DEATH_S)
    for segment in sorted(_segments() - segments):
        with contextlib.suppress(FileNotFoundError):
            if _is_left(segment):
                complaints.append(f"segment {segment}")
                segment.unlink()
    assert not complaints, "the test left behind:\n" + "\n".join(complaints)
