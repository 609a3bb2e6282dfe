"""The pictures as plain data: traces and axes as plotly takes them, a title, a line of explanation, or why it is empty.

Colours are names that the page resolves by its theme ("@buy"), so that the same data is legible on light and on dark.
Invariant: a number in a trace is one of the readings; nothing is smoothed, and what was thinned is said in the note.
"""

from typing import Any

import numpy as np

from procs.latencies import Latencies
from procs.report.readings import Readings, Series

Picture = dict[str, Any]  # title, about, note, empty, wide, data, layout

_BINS = 60
_SHARES = {"50": 0.5, "90": 0.9, "99": 0.99, "99.9": 0.999, "99.99": 0.9999, "99.999": 0.99999}
_TIMES = {f"{n} {unit}": n * us for unit, us in (("ns", 1e-3), ("us", 1.0), ("ms", 1e3)) for n in (1, 10, 100)} | {
    f"{n} s": n * 1e6 for n in (1, 10, 100, 1000)
}
_HOP_COLOURS = ("@s1", "@s2", "@s3", "@s4", "@s5", "@s6", "@s7", "@s8", "@s9")
_HOPS_MEAN = {
    "publish": "arrival to market ring",
    "tick_to_strategy": "arrival to strategy",
    "decision": "strategy: taken to order out",
    "tick_to_order": "arrival to broker has the order",
    "order_hop": "order out to broker has it",
    "exchange": "broker to exchange acted (model)",
    "tick_to_fill": "arrival to fill reported",
    "end_to_end": "order's event to fill",
    "late": "the feed's own lateness",
}


def pictures(found: Readings, latencies: Latencies | None, clock: str, no_market: str) -> dict[str, Picture]:
    """All of them, in the page's order. no_market: why the market is unknown, "" if it is known."""
    return {
        "equity": _equity(found),
        "price": _price(found, no_market),
        "position": _position(found),
        "latency": _latency(latencies, clock),
        "outcomes": _outcomes(found),
        "divergence": _divergence(found, no_market),
        "markouts": _markouts(found, no_market),
    }


def _picture(title: str, about: str, empty: str, data: list[Any], layout: dict[str, Any], **more: Any) -> Picture:
    return {
        "title": title,
        "about": about,
        "note": "",
        "empty": empty,
        "wide": False,
        "data": data,
        "layout": layout,
    } | more


def _thinned(series: Series, what: str) -> str:
    if len(series.x) >= series.of:
        return ""
    return (
        f"{len(series.x):,} of {series.of:,} {what} are drawn; the lowest and highest of each stretch are among them."
    )


def _time_axis(found: Readings) -> dict[str, Any]:
    """The same stretch of time in every picture."""
    end = max([1e-3, *found.equity.x[-1:], *found.price.x[-1:], *(f.x for f in found.fills[-1:])])
    return {"title": {"text": "seconds since the run's first record"}, "range": [0, 1.01 * end]}


def _line(series: Series, name: str, colour: str, **more: Any) -> dict[str, Any]:
    line = {"color": colour, "width": 1.6, "shape": "hv"}
    return {"type": "scatter", "mode": "lines", "name": name, "x": series.x, "y": series.y, "line": line} | more


def _equity(found: Readings) -> Picture:
    quote = found.instrument.quote
    mode = "lines+markers" if len(found.equity.x) < 200 else "lines"
    data = [
        _line(found.equity, "equity", "@s1", mode=mode, marker={"size": 5}),
        _line(found.drawdown, "drawdown", "@sell", yaxis="y2", fill="tozeroy", fillcolor="@sell-soft"),
    ]
    layout = {
        "xaxis": _time_axis(found) | {"anchor": "y2"},
        "yaxis": {"title": {"text": f"equity, {quote}"}, "domain": [0.42, 1]},
        "yaxis2": {"title": {"text": f"drawdown, {quote}"}, "domain": [0, 0.3], "rangemode": "tozero"},
        "showlegend": False,
        "height": 460,
    }
    empty = (
        ""
        if found.equity.x
        else "no account was reported: nothing was filled, and the snapshot interval had not passed"
    )
    about = (
        "The cash at the start, then the account as the exchange reported it: after each fill and at each snapshot. Below, "
        "how far it was under its highest."
    )
    return _picture(
        "Equity and drawdown", about, empty, data, layout, wide=True, note=_thinned(found.equity, "account records")
    )


def _price(found: Readings, no_market: str) -> Picture:
    quote, data = found.instrument.quote, []
    if found.price.x:
        line = _line(found.price, "mid", "@muted")
        line["line"] |= {"width": 1.1}
        data.append(line)
    for side, symbol, colour in (("BUY", "triangle-up", "@buy"), ("SELL", "triangle-down", "@sell")):
        fills = [f for f in found.fills if f.side == side]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": f"{'bought' if side == 'BUY' else 'sold'} ({len(fills):,})",
                "x": [f.x for f in fills],
                "y": [f.price for f in fills],
                "text": [
                    f"order {f.order_id}, {f.liquidity.lower()}<br>{f.qty:g}, fee {f.fee:g} {quote}" for f in fills
                ],
                "marker": {"symbol": symbol, "size": 10, "color": colour, "line": {"width": 1, "color": "@panel"}},
            }
        )
    notes = [f"The line of the price is missing: {no_market}."] if no_market else [_thinned(found.price, "mids")]
    if len(found.fills) < found.fills_of:
        notes.append(f"{len(found.fills):,} of {found.fills_of:,} fills are drawn, the lowest and highest among them.")
    empty = "" if found.fills or found.price.x else no_market or "nothing was filled, and there was no market"
    about = f"Mid of {found.instrument.symbol}, and each fill at its price." + (
        "" if found.fills else " Nothing was filled."
    )
    layout = {
        "xaxis": _time_axis(found),
        "yaxis": {"title": {"text": f"price, {quote}"}, "tickformat": ",.2f"},
        "legend": {"orientation": "h", "y": 1.12, "x": 0},
        "height": 420,
    }
    return _picture("Fills on the price", about, empty, data, layout, wide=True, note=" ".join(filter(None, notes)))


def _position(found: Readings) -> Picture:
    base = found.instrument.symbol.removesuffix(found.instrument.quote) or found.instrument.symbol
    data = [_line(found.position, "position", "@s2", fill="tozeroy", fillcolor="@s2-soft")]
    layout = {
        "xaxis": _time_axis(found),
        "yaxis": {"title": {"text": f"position, {base}"}, "zeroline": True},
        "showlegend": False,
        "height": 300,
    }
    empty = "" if found.position.x else "no account was reported, so the position was 0 throughout"
    about = (
        "Signed: above zero long, below short; 0 at the start, then as reported after each fill and at each snapshot."
    )
    note = _thinned(found.position, "account records")
    return _picture("Position", about, empty, data, layout, wide=True, note=note)


def _latency(latencies: Latencies | None, clock: str) -> Picture:
    """Each hop by percentile, as HdrHistogram draws it: the tail has as much room as the middle."""
    data = []
    for k, (name, hop) in enumerate(latencies.hops.items() if latencies else ()):
        if not hop.n:
            continue
        curve, most = hop.curve(), max(2.0, float(hop.n))
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": f"{name} ({hop.n:,})",
                # one value of how many is above it: 2 for the median, 100 for the 99th percentile
                "x": [min(most, 1 / max(1 - share, 1 / most)) for share, _ in curve],
                "y": [max(ns, 1) / 1e3 for _, ns in curve],
                "text": [f"{100 * share:.5g} % of the values" for share, _ in curve],
                "hovertemplate": "%{y:,.1f} us<br>%{text}",
                "line": {"color": _HOP_COLOURS[k % len(_HOP_COLOURS)], "width": 1.8},
            }
        )
    if clock == "simulated":
        empty = "simulated clock: event time drives everything, and no time of the machine is measured"
    elif latencies is None:
        empty = "this run kept no distributions (latency.json); its percentiles are in the table below"
    else:
        empty = "" if data else "no hop was measured"
    layout = {
        "xaxis": {
            "title": {"text": "percentile"},
            "type": "log",
            "tickvals": [1 / (1 - share) for share in _SHARES.values()],
            "ticktext": list(_SHARES),
        },
        "yaxis": {
            "title": {"text": "latency"},
            "type": "log",
            "tickvals": list(_TIMES.values()),
            "ticktext": list(_TIMES),
        },
        "legend": {"orientation": "v"},
        "height": 420,
    }
    about = "How long each hop took, by percentile: read upwards from 99 for the slowest hundredth. Measured on this machine."
    note = "; ".join(
        f"{name}: {_HOPS_MEAN[name]}" for name in (latencies.hops if data and latencies else ()) if name in _HOPS_MEAN
    )
    return _picture("Latency of each hop", about, empty, data, layout, wide=True, note=note)


def _outcomes(found: Readings) -> Picture:
    labels = [
        status.lower() + ("" if reason == "NONE" else f": {reason.lower()}") for status, reason, _ in found.outcomes
    ]
    colours = {"FILLED": "@buy", "PARTIAL": "@buy", "REJECTED": "@sell", "PROVISIONAL": "@sell"}
    counts = [n for *_, n in found.outcomes]
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "y": labels,
            "x": counts,
            "text": [f"{n:,}" for n in counts],
            "textposition": "outside",
            "cliponaxis": False,
            "marker": {"color": [colours.get(status, "@s1") for status, *_ in found.outcomes]},
            "hovertemplate": "%{y}<br>%{x:,} orders<extra></extra>",
        }
    ]
    layout = {
        "xaxis": {"title": {"text": "orders"}, "rangemode": "tozero"},
        "yaxis": {"autorange": "reversed", "automargin": True},
        "showlegend": False,
        "bargap": 0.35,
        "height": max(240, 110 + 34 * len(counts)),
    }
    about = f"How the {sum(counts):,} orders ended, and why those without a fill did."
    return _picture(
        "Orders by outcome", about, "" if counts else "no order was sent or refused", data, layout, wide=True
    )


def _divergence(found: Readings, no_market: str) -> Picture:
    values = np.array(found.divergence_bps)
    data, note = [], ""
    if len(values):
        low, high = float(values.min()), float(values.max())
        counts, edges = np.histogram(values, bins=_BINS if high > low else 1, range=(low, high) if high > low else None)
        data = [
            {
                "type": "bar",
                "x": ((edges[1:] + edges[:-1]) / 2).tolist(),
                "y": counts.tolist(),
                "width": np.diff(edges).tolist(),
                "marker": {"color": "@s3"},
                "hovertemplate": "%{x:.5g} bps<br>%{y:,} decisions<extra></extra>",
            }
        ]
        note = (
            f"{len(values):,} of {found.decisions:,} decisions had a market; mean {values.mean():.3g} bps, "
            f"from {low:.3g} to {high:.3g}."
        )
    layout = {
        "xaxis": {"title": {"text": "divergence, bps"}, "zeroline": True},
        "yaxis": {"title": {"text": "decisions"}},
        "showlegend": False,
        "bargap": 0,
        "height": 340,
    }
    empty = "" if data else no_market or "no decision was made while there was a market"
    about = (
        "(external - market) / market at each decision: the prediction, or without one the microprice, against the mid."
    )
    return _picture("Divergence at decisions", about, empty, data, layout, note=note)


def _markouts(found: Readings, no_market: str) -> Picture:
    data, names = [], {"MAKER": ("maker fills", "@s1"), "TAKER": ("taker fills", "@s2")}
    for liquidity in sorted({m.liquidity for m in found.markouts}):
        rows = [m for m in found.markouts if m.liquidity == liquidity]
        name, colour = names.get(liquidity, (liquidity.lower(), "@s3"))
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": f"{name} ({max(m.n for m in rows):,})",
                "x": [m.horizon_ms for m in rows],
                "y": [m.mean_bps for m in rows],
                "text": [f"{m.n:,} fills" for m in rows],
                "error_y": {
                    "type": "data",
                    "array": [m.error_bps or 0 for m in rows],
                    "thickness": 1.2,
                    "color": colour,
                },
                "marker": {"color": colour, "size": 8},
                "line": {"color": colour, "width": 1.4, "dash": "dot"},
            }
        )
    layout = {
        "xaxis": {"title": {"text": "ms after the fill"}, "type": "log", "tickvals": [1, 10, 100, 1000]},
        "yaxis": {"title": {"text": "mark-out, bps of the fill price"}, "zeroline": True},
        "legend": {"orientation": "h", "y": 1.15, "x": 0},
        "height": 340,
    }
    empty = "" if data else no_market or found.no_markouts or "no fill is followed by a market"
    about = (
        "What the mid did after a fill, from the filled side: below zero the price went against it (adverse selection)."
    )
    note = "Bars: one standard error of the mean, as if fills were independent." if data else ""
    return _picture("Mark-outs after fills", about, empty, data, layout, note=note)
