"""A realtime run afterwards: its market is known again although its times were the machine's, and its latencies are kept."""

import csv
import json
import os
import sqlite3
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.timeout(280), pytest.mark.alone, pytest.mark.slow]


def test_a_realtime_run_is_exported_and_shown(tmp_path):
    def ringsim(*arguments):
        environment = os.environ | {"RINGSIM_STATE": str(tmp_path / "state")}
        command = [sys.executable, "-m", "procs.cli.main", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    run = tmp_path / "run"
    # lossless: a strategy that loses events on a busy machine asks for snapshots, and then the market is not the inputs' alone
    said = ringsim("run", "--speed", 4, "--set", "pipeline.lossless_market=true", "--out", run, "--json")
    assert said["fills"] > 0 and said["market_lost"] == 0
    found = ringsim("export", run, "--to", tmp_path / "x.csv", "--json")
    with open(tmp_path / "x.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert found["rows"] == len(rows) > 100 and all(row["market_px"] for row in rows)
    with sqlite3.connect(run / "data" / "strategy.db") as db:
        seen = db.execute("SELECT bid, ask, pressure_bps FROM strategy_snapshots_decimal ORDER BY seq").fetchall()
    holds = [row for row in rows if row["action"] == "hold"]
    for row, (bid, ask, pressure) in zip(holds, seen, strict=True):
        assert float(row["market_px"]) == pytest.approx((bid + ask) / 2, rel=1e-15)
        assert 1e4 * float(row["divergence"]) == pytest.approx(pressure, abs=1e-8)
    report = ringsim("report", run, "--to", tmp_path / "r.html", "--json")
    assert report["empty"] == {} and len(report["markouts"]) >= 4
    kept = json.loads((run / "latency.json").read_text())["hops"]
    for name, hop in said["latency_us"].items():
        assert kept[name]["n"] == hop["n"] == sum(count for _, count in kept[name]["buckets"])
        assert kept[name]["max_ns"] / 1e3 == hop["max"]
