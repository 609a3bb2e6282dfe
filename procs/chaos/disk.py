"""What is done to a run's disk and memory, from outside: real locks, limits and damage where any Linux machine allows them
without rights, else one word of the control page (ringsim.store.fault).

Each injector strikes once, when persistence has stored so many records that the seed says, and may do more in later turns.
"""

import contextlib
import os
import random
import resource
import select
import signal
import sqlite3
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from procs.chaos.inject import Strike, inputs_of
from procs.supervisor import PERSISTENCE_LAG, Supervisor
from procs.watchdog import Child
from ringsim.control import S_FAULT, S_FAULT_FROM, S_FAULT_UNTIL, S_STEPS, Stage, block
from ringsim.lifecycle import Lifecycle
from ringsim.limits import EXECUTION_OUT, STRATEGY_OUT
from ringsim.store.fault import Fault
from ringsim.store.runlog import NAME as LOG_NAME

_LEAST_S, _MOST_S = 1.0, 10.0  # a lock, a full disk: longer than one round of the store's tries; not for ever
_DEATH_S = 10.0
_PAGE_BYTES = 4096
_AT = block(Stage.PERSISTENCE)


class Once:
    """One fault. gap: (least, most) records that persistence has stored before. what: the fault's name in the verdict."""

    what = ""

    def __init__(self, seed: int, gap: tuple[int, int]) -> None:
        self.chance = random.Random(seed)
        self.at = self.chance.randint(*gap)
        self.strikes: list[Strike] = []
        self.planned = 1

    def each_turn(self, parent: Supervisor) -> None:
        if parent.segments is None:
            return
        if self.strikes:
            self.afterwards(parent)
            return
        inputs = inputs_of(parent, "persistence")
        if parent.lifecycle is Lifecycle.READY and inputs >= self.at and self.strike(parent):
            self.strikes.append(Strike(self.what, "persistence", inputs, time.monotonic_ns()))

    def strike(self, parent: Supervisor) -> bool:
        """Do it; False if that is not possible now."""
        raise NotImplementedError

    def afterwards(self, parent: Supervisor) -> None:
        """Called in every turn after the strike, also in the one in which the run is over."""

    def is_time_to_heal(self, parent: Supervisor) -> bool:
        """Whether the fault has shown: it lasted, and the run has said why it is DEGRADED. Or it never will."""
        for_s = (time.monotonic_ns() - self.strikes[0].time_ns) / 1e9
        shown = for_s > _LEAST_S and ": " in parent.reasons.get(PERSISTENCE_LAG, "")
        return shown or for_s > _MOST_S or parent.finished


def _child(parent: Supervisor) -> Child | None:
    return next((c for c in parent.children.values() if c.role == "persistence" and not c.stalled), None)


def _send(child: Child, number: signal.Signals) -> bool:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(child.pidfd, number)
        return True
    return False


class Locker(Once):
    """Another program, this one, begins to write to the run's database and takes its time."""

    what = "lock"
    _other: sqlite3.Connection | None = None

    def strike(self, parent: Supervisor) -> bool:
        other = sqlite3.connect(parent.plan.database, timeout=0, isolation_level=None)
        try:
            other.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:  # persistence is in the middle of a batch
            other.close()
            return False
        self._other = other
        return True

    def afterwards(self, parent: Supervisor) -> None:
        if self._other is not None and self.is_time_to_heal(parent):
            self._other.execute("ROLLBACK")
            self._other.close()
            self._other = None


class Refusal(Once):
    """Every step at the disk fails, until the fault has shown; with `for_good` to the end."""

    def __init__(self, seed: int, gap: tuple[int, int], fault: Fault, *, for_good: bool = False) -> None:
        super().__init__(seed, gap)
        self.what, self.fault, self.for_good = fault.name, fault, for_good

    def strike(self, parent: Supervisor) -> bool:
        assert parent.segments is not None
        words = parent.segments.control
        first, last = self.steps(int(words[_AT + S_STEPS]))
        words[_AT + S_FAULT_FROM], words[_AT + S_FAULT_UNTIL] = first, last
        words[_AT + S_FAULT] = self.fault
        return True

    def steps(self, taken: int) -> tuple[int, int]:
        """The first step that fails, and the first that does not any more."""
        return taken, 1 << 62

    def afterwards(self, parent: Supervisor) -> None:
        assert parent.segments is not None
        if not self.for_good and self.is_time_to_heal(parent):
            parent.segments.control[_AT + S_FAULT] = 0


def filled(lags: Mapping[str, int], capacities: Mapping[str, int]) -> bool:
    """Whether persistence is far behind in both rings, and one of their producers has no room for the worst of one input."""
    worst = {"orders": STRATEGY_OUT, "reports": EXECUTION_OUT}
    full = any(lags[ring] > capacities[ring] - n for ring, n in worst.items())
    return full and all(lags[ring] > capacities[ring] // 4 for ring in worst)


class Slow(Refusal):
    """Every step at the disk takes long, until both rings are `filled`."""

    def __init__(self, seed: int, gap: tuple[int, int]) -> None:
        super().__init__(seed, gap, Fault.SLOW)

    def is_time_to_heal(self, parent: Supervisor) -> bool:
        assert parent.segments is not None
        for_s = (time.monotonic_ns() - self.strikes[0].time_ns) / 1e9
        rings = {name: parent.segments.rings[name] for name in ("orders", "reports")}
        lags = {name: ring.lag()["persistence"] for name, ring in rings.items()}
        shown = filled(lags, {name: ring.capacity for name, ring in rings.items()})
        return shown or for_s > 3 * _MOST_S or parent.finished


class OneStep(Refusal):
    """One step at the disk fails, some steps from now, and none after it."""

    def steps(self, taken: int) -> tuple[int, int]:
        first = taken + 2 + self.chance.randrange(20)
        return first, first + 1

    def afterwards(self, parent: Supervisor) -> None:
        """The words may stay: that step is behind us."""


class ShortWrite(Once):
    """The system takes a part of a write and refuses the rest (RLIMIT_FSIZE), until the process is replaced."""

    what = "short write"

    def strike(self, parent: Supervisor) -> bool:
        child = _child(parent)
        if child is None:
            return False
        database, folder = Path(parent.plan.database), Path(parent.plan.folder)
        files = (database, Path(f"{database}-wal"), folder / LOG_NAME)
        size_bytes = max(path.stat().st_size for path in files if path.exists())
        try:
            _, most = resource.prlimit(child.pid, resource.RLIMIT_FSIZE)
            limit = size_bytes + self.chance.randrange(1, 2 * _PAGE_BYTES)
            resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (limit, most))
        except ProcessLookupError:
            return False
        return True


class Damage(Once):
    """Persistence is killed and, before anybody can replace it, what it left on disk is damaged.

    damage: called with the database's path and a source of chance; False if there was nothing to damage.
    """

    what = "SIGKILL"

    def __init__(self, seed: int, gap: tuple[int, int], damage: Callable[[Path, random.Random], bool]) -> None:
        super().__init__(seed, gap)
        self.damage = damage

    def strike(self, parent: Supervisor) -> bool:
        child = _child(parent)
        if child is None or not _send(child, signal.SIGKILL):
            return False
        select.select([child.pidfd], [], [], _DEATH_S)
        return self.damage(Path(parent.plan.database), self.chance)


def overwrite_page(database: Path, chance: random.Random) -> bool:
    """Bring the log into the file, as any reader that comes last does, and put noise over one of the file's pages."""
    other = sqlite3.connect(database)
    other.execute("SELECT count(*) FROM ring_records").fetchone()
    other.close()
    page = chance.randrange(database.stat().st_size // _PAGE_BYTES)
    with database.open("r+b") as file:
        file.seek(page * _PAGE_BYTES)
        file.write(chance.randbytes(_PAGE_BYTES))
    return True


def cut_log(database: Path, chance: random.Random) -> bool:
    """Cut the write-ahead log somewhere in its first three quarters: transactions that were acknowledged are gone."""
    log = Path(f"{database}-wal")
    if not log.exists() or not log.stat().st_size:
        return False
    os.truncate(log, chance.randrange(log.stat().st_size * 3 // 4))
    return True


class NoShm(Once):
    """/dev/shm takes nothing any more (RLIMIT_FSIZE, for the launcher alone) when the launcher has to be replaced."""

    what = "SIGKILL"
    _ROOM_BYTES = 1 << 16  # enough for a status and a control page, for no ring
    _killed = 0
    _before: tuple[int, int] | None = None

    def strike(self, parent: Supervisor) -> bool:
        if parent.launcher is None:
            return False
        self._before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(
            resource.RLIMIT_FSIZE, (self._ROOM_BYTES, self._before[1])
        )  # inherited by what is exec'd next
        self._killed = parent.launcher.pid
        parent.launcher.kill()
        return True

    def afterwards(self, parent: Supervisor) -> None:
        replaced = parent.launcher is None or parent.launcher.pid != self._killed
        if self._before is not None and (replaced or parent.finished):
            resource.setrlimit(resource.RLIMIT_FSIZE, self._before)
            self._before = None


class NoMemory(Once):
    """Whoever is forked next gets no memory beyond what it is forked with (RLIMIT_AS, of the launcher); then persistence dies."""

    what = "SIGKILL"

    def strike(self, parent: Supervisor) -> bool:
        child = _child(parent)
        if child is None or parent.launcher is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            _, most = resource.prlimit(parent.launcher.pid, resource.RLIMIT_AS)
            resource.prlimit(parent.launcher.pid, resource.RLIMIT_AS, (_PAGE_BYTES, most))
        return _send(child, signal.SIGKILL)
