"""The layers of a configuration, read and merged: command line, file, profile, default.

Invariant: every problem of every layer is found before anything is refused, also in values that a higher layer overrides.
"""

import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from ringsim import limits
from ringsim.config.grid import capacities, source_files, strategy_kind, strategy_names, user_strategy
from ringsim.config.kinds import kind_of, kinds, meant, section_names, unknown_key
from ringsim.config.models import idle_keys
from ringsim.config.problems import BadConfig, Problem
from ringsim.config.schema import (
    ACCOUNT,
    PROFILES,
    SOURCE_FORMS,
    SOURCES,
    STRATEGIES,
    STRATEGY_FORMS,
    WITH_FILES,
    Config,
    Divergence,
    Grid,
    SimBook,
)
from ringsim.errors import BadInput


class Note(msgspec.Struct, frozen=True):
    """Something that was changed or has no effect, to be said in a summary."""

    path: str
    origin: str
    text: str


class Setting(msgspec.Struct, frozen=True):
    """A value in force and where it came from: default, profile NAME, a file's name, command line."""

    path: str
    value: Any
    origin: str


class Effective(msgspec.Struct, frozen=True):
    """The configuration in force."""

    config: Config
    settings: list[Setting]
    notes: list[Note]

    def origin(self, path: str) -> str:
        """Where the value of a key came from. KeyError if there is no such key."""
        return {setting.path: setting.origin for setting in self.settings}[path]

    def values(self) -> dict[str, Any]:
        """Every key that differs in origin from the default; `load(overrides=...)` makes the same configuration of it."""
        return {s.path: s.value for s in self.settings if s.origin != "default"}


def load(
    *, file: Path | None = None, profile: str | None = None, overrides: Mapping[str, object] | None = None
) -> Effective:
    """The configuration in force.

    file: TOML. profile: wins over the file's run.profile. overrides: key path -> value, from the command line; a value of
    None is no override.
    Raises BadInput for a file that cannot be read, BadConfig with every problem otherwise.
    """
    given = {path: value for path, value in (overrides or {}).items() if value is not None}
    if profile is not None:
        given["run.profile"] = profile
    problems: list[Problem] = []
    layers = [("command line", given)]
    if file is not None:
        layers.append((file.name, _flatten(_read(file))))
    chosen = next((layer["run.profile"] for _, layer in layers if "run.profile" in layer), "dev")
    if isinstance(chosen, str) and chosen in PROFILES:
        layers.append((f"profile {chosen}", PROFILES[chosen]))

    found: dict[str, tuple[object, str]] = {}
    bad: set[str] = set()
    for origin, layer in layers:
        for path, raw in layer.items():
            kind = kind_of(path)
            if kind is None:
                problems.append(Problem(path, origin, unknown_key(path)))
                continue
            try:
                value = kind.value(raw)
            except ValueError as wrong:
                problems.append(Problem(path, origin, str(wrong)))
                bad.add(path)
            else:
                found.setdefault(path, (value, origin))

    config = _build(found, problems)
    origins = {path: origin for path, (_, origin) in found.items()}
    problems += [
        Problem(paths[0], origins.get(paths[0], "default"), text)
        for paths, text in _contradictions(config)
        if not bad.intersection(paths)
    ]
    if problems:
        raise BadConfig(problems)
    settings = [Setting(path, value, origins.get(path, "default")) for path, value in _leaves(config).items()]
    return Effective(config, settings, _notes(config, origins))


def assignment(text: str) -> tuple[str, object]:
    """Key path and value of `--set key=value`. The value is TOML where it is TOML, else text. BadInput without a `=`."""
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise BadInput(f"--set wants key=value, such as strategy.params.min_confidence=0.6, not {text!r}")
    try:
        parsed = tomllib.loads(f"value = {value}", parse_float=Decimal)["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    return path.strip(), parsed


_FILE_MAX = 1 << 20


def _read(file: Path) -> dict[str, Any]:
    try:
        with open(file, encoding="utf-8") as text:
            content = text.read(_FILE_MAX + 1)  # a device may have no end
        if len(content) > _FILE_MAX:
            raise BadInput(f"{file} is no configuration file: it is larger than {_FILE_MAX:,} characters")
        return tomllib.loads(content, parse_float=Decimal)
    except FileNotFoundError:
        raise BadInput(f"there is no configuration file {file}") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise BadInput(f"the configuration file {file} cannot be read: {reason}") from None
    except ValueError as error:  # TOMLDecodeError, and an integer of thousands of digits
        raise BadInput(f"{file} is not valid TOML: {error}") from None


def _flatten(table: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    """Key path -> value. A table where a value belongs stays a table; an empty unknown section is kept, to be refused."""
    flat: dict[str, object] = {}
    for key, value in table.items():
        path = prefix + key
        if isinstance(value, dict) and kind_of(path) is None and (value or path in section_names()):
            flat |= _flatten(value, path + ".")
        else:
            flat[path] = value
    return flat


def _build(found: dict[str, tuple[object, str]], problems: list[Problem]) -> Config:
    """The structs, with defaults where nothing (valid) was given."""
    nested: dict[str, Any] = {}
    for path, (value, _) in found.items():
        *sections, key = path.split(".")
        table = nested
        for name in sections:
            table = table.setdefault(name, {})
        table[key] = value
    origins = {path: origin for path, (_, origin) in found.items()}
    grids: dict[str, dict[str, Grid]] = {}
    for market, symbols in nested.pop("instruments", {}).items():
        for symbol, values in symbols.items():
            missing = [key for key in ("tick", "lot") if key not in values]
            path = f"instruments.{market}.{symbol}"
            reported = {problem.path for problem in problems}
            origin = next(origins[f"{path}.{key}"] for key in values)
            wanting = [key for key in missing if f"{path}.{key}" not in reported]
            problems += [
                Problem(f"{path}.{key}", origin, "is missing: an instrument needs tick and lot") for key in wanting
            ]
            if not missing:
                grids.setdefault(market, {})[symbol] = Grid(**values)

    def section(kind: type, values: dict[str, Any]) -> Any:
        hints = get_type_hints(kind)
        # [strategy.user] is a table whose names are not ours.
        return kind(
            **{k: section(hints[k], v) if isinstance(v, dict) and k != "user" else v for k, v in values.items()}
        )

    config: Config = section(Config, nested)
    return msgspec.structs.replace(config, instruments=grids) if grids else config


def _leaves(config: Config) -> dict[str, Any]:
    """Key path -> value of everything, in the order of the structs."""
    flat: dict[str, Any] = {}
    for path in kinds():
        value: Any = config
        for name in path.split("."):
            value = getattr(value, name)
        flat[path] = value
    flat |= {f"strategy.user.{name}": value for name, value in config.strategy.user.items()}
    for market, symbols in config.instruments.items():
        for symbol, grid in symbols.items():
            for name in grid.__struct_fields__:
                flat[f"instruments.{market}.{symbol}.{name}"] = getattr(grid, name)
    return flat


def _contradictions(config: Config) -> list[tuple[tuple[str, ...], str]]:
    """What is wrong although each value is in range: the keys concerned, the one to name first, and why."""
    found: list[tuple[tuple[str, ...], str]] = []
    strategy = config.strategy
    if not strategy.paper_trading:
        why = "must be true: this program simulates, holds no venue credentials and sends no order off this machine"
        found.append((("strategy.paper_trading",), why))
    if len(set(strategy.symbols)) < len(strategy.symbols):
        found.append((("strategy.symbols",), "names a symbol twice"))
    if len(strategy.symbols) > limits.MAX_SYMBOLS:
        found.append((("strategy.symbols",), f"has {len(strategy.symbols)} symbols; the most is {limits.MAX_SYMBOLS}"))
    kind, _, rest = config.run.source.partition(":")
    if kind not in SOURCES:
        text = f"must be {SOURCE_FORMS}, not {config.run.source!r}{meant(kind, SOURCES)}"
        found.append((("run.source",), text))
    elif (kind in WITH_FILES) != bool(source_files(config.run.source)) or (kind not in WITH_FILES and rest):
        text = f"names no file: {kind}:FILE[,FILE...]" if kind in WITH_FILES else f"{kind} takes nothing after it"
        found.append((("run.source",), text))
    found += [(("strategy.name",), text) for text in map(_no_strategy, strategy_names(config)) if text]
    found += _wrong_number(config)
    if config.broker.latency_model == "rows" and config.broker.latency_rows is None:
        found.append(
            (("broker.latency_rows", "broker.latency_model"), 'names no file; latency_model = "rows" reads one')
        )
    if config.broker.whole_fills and config.broker.adverse_fills:
        keys = ("broker.adverse_fills", "broker.whole_fills")
        found.append((keys, "is true, but so is broker.whole_fills: fills follow one model"))
    if config.broker.adverse_fills and config.broker.queue_model == "fifo":
        keys = ("broker.adverse_fills", "broker.queue_model")
        found.append((keys, "is true, but with the queue model fifo the data say who had each trade"))
    if config.broker.queue_model == "fifo" and kind in SOURCES and kind != "lobster":
        keys = ("broker.queue_model", "run.source")
        text = "is fifo, which follows single orders: it needs order-level data, lobster:MSG.csv[,BOOK.csv]; "
        found.append((keys, f"{text}the source {config.run.source} has levels alone"))
    run = config.broker.latency_run
    if run == "latest" or (config.broker.latency_model == "measured" and run is None):
        why = "latest is another run tomorrow: name it" if run else "names no run; latency_model = 'measured' reads one"
        found.append((("broker.latency_run", "broker.latency_model"), why))
    half = capacities(config).reports // 2
    if strategy.persistence.batch_size > half:
        keys = ("strategy.persistence.batch_size", "strategy.performance.persist_channel_size")
        found.append((keys, f"must be at most {half}, half of {keys[1]}: a fuller ring counts as DEGRADED"))
    placed = [
        name for name in config.pipeline.cores.__struct_fields__ if getattr(config.pipeline.cores, name) is not None
    ]
    if placed and config.pipeline.placement == "none":
        keys = (f"pipeline.cores.{placed[0]}", "pipeline.placement")
        found.append((keys, 'a core is given, but pipeline.placement = "none" places nothing: leave one of them out'))
    return found


def _no_strategy(given: str) -> str:
    """What is wrong with the name of a strategy; empty if nothing is."""
    name, colon, rest = given.partition(":")
    if strategy_kind(given) == "user":
        return "" if user_strategy(given) else f"names no strategy of the file: FILE.py:NAME, not {given!r}"
    if name not in STRATEGIES or (name != "scripted" and colon) or (name == "scripted" and not rest.strip()):
        return f"must be {STRATEGY_FORMS}, not {given!r}{meant(name, STRATEGIES)}"
    return ""


def _wrong_number(config: Config) -> list[tuple[tuple[str, ...], str]]:
    """What is wrong with how many strategies there are, and with their ids."""
    found: list[tuple[tuple[str, ...], str]] = []
    count, ids = len(strategy_names(config)), config.strategy.strategy_id
    if count > limits.MAX_STRATEGIES:
        found.append((("strategy.name",), f"has {count} strategies; the most is {limits.MAX_STRATEGIES}"))
    keys = ("strategy.strategy_id", "strategy.name")
    if isinstance(ids, str):
        if count > 1 and ids != type(config.strategy)().strategy_id:
            found.append((keys, f"is one, {ids!r}, for {count} strategies: list as many, or leave it out"))
    elif len(ids) != count:
        found.append((keys, f"lists {len(ids)} ids for {count} strategies"))
    elif count > 1 and len({*ids, ACCOUNT}) <= count:
        found.append((keys, f"lists an id twice, or {ACCOUNT!r}, which is what all of them have together"))
    return found


_OF_SYNTHETIC = [
    f"sim.{key}"
    for key in (
        "market_lag_ms", "seed", "start_price", "sigma", "step_ms", "duration_s", "lag_jitter_ms", "transport_jitter_ns",
        "noise", "regime", "regime_ms", "jump_share", "jump_by", *(f"book.{key}" for key in SimBook.__struct_fields__),
    )
]  # fmt: skip
_OF_STRATEGIES = {  # key -> the strategies that read it
    **{f"strategy.params.{k}": ("imbalance",) for k in ("imbalance_threshold", "min_confidence", "signal_decay_ms")},
    "strategy.params.order_size_fraction": ("imbalance", "divergence", "user"),
    **{f"strategy.divergence.{key}": ("divergence",) for key in Divergence.__struct_fields__},
}


def _notes(config: Config, origins: dict[str, str]) -> list[Note]:
    notes: list[Note] = []

    def note(path: str, text: str) -> None:
        notes.append(Note(path, origins.get(path, "default"), text))

    sizes = capacities(config)
    for path, given, used in (
        ("strategy.performance.market_channel_size", config.strategy.performance.market_channel_size, sizes.market),
        ("strategy.performance.order_channel_size", config.strategy.performance.order_channel_size, sizes.orders),
        ("strategy.performance.persist_channel_size", config.strategy.performance.persist_channel_size, sizes.reports),
        ("pipeline.journal_entries", config.pipeline.journal_entries, sizes.journal),
    ):
        if given != used:
            note(path, f"{given} is no power of two: rounded up to {used}")
    window = config.strategy.performance.buffer_capacity
    if window > limits.FEATURE_WINDOW:
        note(
            "strategy.performance.buffer_capacity",
            f"{window} is more than a window ever holds: {sizes.window} are kept",
        )
    elif window != sizes.window:
        note("strategy.performance.buffer_capacity", f"{window} is no power of two: rounded up to {sizes.window}")
    if config.run.clock == "simulated" and config.run.speed not in (1, "max"):
        note("run.speed", "has no effect: event time drives the simulated clock")
    chosen = strategy_names(config)
    in_force, listed = set(map(strategy_kind, chosen)), ", ".join(chosen)
    for path, strategies in _OF_STRATEGIES.items():
        if path in origins and in_force.isdisjoint(strategies):
            note(path, f"has no effect with the strategy {listed}")
    if "user" not in in_force:
        for name in config.strategy.user:
            note(f"strategy.user.{name}", f"has no effect with the strategy {listed}")
    if config.run.source != "synthetic":
        for path in _OF_SYNTHETIC:
            if origins.get(path, "profile").startswith("profile") or path == "sim.seed":
                continue
            note(path, f"has no effect with the source {config.run.source}: it is of the generated market")
    for path in ("feed.tick", "feed.lot"):
        if path in origins and not config.run.source.startswith("events:"):
            note(path, "has no effect: only event files need to be told their grid")
    for path, readers in idle_keys(config).items():
        if path in origins:
            note(path, f"has no effect with the models in force; it is for {readers}")
    if config.risk.limits == "none":
        note(
            "risk.limits",
            "none: neither the strategy nor the account has a limit, only strategy.params.max_position_size holds; "
            "for comparisons",
        )
    return notes
