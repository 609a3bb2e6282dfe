"""`ringsim feed`: what a recorded capture is worth before anything is run on it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from procs.cli.output import DONE, INCONCLUSIVE, Json, Output

if TYPE_CHECKING:
    from ringsim.market.check import FeedCheck

app = typer.Typer(
    help="Look at recorded market data.", no_args_is_help=True, epilog="Example: ringsim feed check first.gz second.gz"
)

_WARNINGS_SHOWN = 20


@app.callback()
def _group() -> None:
    """Look at recorded market data."""


@app.command(epilog="Example: ringsim feed check spot_btcusdt_20240808.gz spot_btcusdt_20240809.gz")
def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="The files of one session, in order.")],
    json: Json = False,
) -> None:
    """Check a capture: bad lines, gaps, crossed states, and its book against every bookTicker.

    Exit code 3 where it ends without a valid book, or contradicts itself: a run on it could not be trusted.
    """
    from ringsim.market.check import check_session

    out = Output(json)
    found = check_session(files)
    out.show("\n".join(_lines(found)))
    for warning in found.warnings[:_WARNINGS_SHOWN]:
        out.say(f"warning: {warning}")
    if len(found.warnings) > _WARNINGS_SHOWN:
        out.say(f"warning: and {len(found.warnings) - _WARNINGS_SHOWN} more; --json lists them")
    out.result(found)
    raise typer.Exit(DONE if found.sound else INCONCLUSIVE)


@app.command(epilog="Example: ringsim feed export first.gz second.gz --to session.npz")
def export(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="The files of one session, in order.")],
    to: Annotated[Path, typer.Option("--to", metavar="OUT.npz", help="The event file to write; it must not exist.")],
    json: Json = False,
) -> None:
    """Write a Binance capture as a normalised event file, which hftbacktest and `--source events:` read.

    Levels, trades and snapshots with their exchange and receive times, the clocks' skew removed; quotes are left out.
    """
    import os

    from ringsim.errors import BadInput
    from ringsim.market.capture import prepare
    from ringsim.market.eventfile import to_event_file, write_event_file
    from ringsim.market.feed import fold_capture

    out = Output(json)
    if to.suffix != ".npz":
        raise BadInput(f"--to {to} must end in .npz")
    if to.exists():
        raise BadInput(f"{to} is there already: choose another name")
    capture = prepare(files)
    data = to_event_file(fold_capture(capture)[0], capture.meta.instrument)
    try:
        write_event_file(to, data)
    except OSError as error:
        raise BadInput(f"{to} cannot be written: {os.strerror(error.errno or 0)}") from None
    one = capture.meta.instrument
    out.show(
        f"{len(data):,} events of {one.symbol} in {to}; read it with --source events:{to} --tick {one.tick} --lot {one.lot}"
    )
    for note in capture.meta.notes:
        out.say(f"note: {note}")
    out.result({"events": len(data), "file": str(to), "symbol": one.symbol, "tick": one.tick, "lot": one.lot})


def _lines(found: "FeedCheck") -> list[str]:
    """The check as a person reads it."""
    messages = ", ".join(f"{count:,} {kind}" for kind, count in found.messages.items() if count or kind == "bad")
    grid = "" if found.instrument_known else " (taken from the capture)"
    agreed = found.ticker_checked - found.ticker_mismatches
    if not found.book_valid:
        verdict = "ends without a valid book: a run on it would end DEGRADED"
    elif not found.sound:
        verdict = "contradicts itself: do not trust a run on it"
    else:
        verdict = "sound"
    return [
        f"{found.symbol} {found.market}, tick {found.tick}, lot {found.lot}{grid}",
        f"time          {found.began} .. {found.ended} UTC, {found.span_s:,.1f} s",
        f"messages      {messages}",
        f"diffs         {found.gaps} gaps, {found.stale} stale, {found.overlaps} overlapping, {found.resyncs} resyncs",
        f"trades        {found.trade_gaps} gaps ({found.trades_missing} ids), {found.trades_stale} stale",
        f"book          {agreed:,} of {found.ticker_checked:,} comparisons with bookTicker agree, {found.crossed} crossed",
        f"clock         recv - E is {found.skew_ms:,.1f} ms at the least",
        f"events        {found.events:,}",
        *(f"note          {note}" for note in found.notes),
        f"verdict       {verdict}",
    ]
