"""A user's strategy in processes: the digest of one process, also with stages killed; what hangs ends the run with its reason."""

import shutil
from pathlib import Path

import pytest

from ringsim.strategy.foreign import install
from tests.process.pipeline import backtest, processes
from tests.process.test_pipeline import killer
from tests.unit.strategy.userfiles import example, write


@pytest.fixture(autouse=True)
def _nobody_decides():
    yield
    install(0, None)


@pytest.mark.timeout(600)
def test_processes_with_killed_stages_give_the_digest_of_one_process(tmp_path):
    chosen = {"strategy__name": f"{example(tmp_path)}:LEAN", "strategy__user__lots": 30}
    twin = backtest(tmp_path, **chosen)
    assert twin["fills"] > 0 and twin["exit_state"] == "DONE"
    hook, killed = killer(4, kills=6)
    run = processes(tmp_path, each_turn=hook, pipeline__restart_budget=100, **chosen)
    assert len(killed) >= 4 and run["restarts"] == len(killed)
    assert (run["digest"], run["exit_state"]) == (twin["digest"], "DONE")
    assert run["fills"] == twin["fills"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_realtime_clock_trades_with_it_too(tmp_path):
    chosen = {"strategy__name": f"{example(tmp_path)}:LEAN", "run__clock": "realtime", "run__speed": 10}
    run = processes(tmp_path, **chosen)
    assert run["exit_state"] == "DONE" and run["orders"]["submitted"] > 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_one_that_raises_halts_its_trading_and_the_run_goes_on_to_its_end(tmp_path):
    path = write(tmp_path, "if own.calls > 300:\n    return intents[own.calls].kind\nreturn 0")
    chosen = {"strategy__name": f"{path}:MINE"}
    twin, run = backtest(tmp_path, **chosen), processes(tmp_path, **chosen)
    assert (run["exit_state"], run["halted"], run["failure"]) == ("HALTED", "STRATEGY_RAISED", None)
    assert run["digest"] == twin["digest"] and run["restarts"] == 0 and run["messages_taken"] == 7342


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_one_that_does_not_return_ends_the_run_with_its_reason(tmp_path):
    path = write(tmp_path, "while own.calls > 500:\n    own.seen[0] += 1.0\nreturn 0")
    run = processes(tmp_path, strategy__name=f"{path}:MINE", pipeline__restart_budget=1)
    assert run["exit_state"] == "FAILED" and "restart budget" in run["failure"] and run["restarts"] == 1
    log = (Path(run["out"]) / "log.txt").read_text()
    assert "runs without beating" in log and "folds its journal again without end" in log
    shutil.rmtree(run["out"])
