"""`feed check`: sound captures are sound, and every defect that is put into one is found and placed."""

import json

import pytest
from typer.testing import CliRunner

from procs.cli.feed import app
from ringsim.market.check import check_session
from ringsim.market.source import sample_path
from tests.sessions import SPOT, USDM, session, write_capture
from tests.unit.market.captures import RECORDED

PROMISED = ["messages", "bad", "gaps", "trade_gaps", "crossed", "ticker_checked", "ticker_mismatches", "skew_ms"]
PROMISED += ["span_s", "symbol", "market"]


@pytest.mark.parametrize("market", [SPOT, USDM])
@pytest.mark.parametrize("seed", range(4))
def test_a_whole_session_is_sound(tmp_path, market, seed):
    messages = session(seed, market)
    found = check_session([write_capture(tmp_path / "a.gz", messages)])
    diffs = sum(m.kind == "depth" for m in messages)
    assert found.sound and (found.bad, found.gaps, found.trade_gaps, found.crossed, found.ticker_mismatches) == (0,) * 5
    assert diffs - found.waiting <= found.ticker_checked <= diffs and found.ticker_checked > 20
    assert found.warnings == [] and found.market == market


def test_a_quantity_that_differs_by_the_last_digit_is_a_mismatch(tmp_path):
    messages = session(7, SPOT)
    depths = [k for k, m in enumerate(messages) if m.kind == "depth"]
    k = max(k for k in range(depths[20]) if messages[k].kind == "bookTicker")
    body = messages[k].body
    body["B"] = f"{float(body['B']) + 0.000001:.8f}"  # below a lot
    found = check_session([write_capture(tmp_path / "a", messages)])
    assert found.ticker_mismatches == 1 and not found.sound and found.cut_lots == 1
    assert found.warnings == [f"a line {depths[20] + 1}: the book differs from bookTicker"]


def test_a_missing_diff_and_missing_trades_are_placed(tmp_path):
    messages = session(8, USDM, steps=60, snapshots=(3, 40))
    lost = [k for k, m in enumerate(messages) if m.kind == "depth"][15]
    trade = [k for k, m in enumerate(messages) if m.kind == "trade"][30]
    for k in sorted((lost, trade), reverse=True):
        del messages[k]
    found = check_session([write_capture(tmp_path / "a", messages)])
    assert (found.gaps, found.trade_gaps, found.trades_missing, found.resyncs) == (1, 1, 1, 1)
    assert found.sound, "the second snapshot mends it"
    assert sorted(w.partition(": ")[2] for w in found.warnings) == [
        "the sequence of diffs breaks",
        "trade ids are missing",
    ]


def test_a_level_that_a_diff_forgot_is_found_by_the_ticker(tmp_path):
    messages = session(9, SPOT)
    depths = [m for m in messages if m.kind == "depth"]
    for m in depths[12:]:
        m.body["b"][:] = [row for row in m.body["b"] if float(row[1]) == 0]
    found = check_session([write_capture(tmp_path / "a", messages)])
    assert found.ticker_mismatches > 0 and not found.sound


def test_a_level_beyond_what_the_snapshot_covered_is_no_mismatch(tmp_path):
    """It rests since before the session, untouched: no diff names it, and the book cannot know it."""
    start = 1_700_000_000_000_000_000
    lines = [
        {"lastUpdateId": 10, "bids": [["100.00", "1"], ["99.00", "1"]], "asks": [["101.00", "1"]]},
        {"e": "depthUpdate", "E": 1_700_000_000_000, "s": "BTCUSDT", "U": 11, "u": 12, "a": [], "b": [["100.00", "0"]]},
        {"u": 12, "s": "BTCUSDT", "b": "99.00", "B": "1", "a": "101.00", "A": "1"},
        {"e": "depthUpdate", "E": 1_700_000_000_001, "s": "BTCUSDT", "U": 13, "u": 13, "a": [], "b": [["99.00", "0"]]},
        {"u": 13, "s": "BTCUSDT", "b": "98.50", "B": "3", "a": "101.00", "A": "1"},
    ]
    path = write_capture(
        tmp_path / "a", [b"%d %s\n" % (start + k, json.dumps(x).encode()) for k, x in enumerate(lines)]
    )
    found = check_session([path])
    assert (found.ticker_checked, found.ticker_mismatches, found.ticker_beyond) == (1, 0, 1) and found.sound
    lines[-1]["b"] = "99.50"  # inside: the book should know it
    path = write_capture(
        tmp_path / "b", [b"%d %s\n" % (start + k, json.dumps(x).encode()) for k, x in enumerate(lines)]
    )
    assert check_session([path]).ticker_mismatches == 1


def test_a_crossed_book_is_seen(tmp_path):
    messages = session(10, SPOT)
    m = [m for m in messages if m.kind == "depth"][20]
    best_ask = min(m.truth[1])
    m.body["b"].insert(0, [f"{best_ask / 100:.2f}", "1.0"])
    found = check_session([write_capture(tmp_path / "a", messages)])
    assert found.crossed >= 1 and any("crossed" in w for w in found.warnings) and not found.sound


# --- the command -----------------------------------------------------------------------------------------------------


def command(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_the_command_answers_in_json_as_promised():
    result = command("check", sample_path(), "--json")
    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    assert list(answer)[: len(PROMISED)] == PROMISED
    assert answer["ticker_checked"] == 598 and answer["messages"]["depth"] == 600 and answer["span_s"] > 60
    assert (answer["bad"], answer["gaps"], answer["ticker_mismatches"], answer["crossed"]) == (0, 0, 0, 0)
    assert -1274 < answer["skew_ms"] < -1273


def test_the_command_answers_a_person():
    result = command("check", sample_path())
    assert result.exit_code == 0 and "sound" in result.stdout and "BTCUSDT spot" in result.stdout


def test_without_a_valid_book_the_code_is_3(tmp_path):
    result = command("check", write_capture(tmp_path / "a", session(1, snapshots=())))
    assert result.exit_code == 3 and "DEGRADED" in result.stdout


# --- recorded sessions -----------------------------------------------------------------------------------------------


@pytest.mark.captures
@pytest.mark.parametrize(
    "files, market, messages, checked, beyond, skew_ms, span_s, events",
    [
        (["spot_btcusdt_20240808", "spot_btcusdt_20240809"], "spot", (6495, 19904, 73174, 1), 6491, 2, -1276.67, 650.6, 466348),
        (["usdm_btcusdt_20240718", "usdm_btcusdt_20240719"], "usdm", (9022, 10701, 52260, 1), 9017, 0, -1524.10, 479.8, 517891),
        (["cm_btcusd_perp_20240808"], "coinm", (26847, 2286, 19136, 1), 26823, 0, -1272.69, 343.8, 338307),
    ],
)  # fmt: skip
def test_recorded_sessions_are_sound(files, market, messages, checked, beyond, skew_ms, span_s, events):
    if not RECORDED.is_dir():
        pytest.skip(f"no recorded captures in {RECORDED.parent.parent.name}/data beside the repository")
    found = check_session([RECORDED / f"{name}.gz" for name in files])
    assert (found.bad, found.gaps, found.trade_gaps, found.crossed, found.ticker_mismatches) == (0,) * 5
    assert tuple(found.messages[k] for k in ("depth", "trade", "bookTicker", "snapshot")) == messages
    assert (found.market, found.ticker_checked, found.ticker_beyond, found.events) == (market, checked, beyond, events)
    assert found.skew_ms == pytest.approx(skew_ms, abs=0.01) and found.span_s == pytest.approx(span_s, abs=0.05)
    assert found.sound
