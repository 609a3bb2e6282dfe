"""What a configuration promises: exact values, an origin for each, and every problem at once with its key."""

import tomllib
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringsim.config import (
    PROFILES,
    BadConfig,
    Config,
    assignment,
    capacities,
    fees,
    in_run_folder,
    instruments,
    limits_in_grid,
    load,
    source_files,
    toml_value,
)
from ringsim.errors import BadInput
from ringsim.limits import MAX_QTY_LOTS
from ringsim.units import Instrument

FOUNDING = Path(__file__).parent.parent / "data" / "founding.toml"
SPOT = Instrument("BTCUSDT", "0.01", "0.00001")


def problems(**layers):
    """The problems of a configuration that must be refused, as text lines."""
    with pytest.raises(BadConfig) as refused:
        load(**layers)
    assert refused.value.exit_code == 2
    return [str(problem) for problem in refused.value.problems]


def toml(tmp_path, text, name="mine.toml"):
    file = tmp_path / name
    file.write_text(dedent(text))
    return file


# -- the founding documents


def test_the_founding_example_loads_and_is_the_default():
    effective = load(file=FOUNDING)
    assert effective.config == Config() == load().config
    given = {s.path for s in effective.settings if s.origin == "founding.toml"}
    table = tomllib.loads(FOUNDING.read_text())["strategy"]
    sections = ("params", "risk_limits", "performance", "persistence")
    assert given == {f"strategy.{k}" for k in table if k not in sections} | {
        f"strategy.{section}.{k}" for section in sections for k in table[section]
    }


def test_the_labs_defaults_are_those_of_the_founding_documents():
    sim = Config().sim
    assert (sim.threshold, sim.max_position_pct, sim.daily_loss_cap_pct) == tuple(
        map(Decimal, ("0.003", "0.005", "0.02"))
    )
    assert (sim.market_lag_ms, sim.decision_interval_ms, sim.fee_bps) == (120, 50, Decimal("2"))


def test_the_founding_capacities_are_rounded_up_and_said():
    effective = load(file=FOUNDING)
    sizes = capacities(effective.config)
    assert (sizes.market, sizes.orders, sizes.reports) == (16384, 1024, 16384)
    said = {note.path: note.text for note in effective.notes}
    assert said["strategy.performance.order_channel_size"] == "1000 is no power of two: rounded up to 1024"
    assert {"strategy.performance.market_channel_size", "strategy.performance.persist_channel_size"} <= said.keys()


def test_a_power_of_two_is_taken_as_it_is_without_a_note():
    sizes = {
        "market_channel_size": 4096,
        "order_channel_size": 64,
        "persist_channel_size": 256,
        "buffer_capacity": 1024,
    }
    effective = load(
        overrides={f"strategy.performance.{k}": v for k, v in sizes.items()} | {"strategy.persistence.batch_size": 1}
    )
    assert capacities(effective.config).market == 4096 and effective.notes == []


@given(size=st.integers(64, 1 << 24))
def test_a_ring_is_the_smallest_power_of_two_that_is_not_smaller(size):
    market = capacities(load(overrides={"strategy.performance.market_channel_size": size}).config).market
    assert market & (market - 1) == 0 and market // 2 < size <= market


# -- layers


def test_the_command_line_beats_the_file_beats_the_profile_beats_the_default(tmp_path):
    persistence = "[strategy.persistence]\nbatch_size = 7\nsnapshot_interval_ms = 5"
    file = toml(tmp_path, f"[run]\nprofile = 'demo'\nseed = 3\n{persistence}")
    effective = load(file=file, overrides={"run.seed": 9, "run.clock": None})
    config = effective.config
    assert (config.run.seed, effective.origin("run.seed")) == (9, "command line")
    assert (
        config.strategy.persistence.snapshot_interval_ms,
        effective.origin("strategy.persistence.snapshot_interval_ms"),
    ) == (5, "mine.toml")
    assert (config.run.speed, effective.origin("run.speed")) == (10, "profile demo")
    assert (config.run.clock, effective.origin("run.clock")) == ("realtime", "default")


def test_the_profile_of_the_command_line_beats_the_files(tmp_path):
    file = toml(tmp_path, "[run]\nprofile = 'demo'")
    effective = load(file=file, profile="bench")
    assert effective.config.run.profile == "bench" and effective.config.run.speed == 1
    assert effective.origin("strategy.persistence.batch_size") == "profile bench"


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_is_valid_and_changes_only_what_it_names(name):
    effective = load(profile=name)
    assert {s.path for s in effective.settings if s.origin == f"profile {name}"} == set(PROFILES[name])


def test_the_values_of_an_effective_configuration_make_it_again(tmp_path):
    file = toml(
        tmp_path,
        "[run]\nspeed = 'max'\n[instruments.usdm.XYZUSDT]\ntick = 0.1\nlot = 0.001\n[broker]\nmaker_bps = -0.5",
    )
    effective = load(file=file, profile="demo", overrides={"strategy.symbols": ["A", "B"]})
    assert load(overrides=effective.values()).config == effective.config


# -- exactness


def test_a_number_of_the_file_stays_the_decimal_that_was_written(tmp_path):
    file = toml(tmp_path, "[strategy.risk_limits]\nmax_order_size = 0.1\nmax_notional_exposure = 123456789.123456789")
    risk = load(file=file).config.strategy.risk_limits
    assert risk.max_order_size == Decimal("0.1") and risk.max_notional_exposure == Decimal("123456789.123456789")


def test_limits_on_the_grid_are_exact():
    grid = limits_in_grid(Config(), SPOT)
    assert grid.limits.max_order_lots == 50_000 and grid.limits.max_position_lots == 100_000
    assert SPOT.money(grid.start_cash) == 100_000 and SPOT.money(grid.limits.max_notional) == 100_000
    assert SPOT.money(grid.limits.max_intent) == 500 and SPOT.money(grid.limits.daily_loss_cap) == 2_000
    assert (grid.maker_cbps, grid.taker_cbps, grid.limits.orders_per_second) == (200, 200, 10)


@given(
    size=st.decimals("0.001", "1000", places=6),
    lot=st.sampled_from(["0.001", "0.00001", "0.0003", "0.7"]),
    tick=st.sampled_from(["0.01", "0.1", "0.003"]),
)
def test_a_limit_on_the_grid_is_never_wider_and_never_a_lot_narrower(size, lot, tick):
    config = load(overrides={"strategy.risk_limits.max_order_size": size, "risk.capital": 1_000_000}).config
    instrument = Instrument("X", tick, lot)
    step = Fraction(lot)
    if Fraction(size) < step:
        with pytest.raises(BadConfig, match="less than one lot"):
            limits_in_grid(config, instrument)
        return
    grid = limits_in_grid(config, instrument)
    assert grid.limits.max_order_lots * step <= Fraction(size) < (grid.limits.max_order_lots + 1) * step
    unit = Fraction(tick) * step
    assert grid.limits.daily_loss_cap * unit <= 20_000 < (grid.limits.daily_loss_cap + 1) * unit


def test_the_smaller_of_both_position_limits_wins():
    sizes = {"strategy.params.max_position_size": "0.25", "strategy.risk_limits.max_position_size": "0.75"}
    for swapped in (False, True):
        values = list(sizes.values())[:: -1 if swapped else 1]
        config = load(overrides={k: Decimal(v) for k, v in zip(sizes, values, strict=True)}).config
        assert limits_in_grid(config, SPOT).limits.max_position_lots == 25_000


def test_all_limits_that_vanish_on_the_grid_are_named_at_once():
    config = load(
        overrides={
            "strategy.risk_limits.max_order_size": Decimal("0.000001"),
            "strategy.params.max_position_size": Decimal("0.000001"),
        }
    ).config
    with pytest.raises(BadConfig) as refused:
        limits_in_grid(config, SPOT)
    assert [str(p) for p in refused.value.problems] == [
        "strategy.params.max_position_size (BTCUSDT): 1e-06 is less than one lot (0.00001)",
        "strategy.risk_limits.max_order_size (BTCUSDT): 1e-06 is less than one lot (0.00001)",
    ]


def test_a_capital_that_money_cannot_count_is_refused_and_a_huge_size_is_bounded():
    fine = Instrument("X", "0.00000001", "0.00000001")
    with pytest.raises(BadConfig, match=r"risk\.capital \(X\): 100000 cannot be counted in tick x lot \(1e-16\)"):
        limits_in_grid(Config(), fine)
    config = load(overrides={"strategy.risk_limits.max_order_size": 10**12}).config
    assert limits_in_grid(config, SPOT).limits.max_order_lots == MAX_QTY_LOTS


def test_one_fee_is_both_unless_they_are_given_apart():
    assert fees(Config()) == (2, 2)
    assert fees(load(overrides={"broker.maker_bps": Decimal("-0.5")}).config) == (Decimal("-0.5"), 2)
    apart = load(overrides={"broker.maker_bps": 0, "broker.taker_bps": 5, "sim.fee_bps": 7}).config
    assert fees(apart) == (0, 5)


# -- problems


def test_every_problem_of_every_layer_is_reported_at_once_with_its_key(tmp_path):
    file = toml(
        tmp_path,
        """
        colour = "red"
        [strategy]
        paper_trading = false
        strategy_id = ""
        [strategy.params]
        imbalance_treshold = 0.3
        min_confidence = 1.5
        feature_window_ms = "1000"
        order_size_fraction = true
        [strategy.performance]
        order_channel_size = 8
        [brokers]
        maker_bps = 1
        [sim]
        max_order_size = 1
        seed = 1.0
        fee_bps = nan
        """,
    )
    assert problems(
        file=file, overrides={"strategy.params.min_confidence": Decimal("0.5"), "run.clock": "realtme"}
    ) == [
        "run.clock (command line): must be one of realtime, simulated, not 'realtme'; did you mean realtime?",
        "colour (mine.toml): no such key; a configuration has broker, feed, pipeline, risk, run, sim, strategy",
        'strategy.strategy_id (mine.toml): must be text that is not empty or a list of one text or more, not ""',
        "strategy.params.imbalance_treshold (mine.toml): no such key; did you mean strategy.params.imbalance_threshold?",
        "strategy.params.min_confidence (mine.toml): must be a number from 0 to 1 in steps of 0.000001, not 1.5",
        'strategy.params.feature_window_ms (mine.toml): must be a whole number from 1 to 86400000, not "1000"',
        "strategy.params.order_size_fraction (mine.toml): must be a number from 0.000001 to 1 in steps of 0.000001, not true",
        "strategy.performance.order_channel_size (mine.toml): must be a whole number from 57 to 16777216 "
        "(all credits and one input's worst case must fit, or everybody could wait for everybody), not 8",
        "brokers.maker_bps (mine.toml): no such key; did you mean broker?",
        "sim.max_order_size (mine.toml): no such key; did you mean strategy.risk_limits.max_order_size?",
        "sim.seed (mine.toml): must be a whole number from 0 to 9223372036854775807, not 1.0",
        "sim.fee_bps (mine.toml): must be a number from 0 to 100 in steps of 0.01, not NaN",
        "strategy.paper_trading (mine.toml): must be true: this program simulates, holds no venue credentials "
        "and sends no order off this machine",
    ]


def test_one_problem_is_one_line_and_several_are_counted(tmp_path):
    with pytest.raises(BadConfig) as refused:
        load(overrides={"run.seed": -1})
    assert (
        str(refused.value)
        == "configuration: run.seed (command line): must be a whole number from 0 to 9223372036854775807, not -1"
    )
    with pytest.raises(BadConfig) as refused:
        load(overrides={"run.seed": -1, "run.sed": 1})
    assert (
        str(refused.value).splitlines()[0] == "configuration: 2 problems" and len(str(refused.value).splitlines()) == 3
    )


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        ({"pipeline.wait": 3}, "pipeline.wait (command line): is a section, not a value: write [pipeline.wait]"),
        ({"strategy.symbols": []}, "strategy.symbols (command line): must be a list of one text or more, not []"),
        ({"strategy.symbols": ["A", 1]}, 'strategy.symbols (command line): must be a list of one text or more, not ["A", 1]'),
        ({"strategy.symbols": ["A", "A"]}, "strategy.symbols (command line): names a symbol twice"),
        ({"strategy.symbols": [f"S{i}" for i in range(17)]}, "strategy.symbols (command line): has 17 symbols; the most is 16"),
        (
            {"run.source": "smple"},
            "run.source (command line): must be sample, synthetic, replay:FILE[,FILE...], events:FILE[,FILE...] "
            "or lobster:MSG.csv[,BOOK.csv], not 'smple'; did you mean sample?",
        ),
        ({"run.source": "replay:,"}, "run.source (command line): names no file: replay:FILE[,FILE...]"),
        ({"run.source": "events:"}, "run.source (command line): names no file: events:FILE[,FILE...]"),
        ({"run.source": "sample:x"}, "run.source (command line): sample takes nothing after it"),
        ({"run.duration_s": 0}, "run.duration_s (command line): must be a number from 0.001 to 1000000000, not 0"),
        (
            {"run.seed": 10**40},
            "run.seed (command line): must be a whole number from 0 to 9223372036854775807, not a number of that size",
        ),
        ({"run.seed": {"a": 1}}, "run.seed (command line): must be a whole number from 0 to 9223372036854775807, not a table"),
        ({"run.profile": ["dev"]}, 'run.profile (command line): must be one of dev, demo, bench, not ["dev"]'),
        (
            {"broker.maker_bps": Decimal("0.001")},
            "broker.maker_bps (command line): must be a number from -100 to 100 in steps of 0.01, not 0.001",
        ),
        (
            {"strategy.persistence.batch_size": 129, "strategy.performance.persist_channel_size": 256},
            "strategy.persistence.batch_size (command line): must be at most 128, half of "
            "strategy.performance.persist_channel_size: a fuller ring counts as DEGRADED",
        ),
        (
            {"pipeline.cores.strategy": 1, "pipeline.placement": "none"},
            'pipeline.cores.strategy (command line): a core is given, but pipeline.placement = "none" places nothing: '
            "leave one of them out",
        ),
        ({"instruments.spot.X.tick": 1}, "instruments.spot.X.lot (command line): is missing: an instrument needs tick and lot"),
        (
            {"instruments.moon.X.tick": 1},
            "instruments.moon.X.tick (command line): no such key; an instrument is [instruments.MARKET.SYMBOL] with tick, lot, "
            "quote; MARKET one of spot, usdm, coinm, lobster, synthetic",
        ),
    ],
)  # fmt: skip
def test_a_problem_says_the_value_the_range_and_what_to_do(overrides, line):
    assert problems(overrides=overrides) == [line]


def test_a_contradiction_is_not_claimed_of_a_value_that_is_wrong_anyway():
    assert len(problems(overrides={"strategy.persistence.batch_size": 10**9})) == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "there is no configuration file"),
        (b"[strategy\n", "is not valid TOML: .*line 1"),
        (b"a = 1\na = 2\n", "is not valid TOML"),
        (b"\xff\xfe", "cannot be read: it is not text in UTF-8"),
        (b"a = " + b"9" * 5000, "is not valid TOML"),
    ],
)
def test_a_file_that_is_no_configuration_is_one_clear_line(tmp_path, content, says):
    file = tmp_path / "broken.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BadInput, match=says) as refused:
        load(file=file)
    assert refused.value.exit_code == 2 and "broken.toml" in str(refused.value) and "\n" not in str(refused.value)


def test_a_folder_is_no_configuration_file(tmp_path):
    with pytest.raises(BadInput, match="cannot be read: Is a directory"):
        load(file=tmp_path)


def test_an_empty_file_and_empty_sections_change_nothing(tmp_path):
    assert load(file=toml(tmp_path, "[strategy.params]\n[instruments]\n")).config == Config()
    assert problems(file=toml(tmp_path, "[strategies]\n")) == [
        "strategies (mine.toml): no such key; did you mean strategy?"
    ]


def test_speed_without_effect_is_noted_not_refused():
    effective = load(profile="demo", overrides={"run.clock": "simulated"})
    assert ("run.speed", "profile demo") in {(note.path, note.origin) for note in effective.notes}


# -- pieces of text


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("run.seed=3", ("run.seed", 3)),
        ("run.speed=max", ("run.speed", "max")),
        ("run.speed = 0.5", ("run.speed", Decimal("0.5"))),
        ("strategy.symbols=['A', 'B']", ("strategy.symbols", ["A", "B"])),
        ("run.source=replay:a=b.gz,c", ("run.source", "replay:a=b.gz,c")),
        ("strategy.paper_trading=true", ("strategy.paper_trading", True)),
        ("run.out=", ("run.out", "")),
    ],
)
def test_an_assignment_is_toml_where_it_can_be_and_text_otherwise(text, pair):
    path, value = assignment(text)
    assert (path, value) == pair and type(value) is type(pair[1])


@pytest.mark.parametrize("text", ["run.seed", "=3", ""])
def test_an_assignment_needs_a_key_and_a_value(text):
    with pytest.raises(BadInput, match="key=value"):
        assignment(text)


@given(
    st.one_of(
        st.booleans(),
        st.integers(),
        st.decimals(allow_nan=False, allow_infinity=False, places=6),
        st.text(),
        st.lists(st.text()),
    )
)
def test_a_value_as_toml_text_reads_back(value):
    assert tomllib.loads(f"v = {toml_value(value)}", parse_float=Decimal)["v"] == value


def test_relative_paths_lie_in_the_runs_folder(tmp_path):
    assert in_run_folder("./data/strategy.db", tmp_path) == tmp_path / "data" / "strategy.db"
    assert in_run_folder("/var/x.db", tmp_path) == Path("/var/x.db")
    assert in_run_folder("~/x.db", tmp_path) == Path.home() / "x.db"


def test_the_files_of_a_replay_are_in_order():
    assert source_files("replay:b.gz,a.gz") == ["b.gz", "a.gz"] and source_files("sample") == []


def test_instruments_of_the_configuration_have_exact_grids(tmp_path):
    file = toml(tmp_path, "[instruments.usdm.XYZUSDT]\ntick = 0.10\nlot = 1e-3\nquote = 'USDC'")
    assert instruments(load(file=file).config) == [Instrument("XYZUSDT", "0.10", "0.001", "usdm", "USDC")]
