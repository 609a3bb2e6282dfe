"""Record streams that a strategy and a broker could have made, from a list of actions that hypothesis draws and shrinks.

Not an exchange: it only keeps the promises that the store relies on (an order before its reports, one answer an order, a
done order stays done). Numbers are arbitrary where no promise binds them.
"""

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from ringsim.records import (
    ACCOUNT,
    FEATURES,
    ORDER,
    REPORT,
    OrderKind,
    OrderType,
    Reason,
    ReportFlag,
    ReportKind,
    Side,
    Status,
    Tif,
    Verdict,
)
from ringsim.store.schema import RunFacts
from ringsim.units import Instrument

SYMBOLS = ("BTCUSDT", "ODD")
STRATEGIES = ("imbalance_v1", "other")
FACTS = RunFacts(
    run_id="20240808-235413-ab12",
    clock="simulated",
    created="2024-08-08T23:54:13Z",
    instruments=(Instrument("BTCUSDT", ".01", "0.00001"), Instrument("ODD", "0.25", "5", "synthetic", "USD")),
    strategies=STRATEGIES,
    ringsim="0.1.0",
)
CASH0 = 100_000 * 10**7

ACTIONS = ("new", "again", "refuse", "cancel", "noted", "accept", "adjust", "reject", "provisional", "fill", "finish",
           "cancelled", "replaced", "cancel_rejected", "halt", "signal", "signal_end", "snapshot", "account",
           "periodic", "final", "unreadable")  # fmt: skip

small = st.integers(0, 5)
actions = st.lists(st.tuples(st.sampled_from(ACTIONS), small, small, st.integers(1, 1 << 33)), max_size=50)
# Most actions need an order that works, so a stream without accepted orders shows little.
busy = st.lists(
    st.tuples(st.sampled_from((*ACTIONS, "new", "accept", "fill", "new", "accept", "fill")), small, small, st.integers(1, 1 << 33)),
    min_size=20,
    max_size=80,
)  # fmt: skip


class Stream(NamedTuple):
    """cuts: (orders, reports) that exist after each action: a batch may end at any of them."""

    orders: np.ndarray
    reports: np.ndarray
    cuts: list[tuple[int, int]]


class _Maker:
    def __init__(self) -> None:
        self.orders: list[np.ndarray] = []
        self.reports: list[np.ndarray] = []
        self.pending: list[np.ndarray] = []  # orders without an answer, oldest first
        self.open: list[list] = []  # [order, left, status]
        self.last_id = [0, 0]
        self.now = 1_723_161_253_000_000_000

    def order(self, kind: int, a: int, b: int, number: int) -> np.ndarray:
        self.now += 1 + number % 1_000_003
        record = np.zeros(1, ORDER)[0]
        record["trigger_seq"], record["trigger_ns"] = number % 9973, self.now - 1500
        record["created_ns"], record["kind"] = self.now, kind
        record["strategy"], record["symbol"] = a % 2, b % 2 if a < 5 else 7
        self.orders.append(record)
        return record

    def report(self, kind: int, order: np.ndarray | None, status: int, left: int, number: int) -> np.ndarray:
        self.now += 1 + number % 1_000_003
        record = np.zeros(1, REPORT)[0]
        record["kind"], record["status"], record["left_lots"] = kind, status, left
        record["trigger_seq"], record["trigger_ns"], record["deliver_ns"] = number % 9973, self.now - 70, self.now
        if order is not None:
            for field in (
                "order_id",
                "created_ns",
                "px_ticks",
                "qty_lots",
                "symbol",
                "strategy",
                "side",
                "type",
                "tif",
            ):
                record[field] = order[field]
            record["order_trigger_ns"], record["order_kind"] = order["trigger_ns"], order["kind"]
            record["received_ns"], record["acted_ns"] = self.now - 60, self.now - 50
        self.reports.append(record)
        return record

    def new(self, a: int, b: int, number: int, again: bool = False, kind: int = OrderKind.NEW) -> None:
        record = self.order(kind, a, b, number)
        strategy = int(record["strategy"])
        if not again and kind == OrderKind.NEW:
            self.last_id[strategy] += 1
        record["order_id"] = (
            self.last_id[strategy] if kind == OrderKind.NEW else number % 2 * (self.last_id[strategy] + 1000)
        )
        record["type"] = OrderType.MARKET if b == 3 else OrderType.LIMIT
        record["px_ticks"] = 0 if b == 3 else 1 + number % 6_000_000
        record["asked_lots"], record["qty_lots"] = number % 50_000 + 3, number % 50_000 + 2
        record["side"], record["tif"] = 1 + a % 2, 1 + b % 4
        record["verdict"] = Verdict.REJECTED if kind == OrderKind.REFUSED else 1 + a % 2
        record["reason"] = Reason.POSITION if kind == OrderKind.REFUSED or a % 2 else Reason.NONE
        record["flag_bits"], record["signal_id"] = b % 4, number % 3
        record["spare"] = number, -number
        if kind == OrderKind.NEW:
            self.pending.append(record)

    def answer(self, kind: int, status: int, reason: int, a: int, number: int, share: int = 1) -> None:
        if not self.pending:
            return
        order = self.pending.pop(0 if number % 7 else -1)  # an immediate refusal may overtake what is in flight
        taken = any((o["strategy"], o["order_id"]) == (order["strategy"], order["order_id"]) for o, *_ in self.open)
        if taken:
            kind, status, reason, share = ReportKind.REJECTED, Status.REJECTED, Reason.DUPLICATE_ID, 1
        left = max(1, int(order["qty_lots"]) // share)
        record = self.report(kind, order, status, left, number)
        record["reason"], record["flag_bits"], record["qty_lots"] = reason, ReportFlag.RETURNS_CREDIT, left
        if number % 5 == 0 and kind != ReportKind.ACCEPTED:
            record["acted_ns"], record["status"] = 0, 0  # refused before the exchange saw it
        if kind == ReportKind.ACCEPTED:
            self.open.append([order, left, Status.OPEN])

    def fill(self, a: int, number: int, whole: bool) -> None:
        if not self.open:
            return
        entry = self.open[a % len(self.open)]
        order, left, _ = entry
        lots = left if whole else 1 + number % left
        entry[1], entry[2] = left - lots, Status.PARTIAL if left > lots else Status.FILLED
        record = self.report(ReportKind.FILL, order, entry[2], left - lots, number)
        record["px_ticks"], record["qty_lots"], record["fee"] = 1 + number % 6_000_000, lots, number % 4001 - 2000
        record["liquidity"], record["filled_ns"] = 1 + a % 2, self.now - 40
        if not entry[1]:
            self.open.remove(entry)

    def close(self, a: int, b: int, number: int) -> None:
        """A cancellation: of an open order, or of one that a halt met on its way."""
        if self.open:
            order, left, _ = self.open.pop(a % len(self.open))
        elif self.pending:
            order = self.pending.pop(0)
            left = int(order["qty_lots"])
        else:
            return
        record = self.report(ReportKind.CANCELLED, order, Status.CANCELLED, left, number)
        record["reason"] = Reason.ASKED if b % 2 else Reason.KILL_SWITCH
        record["order_kind"] = OrderKind.CANCEL if b % 2 else OrderKind.NEW

    def replace(self, a: int, number: int) -> None:
        if not self.open:
            return
        entry = self.open[a % len(self.open)]
        entry[1] = 1 + number % 777
        record = self.report(ReportKind.REPLACED, entry[0], entry[2], entry[1], number)
        record["px_ticks"], record["qty_lots"] = 1 + number % 5_000_000, entry[1] + 3
        record["order_kind"], record["reason"] = OrderKind.REPLACE, Reason.POSITION if number % 3 == 0 else 0

    def account(self, a: int, b: int, number: int, flags: int) -> None:
        self.now += 1 + number % 1_000_003
        record = np.zeros(1, ACCOUNT)
        record["kind"], record["flag_bits"] = ReportKind.ACCOUNT, flags
        record["strategy"], record["symbol"] = a % 2, b % 2
        record["time_ns"], record["deliver_ns"] = self.now, self.now + 9
        position, mark = number % 2001 - 1000, 1 + number % 6_000_000
        cash, realized, fees = CASH0 - number % 10**11, number % 70_001 - 35_000, number % 5003
        record["position_lots"], record["mark_ticks"], record["cash"] = position, mark, cash
        record["realized"], record["fees"] = realized, fees
        record["unrealized"] = cash + position * mark - CASH0 - realized + fees
        record["cost"], record["day_realized"] = number % 999 - 500, realized - fees
        record["open_orders"], record["fills"], record["trading"] = len(self.open) % 65, number % 77, b % 3
        record["reason"] = Reason.DAILY_LOSS if b % 3 == 2 else 0
        self.reports.append(record.view(REPORT)[0])

    def snapshot(self, a: int, b: int, number: int) -> None:
        self.now += 1 + number % 1_000_003
        record = np.zeros(1, FEATURES)
        record["kind"], record["strategy"], record["symbol"] = OrderKind.SNAPSHOT, a % 2, b % 2
        record["sample"], record["trigger_seq"], record["trigger_ns"] = number, number % 9973, self.now - 5
        record["created_ns"] = self.now
        record["bid_ticks"], record["ask_ticks"], record["position_lots"] = number % 6_000_000, 6_000_001, 17 - number
        record["imbalance"], record["spread_bps"] = (number % 2001 - 1000) / 1000, number / 3
        record["depth_ratio"] = float("inf") if b == 4 else 1 / number
        record["pressure_bps"] = float("nan") if a == 4 else -1e-9
        record["momentum_bps"], record["volatility"], record["trade_flow"] = 0.1 + number, 1e-300, -0.0
        self.orders.append(record.view(ORDER)[0])

    def signal(self, kind: int, a: int, b: int, number: int) -> None:
        record = self.order(kind, a, b, number)
        record["signal_id"], record["side"] = number % 4 + 1, 1 + b % 2
        record["strength_ppm"], record["confidence_ppm"] = number % 2_000_001 - 1_000_000, number % 1_000_001
        record["verdict"], record["reason"] = number % 4, Reason.ASKED if b % 2 else 0
        record["hold_ns"] = number if kind == OrderKind.SIGNAL_END else 0

    def act(self, action: str, a: int, b: int, number: int) -> None:
        if action in ("new", "again"):
            self.new(a, b, number, again=action == "again")
        elif action == "refuse":
            self.new(a, b, number, kind=OrderKind.REFUSED)
        elif action == "cancel":
            self.order((OrderKind.CANCEL, OrderKind.CANCEL_ALL, OrderKind.REPLACE)[b % 3], a, b, number)[
                "target_id"
            ] = a
        elif action == "unreadable":
            self.report(ReportKind.REJECTED, self.order(99, a, b, number), Status.REJECTED, 0, number)
        elif action == "noted" and self.orders:
            self.report(ReportKind.NOTED, self.orders[-1], 0, 0, number)
        elif action in ("accept", "adjust"):
            cut = action == "adjust"
            self.answer(
                ReportKind.ACCEPTED, Status.OPEN, Reason.NOTIONAL if cut else 0, a, number, share=2 if cut else 1
            )
        elif action == "reject":
            self.answer(ReportKind.REJECTED, Status.REJECTED, Reason.WOULD_TAKE, a, number)
        elif action == "provisional":
            self.answer(ReportKind.PROVISIONAL, Status.PROVISIONAL, Reason.NOT_READY, a, number)
        elif action in ("fill", "finish"):
            self.fill(a, number, whole=action == "finish")
        elif action == "cancelled":
            self.close(a, b, number)
        elif action == "replaced":
            self.replace(a, number)
        elif action == "cancel_rejected" and self.orders:
            self.report(ReportKind.CANCEL_REJECTED, self.orders[-1], 0, 0, number)["reason"] = Reason.UNKNOWN_ORDER
        elif action == "halt":
            self.report(ReportKind.HALTED, None, 0, 0, number)["reason"] = Reason.KILL_SWITCH
        elif action == "signal":
            self.signal(OrderKind.SIGNAL, a, b, number)
        elif action == "signal_end":
            self.signal(OrderKind.SIGNAL_END, a, b, number)
        elif action == "snapshot":
            self.snapshot(a, b, number)
        elif action in ("account", "periodic", "final"):
            self.account(a, b, number, {"periodic": ReportFlag.PERIODIC, "final": ReportFlag.FINAL}.get(action, 0))


def _array(records: list[np.ndarray], dtype: np.dtype) -> np.ndarray:
    array = np.zeros(len(records), dtype)
    for k, record in enumerate(records):
        array[k] = record
    array["stamp"] = np.arange(1, len(array) + 1)
    return array


def build(drawn: list[tuple[str, int, int, int]]) -> Stream:
    """The streams that these actions make; an action that makes no sense where it stands makes nothing."""
    maker = _Maker()
    cuts = [(0, 0)]
    for action, a, b, number in drawn:
        maker.act(action, a, b, number)
        cuts.append((len(maker.orders), len(maker.reports)))
    return Stream(_array(maker.orders, ORDER), _array(maker.reports, REPORT), cuts)


def slices(stream: Stream, ends: list[tuple[int, int]]) -> list[dict[str, tuple[int, np.ndarray]]]:
    """Arguments of Store.write for the batches that end at each of `ends` (pairs as in stream.cuts, ascending)."""
    found, o, r = [], 0, 0
    for o_end, r_end in ends:
        found.append({"orders": (o, stream.orders[o:o_end]), "reports": (r, stream.reports[r:r_end])})
        o, r = o_end, r_end
    return found


def long_stream(actions_count: int, seed: int = 7) -> Stream:
    """A stream of about that many records for measurements and crashes: mostly orders, answers and fills."""
    random = np.random.default_rng(seed)
    common = ("new", "accept", "fill", "finish", "account", "signal", "signal_end", "cancelled", "snapshot", "periodic",
              "refuse", "noted")  # fmt: skip
    weights = np.array([20, 21, 14, 11, 14, 3, 3, 11, 1, 1, 4, 4.0])
    names = random.choice(len(common), actions_count, p=weights / weights.sum())
    numbers = random.integers(1, 1 << 33, (actions_count, 3))
    return build([(common[n], int(a) % 4, int(b) % 5, int(c)) for n, (a, b, c) in zip(names, numbers, strict=True)])


assert len(Side) == 3 and len(Tif) == 4  # what `new` draws from
