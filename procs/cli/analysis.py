"""`ringsim export` and `report`: a run for other programs, and a run as pictures."""

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from procs.cli.output import Json, Output

app = typer.Typer()

Run = Annotated[str, typer.Argument(metavar="[RUN]", help="A run's id, its beginning, its folder, or latest.")]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that is there.")]


class Form(str, Enum):
    """What a run is exported as."""

    csv = "csv"
    jsonl = "jsonl"
    parquet = "parquet"


def _folder(run: str) -> Path:
    from procs.folders import state_root
    from ringsim.store.runs import RunIndex

    return RunIndex(state_root()).resolve(run).folder


@app.command(epilog="Example: ringsim export latest --format parquet --to decisions.parquet")
def export(
    run: Run = "latest",
    form: Annotated[Form, typer.Option("--format", help="Of the file.")] = Form.csv,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FILE", help="The file; - is stdout.", show_default="decisions.FORMAT in the run's folder"),
    ] = None,
    force: Force = False,
    market: Annotated[
        bool,
        typer.Option("--market/--no-market", help="Fold the run's inputs again for the market's columns, or leave them empty."),
    ] = True,
    json: Json = False,
) -> None:  # fmt: skip
    """A run's decisions, a row each: t,external_px,market_px,divergence,action,equity,realized_pnl,position,halted."""
    from procs.export import PARQUET
    from procs.export import export as write
    from procs.history import NoMarket
    from ringsim.errors import BadInput

    out, folder = Output(json), _folder(run)
    piped = to is not None and str(to) == "-"
    if piped and (json or form == PARQUET):
        why = "--json prints its own object there" if json else "a Parquet file is written from both ends"
        raise BadInput(f"--to - is stdout, and {why}: name a file")
    target = None if piped else (to or folder / f"decisions.{form.value}").absolute()
    try:
        found = write(
            folder, form.value, target, over=force, market=market, stdout=sys.stdout.buffer if piped else None
        )
    except NoMarket as error:
        raise BadInput(f"{error}; --no-market exports the run without external_px, market_px and divergence") from None
    if found.state in _GOING_ON:
        out.say(f"run {found.run_id} is {found.state}: these are its decisions so far")
    if piped:
        sys.stdout.flush()
        return
    out.show(f"run {found.run_id}: {found.rows:,} decisions\n  in        {found.path}")
    out.result(found)


_GOING_ON = ("running", "CUT SHORT")


@app.command(epilog="Example: ringsim report latest --to report.html")
def report(
    run: Run = "latest",
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FILE", help="The page.", show_default="report.html in the run's folder"),
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:  # fmt: skip
    """One HTML page with pictures of a run; it holds all that it needs and opens without internet."""
    from procs.report import report as write

    out, folder = Output(json), _folder(run)
    found = write(folder, (to or folder / "report.html").absolute(), over=force)
    out.show(f"run {found.run_id}: {len(found.pictures)} pictures, {found.size_bytes / 1e6:.1f} MB")
    for name, why in found.empty.items():
        out.show(f"  empty     {name}: {why}")
    out.show(f"  in        {found.path}")
    out.result(found)
