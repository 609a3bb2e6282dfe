"""The exchange's models from the command line to the fills: what is asked for is what ran, is said, and can be repeated."""

import json
import re
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from procs.latencies import write_latencies
from procs.topology import HOPS
from ringsim.config import Config, exchange_models
from ringsim.config.models import FORMS
from ringsim.telemetry.histogram import HISTOGRAM, observe

JITTER = "jitter:1000000,2000000,40000000,30000000"
EAGER = ["--set", "strategy.params.min_confidence=0"]  # orders that rest long enough to move up in the queue


@pytest.fixture
def backtest(ringsim):
    """A backtest of the shipped minute: its summary."""

    def call(*arguments):
        answer = ringsim("backtest", "--json", *arguments)
        assert answer.code == 0, answer
        return answer.json

    return call


def fills(found):
    """All that is stored of each fill, its times among it."""
    with sqlite3.connect(found["database"]) as database:
        return database.execute("SELECT * FROM trades ORDER BY 1").fetchall()


def test_a_latency_that_is_longer_gives_later_fills_and_another_digest(backtest):
    near, far = backtest(), backtest("--latency", "constant:50000000,50000000")
    assert near["exchange"]["latency"] == "constant:1000000,1000000"
    assert far["exchange"]["latency"] == "constant:50000000,50000000"
    assert near["digest"] != far["digest"] and near["orders"]["submitted"] > far["orders"]["submitted"]
    assert fills(near) and fills(far) and fills(near) != fills(far)


def test_a_queue_model_decides_what_fills(backtest):
    careful, hopeful = backtest(*EAGER), backtest(*EAGER, "--queue", "power:16")
    assert careful["digest"] != hopeful["digest"] and careful["fills"] < hopeful["fills"]
    assert (careful["exchange"]["queue"], hopeful["exchange"]["queue"]) == ("risk-averse", "power:16")


def test_jitter_is_drawn_from_the_seed(backtest):
    first, again, other = (backtest("--latency", JITTER, "--seed", seed) for seed in (1, 1, 2))
    assert first["digest"] == again["digest"] != other["digest"]


def written_rows(backtest, home):
    """A file of rows over the shipped minute: from 1 to 60 ms and back, each way."""
    with sqlite3.connect(backtest("--duration", "5")["database"]) as database:
        (first,) = database.execute("SELECT min(created_ns) FROM orders").fetchone()
    rows = [(first + k * 1_000_000_000, 1_000_000 * (1 + k * 13 % 60)) for k in range(60)]
    text = "".join(f"{at},{at + ns},{at + 2 * ns}\n" for at, ns in rows)
    (home / "rows.csv").write_text("request_ns,exchange_ns,response_ns\n" + text)


def test_measured_rows_decide_when_orders_arrive_and_are_an_input_of_the_run(ringsim, backtest, home):
    written_rows(backtest, home)
    usual, found = backtest(), backtest("--latency", "rows:rows.csv")
    keys = ["--set", "broker.latency_model=rows", "--set", "broker.latency_rows=rows.csv"]
    assert backtest(*keys)["digest"] == found["digest"] != usual["digest"]
    assert found["exchange"]["latency"] == "rows:rows.csv"
    with sqlite3.connect(found["database"]) as database:
        (least, most) = database.execute(
            "SELECT min(acted_ns - created_ns), max(acted_ns - created_ns) FROM orders"
        ).fetchone()
    assert 1_000_000 <= least < 10_000_000 and most > 40_000_000
    assert str(home / "rows.csv") in [s["path"] for s in ringsim("show", "latest", "--json").json["sources"]]
    assert ringsim("verify", "latest", "--json").json["result"] == "same"
    with open(home / "rows.csv", "a") as file:
        file.write("\n")
    assert "rows.csv has other bytes than then" in str(ringsim("verify", "latest", "--json").json["changed"])


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["backtest", "--latency", "rows:none.csv"], "there is no file of latencies "),
        (["run", "--speed", "max", "--latency", "rows:any.csv"], "measured rows are looked up by the feed's clock"),
    ],
)
def test_rows_that_cannot_be_used_are_one_line_and_2(ringsim, home, arguments, line):
    answer = ringsim(*arguments)
    assert answer.code == 2 and answer.err.startswith(f"ringsim: {line}") and answer.err.count("\n") == 1
    assert not Path(home / "runs").exists()


def recorded(ringsim, hops=("tick_to_order", "order_hop")):
    """The newest run, as if it had recorded these hops: 5, 20 and 40 ms. Returns its folder."""
    folder = Path(ringsim("show", "latest", "--json").json["result"]["out"])
    found = np.zeros(len(HOPS), HISTOGRAM).view(np.recarray)
    for name in hops:
        for ms in (5, 20, 40):
            observe(found[HOPS.index(name)], ms * 1_000_000)
    write_latencies(folder, found, HOPS)
    return folder


def test_a_runs_own_latencies_are_drawn_from_and_stay_those_of_that_run(ringsim, backtest):
    usual = backtest()
    folder = recorded(ringsim)
    first, again = backtest("--latency", "measured:latest"), backtest("--latency", f"measured:{folder}")
    assert first["digest"] == again["digest"] != usual["digest"]
    assert first["exchange"]["latency"] == f"measured:{folder}"
    assert backtest("--latency", f"measured:{folder}", "--seed", "2")["digest"] != first["digest"]
    sources = ringsim("show", "latest", "--json").json["sources"]
    assert str(folder / "latency.json") in [source["path"] for source in sources]
    assert ringsim("verify", first["run_id"], "--json").json["result"] == "same", "latest was another run then"


def test_a_run_that_has_no_latencies_is_one_line_and_2(ringsim, backtest):
    folder = backtest("--duration", "5")["out"]
    lines = [("latest", f"{folder} has recorded no latencies: only a run with the realtime clock does")]
    lines.append(("nobody", "no run 'nobody'; "))

    def refused():
        for run, line in lines:
            answer = ringsim("backtest", "--latency", f"measured:{run}")
            assert answer.code == 2 and answer.err.startswith(f"ringsim: {line}") and answer.err.count("\n") == 1

    refused()
    file = recorded(ringsim, ["order_hop"]) / "latency.json"
    lines = [("latest", f"{folder} has recorded no tick_to_order: it sent no order that a tick caused")]
    refused()
    recorded(ringsim)
    file.write_text(file.read_text().replace("[5", "[9995"))
    lines = [("latest", f"{file} is damaged: tick_to_order is no distribution")]
    refused()
    file.write_text("{")
    lines = [("latest", f"{file} is damaged: ")]
    refused()


@pytest.mark.parametrize("given", [[], ["--set", "broker.latency_run=latest"]])
def test_a_configuration_names_the_run_that_it_means(ringsim, given):
    answer = ringsim("config", "check", "--set", "broker.latency_model=measured", *given)
    assert answer.code == 2 and "broker.latency_run" in answer.err
    assert ("latest is another run tomorrow" if given else "names no run") in answer.err


def test_rows_without_a_file(ringsim):
    answer = ringsim("config", "check", "--set", "broker.latency_model=rows")
    assert answer.code == 2 and "broker.latency_rows" in answer.err and "names no file" in answer.err


def test_whole_fills_fees_and_no_limits_are_what_they_say(backtest):
    usual = backtest()
    whole, fees, free = backtest("--fills", "whole"), backtest("--fees", "-0.5,4"), backtest("--limits", "none")
    assert whole["fills"] < usual["fills"] and whole["orders"]["filled"] > usual["orders"]["filled"]
    assert fees["fills"] == usual["fills"] and 0 < fees["fees"] < usual["fees"]
    assert free["fees"] > 10 * usual["fees"]  # orders of half a bitcoin, no longer 0.5 % of the capital
    said = [note for note in free["notes"] if note.startswith("risk.limits: none")]
    assert len(said) == 1 and not any("risk.limits" in note for note in usual["notes"])
    assert free["exchange"]["limits"] == "none"


def test_slippage_is_said_and_paid(backtest):
    usual, ticks, far = backtest(), backtest("--slippage", "ticks:7"), backtest("--slippage", "bps:3")
    assert (ticks["exchange"]["slippage"], far["exchange"]["slippage"]) == ("ticks:7", "bps:3")
    assert len({run["digest"] for run in (usual, ticks, far)}) == 3
    assert far["realized_pnl"] < ticks["realized_pnl"] < usual["realized_pnl"]


def test_adverse_fills_are_drawn_from_the_seed_and_with_0_percent_those_of_partial(backtest):
    large_ticks = [
        "sim.seed=1",
        "sim.sigma=0.0001",
        "sim.book.level_size=1",
        "sim.book.trade_size=0.05",
        "sim.book.trade_hz=50",
    ]
    market = ["--source", "synthetic", "--duration", "20", *(part for key in large_ticks for part in ("--set", key))]

    def run(model, *more):
        return backtest(*EAGER, *market, "--fills", model, *more)

    usual, none, many = run("partial"), run("adverse:0"), run("adverse:100")
    assert (none["exchange"]["fills"], many["exchange"]["fills"]) == ("adverse:0", "adverse:100")
    assert none["digest"] == usual["digest"] != many["digest"] and many["fills"] < usual["fills"]
    assert run("adverse:50")["digest"] == run("adverse:50")["digest"] != run("adverse:50", "--seed", "2")["digest"]


def test_the_venues_rate_refuses_what_is_too_much_in_a_window_and_nothing_else(backtest):
    usual, found = backtest(*EAGER), backtest(*EAGER, "--rate-limit", "2:1")
    assert (usual["exchange"]["rate-limit"], found["exchange"]["rate-limit"]) == ("none", "2:1")
    assert "EXCHANGE_RATE" not in usual["orders"]["rejected"] and found["orders"]["rejected"]["EXCHANGE_RATE"] > 10
    with sqlite3.connect(found["database"]) as database:
        windows = database.execute(
            "SELECT sum(reason != 'EXCHANGE_RATE'), sum(reason = 'EXCHANGE_RATE') FROM orders"
            " WHERE kind = 'NEW' AND acted_ns > 0 GROUP BY acted_ns / 1000000000"
        ).fetchall()
    assert all(passed == 2 if refused else passed <= 2 for passed, refused in windows)
    assert sum(refused for _, refused in windows) == found["orders"]["rejected"]["EXCHANGE_RATE"]


def test_the_option_the_keys_and_the_file_are_the_same_model(backtest, home):
    keys = {
        "latency_model": "jitter",
        "entry_latency_ns": 1_000_000,
        "response_latency_ns": 2_000_000,
        "entry_jitter_ns": 40_000_000,
        "response_jitter_ns": 30_000_000,
        "queue_model": "power3",
        "queue_exponent": 2.5,
        "whole_fills": True,
        "maker_bps": -0.5,
        "taker_bps": 4,
    }
    by_set = [part for key, value in keys.items() for part in ("--set", f"broker.{key}={json.dumps(value)}")]
    (home / "mine.toml").write_text("[broker]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in keys.items()))
    options = ["--latency", JITTER, "--queue", "power3:2.5", "--fills", "whole", "--fees", "-0.5,4"]
    found = [backtest(*by_set), backtest("--config", "mine.toml"), backtest(*options)]
    assert len({run["digest"] for run in found}) == 1
    assert all(run["exchange"] == found[0]["exchange"] for run in found)
    assert found[0]["exchange"]["fees"] == "-0.5,4" and found[0]["exchange"]["latency"] == JITTER


def test_an_option_wins_over_the_file_and_says_so(ringsim, backtest, home):
    (home / "mine.toml").write_text("[broker]\nqueue_model = 'log'\nentry_latency_ns = 7\n")
    assert backtest("--config", "mine.toml", "--queue", "log2")["exchange"]["queue"] == "log2"
    shown = ringsim("show", "latest")
    assert re.search(r"^  exchange  latency constant:7,1000000; queue log2; fills partial; ", shown.out, re.M)
    assert re.search(r"^  setting   broker\.queue_model = log2  \(command line\)$", shown.out, re.M)
    assert re.search(r"^  setting   broker\.entry_latency_ns = 7  \(mine\.toml\)$", shown.out, re.M)
    manifest = ringsim("show", "latest", "--json").json
    settings = {s["path"]: (s["value"], s["origin"]) for s in manifest["settings"]}
    assert settings["broker.queue_model"] == ("log2", "command line")
    assert manifest["result"]["exchange"]["queue"] == "log2"


def test_a_run_with_chosen_models_is_verified(ringsim, backtest):
    found = backtest(*EAGER, "--latency", JITTER, "--queue", "power:16", "--fees", "0.25,3.5", "--limits", "none")
    answer = ringsim("verify", "latest", "--json")
    assert answer.code == 0 and answer.json["result"] == "same" and answer.json["digest_again"] == found["digest"]


@pytest.mark.parametrize("command", ["run", "backtest"])
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--latency", "constant:0,1"], "--latency 'constant:0,1': ENTRY_NS must be a whole number from 1 to 60000000000"),
        (["--queue", "fast"], "--queue: unknown 'fast'; it takes risk-averse|power:N|log|power2:N|log2|power3:N|fifo"),
        (["--fills", "some"], "--fills: unknown 'some'; it takes partial|whole|adverse:P"),
        (["--fees", "2"], "--fees: '2' has 1 values where 2 belong; it takes MAKER_BPS,TAKER_BPS"),
        (["--rate-limit", "50"], "--rate-limit: '50' has 1 values where 2 belong; it takes none|N:SECONDS"),
        (["--limits", "no"], "--limits: unknown 'no'; did you mean none?; it takes enforced|none"),
    ],
)  # fmt: skip
def test_a_wrong_model_is_one_line_and_2(ringsim, home, command, arguments, line):
    answer = ringsim(command, *arguments)
    assert answer.code == 2 and answer.out == "" and answer.err.startswith(f"ringsim: {line}")
    assert answer.err.count("\n") == 1 and not Path(home / "runs").exists()


def test_a_wrong_key_is_named_with_its_path(ringsim):
    answer = ringsim("config", "check", "--set", "broker.queue_model=first", "--set", "broker.entry_jitter_ns=-1")
    assert answer.code == 2 and answer.err.splitlines()[1:] == [
        "  broker.queue_model (command line): must be one of risk_averse, power, log, power2, log2, power3, fifo, not 'first'",
        "  broker.entry_jitter_ns (command line): must be a whole number from 0 to 60000000000, not -1",
    ]


@pytest.mark.parametrize("command", ["run", "backtest"])
def test_the_help_names_every_model_and_the_default(ringsim, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "1000")
    text = ringsim(command, "--help").out
    for option, default in exchange_models(Config()).items():
        line = next(line for line in text.splitlines() if re.match(rf"\W+--{option} ", line))
        for form in FORMS[option]:
            assert re.search(rf"\b{form.name}\b", line, re.I), (option, form.name)
        assert f"default: ({default})" in line


def test_a_run_of_before_there_was_a_choice_is_shown_without_one(ringsim, backtest):
    folder = Path(backtest("--duration", "5")["out"])
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["result"]["exchange"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    answer = ringsim("show", "latest")
    assert answer.code == 0 and "  exchange" not in answer.out and "  account" in answer.out
