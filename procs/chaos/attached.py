"""Faults in a run that is going on in other processes: signals to its stages, and the trap words of its control page.

What became of them is read from the parent's words, and asked of the parent, which notes when it saw each loss and when the
stage was back: the clock is the machine's, so its times and those of the faults can be compared.

Invariant: one fault at a time, the next one when the run is READY again, and no more than the run's restart budget allows: a
run that was well before is well afterwards. A stage that was stopped goes on, and no trap stays set, also after a Ctrl-C.

Such a run has no undisturbed twin. The law here is that it returns to READY after each fault.
"""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import psutil

from procs.chaos.chronicle import LAUNCHER, Chronicle, detected
from procs.chaos.inject import Hanger, LauncherKiller, Pauser, Signaller, Strike
from procs.chaos.scenario import Options, Scenario
from procs.chaos.verdict import FAIL, INCONCLUSIVE, PASS, Verdict, spread
from procs.commands import ask
from procs.losses import Loss, Losses
from procs.readmodel import ReadModel
from procs.screens import Screen, choose_screen
from procs.status import read_status
from procs.topology import ROLES
from procs.watchdog import Child
from ringsim import control as c
from ringsim.errors import BadInput, RingsimError
from ringsim.lifecycle import Change, Lifecycle

_GAP = (1, 40)  # inputs of a stage before it is struck: in realtime persistence takes a few a second
_SHORT_S, _LONG_S = 0.2, 3600.0
_NAP_S = 0.002
_STRIKE_S = 30.0  # for a moment to strike at: READY, and the stage takes inputs
_RETURN_S = 45.0  # to READY again: a busy machine may give a stage nothing for 30 s
_WEIGHTS = {"ingest": 2, "strategy": 3, "execution": 3, "persistence": 1}

Outsider = Signaller | Hanger | LauncherKiller


def _drawn(options: Options) -> Signaller:
    """Stages drawn from the seed, the hot ones more often."""
    chance = random.Random(f"{options.seed} stages")
    drawn = chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()), k=options.kills)
    stages = [options.stage] if options.stage else drawn
    return Signaller(signal.SIGKILL, stages, options.kills, options.seed, _GAP)


def _kill(stage: str) -> Callable[[Options], Outsider]:
    return lambda o: Signaller(signal.SIGKILL, [stage], o.kills, o.seed, _GAP)


# Scenarios that can be done to a run from outside.
OUTSIDERS: Mapping[str, Callable[[Options], Outsider]] = {
    **{f"kill-{role}": _kill(role) for role in ROLES},
    "random": _drawn,
    "pause-short": lambda o: Pauser(o.stage or "strategy", _SHORT_S, o.seed, _GAP),
    "pause-long": lambda o: Pauser(o.stage or "strategy", _LONG_S, o.seed, _GAP),
    "hang-in-kernel": lambda o: Hanger(o.stage or "strategy", o.seed, _GAP),
    "launcher-kill": lambda o: LauncherKiller(o.seed, _GAP),
}


class _Process:
    """A process known by a pidfd, so that no other one can be meant."""

    def __init__(self, pidfd: int) -> None:
        self.pidfd = pidfd

    def kill(self) -> None:
        """SIGKILL."""
        try:
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        finally:
            os.close(self.pidfd)


class Attached:
    """A run in other processes, as injectors see the parent of their own (procs.chaos.inject.Struck). Close it."""

    def __init__(self, folder: Path) -> None:
        """BadInput if no run is going on in the folder."""
        self.folder = folder
        self.model = ReadModel.attach(folder)
        if self.model.over():
            self.model.close()
            raise BadInput(f"no run is going on in {folder}")
        self.segments = self.model.segments
        self.children: dict[int, Child] = {}
        self.changes: list[Change] = []
        self.losses = Losses()
        self.came_ns = time.monotonic_ns()
        self._first = self.generations()

    @property
    def lifecycle(self) -> Lifecycle:
        return Lifecycle(int(self.segments.control[c.P_LIFECYCLE]))

    @property
    def restarts(self) -> int:
        return sum(now - self._first[role] for role, now in self.generations().items())

    @property
    def launcher(self) -> _Process | None:
        with contextlib.suppress(psutil.Error, OSError):
            for child in self.children.values():
                launcher = psutil.Process(child.pid).parent()
                if launcher is not None and "procs.launcher" in launcher.cmdline():
                    return _Process(os.pidfd_open(launcher.pid))
        return None

    def word(self, role: str, word: int) -> int:
        """A word of a stage's block."""
        return int(self.segments.control[c.block(c.stage_of(role)) + word])

    def generations(self) -> dict[str, int]:
        """Of each stage, as it last said."""
        return {role: self.word(role, c.S_GENERATION) for role in ROLES}

    def look(self) -> None:
        """Who the stages are now."""
        for role in ROLES:
            pid, known = self.word(role, c.S_PID), next((x for x in self.children.values() if x.role == role), None)
            if known is not None and known.pid == pid:
                continue
            if known is not None:
                os.close(known.pidfd)
                del self.children[known.pidfd]
            pidfd = _open_stage(pid, f"ringsim {role} {self.segments.plan.run_id}")
            if pidfd is not None:
                self.children[pidfd] = Child(role, self.word(role, c.S_GENERATION), pid, pidfd)

    def ask(self) -> None:
        """What the parent has noted so far. A parent that is gone, or busy, has told all that it will, or tells it later."""
        with contextlib.suppress(RingsimError):
            told = ask(self.folder, "history")
            self.losses.all = msgspec.convert(told["losses"], list[Loss])
            before, self.changes = Lifecycle.INIT, []
            for at_s, state, reason in told["lifecycle"]:
                after = Lifecycle[state]
                at_ns = told["started_ns"] + int(at_s * 1e9)
                self.changes.append(Change(time_ns=at_ns, before=before, after=after, reason=reason))
                before = after

    def close(self) -> None:
        for pidfd in self.children:
            os.close(pidfd)
        self.children.clear()
        self.model.close()


def _open_stage(pid: int, title: str) -> int | None:
    """A pidfd of the process, if that is what it is called."""
    try:
        pidfd = os.pidfd_open(pid)
    except (OSError, ValueError):
        return None
    with contextlib.suppress(OSError):
        if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(title.encode()):
            return pidfd
    os.close(pidfd)
    return None


def outsider(scenario: Scenario, options: Options) -> Outsider:
    """The injector of a scenario that can be done to a run from outside; BadInput, with those that can, for another one."""
    if scenario.name not in OUTSIDERS:
        raise BadInput(
            f"{scenario.name} cannot be done to a run that is going on, only to one of its own (leave out --run); "
            f"those that can: {', '.join(OUTSIDERS)}"
        )
    return OUTSIDERS[scenario.name](options)


def strike_run(scenario: Scenario, options: Options, folder: Path, *, live: bool = False) -> Verdict:
    """Do a scenario to the run in a folder, and judge. BadInput if none is going on there, or the scenario cannot be.

    live: show the run in the live view.
    """
    injector = outsider(scenario, options)
    with contextlib.closing(Attached(folder)) as run:
        if run.segments.plan.restart_budget == 0 and not isinstance(injector, Pauser):
            raise BadInput("the run's pipeline.restart_budget is 0: it allows no fault")
        chronicle = Chronicle(injector.strikes)
        chronicle.run = run
        title = f"chaos {scenario.name} {run.segments.plan.run_id}"
        screen = choose_screen(run.model.instrument(), title, live=live, story=chronicle.story)
        run.ask()
        lost = _lost(run)
        screen.open(run.model.look)
        try:
            outcome = _strikes(run, injector, screen)
        except PermissionError:
            raise BadInput(f"the run in {folder} is another user's: its stages take no signal from here") from None
        finally:
            _undo(run, injector)
            screen.close()
        run.ask()
        return _judge(scenario, options, run, injector, outcome, _lost(run) - lost)


class _Outcome(msgspec.Struct, frozen=True):
    """failures: faults that the run did not stand. doubts: why less was proved than was planned."""

    failures: list[str] = []
    doubts: list[str] = []


def _lost(run: Attached) -> int:
    return sum(run.segments.rings["market"].lost().values())


def _undo(run: Attached, injector: Outsider) -> None:
    """Whatever happens, the run is left as it can go on."""
    if isinstance(injector, Pauser):
        injector.go_on()
    if isinstance(injector, Hanger):
        for role in injector.traps:
            at = c.block(c.stage_of(role))
            run.segments.control[at + c.S_TRAP] = run.segments.control[at + c.S_TRAP_HOW] = 0


def _strikes(run: Attached, injector: Outsider, screen: Screen) -> _Outcome:
    """Strike until all is done, or the run is over."""
    before, awaited = run.generations(), None
    until, struck = time.monotonic() + _STRIKE_S, 0
    while awaited or struck < injector.planned:
        run.look()
        if run.model.over():
            return _ended(run, injector, awaited)
        now = time.monotonic()
        if awaited is None:
            if _spent(run) and not isinstance(injector, Pauser):
                until = now + _STRIKE_S
            else:
                injector.each_turn(run)
            if len(injector.strikes) > struck:
                struck, awaited, until = len(injector.strikes), injector.strikes[-1], now + _RETURN_S
            elif now > until:
                return _Outcome(doubts=[f"nothing could be struck within {_STRIKE_S:.0f} s: {_why_not(run)}"])
        else:
            if isinstance(injector, Pauser):
                injector.each_turn(run)
            if _returned(run, injector, awaited, before):
                run.ask()
                before, awaited, until = run.generations(), None, time.monotonic() + _STRIKE_S
            elif now > until:
                return _Outcome([f"not READY again within {_RETURN_S:.0f} s of {awaited.what} to {awaited.stage}"])
        screen.update()
        time.sleep(_NAP_S)
    return _Outcome()


def _spent(run: Attached) -> bool:
    """Whether one more loss would be too many for the run's restart budget."""
    plan, now = run.segments.plan, time.monotonic_ns()
    recent = [loss for loss in run.losses.all if now - loss.seen_ns < plan.restart_window_s * 1_000_000_000]
    return len(recent) >= plan.restart_budget


def _returned(run: Attached, injector: Outsider, strike: Strike, before: Mapping[str, int]) -> bool:
    """Whether the run is READY again after a fault: with a replacement, or, after a short pause, with the stage itself."""
    if run.lifecycle is not Lifecycle.READY:
        return False
    if isinstance(injector, Pauser) and injector.short:
        return run.word(strike.stage, c.S_HEARTBEAT_NS) > strike.time_ns + injector.pause_s * 1e9
    roles = ROLES if strike.stage == LAUNCHER else (strike.stage,)
    return all(
        run.word(role, c.S_GENERATION) > before[role] and run.word(role, c.S_STATE) >= c.StageState.WARM
        for role in roles
    )


def _ended(run: Attached, injector: Outsider, awaited: Strike | None) -> _Outcome:
    """What the end of the run says of the faults."""
    failure = read_status(run.folder).reasons.get("failure")
    if failure:
        return _Outcome([f"the run failed: {failure}"])
    if awaited:
        return _Outcome(doubts=[f"the run ended before it was READY again after {awaited.what} to {awaited.stage}"])
    return _Outcome(doubts=[f"the run was over after {len(injector.strikes)} of {injector.planned} faults"])


def _why_not(run: Attached) -> str:
    """Why there was no moment to strike at."""
    run_state = c.RunState(int(run.segments.control[c.P_RUN])).name
    reasons = "; ".join(read_status(run.folder).reasons.values())
    if run.lifecycle is not Lifecycle.READY or run_state != "RUNNING":
        return f"the run is {run.lifecycle.name}, {run_state}" + (f" ({reasons})" if reasons else "")
    return "the stage took too few inputs"


def _judge(
    scenario: Scenario, options: Options, run: Attached, injector: Outsider, outcome: _Outcome, lost: int
) -> Verdict:
    """lost: market events that the strategy lost meanwhile, counted: in realtime old news is worse than none."""
    strikes = injector.strikes
    losses = [loss for loss in run.losses.all if loss.seen_ns >= run.came_ns]
    pairs = detected(strikes, losses)
    back = [max(x.back_ns for x in losses if x.seen_ns == loss.seen_ns) - loss.seen_ns for _, loss in pairs]
    failures = list(outcome.failures)
    if isinstance(injector, Pauser) and injector.short and losses:
        failures.append("a stage was replaced that was only late")
    stage = f" --stage {options.stage}" if options.stage else ""
    kills = f" --kills {options.kills}" if "kills" in scenario.takes else ""
    return Verdict(
        scenario=scenario.name,
        seed=options.seed,
        verdict=FAIL if failures else INCONCLUSIVE if outcome.doubts else PASS,
        problems=failures + outcome.doubts,
        kills=sum(s.what == "SIGKILL" for s in strikes),
        strikes=list(strikes),
        restarts=len(losses),
        digest=None,
        twin_digest=None,
        lost=lost,
        duplicated=None,
        recovery_ms=spread([round(ns / 1e6, 3) for ns in back if ns > 0]),
        detection_ms=spread([round((loss.seen_ns - strike.time_ns) / 1e6, 3) for strike, loss in pairs]),
        lifecycle=[[round((ch.time_ns - run.came_ns) / 1e9, 6), ch.after.name, ch.reason] for ch in run.changes],
        orphans=[],
        zombies=[],
        leaked_segments=[],
        descriptors={},
        notes=["the run has no undisturbed twin: nothing is said of its digest, or of what was doubled"],
        repeat=f"ringsim chaos {scenario.name} --run {run.segments.plan.run_id} --seed {options.seed}{kills}{stage}",
    )
