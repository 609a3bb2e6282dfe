"""--strategy given several times, from the command line to the database and back."""

import sqlite3
from decimal import Decimal

import pytest

from ringsim.market.capture import prepare
from ringsim.market.source import sample_path
from ringsim.strategy.foreign import install
from tests.unit.strategy.userfiles import example

HEADER = "time_ns,side,price,qty,type,tif,cancel_after_ns"


@pytest.fixture(autouse=True)
def _nobody_decides():
    yield
    for number in range(3):
        install(0, None, number)


@pytest.fixture
def schedule(home):
    """Eight market orders over the shipped minute."""
    start = prepare([sample_path()]).meta.first_recv_ns
    rows = [f"{start + k * 6_000_000_000},{'buy' if k % 2 else 'sell'},,0.0001,market,ioc," for k in range(1, 9)]
    path = home / "orders.csv"
    path.write_text("\n".join([HEADER, *rows, ""]))
    return path


BOTH = ("--strategy", "imbalance", "--strategy", "scripted:orders.csv")


def test_each_one_and_the_account_are_in_the_summary_and_in_the_database(ringsim, schedule):
    found = ringsim("backtest", *BOTH, "--json").json
    first, second = found["strategies"]
    assert (first["number"], first["strategy_id"], first["name"]) == (0, "imbalance-0", "imbalance")
    assert (second["number"], second["strategy_id"], second["name"]) == (1, "scripted-1", "scripted:orders.csv")
    assert found["strategy"] == "imbalance, scripted:orders.csv" and second["orders"] == 8
    assert found["orders"]["submitted"] == first["orders"] + second["orders"]
    assert found["fills"] == first["fills"] + second["fills"] and min(first["fills"], second["fills"]) > 0
    gains = [Decimal(str(s["equity"])) - 100_000 for s in (first, second, found)]
    assert gains[0] + gains[1] == gains[2] != 0

    with sqlite3.connect(found["database"]) as database:
        assert dict(database.execute("SELECT strategy_id, number FROM strategies")) == {
            "imbalance-0": 0, "scripted-1": 1, "account": 2
        }  # fmt: skip
        counts = dict(database.execute("SELECT strategy_id, count(*) FROM orders GROUP BY 1"))
        assert counts == {"imbalance-0": first["orders"], "scripted-1": 8}
        fills = dict(database.execute("SELECT strategy_id, count(*) FROM trades GROUP BY 1"))
        assert fills == {"imbalance-0": first["fills"], "scripted-1": second["fills"]}
        positions = dict(database.execute("SELECT strategy_id, fills FROM positions"))
        assert positions == fills | {"account": found["fills"]}
    said = ringsim("show", "latest").out
    assert "  strategy  imbalance-0 (imbalance): " in said and "  strategy  scripted-1 (scripted:orders.csv): " in said
    assert [s["path"] for s in ringsim("show", "latest", "--json").json["sources"]][1:] == [str(schedule)]


def test_it_is_repeated_from_its_manifest_and_exported_and_shown(ringsim, home, schedule):
    found = ringsim("backtest", *BOTH, "--json").json
    again = ringsim("verify", "latest", "--json").json
    assert (again["result"], again["changed"]) == ("same", [])
    schedule.write_text(schedule.read_text().replace("0.0001", "0.0002"))
    assert ringsim("verify", "latest", "--json").json["result"] == "different"

    assert ringsim("export", "latest", "--to", "rows.csv", "--no-market").code == 0
    head, *rows = (home / "rows.csv").read_text().splitlines()
    assert head.endswith(",halted,strategy")
    whose = [row.rsplit(",", 1)[1] for row in rows]
    with sqlite3.connect(found["database"]) as database:
        (count,) = database.execute("SELECT next_seq FROM cursors WHERE ring = 'orders'").fetchone()
    assert len(whose) == count and set(whose) == {"0", "1"}
    last = {number: row.split(",") for number, row in zip(whose, rows, strict=True)}
    for number, share in zip("01", found["strategies"], strict=True):  # the last snapshot: after the last fill
        assert Decimal(last[number][7]) == Decimal(str(share["position"]))
    assert ringsim("report", "latest", "--to", "page.html").code == 0


def test_one_in_a_list_is_one(ringsim, home):
    (home / "mine.toml").write_text('[strategy]\nname = ["imbalance"]\nstrategy_id = ["mine"]\n')
    one = ringsim("backtest", "--duration", "20", "--json").json
    listed = ringsim("backtest", "--duration", "20", "--config", "mine.toml", "--json").json
    assert listed["digest"] == one["digest"] and [s["strategy_id"] for s in listed["strategies"]] == ["mine"]
    assert {k: v for k, v in one["strategies"][0].items() if k in ("fills", "equity", "position")} == {
        k: one[k] for k in ("fills", "equity", "position")
    }


def test_a_list_in_the_file_with_ids_of_its_own(ringsim, home, schedule):
    (home / "mine.toml").write_text(
        '[strategy]\nname = ["imbalance", "scripted:orders.csv"]\nstrategy_id = ["slow", "quick"]\n'
    )
    found = ringsim("backtest", "--config", "mine.toml", "--json").json
    assert [s["strategy_id"] for s in found["strategies"]] == ["slow", "quick"]
    assert found["digest"] == ringsim("backtest", *BOTH, "--json").json["digest"], "a name is not what happens"
    assert ringsim("verify", "latest", "--json").json["result"] == "same"


def test_two_of_a_users_own_each_take_their_own_parameters(ringsim, home):
    """Two kernels in one process, each called for its number, each with the parameters that it has."""
    path = example(home)
    path.write_text(
        path.read_text()
        + "\n\nclass Few(msgspec.Struct):\n    few: int = 7\n\n\n"
        + "def small(own, p, f, v, orders, intents):\n"
        + "    if v.may_send == 0 or v.own_orders > 0 or v.now_ns < own.next_ns:\n        return 0\n"
        + "    own.next_ns = v.now_ns + 5_000_000_000\n"
        + "    propose_order(intents[0], BUY, LIMIT, POST_ONLY, f.bid_ticks - 1000, p.few, ENTRY, 0, 0, 0)\n    return 1\n\n\n"
        + "SMALL = UserStrategy(kernel=small, params=Few, state=np.dtype([('next_ns', 'i8')]))\n"
    )
    given = ["--strategy", "lean.py:LEAN", "--strategy", "lean.py:SMALL", "--set", "strategy.user.few=3"]
    found = ringsim("backtest", *given, "--set", "strategy.user.lots=20", "--json").json
    assert [s["strategy_id"] for s in found["strategies"]] == ["LEAN-0", "SMALL-1"]
    with sqlite3.connect(found["database"]) as database:
        query = "SELECT DISTINCT strategy_id, asked_lots FROM orders WHERE kind = 'NEW' AND closes = 0 ORDER BY 1"
        assert list(database.execute(query)) == [("LEAN-0", 20), ("SMALL-1", 3)]
    assert ringsim("verify", "latest", "--json").json["result"] == "same"
    wrong = ringsim("backtest", *given, "--set", "strategy.user.fewer=3")
    assert wrong.code == 2 and "strategy.user.fewer: none of the strategies has such a parameter" in wrong.err


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (["--strategy", "imbalance"] * 9, "strategy.name (command line): has 9 strategies; the most is 8"),
        ([*BOTH, "--strategy", "imbalanced"], "not 'imbalanced'; did you mean imbalance?"),
        ([*BOTH, "--strategy", "scripted:none.csv"], "there is no schedule"),
        ([*BOTH, "--set", "strategy.strategy_id=mine"], "is one, 'mine', for 2 strategies: list as many"),
        ([*BOTH, "--set", 'strategy.strategy_id=["a"]'], "lists 1 ids for 2 strategies"),
        ([*BOTH, "--set", 'strategy.strategy_id=["a", "a"]'], "lists an id twice, or 'account'"),
        ([*BOTH, "--set", 'strategy.strategy_id=["a", "account"]'], "lists an id twice, or 'account'"),
    ],
)
def test_what_cannot_be_is_one_line_and_2(ringsim, home, schedule, given, line):
    answer = ringsim("backtest", *given)
    assert answer.code == 2 and answer.out == "" and line in answer.err and answer.err.count("\n") == 1
    assert not (home / "runs").exists()


def test_as_processes_there_are_seven_at_most(ringsim, home):
    """A ring has eight readers: beside the strategies somebody else reads the market, and the reports."""
    answer = ringsim("run", "--clock", "simulated", *["--strategy", "imbalance"] * 8)
    assert answer.code == 2 and answer.out == "" and not (home / "runs").exists()
    assert answer.err == "ringsim: 8 strategies run in `ringsim backtest`; as processes at most 7\n"
