"""Deaths at named instructions: the run ends as if nothing had happened, and nothing of it is left."""

import contextlib
import os
import signal
import sqlite3
import time

import numpy as np
import pytest

from procs.chaos.deaths import DEATHS
from procs.chaos.inject import Strike, Trapper
from procs.chaos.run import run_scenario
from procs.chaos.scenario import OWN_RUN, Options, Scenario
from procs.chaos.scenarios import SCENARIOS
from procs.chaos.verdict import PASS
from ringsim.config import load
from ringsim.fold.trap import Point
from ringsim.lifecycle import Lifecycle
from ringsim.records import ORDER, REPORT, OrderKind, ReportFlag, ReportKind
from tests.process.pipeline import processes

pytestmark = pytest.mark.timeout(280)


def verdict(name, **options):
    row = SCENARIOS[name]
    budget = {"pipeline.restart_budget": 1000} if row.ends == "DONE" else {}
    settings = OWN_RUN | budget | row.settings
    return run_scenario(row, Options(**{"seed": 1, "kills": 4, "stage": None} | options), load(overrides=settings))


def test_every_stage_survives_every_named_point():
    found = verdict("kill-points")
    assert found.verdict == PASS, found.problems
    died = {(strike.stage, strike.point) for strike in found.strikes}
    folds = {(stage, point.name) for stage in ("strategy", "execution") for point in Point if point is not Point.NONE}
    assert folds <= died and {"ingest", "persistence"} <= {stage for stage, _ in died}
    assert found.restarts == found.kills == len(found.strikes) >= 47


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.parametrize("name", [row.name for row in DEATHS if row.name not in ("random", "kill-points")])
def test_every_death_of_the_table_ends_as_its_row_says(name):
    found = verdict(name)
    assert found.verdict == PASS, found.problems
    assert found.descriptors["chaos"] == 0 and not (found.orphans or found.zombies or found.leaked_segments)
    seen = found.detection_ms
    if name in ("pause-short", "kill-parent"):
        assert seen["n"] == 0, "nothing was lost, or nobody was there to see it"
    else:
        assert seen["n"] >= 1 and 0 < seen["p50"] <= seen["max"]


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.parametrize("stage", ["ingest", "execution", "persistence"])
def test_every_stage_that_hangs_is_found_and_replaced(stage):
    found = verdict("hang-in-kernel", stage=stage)
    assert found.verdict == PASS and found.restarts == 1, found.problems
    assert found.detection_ms["max"] >= 500, "a heartbeat is stale after a second, of which the hang has most"


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_two_hundred_deaths_in_one_run_change_nothing(seed):
    found = verdict("random", seed=seed, kills=200)
    assert found.verdict == PASS and found.kills >= 200, found.problems
    assert {strike.stage for strike in found.strikes} == {"ingest", "strategy", "execution", "persistence"}


def stored(database, ring, dtype):
    """The records of a ring as the database has them, without holes and without doubles."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        rows = connection.execute(
            "SELECT seq, record FROM ring_records WHERE ring = ? ORDER BY seq", (ring,)
        ).fetchall()
    assert [seq for seq, _ in rows] == list(range(len(rows)))
    return np.frombuffer(b"".join(b"\0" * 8 + record for _, record in rows), dtype)


@pytest.mark.alone
def test_under_the_realtime_clock_each_input_takes_effect_exactly_once(tmp_path):
    """Stages die while the feed goes on: every order is answered once, and what was filled is what the ledger says."""
    points = [Point.JOURNALLED, Point.FOLDED, Point.HALF_RECORD, Point.WRITTEN, Point.PUBLISHED, Point.BEFORE_RELEASE]
    trapper = Trapper({stage: iter(points) for stage in ("ingest", "strategy", "execution")}, 18, 5, (1, 40))
    run = processes(
        tmp_path,
        each_turn=trapper.each_turn,
        run__clock="realtime",
        run__speed=10,
        pipeline__restart_budget=1000,
        strategy__persistence__batch_size=10,
    )
    assert len(trapper.strikes) == run["restarts"] >= 12 and run["exit_state"] == "DONE"
    assert {strike.stage for strike in trapper.strikes} == {"ingest", "strategy", "execution"}
    orders, reports = stored(run["database"], "orders", ORDER), stored(run["database"], "reports", REPORT)
    assert {"orders": len(orders), "reports": len(reports)} == {
        k: run["rings"][k]["published"] for k in ("orders", "reports")
    }

    ids = orders["order_id"][orders["kind"] == OrderKind.NEW]
    assert sorted(ids) == list(range(1, len(ids) + 1)) and len(ids) > 20
    returned = reports[(reports["flag_bits"] & ReportFlag.RETURNS_CREDIT) != 0]
    returned = returned[returned["kind"] != ReportKind.ACCOUNT]
    assert len(returned) == len(orders), "every record of the orders ring is answered exactly once"
    ended = np.isin(reports["kind"], (ReportKind.CANCELLED, ReportKind.REJECTED, ReportKind.PROVISIONAL))
    ends = reports["order_id"][ended | ((reports["kind"] == ReportKind.FILL) & (reports["left_lots"] == 0))]
    assert set(ids) <= set(ends) and len(set(ends[ends > 0])) == (ends > 0).sum(), "no order ends twice"


class _Operator:
    """Ends the run by a signal, as Ctrl-C does."""

    planned = 1

    def __init__(self):
        self.strikes = []

    def each_turn(self, parent):
        if parent.lifecycle is Lifecycle.READY and not self.strikes:
            self.strikes.append(Strike("SIGINT", "parent", 0, time.monotonic_ns()))
            os.kill(os.getpid(), signal.SIGINT)


def test_a_run_that_somebody_ended_proves_nothing():
    row = Scenario("ended", "a person ends the run", lambda options: _Operator())
    with pytest.raises(KeyboardInterrupt):
        run_scenario(row, Options(1, 1, None), load(overrides=OWN_RUN))
