"""A store that never waits, and what its tables hold."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ringsim.store.sqlite import Store
from tests.unit.store.streams import FACTS


def no_wait(seconds: float) -> None:
    raise AssertionError(f"the store waited {seconds} s for a lock that nobody holds")


@pytest.fixture
def create(tmp_path: Path) -> Any:
    """create(name="run.db", **options) -> Store; all are closed at the end."""
    made: list[Store] = []

    def create(name: str = "run.db", **options: Any) -> Store:
        options = {"wait": no_wait, "synchronous": "normal"} | options
        made.append(Store.create(tmp_path / name, FACTS, **options))
        return made[-1]

    yield create
    for store in made:
        store.close()


Create = Callable[..., Store]
