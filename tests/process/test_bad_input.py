"""What a hostile machine or a clumsy user does to a run: one clear line, the right exit code, nothing left, nothing lost.

What needs no process is in tests/unit/cli/test_bad_input.py. Here are signals at chosen moments, killed parents, full and
read-only places (tiny tmpfs in a mount namespace of their own, where this user may make one), and runs side by side.
"""

import contextlib
import json
import os
import pty
import select
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from procs.commands import ask, through_folder
from ringsim.control import S_INPUTS, Stage, block
from ringsim.errors import BadInput
from ringsim.lifecycle import Lifecycle
from ringsim.shm import FOLDER
from ringsim.store.manifest import read_manifest
from tests.process.pipeline import backtest, processes

pytestmark = pytest.mark.timeout(400)

RINGSIM = [sys.executable, "-m", "procs.cli.main"]
SHORT = ["run", "--clock", "simulated", "--duration", "3"]
SOON_S = 60  # for a process that has been told to go; the machine may be busy


@pytest.fixture
def environment(tmp_path) -> dict[str, str]:
    """A state directory of its own; kernels and captures come from the user's cache."""
    return {**os.environ, "RINGSIM_STATE": str(tmp_path / "state"), "COLUMNS": "200"}


@pytest.fixture
def ringsim(tmp_path, environment) -> Callable[..., subprocess.CompletedProcess]:
    """A command line in a process. room: a shell line that prepares a mount namespace for it."""

    def call(*arguments: object, room: str = "") -> subprocess.CompletedProcess:
        line = [*RINGSIM, *map(str, arguments)]
        if room:
            line = ["unshare", "-m", "sh", "-ec", f'{room}; exec "$@"', "sh", *line]
        # The namespace's mounts are gone when the command ends: what a test wants of them, `room` keeps outside.
        return subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200)

    return call


@pytest.fixture
def namespaces():
    """Skips where this user may not mount."""
    probe = subprocess.run(
        ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, text=True, timeout=20
    )
    if probe.returncode:
        pytest.skip(f"this user may not mount: {probe.stderr.strip()}")


@pytest.fixture
def as_from_a_terminal():
    """Whoever runs the tests in the background may have had SIGINT ignored, which is inherited."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def stored(database: Path) -> dict[str, int]:
    """Records of each ring in a database that must be whole: sound, without holes, its rows up to its records."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        counts = {}
        for ring, count, last in connection.execute("SELECT ring, count(*), max(seq) FROM ring_records GROUP BY ring"):
            assert last == count - 1, f"{ring} has holes"
            counts[ring] = count
        cursors = dict(connection.execute("SELECT ring, next_seq FROM cursors"))
        assert {ring: counts.get(ring, 0) for ring in cursors} == cursors
        return counts


def lines(text: str) -> list[str]:
    """What the program said of an error."""
    return [line for line in text.splitlines() if line.startswith("ringsim:")]


def inputs(parent, stage: Stage) -> int:
    return int(parent.segments.control[block(stage) + S_INPUTS])


# Signals

WARMUP = ("warm-up", lambda parent: parent.lifecycle is Lifecycle.WARMUP)
EARLY = ("early", lambda parent: parent.lifecycle is Lifecycle.READY)
MIDDLE = ("middle", lambda parent: inputs(parent, Stage.INGEST) > 150)
END = ("end", lambda parent: inputs(parent, Stage.INGEST) >= parent.plan.messages)


@pytest.mark.parametrize(
    ("number", "clock", "moment"),
    [
        (signal.SIGINT, "realtime", WARMUP),
        (signal.SIGINT, "simulated", MIDDLE),
        (signal.SIGTERM, "realtime", EARLY),
        pytest.param(signal.SIGHUP, "simulated", END, marks=pytest.mark.slow),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else str(getattr(value, "name", value)),
)
def test_a_signal_at_any_moment_drains_the_run_and_keeps_all(tmp_path, as_from_a_terminal, number, clock, moment):
    sent = []

    def each_turn(parent):
        if not sent and moment[1](parent):
            sent.append(number)
            os.kill(os.getpid(), number)

    run = processes(tmp_path, each_turn=each_turn, run__clock=clock, run__duration_s=5)
    assert sent and run["exit_state"] == "INTERRUPTED" and run["failure"] is None
    published = {
        name: ring["published"] for name, ring in run["rings"].items() if name != "market" and ring["published"]
    }
    assert stored(Path(run["database"])) == published
    assert run["orders"]["accepted"] == run["orders"]["cancelled"] + run["orders"]["filled"], "nothing stays open"


def test_a_sigterm_to_the_whole_group_is_the_parents_business(tmp_path):
    """`timeout` and systemd tell all processes: a launcher that went would take the stages along."""
    sent = []

    def each_turn(parent):
        if not sent and parent.lifecycle is Lifecycle.READY and inputs(parent, Stage.INGEST) > 50:
            sent.append(parent.launcher.pid)
            os.kill(parent.launcher.pid, signal.SIGTERM)

    run = processes(tmp_path, each_turn=each_turn, run__duration_s=3)
    assert sent and run["exit_state"] == "DONE" and run["restarts"] == 0 and run["lifecycle"][-1][1] == "READY"


def test_a_signal_before_the_segments_are_made_is_not_lost(tmp_path, as_from_a_terminal, monkeypatch):
    from procs import supervisor

    made = supervisor.Segments

    def interrupted(*arguments, **more):
        os.kill(os.getpid(), signal.SIGINT)
        return made(*arguments, **more)

    monkeypatch.setattr(supervisor, "Segments", interrupted)
    run = processes(tmp_path, run__duration_s=3)
    assert run["exit_state"] == "INTERRUPTED" and sum(run["messages"].values()) == 0


def test_ctrl_c_twice_ends_it_now_and_leaves_nothing(tmp_path, as_from_a_terminal):
    def each_turn(parent):
        if parent.lifecycle is Lifecycle.READY and inputs(parent, Stage.INGEST) > 50:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        processes(tmp_path, each_turn=each_turn, run__clock="realtime")
    stored(tmp_path / "processes" / "data" / "strategy.db")


def test_a_client_that_talks_nonsense_and_leaves_harms_nobody(tmp_path):
    folder, said = tmp_path / "processes", []

    def each_turn(parent):
        if parent.lifecycle is Lifecycle.READY and not said:
            for text in (
                b"",
                b"\xff",
                b"[]",
                b"{}",
                b'{"command":["kill"],"why":{}}',
                b'{"command":"\\u0000"}',
                b"x" * 70_000,
            ):
                said.append(text)
                with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client, through_folder(folder) as short:
                    client.connect(f"{short}/control.sock")
                    if text:
                        client.send(text)

    run = processes(tmp_path, each_turn=each_turn, run__duration_s=3)
    assert said and run["exit_state"] == "DONE" and run["commands"] == []
    with pytest.raises(BadInput, match="no run is going on"):
        ask(folder, "health")


# Parents that die, terminals that close


def begin(arguments: list[str], tmp_path: Path, environment: dict[str, str], **streams) -> subprocess.Popen:
    return subprocess.Popen([*RINGSIM, *arguments], cwd=tmp_path, env=environment, **streams)


def wait_for_line(stream, wanted: str) -> None:
    for line in stream:
        if wanted in line:
            return
    raise AssertionError(f"no line with {wanted!r}")


@pytest.mark.alone
@pytest.mark.parametrize("moment", ["warming up", "READY"])
def test_a_killed_parent_takes_its_processes_along_and_clean_removes_the_rest(tmp_path, environment, ringsim, moment):
    parent = begin(["run", "--out", "x"], tmp_path, environment, stderr=subprocess.PIPE, text=True)
    wait_for_line(parent.stderr, moment)
    run_id = read_manifest(tmp_path / "x").run_id
    others = psutil.Process(parent.pid).children(recursive=True)
    assert others
    parent.kill()
    parent.wait()
    parent.stderr.close()
    left = {path.name for path in FOLDER.glob(f"ringsim-{run_id}*")}
    assert left
    answer = ringsim("clean", "--json")  # at once: the others may still be dying
    _, alive = psutil.wait_procs(others, timeout=SOON_S)
    assert alive == []
    # Somebody else on this machine may sweep at the same moment.
    found = {segment["name"] for segment in json.loads(answer.stdout)["removed"]}
    assert answer.returncode == 0 and left & found and not list(FOLDER.glob(f"ringsim-{run_id}*"))
    stored(tmp_path / "x" / "data" / "strategy.db")
    shown = ringsim("show", "x")
    assert shown.returncode == 0 and "CUT SHORT" in shown.stdout and f"--resume {run_id}" in shown.stdout


def test_a_closed_terminal_ends_the_run_in_good_order(tmp_path, environment):
    """The whole session of a terminal: a live view on it, then nobody there any more."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        os.execve(sys.executable, [*RINGSIM, "run", "--out", "x"], {**environment, "TERM": "xterm"})
    run, seen = psutil.Process(pid), b""
    while b"READY" not in seen:
        assert select.select([terminal], [], [], SOON_S)[0], seen[-500:]
        seen += os.read(terminal, 1 << 16)
    others = run.children(recursive=True)
    os.close(terminal)
    assert run.wait(SOON_S) in (1, 130)
    assert psutil.wait_procs(others, timeout=SOON_S)[1] == []
    manifest = read_manifest(tmp_path / "x")
    assert manifest.exit_state == "INTERRUPTED"
    assert (
        stored(tmp_path / "x" / "data" / "strategy.db").get("orders", 0)
        == manifest.result["rings"]["orders"]["published"]
    )


@pytest.mark.parametrize(
    "arguments", [SHORT, pytest.param([*SHORT, "--json"], marks=pytest.mark.slow)], ids=["text", "json"]
)
def test_a_reader_that_has_left_costs_the_summary_on_the_screen_only(tmp_path, environment, arguments):
    reading, writing = os.pipe()
    os.close(reading)
    run = begin([*arguments, "--out", "x"], tmp_path, environment, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    _, said = run.communicate(timeout=200)
    assert run.returncode == 1 and "Traceback" not in said and "BrokenPipe" not in said
    assert read_manifest(tmp_path / "x").exit_state == "DONE"


def test_two_runs_side_by_side_do_not_meet(tmp_path, environment):
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [begin([*SHORT, "--json"], tmp_path, environment, **streams) for _ in range(2)]
    answers = [run.communicate(timeout=200) for run in both]
    assert [run.returncode for run in both] == [0, 0], answers
    one, other = (json.loads(out) for out, _ in answers)
    assert one["out"] != other["out"] and one["run_id"] != other["run_id"]
    assert one["digest"] == other["digest"] == backtest(tmp_path, run__duration_s=3)["digest"]


# Places that are full or may not be written


def test_a_full_disk_ends_the_run_with_its_reason_and_what_was_stored_is_whole(tmp_path, ringsim, namespaces):
    """The database, the event log and the log meet the same full disk."""
    (tmp_path / "small").mkdir()
    keep = f"trap 'cp -r small/x {tmp_path}/kept' EXIT"  # the mount ends with the namespace
    room = f'mount -t tmpfs -o size=600k tmpfs small; {keep}; "$@" || code=$?; exit $code'
    patience = ("--set", "pipeline.storage_patience_s=1")
    answer = ringsim("run", "--clock", "simulated", "--out", "small/x", "--json", *patience, room=room)
    assert answer.returncode == 1, answer.stderr
    assert "database or disk is full" in lines(answer.stderr)[-1] and "free some space" in lines(answer.stderr)[-1]
    assert "Traceback" not in answer.stderr and "Logging error" not in answer.stderr
    result = json.loads(answer.stdout)
    assert result["exit_state"] == "FAILED" and answer.stdout.count("\n") == 1
    counts = stored(tmp_path / "kept" / "data" / "strategy.db")
    assert all(n <= result["rings"][ring]["published"] for ring, n in counts.items())


@pytest.mark.parametrize("size", ["64k", "200k"])
@pytest.mark.parametrize("command", [SHORT, ["backtest"]], ids=["run", "backtest"])
def test_a_disk_that_is_full_from_the_start_is_one_line(tmp_path, ringsim, namespaces, size, command):
    (tmp_path / "small").mkdir()
    answer = ringsim(*command, "--out", "small/x", room=f"mount -t tmpfs -o size={size} tmpfs small")
    assert answer.returncode == 1 and len(lines(answer.stderr)) == 1 and "free some space" in answer.stderr
    assert "Traceback" not in answer.stderr and "bug" not in answer.stderr


@pytest.mark.parametrize("size", ["64k", "8m", "18m"], ids=["tiny", "too small", "too small for the warm-up"])
def test_a_dev_shm_that_is_too_small_is_one_line(ringsim, namespaces, size):
    answer = ringsim(*SHORT, room=f"mount -t tmpfs -o size={size} tmpfs /dev/shm")
    assert answer.returncode == 1 and "Traceback" not in answer.stderr
    (line,) = lines(answer.stderr)
    assert "/dev/shm cannot hold" in line and "lower the capacities" in line


@pytest.mark.parametrize("command", [SHORT, ["backtest"]], ids=["run", "backtest"])
def test_a_read_only_folder_is_one_line_and_2(tmp_path, ringsim, namespaces, command):
    (tmp_path / "closed").mkdir()
    answer = ringsim(*command, "--out", "closed/x", room="mount --bind -o ro closed closed")
    assert answer.returncode == 2, answer.stderr
    assert lines(answer.stderr) == [f"ringsim: cannot write to {tmp_path}/closed/x: Read-only file system"]


def test_a_read_only_state_directory_costs_the_index_only(tmp_path, ringsim, namespaces):
    (tmp_path / "closed").mkdir()
    room = "mount --bind -o ro closed closed; export RINGSIM_STATE=closed/state"
    answer = ringsim("backtest", "--duration", "3", room=room)
    assert answer.returncode == 0, answer.stderr
    assert "note: not in the index of runs, name it by its folder: closed/state" in answer.stdout


# Captures that a run of processes survives


def test_a_capture_without_a_snapshot_ends_degraded_in_processes_too(tmp_path, ringsim):
    import gzip

    from ringsim.market.source import sample_path

    text = gzip.decompress(sample_path().read_bytes()).splitlines(keepends=True)[:400]
    (tmp_path / "none").write_bytes(b"".join(line for line in text if b"lastUpdateId" not in line))
    answer = ringsim("run", "--clock", "simulated", "--source", "replay:none")
    assert answer.returncode == 3 and "DEGRADED" in answer.stdout and "there is no snapshot" in answer.stdout
