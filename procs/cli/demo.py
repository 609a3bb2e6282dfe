"""`ringsim demo`: what a ring does when one side is faster than the other, as a table and a picture, exact on every run."""

import os
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from procs.cli.output import Json, Output

if TYPE_CHECKING:
    from procs.demo.run import DemoResult, Moment
    from procs.demo.scenario import Scenario

app = typer.Typer()

_COLUMNS = 60  # of the picture; more steps than these share columns
_ROWS = 6
_EIGHTHS = " ▁▂▃▄▅▆▇█"
_ASCII_EIGHTHS = " ....####"


@app.command(epilog="Example: ringsim demo producer-heavy --resync newest")
def demo(
    scenario: Annotated[
        str,
        typer.Argument(
            metavar="SCENARIO", help="balanced, producer-heavy, consumer-heavy, failure-recovery or custom."
        ),
    ],
    ingest: Annotated[
        int | None, typer.Option(metavar="I", help="Records published a step, instead of the scenario's.")
    ] = None,
    polls: Annotated[int | None, typer.Option(metavar="P", help="Polls a step, instead of the scenario's.")] = None,
    capacity: Annotated[
        int | None, typer.Option(metavar="C", help="Slots of the ring, a power of two; 64 unless given.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(metavar="N", help="Steps, 50 unless given; the first 10 warm up.")
    ] = None,
    resync: Annotated[
        str | None,
        typer.Option(metavar="oldest|newest", help="Where a lapped reader goes on; oldest unless given."),
    ] = None,
    json: Json = False,
) -> None:
    """Run a producer and a consumer on a shared ring, in lockstep, and show what was acked and what was lost.

    A step: I records are published, then the ring is polled P times. An ack outside READY is provisional.
    """
    out = Output(json)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the demo forks: numpy must not bring threads
    from procs.demo.run import DemoInterrupted, run_demo
    from procs.demo.scenario import named

    asked = named(scenario, ingest=ingest, polls=polls, capacity=capacity, steps=steps, resync=resync)
    moments: list[Moment] = []
    try:
        result = run_demo(asked, moments.append)
    except DemoInterrupted as interrupted:
        _show(out, asked, interrupted.result, moments)
        if json:
            out.say(f"ringsim: interrupted in step {interrupted.result.steps}")  # without it, main says so
        raise
    _show(out, asked, result, moments)


def _show(out: Output, asked: "Scenario", result: "DemoResult", moments: list["Moment"]) -> None:
    if not out.json:
        cut = "" if result.steps == asked.steps else f", interrupted after {result.steps}"
        out.show(
            f"{result.scenario}: ring of {result.ring_capacity} slots, {asked.steps} steps{cut}\n"
            f"producer {result.producer_pid}, consumer {result.consumer_pid}: lapped, it moves to the {asked.resync} record\n"
        )
        out.show(_table(result))
        if moments:
            out.show(_picture(result, moments, ascii_only=out.console.options.ascii_only))
        out.show(_sentences(result))
    out.result(result)


def _table(result: "DemoResult") -> Any:
    from rich.table import Table

    predicted, observed = result.predicted_first_overrun_step, result.first_overrun_step
    beyond = predicted is not None and predicted >= result.steps
    cells = {
        "\n\nin/polled": f"{result.ingest_per_step}/{result.polls_per_step}",
        "first\noverrun\npredicted": "none" if predicted is None else predicted,
        "first\noverrun\nobserved": "not yet" if beyond else "none" if observed is None else observed,
        "\n\npublished": result.published,
        "\n\nacked": result.acked,
        "\n\nexecuted": result.executed,
        "\n\nfinal": result.final_state,
    }
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for head in cells:
        table.add_column(head, no_wrap=True)
    table.add_row(*map(str, cells.values()))
    return table


def _sentences(result: "DemoResult") -> str:
    lifecycle = ", ".join(f"{state} {step}" for step, state in result.lifecycle)
    return (
        f"\npublished {result.published} = acked {result.acked} + lost {result.lost} + pending {result.pending}\n"
        f"acks: {result.executed} executed in READY, {result.provisional} provisional\n"
        f"polls: {result.laps} lapped, {result.empty_polls} empty\n"
        f"lifecycle, by step: {lifecycle or 'not begun'}"
    )


def _picture(result: "DemoResult", moments: list["Moment"], *, ascii_only: bool) -> Any:
    """A column a step (or several): how full the ring was before the polls, whether records were lost, the state."""
    from rich.text import Text

    share = -(-len(moments) // _COLUMNS)  # steps of one column
    groups = [moments[k : k + share] for k in range(0, len(moments), share)]
    capacity = result.ring_capacity
    full = [max(min(m.waiting, capacity) for m in group) for group in groups]
    overrun = [any(m.waiting > capacity for m in group) for group in groups]
    eighths = _ASCII_EIGHTHS if ascii_only else _EIGHTHS
    margin = max(5, len(str(capacity)))

    of = f", the most of {share} steps" if share > 1 else ""
    text = Text(f"\n{'slots':>{margin}}   taken when a step's polls begin{of}\n")
    for row in reversed(range(_ROWS)):
        label = str(capacity) if row == _ROWS - 1 else "0" if row == 0 else ""
        text.append(f"{label:>{margin}} |")
        # Eighths of a row, rounded up: a single record shows.
        bar = [eighths[max(0, min(8, -(-taken * _ROWS * 8 // capacity) - row * 8))] for taken in full]
        for lost, columns in groupby(zip(overrun, bar, strict=True), key=itemgetter(0)):
            text.append("".join(column for _, column in columns), "red" if lost else "cyan")
        text.append("\n")
    text.append(f"{'lost':>{margin}} |")
    text.append("".join("x" if lost else " " for lost in overrun).rstrip() + "\n", "red")
    text.append(f"{'state':>{margin}} |{''.join(group[-1].state.name[0] for group in groups)}\n")
    text.append(f"{'step':>{margin}} |")
    marks = [f"{group[0].step:<10}" for group in groups[::10]]
    text.append("".join(marks).rstrip())
    return text
