"""`ringsim chaos`: break a run on purpose, and see whether it ends as if nothing had happened."""

import sys
from collections import Counter
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from procs.cli.options import Assignments, ConfigFile, Profile, effective
from procs.cli.output import Json, Output

if TYPE_CHECKING:
    from procs.chaos.scenario import Scenario
    from procs.chaos.verdict import Verdict

app = typer.Typer()

_KILLS = 4

Kills = Annotated[
    int | None,
    typer.Option("--kills", min=1, max=10_000, help="Of kill-* and random.", show_default=str(_KILLS)),
]
Run = Annotated[
    str | None,
    typer.Option("--run", metavar="RUN", help="Strike a run that is going on: an id, its beginning, a folder, latest."),
]
Live = Annotated[bool | None, typer.Option("--live/--no-live", help="The live view.", show_default="on a terminal")]


@app.command(epilog="Example: ringsim chaos random --kills 20 --seed 7")
def chaos(
    scenario: Annotated[str, typer.Argument(metavar="SCENARIO|all", help="`ringsim chaos list` names them.")],
    seed: Annotated[int, typer.Option("--seed", help="Draws the moments.")] = 1,
    kills: Kills = None,
    stage: Annotated[str | None, typer.Option("--stage", help="Whom random, pause-* and the like strike.")] = None,
    source: Annotated[str | None, typer.Option("--source", metavar="SRC", help="sample, or replay:FILE[,FILE...].")] = None,
    run: Run = None, live: Live = None,
    profile: Profile = None, config: ConfigFile = None, assignments: Assignments = None, json: Json = False,
) -> None:  # fmt: skip
    """Run the pipeline under the simulated clock, inject faults, compare with the undisturbed twin.

    With --run the faults are injected into a run that is going on, which must return to READY after each of them.
    Exit code 0 PASS, 1 FAIL, 3 INCONCLUSIVE (the fault could not be injected), 130 interrupted.
    """
    from procs.chaos.run import chosen
    from procs.chaos.scenario import Options
    from procs.chaos.scenarios import SCENARIOS
    from procs.chaos.verdict import EXIT_CODES, FAIL, INCONCLUSIVE, INTERRUPTED, PASS, Verdict

    out = Output(json)
    if scenario == "list":
        for row in SCENARIOS.values():
            out.show(f"{row.name:<{max(map(len, SCENARIOS))}} {row.what}")
        out.result({row.name: row.what for row in SCENARIOS.values()})
        return
    given = {"--source": source, "--profile": profile, "--config": config}
    typed = "".join(f" {option} {quote(str(value))}" for option, value in given.items() if value is not None)
    typed += "".join(f" --set {quote(one)}" for one in assignments or [])
    rows = chosen(scenario, stage, kills=kills)
    options = Options(seed, kills or _KILLS, stage, typed)
    live = not json and (sys.stdout.isatty() if live is None else live)
    results: list[Verdict] = []
    worst = PASS
    try:
        for row in rows:
            if run is not None:
                _not_both(typed)
                results.append(_strike(rows, options, run, live=live))
            else:
                results.append(_own(row, options, source, (config, profile, assignments), live=live))
            _show(out, results[-1], repeat=len(rows) == 1)
        worst = next((v for v in (FAIL, INCONCLUSIVE) if any(r.verdict == v for r in results)), PASS)
    except KeyboardInterrupt:
        worst = INTERRUPTED
        out.show(f"{worst:<12} {rows[len(results)].name:<17} it proves nothing")
    if len(rows) > 1:
        _sum_up(out, results)
        out.result({"verdict": worst, "counts": Counter(r.verdict for r in results), "verdicts": results})
    else:
        out.result(results[0] if results else {"scenario": scenario, "seed": seed, "verdict": worst})
    raise typer.Exit(EXIT_CODES[worst])


def _own(row: "Scenario", options: Any, source: str | None, configured: tuple[Any, ...], *, live: bool) -> "Verdict":
    """A scenario with a run of its own."""
    from procs.chaos.run import run_scenario
    from procs.chaos.scenario import OWN_RUN

    settings: dict[str, object] = OWN_RUN | {"run.source": source}
    if row.ends == "DONE":
        settings["pipeline.restart_budget"] = 1000
    config, profile, assignments = configured
    return run_scenario(row, options, effective(config, profile, assignments, settings | row.settings), live=live)


def _strike(rows: "list[Scenario]", options: Any, run: str, *, live: bool) -> "Verdict":
    """A scenario done to a run that is going on."""
    from procs.chaos.attached import OUTSIDERS, strike_run
    from procs.folders import state_root
    from ringsim.errors import BadInput
    from ringsim.store.runs import RunIndex

    if len(rows) > 1:
        raise BadInput(f"--run takes one scenario at a time: {', '.join(OUTSIDERS)}")
    folder: Path = RunIndex(state_root()).resolve(run).folder
    return strike_run(rows[0], options, folder, live=live)


def _not_both(typed: str) -> None:
    from ringsim.errors import BadInput

    if typed:
        raise BadInput(f"--run strikes a run as it is: it does not go with{typed}")


def _show(out: Output, verdict: "Verdict", *, repeat: bool) -> None:
    """One scenario in a line, and what there is to say beside. repeat: also how to do it again, which a failure always says."""
    recovery, detection = verdict.recovery_ms, verdict.detection_ms
    said = f"{len(verdict.strikes)} faults, {verdict.restarts} replacements"
    if detection["n"]:
        said += f", seen after p50 {detection['p50']:.1f} ms"
    if recovery["n"]:
        said += f", READY again after p50 {recovery['p50']:.1f} ms, max {recovery['max']:.1f} ms"
    out.show(f"{verdict.verdict:<12} {verdict.scenario:<17} {said}")
    for line in (*verdict.problems, *verdict.notes):
        out.show(f"             {line}")
    if repeat or verdict.verdict != "PASS":
        out.show(f"             repeat: {verdict.repeat}")


def _sum_up(out: Output, results: "list[Verdict]") -> None:
    """What the whole table came to."""
    out.show(f"\n{len(results)} scenarios")
    for word in ("PASS", "FAIL", "INCONCLUSIVE"):
        names = [r.scenario for r in results if r.verdict == word]
        if names:
            out.show(f"  {word:<12} {len(names):>3}" + ("" if word == "PASS" else f"  {', '.join(names)}"))
