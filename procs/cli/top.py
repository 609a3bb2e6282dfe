"""`ringsim top`: watch a running pipeline from another terminal. It only reads: the run does not notice."""

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from procs.cli.control import Run
from procs.cli.output import FAILURE, Json, Output

if TYPE_CHECKING:
    from procs.progress import Lines
    from procs.readmodel import ReadModel, View
    from ringsim.units import Instrument

app = typer.Typer()

_LINE_S = 1.0
_INTERVAL_S = 0.3  # between the two looks that a rate needs
_NAP_S = 0.1


@app.command(epilog="Example: ringsim top latest --once")
def top(
    run: Run = "latest",
    once: Annotated[bool, typer.Option("--once", help="Print one picture and leave.")] = False,
    json: Json = False,
) -> None:
    """Watch a running pipeline until it ends: q leaves and the run goes on. One line a second where there is no terminal.

    With --json the state of one moment; its prices, quantities and money count ticks, lots and ticks x lots.
    """
    from procs.folders import state_root
    from procs.readmodel import ReadModel
    from ringsim.store.runs import RunIndex

    out = Output(json)
    model = ReadModel.attach(RunIndex(state_root()).resolve(run).folder)
    try:
        instrument = model.instrument()
        if json or once:
            view = _moment(model)
            out.result(_object(view, instrument))
            if not json:
                _picture(out, view, instrument)
            return
        _watch(out, model, instrument)
    finally:
        model.close()


def _moment(model: "ReadModel") -> "View":
    """One View whose rates and CPU shares are those of a short while."""
    model.look()
    time.sleep(_INTERVAL_S)
    return model.look()


def _object(view: "View", instrument: "Instrument") -> dict[str, object]:
    import msgspec

    return {**msgspec.to_builtins(view), "instrument": msgspec.to_builtins(instrument)}


def _picture(out: Output, view: "View", instrument: "Instrument") -> None:
    """One picture as it fits the terminal, with a line left for the prompt; 80 x 24 elsewhere, COLUMNS and LINES permitting."""
    from shutil import get_terminal_size

    from procs.live import LiveView

    columns, lines = get_terminal_size()
    screen = LiveView(lambda: view, instrument, "ringsim top")
    for line in screen.lines(view, columns, max(1, lines - sys.stdout.isatty())):
        line.rstrip()
        out.show(line)


def _watch(out: Output, model: "ReadModel", instrument: "Instrument") -> None:
    """The live view, or lines, until the run is over or the user leaves; then one line that says where it stands."""
    from procs.live import LiveView
    from procs.progress import Lines, progress_line

    screen = LiveView(model.look, instrument, "ringsim top", hint="q leaves")
    try:
        if screen.start():
            gone = screen.run(model.over) == "gone"
        else:
            gone = _lines(Lines(sys.stdout), model, instrument) == "gone"
    except KeyboardInterrupt:
        out.show(progress_line(model.look(), instrument))
        raise
    if gone:
        raise typer.Exit(FAILURE)
    view = model.look()
    out.show(progress_line(view, instrument))
    out.show(f"run {view.run_id} {'is over' if model.over() else 'goes on'}")


def _lines(lines: "Lines", model: "ReadModel", instrument: "Instrument") -> str:
    """A line a second until the run is over ("done") or nobody reads any more ("gone")."""
    from procs.progress import progress_line

    model.look()
    due = time.monotonic() + _INTERVAL_S
    try:
        while not model.over():
            if time.monotonic() >= due:
                due = time.monotonic() + _LINE_S
                lines.say(progress_line(model.look(), instrument))
                if lines.gone:
                    return "gone"
            time.sleep(_NAP_S)
    finally:
        lines.close()
    return "done"
