"""Real processes on one ring: no record is torn, every record is accounted for, and a killed writer costs nothing.

The work is done in tests/ring/stress.py, in a process without threads; a failing test prints the command that repeats it.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAR = 2**62 - 20_000  # crosses 2**62 on the way


def stress(line):
    """What the processes found, as a dict."""
    command = [sys.executable, "-m", "tests.ring.stress", *shlex.split(line)]
    print("repeat it:", shlex.join(command))
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            out, errors = process.communicate(timeout=90)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    assert (process.returncode, errors) == (0, "")
    found = json.loads(out)
    print(found)
    assert set(found["exits"]) == {0}
    return found


def check_reader(found, name):
    """Nothing torn, the end reached, every record acked or lost."""
    reader, published = found["readers"][name], found["published"]
    assert reader["torn"] == 0
    assert reader["last"] == published - 1 and found["lag"][name] == 0
    assert reader["acked"] + reader["lost"] == published
    assert found["lost"][name] == reader["lost"]
    return reader


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("capacity", "records", "start"),
    [
        (2, 40_000, FAR),
        (4, 60_000, 0),
        (64, 2_000_000, FAR),
        slow(2, 1_000_000, 0),
        slow(4, 1_000_000, FAR),
        slow(64, 20_000_000, 0),
    ],
)
def test_gating_readers_get_every_record_whole(capacity, records, start):
    found = stress(f"gating --capacity {capacity} --records {records} --start {start}")
    assert found["published"] == records and found["full_waits"] > 0
    for name in ("ledger", "audit"):
        assert check_reader(found, name)["acked"] == records


@pytest.mark.parametrize(
    ("capacity", "start", "more"),
    [
        (2, FAR, "--writer-pauses 3"),
        (4, 0, "--writer-pauses 3 --batch 1"),
        (64, FAR, "--writer-pauses 7 --resync newest"),
        slow(2, 0, "--writer-pauses 7 --resync newest"),
        slow(4, FAR, "--writer-pauses 7 --acked 1000000 --laps 10000"),
        slow(64, 0, "--writer-pauses 7 --acked 1000000 --laps 10000"),
    ],
)
def test_a_slow_free_reader_knows_exactly_what_it_lost(capacity, start, more):
    found = stress(f"free --capacity {capacity} --start {start} --acked 5000 --laps 50 {more}")
    reader = check_reader(found, "tape")
    assert reader["acked"] >= 5000 and reader["laps"] >= 50 and reader["lost"] >= reader["laps"]


@pytest.mark.parametrize(
    ("capacity", "records", "start", "kills"),
    [
        (2, 15_000, FAR, 8),
        (4, 30_000, 0, 8),
        (64, 400_000, FAR, 8),
        slow(2, 300_000, 0, 100),
        slow(64, 10_000_000, 0, 100),
    ],
)
def test_a_writer_killed_half_way_loses_nothing_and_tears_nothing(capacity, records, start, kills):
    found = stress(f"killed --capacity {capacity} --records {records} --start {start} --kills {kills}")
    assert found["published"] == records
    assert check_reader(found, "ledger")["acked"] == records
    check_reader(found, "tape")
