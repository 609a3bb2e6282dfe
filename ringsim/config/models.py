"""The exchange's models as a person writes them, and the keys that they stand for.

    --latency jitter:1000000,1000000,500000,500000     option, model, its parts      FORMS has a row for each
      broker.latency_model = "jitter"                  what the row fixes
      broker.entry_latency_ns = 1000000 ...            what the parts say, in the order of the row

Invariants: every value is checked against its key's kind and nowhere else; `exchange_models` writes what `model_settings`
reads. One more model is a row in FORMS, its name in the schema's choices, and a value of the broker's enum.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, NamedTuple

from ringsim.config.grid import fees
from ringsim.config.kinds import kind_of, meant
from ringsim.config.schema import Config
from ringsim.errors import BadInput


class Form(NamedTuple):
    """One way to write an option: NAME, NAME:PART,... or, without a name, PART,..."""

    name: str
    fixed: dict[str, object]  # keys that the name decides
    parts: tuple[tuple[str, str], ...] = ()  # what stands after the name: what the help calls it, its key
    between: str = ","  # what parts them

    def __str__(self) -> str:
        return self.text(part for part, _ in self.parts)

    def text(self, values: Iterable[str]) -> str:
        """As a person writes it, with these for its parts."""
        return ":".join(filter(None, (self.name, self.between.join(values))))

    @property
    def is_text(self) -> bool:
        """Whether what stands after the name is one text, commas and all: a file."""
        kind = kind_of(self.parts[0][1]) if len(self.parts) == 1 else None
        return kind is not None and str in kind.types


_LATENCIES = (("ENTRY_NS", "broker.entry_latency_ns"), ("RESPONSE_NS", "broker.response_latency_ns"))
_JITTERS = (("ENTRY_JITTER_NS", "broker.entry_jitter_ns"), ("RESPONSE_JITTER_NS", "broker.response_jitter_ns"))
_MOVES = (("NS_PER_BPS", "broker.volatility_ns_per_bps"), ("MOST_NS", "broker.volatility_most_ns"))
_EXPONENT = (("N", "broker.queue_exponent"),)
_RATE = (("N", "broker.rate_limit_orders"), ("SECONDS", "broker.rate_limit_s"))

FORMS: dict[str, tuple[Form, ...]] = {
    "latency": (
        Form("constant", {"broker.latency_model": "constant"}, _LATENCIES),
        Form("jitter", {"broker.latency_model": "jitter"}, _LATENCIES + _JITTERS),
        Form("rows", {"broker.latency_model": "rows"}, (("FILE", "broker.latency_rows"),)),
        Form("measured", {"broker.latency_model": "measured"}, (("RUN", "broker.latency_run"),)),
        Form("volatility", {"broker.latency_model": "volatility"}, _LATENCIES + _MOVES),
    ),
    "queue": (
        Form("risk-averse", {"broker.queue_model": "risk_averse"}),
        Form("power", {"broker.queue_model": "power"}, _EXPONENT),
        Form("log", {"broker.queue_model": "log"}),
        Form("power2", {"broker.queue_model": "power2"}, _EXPONENT),
        Form("log2", {"broker.queue_model": "log2"}),
        Form("power3", {"broker.queue_model": "power3"}, _EXPONENT),
        Form("fifo", {"broker.queue_model": "fifo"}),
    ),
    "fills": (
        Form("partial", {"broker.whole_fills": False, "broker.adverse_fills": False}),
        Form("whole", {"broker.whole_fills": True, "broker.adverse_fills": False}),
        Form("adverse", {"broker.whole_fills": False, "broker.adverse_fills": True}, (("P", "broker.adverse_pct"),)),
    ),
    "fees": (Form("", {}, (("MAKER_BPS", "broker.maker_bps"), ("TAKER_BPS", "broker.taker_bps"))),),
    "slippage": (
        Form("none", {"broker.slippage_model": "none"}),
        Form("ticks", {"broker.slippage_model": "ticks"}, (("N", "broker.slippage_ticks"),)),
        Form("bps", {"broker.slippage_model": "bps"}, (("N", "broker.slippage_bps"),)),
    ),
    "rate-limit": (
        Form("none", {"broker.rate_limit_model": "none"}),
        Form("", {"broker.rate_limit_model": "windows"}, _RATE, between=":"),
    ),
    "limits": (Form("enforced", {"risk.limits": "enforced"}), Form("none", {"risk.limits": "none"})),
}


_SHOWN_MAX = 80  # characters of a wrong text that are worth repeating, and digits of a number worth reading


def allowed(option: str) -> str:
    """All that an option takes: `constant:ENTRY_NS,RESPONSE_NS|jitter:...`."""
    return "|".join(map(str, FORMS[option]))


def model_settings(option: str, text: str) -> dict[str, object]:
    """Key path -> value of what was given to an option, `latency` for --latency.

    Raises BadInput, one line with the option, what is wrong with the text, and what is allowed.
    """
    forms = FORMS[option]
    name, colon, rest = text.partition(":")
    form = next((form for form in forms if name and form.name == name), None)
    if form is None:  # what names no form is all parts, where a form has no name
        form, colon, rest = next((form for form in forms if not form.name), None), ":", text
    if form is None:
        raise _bad(option, f"unknown {_short(name)}{meant(name, [form.name for form in forms])}")
    given = [] if not colon else [rest] if form.is_text else rest.split(form.between)
    if len(given) != len(form.parts):
        raise _bad(option, f"{_short(text)} has {len(given)} values where {len(form.parts)} belong")
    found = dict(form.fixed)
    for (part, path), value in zip(form.parts, given, strict=True):
        kind = kind_of(path)
        assert kind is not None
        try:
            found[path] = kind.value(value.strip() if form.is_text else _number(value.strip()))
        except ValueError as wrong:
            raise BadInput(f"--{option} {_short(text)}: {part} {wrong}") from None
    return found


def _bad(option: str, wrong: str) -> BadInput:
    return BadInput(f"--{option}: {wrong}; it takes {allowed(option)}")


def _short(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_MAX else text[: _SHOWN_MAX - 3] + "...")


def _number(text: str) -> object:
    """A whole number or an exact decimal where the text is one, else the text, for the kind to refuse."""
    plain = text.removeprefix("-").replace(".", "", 1)
    if not (plain.isascii() and plain.isdigit() and len(plain) <= _SHOWN_MAX):
        return text
    return Decimal(text) if "." in text else int(text)


def exchange_models(config: Config) -> dict[str, str]:
    """Option -> the text that gives the model in force, for summaries."""
    maker, taker = fees(config)  # one fee may stand for both
    given: dict[str, Any] = {"broker.maker_bps": maker, "broker.taker_bps": taker}
    found = {}
    for option in FORMS:
        form = _in_force(config, option)
        values = [given.get(path, _value(config, path)) for _, path in form.parts]
        found[option] = form.text(map(_plain, values))
    return found


def idle_keys(config: Config) -> dict[str, str]:
    """Key -> the models that would read it, of keys that those in force do not read."""
    used = {path for option in FORMS for _, path in _in_force(config, option).parts}
    readers: dict[str, list[str]] = {}
    for form in (form for forms in FORMS.values() for form in forms):
        for _, path in form.parts:
            readers.setdefault(path, []).append(form.name or str(form))
    return {path: ", ".join(names) for path, names in readers.items() if path not in used}


def _in_force(config: Config, option: str) -> Form:
    return next(form for form in FORMS[option] if all(_value(config, path) == v for path, v in form.fixed.items()))


def _value(config: Config, path: str) -> Any:
    section, _, key = path.partition(".")
    return getattr(getattr(config, section), key)


def _plain(value: Any) -> str:
    return f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)
