"""From records to rows: the tables of schema.py as a fold over the two rings. Pure; sqlite.py does the writing.

Invariants:
- The rows depend on the records alone, not on how they were cut into batches.
- Values are absolute: a row is written whole from what is known, so that writing it twice changes nothing.
- Only what can still change is kept in memory: working orders, active signals, one account a strategy and symbol.

Reports must not come before the orders that they speak of: a reader of both rings looks at reports first, then at orders.
Which order a report means: an answer (ACCEPTED, PROVISIONAL, REJECTED) an unanswered one of that strategy, id and time,
anything else the one that is open; ids may repeat, since a broker refuses duplicates by a report like any other.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import numpy as np

from ringsim.records import (
    ACCOUNT,
    FEATURES,
    ORDER,
    REPORT,
    Liquidity,
    OrderFlag,
    OrderKind,
    OrderType,
    Reason,
    ReportFlag,
    ReportKind,
    Side,
    Status,
    Tif,
    Trading,
    Verdict,
)
from ringsim.store.errors import StoreConflict
from ringsim.store.schema import EnumNames

SIDE, TYPE, TIF, VERDICT = EnumNames(Side), EnumNames(OrderType), EnumNames(Tif), EnumNames(Verdict)
REASON, LIQUIDITY, TRADING = EnumNames(Reason), EnumNames(Liquidity), EnumNames(Trading)
ORDER_KIND, REPORT_KIND = EnumNames(OrderKind), EnumNames(ReportKind)

PENDING, OPEN, PARTIAL, FILLED = Status.PENDING.name, Status.OPEN.name, Status.PARTIAL.name, Status.FILLED.name
REJECTED = Status.REJECTED.name
WORKING = (PENDING, OPEN, PARTIAL)
_AFTER = {
    int(ReportKind.PROVISIONAL): Status.PROVISIONAL.name,
    int(ReportKind.REJECTED): REJECTED,
    int(ReportKind.CANCELLED): Status.CANCELLED.name,
}  # status after a report; after the others it depends on what has filled

# Plain integers: an operation on an IntFlag costs more than the row.
_ANSWERS = (int(ReportKind.ACCEPTED), int(ReportKind.PROVISIONAL), int(ReportKind.REJECTED))
_OF_OPEN = (int(ReportKind.FILL), int(ReportKind.CANCELLED), int(ReportKind.REPLACED))
_ACCEPTED, _PROVISIONAL, _FILL = int(ReportKind.ACCEPTED), int(ReportKind.PROVISIONAL), int(ReportKind.FILL)
_REPLACED, _ACCOUNT, _REJECTED = int(ReportKind.REPLACED), int(ReportKind.ACCOUNT), int(ReportKind.REJECTED)
_NEW, _REFUSED, _SIGNAL = int(OrderKind.NEW), int(OrderKind.REFUSED), int(OrderKind.SIGNAL)
_SIGNAL_END, _SNAPSHOT, _MARKET = int(OrderKind.SIGNAL_END), int(OrderKind.SNAPSHOT), int(OrderType.MARKET)
_REDUCES, _CLOSES = int(OrderFlag.REDUCES), int(OrderFlag.CLOSES)
_FINAL, _PERIODIC = int(ReportFlag.FINAL), int(ReportFlag.PERIODIC)
_ADJUSTED, _NO_VERDICT, _NONE = Verdict.ADJUSTED.name, Verdict.NONE.name, Reason.NONE.name

_IS_ANSWER = np.isin(np.arange(256), _ANSWERS)
_IS_OF_SIGNALS = np.isin(np.arange(256), (_SIGNAL, _SIGNAL_END, _NEW, _REFUSED))
_IS_OF_OPEN = np.isin(np.arange(256), _OF_OPEN)


# A row's fields are its table's columns, in order; a test compares them.
class OrderRow(msgspec.Struct, gc=False):
    """A row of orders."""

    seq: int
    order_id: int | None
    strategy_id: str
    symbol: str
    kind: str
    side: str
    type: str
    tif: str
    price_ticks: int | None
    qty_lots: int
    asked_lots: int
    filled_lots: int
    left_lots: int
    filled_value: int
    fees: int
    status: str
    reason: str
    verdict: str
    verdict_reason: str
    provisional: int
    reduces: int
    closes: int
    signal_id: int | None
    trigger_seq: int
    trigger_ns: int
    created_ns: int
    received_ns: int | None = None
    acted_ns: int | None = None
    filled_ns: int | None = None
    reported_ns: int | None = None
    report_seq: int | None = None


class TradeRow(msgspec.Struct, gc=False):
    """A row of trades."""

    trade_id: int
    order_seq: int
    order_id: int
    strategy_id: str
    symbol: str
    side: str
    price_ticks: int
    qty_lots: int
    left_lots: int
    fee: int
    liquidity: str
    exch_ns: int
    recv_ns: int
    trigger_seq: int
    trigger_ns: int
    order_trigger_ns: int
    created_ns: int
    received_ns: int
    acted_ns: int


class SignalRow(msgspec.Struct, gc=False):
    """A row of signals."""

    seq: int
    signal_id: int
    strategy_id: str
    symbol: str
    side: str
    strength_ppm: int
    confidence_ppm: int
    verdict: str
    reason: str
    trigger_seq: int
    trigger_ns: int
    started_ns: int
    ended_ns: int | None = None
    hold_ns: int | None = None
    end_reason: str | None = None
    end_seq: int | None = None


class PositionRow(msgspec.Struct, gc=False):
    """A row of positions."""

    strategy_id: str
    symbol: str
    position_lots: int
    cost: int
    cash: int
    realized: int
    unrealized: int
    fees: int
    equity: int
    mark_ticks: int
    day_realized: int
    start_cash: int
    equity_peak: int
    drawdown: int
    drawdown_max: int
    open_orders: int
    fills: int
    trading: str
    reason: str
    time_ns: int
    seq: int


class MetricRow(msgspec.Struct, gc=False):
    """A row of performance_metrics."""

    seq: int
    name: str
    strategy_id: str
    symbol: str
    time_ns: int
    value: int
    unit: str
    final: int


class SnapshotRow(msgspec.Struct, gc=False):
    """A row of strategy_snapshots."""

    seq: int
    sample: int
    strategy_id: str
    symbol: str
    time_ns: int
    trigger_seq: int
    trigger_ns: int
    bid_ticks: int
    ask_ticks: int
    position_lots: int
    imbalance: float | None
    spread_bps: float | None
    depth_ratio: float | None
    pressure_bps: float | None
    momentum_bps: float | None
    volatility: float | None
    trade_flow: float | None


ROW_TYPES: dict[str, type[msgspec.Struct]] = {
    "orders": OrderRow,
    "trades": TradeRow,
    "signals": SignalRow,
    "positions": PositionRow,
    "performance_metrics": MetricRow,
    "strategy_snapshots": SnapshotRow,
}


class Changes(msgspec.Struct):
    """Rows of one batch. new: to insert. changed: to update, by seq. positions: to insert or replace."""

    new_orders: list[OrderRow] = []
    changed_orders: dict[int, OrderRow] = {}
    new_signals: list[SignalRow] = []
    changed_signals: dict[int, SignalRow] = {}
    trades: list[TradeRow] = []
    metrics: list[MetricRow] = []
    snapshots: list[SnapshotRow] = []
    positions: dict[tuple[str, str], PositionRow] = {}
    unmatched: int = 0  # ends of signals that never began, refusals of orders without a proper id: no row shows them


class Numbered(dict[int, str]):
    """Names by number, as the records have them; one that nobody declared reads UNKNOWN_<number>."""

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__(enumerate(names))

    def __missing__(self, number: int) -> str:
        return f"UNKNOWN_{number}"


def _each(records: np.ndarray, names: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    """The named fields of each record as Python values: STRICT tables refuse numpy's scalars."""
    return zip(*(records[name].tolist() for name in names), strict=True)


class Rows:
    """The fold. Feed it records in sequence order, each once; `take` hands out what changed since the last call."""

    def __init__(
        self,
        strategies: Iterable[str],
        symbols: Iterable[str],
        *,
        orders: Iterable[OrderRow] = (),
        signals: Iterable[SignalRow] = (),
        positions: Iterable[PositionRow] = (),
        next_order_seq: int = 0,
    ) -> None:
        """When going on with a database: its rows that can still change, and its cursor in the orders ring."""
        self._strategies, self._symbols = Numbered(strategies), Numbered(symbols)
        self._working: dict[tuple[str, int | None], list[OrderRow]] = {}
        for order in orders:
            self._working.setdefault((order.strategy_id, order.order_id), []).append(order)
        self._active = {(s.strategy_id, s.signal_id): s for s in signals}
        self._accounts = {(p.strategy_id, p.symbol): p for p in positions}
        self._changes = Changes()
        self._stored_seq = self._next_seq = next_order_seq  # rows of the orders ring below _stored_seq are stored

    def take(self) -> Changes:
        """What changed since the last call."""
        self._stored_seq = self._next_seq
        changes, self._changes = self._changes, Changes()
        return changes

    # orders ring

    def add_orders(self, first_seq: int, records: np.ndarray) -> None:
        """records: ORDER[n], sequences first_seq, first_seq + 1, ..."""
        self._next_seq = first_seq + len(records)
        kinds = records["kind"]
        self._add_new(first_seq, records, np.flatnonzero((kinds == _NEW) | (kinds == _REFUSED)))
        self._add_signals(first_seq, records, np.flatnonzero(_IS_OF_SIGNALS[kinds]))
        self._add_snapshots(first_seq, records, np.flatnonzero(kinds == _SNAPSHOT))

    def _add_new(self, first_seq: int, records: np.ndarray, at: np.ndarray) -> None:
        fields = ("kind", "order_id", "strategy", "symbol", "side", "type", "tif", "px_ticks", "qty_lots", "asked_lots",
                  "verdict", "reason", "flag_bits", "signal_id", "trigger_seq", "trigger_ns", "created_ns")  # fmt: skip
        for seq, values in zip((first_seq + at).tolist(), _each(records[at], fields), strict=True):
            (kind, order_id, strategy, symbol, side, order_type, tif, px, qty, asked,
             verdict, reason, flags, signal_id, trigger_seq, trigger_ns, created_ns) = values  # fmt: skip
            refused = kind == _REFUSED
            row = OrderRow(
                seq=seq,
                order_id=order_id if order_id > 0 else None,
                strategy_id=self._strategies[strategy],
                symbol=self._symbols[symbol],
                kind=ORDER_KIND[kind],
                side=SIDE[side],
                type=TYPE[order_type],
                tif=TIF[tif],
                price_ticks=None if order_type == _MARKET else px,
                qty_lots=qty,
                asked_lots=asked,
                filled_lots=0,
                left_lots=qty,
                filled_value=0,
                fees=0,
                status=REJECTED if refused else PENDING,
                reason=REASON[reason if refused else 0],
                verdict=VERDICT[verdict],
                verdict_reason=REASON[reason],
                provisional=0,
                reduces=int(flags & _REDUCES != 0),
                closes=int(flags & _CLOSES != 0),
                signal_id=signal_id or None,
                trigger_seq=trigger_seq,
                trigger_ns=trigger_ns,
                created_ns=created_ns,
            )
            self._changes.new_orders.append(row)
            if not refused:
                self._working.setdefault((row.strategy_id, row.order_id), []).append(row)

    def _add_signals(self, first_seq: int, records: np.ndarray, at: np.ndarray) -> None:
        fields = ("kind", "signal_id", "strategy", "symbol", "side", "strength_ppm", "confidence_ppm", "verdict",
                  "reason", "trigger_seq", "trigger_ns", "created_ns", "hold_ns")  # fmt: skip
        for seq, values in zip((first_seq + at).tolist(), _each(records[at], fields), strict=True):
            kind, signal_id, strategy, symbol, side, strength, confidence, verdict, reason, *when, hold_ns = values
            key = (self._strategies[strategy], signal_id)
            if kind in (_NEW, _REFUSED):
                self._judge_signal(key, VERDICT[verdict], REASON[reason])
                continue
            before = self._active.pop(key, None)
            if before is not None:  # ended by its end, or by beginning again
                before.ended_ns, before.end_seq = when[-1], seq
                before.end_reason, before.hold_ns = (REASON[reason], hold_ns) if kind == _SIGNAL_END else (None, None)
                if before.seq < self._stored_seq:
                    self._changes.changed_signals[before.seq] = before
            elif kind == _SIGNAL_END:
                self._changes.unmatched += 1
            if kind == _SIGNAL:
                row = SignalRow(
                    seq, signal_id, key[0], self._symbols[symbol], SIDE[side], strength, confidence,
                    VERDICT[verdict], REASON[reason], *when,
                )  # fmt: skip
                self._changes.new_signals.append(row)
                self._active[key] = row

    def _judge_signal(self, key: tuple[str, int], verdict: str, reason: str) -> None:
        """What risk said of a signal is what it said of the first order made for it while it was active."""
        signal = self._active.get(key)
        if signal is not None and signal.verdict == _NO_VERDICT and verdict != _NO_VERDICT:
            signal.verdict, signal.reason = verdict, reason
            if signal.seq < self._stored_seq:
                self._changes.changed_signals[signal.seq] = signal

    def _add_snapshots(self, first_seq: int, records: np.ndarray, at: np.ndarray) -> None:
        fields = ("sample", "strategy", "symbol", "created_ns", "trigger_seq", "trigger_ns", "bid_ticks", "ask_ticks",
                  "position_lots", "imbalance", "spread_bps", "depth_ratio", "pressure_bps", "momentum_bps",
                  "volatility", "trade_flow")  # fmt: skip
        features = np.ascontiguousarray(records[at]).view(FEATURES)
        for seq, values in zip((first_seq + at).tolist(), _each(features, fields), strict=True):
            sample, strategy, symbol, *rest = values
            whose = self._strategies[strategy], self._symbols[symbol]
            self._changes.snapshots.append(SnapshotRow(seq, sample, *whose, *rest))  # SQLite makes NULL of a NaN

    # reports ring

    def add_reports(self, first_seq: int, records: np.ndarray) -> None:
        """records: REPORT[n], sequences first_seq, first_seq + 1, ... StoreConflict if one means no known order."""
        kinds = records["kind"]
        # an answer to a cancel, a replace or an unreadable record changes no order
        of_orders = _IS_OF_OPEN[kinds] | (_IS_ANSWER[kinds] & (records["order_kind"] == _NEW))
        self._add_order_reports(first_seq, records, np.flatnonzero(of_orders))
        self._add_accounts(first_seq, records, np.flatnonzero(kinds == _ACCOUNT))

    def _meant(self, seq: int, kind: int, strategy: int, order_id: int, created_ns: int) -> OrderRow | None:
        """The order that a report is about; None for the refusal of a record that is none (without a proper id)."""
        key = (self._strategies[strategy], order_id if order_id > 0 else None)
        rows = self._working.get(key, [])
        answer = kind in _ANSWERS
        if len(rows) == 1 and (not answer or rows[0].status == PENDING):  # nearly always
            return rows[0]
        wanted = [r for r in rows if (r.status == PENDING) == answer]
        if not wanted and not answer:
            wanted = rows  # cancelled on its way, never answered
        if len(wanted) > 1:  # the same id twice on its way: an immediate refusal overtakes what is in flight
            wanted = [r for r in wanted if r.created_ns == created_ns] or wanted
        if wanted:
            return wanted[0]
        if kind == _REJECTED:
            return None
        what = f"{REPORT_KIND[kind]} for order {order_id} of {key[0]}"
        raise StoreConflict(f"reports record {seq} is a {what}, which is not on record as working")

    def _add_order_reports(self, first_seq: int, records: np.ndarray, at: np.ndarray) -> None:
        fields = ("kind", "strategy", "order_id", "px_ticks", "qty_lots", "left_lots", "fee", "reason", "created_ns",
                  "received_ns", "acted_ns", "filled_ns", "deliver_ns")  # fmt: skip
        fills = self._trades(first_seq, records, at)
        for seq, values in zip((first_seq + at).tolist(), _each(records[at], fields), strict=True):
            kind, strategy, order_id, px, qty, left, fee, reason, created, received, acted, filled, deliver = values
            row = self._meant(seq, kind, strategy, order_id, created)
            if row is None:
                self._changes.unmatched += 1
                continue
            if row.status == PENDING:
                row.received_ns, row.acted_ns = received or None, acted or None
                row.provisional = int(kind == _PROVISIONAL)
            if kind == _FILL:
                row.filled_lots += qty
                row.filled_value += px * qty
                row.fees += fee
                row.filled_ns = filled or None
                trade = next(fills)
                trade.order_seq = row.seq
                self._changes.trades.append(trade)
            elif kind in (_ACCEPTED, _REPLACED):
                row.qty_lots = qty
                if kind == _REPLACED:
                    row.price_ticks = px
                if reason:  # the account's risk let less through than the strategy's
                    row.verdict, row.verdict_reason, reason = _ADJUSTED, REASON[reason], 0
            row.status = _AFTER.get(kind) or (
                FILLED if kind == _FILL and not left else PARTIAL if row.filled_lots else OPEN
            )
            row.reason, row.left_lots, row.reported_ns, row.report_seq = REASON[reason], left, deliver, seq
            if row.status not in WORKING:
                self._forget(row)
            if row.seq < self._stored_seq:
                self._changes.changed_orders[row.seq] = row

    def _forget(self, row: OrderRow) -> None:
        key = (row.strategy_id, row.order_id)
        others = [r for r in self._working.pop(key) if r is not row]
        if others:
            self._working[key] = others

    def _trades(self, first_seq: int, records: np.ndarray, at: np.ndarray) -> Iterator[TradeRow]:
        at = at[records["kind"][at] == _FILL]
        fields = ("order_id", "strategy", "symbol", "side", "px_ticks", "qty_lots", "left_lots", "fee", "liquidity",
                  "filled_ns", "deliver_ns", "trigger_seq", "trigger_ns", "order_trigger_ns", "created_ns",
                  "received_ns", "acted_ns")  # fmt: skip
        for seq, values in zip((first_seq + at).tolist(), _each(records[at], fields), strict=True):
            order_id, strategy, symbol, side, px, qty, left, fee, liquidity, *times = values
            yield TradeRow(
                seq, 0, order_id, self._strategies[strategy], self._symbols[symbol], SIDE[side], px, qty, left, fee,
                LIQUIDITY[liquidity], *times,
            )  # fmt: skip

    def _add_accounts(self, first_seq: int, records: np.ndarray, at: np.ndarray) -> None:
        fields = ("strategy", "symbol", "position_lots", "cost", "cash", "realized", "unrealized", "fees", "mark_ticks",
                  "day_realized", "open_orders", "fills", "trading", "reason", "time_ns", "flag_bits")  # fmt: skip
        accounts = np.ascontiguousarray(records[at]).view(ACCOUNT)
        for seq, values in zip((first_seq + at).tolist(), _each(accounts, fields), strict=True):
            (strategy, symbol, position, cost, cash, realized, unrealized, fees, mark,
             day_realized, open_orders, fills, trading, reason, time_ns, flags) = values  # fmt: skip
            key = (self._strategies[strategy], self._symbols[symbol])
            equity = cash + position * mark
            before = self._accounts.get(key)
            # by the identity realized + unrealized - fees = equity - start cash
            start_cash = before.start_cash if before else equity - (realized + unrealized - fees)
            peak = max(before.equity_peak if before else start_cash, equity)
            row = PositionRow(
                *key, position, cost, cash, realized, unrealized, fees, equity, mark, day_realized, start_cash, peak,
                peak - equity, max(before.drawdown_max if before else 0, peak - equity), open_orders, fills,
                TRADING[trading], REASON[reason], time_ns, seq,
            )  # fmt: skip
            self._accounts[key] = self._changes.positions[key] = row
            if flags & (_PERIODIC | _FINAL):
                self._changes.metrics += metrics(row, final=int(flags & _FINAL != 0))


def metrics(account: PositionRow, *, final: int) -> list[MetricRow]:
    """The rows of performance_metrics that one account record makes."""
    money = ("equity", "cash", "realized", "unrealized", "fees", "drawdown")
    figures = [(name, getattr(account, name), "money") for name in money]
    figures += [("position", account.position_lots, "lots")]
    figures += [("open_orders", account.open_orders, "count"), ("fills", account.fills, "count")]
    return [
        MetricRow(account.seq, name, account.strategy_id, account.symbol, account.time_ns, value, unit, final)
        for name, value, unit in figures
    ]


assert ORDER.itemsize == REPORT.itemsize == FEATURES.itemsize == ACCOUNT.itemsize
