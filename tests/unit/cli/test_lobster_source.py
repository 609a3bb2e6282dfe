"""lobster: from the command line: a run on it, its check, what is refused in one line."""

import pytest

MESSAGES = [
    "34200.1,1,5,30,1000100,-1",
    "34200.5,1,9,40,1000100,-1",
    "34201,4,9,30,1000100,-1",
    "34202,1,11,40,999900,1",
]
BOOK = ["1000100,50,999900,30", "1000100,90,999900,30", "1000100,60,999900,30", "1000100,60,999900,70"]


@pytest.fixture
def files(home):
    (home / "ACME_2012-06-21_m.csv").write_text("\n".join(MESSAGES))
    (home / "b.csv").write_text("\n".join(BOOK))
    return "lobster:ACME_2012-06-21_m.csv,b.csv"


def test_a_run_on_it_names_its_symbol_its_files_and_is_repeated(ringsim, files):
    refused = ringsim("backtest", "--source", files)
    assert (
        refused.code == 2
        and "strategy.risk_limits.max_order_size" in refused.err
        and "less than one lot (1)" in refused.err
    )
    found = ringsim("backtest", "--source", files, "--set", "strategy.risk_limits.max_order_size=10", "--json").json
    assert found["symbol"] == "ACME" and found["messages"]["depth"] == 3 and found["messages"]["trade"] == 1
    assert found["exit_state"] == "DONE" and [f.rpartition("/")[2] for f in found["source"]] == [
        "ACME_2012-06-21_m.csv",
        "b.csv",
    ]
    assert ringsim("verify", "latest", "--json").json["result"] == "same"


def test_the_exact_place_in_the_queue_is_a_model_of_the_run(ringsim, files):
    given = ["--source", files, "--set", "strategy.risk_limits.max_order_size=10"]
    found = ringsim("backtest", *given, "--queue", "fifo", "--json").json
    assert found["exchange"]["queue"] == "fifo" and found["exit_state"] == "DONE"
    assert ringsim("verify", "latest", "--json").json["result"] == "same"


@pytest.mark.parametrize("command", ["run", "backtest"])
@pytest.mark.parametrize("source", ["sample", "synthetic", "replay:no.gz", "events:no.npz"])
def test_it_is_refused_in_a_line_where_the_data_have_levels_alone(ringsim, home, command, source):
    for given in (["--queue", "fifo"], ["--set", "broker.queue_model=fifo"]):
        answer = ringsim(command, "--source", source, *given)
        assert answer.code == 2 and answer.out == "" and answer.err.count("\n") == 1
        assert "broker.queue_model (command line): is fifo, which follows single orders" in answer.err
        assert "lobster:MSG.csv[,BOOK.csv]" in answer.err and f"the source {source} has levels alone" in answer.err
        assert not (home / "runs").exists()
    checked = ringsim("config", "check", "--set", "broker.queue_model=fifo", "--set", f"run.source={source}")
    assert checked.code == 2 and f"the source {source} has levels alone" in checked.err


def test_its_check_compares_every_row_and_lists_every_exception(ringsim, home, files):
    answer = ringsim("feed", "check", files)
    assert answer.code == 0 and "4 of 4 rows have the book file's best prices, 0 of them" in answer.out
    assert "0 of 1 visible executions at its front (0.0%)" in answer.out
    assert "not: row 3: order 9, 30 at ask 100.0100: 50 shares stood ahead of it" in answer.out
    (home / "b.csv").write_text("\n".join([*BOOK[:2], "1000200,60,999900,30", BOOK[3]]))
    answer = ringsim("feed", "check", files, "--json")
    assert answer.code == 3 and answer.json["price_mismatches"] == 1
    assert answer.json["first_mismatch"] == "row 3: the best price differs"


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("lobster:", "names no file"),
        ("lobster:none.csv", "cannot be read: No such file or directory"),
        ("lobster:b.csv", "b.csv line 1: is no message row"),
        ("lobster:b.csv,b.csv,b.csv", "takes MSG.csv and perhaps BOOK.csv, not 3 files"),
    ],
)
def test_what_is_no_session_is_one_line_and_2(ringsim, home, files, source, line):
    answer = ringsim("backtest", "--source", source)
    assert answer.code == 2 and answer.out == "" and line in answer.err and answer.err.count("\n") == 1
    assert not (home / "runs").exists()


def test_feed_check_of_a_missing_file_is_one_line_and_2(ringsim):
    answer = ringsim("feed", "check", "lobster:none.csv")
    assert answer.code == 2 and "none.csv: cannot be read" in answer.err and answer.err.count("\n") == 1
