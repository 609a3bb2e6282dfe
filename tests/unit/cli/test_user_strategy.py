"""--strategy FILE.py:NAME from the command line to the orders, and what becomes of one that misbehaves in a run."""

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from ringsim.strategy.foreign import install
from tests.unit.strategy.userfiles import example, write


@pytest.fixture(autouse=True)
def _nobody_decides():
    yield
    install(0, None)


def test_the_example_of_the_document_trades_and_is_repeated_from_its_manifest(ringsim, home):
    path = example(home)
    found = ringsim("backtest", "--strategy", "lean.py:LEAN", "--json").json
    assert found["strategy"] == "lean.py:LEAN" and found["exit_state"] == "DONE"
    assert found["orders"]["submitted"] > 0 and found["fills"] > 0 and found["orders"]["cancelled"] > 0
    assert not any("of the strategy" in note for note in found["notes"])
    source = ringsim("show", "latest", "--json").json["sources"][-1]
    assert source["path"] == str(path) and len(source["sha256"]) == 64
    assert (Path(found["out"]) / "strategy.py").read_text() == path.read_text()
    again = ringsim("verify", "latest", "--json").json
    assert (again["result"], again["changed"]) == ("same", [])

    path.write_text(path.read_text().replace("= 0.5", "= 0.7"))
    again = ringsim("verify", "latest", "--json").json
    assert (again["result"], again["changed"]) == ("different", [f"{path} has other bytes than then"])


def test_parameters_of_the_file_and_the_command_line_are_in_force_and_on_record(ringsim, home):
    example(home)
    (home / "mine.toml").write_text('[strategy]\nname = "lean.py:LEAN"\n[strategy.user]\nlean = 0.7\nlots = 30\n')
    found = ringsim("backtest", "--config", "mine.toml", "--set", "strategy.user.lots=20", "--json").json
    with sqlite3.connect(found["database"]) as database:
        entries = {q for (q,) in database.execute("SELECT asked_lots FROM orders WHERE kind = 'NEW' AND closes = 0")}
    assert entries == {20}
    manifest = json.loads((Path(found["out"]) / "manifest.json").read_text())
    kept = {
        s["path"]: (s["value"], s["origin"]) for s in manifest["settings"] if s["path"].startswith("strategy.user.")
    }
    assert kept == {"strategy.user.lots": (20, "command line"), "strategy.user.lean": (0.7, "mine.toml")}
    assert ringsim("verify", "latest", "--json").json["result"] == "same"


@pytest.mark.parametrize("command", ["run", "backtest"])
@pytest.mark.parametrize(
    ("given", "line"),
    [
        (["--strategy", "none.py:MINE"], "there is no strategy file"),
        (["--strategy", "mine.py"], "names no strategy of the file: FILE.py:NAME, not 'mine.py'"),
        (["--strategy", "mine.py:"], "names no strategy of the file: FILE.py:NAME, not 'mine.py:'"),
        (["--strategy", "mine.py:two words"], "names no strategy of the file"),
        (["--strategy", "mine.py:OTHER"], "has no OTHER"),
        (["--strategy", "mine.py:MINE", "--set", "strategy.user.lot=1"], "has no such parameter; it has lots, share"),
        (["--strategy", "mine.py:MINE", "--set", "strategy.user.lots=x"], "strategy.user.lots (command line): must be"),
        (["--strategy", "mine.py:MINE", "--set", "strategy.user.a.b=1"], "no such key"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_2(ringsim, home, command, given, line):
    write(home)
    answer = ringsim(command, *given)
    assert answer.code == 2 and answer.out == "" and line in answer.err and answer.err.count("\n") == 1
    assert not (home / "runs").exists()


def test_parameters_of_another_strategy_are_noted(ringsim, home):
    notes = ringsim("backtest", "--duration", "1", "--set", "strategy.user.lots=1", "--json").json["notes"]
    assert "strategy.user.lots: has no effect with the strategy imbalance" in notes


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("if own.calls > 20:\n    raise ValueError('no')\nreturn 0", "STRATEGY_RAISED"),
        ("intents[own.calls].side = 1\nreturn 1", "STRATEGY_RAISED"),
        ("return 5 // (20 - own.calls) // 5", "STRATEGY_RAISED"),
        ("return own.calls", "STRATEGY_COUNT"),
        ("return -1", "STRATEGY_COUNT"),
    ],
)
def test_one_that_fails_is_called_no_more_and_the_run_goes_on(ringsim, home, body, why):
    write(home, body)
    found = ringsim("backtest", "--strategy", "mine.py:MINE", "--duration", "5", "--json")
    assert found.code == 3 and found.json["exit_state"] == "HALTED" and found.json["halted"] == why
    assert any(f"({why}): its orders were cancelled" in note for note in found.json["notes"])
    assert ringsim("verify", "latest", "--json").json["result"] == "same"


@pytest.mark.slow
def test_one_that_does_not_return_ends_a_backtest_with_one_line(home):
    write(home, "while own.calls > 500:\n    own.seen[0] += 1.0\nreturn 0")
    command = [sys.executable, "-m", "procs.cli.main", "backtest", "--strategy", "mine.py:MINE"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 1 and ran.stdout == ""
    [line] = ran.stderr.splitlines()
    assert "the strategy mine.py:MINE is too slow" in line
    [manifest] = (home / "runs").glob("*/manifest.json")
    assert json.loads(manifest.read_text())["exit_state"] == "FAILED"
