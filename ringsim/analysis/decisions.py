"""A row a decision: each record of the orders ring, with the market and the account as they were known then.

Row n is record n of the orders ring; none is left out and none is made up. The account is the newest ACCOUNT record that had
reached the strategy by then (deliver_ns <= t): nothing in a row was unknown at its time. Of several strategies it is the share
of the one that decided, whose number is a column more.

    external_px   the prediction in force, without one the microprice (Pb qa + Pa qb) / (qa + qb), rounded half to even to a
                  millionth of a tick; market_px the mid, exact; both of the newest whole message up to the record's trigger
    divergence    (external_px - market_px) / market_px, of the two as written, rounded half to even to 12 decimals

Invariant: integers throughout; `Scales` says how many decimals each has. Memory holds a chunk of records, whatever the run.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ringsim.analysis.tops import Tops
from ringsim.records import ACCOUNT, OrderKind, ReportKind, Side, Trading
from ringsim.store.connection import read_facts, read_records, typed
from ringsim.store.errors import StoreCorrupt
from ringsim.store.schema import RunFacts
from ringsim.units import Instrument, fixed, fraction

COLUMNS = (
    "t", "external_px", "market_px", "divergence", "action", "equity", "realized_pnl", "position", "halted",
)  # fmt: skip

STRATEGY = "strategy"  # the column after them where there are several strategies

EXTERNAL_PLACES = 6  # decimals of external_px beyond those of the tick
DIVERGENCE_PLACES = 12

_SIDES = {Side.BUY: "buy", Side.SELL: "sell"}
_WORDS = {
    OrderKind.CANCEL: "cancel",
    OrderKind.CANCEL_ALL: "cancel_all",
    OrderKind.REPLACE: "replace",
    OrderKind.SIGNAL_END: "signal_end",
    OrderKind.SNAPSHOT: "hold",
}
_SIDED = {OrderKind.NEW: "", OrderKind.REFUSED: "refused_", OrderKind.SIGNAL: "signal_"}
ACTIONS = (*(start + side for start in _SIDED.values() for side in _SIDES.values()), *_WORDS.values())

_ACCOUNT, _HALTED = int(ReportKind.ACCOUNT), int(ReportKind.HALTED)


class Decision(msgspec.Struct, frozen=True, gc=False):
    """A row. t: ns of the run's clock. The others are integers of `Scales`; None: not known (no market, no account yet)."""

    t: int
    external_px: int | None
    market_px: int | None
    divergence: int | None
    action: str
    equity: int | None
    realized_pnl: int | None
    position: int
    halted: int
    strategy: int  # its number
    symbol: int  # its number, and so its scales; no column


class Scales(msgspec.Struct, frozen=True, dict=True):
    """How an instrument's integers become decimals: each x its multiple / 10**places."""

    tick: tuple[int, int]
    lot: tuple[int, int]

    @classmethod
    def of(cls, instrument: Instrument) -> "Scales":
        """Of an instrument's grid. BadInput if it has none."""
        return cls(fraction(instrument.tick, "tick"), fraction(instrument.lot, "lot"))

    @cached_property
    def places(self) -> dict[str, int]:
        """Decimals of each column that has any, in a Decision."""
        money = self.tick[1] + self.lot[1]
        return {
            "external_px": self.tick[1] + EXTERNAL_PLACES,
            "market_px": self.tick[1] + 1,
            "divergence": DIVERGENCE_PLACES,
            "equity": money,
            "realized_pnl": money,
            "position": self.lot[1],
        }

    def external(self, top: Any) -> int:
        """The prediction, or the microprice, of a TOP record with one of the two."""
        unit = self.tick[0] * 10**EXTERNAL_PLACES
        if top["prediction_ticks"] > 0:
            return int(top["prediction_ticks"]) * unit
        bid, ask, bids, asks = (int(top[n]) for n in ("bid_ticks", "ask_ticks", "bid_lots", "ask_lots"))
        return _rounded((bid * asks + ask * bids) * unit, bids + asks)

    def market(self, top: Any) -> int:
        """The mid of a TOP record with a market."""
        return (int(top["bid_ticks"]) + int(top["ask_ticks"])) * self.tick[0] * 5

    def divergence(self, external: int, market: int) -> int:
        """Of external_px and market_px as they are written."""
        same = market * 10 ** (EXTERNAL_PLACES - 1)  # at external_px's scale
        return _rounded((external - same) * 10**DIVERGENCE_PLACES, same)


def _rounded(numerator: int, denominator: int) -> int:
    """numerator / denominator (> 0), half to even."""
    whole, rest = divmod(numerator, denominator)
    return whole + (2 * rest > denominator or (2 * rest == denominator and whole & 1))


def text(row: Decision, places: Mapping[str, int], columns: Sequence[str] = COLUMNS) -> list[str]:
    """The row's columns as exact decimal text, "" where a value is not known. places: `Scales.places` of its symbol."""
    found = []
    for name in columns:
        value = getattr(row, name)
        found.append("" if value is None else fixed(value, places[name]) if name in places else str(value))
    return found


class Decisions:
    """The rows of a run's database, as of one moment, also while it is being written."""

    def __init__(self, connection: sqlite3.Connection, path: Path, events: np.ndarray | None) -> None:
        """connection: from connect_reading, in a transaction. events: the run's market, None leaves its columns empty."""
        self._connection, self._path = connection, path
        try:
            self.facts: RunFacts = read_facts(connection)
            (self.count,) = connection.execute("SELECT next_seq FROM cursors WHERE ring = 'orders'").fetchone()
            query = (
                "SELECT s.number, i.number, start_cash FROM positions JOIN strategies s USING (strategy_id)"
                " JOIN instruments i USING (symbol)"
            )
            self._start = {(strategy, symbol): cash for strategy, symbol, cash in connection.execute(query)}
        except sqlite3.Error as error:
            raise typed(error, path, "reading") from None
        self.columns = (*COLUMNS, STRATEGY) if len(self.facts.strategies) > 1 else COLUMNS
        self.scales = [Scales.of(i) for i in self.facts.instruments]
        self._tops = [] if events is None else [Tops(events, k) for k in range(len(self.scales))]

    def places_of(self, row: Decision) -> dict[str, int]:
        """Decimals of the row's columns; none of them has any if nobody declared its symbol."""
        return self.scales[row.symbol].places if row.symbol < len(self.scales) else {}

    def __iter__(self) -> Iterator[Decision]:
        """The rows in the ring's order, once. Raises StoreCorrupt where a record is missing."""
        accounts, expected = _Accounts(self._connection, self._start), 0
        try:
            for first_seq, records in read_records(self._connection, "orders"):
                if first_seq != expected:
                    raise StoreCorrupt(f"{self._path}: orders record {expected} is missing")
                expected += len(records)
                yield from self._rows(records, accounts)
        except sqlite3.Error as error:
            raise typed(error, self._path, "reading") from None
        if expected != self.count:
            raise StoreCorrupt(
                f"{self._path}: orders holds {expected} records, its cursor says {self.count}; keep it for inspection"
            )

    def _rows(self, records: np.ndarray, accounts: "_Accounts") -> Iterator[Decision]:
        tops: dict[int, Any] = {}
        for symbol, folded in enumerate(self._tops):
            at = np.flatnonzero(records["symbol"] == symbol)
            tops |= zip(at.tolist(), folded.at(records["trigger_seq"][at]), strict=True)
        names = ("created_ns", "strategy", "symbol", "kind", "side")
        for k, (t, strategy, symbol, kind, side) in enumerate(
            zip(*(records[name].tolist() for name in names), strict=True)
        ):
            external = market = divergence = None
            if k in tops and (tops[k]["bid_ticks"] > 0 or tops[k]["prediction_ticks"] > 0):
                external = self.scales[symbol].external(tops[k])
            if external is not None and tops[k]["bid_ticks"] > 0:
                market = self.scales[symbol].market(tops[k])
                divergence = self.scales[symbol].divergence(external, market)
            equity, realized, position, halted = accounts.known(t, strategy, symbol)
            if symbol < len(self.scales):
                (tick, _), (lot, _) = self.scales[symbol].tick, self.scales[symbol].lot
                equity = None if equity is None else equity * tick * lot
                realized = None if realized is None else realized * tick * lot
                position *= lot
            yield Decision(
                t, external, market, divergence, action_word(kind, side), equity, realized, position, halted, strategy,
                symbol,
            )  # fmt: skip


def action_word(kind: int, side: int) -> str:
    """What a record of the orders ring decided (ACTIONS); a kind or side that no list has reads unknown_<kind>_<side>."""
    if kind in _WORDS:
        return _WORDS[OrderKind(kind)]
    if kind in _SIDED and side in _SIDES:
        return _SIDED[OrderKind(kind)] + _SIDES[Side(side)]
    return f"unknown_{kind}_{side}"


class _Accounts:
    """The account of each strategy and symbol as last reported, followed in step with the decisions."""

    def __init__(self, connection: sqlite3.Connection, start: Mapping[tuple[int, int], int]) -> None:
        self._said = self._each(connection)
        self._next = next(self._said, None)
        self._known: dict[tuple[int, int], tuple[int | None, int | None, int, int]] = {
            key: (cash, 0, 0, 0) for key, cash in start.items()
        }
        self._halted = 0  # by a HALTED report, until an account says otherwise

    @staticmethod
    def _each(
        connection: sqlite3.Connection,
    ) -> Iterator[tuple[int, tuple[int, int] | None, tuple[int, int, int, int]]]:
        """(deliver_ns, strategy and symbol, (equity, realized, position, halted)); without a key: trading halted."""
        names = (
            "kind",
            "deliver_ns",
            "strategy",
            "symbol",
            "cash",
            "position_lots",
            "mark_ticks",
            "realized",
            "trading",
        )
        for _, records in read_records(connection, "reports"):
            said = records[(records["kind"] == _ACCOUNT) | (records["kind"] == _HALTED)]
            accounts = np.ascontiguousarray(said).view(ACCOUNT)
            for kind, when, strategy, symbol, cash, position, mark, realized, trading in zip(
                *(accounts[name].tolist() for name in names), strict=True
            ):
                if kind == _HALTED:
                    yield when, None, (0, 0, 0, 1)
                else:
                    halted = int(trading == Trading.HALTED)
                    yield when, (strategy, symbol), (cash + position * mark, realized, position, halted)

    def known(self, t: int, strategy: int, symbol: int) -> tuple[int | None, int | None, int, int]:
        """(equity, realized, position, halted) at time t, which never decreases; before any account, as at the start."""
        while self._next is not None and self._next[0] <= t:
            _, key, account = self._next
            self._halted = account[3]
            if key is not None:
                self._known[key] = account
            self._next = next(self._said, None)
        equity, realized, position, _ = self._known.get((strategy, symbol), (None, None, 0, 0))
        return equity, realized, position, self._halted
