"""Deaths at named instructions: the run ends as if nothing had happened, and nothing of it is left."""

import pytest

from procs.chaos.run import run_scenario
from procs.chaos.scenarios import SCENARIOS, Options
from procs.chaos.verdict import PASS
from ringsim.config import load
from ringsim.fold.trap import Point

pytestmark = [pytest.mark.timeout(280), pytest.mark.alone]


def verdict(name, **options):
    row = SCENARIOS[name]
    settings = {"run.clock": "simulated", "pipeline.restart_budget": 1000} | row.settings
    return run_scenario(row, Options(**{"seed": 1, "kills": 4, "stage": None} | options), load(overrides=settings))


def test_every_stage_survives_every_named_point():
    found = verdict("kill-points")
    assert found.verdict == PASS, found.problems
    died = {(strike.stage, strike.point) for strike in found.strikes}
    folds = {(stage, point.name) for stage in ("strategy", "execution") for point in Point if point is not Point.NONE}
    assert folds <= died and {"ingest", "persistence"} <= {stage for stage, _ in died}
    assert found.restarts == found.kills == len(found.strikes) >= 47


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_two_hundred_deaths_in_one_run_change_nothing(seed):
    found = verdict("random", seed=seed, kills=200)
    assert found.verdict == PASS and found.kills >= 200, found.problems
    assert {strike.stage for strike in found.strikes} == {"ingest", "strategy", "execution", "persistence"}
