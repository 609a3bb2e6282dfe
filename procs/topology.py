"""What a run consists of: its segments, rings and who reads them, by name and size. The parent makes them, stages map them.

    market  ──> strategy (gating; free under the realtime clock unless asked otherwise), execution (gating)
    orders  ──> execution, persistence (gating)
    reports ──> strategy, persistence (gating)

Of several strategies each has a ring of its own for its orders, and a stage merges them into the one that the others read:

    market   ──> strategy, strategy-1, ... , execution (gating)
    orders-0, orders-1, ...   ──> merge (gating) ──> orders ──> execution, persistence (gating)
    reports  ──> strategy, strategy-1, ... , persistence (gating)

Invariant: capacities hold what the protocols need (P5): orders >= credits + the worst of one input, reports >= the worst.
"""

import os
from pathlib import Path
from typing import Self

import msgspec
import numpy as np

from procs.states import STATE_DTYPES
from ringsim.broker.params import BrokerParams
from ringsim.config import Capacities
from ringsim.control import CONTROL_WORDS, P_OWNER_PID, P_OWNER_START, control_words
from ringsim.errors import BadInput
from ringsim.fold.commit import GOOD, Copies, copies_size, open_copies
from ringsim.fold.journal import Journal, journal_size, open_journal
from ringsim.fold.merge import DESK_MIN
from ringsim.limits import (
    CANCEL_ALL_CREDITS,
    CREDITS,
    EXECUTION_OUT,
    MAX_CONSUMERS,
    RESTART_BUDGET,
    RESTART_WINDOW_NS,
    STORAGE_PATIENCE_S,
    STRATEGY_OUT,
)
from ringsim.records import ACCOUNT, FEATURES, MARKET_EVENT, ORDER, REPORT
from ringsim.ring import RingSegment
from ringsim.ring.ring import Mode, process_start
from ringsim.shm import Segment, segment_name
from ringsim.store.files import write_whole
from ringsim.strategy.fold import StrategyParams
from ringsim.strategy.user import UserFile
from ringsim.telemetry.histogram import HISTOGRAM

RECORD_DTYPES = {"market": MARKET_EVENT, "orders": ORDER, "reports": REPORT}

# Whose inputs are journalled, and as what their peer's records are read. (Ingest's inputs are numbers of messages.)
JOURNALS = (("ingest", ORDER, FEATURES), ("strategy", REPORT, ACCOUNT), ("execution", ORDER, FEATURES))

ROLES = ("ingest", "strategy", "execution", "persistence")
STRATEGIES_MAX = MAX_CONSUMERS - 1  # as processes: beside them somebody else reads the market, and the reports

# Hops measured, each histogram with one writing stage. Times from the arrival of the bytes unless said otherwise.
HOPS = (
    "publish",  # ingest: arrival -> in the market ring
    "tick_to_strategy",  # strategy: arrival -> taken
    "decision",  # strategy: taken -> orders published
    "tick_to_order",  # execution: arrival -> the broker has the order, of orders that a market event caused
    "order_hop",  # execution: order created -> the broker has it
    "exchange",  # execution: the broker has it -> the exchange acted (the latency model)
    "tick_to_fill",  # execution: arrival of the bytes that caused the fill -> its report is published
    "end_to_end",  # execution: arrival of the bytes that caused the order -> fill
    "late",  # ingest: intended arrival -> taken: the generator's own lateness
)


class StrategyPlan(msgspec.Struct, frozen=True):
    """One strategy of a run."""

    params: StrategyParams
    schedule: str  # file of the orders that a scripted one sends; empty: none
    user: UserFile | None  # of a user's own, the copy in the run's folder


class Plan(msgspec.Struct, frozen=True):
    """Everything a stage must know to map a run and work in it. Written to plan.json in the run's folder."""

    run_id: str
    folder: str
    simulated: bool
    speed: tuple[int, int]  # of the feed, a fraction; (0, 1): as fast as it goes
    lossy_market: bool
    capacities: Capacities
    capture_folder: str
    messages: int  # of the capture that belong to the run
    base_latency_ns: int
    strategies: tuple[StrategyPlan, ...]  # by number
    broker: BrokerParams
    database: str
    batch_size: int
    warmup_ticks: int
    rehearse: bool  # whether a waiting stage stays in practice (realtime clock)
    slice_us: int  # how long a stage works between two returns to Python
    waits: dict[str, str]  # wait strategy of each stage
    cores: dict[str, list[int]]  # cores of each stage; empty: any
    pause_us: int = (
        0  # after so few inputs that a simulated run can be watched and struck; 0: it goes as fast as it can
    )
    restart_budget: int = RESTART_BUDGET
    restart_window_s: int = RESTART_WINDOW_NS // 1_000_000_000
    storage_patience_s: int = STORAGE_PATIENCE_S
    delays: str = ""  # file of the latencies that the broker looks up; empty: none

    @property
    def strategy_roles(self) -> tuple[str, ...]:
        """The strategies' stages, by number."""
        return ("strategy", *(f"strategy-{number}" for number in range(1, len(self.strategies))))

    @property
    def roles(self) -> tuple[str, ...]:
        """The stages of the run, in the order in which records pass them."""
        several = len(self.strategies) > 1
        return ("ingest", *self.strategy_roles, *(("merge",) if several else ()), "execution", "persistence")

    def save(self) -> Path:
        """Raises StoreFull and the like."""
        path = Path(self.folder) / "plan.json"
        write_whole(path, msgspec.json.format(msgspec.json.encode(self)))
        return path

    @classmethod
    def load(cls, path: Path) -> Self:
        return msgspec.json.decode(path.read_bytes(), type=cls)


def check_capacities(capacities: Capacities) -> None:
    """BadInput if a ring is too small for what one input can cause; the message names the smallest that will do."""
    orders_min, reports_min = CREDITS + CANCEL_ALL_CREDITS + STRATEGY_OUT, EXECUTION_OUT
    if capacities.orders < orders_min:
        need = 1 << (orders_min - 1).bit_length()
        raise BadInput(
            f"order_channel_size {capacities.orders} is too small: {CREDITS} credits and one input's worst need {need}"
        )
    if capacities.reports < reports_min:
        raise BadInput(
            f"persist_channel_size {capacities.reports} is too small: one input can cause {EXECUTION_OUT} reports"
        )


def _rings(plan: Plan) -> dict[str, tuple[np.dtype, int, str, list[tuple[str, Mode]]]]:
    """Each ring: its record, capacity, producer and consumers."""
    sizes, strategies = plan.capacities, plan.strategy_roles
    market: Mode = "free" if plan.lossy_market else "gating"
    alone = len(strategies) == 1
    desks = {
        desk_name(number): (ORDER, max(sizes.orders, DESK_MIN), role, gating("merge"))
        for number, role in enumerate(strategies)
    }
    return {
        "market": (MARKET_EVENT, sizes.market, "ingest", [*((s, market) for s in strategies), *gating("execution")]),
        **({} if alone else desks),
        "orders": (ORDER, sizes.orders, "strategy" if alone else "merge", gating("execution", "persistence")),
        "reports": (REPORT, sizes.reports, "execution", gating(*strategies, "persistence")),
    }


def _memory_name(plan: Plan, what: str) -> str:
    """Of a segment; a dash would look like the end of the run's id to whoever sweeps."""
    return segment_name(plan.run_id, what.replace("-", "."))


def gating(*names: str) -> list[tuple[str, Mode]]:
    """Consumers that are waited for."""
    return [(name, "gating") for name in names]


def desk_name(number: int) -> str:
    """The ring of one of several strategies' orders."""
    return f"orders-{number}"


class Segments:
    """All shared memory of a run, mapped. The parent creates and, at the end, unlinks; everybody else attaches."""

    def __init__(self, plan: Plan, *, create: bool) -> None:
        self.plan, self.owner = plan, create
        self._plain: list[Segment] = []
        self.rings: dict[str, RingSegment] = {}
        try:
            self._map(plan, create)
        except BaseException:
            self.close()
            raise

    def _map(self, plan: Plan, create: bool) -> None:
        # First of all the page that says whose the segments are: the janitor reads it.
        self.control = control_words(self._segment("control", 8 * CONTROL_WORDS, create))
        if create:
            self.control[P_OWNER_START] = process_start(os.getpid())
            self.control[P_OWNER_PID] = os.getpid()
        for ring, (dtype, capacity, producer, consumers) in _rings(plan).items():
            name = _memory_name(plan, f"ring.{ring}")
            if create:
                self.rings[ring] = RingSegment.create(name, dtype, capacity, consumers, producer=producer)
            else:
                self.rings[ring] = RingSegment.attach(name, dtype)
        self.copies: dict[str, Copies] = {}
        self.folding = [role for role in plan.roles if role.partition("-")[0] in STATE_DTYPES]
        for stage in self.folding:
            dtype = STATE_DTYPES[stage.partition("-")[0]]
            self.copies[stage] = open_copies(self._segment(f"state.{stage}", copies_size(dtype), create), dtype)
        self.journals: dict[str, Journal] = {}
        read_as = {stage: dtypes for stage, *dtypes in JOURNALS}
        for stage in self.folding:
            peer, alternate = read_as[stage.partition("-")[0]]
            memory = self._segment(f"journal.{stage}", journal_size(plan.capacities.journal), create)
            self.journals[stage] = open_journal(memory, plan.capacities.journal, peer, alternate)
        memory = self._segment("telemetry", len(HOPS) * HISTOGRAM.itemsize, create)
        self.hops = np.ndarray(len(HOPS), HISTOGRAM, memory).view(np.recarray)

    def _segment(self, what: str, size_bytes: int, create: bool) -> memoryview:
        segment = Segment(_memory_name(self.plan, what), create=create, size_bytes=size_bytes if create else 0)
        self._plain.append(segment)
        assert segment.buf is not None
        return segment.buf

    @classmethod
    def adopt(cls, plan: Plan) -> Self:
        """Those that a killed parent has left; from now on they are this process's. SegmentError if one is not there."""
        segments = cls(plan, create=False)
        segments.owner = True
        segments.control[P_OWNER_START] = process_start(os.getpid())
        segments.control[P_OWNER_PID] = os.getpid()
        return segments

    def populate(self, role: str | None = None) -> None:
        """Touch every page, in a forked child: it has the mappings, and none of their pages, yet. role: what that stage uses."""
        others = {
            f"{kind}.{stage}" for kind in ("state", "journal") for stage in self.folding if role and stage != role
        }
        skipped = {_memory_name(self.plan, what) for what in others}
        for segment in (*self._plain, *(ring.segment for ring in self.rings.values())):
            if segment.name not in skipped:
                segment.populate()

    def good(self, stage: str) -> np.record:
        """The stage's last committed state. While the stage runs it may change under the reader."""
        copies = self.copies[stage]
        return copies.states[int(copies.header[GOOD])]

    def close(self) -> None:
        """Unmap; the creator removes the names."""
        for ring in self.rings.values():
            ring.close()
        for segment in reversed(self._plain):  # the page that says whose they are goes last
            segment.close()
            if self.owner:
                segment.unlink()
