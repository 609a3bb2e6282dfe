"""`ringsim export`: the header of old, the same exact values in every format, all of them those of the database."""

import json
import resource
import shutil
import sqlite3
from contextlib import contextmanager
from decimal import Decimal

import duckdb
import pytest

import procs.export
from ringsim.analysis.decisions import ACTIONS
from tests.unit.analysis.runs import make

HEADER = "t,external_px,market_px,divergence,action,equity,realized_pnl,position,halted"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a finished run; only read it, and write elsewhere."""
    return make(tmp_path_factory.mktemp("export"))


@pytest.fixture
def mine(run, tmp_path):
    """A copy of it, to be spoilt."""
    return shutil.copytree(run, tmp_path / "mine")


def database(run):
    return sqlite3.connect(run / "data" / "strategy.db")


def csv_rows(text):
    head, *lines = text.splitlines()
    assert head == HEADER
    return [dict(zip(HEADER.split(","), line.split(","), strict=True)) for line in lines]


def exported(ringsim, run, form, home, *more):
    target = home / f"out.{form}"
    answer = ringsim("export", run, "--format", form, "--to", target, "--json", *more)
    assert answer.code == 0, answer
    return answer.json, target


def refused(answer, code):
    assert answer.code == code and answer.out == "", answer
    (line,) = answer.err.splitlines()
    assert line.startswith("ringsim: ") and "bug" not in line
    return line


def test_rows_and_last_values_are_those_of_the_database(ringsim, run, home):
    said, target = exported(ringsim, run, "csv", home)
    rows = csv_rows(target.read_text())
    with database(run) as db:
        (count,) = db.execute("SELECT next_seq FROM cursors WHERE ring = 'orders'").fetchone()
        counts = dict(db.execute("SELECT kind || '_' || side, count(*) FROM orders GROUP BY 1"))
        signals, ended = db.execute("SELECT count(*), count(end_reason) FROM signals").fetchone()
        (snapshots,) = db.execute("SELECT count(*) FROM strategy_snapshots").fetchone()
        last = db.execute("SELECT equity, realized, position_lots, money_mul, money_div, lot, trading FROM positions "
                          "JOIN instruments USING (symbol)").fetchone()  # fmt: skip
        (cash,) = db.execute("SELECT start_cash FROM positions_decimal").fetchone()
    assert len(rows) == said["rows"] == count > 500
    actions = {action: sum(r["action"] == action for r in rows) for action in ACTIONS}
    assert actions["buy"] == counts["NEW_BUY"] and actions["sell"] == counts["NEW_SELL"]
    assert actions["signal_buy"] + actions["signal_sell"] == signals and actions["signal_end"] == ended
    assert actions["hold"] == snapshots and sum(actions.values()) == len(rows)
    assert float(rows[0]["equity"]) == cash and rows[0]["position"] == "0.00000"
    equity, realized, lots, mul, div, lot, trading = (
        last  # what the last decision knew: the account had not changed since
    )
    assert Decimal(rows[-1]["equity"]) == Decimal(equity) * mul / Decimal(div)
    assert Decimal(rows[-1]["realized_pnl"]) == Decimal(realized) * mul / Decimal(div)
    assert Decimal(rows[-1]["position"]) == lots * Decimal(lot) and rows[-1]["halted"] == str(int(trading == "HALTED"))
    assert said["market"] and all(r["market_px"] for r in rows)


def test_the_market_at_a_snapshot_is_what_the_strategy_saw(ringsim, run, home):
    """bid, ask and pressure are stored there: an answer that does not come from folding the market again."""
    _, target = exported(ringsim, run, "csv", home)
    holds = [r for r in csv_rows(target.read_text()) if r["action"] == "hold"]
    with database(run) as db:
        stored = db.execute(
            "SELECT time_ns, bid, ask, pressure_bps FROM strategy_snapshots_decimal ORDER BY seq"
        ).fetchall()
    assert len(holds) == len(stored) >= 2
    for row, (time_ns, bid, ask, pressure) in zip(holds, stored, strict=True):
        assert int(row["t"]) == time_ns and float(row["market_px"]) == pytest.approx((bid + ask) / 2, rel=1e-15)
        assert 1e4 * float(row["divergence"]) == pytest.approx(pressure, abs=1e-8)


def test_every_format_has_the_same_values(ringsim, run, home):
    _, csv = exported(ringsim, run, "csv", home)
    _, jsonl = exported(ringsim, run, "jsonl", home)
    _, parquet = exported(ringsim, run, "parquet", home)
    rows = csv_rows(csv.read_text())
    lines = [json.loads(line, parse_float=str, parse_int=str) for line in jsonl.read_text().splitlines()]
    assert [{k: "" if v is None else v for k, v in line.items()} for line in lines] == rows
    with duckdb.connect(":memory:") as engine:
        table = engine.execute(f"SELECT * FROM '{parquet}'").fetchall()
        types = dict(
            engine.execute(f"SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM '{parquet}')").fetchall()
        )
    assert list(types) == HEADER.split(",") and types["equity"] == "DECIMAL(38,7)" and types["t"] == "BIGINT"
    as_text = [[str(v) if isinstance(v, int | str) else f"{v:f}" for v in row] for row in table]
    assert as_text == [list(row.values()) for row in rows]


def test_a_pipe_takes_the_same_bytes(ringsim, run, home):
    _, target = exported(ringsim, run, "csv", home)
    assert ringsim("export", run, "--to", "-") == (0, target.read_text(), "")


def test_without_to_the_file_lies_in_the_runs_folder(ringsim, mine):
    answer = ringsim("export", mine, "--format", "jsonl")
    assert answer.code == 0 and (mine / "decisions.jsonl").is_file() and str(mine / "decisions.jsonl") in answer.out


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_a_file_that_is_there_stays_unless_forced(ringsim, run, home, form):
    target = home / "there"
    target.write_text("mine")
    line = refused(ringsim("export", run, "--format", form, "--to", target), 2)
    assert line == f"ringsim: {target} is there already; --force replaces it" and target.read_text() == "mine"
    assert ringsim("export", run, "--format", form, "--to", target, "--force").code == 0
    assert target.stat().st_size > 1000 and [p.name for p in home.iterdir() if "tmp" in p.name] == []


@contextmanager
def disk_of(size_bytes):
    """No file may grow beyond; the write that would gets EFBIG. (SQLite's own files beside the database need 32 KB.)"""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet", "parquet itself"])
def test_a_full_disk_is_one_line_and_leaves_nothing(ringsim, run, home, form, monkeypatch):
    exported(ringsim, run, "csv", home)  # the capture is prepared, the kernels are there
    target, convert = home / "full", procs.export._convert

    def convert_on_a_full_disk(*arguments):
        with disk_of(2_000):
            convert(*arguments)

    if form == "parquet itself":
        monkeypatch.setattr(procs.export, "_convert", convert_on_a_full_disk)
    with disk_of(10_000_000 if form == "parquet itself" else 40_000):
        answer = ringsim("export", run, "--format", form.split()[0], "--to", target)
    line = refused(answer, 1)
    assert line.endswith("free some space") and str(target) in line
    assert not target.exists() and not [p for p in home.iterdir() if "full" in p.name]


def test_a_place_that_cannot_be_written_is_one_line(ringsim, run, home):
    (home / "file").touch()
    assert "file/x" in refused(ringsim("export", run, "--to", home / "file" / "x"), 1)
    assert "no such" in refused(ringsim("export", run, "--to", home / "nowhere" / "x"), 2).lower()
    assert "is there already" in refused(ringsim("export", run, "--to", home), 2)


def test_a_run_that_is_none(ringsim, home):
    assert "no run 'nosuch'" in refused(ringsim("export", "nosuch"), 2)
    assert "there is no run yet" in refused(ringsim("export"), 2)


def test_a_pipe_has_no_room_for_two(ringsim, run):
    assert "--to -" in refused(ringsim("export", run, "--to", "-", "--format", "parquet"), 2)
    answer = ringsim("export", run, "--to", "-", "--json")
    assert answer.code == 2 and "--to -" in answer.json["error"]


def spoil(path, at, what=b"\xff" * 64):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(what)


@pytest.mark.parametrize("command", ["export", "report"])
def test_a_damaged_database_is_one_line(ringsim, mine, home, command):
    path = mine / "data" / "strategy.db"
    with sqlite3.connect(path) as db:
        db.execute("UPDATE ring_records SET record = zeroblob(120) WHERE ring = 'reports' AND seq = 7")
    db.close()
    assert "checksum" in refused(ringsim(command, mine, "--to", home / "x"), 1)
    spoil(path, path.stat().st_size // 2)
    refused(ringsim(command, mine, "--to", home / "x"), 1)
    path.write_bytes(b"no database")
    refused(ringsim(command, mine, "--to", home / "x"), 1)
    path.unlink()
    assert "no such database" in refused(ringsim(command, mine, "--to", home / "x"), 2)
    assert not (home / "x").exists()


def test_a_market_that_is_gone_is_said_and_can_be_left_out(ringsim, mine, home):
    manifest = json.loads((mine / "manifest.json").read_text())
    manifest["sources"][0]["path"] = str(home / "gone.gz")
    (mine / "manifest.json").write_text(json.dumps(manifest))
    line = refused(ringsim("export", mine, "--to", home / "x"), 2)
    assert "gone.gz, which is not there any more; --no-market exports the run without" in line
    said, target = exported(ringsim, mine, "csv", home, "--no-market")
    rows = csv_rows(target.read_text())
    assert not said["market"] and {(r["external_px"], r["market_px"], r["divergence"]) for r in rows} == {("", "", "")}
    assert (
        rows[-1]["equity"]
        and ringsim("export", mine, "--no-market", "--format", "parquet", "--to", home / "p").code == 0
    )


def test_a_market_that_is_not_the_one_of_the_run_is_not_used(ringsim, mine, home):
    """Another base latency gives other times: the stored triggers tell."""
    manifest = json.loads((mine / "manifest.json").read_text())
    with sqlite3.connect(mine / "data" / "strategy.db") as db:
        (seq,) = db.execute("SELECT trigger_seq FROM orders ORDER BY seq LIMIT 1").fetchone()
    db.close()
    manifest["result"]["commands"] = [
        [1, 2, 0]
    ]  # one CONTROL record before the second message: all sequences move by one
    (mine / "manifest.json").write_text(json.dumps(manifest))
    assert "of the market arrived at" in refused(ringsim("export", mine, "--to", home / "x"), 2) and seq > 0


def test_a_run_that_has_not_ended_gives_what_there_is(ringsim, mine, home):
    manifest = json.loads((mine / "manifest.json").read_text()) | {"exit_state": "running", "result": {}}
    (mine / "manifest.json").write_text(json.dumps(manifest))
    answer = ringsim("export", mine, "--to", home / "x", "--json")
    assert answer.code == 0 and answer.json["state"] == "running" and answer.json["rows"] > 500
    assert "is running: these are its decisions so far" in answer.err
    assert ringsim("report", mine, "--to", home / "y", "--json").json["state"] == "running"
