"""--source synthetic from the command line: seeds, profiles, lengths, what is noted, what is refused in one line."""

import sqlite3
from pathlib import Path

import pytest

SHORT = ("--source", "synthetic", "--duration", "3")


def test_a_generated_run_is_repeated_from_its_manifest_and_its_seed_decides_it(ringsim):
    found = ringsim("backtest", *SHORT, "--json").json
    assert found["source"] == ["synthetic"] and found["symbol"] == "BTCUSDT" and found["exit_state"] == "DONE"
    assert found["messages"]["prediction"] == 61 and found["notes"] == []
    again = ringsim("verify", "latest", "--json").json
    assert (again["result"], again["changed"]) == ("same", [])
    other, asked = (
        ringsim("backtest", *SHORT, *more, "--json").json for more in (["--seed", "2"], ["--set", "sim.seed=2"])
    )
    assert other["messages"] == asked["messages"] != found["messages"]
    assert '"event_type":"prediction_tick"' in Path(asked["out"], "events.jsonl").read_text()


def test_predictions_are_what_an_export_calls_external(ringsim, home):
    found = ringsim("backtest", *SHORT, "--set", "sim.sigma=0.01", "--json").json
    assert ringsim("export", "latest", "--format", "csv", "--to", "rows.csv").code == 0
    rows = [line.split(",") for line in (home / "rows.csv").read_text().splitlines()[1:]]
    with sqlite3.connect(found["database"]) as database:
        assert len(rows) == database.execute("SELECT next_seq FROM cursors WHERE ring = 'orders'").fetchone()[0] > 3
    assert max(abs(float(row[3])) for row in rows if row[3]) > 0.005, "the market is late: the prediction has moved on"


@pytest.mark.parametrize(
    ("profile", "predictions", "depth"), [("dev", 81, 600), ("demo", 81, 600), ("bench", 81, 9000)]
)
def test_profiles_have_their_own_markets(ringsim, profile, predictions, depth):
    found = ringsim("backtest", "--source", "synthetic", "--duration", "4", "--profile", profile, "--json").json
    assert found["messages"]["prediction"] == predictions and depth * 0.8 < found["messages"]["depth"] < depth * 1.25


def test_its_keys_are_noted_where_it_is_not_the_source(ringsim):
    notes = ringsim("backtest", "--duration", "1", "--set", "sim.noise=0.001", "--json").json["notes"]
    assert "sim.noise: has no effect with the source sample: it is of the generated market" in notes


@pytest.mark.parametrize("command", ["run", "backtest"])
@pytest.mark.parametrize(
    ("given", "line"),
    [
        (["--source", "synthetic:x"], "synthetic takes nothing after it"),
        (["--source", "synthetik"], "did you mean synthetic?"),
        (["--source", "synthetic", "--set", "sim.book.levels=0"], "must be a whole number from 1 to 1000"),
        (["--source", "synthetic", "--set", "sim.regime=wild"], "must be one of calm, trend, sideways, volatile, mixed"),
        (["--source", "synthetic", "--set", "sim.noise=0.5"], "must be a number from 0 to 0.1"),
        (["--source", "synthetic", "--set", "sim.start_price=0.5"], "choose another tick or price"),
        (["--source", "synthetic", "--duration", "1000000000"], "more than 20,000,000"),
        (["--source", "synthetic", "--set", "sim.book.level_size=0.0001"], "at least one lot"),
    ],
)  # fmt: skip
def test_what_cannot_be_generated_is_one_line_and_2(ringsim, home, command, given, line):
    answer = ringsim(command, *given)
    assert answer.code == 2 and answer.out == "" and line in answer.err and answer.err.count("\n") == 1
    assert not (home / "runs").exists()
