"""Views of a run, as the read model hands them to faces: one that is well, and any at all."""

from typing import Any

from hypothesis import strategies as st

from procs.readmodel import Happening, Line, RingView, StageView, View
from procs.topology import HOPS
from ringsim.control import ACCOUNT_CELL, FEED_CELL, MARKET_CELL, RunState, StageState
from ringsim.lifecycle import Lifecycle
from ringsim.records import OrderKind, Reason, ReportKind, Side, Trading
from ringsim.units import Instrument

BTC = Instrument("BTCUSDT", "0.01", "0.00001")
NOON_NS = 1_753_790_400_000_000_000  # 2025-07-29 12:00:00 UTC
INT64 = 2**63 - 1


def line(
    ago_s: float, kind: str, side: str = "BUY", reason: str = "NONE", qty: int = 1500, px: int = 6_543_210
) -> Line:
    return Line(NOON_NS - int(ago_s * 1e9), kind, side, qty, px, reason)


def healthy(**changes: Any) -> View:
    """A run that is READY, ACTIVE and RUNNING: 0.015 BTC long, 12.34 USDT up."""
    view = View(
        run_id="20250729T120000-7f3a",
        lifecycle="READY",
        run_state="RUNNING",
        trading="ACTIVE",
        reasons=[],
        stages=[
            StageView("ingest", 4101, "RUNNING", 1, 0.4, 123_456, 12_345.6, "", 45.3, 88.2),
            StageView("strategy", 4102, "RUNNING", 1, 0.4, 1_234_567, 123_456.6, "input", 99.3, 128.2),
            StageView("execution", 4103, "RUNNING", 1, 0.4, 123_456, 12_345.6, "room", 45.3, 88.2),
            StageView("persistence", 4104, "RUNNING", 1, 0.4, 1234, 345.6, "", 1.3, 60.2),
        ],
        rings=[
            RingView("market", 16384, 1_234_567, {"strategy": 12, "execution": 4096}, {"strategy": 0, "execution": 0}, "execution"),
            RingView("orders", 1024, 3456, {"execution": 1, "persistence": 300}, {"execution": 0, "persistence": 0}, "persistence"),
            RingView("reports", 16384, 9456, {"strategy": 1, "persistence": 77}, {"strategy": 0, "persistence": 0}, "persistence"),
        ],
        market={
            "time_ns": NOON_NS, "bid_ticks": 6_543_210, "bid_lots": 53_200, "ask_ticks": 6_543_211, "ask_lots": 120_000,
            "imbalance_ppm": -532_000, "spread_mbps": 15, "seq": 99, "valid": 1,
        },
        account={
            "time_ns": NOON_NS, "position_lots": 1500, "cash": 990_308_600_000, "realized": 100_000_000,
            "unrealized": 40_000_000, "fees": 16_600_000, "equity": 1_000_123_400_000, "mark_ticks": 6_543_210,
            "open_orders": 3, "fills": 40, "submitted": 120, "accepted": 118, "provisional": 0, "adjusted": 2, "trading": 0,
        },
        hops={
            name: {"n": 12_345, "p50": 1.85, "p90": 3.1, "p95": 4.2, "p99": 7.21, "p99_9": 15.3, "p99_99": 99.1, "mean": 2.2,
                   "max": 1234.5}
            for name in HOPS
        },
        orders=[line(9, "SNAPSHOT", ""), line(2, "NEW", "SELL"), line(1, "REFUSED", "BUY", "POSITION"), line(0.2, "SIGNAL")],
        reports=[line(1.8, "ACCEPTED", "SELL"), line(1.5, "FILL", "SELL", px=6_543_299), line(0.1, "ACCOUNT", "")],
        missed=0,
        uptime_s=83.4,
        feed={"message": 1234, "messages": 9999, "gaps": 0, "stale": 0, "resyncs": 0},
    )  # fmt: skip
    for name, value in changes.items():
        setattr(view, name, value)
    return view


def empty(**changes: Any) -> View:
    """A run of which nothing is known yet."""
    lists: dict[str, Any] = {"stages": [], "rings": [], "orders": [], "reports": []}
    cells: dict[str, Any] = {"market": {}, "account": {}, "hops": {}, "feed": {}}
    return healthy(**({"lifecycle": "INIT", "uptime_s": 0.0} | lists | cells | changes))


def _names(enum: Any) -> st.SearchStrategy[str]:
    return st.sampled_from([member.name for member in enum]) | st.text(max_size=12)


_whole = st.integers(-INT64, INT64) | st.integers(0, 100_000)
_number = st.floats() | st.floats(0, 1e6)
_roles = st.sampled_from(["ingest", "strategy", "execution", "persistence"]) | st.text(max_size=20)


def _cells(names: tuple[str, ...]) -> st.SearchStrategy[dict[str, int]]:
    return st.dictionaries(st.sampled_from(names), _whole, max_size=len(names)) | st.just(dict.fromkeys(names, INT64))


def _lines(enum: Any) -> st.SearchStrategy[list[Line]]:
    return st.lists(st.builds(Line, _whole, _names(enum), _names(Side), _whole, _whole, _names(Reason)), max_size=6)


any_view = st.builds(
    View,
    run_id=st.text(max_size=40),
    lifecycle=_names(Lifecycle),
    run_state=_names(RunState),
    trading=_names(Trading),
    reasons=st.lists(st.text(max_size=200), max_size=4),
    stages=st.lists(
        st.builds(
            StageView, _roles, _whole, _names(StageState), _whole, _number, _whole, _number,
            st.sampled_from(["", "input", "room", "journal", "parent"]), _number, _number,
        ),
        max_size=11,
    ),
    rings=st.lists(
        st.builds(
            RingView, st.sampled_from(["market", "orders", "reports"]) | st.text(max_size=12), _whole, _whole,
            st.dictionaries(_roles, _whole, max_size=8), st.dictionaries(_roles, _whole, max_size=8), st.none() | _roles,
        ),
        max_size=5,
    ),
    market=_cells(MARKET_CELL),
    account=_cells(ACCOUNT_CELL),
    hops=st.dictionaries(st.sampled_from(HOPS), st.dictionaries(st.sampled_from(["n", "p50", "p99", "max"]), _number), max_size=9),
    orders=_lines(OrderKind),
    reports=_lines(ReportKind),
    missed=_whole,
    uptime_s=_number,
    feed=_cells(FEED_CELL),
    story=st.lists(st.builds(Happening, _number, st.text(max_size=100), st.sampled_from([0, 1, 2])), max_size=8),
)  # fmt: skip
