"""What a clumsy user gives the commands: every time one clear line, the right exit code, one JSON object if asked, no traceback.

In this process, on captures of a few hundred lines; what needs processes or mounts is in tests/process/test_bad_input.py.
"""

import gzip
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import procs.run  # noqa: F401 - its kernels come from the cache of whoever runs the tests, not from a test's own home
from procs.cli import main
from procs.folders import state_root
from procs.run import Signals
from ringsim.errors import RingsimError
from ringsim.kernel import cache_root
from ringsim.market.capture import _cache_roots
from ringsim.market.source import sample_path
from ringsim.shm import FOLDER, PREFIX
from tests.sessions import session, write_capture

LINES = gzip.decompress(sample_path().read_bytes()).splitlines(keepends=True)[:500]
PACKED = gzip.compress(b"".join(LINES))
HINT = "a capture has lines '<receive time in ns or us> <JSON message>'"


def damaged(data: bytes) -> bytes:
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 0xFF]) + data[len(data) // 2 + 1 :]


def one_line(answer, code: int) -> str:
    """The line of a refusal."""
    assert answer.code == code and answer.out == "", answer
    (line,) = answer.err.splitlines()
    assert line.startswith("ringsim: ") and "bug" not in line and len(line) < 400
    return line.removeprefix("ringsim: ")


# Captures

UNUSABLE = {
    "empty": (b"", f"x: is empty; {HINT}"),
    "empty gzip": (gzip.compress(b""), f"x: is empty; {HINT}"),
    "truncated": (PACKED[:-2000], "x: its gzip data ends early, after line [0-9]+; nothing of it was used, get the file again"),
    "corrupt": (damaged(PACKED), "x: its gzip data is damaged .*; nothing of it was used, get the file again"),
    "noise": (bytes(range(256)) * 20, f"x: is no capture: none of its first [0-9]+ lines is a message; {HINT}"),
    "prose": (b"hello\nworld\n" * 50, f"x: is no capture: none of its first 100 lines is a message; {HINT}"),
    "other JSON": (b'{"a":1}\n' * 5, f"x: is no capture: none of its first 5 lines is a message; {HINT}"),
    "zeros": (bytes(100_000), f"x: is no capture: none of its first 1 lines is a message; {HINT}"),
    "one long line": (b"1" * 3_000_000, f"x: is no capture: none of its first 1 lines is a message; {HINT}"),
}  # fmt: skip


READING = [["backtest", "--source", "replay:x"], ["run", "--source", "replay:x"], ["feed", "check", "x"]]


@pytest.mark.parametrize("command", READING, ids=" ".join)
@pytest.mark.parametrize("case", UNUSABLE)
def test_a_file_that_cannot_be_used_is_one_line_and_2(ringsim, home, command, case):
    content, said = UNUSABLE[case]
    (home / "x").write_bytes(content)
    assert re.fullmatch(said.replace("?", r"\?"), one_line(ringsim(*command), 2))
    assert not (home / "runs").exists()


@pytest.mark.parametrize("command", [["backtest", "--source", "replay:x"], ["feed", "check", "x"]], ids=" ".join)
def test_a_missing_file_and_a_folder_are_one_line_and_2(ringsim, home, command):
    assert one_line(ringsim(*command), 2) == "x: cannot be read: No such file or directory"
    (home / "x").mkdir()
    assert one_line(ringsim(*command), 2) == "x: is no file"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("replay:", "names no file: replay:FILE[,FILE...]"),
        ("nosuch", "must be sample, replay:FILE[,FILE...] or events:FILE[,FILE...], not 'nosuch'"),
        ("replay:good,good", "good: begins before good; give the files in order of time"),
        ("replay:good,missing", "missing: cannot be read: No such file or directory"),
    ],
)
def test_a_source_that_is_none(ringsim, home, source, said):
    (home / "good").write_bytes(PACKED)
    assert one_line(ringsim("backtest", "--source", source), 2).endswith(said)


def played(ringsim, home, lines):
    """A backtest over `lines`: its code and its object."""
    (home / "x").write_bytes(b"".join(lines))
    answer = ringsim("backtest", "--source", "replay:x", "--json")
    assert "Traceback" not in answer.err
    return answer.code, answer.json


def test_a_capture_without_a_snapshot_ends_degraded_and_says_why(ringsim, home):
    code, found = played(ringsim, home, [line for line in LINES if b"lastUpdateId" not in line])
    assert code == 3 and found["exit_state"] == "DEGRADED" and found["orders"]["submitted"] == 0
    assert "there is no snapshot: the book never becomes valid, and a run on this ends DEGRADED" in found["notes"]


def test_bad_json_in_the_middle_is_counted_and_named(ringsim, home):
    bad = [LINES[300][:40] + b"\n", b'123 {"e":\n', b"garbage\n", b"\xff\xfe\0\n"]
    code, found = played(ringsim, home, LINES[:300] + bad + LINES[300:])
    whole_code, whole = played(ringsim, home, LINES)
    assert code == whole_code == 0 and found["messages"]["bad"] == 4 and found["digest"] == whole["digest"]
    assert any(note.startswith("4 bad lines skipped, the first: x line 301: ") for note in found["notes"])


def depths():
    return [k for k, line in enumerate(LINES) if b"depthUpdate" in line]


def test_a_gap_is_counted_and_ends_degraded_without_a_second_snapshot(ringsim, home):
    code, found = played(ringsim, home, [line for k, line in enumerate(LINES) if k != depths()[15]])
    assert code == 3 and found["exit_state"] == "DEGRADED" and found["feed"]["gaps"] == 1
    assert any("gap" in note for note in found["notes"]), "the summary says why"


def test_a_duration_that_ends_before_the_snapshot_says_so(ringsim):
    answer = ringsim("backtest", "--duration", "0.01", "--json")
    assert answer.code == 3 and any("ends before the capture's snapshot" in note for note in answer.json["notes"])


def test_a_gap_is_mended_by_the_next_snapshot(ringsim, home):
    messages = session(8, steps=60, snapshots=(3, 40))
    del messages[[k for k, m in enumerate(messages) if m.kind == "depth"][15]]
    write_capture(home / "x", messages)
    answer = ringsim("backtest", "--source", "replay:x", "--json")
    assert answer.code == 0 and answer.json["feed"]["gaps"] == answer.json["feed"]["resyncs"] == 1


def test_messages_that_come_twice_change_nothing(ringsim, home):
    code, found = played(ringsim, home, [line for line in LINES for _ in range(2)])
    _, whole = played(ringsim, home, LINES)
    assert code == 0 and found["feed"]["stale"] > 0 and found["feed"]["gaps"] == 0
    assert found["orders"] == whole["orders"]


def test_a_price_off_the_tick_grid_is_a_bad_line(ringsim, home):
    k = depths()[-1]
    begin, end = LINES[k].split(b" ", 1)
    body = json.loads(end)
    body["data"]["b"][0][0] += "5"
    broken = begin + b" " + json.dumps(body).encode() + b"\n"
    code, found = played(ringsim, home, [*LINES[:k], broken, *LINES[k + 1 :]])
    assert code == 0 and found["messages"]["bad"] == 1, "no later diff misses it"
    assert any(f"x line {k + 1}: has a price off the instrument's grid" in note for note in found["notes"])


def test_an_unknown_symbol_is_told_which_the_capture_has(ringsim, home):
    (home / "x").write_bytes(PACKED)
    answer = ringsim("backtest", "--source", "replay:x", "--set", 'strategy.symbols=["ETHUSDT"]')
    assert one_line(answer, 2) == "the capture has BTCUSDT; strategy.symbols (command line) asks for ETHUSDT"


@pytest.mark.parametrize("command", ["run", "backtest"])
def test_a_coin_margined_contract_is_refused_with_its_reason(ringsim, home, command):
    messages = [m for m in session(8) if m.kind != "snapshot"]
    lines = [m.line().replace(b'"BTCUSDT"', b'"BTCUSD_PERP","ps":"BTCUSD"') for m in messages]
    write_capture(home / "x", lines)
    line = one_line(ringsim(command, "--source", "replay:x"), 2)
    assert (
        line == "BTCUSD_PERP is a coin-margined, inverse contract: it can be checked (ringsim feed check), not traded"
    )


# Options and configurations

OUT_OF_RANGE = [
    *(("--duration", value) for value in ("0", "-1", "nan", "inf", "1e400", "1e-30", "1e20", "x")),
    *(("--speed", value) for value in ("0", "-1", "nan", "inf", "1e400", "1e-300", "x")),
    *(("--seed", value) for value in ("text", "1.5", "-1", "9" * 30)),
    ("--clock", "sundial"),
    ("--profile", "nosuch"),
    ("--set", "strategy.paper_trading=false"),
    ("--set", "x.y=1"),
    ("--set", "x"),
    ("--config", "nosuch.toml"),
    ("--config", "."),
]


@pytest.mark.parametrize(("option", "value"), OUT_OF_RANGE, ids=" ".join)
def test_a_value_out_of_range_is_one_line_and_2(ringsim, home, option, value):
    line = one_line(ringsim("run", option, value), 2)
    answer = ringsim("run", option, value, "--json")
    assert (answer.code, answer.json["exit_code"], answer.json["error"]) == (2, 2, line)
    assert not (home / "runs").exists()


def test_all_problems_of_a_configuration_come_at_once_with_their_paths(ringsim, home):
    (home / "c.toml").write_text("[run]\nspeed = -1\nsed = 3\n[strategy]\npaper_trading = false\n[pipelin]\nx = 1\n")
    answer = ringsim("run", "--config", "c.toml", "--seed", "x", "--json")
    assert answer.code == 2
    assert {p["path"] for p in answer.json["problems"]} == {
        "run.speed", "run.sed", "strategy.paper_trading", "pipelin.x", "run.seed",
    }  # fmt: skip
    assert "holds no venue credentials" in answer.err


def test_a_folder_that_holds_another_run_is_left_alone(ringsim, home):
    (home / "x").write_bytes(PACKED)
    first = ringsim("backtest", "--source", "replay:x", "--out", "here", "--json")
    before = {path: path.stat().st_mtime_ns for path in (home / "here").rglob("*")}
    line = one_line(ringsim("run", "--source", "replay:x", "--out", "here"), 2)
    assert line == f"{home}/here holds another run; choose an empty folder" and first.code == 0
    assert {path: path.stat().st_mtime_ns for path in (home / "here").rglob("*")} == before


def test_a_file_where_the_folder_should_be(ringsim, home):
    (home / "x").write_bytes(PACKED)
    line = one_line(ringsim("backtest", "--source", "replay:x", "--out", "x/y"), 2)
    assert line == f"cannot write to {home}/x/y: Not a directory"


def test_a_state_directory_that_cannot_be_written_costs_the_index_only(ringsim, home, monkeypatch):
    (home / "x").write_bytes(PACKED)
    monkeypatch.setenv("RINGSIM_STATE", str(home / "x"))
    answer = ringsim("backtest", "--source", "replay:x", "--out", "here", "--json")
    assert answer.code == 0 and any("name it by its folder" in note for note in answer.json["notes"])


# Commands on what is not there


def test_runs_that_are_unknown_or_over(ringsim, home):
    assert "there is no run yet" in one_line(ringsim("health"), 2)
    (home / "x").write_bytes(PACKED)
    found = ringsim("backtest", "--source", "replay:x", "--json").json
    for command in ("show", "health", "pause", "stop", "kill", "top"):
        assert one_line(ringsim(command, "nosuch"), 2).startswith("no run 'nosuch'; the newest are")
    for command in ("health", "pause", "stop", "kill", "top"):
        assert one_line(ringsim(command), 2) == f"no run is going on in {found['out']}"
    assert ringsim("show").code == 0


@pytest.mark.parametrize("content", [b"", b"a" * 10, b"a" * 100_000], ids=len)
def test_a_segment_that_is_no_ring(ringsim, content):
    name = f"{PREFIX}test{os.getpid()}-ring.x"
    (FOLDER / name).write_bytes(content)
    try:
        assert one_line(ringsim("ring", "inspect", name), 2) == f"{name} is no ring"
    finally:
        (FOLDER / name).unlink()


@pytest.mark.parametrize("name", ["nosuch", "../../etc/passwd", ""])
def test_a_segment_that_is_not_there(ringsim, name):
    assert one_line(ringsim("ring", "inspect", name), 2).startswith("no segment ")


def test_of_many_rings_a_few_are_named(ringsim, home, monkeypatch):
    """As with several runs side by side."""
    monkeypatch.setattr("procs.inspect.FOLDER", home)
    for k in range(30):
        (home / f"{PREFIX}20261121-120000-{k:04}-ring.market").touch()
    line = one_line(ringsim("ring", "inspect", "nosuch"), 2)
    assert "0029-ring.market, " in line and line.endswith(" and 26 more")


# Endings


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda n: n.name)
def test_every_command_can_be_interrupted_with_one_line(ringsim, monkeypatch, number):
    app, before = typer.Typer(), signal.signal(signal.SIGINT, signal.default_int_handler)

    @app.command()
    def command(json: bool = False):
        os.kill(os.getpid(), number)
        signal.pause()

    monkeypatch.setattr(main, "app", app)
    handlers = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP)]
    assert ringsim() == (130, "", "ringsim: interrupted\n")
    assert ringsim("--json").json == {"error": "interrupted", "exit_code": 130}
    assert handlers == [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP)]
    signal.signal(signal.SIGINT, before)


def test_what_was_ignored_stays_ignored():
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Signals(lambda why: None) as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not signals.caught
            os.kill(os.getpid(), signal.SIGTERM)
            assert signals.caught == "SIGTERM"
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_interrupted_backtest_keeps_what_it_has_and_sums_it_up(ringsim, home, monkeypatch):
    from ringsim.pipeline import Pipeline

    plain = Pipeline.run

    def interrupted(self, steps=200):
        for k, batch in enumerate(plain(self, 200)):
            if k == 3:
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch

    monkeypatch.setattr(Pipeline, "run", interrupted)
    (home / "x").write_bytes(PACKED)
    answer = ringsim("backtest", "--source", "replay:x", "--out", "here", "--json")
    assert answer.code == 130 and answer.json["exit_state"] == "INTERRUPTED"
    assert ringsim("show", "here/", "--json").json["exit_state"] == "INTERRUPTED"


def test_a_run_that_fails_without_a_summary_is_not_on_record_as_running(ringsim, home, monkeypatch):
    def fails(*arguments, **more):
        raise RingsimError("the machine burns")

    monkeypatch.setattr("procs.run.run_backtest", fails)
    (home / "x").write_bytes(PACKED)
    assert one_line(ringsim("backtest", "--source", "replay:x", "--out", "here"), 1) == "the machine burns"
    assert ringsim("show", "here/", "--json").json["exit_state"] == "FAILED"


PYTHON = [sys.executable, "-m", "procs.cli.main"]


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_standard_streams_are_nobodys_bug(closed):
    done = subprocess.run(["sh", "-c", f'"$@" {closed}', "sh", *PYTHON, "runs"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("arguments", [["config", "show"], ["config", "show", "--json"], ["config", "check", "--json"]])
def test_a_full_place_for_stdout_is_one_line(arguments):
    with open("/dev/full", "w") as full:
        done = subprocess.run([*PYTHON, *arguments], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if not line.startswith("note: ")]
    assert said == ["ringsim: No space left on device; free some space"]


def test_a_user_without_a_home_has_places_of_their_own_in_the_temporary_directory(tmp_path, monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    for name in ("RINGSIM_STATE", "RINGSIM_CACHE", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    own = tmp_path / f"ringsim-{os.getuid()}"
    assert (cache_root(), _cache_roots(), state_root()) == (own / "kernels", [own / "feeds"], own / "state")


def test_a_kernel_cache_that_cannot_be_written_is_replaced_by_a_temporary_one(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("RINGSIM_CACHE", str(tmp_path / "file"))
    assert cache_root() == tmp_path / f"ringsim-{os.getuid()}" / "kernels"
