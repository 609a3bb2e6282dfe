"""`ringsim run` and `ringsim backtest`: the main job, as processes and as one."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from procs.cli.options import (
    Assignments,
    ConfigFile,
    Fees,
    Fills,
    Latency,
    Limits,
    Lot,
    Profile,
    Queue,
    RateLimit,
    Slippage,
    Strategy,
    Tick,
    effective,
    exchange,
    strategies,
)
from procs.cli.output import Json, Output, say

app = typer.Typer()

Source = Annotated[
    str | None,
    typer.Option(
        "--source",
        metavar="SRC",
        help="sample, replay:FILE[,FILE...] (Binance captures), events:FILE[,FILE...] (normalised event files), "
        "lobster:MSG.csv[,BOOK.csv], or synthetic (a generated market; keys in [sim]).",
        show_default="sample",
    ),
]
Clock = Annotated[str | None, typer.Option("--clock", metavar="realtime|simulated", show_default="realtime")]
Speed = Annotated[
    str | None, typer.Option("--speed", metavar="X|max", help="Of the feed, realtime clock.", show_default="1")
]
Seed = Annotated[str | None, typer.Option("--seed", metavar="N", show_default="1")]
Duration = Annotated[
    str | None, typer.Option("--duration", metavar="S", help="Seconds of event time.", show_default="all")
]
Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="The run's folder.", show_default="runs/<id>")]
Resume = Annotated[
    str | None, typer.Option("--resume", metavar="RUN", help="Go on with a run whose parent was killed.")
]
Live = Annotated[bool | None, typer.Option("--live/--no-live", help="The live view.", show_default="on a terminal")]


def _prepared(
    options: dict[str, object],
    profile: str | None,
    config: Path | None,
    out: Path | None,
    assignments: list[str] | None,
    *,
    processes: bool,
) -> Any:
    """The manifest and the run. options: key path -> what was given, None if nothing was. processes: as for prepare_run."""
    found = effective(config, profile, assignments, options | {"run.out": str(out) if out else None})
    from datetime import UTC, datetime

    from procs.prepare import prepare_run
    from procs.record import begin
    from ringsim.store.runs import new_run_id

    prepared = prepare_run(found, new_run_id(datetime.now(UTC)), processes=processes)
    return begin(found, prepared, sys.argv[1:]), prepared


def _resumed(run: str, *, alone: bool) -> Any:
    """A run that goes on: its manifest, the run, and whether its shared memory is taken over."""
    from procs.folders import state_root
    from procs.resume import resumption
    from ringsim.errors import BadInput
    from ringsim.store.errors import StoreCorrupt
    from ringsim.store.runs import RunIndex

    if not alone:
        raise BadInput("--resume goes on as the run was begun: it takes no other option but --live and --json")
    try:
        found = resumption(RunIndex(state_root()).resolve(run).folder)
    except StoreCorrupt as error:  # what the user gave cannot be used
        raise BadInput(str(error)) from None
    say(f"resuming run {found.prepared.run_id}" + ("" if found.adopt else " from its first message"))
    return found.manifest, found.prepared, found.adopt


@app.command(epilog="Example: ringsim run --speed 10 --duration 30 --latency jitter:500000,500000,200000,200000")
def run(
    source: Source = None, tick: Tick = None, lot: Lot = None, strategy: Strategy = None, clock: Clock = None,
    speed: Speed = None, seed: Seed = None, duration: Duration = None,
    latency: Latency = None, queue: Queue = None, fills: Fills = None, fees: Fees = None, slippage: Slippage = None,
    rate_limit: RateLimit = None, limits: Limits = None,
    profile: Profile = None, config: ConfigFile = None, out: Out = None, live: Live = None, assignments: Assignments = None,
    resume: Resume = None, json: Json = False,
) -> None:  # fmt: skip
    """Run the pipeline as processes: ingest, strategy, paper broker and persistence, supervised."""
    output = Output(json)
    options: dict[str, object] = {
        "run.source": source, "feed.tick": tick, "feed.lot": lot, "strategy.name": strategies(strategy),
        "run.clock": clock, "run.speed": speed, "run.seed": seed, "run.duration_s": duration,
        **exchange(latency=latency, queue=queue, fills=fills, fees=fees, slippage=slippage, rate_limit=rate_limit, limits=limits),
    }  # fmt: skip
    adopt = False
    if resume is None:
        manifest, prepared = _prepared(options, profile, config, out, assignments, processes=True)
    else:
        given = [*options.values(), profile, config, out, assignments]
        manifest, prepared, adopt = _resumed(resume, alone=all(value is None for value in given))
    from procs.run import run_pipeline
    from procs.screens import choose_screen

    wanted = not json and (sys.stdout.isatty() if live is None else live)
    with _on_record(manifest, prepared):
        screen = choose_screen(prepared.instrument, f"ringsim {prepared.run_id}", live=wanted)
        result = run_pipeline(prepared, screen, adopt=adopt)
    _finish(manifest, prepared, result, output)


@app.command(epilog="Example: ringsim backtest --source replay:first.gz,second.gz --queue power:2 --fees -0.5,4 --json")
def backtest(
    source: Source = None, tick: Tick = None, lot: Lot = None, strategy: Strategy = None, seed: Seed = None,
    duration: Duration = None,
    latency: Latency = None, queue: Queue = None, fills: Fills = None, fees: Fees = None, slippage: Slippage = None,
    rate_limit: RateLimit = None, limits: Limits = None,
    profile: Profile = None, config: ConfigFile = None, out: Out = None, assignments: Assignments = None, json: Json = False,
) -> None:  # fmt: skip
    """The same folds in one process, on the simulated clock: the same digest as `run --clock simulated`."""
    output = Output(json)
    options: dict[str, object] = {
        "run.source": source, "feed.tick": tick, "feed.lot": lot, "strategy.name": strategies(strategy),
        "run.clock": "simulated", "run.seed": seed, "run.duration_s": duration,
        **exchange(latency=latency, queue=queue, fills=fills, fees=fees, slippage=slippage, rate_limit=rate_limit, limits=limits),
    }  # fmt: skip
    manifest, prepared = _prepared(options, profile, config, out, assignments, processes=False)
    from procs.run import Signals, run_backtest

    with _on_record(manifest, prepared), Signals(lambda why: None) as signals:
        result = run_backtest(prepared, interrupted=lambda: bool(signals.caught))
    _finish(manifest, prepared, result, output)


@contextmanager
def _on_record(manifest: Any, prepared: Any) -> Iterator[None]:
    """A run that ends without a summary is not on record as running."""
    try:
        yield
    except BaseException as error:
        from procs.record import abandon

        abandon(manifest, prepared, interrupted=isinstance(error, KeyboardInterrupt))
        raise


def _finish(manifest: Any, prepared: Any, result: dict[str, Any], output: Output) -> None:
    """Keep the summary, show it, and leave with its exit code."""
    from procs.record import finish
    from procs.text import summary_text
    from ringsim.errors import RingsimError
    from ringsim.summary import EXIT_CODES, FAILED

    try:
        finish(manifest, prepared, result)
    except RingsimError as error:  # a full disk: the summary is shown all the same
        result |= {"failure": result.get("failure") or str(error), "exit_state": FAILED}
    output.show(summary_text(result))
    if result.get("failure"):
        say(f"ringsim: {result['failure']}")
    output.result(result)
    raise typer.Exit(EXIT_CODES[result["exit_state"]])
