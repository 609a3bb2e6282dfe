"""`feed export` and `--source events:` from the command line: the same market, the same orders, the same fills."""

import sqlite3

import numpy as np
import pytest

from ringsim.market.source import sample_path


@pytest.fixture
def exported(ringsim, home):
    """The shipped minute as an event file."""
    answer = ringsim("feed", "export", sample_path(), "--to", "minute.npz", "--json")
    assert answer.code == 0, answer
    assert answer.json == {
        "events": 24167, "file": "minute.npz", "symbol": "BTCUSDT", "tick": "0.01", "lot": "0.00001"
    }  # fmt: skip
    return home / "minute.npz"


def stored(found, table, columns):
    with sqlite3.connect(found["database"]) as database:
        return database.execute(f"SELECT {columns} FROM {table} ORDER BY seq").fetchall()


def test_an_exported_session_trades_as_the_capture_does(ringsim, exported):
    capture = ringsim("backtest", "--json").json
    given = ringsim("backtest", "--source", "events:minute.npz", "--tick", "0.01", "--lot", "0.00001", "--json").json
    taken = ringsim("backtest", "--source", "events:minute.npz", "--json").json
    assert given["digest"] == taken["digest"]
    assert (given["symbol"], given["messages"]["trade"], given["exit_state"]) == ("BTCUSDT", 1381, "DONE")
    what = "kind, side, price_ticks, qty_lots, created_ns, status, reason"
    assert stored(given, "orders", what) == stored(capture, "orders", what) and capture["fills"] > 0
    assert given["equity"] == capture["equity"] and given["fees"] == capture["fees"]
    assert any("taken from the event file" in note for note in taken["notes"]) and given["notes"] == []
    assert ringsim("verify", "latest", "--json").json["result"] == "same"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["backtest", "--source", "events:none.npz"], "none.npz"),
        (["backtest", "--source", f"events:{sample_path()}"], "is no event file"),
        (
            ["backtest", "--source", "events:minute.npz", "--tick", "0.5"],
            "off the grid of 0.5: give the right one with --tick",
        ),
        (["backtest", "--source", "events:minute.npz", "--tick", "0"], "feed.tick"),
        (["backtest", "--source", "events:minute.npz", "--lot", "x"], "feed.lot"),
        (["feed", "export", "minute.npz", "--to", "x.npz"], "minute.npz"),
        (["feed", "export", str(sample_path()), "--to", "x.csv"], "must end in .npz"),
        (["feed", "export", str(sample_path()), "--to", "minute.npz"], "is there already"),
        (
            ["feed", "export", str(sample_path()), "--to", "no/folder/x.npz"],
            "cannot be written: No such file or directory",
        ),
    ],
)
def test_bad_input_is_one_line_and_2(ringsim, exported, home, arguments, said):
    answer = ringsim(*arguments)
    assert answer.code == 2 and answer.out == "" and said in answer.err and answer.err.count("\n") == 1, answer
    assert not (home / "runs").exists()


def test_a_grid_for_a_capture_is_noted_as_useless(ringsim):
    assert (
        "feed.tick: has no effect: only event files need to be told their grid"
        in ringsim("backtest", "--tick", "1", "--json").json["notes"]
    )


def test_the_export_is_what_its_readers_expect(exported):
    with np.load(exported) as file:
        data = file["data"]
    assert (
        data.dtype.itemsize == 64 and (np.diff(data["exch_ts"]) >= 0).all() and (np.diff(data["local_ts"]) >= 0).all()
    )
    assert set((data["ev"] & 0xFF).tolist()) == {1, 2, 3, 4} and (data["ev"] >> 30 == 3).all()
