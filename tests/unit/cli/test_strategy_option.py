"""--strategy from the command line to the orders: what is asked for is what ran, is said, and can be repeated."""

import sqlite3

import pytest

from ringsim.market.capture import prepare
from ringsim.market.source import sample_path

HEADER = "time_ns,side,price,qty,type,tif,cancel_after_ns"


@pytest.fixture
def schedule(home):
    """Ten market orders over the shipped minute, and a limit order after its end."""
    meta = prepare([sample_path()]).meta
    rows = [
        f"{meta.first_recv_ns + k * 5_000_000_000},{'buy' if k % 2 else 'sell'},,0.001,market,ioc,"
        for k in range(1, 11)
    ]
    path = home / "orders.csv"
    path.write_text("\n".join([HEADER, *rows, f"{meta.last_recv_ns + 1},buy,1,1,limit,gtc,", ""]))
    return path


def test_a_scripted_run_sends_its_rows_and_is_repeated_from_its_manifest(ringsim, schedule):
    found = ringsim("backtest", "--strategy", "scripted:orders.csv", "--json").json
    assert found["strategy"] == "scripted:orders.csv" and found["signals"] == 0
    assert (found["orders"]["submitted"], found["orders"]["filled"]) == (10, 10)
    assert "orders of the schedule that lie after the end of the run, and were not sent: 1" in found["notes"]
    with sqlite3.connect(found["database"]) as database:
        sent = [t for (t,) in database.execute("SELECT created_ns FROM orders ORDER BY seq")]
    assert sent == [int(line.split(",")[0]) for line in schedule.read_text().splitlines()[1:11]]
    assert "  strategy  scripted:orders.csv\n" in ringsim("show", "latest").out
    sources = ringsim("show", "latest", "--json").json["sources"]
    assert [s["path"] for s in sources] == [str(sample_path()), str(schedule)] and len(sources[1]["sha256"]) == 64

    again = ringsim("verify", "latest", "--json").json
    assert (again["result"], again["changed"]) == ("same", [])
    schedule.write_text(schedule.read_text().replace("0.001", "0.002"))
    again = ringsim("verify", "latest", "--json").json
    assert (again["result"], again["changed"]) == ("different", [f"{schedule} has other bytes than then"])


def test_without_the_option_the_strategy_is_the_imbalance(ringsim):
    asked, usual = (ringsim("backtest", *more, "--json").json for more in (["--strategy", "imbalance"], []))
    assert asked["digest"] == usual["digest"] and usual["strategy"] == "imbalance" and usual["signals"] > 0


def test_keys_of_the_other_strategy_are_noted(ringsim, schedule):
    answer = ringsim(
        "backtest", "--strategy", "scripted:orders.csv", "--set", "strategy.params.min_confidence=0.5", "--json"
    )
    assert "strategy.params.min_confidence: has no effect with the strategy scripted:orders.csv" in answer.json["notes"]


def test_the_divergence_trades_on_predictions_and_says_which_keys_it_does_not_read(ringsim):
    given = ["--source", "synthetic", "--duration", "20", "--strategy", "divergence", "--json"]
    found = ringsim("backtest", *given, "--set", "strategy.params.min_confidence=0.5").json
    assert found["strategy"] == "divergence" and found["signals"] > 0 and found["fills"] > 0
    assert found["notes"] == ["strategy.params.min_confidence: has no effect with the strategy divergence"]
    assert ringsim("verify", "latest", "--json").json["result"] == "same"
    idle = ringsim("backtest", "--duration", "1", "--set", "strategy.divergence.hold_ms=5", "--json").json["notes"]
    assert "strategy.divergence.hold_ms: has no effect with the strategy imbalance" in idle
    without = ringsim("backtest", "--duration", "1", "--strategy", "divergence", "--json").json
    assert without["signals"] == 0 and without["fills"] == 0, "the sample has no predictions"


@pytest.mark.parametrize("command", ["run", "backtest"])
@pytest.mark.parametrize(
    ("strategy", "line"),
    [
        (
            "imbalanced",
            "must be imbalance, divergence, scripted:FILE.csv or FILE.py:NAME, not 'imbalanced'; did you mean ",
        ),
        ("scripted", "must be imbalance, divergence, scripted:FILE.csv or FILE.py:NAME, not 'scripted'"),
        ("divergence:x", "must be imbalance, divergence, scripted:FILE.csv or FILE.py:NAME, not 'divergence:x'"),
        ("scripted:", "must be imbalance, divergence, scripted:FILE.csv or FILE.py:NAME, not 'scripted:'"),
        ("imbalance:x", "must be imbalance, divergence, scripted:FILE.csv or FILE.py:NAME, not 'imbalance:x'"),
        ("scripted:none.csv", "there is no schedule"),
    ],
)
def test_a_wrong_strategy_is_one_line_and_2(ringsim, home, command, strategy, line):
    answer = ringsim(command, "--strategy", strategy)
    assert answer.code == 2 and answer.out == "" and line in answer.err and answer.err.count("\n") == 1
    assert not (home / "runs").exists()


def test_bad_rows_are_named_all_at_once_and_as_json(ringsim, home):
    (home / "bad.csv").write_text(f"{HEADER}\n1,buy,nan,1,limit,gtc,\n1,up,1,1,limit,gtc,\n")
    answer = ringsim("backtest", "--strategy", "scripted:bad.csv", "--json")
    assert answer.code == 2 and [p.partition(":")[0] for p in answer.json["problems"]] == ["line 2", "line 3"]
    assert not (home / "runs").exists()


def test_at_full_speed_a_schedule_has_no_clock(ringsim, schedule):
    answer = ringsim("run", "--strategy", "scripted:orders.csv", "--speed", "max")
    assert answer.code == 2 and "at run.speed max it has none: choose a speed" in answer.err
