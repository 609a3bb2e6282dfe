"""`ringsim chaos SCENARIO --run RUN`: faults in a run of other processes, which must be READY again after each of them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from procs.commands import ask
from ringsim.errors import RingsimError
from ringsim.store.manifest import read_manifest

pytestmark = [pytest.mark.timeout(280), pytest.mark.alone]

RINGSIM = [sys.executable, "-m", "procs.cli.main"]
READY_S = 120


class Going:
    """A run that is going on, begun by a command line in a folder of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.environment = {**os.environ, "RINGSIM_STATE": str(folder.parent / "state"), "COLUMNS": "200"}
        self.process = subprocess.Popen(
            [*RINGSIM, "run", "--no-live", "--out", str(folder), *options],
            env=self.environment, cwd=folder.parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def until(self, holds) -> dict:
        """The health of the run, once it is as wanted."""
        until = time.monotonic() + READY_S
        while time.monotonic() < until:
            try:
                health = ask(self.folder, "health")
                if holds(health):
                    return health
            except (RingsimError, OSError):
                pass
            time.sleep(0.02)
        raise AssertionError("the run never got there")

    def ringsim(self, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [*RINGSIM, *arguments],
            env=self.environment,
            cwd=self.folder.parent,
            capture_output=True,
            text=True,
            timeout=200,
        )

    def chaos(self, *arguments: str) -> tuple[int, dict]:
        done = self.ringsim("chaos", *arguments, "--json")
        return done.returncode, json.loads(done.stdout)

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@pytest.fixture
def going(tmp_path):
    """Begins runs, and ends them."""
    runs = []

    def begin(*options: str) -> Going:
        runs.append(Going(tmp_path / f"run{len(runs)}", *options))
        runs[-1].until(lambda health: health["ready"])
        return runs[-1]

    yield begin
    for run in runs:
        run.stop()


def generations(health) -> dict[str, int]:
    return {role: stage["pid"] for role, stage in health["stages"].items()}


@pytest.mark.slow
def test_a_realtime_run_is_ready_again_after_each_fault_and_says_how_long_it_took(going):
    run = going("--speed", "0.25", "--set", "pipeline.restart_budget=20")
    before = generations(run.until(lambda health: health["ready"]))
    code, found = run.chaos("kill-strategy", "--run", "latest", "--kills", "2")
    assert (code, found["verdict"], found["kills"], found["restarts"]) == (0, "PASS", 2, 2), found
    assert found["recovery_ms"]["n"] == found["detection_ms"]["n"] == 2
    assert found["detection_ms"]["max"] > 0 and found["recovery_ms"]["max"] > 0
    assert (
        found["digest"] is found["twin_digest"] is found["duplicated"] is None
        and "no undisturbed twin" in found["notes"][0]
    )

    code, found = run.chaos("pause-short", "--run", str(run.folder), "--stage", "execution")
    assert (code, found["verdict"], found["restarts"], found["detection_ms"]["n"]) == (0, "PASS", 0, 0), found

    code, found = run.chaos("hang-in-kernel", "--run", "latest", "--stage", "ingest")
    assert (code, found["verdict"], found["restarts"]) == (0, "PASS", 1), found
    assert found["detection_ms"]["max"] >= 500, "a hang is known by a heartbeat that is a second old"

    code, found = run.chaos("launcher-kill", "--run", "latest")
    assert (code, found["verdict"], found["restarts"]) == (0, "PASS", 4), found
    after = generations(run.until(lambda health: health["ready"]))
    assert not set(before.values()) & set(after.values()), "every stage was replaced"
    code, twin = run.chaos("random", "--run", "latest", "--kills", "1", "--stage", "strategy")
    assert code == 0 and set(twin) == set(found)
    assert run.stop() == 130
    assert read_manifest(run.folder).result["restarts"] == 2 + 1 + 1 + 1, "the launcher's death is one replacement"


def test_a_stage_of_a_going_run_is_struck_and_once_it_is_over_there_is_none_to_strike(going):
    run = going("--speed", "0.5")
    code, found = run.chaos("kill-strategy", "--run", "latest", "--kills", "1")
    assert (code, found["verdict"], found["restarts"]) == (0, "PASS", 1), found
    run.stop()
    done = run.ringsim("chaos", "kill-strategy", "--run", "latest")
    assert done.returncode == 2 and done.stderr == f"ringsim: no run is going on in {run.folder}\n"


@pytest.mark.slow
def test_a_run_that_gives_no_moment_to_strike_at_proves_nothing(going):
    run = going("--speed", "0.25", "--set", "pipeline.restart_budget=20")
    assert run.ringsim("degrade", "latest", "--why", "a broken heart").returncode == 0
    code, found = run.chaos("kill-strategy", "--run", "latest", "--kills", "1")
    assert (code, found["verdict"], found["strikes"]) == (3, "INCONCLUSIVE", [])
    assert "DEGRADED, RUNNING (a broken heart)" in found["problems"][0]


@pytest.mark.slow
def test_whoever_strikes_and_is_interrupted_leaves_no_stage_stopped(going):
    run = going("--speed", "0.25", "--set", "pipeline.restart_budget=20")
    pid = run.until(lambda health: health["ready"])["stages"]["execution"]["pid"]
    command = [*RINGSIM, "chaos", "pause-short", "--run", "latest", "--stage", "execution", "--no-live"]
    striker = subprocess.Popen(command, env=run.environment, cwd=run.folder.parent, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)  # fmt: skip
    until = time.monotonic() + 60
    while psutil.Process(pid).status() != psutil.STATUS_STOPPED and time.monotonic() < until:
        time.sleep(0.001)
    striker.send_signal(signal.SIGINT)
    striker.wait(30)
    until = time.monotonic() + 30
    while psutil.Process(pid).status() == psutil.STATUS_STOPPED and time.monotonic() < until:
        time.sleep(0.001)
    assert psutil.Process(pid).status() != psutil.STATUS_STOPPED
