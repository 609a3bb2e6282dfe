"""A killed parent: what it left is taken over, and the run ends as if nothing had happened."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from ringsim.shm import FOLDER
from ringsim.store.manifest import read_manifest, write_manifest
from tests.process.pipeline import backtest

pytestmark = [pytest.mark.timeout(280), pytest.mark.alone]

# A command line whose parent does `act` in every turn of its loop.
DRIVER = """
import os, signal, sys
import procs.run
from procs.cli.main import main
from ringsim.control import S_INPUTS, Stage, block
from ringsim.lifecycle import Lifecycle

def inputs(parent):
    return int(parent.segments.control[block(Stage.INGEST) + S_INPUTS])

def die():
    os.kill(os.getpid(), signal.SIGKILL)

{act}

whole = procs.run.run_pipeline
procs.run.run_pipeline = lambda prepared, screen, **how: whole(prepared, screen, act, poll_ms=1, **how)
main()
"""
DIES_AT = """
def act(parent):
    if inputs(parent) > {messages}:
        die()
"""
HALTS_AND_DIES = """
def act(parent):
    if inputs(parent) > 600 and not parent.trading_reason:
        parent.command({"command": "kill", "why": "a test"})
    if inputs(parent) > 1000:
        die()
"""


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    return backtest(tmp_path_factory.mktemp("twin"))


@pytest.fixture
def ringsim(tmp_path):
    """A command line in a process, with a state directory of its own; act: source of what its parent does in each turn."""
    environment = {**os.environ, "RINGSIM_STATE": str(tmp_path / "state"), "COLUMNS": "200"}

    def call(*arguments, act="act = lambda parent: None"):
        line = [sys.executable, "-c", DRIVER.replace("{act}", act), *map(str, arguments)]
        return subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200)

    yield call
    call("clean")


def killed(ringsim, folder: Path, *options, act: str) -> Path:
    done = ringsim("run", "--out", folder, *options, act=act)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert read_manifest(folder).exit_state == "running"
    return folder


def segments(folder: Path) -> list[str]:
    return [path.name for path in FOLDER.glob(f"ringsim-{read_manifest(folder).run_id}*")]


@pytest.mark.parametrize(
    "messages", [pytest.param(0, marks=pytest.mark.slow), 2000, pytest.param(6500, marks=pytest.mark.slow)]
)
def test_a_simulated_run_goes_on_to_the_digest_of_the_undisturbed_one(ringsim, twin, tmp_path, messages):
    options = ("--clock", "simulated", "--set", "pipeline.slice_us=100")
    folder = killed(ringsim, tmp_path / "run", *options, act=DIES_AT.format(messages=messages))
    assert segments(folder) and "CUT SHORT" in ringsim("runs").stdout and "--resume" in ringsim("show", folder).stdout
    done = ringsim("run", "--resume", folder, "--json")
    result = json.loads(done.stdout)
    assert result.get("digest") == twin["digest"], done.stdout + done.stderr
    assert result["exit_state"] == "DONE" and done.returncode == 0
    assert read_manifest(folder).result["digest"] == twin["digest"] and not segments(folder)


@pytest.mark.slow
def test_without_its_memory_it_is_folded_again_into_the_same_database(ringsim, twin, tmp_path):
    options = ("--clock", "simulated", "--set", "pipeline.slice_us=100")
    folder = killed(ringsim, tmp_path / "run", *options, act=DIES_AT.format(messages=3000))
    assert ringsim("clean").returncode == 0 and not segments(folder)
    result = json.loads(ringsim("run", "--resume", folder, "--json").stdout)
    assert result["digest"] == twin["digest"] and not segments(folder)


@pytest.mark.slow
def test_a_realtime_run_goes_on_with_its_ledger_its_orders_and_its_kill_switch(ringsim, tmp_path):
    options = ("--speed", "20", "--duration", "30")
    folder = killed(ringsim, tmp_path / "run", *options, act=HALTS_AND_DIES)
    done = ringsim("run", "--resume", folder, "--json")
    result = json.loads(done.stdout)
    assert result["exit_state"] == "HALTED" and done.returncode == 3
    assert result["messages_taken"] > 1000 and result["orders"]["submitted"] > 0
    with contextlib.closing(sqlite3.connect(result["database"])) as database:
        for ring, count, last in database.execute("SELECT ring, count(*), max(seq) FROM ring_records GROUP BY ring"):
            assert count == last + 1 == result["rings"][ring]["published"], f"{ring} has holes"
        (open_orders,) = database.execute("SELECT open_orders FROM positions").fetchone()
    assert open_orders == 0


@pytest.fixture
def refused(ringsim):
    """The one line with which a run cannot be resumed."""

    def call(*arguments):
        done = ringsim("run", "--resume", *arguments)
        assert done.returncode == 2, done.stderr
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("ringsim: ")]
        return line

    return call


@pytest.mark.slow
def test_what_cannot_go_on_says_why_in_one_line(ringsim, refused, tmp_path):
    assert "no run" in refused("nosuch")
    folder = killed(ringsim, tmp_path / "run", "--speed", "20", act=DIES_AT.format(messages=300))
    assert "no other option" in refused(folder, "--speed", "2")
    manifest = read_manifest(folder)
    for changed, why in (({"exit_state": "DONE"}, "has ended"), ({"source_hash": "0" * 64}, "is not what it was")):
        write_manifest(
            folder, type(manifest)(**{k: getattr(manifest, k) for k in manifest.__struct_fields__} | changed)
        )
        assert why in refused(folder)
    write_manifest(folder, manifest)
    plan = (folder / "plan.json").read_bytes()
    (folder / "plan.json").write_bytes(plan[: len(plan) // 2])
    assert "damaged" in refused(folder)
    (folder / "plan.json").unlink()
    assert "before it had begun" in refused(folder)
    (folder / "plan.json").write_bytes(plan)
    assert ringsim("clean").returncode == 0
    assert "is gone" in refused(folder)


@contextlib.contextmanager
def cut(path: Path, share: float):
    """A file of which only the beginning is there."""
    whole = path.read_bytes()
    os.truncate(path, int(len(whole) * share))
    yield
    path.write_bytes(whole)


@pytest.mark.slow
def test_what_is_half_written_foreign_newer_or_still_going_on_is_never_continued(ringsim, refused, tmp_path):
    folder = killed(ringsim, tmp_path / "run", "--speed", "20", act=DIES_AT.format(messages=300))
    manifest, run_id = folder / "manifest.json", read_manifest(folder).run_id
    plain = manifest.read_bytes()
    for share in (0, 0.5, 0.99):
        with cut(manifest, share):
            assert "half-written or damaged" in refused(folder)
    manifest.write_bytes(b'{"kind": "something else"}')
    assert "is no manifest of a ringsim run" in refused(folder)
    manifest.write_bytes(plain.replace(b'"format_version": 1', b'"format_version": 2'))
    assert "update ringsim" in refused(folder)
    manifest.write_bytes(plain)

    database = next(folder.rglob("*.db"))
    database.rename(database.with_suffix(".elsewhere"))
    assert f"its database {database} is missing" in refused(folder)
    database.write_bytes(b"no database at all" * 100)
    assert "cannot go on" in refused(folder)
    database.with_suffix(".elsewhere").rename(database)

    for what in ("control", "ring.orders", "state.strategy", "journal.execution", "telemetry"):
        for share in (0, 0.5):
            with cut(FOLDER / f"ringsim-{run_id}-{what}", share):
                assert "is damaged" in refused(folder), (what, share)
    gone = FOLDER / f"ringsim-{run_id}-journal.ingest"
    whole = gone.read_bytes()
    gone.unlink()
    assert "is damaged (no shared-memory segment named" in refused(folder)
    gone.write_bytes(whole)

    result = json.loads(ringsim("run", "--resume", folder, "--json").stdout)
    assert result["exit_state"] == "DONE", "what was refused was left as it was"


@pytest.mark.slow
def test_a_run_that_goes_on_is_not_resumed(ringsim, refused, tmp_path):
    ready = "def act(parent):\n    if inputs(parent) > 100:\n        print('ready', file=sys.stderr, flush=True)"
    line = [sys.executable, "-c", DRIVER.replace("{act}", ready), "run", "--out", str(tmp_path / "run"), "--no-live"]
    environment = {**os.environ, "RINGSIM_STATE": str(tmp_path / "state")}
    with subprocess.Popen(line, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as going:
        assert any(text == "ready\n" for text in going.stderr)
        assert "is going on" in refused(tmp_path / "run")
        going.send_signal(signal.SIGTERM)
        going.communicate(timeout=60)
    assert going.returncode == 130
