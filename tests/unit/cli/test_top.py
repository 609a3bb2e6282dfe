"""`ringsim top` without a terminal: one picture, one object, or lines until the run is over."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import typer

from procs.cli import top
from procs.readmodel import ReadModel, View
from ringsim.errors import BadInput
from ringsim.store.runs import RunIndex
from tests.unit.views import BTC, healthy


class Model:
    """A run that is over after so many looks."""

    def __init__(self, looks: int) -> None:
        self.left, self.closed = looks, False

    def look(self) -> View:
        self.left -= 1
        return healthy()

    def over(self) -> bool:
        return self.left <= 0

    def instrument(self) -> Any:
        return BTC

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    """The run that `latest` means."""
    one = Model(3)
    monkeypatch.setattr(RunIndex, "resolve", lambda _, name: SimpleNamespace(folder=Path(name)))
    monkeypatch.setattr(ReadModel, "attach", lambda folder: one)
    for name in ("_INTERVAL_S", "_LINE_S", "_NAP_S"):
        monkeypatch.setattr(top, name, 0.0)
    return one


def call(*arguments: str) -> int:
    """The exit code."""
    return top.app(args=list(arguments), standalone_mode=False) or 0


def test_json_is_one_object_with_the_grid_of_its_integers(model, capsys):
    call("--json")
    said = msgspec.json.decode(capsys.readouterr().out)
    assert said["account"]["position_lots"] == 1500 and said["instrument"]["tick"] == "0.01"
    assert said["stages"][1]["name"] == "strategy" and said["rings"][0]["lag"] == {"strategy": 12, "execution": 4096}
    assert model.closed


def test_once_is_one_picture_of_the_size_that_the_environment_says(model, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    call("--once")
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 24 and max(map(len, rows)) <= 80
    assert rows[1].startswith("lifecycle READY  trading ACTIVE  run RUNNING")
    assert model.closed


def test_where_there_is_no_terminal_there_are_lines_until_the_run_is_over(model, capsys):
    call()
    rows = capsys.readouterr().out.splitlines()
    assert [row.startswith("READY ACTIVE RUNNING") for row in rows] == [True, True, True, False]
    assert rows[-1].endswith("is over") and model.closed


def test_a_reader_that_leaves_ends_it_quietly(model, monkeypatch):
    model.left = 10**6
    read, write = os.pipe()
    os.close(read)
    with open(write, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        with pytest.raises(typer.Exit) as left:
            top.top()
        monkeypatch.undo()
    assert left.value.exit_code == 1


def test_a_run_that_is_not_going_on_is_bad_input(tmp_path, monkeypatch):
    monkeypatch.setattr(RunIndex, "resolve", lambda _, name: SimpleNamespace(folder=tmp_path))
    with pytest.raises(BadInput, match="no run is going on"):
        call(str(tmp_path))
