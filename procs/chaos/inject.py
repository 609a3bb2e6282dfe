"""When and whom to strike. An injector is called in every turn of the parent's loop; it acts by signals alone."""

import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from procs.supervisor import Supervisor
from procs.topology import Segments
from procs.watchdog import Child
from ringsim.control import S_INPUTS, S_TRAP, S_TRAP_AT, S_TRAP_HOW, S_TRAP_NS, block, stage_of
from ringsim.fold.trap import How, Point
from ringsim.lifecycle import Lifecycle
from ringsim.limits import HEARTBEAT_STALE_NS


class Strike(msgspec.Struct, frozen=True):
    """One fault that was injected."""

    what: str
    stage: str
    inputs: int  # of that stage, when it was struck
    time_ns: int  # CLOCK_MONOTONIC, of the fault itself
    point: str = ""  # ringsim.fold.trap.Point, if it died at a named one


class Struck(Protocol):
    """What an injector that acts from outside needs of a run: its parent here, or procs.chaos.attached."""

    @property
    def lifecycle(self) -> Lifecycle:
        """As the parent last said."""

    @property
    def children(self) -> Mapping[int, Child]:
        """Living stages, by pidfd."""

    @property
    def segments(self) -> Segments | None:
        """The run's memory, to be written where it says so."""

    @property
    def restarts(self) -> int:
        """Replacements so far."""

    @property
    def launcher(self) -> "Mortal | None":
        """The launcher's process."""


class Mortal(Protocol):
    """A process."""

    def kill(self) -> None:
        """SIGKILL."""


class Injector(Protocol):
    """What a scenario does to a run."""

    strikes: list[Strike]
    planned: int  # faults, if the run is long enough

    def each_turn(self, parent: Supervisor) -> None:
        """Strike if it is time."""


@runtime_checkable
class Closing(Protocol):
    """An injector that changed more than the run, and must put that right."""

    def close(self) -> None:
        """After the run, however it ended."""


def inputs_of(parent: Struck, role: str) -> int:
    """How many inputs a stage has taken, as it last said."""
    assert parent.segments is not None
    return int(parent.segments.control[block(stage_of(role)) + S_INPUTS])


class Signaller:
    """Sends one signal to one stage after the other, each after some more inputs of that stage.

    stages: drawn from in turn. gap: (least, most) inputs between two strikes at a stage, of that stage, or of the stage `by`.
    The schedule follows from the seed.
    """

    def __init__(
        self,
        number: signal.Signals,
        stages: Sequence[str],
        count: int,
        seed: int,
        gap: tuple[int, int],
        by: str | None = None,
    ) -> None:
        self.number, self.stages, self.count, self.gap, self.by = number, list(stages), count, gap, by
        self.strikes: list[Strike] = []
        self.planned = count
        self._chance = random.Random(seed)
        self._next_at: dict[str, int] = {}
        self._last_pid = 0

    def each_turn(self, parent: Struck) -> None:
        if parent.lifecycle is not Lifecycle.READY or len(self.strikes) >= self.count:
            return
        role = self.stages[len(self.strikes) % len(self.stages)]
        child = next((c for c in parent.children.values() if c.role == role and not c.stalled), None)
        if child is not None and child.pid == self._last_pid:
            return  # it has been struck, and the parent has not seen it yet
        progress = inputs_of(parent, self.by or role)
        if role not in self._next_at:
            self._next_at[role] = progress + self._chance.randint(*self.gap)
        if child is None or progress < self._next_at[role]:
            return
        inputs = inputs_of(parent, role)
        del self._next_at[role]
        now = time.monotonic_ns()  # before the signal: it may be seen at once
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(child.pidfd, self.number)
            self._last_pid = child.pid
            self.strikes.append(Strike(self.number.name, role, inputs, now))


class Pauser(Signaller):
    """Stops a stage and lets it go on after `pause_s`."""

    def __init__(self, stage: str, pause_s: float, seed: int, gap: tuple[int, int]) -> None:
        super().__init__(signal.SIGSTOP, [stage], 1, seed, gap)
        self.pause_s = pause_s
        self._pid = 0

    def each_turn(self, parent: Struck) -> None:
        before = len(self.strikes)
        super().each_turn(parent)
        if len(self.strikes) > before:
            self._pid = next((c.pid for c in parent.children.values() if c.role == self.stages[0]), 0)
        elif self._pid and time.monotonic_ns() - self.strikes[-1].time_ns > self.pause_s * 1e9:
            self.go_on()

    @property
    def short(self) -> bool:
        """Whether it is too short for the stage to count as stalled."""
        return self.pause_s < HEARTBEAT_STALE_NS / 1e9

    def go_on(self) -> None:
        """Let the stage go on, if it is stopped and still there. Idempotent."""
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGCONT)
            self._pid = 0


class Trapper:
    """Keeps a trap set for each stage: when one has fired, the stage's next is set, and the stage dies at that very point.

    traps: of each stage, its points in order, perhaps without end. planned: deaths in all, of which those whose trap is set
    by then may make a few more. gap: (least, most) inputs that the stage takes first; a point of a restart (RESTART_HALF,
    REDO) is met by the replacement of the one before. Which instructions a stage dies at follows from its points and the
    seed, and not from the machine.
    """

    what = "SIGKILL"

    def __init__(self, traps: Mapping[str, Iterator[Point]], planned: int, seed: int, gap: tuple[int, int]) -> None:
        self.traps, self.planned, self.gap = dict(traps), planned, gap
        self.strikes: list[Strike] = []
        self._chance = {stage: random.Random(f"{seed} {stage}") for stage in traps}
        self._set: dict[str, Point] = {}

    def each_turn(self, parent: Struck) -> None:
        if parent.segments is None:
            return
        words = parent.segments.control
        for role, points in self.traps.items():
            at = block(stage_of(role))
            if words[at + S_TRAP]:
                continue
            fired = self._set.pop(role, None)
            if fired is not None:
                inputs = int(words[at + S_TRAP_AT])
                self.strikes.append(Strike(self.what, role, inputs, int(words[at + S_TRAP_NS]), fired.name))
            point = next(points, None) if len(self.strikes) < self.planned else None
            if point is not None:
                again = point in (Point.RESTART_HALF, Point.REDO)
                gap = self._chance[role].randint(*self.gap)
                self._set[role] = point
                words[at + S_TRAP_AT] = 0 if again else inputs_of(parent, role) + gap
                words[at + S_TRAP] = point


class Hanger(Trapper):
    """A stage hangs once, in the middle of its kernel: it uses its core and does not beat."""

    what = "hang"

    def __init__(self, stage: str, seed: int, gap: tuple[int, int]) -> None:
        where = Point.FOLDED if stage == "persistence" else Point.JOURNALLED  # it has no journal
        super().__init__({stage: iter([where])}, 1, seed, gap)
        self._at = block(stage_of(stage)) + S_TRAP_HOW

    def each_turn(self, parent: Struck) -> None:
        if parent.segments is not None:
            # Taken back once the stage is replaced: its successor meets no trap.
            parent.segments.control[self._at] = How.HANGS if parent.restarts == 0 else How.KILLED
        super().each_turn(parent)


class LauncherKiller:
    """Kills the launcher once; its stages go with it."""

    def __init__(self, seed: int, gap: tuple[int, int]) -> None:
        self.strikes: list[Strike] = []
        self.planned = 1
        self._at = random.Random(seed).randint(*gap)

    def each_turn(self, parent: Struck) -> None:
        inputs = inputs_of(parent, "ingest")
        if (
            parent.lifecycle is Lifecycle.READY
            and not self.strikes
            and inputs >= self._at
            and parent.launcher is not None
        ):
            now = time.monotonic_ns()
            parent.launcher.kill()
            self.strikes.append(Strike("SIGKILL", "launcher", inputs, now))


class ParentKiller:
    """The parent kills itself, with everything that hangs on it, once ingest has taken some messages."""

    def __init__(self, seed: int, gap: tuple[int, int]) -> None:
        self.strikes: list[Strike] = []
        self.planned = 1
        self.at = random.Random(seed).randint(*gap)

    def kill_own(self, parent: Supervisor) -> None:
        """In the run that dies."""
        if parent.lifecycle is Lifecycle.READY and inputs_of(parent, "ingest") >= self.at:
            os.kill(os.getpid(), signal.SIGKILL)

    def each_turn(self, parent: Supervisor) -> None:
        """In the run that goes on: nothing more."""
