"""Tops, mark-outs and decisions once more, with a dict for a book, fractions for numbers, and a look at everything each time."""

import sqlite3
from fractions import Fraction

import numpy as np

from ringsim.records import ACCOUNT, ORDER, REPORT, EventKind, OrderKind, ReportKind, Side, Trading
from tests.naive.book import NaiveBook

FOLDED = (EventKind.LEVEL, EventKind.SNAPSHOT_BEGIN, EventKind.SNAPSHOT_END, EventKind.GAP)


def naive_tops(events, symbol=0):
    """After each event: (bid, ask, bid lots, ask lots, prediction)."""
    book, top, prediction, found = NaiveBook(), (0, 0, 0, 0), 0, []
    for e in events:
        if e["symbol"] == symbol:
            if e["kind"] == EventKind.PREDICTION:
                prediction = int(e["px_ticks"])
            if e["kind"] in FOLDED:
                level = [int(e[n]) for n in ("side", "px_ticks", "qty_lots")]
                whole = book.fold(e["kind"], *level, int(e["flag_bits"]))
                bid, ask = book.best(Side.BUY), book.best(Side.SELL)
                if whole and bid and ask and bid < ask:
                    top = (bid, ask, book.qty(Side.BUY, bid), book.qty(Side.SELL, ask))
                elif whole or book.state != "valid":
                    top = (0, 0, 0, 0)
        found.append((*top, prediction))
    return found


def naive_markouts(events, times_ns, fills, horizons_ns):
    """Mark-outs in ticks as Fractions, None where there is no market at that time or the events are over."""
    tops, found = naive_tops(events), []
    for when, side, price in fills:
        row = []
        for h in horizons_ns:
            seen = [k for k, t in enumerate(times_ns) if t <= when + h]
            bid, ask, *_ = tops[seen[-1]] if seen else (0, 0)
            known = bid > 0 and when + h <= times_ns[-1]
            gain = Fraction(bid + ask, 2) - price
            row.append((gain if side == Side.BUY else -gain) if known else None)
        found.append(row)
    return found


def stored(database, ring, dtype):
    """The records of a ring as they lie in the database, stamps 0."""
    with sqlite3.connect(database) as connection:
        rows = connection.execute("SELECT record FROM ring_records WHERE ring = ? ORDER BY seq", (ring,)).fetchall()
    return np.frombuffer(b"".join(bytes(8) + row for (row,) in rows), dtype)


def naive_decisions(database, events, tick, lot):
    """Rows as dicts of exact values: Fractions, ints, words; None where nothing is known. One strategy, one symbol.

    tick, lot: Fractions. external_px is not rounded; divergence is that of the exact two.
    """
    orders, reports = stored(database, "orders", ORDER), stored(database, "reports", REPORT)
    said = [r for r in reports if r["kind"] in (ReportKind.ACCOUNT, ReportKind.HALTED)]
    tops = naive_tops(events)
    with sqlite3.connect(database) as connection:
        (start,) = connection.execute("SELECT start_cash FROM positions").fetchone()
    found = []
    for o in orders:
        bid, ask, bids, asks, prediction = tops[o["trigger_seq"]] if o["trigger_seq"] >= 0 else (0, 0, 0, 0, 0)
        external = market = divergence = None
        if prediction:
            external = prediction * tick
        elif bid:
            external = Fraction(bid * asks + ask * bids, bids + asks) * tick
        if bid:
            market = Fraction(bid + ask, 2) * tick
            divergence = (external - market) / market
        equity, realized, position, halted = start, 0, 0, 0
        for r in said:
            if r["deliver_ns"] > o["created_ns"]:
                break
            if r["kind"] == ReportKind.HALTED:
                halted = 1
                continue
            a = np.frombuffer(r.tobytes(), ACCOUNT)[0]
            position, realized = int(a["position_lots"]), int(a["realized"])
            equity, halted = int(a["cash"]) + position * int(a["mark_ticks"]), int(a["trading"] == Trading.HALTED)
        kind, side = OrderKind(int(o["kind"])), Side(int(o["side"])).name.lower()
        action = {
            OrderKind.NEW: side,
            OrderKind.REFUSED: f"refused_{side}",
            OrderKind.SIGNAL: f"signal_{side}",
            OrderKind.SIGNAL_END: "signal_end",
            OrderKind.SNAPSHOT: "hold",
        }.get(kind, kind.name.lower())
        found.append(
            {
                "t": int(o["created_ns"]), "external_px": external, "market_px": market, "divergence": divergence,
                "action": action, "equity": equity * tick * lot, "realized_pnl": realized * tick * lot,
                "position": position * lot, "halted": halted,
            }
        )  # fmt: skip
    return found
