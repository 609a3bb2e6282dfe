"""The page: one HTML file with the data as JSON, a little JavaScript that draws it, and plotly's own, taken from its package.

Invariant: nothing is fetched from anywhere; the page's own policy forbids it (Content-Security-Policy). Everything that
comes from a run is escaped: as HTML in the tables, as JSON in the data.
"""

import html
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from procs.report.pictures import Picture
from procs.report.readings import Readings
from ringsim.errors import BadInput
from ringsim.store.manifest import Manifest

_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"


def page(manifest: Manifest, state: str, found: Readings, pictures: Mapping[str, Picture]) -> str:
    """The whole file."""
    title = f"ringsim {manifest.run_id}"
    data = msgspec.json.encode({"run_id": manifest.run_id, "pictures": pictures}).decode().replace("<", r"\u003c")
    cards = "\n".join(_card(name, picture) for name, picture in pictures.items())
    tables = "\n".join(_tables(manifest, state, found))
    return (
        "<!doctype html>\n"
        f'<html lang="en"><head><meta charset="utf-8"><title>{_e(title)}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{_STYLE}</style></head>\n<body>\n{_head(manifest, state, found)}\n"
        f"<main>\n{cards}\n</main>\n<section>\n{tables}\n</section>\n"
        "<footer>Drag over a picture to zoom in, double-click to zoom out. "
        "Simulation and paper trading only, for education and research.</footer>\n"
        f'<script id="report-data" type="application/json">{data}</script>\n'
        f"<script>{_plotly()}</script>\n<script>{_DRAW}</script>\n</body></html>\n"
    )


def _plotly() -> str:
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise BadInput("the pictures need the package plotly: pip install plotly") from None
    return re.sub("</(script)", r"<\\/\1", get_plotlyjs(), flags=re.IGNORECASE)  # in a string of it, if anywhere


def _e(value: Any) -> str:
    return html.escape(str(value))


def _head(manifest: Manifest, state: str, found: Readings) -> str:
    result, account, quote = manifest.result, found.account, found.instrument.quote
    where = ", ".join(_short(s.path) for s in manifest.sources)
    tiles = []
    if account:
        change = account["equity"] - account["start_cash"]
        tiles += [
            ("equity", f"{account['equity']:,.2f}", f"{change:+,.4f} {quote}"),
            ("realised", f"{account['realized']:+,.4f}", f"before fees, {quote}"),
            ("fees", f"{account['fees']:,.4f}", quote),
            ("largest drawdown", f"{account['drawdown_max']:,.4f}", quote),
            ("position", f"{account['position']:g}", f"{account['fills']:,} fills"),
        ]
    if result:
        orders = result["orders"]
        tiles.append(("orders", f"{orders['submitted']:,}", f"{orders['filled']:,} filled whole"))
    shown = "".join(
        f'<div class="tile"><span>{_e(name)}</span><b>{_e(value)}</b><small>{_e(more)}</small></div>'
        for name, value, more in tiles
    )
    going_on = "" if result else '<p class="warn">The run has no result: what is shown is what was stored so far.</p>'
    good = "good" if state == "DONE" else "bad"
    return (
        f'<header><h1>{_e(manifest.run_id)} <span class="state {good}">{_e(state)}</span></h1>'
        f"<p>{_e(found.instrument.symbol)} from {_e(where or 'no file')}, {_e(manifest.clock)} clock, seed {manifest.seed}, "
        f"started {_e(manifest.started)}</p>{going_on}<div class='tiles'>{shown}</div></header>"
    )


def _short(path: str) -> str:
    return path.rpartition("/")[2]


def _card(name: str, picture: Picture) -> str:
    wide = " wide" if picture["wide"] else ""
    body = (
        f'<p class="empty">Nothing to show: {_e(picture["empty"])}.</p>'
        if picture["empty"]
        else f'<div class="picture" id="{name}" style="height:{picture["layout"]["height"]}px"></div>'
    )
    note = f'<p class="note">{_e(picture["note"])}</p>' if picture["note"] else ""
    return f'<article class="card{wide}"><h2>{_e(picture["title"])}</h2><p>{_e(picture["about"])}</p>{body}{note}</article>'


def _table(title: str, rows: Iterable[tuple[Any, ...]], head: tuple[str, ...] = ()) -> str:
    top = "<tr>" + "".join(f"<th>{_e(h)}</th>" for h in head) + "</tr>" if head else ""
    lines = "".join("<tr>" + "".join(f"<td>{_e(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<article class="card"><h2>{_e(title)}</h2><div class="scroll"><table>{top}{lines}</table></div></article>'


def _tables(manifest: Manifest, state: str, found: Readings) -> Iterable[str]:
    """The summary, the hops' percentiles, the mark-outs, what the run was made with, its settings."""
    result = manifest.result
    yield _table("Summary", _flat({"exit_state": state} | {k: v for k, v in result.items() if k not in _ELSEWHERE}))
    hops = {name: hop for name, hop in result.get("latency_us", {}).items() if hop.get("n")}
    if hops:
        names = ("n", "p50", "p90", "p99", "p99_9", "max")
        rows = [
            (name, *(f"{hop[n]:,.0f}" if n == "n" else f"{hop[n]:,.1f}" for n in names)) for name, hop in hops.items()
        ]
        yield _table("Latency, microseconds", rows, ("hop", *(n.replace("_", ".") for n in names)))
    if found.markouts:
        rows = [
            (m.liquidity.lower(), f"{m.horizon_ms:,}", f"{m.n:,}", f"{m.mean_bps:+.4f}",
             "" if m.error_bps is None else f"{m.error_bps:.4f}")
            for m in found.markouts
        ]  # fmt: skip
        yield _table("Mark-outs, bps of the fill price", rows, ("fills", "ms after", "n", "mean", "standard error"))
    made_with = [
        ("command", " ".join(["ringsim", *manifest.command])),
        ("clock", manifest.clock),
        ("seed", manifest.seed),
        *((f"source {k + 1}", f"{s.path} ({s.size_bytes:,} bytes)") for k, s in enumerate(manifest.sources)),
        *((f"sha256 of source {k + 1}", s.sha256) for k, s in enumerate(manifest.sources)),
        ("digest", result.get("digest", "none yet")),
        ("source hash of ringsim", manifest.source_hash),
        *manifest.versions.items(),
    ]
    yield _table("What it was made with", made_with)
    chosen = [(s.path, _text(s.value), s.origin) for s in manifest.settings if s.origin != "default"]
    yield _table(
        "Settings that differ from the default",
        chosen or [("none", "", "")],
        ("setting", "value", "from"),
    )


_ELSEWHERE = (
    "latency_us",
    "exit_state",
    "rings",
    "recovery_ms",
)  # of the summary: shown in a table of their own, or nowhere


def _flat(values: Mapping[str, Any], start: str = "") -> Iterable[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{start}{name}.")
        elif value not in (None, [], ""):
            yield f"{start}{name}", _text(value)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(_text(v) for v in value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


_STYLE = """
:root{--bg:#f6f7f9;--panel:#fff;--ink:#1b2430;--muted:#5c6877;--grid:#e3e7ec;--line:#d5dae1;--buy:#0b7a53;--sell:#c2410c;
--sell-soft:rgba(194,65,12,.16);--s1:#2457c5;--s2:#8a3ab9;--s2-soft:rgba(138,58,185,.14);--s3:#0f7c8a;--s4:#b7791f;--s5:#c2410c;
--s6:#0b7a53;--s7:#b0276b;--s8:#5c6877;--s9:#7a5c2e}
@media (prefers-color-scheme:dark){:root{--bg:#11161d;--panel:#1a212b;--ink:#e6ebf2;--muted:#9aa7b6;--grid:#2b3543;--line:#323d4c;
--buy:#3ecf95;--sell:#ff8a5c;--sell-soft:rgba(255,138,92,.2);--s1:#7aa7ff;--s2:#cf93f5;--s2-soft:rgba(207,147,245,.18);--s3:#4fc6d6;
--s4:#e8b757;--s5:#ff8a5c;--s6:#3ecf95;--s7:#f48ac0;--s8:#9aa7b6;--s9:#cdb182}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1240px;padding:24px 20px 40px;background:var(--bg);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
h1{font-size:22px;margin:0 0 4px}h2{font-size:16px;margin:0}p{margin:2px 0 8px;color:var(--muted)}
.state{font-size:12px;padding:3px 9px;border-radius:99px;vertical-align:middle;color:var(--panel);background:var(--sell)}
.state.good{background:var(--buy)}.warn{color:var(--sell)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(160px,1fr));gap:12px;margin:14px 0}
.tile,.card{background:var(--panel);border:1px solid var(--line);border-radius:10px;padding:14px 16px}
.tile span,.tile small{display:block;color:var(--muted);font-size:12.5px}.tile b{font-size:20px;font-variant-numeric:tabular-nums}
main,section{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:14px;margin-top:14px}
section{grid-template-columns:minmax(0,1fr)}
.wide{grid-column:1/-1}.note{font-size:12.5px;margin:6px 0 0}
.empty{padding:44px 16px;text-align:center;border:1px dashed var(--line);border-radius:8px}
.scroll{overflow-x:auto}table{border-collapse:collapse;margin-top:8px;width:100%;font-size:13.5px}
td,th{padding:4px 14px 4px 0;text-align:left;border-bottom:1px solid var(--grid);vertical-align:top;overflow-wrap:anywhere;
font-variant-numeric:tabular-nums}td:first-child{color:var(--muted);white-space:nowrap}th{color:var(--muted);font-weight:600}
footer{margin-top:20px;color:var(--muted);font-size:12.5px}
@media (max-width:860px){main{grid-template-columns:minmax(0,1fr)}}
@media print{body{max-width:none}.card{break-inside:avoid}}
"""

_DRAW = """
(function () {
  "use strict";
  const report = JSON.parse(document.getElementById("report-data").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const resolve = (value, colour) =>
    typeof value === "string" && value.startsWith("@") ? colour("--" + value.slice(1))
    : Array.isArray(value) ? value.map((v) => resolve(v, colour))
    : value !== null && typeof value === "object"
      ? Object.fromEntries(Object.entries(value).map(([k, v]) => [k, resolve(v, colour)]))
    : value;
  function draw() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = {gridcolor: colour("--grid"), linecolor: colour("--line"), zerolinecolor: colour("--muted"), zeroline: false,
      automargin: true, tickfont: {size: 12}, exponentformat: "none",
      separatethousands: true, title: {font: {size: 12.5}, standoff: 10}};
    for (const [name, picture] of Object.entries(report.pictures)) {
      const place = document.getElementById(name);
      if (picture.empty || !place) continue;
      const layout = {paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "closest",
        font: {family: getComputedStyle(document.body).fontFamily, color: colour("--ink"), size: 12.5},
        hoverlabel: {bgcolor: colour("--panel"), font: {color: colour("--ink")}, bordercolor: colour("--line")},
        margin: {l: 64, r: 24, t: 16, b: 48}, ...resolve(picture.layout, colour)};
      for (const key of Object.keys(layout)) {
        if (/^[xy]axis/.test(key)) {
          layout[key] = {...axis, ...layout[key], title: {...axis.title, ...(layout[key].title || {})}};
        }
      }
      Plotly.react(place, resolve(picture.data, colour), layout, {displayModeBar: false, responsive: true});
    }
    document.documentElement.dataset.drawn = String(Object.keys(report.pictures).length);
  }
  dark.addEventListener("change", draw);
  draw();
})();
"""
