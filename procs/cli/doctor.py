"""`ringsim doctor`: what of this machine matters for the figures, and what it means for them.

Reads /proc, /sys and the program's own needs; a file that is missing or unreadable makes an answer unknown, never an
error. Judges nothing by a measured speed: that is what the floors beside each benchmark are for.
"""

import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec
import typer

from procs.cli.output import Json, Output

app = typer.Typer()

State = Literal["good", "note", "bad", "unknown"]
_MARKS = {"good": "[green]✓[/]", "note": "[yellow]![/]", "bad": "[red]✗[/]", "unknown": "[dim]?[/]"}

HOT_STAGES = 3  # ingest, strategy, execution
_QUIET_STEAL = 0.01
_SAMPLE_S = 0.25


class Finding(msgspec.Struct, frozen=True):
    """One thing looked at. good; note: it shapes the figures; bad: something will not work; unknown: cannot be seen."""

    name: str
    value: str
    state: State
    meaning: str


@app.command(epilog="Example: ringsim doctor --json")
def doctor(json: Json = False) -> None:
    """Say what of this machine matters, and what its figures can be trusted for."""
    out = Output(json)
    findings = examine()
    if not json:
        from rich.markup import escape

        for f in findings:
            out.console.print(f"{_MARKS[f.state]} [bold]{f.name}[/]  {escape(f.value)}")
            out.console.print(f"    [dim]{escape(f.meaning)}[/]")
        out.console.print(f"\n[bold]{verdict(findings)}[/]")
    out.result({"findings": findings, "verdict": verdict(findings)})


def verdict(findings: list[Finding]) -> str:
    """What figures measured here are good for, in a sentence or two."""
    by_state = {state: [f.name for f in findings if f.state == state] for state in ("bad", "note")}
    broken = f"Not everything will work here: {', '.join(by_state['bad'])}. " if by_state["bad"] else ""
    if by_state["note"]:
        return (
            f"{broken}Figures from here: compare them with the floor of the same run, and trust ratios and medians; high "
            f"percentiles are also this machine's ({', '.join(by_state['note'])})."
        )
    return f"{broken}Figures from here: nothing seen that stands between the program and its own latency."


def examine(root: Path = Path("/"), sample_s: float = _SAMPLE_S) -> list[Finding]:
    """Every finding. root: where /proc, /sys and /dev are looked for. sample_s: how long steal is watched, >= 0."""
    return [finding for look in (_software, _cpu, _load, _memory, _stores) for finding in look(root, sample_s)]


def _read(file: Path) -> str | None:
    """The text of a small system file, None if it cannot be had."""
    try:
        return file.read_text(errors="replace").strip()
    except OSError:
        return None


# -- kernel, Python, libraries


def _software(root: Path, _sample_s: float) -> Iterator[Finding]:
    release = platform.release()
    yield Finding(
        "kernel", f"{platform.system()} {release}, {platform.machine()}", "good", "what everything below runs on"
    )
    if hasattr(os, "pidfd_open"):
        yield Finding("process handles", "pidfd", "good", "a stage that died is never mistaken for another process")
    else:
        yield Finding("process handles", "no pidfd", "bad", "the launcher needs Linux 5.3 or newer to watch its stages")
    yield _populate()
    python = f"{platform.python_implementation()} {platform.python_version()}"
    yield Finding("Python", python, "good", "hot paths are compiled; Python runs between slices only")
    import sqlite3

    version = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info >= (3, 37):
        yield Finding("SQLite", version, "good", "STRICT tables: what is stored is what was meant")
    else:
        yield Finding("SQLite", version, "bad", "runs need 3.37 or newer, for STRICT tables")


def _populate() -> Finding:
    import mmap

    try:
        with mmap.mmap(-1, mmap.PAGESIZE) as page:
            page.madvise(23)  # MADV_POPULATE_WRITE
    except (OSError, ValueError):
        return Finding(
            "page population", "no", "note", "needs Linux 5.14: each page faults at its first touch, in the hot path"
        )
    return Finding(
        "page population", "yes", "good", "shared pages are touched before the run, none faults in the hot path"
    )


# -- cores and clocks


def _cpu(root: Path, _sample_s: float) -> Iterator[Finding]:
    info = _read(root / "proc/cpuinfo") or ""
    fields = dict(line.partition(":")[::2] for line in reversed(info.splitlines()) if ":" in line)
    values = {key.strip(): value.strip() for key, value in fields.items()}
    model = values.get("model name") or values.get("CPU part")
    virtual = "hypervisor" in values.get("flags", "").split()
    if virtual:
        yield Finding(
            "processor", f"{model}, virtual", "note", "a host shares this processor out: pauses come from outside"
        )
    else:
        yield Finding("processor", model or "not named", "good" if model else "unknown", "figures belong to this model")
    yield _clock(root)
    usable, total = len(os.sched_getaffinity(0)), os.cpu_count() or 0
    quota = _cpu_quota(root)
    cores = min(usable, quota) if quota else usable
    text = f"{usable} of {total} usable" + (f", limited to {quota:g}" if quota else "")
    if cores > HOT_STAGES:
        yield Finding("cores", text, "good", "each hot stage can have a core of its own")
    elif cores >= 2:
        yield Finding("cores", text, "note", "ingest and execution share a core and yield: their hops include a switch")
    else:
        yield Finding("cores", text, "note", "all stages take turns on one core: latencies are mostly scheduling")
    governor = _read(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    if governor is None:
        yield Finding(
            "frequency governor", "not visible", "unknown", "the clock rate may change while something is measured"
        )
    elif governor == "performance":
        yield Finding("frequency governor", governor, "good", "a steady clock rate")
    else:
        yield Finding(
            "frequency governor", governor, "note", "cores slow down when idle: light loads look slower than heavy ones"
        )
    isolated = _read(root / "sys/devices/system/cpu/isolated")
    if isolated:
        yield Finding("isolated cores", isolated, "good", "pin hot stages there with [pipeline.cores]")
    smt = _read(root / "sys/devices/system/cpu/smt/active")
    if smt == "1":
        yield Finding(
            "hyperthreads", "on", "note", "two of the cores counted may be one: neighbours slow each other down"
        )


def _clock(root: Path) -> Finding:
    source = _read(root / "sys/devices/system/clocksource/clocksource0/current_clocksource")
    if source is None:
        return Finding("clock source", "not visible", "unknown", "a slow clock would show in every latency")
    if source in ("tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter"):
        return Finding("clock source", source, "good", "read without a system call: measuring hardly disturbs")
    return Finding("clock source", source, "note", "each reading is a system call: every latency includes some")


def _cgroup(root: Path, *names: str) -> str | None:
    """The tightest-placed file of that name: in our own control group, else at the mount's root; v2, then v1."""
    own = [line.split(":", 2) for line in (_read(root / "proc/self/cgroup") or "").splitlines() if line.count(":") >= 2]
    mount = root / "sys/fs/cgroup"
    for name in names:
        folders = [mount / path.lstrip("/") for _, _, path in own]
        folders += [mount / kind / path.lstrip("/") for _, kind, path in own if kind]
        folders += [mount, *(mount / kind for _, kind, _ in own if kind)]
        for folder in folders:
            if (text := _read(folder / name)) is not None:
                return text
    return None


def _cpu_quota(root: Path) -> float | None:
    """Cores that the control group allows, None without a limit."""
    try:
        if limit := _cgroup(root, "cpu.max"):
            quota, period = limit.split()
            return None if quota == "max" else int(quota) / int(period)
        quota, period = _cgroup(root, "cpu.cfs_quota_us") or "-1", _cgroup(root, "cpu.cfs_period_us") or "100000"
        return int(quota) / int(period) if int(quota) > 0 else None
    except (ValueError, ZeroDivisionError):
        return None


# -- who else is here


def _load(root: Path, sample_s: float) -> Iterator[Finding]:
    before = _ticks(root)
    time.sleep(sample_s)
    after = _ticks(root)
    if before is None or after is None:
        yield Finding(
            "stolen time", "not visible", "unknown", "somebody else's work on this core would show as latency"
        )
    else:
        boot = after[0] / after[1] if after[1] else 0.0
        spent = after[1] - before[1]
        now = (after[0] - before[0]) / spent if spent else 0.0
        text = f"{now:.1%} now, {boot:.1%} since start"
        if max(now, boot) < _QUIET_STEAL:
            yield Finding("stolen time", text, "good", "the host gives this machine the time that it asks for")
        else:
            yield Finding(
                "stolen time",
                text,
                "note",
                "the host takes cores away in the middle of work: high percentiles are its",
            )
    load = (_read(root / "proc/loadavg") or "").split()
    usable = len(os.sched_getaffinity(0))
    try:
        busy = float(load[0])
    except (IndexError, ValueError):
        yield Finding("load", "not visible", "unknown", "others at work would show in the figures")
    else:
        state: State = "good" if busy < 0.5 * usable else "note"
        meaning = (
            "hardly anybody else is at work" if state == "good" else "others are at work: measure when they are done"
        )
        yield Finding("load", f"{busy:g} on {usable} cores", state, meaning)
    throttled = [line.split() for line in (_cgroup(root, "cpu.stat") or "").splitlines()]
    count = next((v[1] for v in throttled if len(v) == 2 and v[0] == "nr_throttled"), None)
    quota = _cpu_quota(root)
    if quota is not None:
        state = "note" if count not in (None, "0") else "good"
        text = f"{quota:g} cores, throttled {count or '?'} times"
        yield Finding(
            "container's CPU limit", text, state, "at the limit all stages stop at once until the next period"
        )
    else:
        yield Finding("container's CPU limit", "none", "good", "no quota stops the stages")


def _ticks(root: Path) -> tuple[int, int] | None:
    """Stolen and all ticks of all cores since the start."""
    first = (_read(root / "proc/stat") or "").partition("\n")[0].split()
    try:
        values = [int(v) for v in first[1:9]]  # guest time is part of user time
        return values[7], sum(values)
    except (IndexError, ValueError):
        return None


# -- memory


def _memory(root: Path, _sample_s: float) -> Iterator[Finding]:
    limit = _cgroup(root, "memory.max", "memory.limit_in_bytes")
    if limit is not None and limit.isdigit() and int(limit) < 1 << 60:
        state: State = "good" if int(limit) >= 1 << 30 else "note"
        meaning = "enough for five processes" if state == "good" else "five processes with compiled kernels may not fit"
        yield Finding("container's memory limit", _size(int(limit)), state, meaning)
    else:
        yield Finding("container's memory limit", "none", "good", "no limit ends a stage")
    needed = run_bytes()
    try:
        room = os.statvfs(root / "dev/shm")
    except OSError:
        yield Finding("/dev/shm", "not there", "bad", "rings live there: mount a tmpfs on it")
    else:
        free, size = room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize
        text, takes = (
            f"{_size(free)} free of {_size(size)}",
            f"a run takes {_size(needed)} of it with default capacities",
        )
        if free >= needed:
            yield Finding("/dev/shm", text, "good", takes)
        else:
            yield Finding("/dev/shm", text, "bad", f"{takes}: free some")
    for name, file in (("huge pages", "enabled"), ("huge pages in /dev/shm", "shmem_enabled")):
        text = _read(root / "sys/kernel/mm/transparent_hugepage" / file) or ""
        chosen = text.partition("[")[2].partition("]")[0]
        if not chosen:
            yield Finding(name, "not visible", "unknown", "page size changes how often addresses are looked up")
        elif chosen == "always" and file == "enabled":
            yield Finding(name, chosen, "note", "the kernel may pause a process to build large pages")
        else:
            yield Finding(name, chosen, "good", "the kernel builds no large pages behind the program's back")


def run_bytes() -> int:
    """Shared memory of a run with default capacities, rounded up: rings, two copies of each state, journals, histograms.

    An estimate from the rings alone, since the states' sizes are known only to modules that take a second to import; a
    test compares it with the sum.
    """
    from ringsim.config import Config, capacities
    from ringsim.records import MARKET_WORDS, ORDER_WORDS

    sizes = capacities(Config())
    return 6 * 8 * (sizes.market * MARKET_WORDS + (sizes.orders + sizes.reports) * ORDER_WORDS)


def _size(count: int) -> str:
    amount, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if amount < 1024 or unit == "TiB":
            break
        amount /= 1024
    return f"{amount:.3g} {unit}"


# -- the program's own folders


def _stores(_root: Path, _sample_s: float) -> Iterator[Finding]:
    from procs.folders import state_root
    from ringsim.kernel import cache_root

    folder = cache_root()
    warm = folder.is_dir() and any(folder.glob("*/**/*.nbi"))
    if not _writable(folder):
        yield Finding(
            "kernel cache",
            f"{folder}, not writable",
            "note",
            "kernels compile at every start: name a folder in RINGSIM_CACHE",
        )
    elif warm:
        yield Finding("kernel cache", f"{folder}, filled", "good", "kernels are compiled: a run starts at once")
    else:
        yield Finding("kernel cache", f"{folder}, empty", "good", "the first run compiles the kernels, once")
    state = state_root()
    if _writable(state):
        yield Finding("state folder", str(state), "good", "runs are found from any folder")
    else:
        yield Finding(
            "state folder",
            f"{state}, not writable",
            "note",
            "runs are found by their folder only: name one in RINGSIM_STATE",
        )


def _writable(folder: Path) -> bool:
    """Whether a file could be made there, or the folder made."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
