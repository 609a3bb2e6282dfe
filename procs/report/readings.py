"""What the pictures are drawn from, read once: series thinned to what a screen can show, counts, mark-outs.

Invariant: values are those of the database to the last digit that a float has; thinning keeps first, last and extremes.
Money and prices are in units, times in seconds since the run's first record. Of a run with several symbols the series are
those of the first one that the account traded.
"""

import math
import sqlite3
from array import array
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from procs.history import Market
from ringsim.analysis.decisions import DIVERGENCE_PLACES, Decisions
from ringsim.analysis.markouts import HORIZONS_MS, NO_MARKOUT, markouts
from ringsim.analysis.thin import thin
from ringsim.analysis.tops import Tops
from ringsim.records import ACCOUNT, ReportKind, Side
from ringsim.store.connection import read_records
from ringsim.units import Instrument

POINTS = 4000  # drawn of a series at most
_CHUNK = 1 << 16
_NS = 1e9


class Series(msgspec.Struct):
    """A line. of: how many points there were before it was thinned."""

    x: list[float] = []
    y: list[float] = []
    of: int = 0


class Fill(msgspec.Struct, frozen=True):
    """A fill as drawn."""

    x: float
    price: float
    qty: float
    fee: float
    side: str
    liquidity: str
    order_id: int


class Markouts(msgspec.Struct, frozen=True):
    """The mean mark-out of the fills of one kind at one horizon, bps of the fill price. error: standard error, None below two."""

    liquidity: str
    horizon_ms: int
    n: int
    mean_bps: float
    error_bps: float | None


class Readings(msgspec.Struct):
    """Everything that is drawn."""

    instrument: Instrument
    start_ns: int  # of the run's clock: x = 0
    equity: Series = msgspec.field(default_factory=Series)
    drawdown: Series = msgspec.field(default_factory=Series)
    position: Series = msgspec.field(default_factory=Series)
    price: Series = msgspec.field(default_factory=Series)
    fills: list[Fill] = []
    fills_of: int = 0
    outcomes: list[tuple[str, str, int]] = []  # status, reason, orders
    decisions: int = 0
    divergence_bps: list[float] = []
    markouts: list[Markouts] = []
    no_markouts: str = ""  # why there are none
    account: dict[str, Any] = {}  # the row of positions_decimal


def read(connection: sqlite3.Connection, path: Path, market: Market | None) -> Readings:
    """Of a run's database, in a transaction. market: None if it cannot be told again."""
    rows = Decisions(connection, path, None if market is None else market.events)
    whose = len(rows.facts.strategies) - 1  # the account; alone, the one strategy is it
    symbol, start_cash, account = _account(connection, whose)
    found = Readings(rows.facts.instruments[symbol], _start_ns(connection), account=account)
    _read_accounts(connection, found, whose, symbol, start_cash)
    _read_fills(connection, found)
    query = "SELECT status, reason, count(*) FROM orders GROUP BY status, reason ORDER BY 3 DESC, 1, 2"
    found.outcomes = list(connection.execute(query))
    divergence, scale = array("d"), 10.0 ** (DIVERGENCE_PLACES - 4)
    for row in rows:
        if row.divergence is not None:
            divergence.append(row.divergence / scale)
    found.decisions, found.divergence_bps = rows.count, divergence.tolist()
    if market is not None:
        found.price = _price(market, found, symbol)
        _read_markouts(connection, market, found, symbol)
    return found


def _account(connection: sqlite3.Connection, whose: int) -> tuple[int, int, dict[str, Any]]:
    """Of the account, in the symbol with the most fills: that one's number, its start cash (money), its row of positions_decimal.

    whose: number that its records carry. (0, 0, {}) if there is none yet.
    """
    cursor = connection.execute(
        "SELECT i.number, q.start_cash, p.* FROM positions_decimal p JOIN positions q USING (strategy_id, symbol)"
        " JOIN instruments i USING (symbol) JOIN strategies s USING (strategy_id) WHERE s.number = ?"
        " ORDER BY p.fills DESC, p.seq LIMIT 1",
        (whose,),
    )
    names, row = [d[0] for d in cursor.description], cursor.fetchone()
    return (0, 0, {}) if row is None else (row[0], row[1], dict(zip(names[2:], row[2:], strict=True)))


def _start_ns(connection: sqlite3.Connection) -> int:
    """The earliest time on record: of an event that was acted on, or of an account."""
    earliest = (
        "min(trigger_ns) FROM orders WHERE trigger_seq >= 0",
        "min(trigger_ns) FROM signals WHERE trigger_seq >= 0",
        "min(trigger_ns) FROM strategy_snapshots WHERE trigger_seq >= 0",
        "min(time_ns) FROM performance_metrics",
    )
    times = [connection.execute(f"SELECT {what}").fetchone()[0] for what in earliest]
    return min((t for t in times if t is not None), default=0)


def _seconds(found: Readings, times_ns: np.ndarray) -> np.ndarray:
    return (times_ns - found.start_ns) / _NS


def _read_accounts(connection: sqlite3.Connection, found: Readings, whose: int, symbol: int, start_cash: int) -> None:
    """Equity, drawdown and position: at the start, then of every ACCOUNT record of the account."""
    times, equities, positions = array("q", [found.start_ns]), array("q", [start_cash]), array("q", [0])
    for _, records in read_records(connection, "reports"):
        accounts = np.ascontiguousarray(records[records["kind"] == ReportKind.ACCOUNT]).view(ACCOUNT)
        accounts = accounts[(accounts["symbol"] == symbol) & (accounts["strategy"] == whose)]
        times.extend(accounts["time_ns"].tolist())
        equities.extend((accounts["cash"] + accounts["position_lots"] * accounts["mark_ticks"]).tolist())
        positions.extend(accounts["position_lots"].tolist())
    if len(times) == 1:
        return
    x, equity, position = _seconds(found, np.array(times)), np.array(equities), np.array(positions)
    drawdown = equity - np.maximum.accumulate(np.maximum(equity, start_cash))
    money, quantity = found.instrument.money, found.instrument.quantity
    found.equity = _series(x, equity, money)
    found.drawdown = _series(x, drawdown, money)
    found.position = _series(x, position, quantity)


def _series(x: np.ndarray, values: np.ndarray, unit: Any) -> Series:
    kept = thin(values, POINTS)
    return Series(x[kept].tolist(), [float(unit(v)) for v in values[kept].tolist()], len(values))


def _read_fills(connection: sqlite3.Connection, found: Readings) -> None:
    query = "SELECT exch_ns, price, qty, fee, side, liquidity, order_id FROM trades_decimal WHERE symbol = ? ORDER BY trade_id"
    rows = connection.execute(query, (found.instrument.symbol,)).fetchall()
    kept = thin(np.array([price for _, price, *_ in rows]), POINTS).tolist()
    found.fills = [Fill((rows[k][0] - found.start_ns) / _NS, *rows[k][1:]) for k in kept]
    found.fills_of = len(rows)


def _price(market: Market, found: Readings, symbol: int) -> Series:
    """The mid, thinned as it is folded: lowest and highest of each stretch of events."""
    tops, n = Tops(market.events, symbol), len(market.events)
    stretch = max(1, -(-2 * n // POINTS))
    seqs_kept, mids_kept, known = [], [], 0
    for first in range(0, n, max(stretch, _CHUNK // stretch * stretch)):
        seqs = np.arange(first, min(n, first + max(stretch, _CHUNK // stretch * stretch)))
        at = tops.at(seqs)
        for start in range(0, len(seqs), stretch):
            part = at[start : start + stretch]
            there = np.flatnonzero(part["bid_ticks"] > 0)
            known += len(there)
            if not len(there):
                continue
            mids = (part["bid_ticks"] + part["ask_ticks"])[there]
            for k in sorted({int(np.argmin(mids)), int(np.argmax(mids))}):
                seqs_kept.append(first + start + int(there[k]))
                mids_kept.append(int(mids[k]))
    if not seqs_kept or (market.realtime and not len(market.anchor_seqs)):
        return Series()
    x = _seconds(found, market.arrivals_ns(np.array(seqs_kept)))
    return Series(x.tolist(), [float(found.instrument.price(m)) / 2 for m in mids_kept], known)


def _read_markouts(connection: sqlite3.Connection, market: Market, found: Readings, symbol: int) -> None:
    """Mean mark-outs of makers and takers at each horizon."""
    times = market.exchange_ns()
    if times is None:
        found.no_markouts = "at full speed the market's times are not those of the run's clock"
        return
    query = "SELECT exch_ns, side, price_ticks, liquidity FROM trades WHERE symbol = ? ORDER BY trade_id"
    rows = connection.execute(query, (found.instrument.symbol,)).fetchall()
    fills = [(when, int(Side[side]), price) for when, side, price, _ in rows if side in Side.__members__]
    half_ticks = markouts(market.events, times, fills, [1_000_000 * ms for ms in HORIZONS_MS], symbol)
    prices = np.array([price for _, _, price in fills], np.float64)
    whose = np.array([liquidity for _, side, _, liquidity in rows if side in Side.__members__])
    for liquidity in sorted(set(whose.tolist())):
        for k, horizon in enumerate(HORIZONS_MS):
            known = (whose == liquidity) & (half_ticks[:, k] != NO_MARKOUT)
            n = int(known.sum())
            if n:
                bps = 1e4 * half_ticks[known, k] / (2 * prices[known])
                error = float(bps.std(ddof=1) / math.sqrt(n)) if n > 1 else None
                found.markouts.append(Markouts(liquidity, horizon, n, float(bps.mean()), error))
