"""events.jsonl: the event chain of a run as JSON lines, for people and tools.

    prediction_tick  market_tick    market ring    SUMMARIES, one a second of event time and symbol, not one an event
    signal  risk_check  sim_order   orders ring    each; CANCEL, REPLACE and the broker's answers are sim_orders, too
    sim_order  fill  portfolio_update  metrics_publish                      reports ring, each
    strategy_snapshot, halt, control, gap, unreadable, lifecycle, warning ...   what else a reader wants to know

Every line has `event_type` and `time_ns`; lines made of records have `ring` and `seq`, and integers as in the records.
NOTED reports make no line: they only return a credit.

Invariants:
- Lines of orders and reports come once and in order, also over restarts, if the caller flushes before it commits the same
  records to the database: what was not committed comes again, and what is logged already is skipped. A line that a kill
  cut short is removed at opening, and written again.
- Nothing waits for the log: on a full disk `flush` raises and keeps what it holds; beyond PENDING_MAX bytes lines are
  dropped, and the next one that is kept says how many (log_lost).
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ringsim.records import (
    ACCOUNT,
    FEATURES,
    ControlCode,
    EventKind,
    GapCode,
    OrderKind,
    ReportFlag,
    ReportKind,
    Side,
)
from ringsim.store.errors import StoreConflict
from ringsim.store.files import typed_os
from ringsim.store.rows import LIQUIDITY, ORDER_KIND, REASON, REPORT_KIND, SIDE, TIF, TRADING, TYPE, VERDICT, Numbered
from ringsim.store.schema import RINGS, EnumNames

NAME = "events.jsonl"
BUFFER_BYTES = 1 << 16  # handed to the operating system at once
PENDING_MAX = 1 << 22  # kept while the disk is full
SCAN_MAX = 1 << 24  # looked at when a log is continued: more than the lines of the one batch that may not be committed
SECOND_NS = 1_000_000_000

CHAIN = (
    "prediction_tick",
    "market_tick",
    "signal",
    "risk_check",
    "sim_order",
    "fill",
    "portfolio_update",
    "metrics_publish",
)

_CONTROL, _GAP = EnumNames(ControlCode), EnumNames(GapCode)
_NEW, _REFUSED, _SIGNAL, _SIGNAL_END, _SNAPSHOT = (
    int(k) for k in (OrderKind.NEW, OrderKind.REFUSED, OrderKind.SIGNAL, OrderKind.SIGNAL_END, OrderKind.SNAPSHOT)
)
_CHANGES = tuple(int(k) for k in (OrderKind.CANCEL, OrderKind.CANCEL_ALL, OrderKind.REPLACE))
_FILL, _NOTED, _ACCOUNT, _HALTED = (
    int(k) for k in (ReportKind.FILL, ReportKind.NOTED, ReportKind.ACCOUNT, ReportKind.HALTED)
)
_FINAL, _PERIODIC = int(ReportFlag.FINAL), int(ReportFlag.PERIODIC)

_FIGURES = ("bid_ticks", "ask_ticks", "position_lots", "imbalance", "spread_bps", "depth_ratio", "pressure_bps",
            "momentum_bps", "volatility", "trade_flow")  # fmt: skip

Line = dict[str, Any]
Write = Callable[[int, bytes], int]


class RunLog:
    """The writer of a run's log. path: made if missing, continued if there. strategies, symbols: names by number.

    cursors: ring -> first record that the database does not hold: what comes before is logged, or was no line.
    write: os.write, or what stands in for it in a test. Raises StoreReadOnly, StoreFull, StoreFault; StoreConflict if the
    file is no such log.
    """

    def __init__(
        self,
        path: Path | str,
        strategies: Sequence[str],
        symbols: Sequence[str],
        *,
        cursors: Mapping[str, int] | None = None,
        write: Write = os.write,
    ) -> None:
        self.path, self._write = Path(path), write
        self._strategies, self._symbols = Numbered(strategies), Numbered(symbols)
        self._pending = bytearray()
        self.dropped = 0  # lines that a full disk cost, ever
        self._dropped_untold = 0
        self._failed = False  # the last try to write did not succeed: only `flush` tries again
        self._paired = False  # the next line belongs to the last one
        self._seconds: dict[int, Line] = {}  # symbol -> the market_tick of the second that is not over
        self._predictions: dict[int, Line] = {}
        self._encode = msgspec.json.Encoder().encode
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                logged = _continue(self._fd, self.path)
            except BaseException:
                os.close(self._fd)
                raise
        except OSError as error:
            raise typed_os(error, self.path, "opening") from None
        stored = cursors or {}
        self._next = {ring: max(logged.get(ring, 0), stored.get(ring, 0)) for ring in ("market", *RINGS)}

    def next_seq(self, ring: str) -> int:
        """Sequence of the first record of `ring` ("market", "orders", "reports") that is not logged."""
        return self._next[ring]

    # lines

    def note(self, event_type: str, time_ns: int, **fields: Any) -> None:
        """A line that no record makes: lifecycle, warning, run_start ... fields: anything that JSON has."""
        self._line({"event_type": event_type, "time_ns": time_ns, **fields})

    def add_orders(self, first_seq: int, records: np.ndarray) -> None:
        """Log ORDER[n]; those logged already are skipped."""
        self._add("orders", first_seq, records, self._order_lines)

    def add_reports(self, first_seq: int, records: np.ndarray) -> None:
        """Log REPORT[n]; those logged already are skipped."""
        self._add("reports", first_seq, records, self._report_lines)

    def add_market(self, first_seq: int, records: np.ndarray) -> None:
        """Count MARKET_EVENT[n] into the summaries of their seconds; control events and gaps get lines of their own.

        A reader of the market ring may have lost events, between records too: where all have a ring's stamp, it says
        which they are, not first_seq. A hole is no error: `events` against first_seq and last_seq shows it. What the
        unfinished second had counted is lost in a kill.
        """
        records = records.view(np.ndarray)
        stamps = records["stamp"]
        seqs = stamps - 1 if stamps.all() else first_seq + np.arange(len(records))
        fresh = seqs >= self._next["market"]
        records, seqs = records[fresh], seqs[fresh]
        if not len(records):
            return
        self._next["market"] = int(seqs[-1]) + 1
        own = (records["kind"] == EventKind.CONTROL) | (records["kind"] == EventKind.GAP)
        counted = np.flatnonzero(~own)
        groups = records["recv_ns"][counted] // SECOND_NS * 65536 + records["symbol"][counted]
        starts = np.flatnonzero(np.diff(groups, prepend=groups[:1] - 1))
        for part in np.split(counted, starts[1:]) if len(counted) else []:
            self._count(seqs[part], records[part])
        for at in np.flatnonzero(own).tolist():
            event = records[at]
            control = event["kind"] == EventKind.CONTROL
            line = self._head("control" if control else "gap", int(event["recv_ns"]), "market", int(seqs[at]))
            line["code"] = (_CONTROL if control else _GAP)[int(event["code"])]
            self._line(line | ({"value": int(event["qty_lots"])} if control else self._symbol(int(event["symbol"]))))

    def _add(
        self, ring: str, first_seq: int, records: np.ndarray, lines: Callable[[int, np.ndarray], Iterator[Line]]
    ) -> None:
        skip = self._next[ring] - first_seq
        if skip < 0:
            raise StoreConflict(f"{self.path}: {ring} record {self._next[ring]} comes next in the log, got {first_seq}")
        if skip >= len(records):
            return
        for line in lines(self._next[ring], records[skip:].view(np.ndarray)):
            self._line(line)
        self._next[ring] = first_seq + len(records)

    def _head(self, event_type: str, time_ns: int, ring: str, seq: int) -> Line:
        return {"event_type": event_type, "time_ns": time_ns, "ring": ring, "seq": seq}

    def _symbol(self, number: int) -> Line:
        return {"symbol": self._symbols[number]}

    def _whose(self, strategy: int, symbol: int) -> Line:
        return {"strategy_id": self._strategies[strategy], "symbol": self._symbols[symbol]}

    def _order_lines(self, first_seq: int, records: np.ndarray) -> Iterator[Line]:
        features = records.view(FEATURES)
        names = ("kind", "created_ns", "strategy", "symbol", "side", "trigger_seq", "trigger_ns", "order_id", "target_id",
                 "type", "tif", "px_ticks", "qty_lots", "asked_lots", "verdict", "reason", "signal_id", "strength_ppm",
                 "confidence_ppm", "hold_ns")  # fmt: skip
        for seq, values in enumerate(zip(*(records[n].tolist() for n in names), strict=True), first_seq):
            (kind, created_ns, strategy, symbol, side, trigger_seq, trigger_ns, order_id, target_id, order_type, tif,
             px, qty, asked, verdict, reason, signal_id, strength, confidence, hold_ns) = values  # fmt: skip
            whose = self._whose(strategy, symbol)
            cause = {"trigger_seq": trigger_seq, "trigger_ns": trigger_ns}
            if kind in (_NEW, _REFUSED):
                yield {
                    **self._head("risk_check", created_ns, "orders", seq), **whose, "side": SIDE[side],
                    "verdict": VERDICT[verdict], "reason": REASON[reason], "asked_lots": asked, "qty_lots": qty,
                    "signal_id": signal_id, "sent": kind == _NEW,
                }  # fmt: skip
            if kind == _NEW:
                yield {
                    **self._head("sim_order", created_ns, "orders", seq), "action": "NEW", **whose, "order_id": order_id,
                    "side": SIDE[side], "type": TYPE[order_type], "tif": TIF[tif], "price_ticks": px, "qty_lots": qty,
                    "signal_id": signal_id, **cause,
                }  # fmt: skip
            elif kind in _CHANGES:
                yield {
                    **self._head("sim_order", created_ns, "orders", seq), "action": ORDER_KIND[kind], **whose,
                    "order_id": target_id, "price_ticks": px, "qty_lots": qty, **cause,
                }  # fmt: skip
            elif kind in (_SIGNAL, _SIGNAL_END):
                yield {
                    **self._head("signal", created_ns, "orders", seq), "action": ORDER_KIND[kind], **whose,
                    "signal_id": signal_id, "side": SIDE[side], "strength_ppm": strength,
                    "confidence_ppm": confidence, "hold_ns": hold_ns, "reason": REASON[reason], **cause,
                }  # fmt: skip
            elif kind == _SNAPSHOT:
                row = features[seq - first_seq]
                figures = {n: row[n].item() for n in _FIGURES}
                yield {**self._head("strategy_snapshot", created_ns, "orders", seq), **whose, **figures}
            elif kind != _REFUSED:
                yield {**self._head("unreadable", created_ns, "orders", seq), "kind": kind}

    def _report_lines(self, first_seq: int, records: np.ndarray) -> Iterator[Line]:
        accounts = records.view(ACCOUNT)
        names = ("kind", "deliver_ns", "strategy", "symbol", "side", "order_id", "order_kind", "px_ticks", "qty_lots",
                 "left_lots", "fee", "liquidity", "reason", "acted_ns", "filled_ns", "trigger_seq", "trigger_ns")  # fmt: skip
        for seq, values in enumerate(zip(*(records[n].tolist() for n in names), strict=True), first_seq):
            (kind, deliver_ns, strategy, symbol, side, order_id, order_kind, px, qty, left, fee, liquidity, reason,
             acted_ns, filled_ns, trigger_seq, trigger_ns) = values  # fmt: skip
            if kind == _ACCOUNT:
                yield from self._account_lines(seq, accounts[seq - first_seq])
            elif kind == _HALTED:
                yield {**self._head("halt", deliver_ns, "reports", seq), "reason": REASON[reason]}
            elif kind == _FILL:
                yield {
                    **self._head("fill", filled_ns, "reports", seq), **self._whose(strategy, symbol),
                    "order_id": order_id, "side": SIDE[side], "price_ticks": px, "qty_lots": qty, "left_lots": left,
                    "fee": fee, "liquidity": LIQUIDITY[liquidity], "deliver_ns": deliver_ns,
                    "trigger_seq": trigger_seq, "trigger_ns": trigger_ns,
                }  # fmt: skip
            elif kind != _NOTED:
                yield {
                    **self._head("sim_order", deliver_ns, "reports", seq), "action": REPORT_KIND[kind],
                    **self._whose(strategy, symbol), "order_id": order_id, "answers": ORDER_KIND[order_kind],
                    "price_ticks": px, "qty_lots": qty, "left_lots": left, "reason": REASON[reason], "acted_ns": acted_ns,
                }  # fmt: skip

    def _account_lines(self, seq: int, account: np.void) -> Iterator[Line]:
        whose = self._whose(int(account["strategy"]), int(account["symbol"]))
        names = (
            "position_lots",
            "cash",
            "cost",
            "realized",
            "unrealized",
            "fees",
            "mark_ticks",
            "open_orders",
            "fills",
        )
        figures = {n: account[n].item() for n in names}
        figures["equity"] = figures["cash"] + figures["position_lots"] * figures["mark_ticks"]
        time_ns, flags = int(account["time_ns"]), int(account["flag_bits"])
        published = flags & (_PERIODIC | _FINAL) != 0
        state = {"trading": TRADING[int(account["trading"])], "reason": REASON[int(account["reason"])]}
        yield (
            self._head("portfolio_update", time_ns, "reports", seq) | whose | figures | state | {"published": published}
        )
        if published:
            final = {"final": flags & _FINAL != 0}
            yield self._head("metrics_publish", time_ns, "reports", seq) | whose | figures | final

    def _count(self, seqs: np.ndarray, part: np.ndarray) -> None:
        """Count events of one second and symbol."""
        symbol = int(part["symbol"][0])
        time_ns = int(part["recv_ns"][0]) // SECOND_NS * SECOND_NS
        second = self._second(self._seconds, "market_tick", time_ns, symbol)
        second.setdefault("first_seq", int(seqs[0]))
        second["last_seq"] = int(seqs[-1])
        second["events"] = second.get("events", 0) + len(part)
        trades = part[part["kind"] == EventKind.TRADE]
        second["trades"] = second.get("trades", 0) + len(trades)
        second["traded_lots"] = second.get("traded_lots", 0) + int(trades["qty_lots"].sum())
        if len(trades):
            second["last_trade_ticks"] = int(trades["px_ticks"][-1])
        quotes = part[part["kind"] == EventKind.QUOTE]
        for name, side in (("bid_ticks", Side.BUY), ("ask_ticks", Side.SELL)):
            if len(there := quotes[quotes["side"] == side]):
                second[name] = int(there["px_ticks"][-1])
        predictions = part[part["kind"] == EventKind.PREDICTION]
        if len(predictions):
            second = self._second(self._predictions, "prediction_tick", time_ns, symbol)
            second["predictions"] = second.get("predictions", 0) + len(predictions)
            second["last_ticks"] = int(predictions["px_ticks"][-1])

    def _second(self, seconds: dict[int, Line], event_type: str, time_ns: int, symbol: int) -> Line:
        """The open summary of a symbol; one of an earlier second is over, and written."""
        before = seconds.get(symbol)
        if before is None or before["time_ns"] != time_ns:
            if before is not None:
                self._line(before)
            seconds[symbol] = {"event_type": event_type, "time_ns": time_ns, **self._symbol(symbol)}
        return seconds[symbol]

    # writing

    def _line(self, line: Line) -> None:
        if len(self._pending) > PENDING_MAX and not self._paired:
            self.dropped += 1
            self._dropped_untold += 1
            return
        if self._dropped_untold and not self._paired:
            lost, self._dropped_untold = self._dropped_untold, 0
            self.note("log_lost", line["time_ns"], lines=lost)
        self._pending += self._encode(line) + b"\n"
        self._paired = _has_follower(line)
        if len(self._pending) >= BUFFER_BYTES and not self._failed:
            with suppress(OSError):  # `flush` will say so
                self._drain()

    def _drain(self) -> None:
        self._failed = True
        while self._pending:
            taken = self._write(self._fd, bytes(self._pending[: 1 << 20]))
            del self._pending[:taken]
        self._failed = False

    def flush(self) -> None:
        """Hand what is pending to the operating system.

        After a kill of this process it is not lost; after a power cut it may be, and is made again from the database.
        Raises StoreFull, StoreFault; what was not taken stays pending, and the next call goes on exactly there.
        """
        try:
            self._drain()
        except OSError as error:
            raise typed_os(error, self.path, "writing") from None

    def close(self) -> None:
        """Write the summaries of the seconds that are not over, flush, close. Idempotent; closed in any case."""
        if self._fd < 0:
            return
        try:
            for line in [*self._predictions.values(), *self._seconds.values()]:
                self._line(line)
            self.flush()
        finally:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _continue(fd: int, path: Path) -> dict[str, int]:
    """Cut what a kill left half-written, move to the end, and say where each ring goes on, as far as its lines tell."""
    next_seq: dict[str, int] = {}
    end, size = None, os.fstat(fd).st_size  # end: where the log is whole
    for start, text in _backwards(fd, size):
        if not text.endswith(b"\n"):
            continue
        try:
            line = msgspec.json.decode(text)
            line["event_type"]
        except (msgspec.DecodeError, UnicodeDecodeError, TypeError, KeyError):
            raise StoreConflict(f"{path} holds a line that is no event; something else wrote or damaged it") from None
        if end is None:
            if _has_follower(line):  # its second line is missing: both come again
                continue
            end = start + len(text)
        ring = line.get("ring") or ("market" if "last_seq" in line else None)
        if ring is not None:
            next_seq.setdefault(ring, line.get("seq", line.get("last_seq")) + 1)
        if len(next_seq) == 3 or size - start > SCAN_MAX:
            break
    os.ftruncate(fd, end or 0)
    os.lseek(fd, 0, os.SEEK_END)
    return next_seq


def _has_follower(line: Line) -> bool:
    """Whether a second line of the same record comes after this one."""
    kind = line["event_type"]
    return (kind == "risk_check" and line["sent"]) or (kind == "portfolio_update" and line["published"])


def _backwards(fd: int, size: int, block: int = 1 << 16) -> Iterator[tuple[int, bytes]]:
    """(offset, line) of a file's lines, last first; the last one may lack its newline."""
    rest, start = b"", size
    while start > 0:
        read = min(block, start)
        start -= read
        lines = (os.pread(fd, read, start) + rest).splitlines(keepends=True)
        rest = lines[0]
        at = start + sum(map(len, lines))
        for line in reversed(lines[1:]):
            at -= len(line)
            yield at, line
    if rest:
        yield 0, rest
