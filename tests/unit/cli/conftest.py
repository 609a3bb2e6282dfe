"""A command line in a process of its own folders: nothing of the machine's user is read or written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import procs.run  # noqa: F401  (a kernel's cache lies where the home is when it is imported: not in a test's)
from procs.cli import main


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh home, state and cache."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "RINGSIM_STATE", "RINGSIM_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(folder)
    return folder


class Answer(NamedTuple):
    """What a command line gave back."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON object on stdout; fails if there is anything else."""
        assert self.out.count("\n") == 1, self.out
        return json.loads(self.out)


@pytest.fixture
def ringsim(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Carry out a command line in this process."""

    def call(*arguments: object) -> Answer:
        code = main.run([str(argument) for argument in arguments])
        return Answer(code, *capsys.readouterr())

    return call
