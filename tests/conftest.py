"""What holds for every test: those marked `alone` run while nothing else does, whatever the number of workers.

Workers share two locked files. A test takes the gate, then the floor, and leaves the gate: ordinary tests take the
floor shared, `alone` ones exclusive. Whoever waits for the floor holds the gate, so nobody overtakes a waiting one.
"""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest


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
