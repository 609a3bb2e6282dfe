"""What every face shows of a running pipeline: read from shared memory, never waited for, nothing written.

Invariant: a screen that is slow, stopped or gone changes nothing for the run: it has no cursor that anybody gates on, and
its observers lose what they are too slow for, counted.
"""

import contextlib
import time
from collections import deque
from pathlib import Path

import msgspec
import numpy as np
import psutil

from procs.janitor import lives
from procs.status import read_status
from procs.topology import HOPS, Plan, Segments
from ringsim import control as c
from ringsim.errors import BadInput, SegmentError
from ringsim.lifecycle import Lifecycle
from ringsim.market.capture import open_capture
from ringsim.records import ORDER, REPORT, OrderKind, Reason, ReportKind, Side, Trading
from ringsim.ring import OK, poll
from ringsim.telemetry.cell import read_cell
from ringsim.telemetry.histogram import summarize_us
from ringsim.units import Instrument

WAITS = {0: "", 1: "input", 2: "room", 3: "journal", 4: "parent", 5: "lock", 6: "disk"}
_NEWEST = 64


class StageView(msgspec.Struct):
    """One process, as it says itself and as the system sees it."""

    name: str
    pid: int
    state: str
    generation: int
    heartbeat_ms: float
    inputs: int
    rate: float  # inputs a second since the last look
    waits_for: str
    cpu_percent: float
    rss_mib: float
    is_stage: bool = True  # the parent and the launcher have neither inputs nor a heartbeat


class RingView(msgspec.Struct):
    """One ring: how full, who is behind, who holds it up."""

    name: str
    capacity: int
    published: int
    lag: dict[str, int]
    lost: dict[str, int]
    gated_by: str | None

    @property
    def fill(self) -> float:
        """Share of the ring that its slowest reader has not read, 0..1."""
        return min(1.0, max(self.lag.values(), default=0) / self.capacity)


class Line(msgspec.Struct):
    """One order, report or refusal, in words."""

    time_ns: int
    kind: str
    side: str
    qty_lots: int
    px_ticks: int
    reason: str


class Happening(msgspec.Struct, frozen=True):
    """One thing that befell a run on purpose. at_s: since its start. grade: of procs.notes."""

    at_s: float
    text: str
    grade: int


class View(msgspec.Struct):
    """Everything at one moment."""

    run_id: str
    lifecycle: str
    run_state: str
    trading: str
    reasons: list[str]
    stages: list[StageView]
    rings: list[RingView]
    market: dict[str, int]
    account: dict[str, int]
    hops: dict[str, dict[str, float]]
    orders: list[Line]
    reports: list[Line]
    missed: int  # records that this reader was too slow for
    uptime_s: float
    feed: dict[str, int] = {}
    story: list[Happening] = []  # of a chaos scenario; oldest first


class ReadModel:
    """Attach to a run by its folder, or read the segments of one's own run. Call `look` as often as one likes."""

    def __init__(self, segments: Segments, *, owner: bool) -> None:
        self.segments, self.owner = segments, owner
        self.started = time.monotonic()
        self._last: dict[str, tuple[float, int]] = {}
        self._processes: dict[int, psutil.Process] = {}
        self._observers = {n: segments.rings[n].observer() for n in ("orders", "reports")}
        self._buffers = {"orders": np.zeros(1, ORDER), "reports": np.zeros(1, REPORT)}
        self._newest: dict[str, deque[Line]] = {n: deque(maxlen=_NEWEST) for n in ("orders", "reports")}

    @classmethod
    def attach(cls, folder: Path) -> "ReadModel":
        """The run in `folder`. BadInput if it is not running (any more)."""
        try:
            return cls(Segments(Plan.load(folder / "plan.json"), create=False), owner=True)
        except (OSError, SegmentError, msgspec.DecodeError):
            raise BadInput(f"no run is going on in {folder}") from None

    def close(self) -> None:
        """Unmap what was attached."""
        if self.owner:
            self.segments.close()

    def look(self) -> View:
        """The state of now."""
        words = self.segments.control
        self._follow()
        return View(
            run_id=self.segments.plan.run_id,
            lifecycle=Lifecycle(int(words[c.P_LIFECYCLE])).name,
            run_state=c.RunState(int(words[c.P_RUN])).name,
            trading=self._trading(),
            reasons=self._reasons(),
            stages=[*(self._stage(role) for role in self.segments.plan.roles), *self._others()],
            rings=[self._ring(name) for name in self.segments.rings],
            market=self._cell(c.CELL_MARKET, c.MARKET_CELL),
            account=self._cell(c.CELL_ACCOUNT, c.ACCOUNT_CELL),
            hops={name: summarize_us(self.segments.hops[k]) for k, name in enumerate(HOPS)},
            orders=list(self._newest["orders"]),
            reports=list(self._newest["reports"]),
            missed=sum(int(o.at[2]) for o in self._observers.values()),
            uptime_s=self._uptime_s(),
            feed=self._cell(c.CELL_FEED, c.FEED_CELL),
        )

    def over(self) -> bool:
        """Whether the run has ended: in good order, or because its parent is gone."""
        words = self.segments.control
        owner, start = int(words[c.P_OWNER_PID]), int(words[c.P_OWNER_START])
        return int(words[c.P_RUN]) == c.RunState.STOPPED or (owner > 0 and not lives(owner, start))

    def instrument(self) -> Instrument:
        """What the run trades, and the grid of its integers."""
        return open_capture(Path(self.segments.plan.capture_folder)).meta.instrument

    def _trading(self) -> str:
        """Halted if any writer says so: the operator, or a stage that keeps an account."""
        words = self.segments.control
        said = [int(words[c.P_TRADING])] + [
            int(words[c.block(c.stage_of(r)) + c.S_TRADING]) for r in self.segments.plan.roles
        ]
        return Trading(max(said)).name

    def _reasons(self) -> list[str]:
        """The parent's words for why the run is not READY, from its folder."""
        return list(read_status(Path(self.segments.plan.folder)).reasons.values())

    def _stage(self, role: str) -> StageView:
        words, at = self.segments.control, c.block(c.stage_of(role))
        now, inputs = time.monotonic(), int(words[at + c.S_INPUTS])
        before, count = self._last.get(role, (now, inputs))
        self._last[role] = (now, inputs)
        beat = int(words[at + c.S_HEARTBEAT_NS])
        cpu, rss = self._usage(int(words[at + c.S_PID]))
        return StageView(
            name=role,
            pid=int(words[at + c.S_PID]),
            state=self._state(role),
            generation=int(words[at + c.S_GENERATION]),
            heartbeat_ms=(time.monotonic_ns() - beat) / 1e6 if beat else 0.0,
            inputs=inputs,
            rate=(inputs - count) / (now - before) if now > before else 0.0,
            waits_for=WAITS.get(int(words[at + c.S_WAITS]), "?"),
            cpu_percent=cpu,
            rss_mib=rss,
        )

    def _state(self, role: str) -> str:
        """What a stage says of itself. Persistence has nothing to do whenever all is stored: it is done after the others."""
        words = self.segments.control
        states = {r: c.StageState(int(words[c.block(c.stage_of(r)) + c.S_STATE])) for r in self.segments.plan.roles}
        waits = role == "persistence" and any(state is not c.StageState.DONE for state in states.values())
        return (c.StageState.RUNNING if waits and states[role] is c.StageState.DONE else states[role]).name

    def _others(self) -> list[StageView]:
        """The parent, and the launcher, of which every stage is a child."""
        words = self.segments.control
        parent, launcher = int(words[c.P_OWNER_PID]), 0
        for role in self.segments.plan.roles:
            with contextlib.suppress(psutil.Error, ValueError):
                launcher = launcher or psutil.Process(int(words[c.block(c.stage_of(role)) + c.S_PID])).ppid()
        found = []
        for name, pid in (("parent", parent), ("launcher", launcher)):
            cpu, rss = self._usage(pid)
            state = "RUNNING" if rss else "ABSENT"
            found.append(StageView(name, pid, state, 0, 0.0, 0, 0.0, "", cpu, rss, is_stage=False))
        return found

    def _uptime_s(self) -> float:
        """Since the feed began; before that, since this reader came."""
        began = int(self.segments.control[c.P_START_NS])
        return (time.monotonic_ns() - began) / 1e9 if began else time.monotonic() - self.started

    def _usage(self, pid: int) -> tuple[float, float]:
        try:
            process = self._processes.get(pid) or psutil.Process(pid)
            self._processes[pid] = process
            return process.cpu_percent(), process.memory_info().rss / 2**20
        except (psutil.Error, ValueError):
            self._processes.pop(pid, None)
            return 0.0, 0.0

    def _ring(self, name: str) -> RingView:
        ring = self.segments.rings[name]
        return RingView(name, ring.capacity, ring.published(), ring.lag(), ring.lost(), ring.who_gates())

    def _cell(self, start: int, names: tuple[str, ...]) -> dict[str, int]:
        value = np.zeros(len(names), np.int64)
        if not read_cell(self.segments.control, start, value):
            return {}
        return dict(zip(names, value.tolist(), strict=True))

    def _follow(self) -> None:
        """Read what the rings say since the last look; a slow screen loses, and the loss is counted."""
        for name, observer in self._observers.items():
            buffer = self._buffers[name]
            for _ in range(4 * _NEWEST):
                if not poll(observer, buffer.view(np.int64), 0) & OK:
                    break
                self._newest[name].append(_order_line(buffer[0]) if name == "orders" else _report_line(buffer[0]))


def _order_line(r: np.void) -> Line:
    if r["kind"] == OrderKind.SNAPSHOT:  # its other fields are FEATURES
        return Line(int(r["created_ns"]), OrderKind.SNAPSHOT.name, "", 0, 0, Reason.NONE.name)
    return Line(
        int(r["created_ns"]), OrderKind(int(r["kind"])).name, Side(int(r["side"])).name, int(r["qty_lots"]),
        int(r["px_ticks"]), Reason(int(r["reason"])).name,
    )  # fmt: skip


def _report_line(r: np.void) -> Line:
    kind = ReportKind(int(r["kind"]))
    if kind is ReportKind.ACCOUNT:
        return Line(int(r["order_trigger_ns"]), kind.name, "", 0, 0, Reason(int(r["reason"])).name)
    return Line(
        int(r["filled_ns"]) or int(r["acted_ns"]) or int(r["received_ns"]), kind.name, Side(int(r["side"])).name,
        int(r["qty_lots"]), int(r["px_ticks"]), Reason(int(r["reason"])).name,
    )  # fmt: skip
