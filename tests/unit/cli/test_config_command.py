"""`ringsim config` says where each value came from, and what is wrong with a file."""

import re
import tomllib
from decimal import Decimal
from pathlib import Path

import pytest

from ringsim.config import load

FOUNDING = Path(__file__).parents[2] / "data" / "founding.toml"


def test_show_says_value_and_origin_of_every_key(ringsim, home):
    (home / "mine.toml").write_text("[run]\nprofile = 'demo'\nseed = 3\n[sim]\nsigma = 0.002\n")
    found = ringsim("config", "show", "--config", "mine.toml", "--set", "run.seed=5", "--json").json
    settings = found["settings"]
    assert found["profile"] == "demo"
    assert settings["run.seed"] == {"value": 5, "origin": "command line"}
    assert settings["sim.sigma"] == {"value": 0.002, "origin": "mine.toml"}
    assert settings["run.speed"] == {"value": 10, "origin": "profile demo"}
    assert settings["run.clock"] == {"value": "realtime", "origin": "default"}
    assert list(settings) == [s.path for s in load().settings]


def test_the_text_of_show_is_a_configuration_file_that_gives_the_same(ringsim, home):
    shown = ringsim(
        "config", "show", "--config", FOUNDING, "--profile", "bench", "--set", "instruments.spot.X={tick=1,lot=2}"
    )
    assert shown.code == 2 and "instruments.spot.X" in shown.err  # a table is not one value
    sets = ("--set", "instruments.spot.X.tick=0.1", "--set", "instruments.spot.X.lot=2", "--set", "run.speed=max")
    shown = ringsim("config", "show", "--config", FOUNDING, "--profile", "bench", *sets)
    assert re.search(r"^min_confidence = 0\.7 +# founding\.toml$", shown.out, re.M)
    assert re.search(r"^batch_size = 100 +# founding\.toml$", shown.out, re.M)
    assert re.search(r"^# duration_s = +# default: not set$", shown.out, re.M)
    tomllib.loads(shown.out)
    (home / "kept.toml").write_text(shown.out)
    again = load(file=home / "kept.toml").config
    assert again.run.speed == "max" and again.instruments["spot"]["X"].tick == Decimal("0.1")
    assert again.strategy.persistence.batch_size == 100 and again.run.profile == "bench"


def test_show_says_what_was_rounded_on_stderr(ringsim):
    answer = ringsim("config", "show", "--config", FOUNDING, "--json")
    line = "note: strategy.performance.order_channel_size (founding.toml): 1000 is no power of two: rounded up to 1024"
    assert line in answer.err.splitlines()
    assert {"path", "origin", "text"} == set(answer.json["notes"][0])


def test_check_of_a_good_configuration(ringsim):
    answer = ringsim("config", "check", "--config", FOUNDING)
    assert answer.code == 0 and re.match(
        r"The configuration is good: \d+ by default, 20 from founding\.toml\.\n", answer.out
    )
    found = ringsim("config", "check", "--config", FOUNDING, "--json").json
    assert found["ok"] and found["problems"] == [] and found["values"]["founding.toml"] == 20


def test_check_names_every_problem_with_its_key(ringsim, home):
    (home / "bad.toml").write_text(
        "[strategy]\npaper_trading = false\n[strategy.params]\nmin_confidence = 2\nwindow = 1\n"
    )
    answer = ringsim("config", "check", "--config", "bad.toml", "--json")
    assert answer.code == 2
    assert [p["path"] for p in answer.json["problems"]] == [
        "strategy.params.min_confidence",
        "strategy.params.window",
        "strategy.paper_trading",
    ]
    text = ringsim("config", "check", "--config", "bad.toml")
    assert (text.code, text.out) == (2, "") and len(text.err.splitlines()) == 4


def test_paper_trading_false_is_refused_with_its_reason(ringsim):
    answer = ringsim("config", "show", "--set", "strategy.paper_trading=false")
    assert answer == (
        2,
        "",
        "ringsim: configuration: strategy.paper_trading (command line): must be true: this program simulates, holds no venue "
        "credentials and sends no order off this machine\n",
    )


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--config", "none.toml"], "ringsim: there is no configuration file none.toml\n"),
        (["--set", "run.seed"], "ringsim: --set wants key=value, such as strategy.params.min_confidence=0.6, not 'run.seed'\n"),
        (["--profile", "benhc"], "ringsim: configuration: run.profile (command line): must be one of dev, demo, bench, "
                                 "not 'benhc'; did you mean bench?\n"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_2(ringsim, arguments, line):
    assert ringsim("config", "show", *arguments) == (2, "", line)
