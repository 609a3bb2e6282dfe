"""`ringsim report`: one page that fetches nothing, whose pictures show what the database holds."""

import json
import re
import shutil
import sqlite3
import subprocess
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from procs.latencies import read_latencies, write_latencies
from procs.topology import HOPS
from ringsim.records import ACCOUNT, REPORT, ReportKind
from ringsim.telemetry.histogram import HISTOGRAM, PERCENTILES, observe, summarize_us
from tests.naive.analysis import stored
from tests.unit.analysis.runs import make

PICTURES = ["equity", "price", "position", "latency", "outcomes", "divergence", "markouts"]


class Page(HTMLParser):
    """What a browser would see: attributes of every tag, texts of the scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.scripts = [], [], {}
        self._script = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._script = dict(attrs).get("id", "") if tag == "script" else None

    def handle_endtag(self, tag):
        self._script = None

    def handle_data(self, data):
        if self._script is None:
            self.texts.append(data)
        else:
            self.scripts[self._script] = self.scripts.get(self._script, "") + data

    @property
    def pictures(self):
        return json.loads(self.scripts["report-data"])["pictures"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a finished run; only read it."""
    return make(tmp_path_factory.mktemp("report"))


def reported(ringsim, run, home):
    target = home / "r.html"
    answer = ringsim("report", run, "--to", target, "--force", "--json")
    assert answer.code == 0, answer
    assert answer.json["size_bytes"] == target.stat().st_size and answer.json["pictures"] == PICTURES
    return answer.json, Page(target.read_text())


@pytest.fixture
def page(ringsim, run, home):
    return reported(ringsim, run, home)[1]


def query(run, sql):
    with sqlite3.connect(run / "data" / "strategy.db") as db:
        return db.execute(sql).fetchall()


def accounts(run):
    reports = stored(run / "data" / "strategy.db", "reports", REPORT)
    return np.frombuffer(reports[reports["kind"] == ReportKind.ACCOUNT].tobytes(), ACCOUNT)


def test_the_page_fetches_nothing(page):
    for tag, attributes in page.tags:
        assert not {"src", "srcset", "action", "background", "poster", "data"} & attributes.keys(), (tag, attributes)
        assert tag not in ("link", "iframe", "object", "embed", "base", "img") and "href" not in attributes
    policies = [a["content"] for t, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1 and policies[0].startswith("default-src 'none'") and "http" not in policies[0]
    own = [text for name, text in page.scripts.items() if name] + page.texts
    assert not re.search(r"https?://|@import|url\(", "".join(own))
    assert len(page.scripts[""]) > 1_000_000  # plotly itself


def test_the_page_says_what_run_it_is(page, run):
    manifest = json.loads((run / "manifest.json").read_text())
    text = " ".join(page.texts)
    assert (
        f"ringsim {manifest['run_id']}" in page.texts
        and f"seed {manifest['seed']}" in text
        and "simulated clock" in text
    )
    for fact in (manifest["result"]["digest"], manifest["sources"][0]["sha256"], manifest["source_hash"], "run.clock"):
        assert fact in page.texts
    assert [name for name in PICTURES if page.pictures[name]["title"] not in page.texts] == []


def test_equity_drawdown_and_position_are_those_on_record(page, run):
    said = accounts(run)
    money = [f"{e / 1e7:.7f}" for e in said["cash"] + said["position_lots"] * said["mark_ticks"]]
    equity, drawdown = page.pictures["equity"]["data"]
    (position,) = page.pictures["position"]["data"]
    assert equity["y"][0] == 100_000 and [f"{v:.7f}" for v in equity["y"][1:]] == money
    assert [f"{v:.5f}" for v in position["y"][1:]] == [f"{p / 1e5:.5f}" for p in said["position_lots"]]
    assert np.diff(equity["x"][1:]) == pytest.approx(np.diff(said["time_ns"]) / 1e9) and equity["x"][0] == 0
    ((worst, last),) = query(run, "SELECT drawdown_max, drawdown FROM positions_decimal")
    assert -min(drawdown["y"]) == pytest.approx(worst) and -drawdown["y"][-1] == pytest.approx(last) and worst > 0


def test_drawdown_is_from_the_highest_so_far(ringsim, tmp_path, home):
    """With rebates the account rises above its start, and falls again."""
    run = make(tmp_path, "--fees", "-0.5,-0.5", "--set", "strategy.params.min_confidence=0")
    _, page = reported(ringsim, run, home)
    equity, drawdown = page.pictures["equity"]["data"]
    highest = 100_000
    for e, d in zip(equity["y"], drawdown["y"], strict=True):
        highest = max(highest, e)
        assert d == pytest.approx(e - highest, abs=1e-6)
    ((peak, worst),) = query(run, "SELECT equity_peak, drawdown_max FROM positions_decimal")
    assert highest == peak > 100_000.001 and -min(drawdown["y"]) == pytest.approx(worst) and worst > 0
    assert any(e > 100_000 and d < 0 for e, d in zip(equity["y"], drawdown["y"], strict=True))


def test_fills_lie_where_they_were_made_and_on_the_price(page, run):
    mid, *sides = page.pictures["price"]["data"]
    for trace, side in zip(sides, ("BUY", "SELL"), strict=True):
        fills = query(run, f"SELECT price FROM trades_decimal WHERE side = '{side}' ORDER BY trade_id")
        assert trace["y"] == [price for (price,) in fills] and f"({len(fills)})" in trace["name"] and fills
        for x, y in zip(trace["x"], trace["y"], strict=True):
            before = np.searchsorted(mid["x"], x)
            near = mid["y"][max(0, before - 5) : before + 5]
            assert min(near) - 5 <= y <= max(near) + 5
    seen = query(run, "SELECT (bid + ask) / 2 FROM strategy_snapshots_decimal")
    assert min(mid["y"]) <= min(seen)[0] and max(mid["y"]) >= max(seen)[0] and mid["x"] == sorted(mid["x"])


def test_outcomes_count_every_order(page, run):
    (bars,) = page.pictures["outcomes"]["data"]
    rows = query(run, "SELECT lower(status), lower(reason) FROM orders")
    expected = Counter(status if reason == "none" else f"{status}: {reason}" for status, reason in rows)
    assert dict(zip(bars["y"], bars["x"], strict=True)) == expected and sum(bars["x"]) == len(rows) > 100


def test_the_histogram_counts_the_exports_divergences(ringsim, page, run, home):
    assert ringsim("export", run, "--to", home / "x.csv").code == 0
    values = [1e4 * float(line.split(",")[3]) for line in (home / "x.csv").read_text().splitlines()[1:]]
    (bars,) = page.pictures["divergence"]["data"]
    half = bars["width"][0] / 2
    assert sum(bars["y"]) == len(values)
    assert bars["x"][0] - half == pytest.approx(min(values)) and bars["x"][-1] + half == pytest.approx(max(values))
    for centre, count in zip(bars["x"], bars["y"], strict=True):
        inside = sum(centre - half * 1.0001 <= v <= centre + half * 1.0001 for v in values)
        assert inside >= count >= sum(centre - half * 0.9999 < v < centre + half * 0.9999 for v in values)


def test_a_markout_starts_with_what_the_fill_itself_was_worth(ringsim, page, run, home):
    """A maker's fill is at the best price of its side or better than the mid; n is the number of fills."""
    said, _ = reported(ringsim, run, home)
    counts = dict(query(run, "SELECT liquidity, count(*) FROM trades GROUP BY 1"))
    assert {m["liquidity"]: m["n"] for m in said["markouts"]} == counts
    assert [m["horizon_ms"] for m in said["markouts"] if m["liquidity"] == "MAKER"] == [1, 10, 100, 1000]
    for trace in page.pictures["markouts"]["data"]:
        kind = trace["name"].split()[0].upper()
        assert trace["y"] == [m["mean_bps"] for m in said["markouts"] if m["liquidity"] == kind]


def test_an_empty_picture_says_why(ringsim, run, home):
    said, page = reported(ringsim, run, home)
    assert set(said["empty"]) == {"latency"} and "simulated clock" in said["empty"]["latency"]
    assert any(said["empty"]["latency"] in text for text in page.texts)
    drawn = {a["id"] for t, a in page.tags if t == "div" and "id" in a}
    assert drawn == set(PICTURES) - {"latency"}


def test_a_run_without_orders_and_without_its_inputs_has_a_page(ringsim, tmp_path, home):
    run = make(tmp_path, "--set", "strategy.params.imbalance_threshold=1", "--duration", "3")
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["sources"][0]["path"] = str(home / "gone.gz")
    (run / "manifest.json").write_text(json.dumps(manifest))
    said, page = reported(ringsim, run, home)
    assert {"price", "outcomes", "divergence", "markouts", "latency"} == set(said["empty"])
    assert "gone.gz" in said["empty"]["price"] and "no order" in said["empty"]["outcomes"]
    assert page.pictures["equity"]["data"][0]["y"] == [100_000] * 2  # at the start, and at the end


def test_text_of_a_run_cannot_become_part_of_the_page(ringsim, run, tmp_path, home):
    mine = shutil.copytree(run, tmp_path / "mine")
    manifest = json.loads((mine / "manifest.json").read_text())
    evil = "</script><script>alert(1)</script><img src=x>"
    manifest["command"] = ["backtest", evil]
    manifest["result"]["notes"] = [evil]
    (mine / "manifest.json").write_text(json.dumps(manifest))
    with sqlite3.connect(mine / "data" / "strategy.db") as db:
        db.execute("UPDATE orders SET reason = ? WHERE reason <> 'NONE'", (evil,))
    _, page = reported(ringsim, mine, home)
    assert not [a for t, a in page.tags if t == "img"] and len([t for t, _ in page.tags if t == "script"]) == 3
    assert any(evil.lower() in label for label in page.pictures["outcomes"]["data"][0]["y"])


def hops(seed):
    """Histograms of every hop, one of them empty."""
    found = np.zeros(len(HOPS), HISTOGRAM).view(np.recarray)
    chance = np.random.default_rng(seed)
    for k in range(len(HOPS) - 1):
        for value in chance.lognormal(10, 2, 500 * (k + 1)).astype(np.int64):
            observe(found[k], value)
    return found


def test_kept_distributions_are_those_that_were_measured(tmp_path):
    measured = hops(1)
    write_latencies(tmp_path, measured, HOPS)
    kept = read_latencies(tmp_path)
    for k, name in enumerate(HOPS):
        hop, said = kept.hops[name], summarize_us(measured[k])
        assert hop.n == said["n"] == sum(count for _, count in hop.buckets) and hop.max_ns / 1e3 == said["max"]
        for percentile, share in PERCENTILES.items():
            at_least = [ns for s, ns in hop.curve() if s >= share - 1e-12]
            assert (at_least[0] / 1e3 if at_least else 0) == said[percentile], (name, percentile)


def test_a_realtime_runs_distributions_are_drawn(ringsim, run, tmp_path, home):
    mine = shutil.copytree(run, tmp_path / "mine")
    manifest = json.loads((mine / "manifest.json").read_text()) | {"clock": "realtime"}
    (mine / "manifest.json").write_text(json.dumps(manifest))
    said, _ = reported(ringsim, mine, home)
    assert "kept no distributions" in said["empty"]["latency"]
    write_latencies(mine, hops(2), HOPS)
    said, page = reported(ringsim, mine, home)
    traces = page.pictures["latency"]["data"]
    assert "latency" not in said["empty"] and len(traces) == len(HOPS) - 1
    kept = read_latencies(mine)
    for trace in traces:
        hop = kept.hops[trace["name"].split()[0]]
        assert (
            trace["y"][-1] == hop.max_ns / 1e3 and trace["y"] == sorted(trace["y"]) and trace["x"] == sorted(trace["x"])
        )
    (mine / "latency.json").write_text('{"kind": "ringsim latency", "hops"')
    answer = ringsim("report", mine, "--to", home / "z")
    assert answer.code == 1 and "latency.json is damaged" in answer.err and answer.err.count("\n") == 1


BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.skipif(BROWSER is None, reason="no browser is installed")
def test_a_browser_without_a_network_draws_every_picture(ringsim, run, home):
    reported(ringsim, run, home)
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--virtual-time-budget=8000",
    ]
    done = subprocess.run(
        [BROWSER, *options, "--dump-dom", Path(home / "r.html").as_uri()], capture_output=True, text=True
    )
    assert f'data-drawn="{len(PICTURES)}"' in done.stdout
    assert done.stdout.count('class="main-svg"') >= len(PICTURES) - 1
