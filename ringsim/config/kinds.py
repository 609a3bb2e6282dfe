"""What a key takes, derived from the structs' annotations, and what to say to whoever gives something else.

Types are strict: a text is never read as a number, a number with a fraction never as a whole one, true is not 1.
"""

import difflib
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec

from ringsim.config.schema import SMALL, Config, Free, Grid, Market, Section, Within


class Kind(NamedTuple):
    """What a key takes: its Python types, choices, range."""

    types: tuple[type, ...]
    choices: tuple[str, ...]
    within: Within | None

    def value(self, raw: object) -> object:
        """The value in its type. ValueError says what it must be instead."""
        if isinstance(raw, float):  # from a JSON file or a program; TOML gives decimals
            raw = Decimal(repr(raw))
        if Decimal in self.types and isinstance(raw, int) and not isinstance(raw, bool):
            raw = Decimal(raw)
        if isinstance(raw, str) and self.choices and raw not in self.choices:
            raise ValueError(f"must be {self.expected()}, not {raw!r}{meant(raw, self.choices)}")
        if isinstance(raw, str) and (self.choices or (str in self.types and raw.strip())):
            return raw
        if isinstance(raw, list | tuple) and tuple in self.types and raw:
            if all(isinstance(item, str) and item.strip() for item in raw):
                return tuple(raw)
        elif type(raw) in self.types and type(raw) in (bool, int, Decimal) and self._fits(raw):  # bool is no int here
            return raw
        raise ValueError(f"must be {self.expected()}, not {_shown(raw)}")

    def _fits(self, number: Any) -> bool:
        if self.within is None:
            return True
        low, high, step, _ = self.within
        if isinstance(number, Decimal) and not number.is_finite():
            return False
        return bool(low <= number <= high and (not step or Fraction(number) % Fraction(step) == 0))

    def expected(self) -> str:
        """In words."""
        words = [f"one of {', '.join(self.choices)}" if len(self.choices) > 1 else repr(c) for c in self.choices[:1]]
        for kind, name in _NAMES.items():
            if kind in self.types:
                words.append(name + (self._range() if self.within and kind in (int, Decimal) else ""))
        return " or ".join(words) + (f" ({self.within.why})" if self.within and self.within.why else "")

    def _range(self) -> str:
        assert self.within is not None
        low, high, step, _ = self.within
        above = low == Decimal(SMALL)
        text = f" above 0 and at most {_plain(high)}" if above else f" from {_plain(low)} to {_plain(high)}"
        return text + (f" in steps of {step}" if step else "")


_NAMES = {
    bool: "true or false",
    int: "a whole number",
    Decimal: "a number",
    str: "text that is not empty",
    tuple: "a list of one text or more",
}


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}"


def _shown(raw: object) -> str:
    if isinstance(raw, dict):
        return "a table"
    if isinstance(raw, int | Decimal) and Decimal(raw).is_finite() and not -(10**30) <= raw <= 10**30:
        return "a number of that size"
    text = toml_value(raw)
    return text if len(text) <= 60 else text[:57] + "..."


def _from_annotation(annotation: Any) -> Kind:
    types: list[type] = []
    choices: tuple[str, ...] = ()
    within = None
    todo = [annotation]
    while todo:
        part = todo.pop(0)
        origin = get_origin(part)
        if origin is Annotated:
            within = next((extra for extra in get_args(part)[1:] if isinstance(extra, Within)), within)
            todo.append(get_args(part)[0])
        elif origin in (Union, UnionType):
            todo += [arg for arg in get_args(part) if arg is not NoneType]
        elif origin is Literal:
            choices = get_args(part)
        else:
            types.append(origin or part)
    return Kind(tuple(types), choices, within)


@cache
def kinds() -> dict[str, Kind]:
    """Key path -> kind, in the order of the structs; without the instruments and [strategy.user]: those names are the user's."""
    found: dict[str, Kind] = {}

    def walk(section: type, prefix: str) -> None:
        for name, annotation in get_type_hints(section, include_extras=True).items():
            if isinstance(annotation, type) and issubclass(annotation, Section):
                walk(annotation, f"{prefix}{name}.")
            elif prefix + name not in ("instruments", "strategy.user"):
                found[prefix + name] = _from_annotation(annotation)

    walk(Config, "")
    return found


@cache
def _grid_kinds() -> dict[str, Kind]:
    return {
        name: _from_annotation(annotation) for name, annotation in get_type_hints(Grid, include_extras=True).items()
    }


def kind_of(path: str) -> Kind | None:
    """What the key takes; None if there is no such key."""
    parts = path.split(".")
    if parts[0] == "instruments" and len(parts) == 4 and parts[1] in get_args(Market):
        return _grid_kinds().get(parts[3])
    if parts[:2] == ["strategy", "user"] and len(parts) == 3 and parts[2].isidentifier():
        return _from_annotation(Free)
    return kinds().get(path)


def section_names() -> set[str]:
    """Every table of a configuration file, as a dotted path."""
    return {path[:end] for path in kinds() for end, c in enumerate(path) if c == "."} | {"instruments", "strategy.user"}


def unknown_key(path: str) -> str:
    """What to say of a key that there is not: the nearest name, the section that has it, or what the section has."""
    if path in section_names():
        return f"is a section, not a value: write [{path}]"
    parts = path.split(".")
    if parts[0] == "instruments":
        markets = ", ".join(get_args(Market))
        return (
            f"no such key; an instrument is [instruments.MARKET.SYMBOL] with tick, lot, quote; MARKET one of {markets}"
        )
    parent = ".".join(parts[:-1])
    for depth in range(1, len(parts)):  # the first part that does not exist
        if ".".join(parts[:depth]) not in section_names():
            parent, parts = ".".join(parts[: depth - 1]), parts[:depth]
            break
    prefix = f"{parent}." if parent else ""
    known = {p[len(prefix) :].split(".")[0] for p in kinds() if p.startswith(prefix)}
    elsewhere = [p for p in kinds() if p.rpartition(".")[2] == parts[-1]]
    hint = meant(prefix + parts[-1], [prefix + name for name in sorted(known)])
    if not hint and elsewhere:
        hint = f"; did you mean {' or '.join(elsewhere)}?"
    where = f"[{parent}]" if parent else "a configuration"
    return f"no such key{hint or f'; {where} has ' + ', '.join(sorted(known))}"


def meant(name: str, known: Iterable[str]) -> str:
    """`; did you mean X?` if one of the known names is near, else nothing."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def toml_value(value: object) -> str:
    """A value as TOML text; empty for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return format(value, "f") if value.is_finite() else str(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    if isinstance(value, int):
        return str(value)
    return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")  # JSON's escapes are TOML's, but for DEL
