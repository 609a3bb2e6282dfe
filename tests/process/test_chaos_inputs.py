"""Faults of stages' code, the feed, the ledger, the clock and the processor: each run ends as its row says."""

import pytest

from procs.chaos.run import run_scenario
from procs.chaos.scenario import OWN_RUN, Options
from procs.chaos.scenarios import SCENARIOS
from procs.chaos.verdict import PASS
from ringsim.config import load

pytestmark = pytest.mark.timeout(280)


def verdict(name, **options):
    row = SCENARIOS[name]
    settings = OWN_RUN | ({"pipeline.restart_budget": 1000} if row.ends == "DONE" else {})
    given = {"seed": 1, "kills": 4, "stage": None} | options
    return run_scenario(row, Options(**given), load(overrides=settings | row.settings))


@pytest.mark.slow
def test_a_fold_that_raises_is_replaced_and_nothing_is_different():
    found = verdict("exception-in-strategy")
    assert found.verdict == PASS, found.problems
    assert [(s.what, s.stage, s.point) for s in found.strikes] == [("exception", "strategy", "FOLDING")] * 4
    assert found.restarts == 4 and found.digest == found.twin_digest
    degraded = [reason for _, state, reason in found.lifecycle if state == "DEGRADED"]
    # On a busy machine persistence may fall behind as well, and that is on record, too.
    injected = [reason for reason in degraded if "persistence is" not in reason]
    assert len(injected) == 4 and all("exception was injected" in reason for reason in injected)


def test_a_ledger_damaged_in_memory_halts_trading_with_its_name():
    found = verdict("ledger-corrupt")
    assert found.verdict == PASS and len(found.strikes) == 1, found.problems
    assert found.restarts == 0 and found.digest != found.twin_digest


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 10))
def test_whichever_bit_of_the_ledger_it_is(seed):
    found = verdict("ledger-corrupt", seed=seed)
    assert found.verdict == PASS, (found.problems, found.strikes)


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.parametrize("stage", ["ingest", "execution", "persistence"])
def test_the_other_stages_may_raise_too(stage):
    found = verdict("exception-in-strategy", stage=stage, kills=1)  # persistence takes a few batches, and no more
    assert found.verdict == PASS and {s.stage for s in found.strikes} == {stage}, found.problems


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.parametrize("stage", ["ingest", "strategy", "execution", "persistence"])
def test_an_input_that_no_replacement_can_take_ends_the_run_with_its_reason(stage):
    found = verdict("exception-again", stage=stage)
    assert found.verdict == PASS and found.restarts == 5, found.problems


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.parametrize(("name", "strikes"), [("feed-gap", 3), ("feed-gap-open", 1), ("feed-garbage", 64)])
def test_a_feed_with_faults_is_read_as_its_law_says(name, strikes):
    for seed in (1, 2):
        found = verdict(name, seed=seed)
        assert found.verdict == PASS and len(found.strikes) == strikes, found.problems
        assert found.digest == found.twin_digest


@pytest.mark.alone
@pytest.mark.slow
def test_a_storm_costs_the_free_reader_what_is_counted_and_no_order():
    found = verdict("producer-storm")
    assert found.verdict == PASS and 1 <= len(found.strikes) <= 3 and found.lost > 0, found.problems


@pytest.mark.alone
@pytest.mark.slow
def test_a_wall_clock_that_is_set_changes_labels_only():
    found = verdict("clock-step")
    assert found.verdict == PASS and len(found.strikes) == 4, found.problems


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.parametrize("stage", [None, "strategy"])
def test_stages_without_a_processor_are_late_and_not_stalled(stage):
    found = verdict("starved-cpu", stage=stage)
    assert found.verdict == PASS and len(found.strikes) == 1, found.problems
    assert [state for _, state, _ in found.lifecycle] == ["WARMUP", "READY"]
