"""Options that several commands share, and the configuration that they make together."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ringsim.config import Effective

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Configuration in TOML; `ringsim config show` prints all keys."),
]
Profile = Annotated[
    str | None,
    typer.Option("--profile", metavar="dev|demo|bench", help="A named set of values, beneath the file. [default: dev]"),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set one key, above the file; may be given several times."),
]


def effective(
    config: Path | None,
    profile: str | None,
    assignments: list[str] | None,
    options: Mapping[str, object] | None = None,
) -> "Effective":
    """The configuration in force. options: key path -> value of a command's own options, above --set; None: not given.

    A text value is read as in --set, so that `--speed 0.5` is an exact decimal and `--speed max` a text.
    Raises BadInput or BadConfig (ringsim.config.load).
    """
    from ringsim.config import assignment, load

    given = dict(map(assignment, assignments or []))
    for path, value in (options or {}).items():
        if isinstance(value, str) and path in NUMBERS:
            given |= [assignment(f"{path}={value}")]
        elif value is not None:
            given[path] = value
    return load(file=config, profile=profile, overrides=given)


NUMBERS = frozenset({"run.speed", "run.duration_s", "run.seed"})  # options whose text may be a number
