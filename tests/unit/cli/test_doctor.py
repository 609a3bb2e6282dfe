"""`ringsim doctor` looks at what there is, calls what it cannot see unknown, and never fails on a missing file."""

import pytest

from procs import topology
from procs.cli.doctor import Finding, examine, run_bytes, verdict
from ringsim.config import Config, capacities
from ringsim.fold.commit import copies_size
from ringsim.fold.journal import journal_size
from ringsim.shm import FOLDER
from ringsim.telemetry.histogram import HISTOGRAM


def found(root):
    return {finding.name: finding for finding in examine(root, sample_s=0)}


@pytest.fixture
def machine(tmp_path):
    """A made-up machine: write(path, text) adds a system file."""

    def write(path, text):
        file = tmp_path / "machine" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return tmp_path / "machine"

    write("proc/stat", "cpu 100 0 100 700 0 0 0 0 0 0\n")
    return write


def test_a_machine_that_shows_nothing_gives_unknown_and_no_error(tmp_path):
    findings = found(tmp_path / "nothing")
    names = {"clock source", "frequency governor", "stolen time", "load", "huge pages", "processor"}
    assert {name for name, f in findings.items() if f.state == "unknown"} >= names
    assert findings["/dev/shm"].state == "bad"
    assert all(f.value and f.meaning for f in findings.values())


def test_unreadable_and_nonsense_files_give_no_error(machine):
    for path in ("proc/stat", "proc/loadavg", "proc/cpuinfo", "proc/self/cgroup", "sys/fs/cgroup/cpu.max"):
        machine(path, "nonsense \x00 :::\n")
    root = machine("sys/fs/cgroup/memory.max", "lots")
    assert found(root)["stolen time"].state == "unknown"


@pytest.mark.parametrize(
    ("source", "state"), [("tsc", "good"), ("kvm-clock", "good"), ("hpet", "note"), ("acpi_pm", "note")]
)
def test_a_clock_that_needs_a_system_call_is_noted(machine, source, state):
    finding = found(machine("sys/devices/system/clocksource/clocksource0/current_clocksource", source + "\n"))[
        "clock source"
    ]
    assert (finding.value, finding.state) == (source, state)


@pytest.mark.parametrize(("governor", "state"), [("performance", "good"), ("powersave", "note")])
def test_governor(machine, governor, state):
    root = machine("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", governor)
    assert found(root)["frequency governor"].state == state


def test_stolen_time_is_the_share_of_all_ticks(machine):
    root = machine("proc/stat", "cpu 50 0 0 40 0 0 0 10 0 0\ncpu0 1 1\n")
    finding = found(root)["stolen time"]
    assert finding.value == "0.0% now, 10.0% since start" and finding.state == "note"


@pytest.mark.parametrize(
    ("files", "value"),
    [
        ({"proc/self/cgroup": "0::/box\n", "sys/fs/cgroup/box/cpu.max": "150000 100000\n"}, "1.5 cores, throttled ? times"),
        ({"sys/fs/cgroup/cpu.max": "50000 100000\n", "sys/fs/cgroup/cpu.stat": "nr_throttled 7\n"}, "0.5 cores, throttled 7 times"),
        (
            {"proc/self/cgroup": "4:cpu,cpuacct:/d\n", "sys/fs/cgroup/cpu,cpuacct/d/cpu.cfs_quota_us": "200000\n"},
            "2 cores, throttled ? times",
        ),
        ({"sys/fs/cgroup/cpu.max": "max 100000\n"}, "none"),
        ({"sys/fs/cgroup/cpu.cfs_quota_us": "-1\n"}, "none"),
    ],
)  # fmt: skip
def test_the_containers_cpu_limit_is_found_in_both_kinds_of_control_group(machine, files, value):
    for path, text in files.items():
        root = machine(path, text)
    findings = found(root)
    assert findings["container's CPU limit"].value == value
    if value != "none":
        assert "limited to" in findings["cores"].value and findings["cores"].state == "note"


@pytest.mark.parametrize(
    ("limit", "value", "state"),
    [("536870912", "512 MiB", "note"), ("8589934592", "8 GiB", "good"), ("max", "none", "good")],
)
def test_the_containers_memory_limit(machine, limit, value, state):
    finding = found(machine("sys/fs/cgroup/memory.max", limit + "\n"))["container's memory limit"]
    assert (finding.value, finding.state) == (value, state)


def test_shared_memory_that_cannot_hold_a_run_is_bad(machine, monkeypatch):
    root = machine("dev/shm/x", "")
    assert found(root)["/dev/shm"].state == "good"
    monkeypatch.setattr("procs.cli.doctor.run_bytes", lambda: 1 << 60)
    finding = found(root)["/dev/shm"]
    assert finding.state == "bad" and "free some" in finding.meaning


def test_what_a_run_is_said_to_take_is_what_it_takes():
    rings = capacities(Config())
    journals = len(topology.JOURNALS) * journal_size(rings.journal)
    states = sum(map(copies_size, topology.STATE_DTYPES.values()))
    slots = sum(getattr(rings, name) * dtype.itemsize for name, dtype in topology.RECORD_DTYPES.items())
    total = slots + states + journals + len(topology.HOPS) * HISTOGRAM.itemsize + (1 << 16)  # headers, the control page
    assert total <= run_bytes() <= 2 * total


def test_an_old_sqlite_is_bad(machine, monkeypatch):
    monkeypatch.setattr("sqlite3.sqlite_version_info", (3, 36, 0))
    root = machine("x", "")
    assert found(root)["SQLite"].state == "bad"


def test_a_cache_that_cannot_be_written_is_noted(machine, monkeypatch, home):
    (home / "file").touch()
    monkeypatch.setenv("RINGSIM_STATE", str(home / "file" / "below"))
    finding = found(machine("x", ""))["state folder"]
    assert finding.state == "note" and "RINGSIM_STATE" in finding.meaning


def test_the_verdict_names_what_is_noted_and_what_is_broken():
    good = Finding("a", "1", "good", "m")
    assert "nothing seen" in verdict([good])
    assert "(load)" in verdict([good, Finding("load", "9", "note", "m")])
    assert verdict([Finding("/dev/shm", "0", "bad", "m")]).startswith("Not everything will work here: /dev/shm.")


def test_this_machine(ringsim):
    answer = ringsim("doctor", "--json")
    assert answer.code == 0 and FOLDER.is_dir()
    assert {f["state"] for f in answer.json["findings"]} <= {"good", "note", "bad", "unknown"} and answer.json[
        "verdict"
    ]
    text = ringsim("doctor")
    assert text.code == 0 and all(f["name"] in text.out for f in answer.json["findings"])
