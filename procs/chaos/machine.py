"""The machine: a stage's code that raises, a ledger damaged in memory, a wall clock that is set, a processor taken away."""

import contextlib
import itertools
import random
import signal
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from procs.chaos.inject import Strike, Struck, Trapper, inputs_of
from procs.chaos.laws import everything_answered_once, stored
from procs.chaos.scenario import Scenario
from procs.chaos.starve import Starver
from procs.supervisor import Supervisor
from procs.topology import ROLES
from procs.wall import set_wall_clock
from procs.watchdog import process_state
from ringsim.control import P_WALL_STEP_S, S_TRAP, S_TRAP_AT, S_TRAP_HOW, S_WALL_STEP_S, block, stage_of
from ringsim.fold.trap import How, Point
from ringsim.ledger import LEDGER
from ringsim.lifecycle import Lifecycle
from ringsim.records import ACCOUNT, Reason, ReportFlag, ReportKind, Trading
from ringsim.summary import FAILED, HALTED

_GAP = (20, 600)  # inputs of a stage between two strikes at it
_STOP_S = 1.0  # for a process to be seen stopped
_HOT = ("ingest", "strategy", "execution")


def _none(strikes: int) -> tuple[int, int]:
    """No replacement."""
    return 0, 0


def _where(stage: str) -> Point:
    """Where a stage raises: in its fold; persistence has none, and raises with a batch in its hands."""
    return Point.FOLDED if stage == "persistence" else Point.FOLDING


class Raiser(Trapper):
    """A stage's fold raises, `count` times, each time at another input: its replacement meets no exception there."""

    what = "exception"

    def __init__(self, stage: str, count: int, seed: int, gap: tuple[int, int]) -> None:
        super().__init__({stage: itertools.repeat(_where(stage))}, count, seed, gap)
        self._at = block(stage_of(stage))

    def each_turn(self, parent: Struck) -> None:
        if parent.segments is not None:
            parent.segments.control[self._at + S_TRAP_HOW] = How.RAISES
        super().each_turn(parent)


class Poison:
    """An input that the stage's fold cannot take: it raises there, and so does every replacement that redoes it."""

    planned = 1

    def __init__(self, stage: str, seed: int, gap: tuple[int, int]) -> None:
        self.stage = stage
        self.strikes: list[Strike] = []
        self._at = random.Random(seed).randint(*gap)
        self._set = False

    def each_turn(self, parent: Supervisor) -> None:
        if parent.segments is None:
            return
        words, at = parent.segments.control, block(stage_of(self.stage))
        if not self._set:
            words[at + S_TRAP_HOW], words[at + S_TRAP_AT] = How.RAISES_AGAIN, self._at
            words[at + S_TRAP] = _where(self.stage)
            self._set = True
        for _ in range(len(self.strikes), parent.restarts + (parent.failure is not None)):
            self.strikes.append(Strike("exception", self.stage, self._at, time.monotonic_ns(), _where(self.stage).name))


class LedgerDamager:
    """One bit of the exchange's ledger is another, in both copies of its state, while the stage stands still for a moment."""

    planned = 1

    def __init__(self, seed: int, gap: tuple[int, int]) -> None:
        chance = random.Random(f"{seed} ledger")
        self.at, self.field, self.bit = chance.randint(*gap), chance.choice(LEDGER.names or ()), chance.randint(0, 30)
        self.strikes: list[Strike] = []

    def each_turn(self, parent: Supervisor) -> None:
        if parent.segments is None or self.strikes or parent.lifecycle is not Lifecycle.READY:
            return
        child = next((c for c in parent.children.values() if c.role == "execution"), None)
        inputs = inputs_of(parent, "execution")
        if child is None or inputs < self.at:
            return
        # Stopped, so that the stage is not just about to write that very word, or to copy it.
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(child.pidfd, signal.SIGSTOP)
            until = time.monotonic() + _STOP_S
            while not (stopped := process_state(child.pid)[0]) and time.monotonic() < until:
                time.sleep(0.0002)
            if stopped:
                words = parent.segments.copies["execution"].states["ledger"][self.field]
                words ^= np.int64(1 << self.bit)
                self.strikes.append(Strike(f"bit {self.bit} of {self.field}", "execution", inputs, time.monotonic_ns()))
            signal.pidfd_send_signal(child.pidfd, signal.SIGCONT)


class ClockSetter:
    """The wall clock of every process of the run is set, back and forth, by an hour to a year.

    A strike: all stages go by the new time. gap: (least, most) messages of the feed between two of them.
    """

    STEPS_S = (31_536_000, -86_400, 3_600, -31_536_000, 86_400, -3_600)  # off by, in turn

    def __init__(self, count: int, seed: int, gap: tuple[int, int]) -> None:
        self.planned, self.gap = count, gap
        self.strikes: list[Strike] = []
        self._chance = random.Random(f"{seed} clock")
        self._set_s = 0  # what the stages have yet to go by; 0: they do
        self._next_at = self._chance.randint(*gap)

    def each_turn(self, parent: Supervisor) -> None:
        if parent.segments is None or parent.lifecycle is not Lifecycle.READY:
            return
        words, inputs = parent.segments.control, inputs_of(parent, "ingest")
        if self._set_s:
            if all(words[block(stage_of(role)) + S_WALL_STEP_S] == self._set_s for role in ROLES):
                what = f"wall clock off by {self._set_s} s"
                self.strikes.append(Strike(what, "all", inputs, time.monotonic_ns()))
                self._next_at = inputs + self._chance.randint(*self.gap)
                self._set_s = 0
        elif len(self.strikes) < self.planned and inputs >= self._next_at:
            self._set_s = self.STEPS_S[len(self.strikes) % len(self.STEPS_S)]
            set_wall_clock(self._set_s)
            words[P_WALL_STEP_S] = self._set_s

    def close(self) -> None:
        """This process's clock is right again."""
        set_wall_clock(0)


def _poisoned(run: dict[str, Any], twin: dict[str, Any]) -> list[str]:
    why = run["failure"] or ""
    missing = [words for words in ("exception was injected", "restart budget", "trading is halted") if words not in why]
    return [f"the reason does not say {words!r}: {why}" for words in missing]


def _halted_by_ledger(run: dict[str, Any], twin: dict[str, Any]) -> list[str]:
    problems = everything_answered_once(run)
    if run["halted"] != Reason.LEDGER_IDENTITY.name:
        problems.append(f"halted by {run['halted']}, not by {Reason.LEDGER_IDENTITY.name}")
    reports = stored(run, "reports")
    halts = np.flatnonzero(reports["kind"] == ReportKind.HALTED)
    if len(halts) != 1 or reports["reason"][halts[0]] != Reason.LEDGER_IDENTITY:
        return [*problems, f"{len(halts)} reports of a halt, expected one with its name"]
    after = reports[halts[0] :]
    executed = np.isin(after["kind"], (ReportKind.FILL, ReportKind.ACCEPTED)).sum()
    if executed:
        problems.append(f"{executed} orders were accepted or filled after the halt")
    last = after[after["kind"] == ReportKind.ACCOUNT].view(ACCOUNT)
    if not len(last) or last["trading"][-1] != Trading.HALTED or not last["flag_bits"][-1] & ReportFlag.FINAL:
        problems.append("the last account does not say that trading is halted")
    return problems


def _labels_jumped(run: dict[str, Any], twin: dict[str, Any]) -> list[str]:
    """The clock was set indeed: the log's labels, which may follow it, say so."""
    lines = (Path(run["out"]) / "log.txt").read_text().splitlines()
    times = [datetime.strptime(line[:19], "%Y-%m-%d %H:%M:%S") for line in lines if line[:4].isdigit()]
    apart_s = (max(times) - min(times)).total_seconds()
    return [] if apart_s > run["wall_s"] + 60 else [f"the log's lines are {apart_s:.0f} s apart: no clock was set"]


MACHINE: tuple[Scenario, ...] = (
    Scenario(
        "exception-in-strategy",
        "the strategy's fold raises, a few times: the process ends with the exception, is replaced; same digest",
        lambda o: Raiser(o.stage or "strategy", o.kills, o.seed, _GAP),
        takes=("kills", "stage"),
    ),
    Scenario(
        "exception-again",
        "the fold raises at the same input in every replacement: the budget is spent, the run FAILED with the exception",
        lambda o: Poison(o.stage or "strategy", o.seed, _GAP),
        takes=("stage",),
        ends=FAILED,
        restarts=lambda strikes: (strikes - 1, strikes - 1),
        holds=_poisoned,
    ),
    Scenario(
        "ledger-corrupt",
        "a bit of the ledger changes in memory: halted with the invariant's name, nothing executes afterwards",
        lambda o: LedgerDamager(o.seed, (2_000, 20_000)),
        ends=HALTED,
        restarts=_none,
        holds=_halted_by_ledger,
    ),
    Scenario(
        "clock-step",
        "the wall clock of all processes is set by hours and years, back and forth: labels follow, nothing else",
        lambda o: ClockSetter(o.kills, o.seed, _GAP),
        takes=("kills",),
        restarts=_none,
        settings={"pipeline.slice_us": 1000},
        holds=_labels_jumped,
    ),
    Scenario(
        "starved-cpu",
        "the stages get no processor for over a second: late, not stalled, so nothing is replaced; same digest",
        lambda o: Starver([o.stage] if o.stage else _HOT, o.seed, (200, 1_000)),
        takes=("stage",),
        restarts=_none,
    ),
)
