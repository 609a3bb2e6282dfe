"""The tables of a run, from its records, one dict a row. First all reports of an order are gathered, then the row is read off."""

from ringsim.records import (
    ACCOUNT,
    FEATURES,
    Liquidity,
    OrderKind,
    OrderType,
    Reason,
    ReportFlag,
    ReportKind,
    Side,
    Tif,
    Trading,
    Verdict,
)

ANSWERS = {ReportKind.ACCEPTED, ReportKind.PROVISIONAL, ReportKind.REJECTED}
ABOUT_AN_OPEN_ORDER = {ReportKind.FILL, ReportKind.CANCELLED, ReportKind.REPLACED}


def name(enum, number):
    return enum(number).name if number in set(enum) else f"UNKNOWN_{number}"


def named(names, number):
    return names[number] if number < len(names) else f"UNKNOWN_{number}"


def fields(record):
    return {field: record[field].item() for field in record.dtype.names if record[field].ndim == 0}


def tables(orders, reports, strategies, symbols):
    """{table: [row, ...]}, rows in the order of their keys."""
    return {
        "orders": order_rows(orders, reports, strategies, symbols),
        "trades": trade_rows(orders, reports, strategies, symbols),
        "signals": signal_rows(orders, strategies, symbols),
        "strategy_snapshots": snapshot_rows(orders, strategies, symbols),
        "positions": position_rows(reports, strategies, symbols),
        "performance_metrics": metric_rows(reports, strategies, symbols),
    }


def status_after(report, filled):
    if report["kind"] == ReportKind.FILL:
        return "PARTIAL" if report["left_lots"] else "FILLED"
    if report["kind"] in (ReportKind.ACCEPTED, ReportKind.REPLACED):
        return "PARTIAL" if filled else "OPEN"
    return ReportKind(report["kind"]).name


def is_done(report):
    return status_after(report, 0) in ("FILLED", "CANCELLED", "REJECTED", "PROVISIONAL")


def reports_by_order(orders, reports):
    """[(seq of the order, the order, [(seq, report), ...]), ...] of every NEW and REFUSED record."""
    kept = [(seq, fields(o), []) for seq, o in enumerate(orders) if o["kind"] in (OrderKind.NEW, OrderKind.REFUSED)]
    for seq, record in enumerate(reports):
        report = fields(record)
        mine = [
            (order, about)
            for _, order, about in kept
            if order["kind"] == OrderKind.NEW
            and (order["strategy"], order["order_id"]) == (report["strategy"], report["order_id"])
            and not (about and is_done(about[-1][1]))
        ]
        unanswered = [(order, about) for order, about in mine if not about]
        answered = [(order, about) for order, about in mine if about]
        if report["kind"] in ANSWERS and report["order_kind"] == OrderKind.NEW:
            meant = unanswered
        elif report["kind"] in ABOUT_AN_OPEN_ORDER:
            meant = answered or unanswered
        else:
            continue
        same_time = [about for order, about in meant if order["created_ns"] == report["created_ns"]]
        (same_time + [about for _, about in meant])[0].append((seq, report))
    return kept


def order_rows(orders, reports, strategies, symbols):
    rows = []
    for seq, order, about in reports_by_order(orders, reports):
        refused = order["kind"] == OrderKind.REFUSED
        fills = [r for _, r in about if r["kind"] == ReportKind.FILL]
        answer = about[0][1] if about else None
        replaced = [r for _, r in about if r["kind"] == ReportKind.REPLACED]
        sized = [r for _, r in about if r["kind"] in (ReportKind.ACCEPTED, ReportKind.REPLACED)]
        cut = [r for r in sized if r["reason"]]
        last_seq, last = about[-1] if about else (None, None)
        reason = order["reason"] if refused else 0
        if last and last not in sized:
            reason = last["reason"]
        price = replaced[-1]["px_ticks"] if replaced else order["px_ticks"]
        if order["type"] == OrderType.MARKET and not replaced:
            price = None
        rows.append(
            {
                "seq": seq,
                "order_id": order["order_id"] if order["order_id"] else None,
                "strategy_id": named(strategies, order["strategy"]),
                "symbol": named(symbols, order["symbol"]),
                "kind": name(OrderKind, order["kind"]),
                "side": name(Side, order["side"]),
                "type": name(OrderType, order["type"]),
                "tif": name(Tif, order["tif"]),
                "price_ticks": price,
                "qty_lots": ([order] + sized)[-1]["qty_lots"],
                "asked_lots": order["asked_lots"],
                "filled_lots": sum(f["qty_lots"] for f in fills),
                "left_lots": last["left_lots"] if last else order["qty_lots"],
                "filled_value": sum(f["px_ticks"] * f["qty_lots"] for f in fills),
                "fees": sum(f["fee"] for f in fills),
                "status": status_after(last, fills) if last else "REJECTED" if refused else "PENDING",
                "reason": name(Reason, reason),
                "verdict": "ADJUSTED" if cut else name(Verdict, order["verdict"]),
                "verdict_reason": name(Reason, cut[-1]["reason"] if cut else order["reason"]),
                "provisional": 1 if answer and answer["kind"] == ReportKind.PROVISIONAL else 0,
                "reduces": order["flag_bits"] % 2,
                "closes": order["flag_bits"] // 2 % 2,
                "signal_id": order["signal_id"] if order["signal_id"] else None,
                "trigger_seq": order["trigger_seq"],
                "trigger_ns": order["trigger_ns"],
                "created_ns": order["created_ns"],
                "received_ns": (answer["received_ns"] or None) if answer else None,
                "acted_ns": (answer["acted_ns"] or None) if answer else None,
                "filled_ns": (fills[-1]["filled_ns"] or None) if fills else None,
                "reported_ns": last["deliver_ns"] if last else None,
                "report_seq": last_seq,
            }
        )
    return rows


def trade_rows(orders, reports, strategies, symbols):
    rows = []
    for order_seq, _, about in reports_by_order(orders, reports):
        for seq, report in about:
            if report["kind"] == ReportKind.FILL:
                row = {"trade_id": seq, "order_seq": order_seq, "order_id": report["order_id"]}
                row |= {
                    "strategy_id": named(strategies, report["strategy"]),
                    "symbol": named(symbols, report["symbol"]),
                }
                row |= {"side": name(Side, report["side"]), "liquidity": name(Liquidity, report["liquidity"])}
                row |= {
                    "price_ticks": report["px_ticks"],
                    "exch_ns": report["filled_ns"],
                    "recv_ns": report["deliver_ns"],
                }
                same = ("qty_lots", "left_lots", "fee", "trigger_seq", "trigger_ns", "order_trigger_ns", "created_ns",
                        "received_ns", "acted_ns")  # fmt: skip
                rows.append(row | {field: report[field] for field in same})
    return sorted(rows, key=lambda row: row["trade_id"])


def signal_rows(orders, strategies, symbols):
    rows = []
    for seq, record in enumerate(orders):
        order = fields(record)
        strategy_id = named(strategies, order["strategy"])
        if order["kind"] in (OrderKind.NEW, OrderKind.REFUSED) and order["verdict"] != Verdict.NONE:
            active = [r for r in rows if (r["strategy_id"], r["signal_id"]) == (strategy_id, order["signal_id"])][-1:]
            for row in active:
                if row["ended_ns"] is None and row["verdict"] == "NONE":
                    row |= {"verdict": name(Verdict, order["verdict"]), "reason": name(Reason, order["reason"])}
        mine = [r for r in rows if (r["strategy_id"], r["signal_id"]) == (strategy_id, order["signal_id"])]
        if order["kind"] in (OrderKind.SIGNAL, OrderKind.SIGNAL_END) and mine and mine[-1]["ended_ns"] is None:
            mine[-1] |= {"ended_ns": order["created_ns"], "end_seq": seq}
            if order["kind"] == OrderKind.SIGNAL_END:
                mine[-1] |= {"hold_ns": order["hold_ns"], "end_reason": name(Reason, order["reason"])}
        if order["kind"] == OrderKind.SIGNAL:
            row = {"seq": seq, "strategy_id": strategy_id, "symbol": named(symbols, order["symbol"])}
            row |= {"side": name(Side, order["side"]), "verdict": name(Verdict, order["verdict"])}
            row |= {"reason": name(Reason, order["reason"]), "started_ns": order["created_ns"]}
            row |= {"ended_ns": None, "hold_ns": None, "end_reason": None, "end_seq": None}
            same = ("signal_id", "strength_ppm", "confidence_ppm", "trigger_seq", "trigger_ns")
            rows.append(row | {field: order[field] for field in same})
    return rows


def snapshot_rows(orders, strategies, symbols):
    rows = []
    for seq, record in enumerate(orders.view(FEATURES)):
        if record["kind"] == OrderKind.SNAPSHOT:
            row = {f: v for f, v in fields(record).items() if f not in ("stamp", "kind", "created_ns", "strategy")}
            row |= {
                "seq": seq,
                "strategy_id": named(strategies, record["strategy"]),
                "time_ns": int(record["created_ns"]),
            }
            row |= {"symbol": named(symbols, record["symbol"])}
            rows.append({f: None if isinstance(v, float) and v != v else v for f, v in row.items()})
    return rows


def account_rows(reports, strategies, symbols):
    """[(row of positions as it was after this account record, its flags), ...]"""
    rows, start_cash, equities = [], {}, {}
    for seq, record in enumerate(reports.view(ACCOUNT)):
        if record["kind"] != ReportKind.ACCOUNT:
            continue
        account = fields(record)
        key = (account["strategy"], account["symbol"])
        equity = account["cash"] + account["position_lots"] * account["mark_ticks"]
        start_cash.setdefault(key, equity - account["realized"] - account["unrealized"] + account["fees"])
        curve = equities.setdefault(key, [start_cash[key]])
        curve.append(equity)
        drawdowns = [max(curve[: k + 1]) - curve[k] for k in range(len(curve))]
        row = {"strategy_id": named(strategies, key[0]), "symbol": named(symbols, key[1]), "seq": seq}
        row |= {"equity": equity, "start_cash": start_cash[key], "equity_peak": max(curve)}
        row |= {"drawdown": drawdowns[-1], "drawdown_max": max(drawdowns)}
        row |= {"trading": name(Trading, account["trading"]), "reason": name(Reason, account["reason"])}
        same = ("position_lots", "cost", "cash", "realized", "unrealized", "fees", "mark_ticks", "day_realized",
                "open_orders", "fills", "time_ns")  # fmt: skip
        rows.append((row | {field: account[field] for field in same}, account["flag_bits"]))
    return rows


def position_rows(reports, strategies, symbols):
    last = {(row["strategy_id"], row["symbol"]): row for row, _ in account_rows(reports, strategies, symbols)}
    return [last[key] for key in sorted(last)]


def metric_rows(reports, strategies, symbols):
    rows = []
    for account, flags in account_rows(reports, strategies, symbols):
        if flags & (ReportFlag.PERIODIC | ReportFlag.FINAL):
            figures = {
                n: (account[n], "money") for n in ("equity", "cash", "realized", "unrealized", "fees", "drawdown")
            }
            figures["position"] = (account["position_lots"], "lots")
            figures |= {n: (account[n], "count") for n in ("open_orders", "fills")}
            for figure in sorted(figures):
                row = {field: account[field] for field in ("seq", "strategy_id", "symbol", "time_ns")}
                row |= {"name": figure, "value": figures[figure][0], "unit": figures[figure][1]}
                rows.append(row | {"final": int(bool(flags & ReportFlag.FINAL))})
    return rows
