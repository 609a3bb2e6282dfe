"""The text of a model gives exactly its keys, and the keys its text; a wrong text is one line with what is allowed."""

import re
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringsim.config import Config, allowed, exchange_models, load, model_settings
from ringsim.config.kinds import kind_of
from ringsim.config.models import FORMS
from ringsim.errors import BadInput

FORM_ROWS = [(option, form) for option, forms in FORMS.items() for form in forms]


@pytest.mark.parametrize(
    ("option", "text", "keys"),
    [
        (
            "latency",
            "constant:1,60000000000",
            {"latency_model": "constant", "entry_latency_ns": 1, "response_latency_ns": 60_000_000_000},
        ),
        (
            "latency",
            "jitter:1000,2000,300,0",
            {
                "latency_model": "jitter",
                "entry_latency_ns": 1000,
                "response_latency_ns": 2000,
                "entry_jitter_ns": 300,
                "response_jitter_ns": 0,
            },
        ),
        ("latency", "rows:my, own.csv", {"latency_model": "rows", "latency_rows": "my, own.csv"}),
        ("latency", "rows:1", {"latency_model": "rows", "latency_rows": "1"}),
        ("latency", "measured:an/id", {"latency_model": "measured", "latency_run": "an/id"}),
        (
            "latency",
            "volatility:1,2,60000000000,0",
            {
                "latency_model": "volatility",
                "entry_latency_ns": 1,
                "response_latency_ns": 2,
                "volatility_ns_per_bps": 60_000_000_000,
                "volatility_most_ns": 0,
            },
        ),
        ("queue", "risk-averse", {"queue_model": "risk_averse"}),
        ("queue", "power:2.5", {"queue_model": "power", "queue_exponent": Decimal("2.5")}),
        ("queue", "log", {"queue_model": "log"}),
        ("queue", "power2:16", {"queue_model": "power2", "queue_exponent": Decimal(16)}),
        ("queue", "log2", {"queue_model": "log2"}),
        ("queue", "power3:.5", {"queue_model": "power3", "queue_exponent": Decimal("0.5")}),
        ("queue", "fifo", {"queue_model": "fifo"}),
        ("fills", "partial", {"whole_fills": False, "adverse_fills": False}),
        ("fills", "whole", {"whole_fills": True, "adverse_fills": False}),
        ("fills", "adverse:0", {"whole_fills": False, "adverse_fills": True, "adverse_pct": 0}),
        ("fills", "adverse:100", {"whole_fills": False, "adverse_fills": True, "adverse_pct": 100}),
        ("slippage", "none", {"slippage_model": "none"}),
        ("slippage", "ticks:1000000", {"slippage_model": "ticks", "slippage_ticks": 1_000_000}),
        ("slippage", "bps:0.01", {"slippage_model": "bps", "slippage_bps": Decimal("0.01")}),
        ("rate-limit", "none", {"rate_limit_model": "none"}),
        (
            "rate-limit",
            "50:10",
            {"rate_limit_model": "windows", "rate_limit_orders": 50, "rate_limit_s": 10},
        ),
        ("fees", "-0.5,2", {"maker_bps": Decimal("-0.5"), "taker_bps": Decimal(2)}),
        ("fees", "0, 100", {"maker_bps": Decimal(0), "taker_bps": Decimal(100)}),
    ],
)
def test_a_text_gives_its_keys(option, text, keys):
    found = model_settings(option, text)
    assert found == {f"broker.{key}": value for key, value in keys.items()}
    assert [type(value) for value in found.values()] == [type(value) for value in keys.values()]


def test_the_limits_are_a_key_of_the_account():
    assert model_settings("limits", "none") == {"risk.limits": "none"}
    assert model_settings("limits", "enforced") == {"risk.limits": "enforced"}


LATENCIES = (
    "constant:ENTRY_NS,RESPONSE_NS|jitter:ENTRY_NS,RESPONSE_NS,ENTRY_JITTER_NS,RESPONSE_JITTER_NS|"
    "rows:FILE|measured:RUN|volatility:ENTRY_NS,RESPONSE_NS,NS_PER_BPS,MOST_NS"
)
QUEUES = "risk-averse|power:N|log|power2:N|log2|power3:N|fifo"
NANOSECONDS = "must be a whole number from 1 to 60000000000 (zero would let an answer arrive with its question)"


@pytest.mark.parametrize(
    ("option", "text", "line"),
    [
        ("latency", "", f"--latency: unknown ''; it takes {LATENCIES}"),
        ("latency", "1,2", f"--latency: unknown '1,2'; it takes {LATENCIES}"),
        ("latency", "constnat:1,2", f"--latency: unknown 'constnat'; did you mean constant?; it takes {LATENCIES}"),
        ("latency", "constant", f"--latency: 'constant' has 0 values where 2 belong; it takes {LATENCIES}"),
        ("latency", "constant:1,2,3", f"--latency: 'constant:1,2,3' has 3 values where 2 belong; it takes {LATENCIES}"),
        ("latency", "jitter:1,2", f"--latency: 'jitter:1,2' has 2 values where 4 belong; it takes {LATENCIES}"),
        ("latency", "rows", f"--latency: 'rows' has 0 values where 1 belong; it takes {LATENCIES}"),
        ("latency", "rows:", "--latency 'rows:': FILE must be text that is not empty, not \"\""),
        ("latency", "constant:0,1", f"--latency 'constant:0,1': ENTRY_NS {NANOSECONDS}, not 0"),
        ("latency", "constant:1,-1", f"--latency 'constant:1,-1': RESPONSE_NS {NANOSECONDS}, not -1"),
        ("latency", "constant:1.5,1", f"--latency 'constant:1.5,1': ENTRY_NS {NANOSECONDS}, not 1.5"),
        ("latency", "constant:1ms,1", f"--latency 'constant:1ms,1': ENTRY_NS {NANOSECONDS}, not \"1ms\""),
        ("latency", "constant:,1", f"--latency 'constant:,1': ENTRY_NS {NANOSECONDS}, not \"\""),
        (
            "latency",
            "jitter:1,1,1,60000000001",
            "--latency 'jitter:1,1,1,60000000001': RESPONSE_JITTER_NS must be a whole number from 0 to 60000000000, "
            "not 60000000001",
        ),
        ("queue", "risk_averse", f"--queue: unknown 'risk_averse'; did you mean risk-averse?; it takes {QUEUES}"),
        ("queue", "power", f"--queue: 'power' has 0 values where 1 belong; it takes {QUEUES}"),
        ("queue", "log:2", f"--queue: 'log:2' has 1 values where 0 belong; it takes {QUEUES}"),
        ("queue", "log:", f"--queue: 'log:' has 1 values where 0 belong; it takes {QUEUES}"),
        ("queue", "fifo:1", f"--queue: 'fifo:1' has 1 values where 0 belong; it takes {QUEUES}"),
        ("queue", "power:0", "--queue 'power:0': N must be a number above 0 and at most 16, not 0"),
        ("queue", "power:16.1", "--queue 'power:16.1': N must be a number above 0 and at most 16, not 16.1"),
        ("queue", "power:nan", "--queue 'power:nan': N must be a number above 0 and at most 16, not \"nan\""),
        ("queue", "power:inf", "--queue 'power:inf': N must be a number above 0 and at most 16, not \"inf\""),
        ("fills", "half", "--fills: unknown 'half'; it takes partial|whole|adverse:P"),
        ("fills", "adverse", "--fills: 'adverse' has 0 values where 1 belong; it takes partial|whole|adverse:P"),
        ("fills", "adverse:-1", "--fills 'adverse:-1': P must be a whole number from 0 to 100, not -1"),
        ("fills", "adverse:101", "--fills 'adverse:101': P must be a whole number from 0 to 100, not 101"),
        ("fills", "adverse:0.5", "--fills 'adverse:0.5': P must be a whole number from 0 to 100, not 0.5"),
        ("fees", "2", "--fees: '2' has 1 values where 2 belong; it takes MAKER_BPS,TAKER_BPS"),
        ("fees", "a,2", "--fees 'a,2': MAKER_BPS must be a number from -100 to 100 in steps of 0.01, not \"a\""),
        ("fees", "2,0.001", "--fees '2,0.001': TAKER_BPS must be a number from -100 to 100 in steps of 0.01, not 0.001"),
        ("slippage", "ticks:-1", "--slippage 'ticks:-1': N must be a whole number from 0 to 1000000, not -1"),
        ("slippage", "ticks:1.5", "--slippage 'ticks:1.5': N must be a whole number from 0 to 1000000, not 1.5"),
        ("slippage", "ticks:1000001", "--slippage 'ticks:1000001': N must be a whole number from 0 to 1000000, not 1000001"),
        ("slippage", "bps:100.01", "--slippage 'bps:100.01': N must be a number from 0 to 100 in steps of 0.01, not 100.01"),
        ("slippage", "bps:0.001", "--slippage 'bps:0.001': N must be a number from 0 to 100 in steps of 0.01, not 0.001"),
        ("slippage", "3", "--slippage: unknown '3'; it takes none|ticks:N|bps:N"),
        ("rate-limit", "", "--rate-limit: '' has 1 values where 2 belong; it takes none|N:SECONDS"),
        ("rate-limit", "50", "--rate-limit: '50' has 1 values where 2 belong; it takes none|N:SECONDS"),
        ("rate-limit", ":50:10", "--rate-limit: ':50:10' has 3 values where 2 belong; it takes none|N:SECONDS"),
        ("rate-limit", "none:10", "--rate-limit: 'none:10' has 1 values where 0 belong; it takes none|N:SECONDS"),
        ("rate-limit", "0:10", "--rate-limit '0:10': N must be a whole number from 1 to 1000000, not 0"),
        ("rate-limit", "1000001:10", "--rate-limit '1000001:10': N must be a whole number from 1 to 1000000, not 1000001"),
        ("rate-limit", "50:0", "--rate-limit '50:0': SECONDS must be a whole number from 1 to 86400, not 0"),
        ("rate-limit", "50:86401", "--rate-limit '50:86401': SECONDS must be a whole number from 1 to 86400, not 86401"),
        ("rate-limit", "50:0.5", "--rate-limit '50:0.5': SECONDS must be a whole number from 1 to 86400, not 0.5"),
        ("rate-limit", "50,10", "--rate-limit: '50,10' has 1 values where 2 belong; it takes none|N:SECONDS"),
        ("limits", "off", "--limits: unknown 'off'; it takes enforced|none"),
    ],
)  # fmt: skip
def test_a_wrong_text_is_one_line_that_says_what_is_allowed(option, text, line):
    with pytest.raises(BadInput) as refused:
        model_settings(option, text)
    assert str(refused.value) == line and refused.value.exit_code == 2


@given(option=st.sampled_from(list(FORMS)), text=st.text(st.sampled_from("constapwerlg23:,-.0e1 \n"), max_size=30))
def test_any_text_is_keys_that_load_or_one_short_line(option, text):
    try:
        found = model_settings(option, text)
    except BadInput as refused:
        assert "\n" not in str(refused) and str(refused).startswith(f"--{option}")
    else:
        load(overrides=found)


@pytest.mark.parametrize("text", ["constant:" + "9" * 5000 + ",1", "x" * 5000, "constant:1," + "," * 5000])
def test_a_huge_text_is_a_short_line(text):
    with pytest.raises(BadInput) as refused:
        model_settings("latency", text)
    assert len(str(refused.value)) < 350


def texts(option, form):
    """Texts that the row takes, as `exchange_models` would write them."""
    values = []
    for _, path in form.parts:
        if form.is_text:
            return st.text(st.sampled_from("ab/.,-1"), min_size=1).map(lambda file: f"{form.name}:{file}")
        low, high, step, _ = kind_of(path).within
        if int in kind_of(path).types:
            values.append(st.integers(int(low), int(high)).map(str))
        else:
            cents = st.integers(int(low * 100) if step else 1, int(high * 100))
            values.append(cents.map(lambda n: f"{(Decimal(n) / 100).normalize():f}"))
    return st.tuples(*values).map(form.text)


@pytest.mark.parametrize(("option", "form"), FORM_ROWS, ids=[f"{option} {form}" for option, form in FORM_ROWS])
@given(data=st.data())
def test_the_keys_of_a_text_are_described_by_that_text(option, form, data):
    text = data.draw(texts(option, form))
    data_with_orders = {"run.source": "lobster:m.csv"} if text == "fifo" else {}
    assert exchange_models(load(overrides=model_settings(option, text) | data_with_orders).config)[option] == text


def test_the_defaults_in_words():
    assert exchange_models(Config()) == {
        "latency": "constant:1000000,1000000",
        "queue": "risk-averse",
        "fills": "partial",
        "fees": "2,2",
        "slippage": "none",
        "rate-limit": "none",
        "limits": "enforced",
    }
    assert (
        exchange_models(load(overrides={"sim.fee_bps": Decimal("1.5"), "broker.taker_bps": 7}).config)["fees"]
        == "1.5,7"
    )


def test_every_choice_of_a_models_key_has_a_row():
    for option, path in (
        ("latency", "broker.latency_model"),
        ("queue", "broker.queue_model"),
        ("slippage", "broker.slippage_model"),
        ("rate-limit", "broker.rate_limit_model"),
        ("limits", "risk.limits"),
    ):
        assert [form.fixed[path] for form in FORMS[option]] == list(kind_of(path).choices)
    assert allowed("queue") == QUEUES


def test_fills_follow_one_model():
    with pytest.raises(BadInput, match="fills follow one model"):
        load(overrides={"broker.whole_fills": True, "broker.adverse_fills": True})
    with pytest.raises(BadInput, match="the data say who had each trade"):
        load(overrides={"broker.queue_model": "fifo", "broker.adverse_fills": True})


def test_a_value_that_the_model_in_force_does_not_read_is_noted_where_it_came_from(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("[broker]\nlatency_model = 'jitter'\nentry_jitter_ns = 5\nqueue_exponent = 3\n")

    def noted(**layers):
        notes = load(file=file, **layers).notes
        return {(n.path, n.origin): n.text for n in notes if n.path.startswith("broker.")}

    assert noted() == {
        (
            "broker.queue_exponent",
            "mine.toml",
        ): "has no effect with the models in force; it is for power, power2, power3"
    }
    assert noted(overrides={"broker.rate_limit_s": 3})[("broker.rate_limit_s", "command line")].endswith(
        "for N:SECONDS"
    )
    assert noted(overrides=model_settings("latency", "constant:1,1") | model_settings("queue", "power:2")) == {
        ("broker.entry_jitter_ns", "mine.toml"): "has no effect with the models in force; it is for jitter"
    }


# -- what people read


DOCUMENT = (Path(__file__).parents[2] / "docs" / "exchange.md").read_text()


def test_the_document_has_a_row_for_each_option_with_all_its_forms_keys_and_its_default():
    rows = {
        cells[0].strip(): cells[1:] for cells in (line.strip("|").split("|") for line in DOCUMENT.splitlines()) if cells
    }
    for option, forms in FORMS.items():
        takes, default, keys = (re.findall("`(.*?)`", cell) for cell in rows[f"`--{option}`"][:3])
        assert takes == [str(form) for form in forms]
        assert default == [exchange_models(Config())[option]]
        named = {path for form in forms for path in (*form.fixed, *(path for _, path in form.parts))}
        assert set(keys) - {"sim.fee_bps"} == named


def test_every_option_that_the_documents_write_is_one():
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    written = re.findall(rf"ringsim [^\n#`]*?--({'|'.join(FORMS)}) (\S+)", DOCUMENT + readme)
    assert {option for option, _ in written} == set(FORMS)
    for line in (DOCUMENT + readme).splitlines():
        for option, text in re.findall(rf"--({'|'.join(FORMS)}) ([-\w:.,]+)(?= |$)", line):
            model_settings(option, text)
