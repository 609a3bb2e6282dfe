"""Laws of the run log: every record's lines once and in order, whatever was killed, cut or full meanwhile."""

import errno
import os
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringsim.records import MARKET_EVENT, ControlCode, EventKind, OrderKind, ReportFlag, ReportKind, Side
from ringsim.store import runlog
from ringsim.store.errors import StoreConflict, StoreFault, StoreFull, StoreMissing
from ringsim.store.runlog import CHAIN, SECOND_NS, RunLog
from tests.naive.store import tables as naive_tables
from tests.unit.store.streams import STRATEGIES, SYMBOLS, Stream, actions, build, busy, long_stream, slices

few = settings(max_examples=25)


def opened(path: Path, **options: Any) -> RunLog:
    return RunLog(path, STRATEGIES, SYMBOLS, **options)


def lines(path: Path) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]


def written(path: Path, stream: Stream) -> bytes:
    """The log of the whole stream, one batch a cut, never interrupted."""
    with opened(path) as log:
        for batch in slices(stream, stream.cuts[3::3] + stream.cuts[-1:]):
            log.add_orders(*batch["orders"])
            log.add_reports(*batch["reports"])
    return path.read_bytes()


# What the lines say


def event_types(stream: Stream) -> list[tuple[str, int, str]]:
    """(ring, seq, event_type) of every line, orders first."""
    of_orders = {
        OrderKind.NEW: ("risk_check", "sim_order"),
        OrderKind.REFUSED: ("risk_check",),
        OrderKind.SIGNAL: ("signal",),
        OrderKind.SIGNAL_END: ("signal",),
        OrderKind.SNAPSHOT: ("strategy_snapshot",),
        99: ("unreadable",),
    }
    of_reports = {ReportKind.FILL: ("fill",), ReportKind.NOTED: (), ReportKind.HALTED: ("halt",)}
    found = []
    for seq, order in enumerate(stream.orders):
        found += [("orders", seq, name) for name in of_orders.get(int(order["kind"]), ("sim_order",))]
    for seq, report in enumerate(stream.reports):
        names = of_reports.get(int(report["kind"]), ("sim_order",))
        if report["kind"] == ReportKind.ACCOUNT:
            told = report["flag_bits"] & (ReportFlag.PERIODIC | ReportFlag.FINAL)
            names = ("portfolio_update", "metrics_publish") if told else ("portfolio_update",)
        found += [("reports", seq, name) for name in names]
    return found


@few
@given(drawn=st.one_of(actions, busy))
def test_every_record_makes_its_lines_once_and_in_order(tmp_path_factory, drawn):
    stream, path = build(drawn), tmp_path_factory.mktemp("log") / "events.jsonl"
    written(path, stream)
    found = [(line["ring"], line["seq"], line["event_type"]) for line in lines(path)]
    assert sorted(found, key=lambda f: f[:2]) == event_types(stream)
    for ring in ("orders", "reports"):
        assert [f for f in found if f[0] == ring] == [f for f in event_types(stream) if f[0] == ring]


@few
@given(drawn=busy)
def test_lines_say_what_the_tables_say(tmp_path_factory, drawn):
    stream, path = build(drawn), tmp_path_factory.mktemp("log") / "events.jsonl"
    written(path, stream)
    rows = naive_tables(stream.orders, stream.reports, STRATEGIES, SYMBOLS)
    of = defaultdict(dict)
    for line in lines(path):
        of[line["event_type"], line.get("action")][line["seq"]] = line
    same = ("strategy_id", "symbol", "side", "price_ticks", "qty_lots", "left_lots", "fee", "liquidity")
    assert {s: [f[n] for n in same] + [f["time_ns"], f["deliver_ns"]] for s, f in of["fill", None].items()} == {
        t["trade_id"]: [t[n] for n in same] + [t["exch_ns"], t["recv_ns"]] for t in rows["trades"]
    }
    for order in rows["orders"]:
        check = of["risk_check", None][order["seq"]]
        assert check["asked_lots"] == order["asked_lots"] and check["sent"] == (order["kind"] == "NEW")
        assert (check["verdict"], check["reason"]) == (order["verdict"], order["verdict_reason"]) or order[
            "verdict"
        ] == "ADJUSTED"
    for signal in rows["signals"]:
        line = of["signal", "SIGNAL"][signal["seq"]]
        assert all(line[n] == signal[n] for n in ("signal_id", "strength_ppm", "confidence_ppm", "side", "trigger_ns"))
    for position in rows["positions"]:
        line = of["portfolio_update", None][position["seq"]]
        assert all(
            line[n] == position[n]
            for n in ("equity", "cash", "realized", "fees", "position_lots", "trading", "time_ns")
        )
    for metric in rows["performance_metrics"]:
        if metric["name"] == "equity":
            line = of["metrics_publish", None][metric["seq"]]
            assert (line["equity"], line["final"]) == (metric["value"], bool(metric["final"]))
    for snapshot in rows["strategy_snapshots"]:
        line = of["strategy_snapshot", None][snapshot["seq"]]
        # JSON has no infinity: msgspec writes null, as SQLite does for NaN
        assert all(line[n] == snapshot[n] for n in ("bid_ticks", "imbalance", "pressure_bps", "trade_flow"))


def test_the_chain_is_told_under_the_names_of_the_documents(tmp_path: Path):
    drawn = [("signal", 0, 0, 1), ("new", 0, 0, 5), ("accept", 0, 0, 5), ("finish", 0, 0, 5), ("periodic", 0, 0, 5)]
    stream, path = build(drawn), tmp_path / "events.jsonl"
    with opened(path) as log:
        log.add_market(0, market([(1, EventKind.PREDICTION, 0, 7, 0)]))
        log.add_orders(0, stream.orders)
        log.add_reports(0, stream.reports)
        log.note("lifecycle", 5, before="WARMUP", after="READY", reason="all stages are warm")
    found = {line["event_type"] for line in lines(path)}
    assert found == {*CHAIN, "lifecycle"}
    assert CHAIN == ("prediction_tick", "market_tick", "signal", "risk_check", "sim_order", "fill", "portfolio_update",
                     "metrics_publish")  # fmt: skip


# Market


def market(rows: list[tuple[int, int, int, int, int]]) -> np.ndarray:
    """MARKET_EVENTs of (recv_ns, kind, side, px, symbol)."""
    events = np.zeros(len(rows), MARKET_EVENT)
    for k, (recv_ns, kind, side, px, symbol) in enumerate(rows):
        events[["recv_ns", "kind", "side", "px_ticks", "qty_lots", "symbol"]][k] = (
            recv_ns,
            kind,
            side,
            px,
            k + 1,
            symbol,
        )
    return events


kinds = st.sampled_from([k for k in EventKind if k not in (EventKind.SNAPSHOT_BEGIN, EventKind.SNAPSHOT_END)])
event = st.tuples(
    st.integers(0, 5 * SECOND_NS), kinds, st.sampled_from([1, 2]), st.integers(1, 99), st.sampled_from([0, 1])
)
events = st.lists(event, max_size=30)


@few
@given(drawn=events, cut=st.integers(0, 30))
def test_the_market_is_told_by_the_second_and_symbol(tmp_path_factory, drawn, cut):
    events = market(sorted(drawn))
    path = tmp_path_factory.mktemp("log") / "events.jsonl"
    with opened(path) as log:
        log.add_market(0, events[:cut])
        log.add_market(0, events[: cut // 2])  # again: skipped
        log.add_market(cut, events[cut:])
    found = {(m["time_ns"], m["symbol"]): m for m in lines(path) if m["event_type"] == "market_tick"}
    expected: dict[tuple[int, str], list[tuple[int, np.void]]] = defaultdict(list)
    for seq, event in enumerate(events):
        if event["kind"] not in (EventKind.GAP, EventKind.CONTROL):
            second = int(event["recv_ns"]) // SECOND_NS * SECOND_NS
            expected[second, SYMBOLS[event["symbol"]]].append((seq, event))
    assert found.keys() == expected.keys()
    for key, told in found.items():
        inside = expected[key]
        trades = [e for _, e in inside if e["kind"] == EventKind.TRADE]
        bids = [e for _, e in inside if e["kind"] == EventKind.QUOTE and e["side"] == Side.BUY]
        assert (told["first_seq"], told["last_seq"], told["events"]) == (inside[0][0], inside[-1][0], len(inside))
        assert (told["trades"], told["traded_lots"]) == (len(trades), sum(int(t["qty_lots"]) for t in trades))
        assert told.get("last_trade_ticks") == (int(trades[-1]["px_ticks"]) if trades else None)
        assert told.get("bid_ticks") == (int(bids[-1]["px_ticks"]) if bids else None)
    predictions = sum(p["predictions"] for p in lines(path) if p["event_type"] == "prediction_tick")
    assert predictions == sum(e["kind"] == EventKind.PREDICTION for e in events)
    single = [line["seq"] for line in lines(path) if line["event_type"] in ("control", "gap")]
    assert single == [k for k, e in enumerate(events) if e["kind"] in (EventKind.GAP, EventKind.CONTROL)]


def test_a_reader_that_lost_events_tells_which_it_had(tmp_path: Path):
    seen = market([(k, EventKind.TRADE, 1, 5, 0) for k in range(9)] + [(9, EventKind.GAP, 0, 0, 0)])
    seen["stamp"] = np.arange(10) + 101
    with opened(tmp_path / "l") as log:
        log.add_market(100, seen[[0, 1, 5, 9]])
        assert log.next_seq("market") == 110
        log.add_market(0, seen)
    gap, tick = lines(tmp_path / "l")
    assert (gap["seq"], tick["first_seq"], tick["last_seq"], tick["events"]) == (109, 100, 105, 3)


def test_control_events_are_named(tmp_path: Path):
    event = market([(5, EventKind.CONTROL, 0, 0, 0)])
    event["code"] = ControlCode.END_OF_FEED
    with opened(tmp_path / "l") as log:
        log.add_market(9, event)
    (line,) = lines(tmp_path / "l")
    assert (line["event_type"], line["code"], line["seq"], line["time_ns"]) == ("control", "END_OF_FEED", 9, 5)


# Restarts


@few
@given(drawn=busy, cut=st.integers(0, 1 << 20), batch=st.integers(1, 12))
def test_a_log_cut_anywhere_in_its_last_batch_goes_on_as_if_nothing_had_happened(tmp_path_factory, drawn, cut, batch):
    """The writer flushes a batch, then commits it: what a kill can cut is of the batch that the database does not hold."""
    stream, folder = build(drawn), tmp_path_factory.mktemp("log")
    whole = written(folder / "whole", stream)
    path, batches = folder / "cut", slices(stream, stream.cuts[3::3] + stream.cuts[-1:])
    batch %= len(batches)
    log = opened(path)
    for k, part in enumerate(batches[: batch + 1]):
        before = len(path.read_bytes())
        log.add_orders(*part["orders"])
        log.add_reports(*part["reports"])
        log.flush()
        assert k < batch or len(path.read_bytes()) >= before
    log.close()
    os.truncate(path, before + cut % (path.stat().st_size - before + 1))
    cursors = {ring: batches[batch][ring][0] for ring in ("orders", "reports")}
    with opened(path, cursors=cursors) as log:
        for part in batches[batch:]:
            log.add_orders(*part["orders"])
            log.add_reports(*part["reports"])
    assert path.read_bytes() == whole


@pytest.mark.parametrize("action, first", [("new", "risk_check"), ("final", "portfolio_update")])
def test_a_cut_between_the_two_lines_of_a_record_writes_both_again(tmp_path: Path, action: str, first: str):
    stream, path = build([(action, 0, 0, 5)]), tmp_path / "events.jsonl"
    whole = written(path, stream)
    os.truncate(path, whole.index(b"\n") + 1)
    assert [line["event_type"] for line in lines(path)] == [first]
    assert written(path, stream) == whole


def test_what_is_logged_already_is_skipped_and_a_hole_is_an_error(tmp_path: Path):
    stream, path = long_stream(300), tmp_path / "events.jsonl"
    whole = written(path, stream)
    with opened(path, cursors={"orders": 5, "reports": 0}) as log:
        assert log.next_seq("orders") == len(stream.orders)
        log.add_orders(0, stream.orders)
        log.add_reports(3, stream.reports[3:])
        with pytest.raises(StoreConflict, match="comes next in the log"):
            log.add_orders(len(stream.orders) + 1, stream.orders)
    assert path.read_bytes() == whole


def test_a_file_that_is_no_log_is_left_alone(tmp_path: Path):
    (tmp_path / "events.jsonl").write_bytes(b"t,external_px\n1,2\n")
    with pytest.raises(StoreConflict, match="no event"):
        opened(tmp_path / "events.jsonl")
    assert (tmp_path / "events.jsonl").read_bytes() == b"t,external_px\n1,2\n"
    with pytest.raises(StoreMissing):
        opened(tmp_path / "missing" / "events.jsonl")


# Full disks


class Disk:
    """Takes `room` bytes, a few at a time, then fails with `number` until there is room again."""

    def __init__(self, room: int, number: int = errno.ENOSPC) -> None:
        self.room, self.number = room, number

    def __call__(self, fd: int, content: bytes) -> int:
        if self.room <= 0:
            raise OSError(self.number, os.strerror(self.number))
        taken = os.write(fd, content[: min(self.room, 1000)])
        self.room -= taken
        return taken


@pytest.mark.parametrize("number, kind", [(errno.ENOSPC, StoreFull), (errno.EIO, StoreFault)])
def test_a_full_disk_is_named_and_costs_nothing_once_there_is_room(tmp_path: Path, number: int, kind):
    stream = long_stream(400)
    whole = written(tmp_path / "whole", stream)
    for room in (0, 1, 999, 5000, len(whole) - 1):
        path, disk = tmp_path / f"{room}", Disk(room, number)
        log = opened(path, write=disk)
        log.add_orders(0, stream.orders)
        log.add_reports(0, stream.reports)
        for _ in range(2):
            with pytest.raises(kind):
                log.flush()
        assert path.stat().st_size == room and log.dropped == 0
        disk.room = 1 << 30
        log.close()
        log.close()
        assert sorted(path.read_bytes().splitlines()) == sorted(whole.splitlines())


def test_beyond_what_is_kept_lines_are_dropped_counted_and_told(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(runlog, "PENDING_MAX", 2000)
    monkeypatch.setattr(runlog, "BUFFER_BYTES", 500)
    stream, disk, path = long_stream(400), Disk(700), tmp_path / "events.jsonl"
    log = opened(path, write=disk)
    log.add_orders(0, stream.orders)
    with pytest.raises(StoreFull):
        log.flush()
    dropped = log.dropped
    assert dropped > 0
    disk.room = 1 << 30
    log.flush()
    log.add_reports(0, stream.reports)
    log.close()
    found = lines(path)
    (told,) = [line for line in found if line["event_type"] == "log_lost"]
    assert told["lines"] == dropped == log.dropped
    assert len(found) - 1 + dropped == len(event_types(stream))
    pairs = [a["event_type"] for a, b in pairwise(found) if a.get("sent") and b["event_type"] != "sim_order"]
    assert not pairs, "the two lines of a record stay together"


def test_closing_what_cannot_be_written_says_so_and_closes(tmp_path: Path):
    log = opened(tmp_path / "l", write=Disk(0))
    log.note("warning", 1, text="x")
    with pytest.raises(StoreFull):
        log.close()
    log.close()
