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
    typer.Option(
        "--profile",
        metavar="dev|demo|bench",
        help="A named set of values, beneath the file.",
        show_default="dev",
    ),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set one key, above the file; may be given several times."),
]

Tick = Annotated[
    str | None, typer.Option("--tick", metavar="X", help="Of event files.", show_default="taken from the file")
]
Lot = Annotated[
    str | None, typer.Option("--lot", metavar="X", help="Of event files.", show_default="taken from the file")
]
Strategy = Annotated[
    list[str] | None,
    typer.Option(
        "--strategy",
        metavar="NAME",
        help="What trades: imbalance, divergence, scripted:FILE.csv, a list of orders with their times, or FILE.py:NAME, your own. "
        "Several on one account: the option once for each.",
        show_default="imbalance",
    ),
]

# How the exchange behaves; ringsim.config.models has what each takes.
Latency = Annotated[
    str | None,
    typer.Option(
        "--latency",
        metavar="MODEL",
        help="To and from the exchange, ns: constant:ENTRY,RESPONSE, jitter:ENTRY,RESPONSE,A,B with 0..A and 0..B on top, "
        "uniform, seeded, rows:FILE, between measured rows of a CSV file, measured:RUN, drawn from what a run "
        "recorded, or volatility:ENTRY,RESPONSE,A,B with A for each basis point that the mid went in a second, B at most, on top.",
        show_default="constant:1000000,1000000",
    ),
]
Queue = Annotated[
    str | None,
    typer.Option(
        "--queue",
        metavar="MODEL",
        help="Place in the queue: risk-averse, power:N, log, power2:N, log2, power3:N, fifo (order-level sources).",
        show_default="risk-averse",
    ),
]
Fills = Annotated[
    str | None,
    typer.Option(
        "--fills",
        metavar="partial|whole|adverse:P",
        help="Whole: all of an order once any of it fills. Adverse: others have a trade at its price, P % of the time, "
        "where the level holds.",
        show_default="partial",
    ),
]
Fees = Annotated[
    str | None,
    typer.Option("--fees", metavar="MAKER,TAKER", help="Basis points; negative: a rebate.", show_default="2,2"),
]
Slippage = Annotated[
    str | None,
    typer.Option(
        "--slippage",
        metavar="MODEL",
        help="What a taker pays beyond the book: none, ticks:N, or bps:N of the price; never beyond its limit.",
        show_default="none",
    ),
]
RateLimit = Annotated[
    str | None,
    typer.Option(
        "--rate-limit",
        metavar="none|N:SECONDS",
        help="Of the venue: N new orders and replacements in each window of so many seconds; none: any number.",
        show_default="none",
    ),
]
Limits = Annotated[
    str | None,
    typer.Option(
        "--limits",
        metavar="enforced|none",
        help="None: no risk limits, for comparisons.",
        show_default="enforced",
    ),
]


def strategies(given: list[str] | None) -> object:
    """The value of strategy.name that --strategy stands for: one name, or a list of them; None: not given."""
    return given[0] if given and len(given) == 1 else given or None


def exchange(**options: str | None) -> dict[str, object]:
    """Key path -> value of the exchange's options, by name (rate_limit=... for --rate-limit; None: not given). Raises BadInput."""
    from ringsim.config import model_settings

    found: dict[str, object] = {}
    for option, text in options.items():
        found |= model_settings(option.replace("_", "-"), text) if text is not None else {}
    if run := found.get("broker.latency_run"):
        from procs.measured import run_folder

        found["broker.latency_run"] = run_folder(str(run))
    return found


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


NUMBERS = frozenset(
    {"run.speed", "run.duration_s", "run.seed", "feed.tick", "feed.lot"}
)  # options whose text may be a number
