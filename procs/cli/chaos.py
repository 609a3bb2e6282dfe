"""`ringsim chaos`: break a run on purpose, and see whether it ends as if nothing had happened."""

from shlex import quote
from typing import Annotated, Any

import typer

from procs.cli.options import Assignments, ConfigFile, Profile, effective
from procs.cli.output import Json, Output

app = typer.Typer()


@app.command(epilog="Example: ringsim chaos random --kills 20 --seed 7")
def chaos(
    scenario: Annotated[str, typer.Argument(metavar="SCENARIO|all", help="`ringsim chaos list` names them.")],
    seed: Annotated[int, typer.Option("--seed", help="Draws the moments.")] = 1,
    kills: Annotated[int, typer.Option("--kills", min=1, max=10_000, help="Of kill-* and random.")] = 4,
    stage: Annotated[str | None, typer.Option("--stage", help="Whom random and pause-* strike.")] = None,
    source: Annotated[str | None, typer.Option("--source", metavar="SRC", help="sample, or replay:FILE[,FILE...].")] = None,
    profile: Profile = None, config: ConfigFile = None, assignments: Assignments = None, json: Json = False,
) -> None:  # fmt: skip
    """Run the pipeline under the simulated clock, inject faults, compare with the undisturbed twin.

    Exit code 0 PASS, 1 FAIL, 3 INCONCLUSIVE (the fault could not be injected).
    """
    from procs.chaos.run import chosen, run_scenario
    from procs.chaos.scenario import Options
    from procs.chaos.scenarios import SCENARIOS
    from procs.chaos.verdict import EXIT_CODES, FAIL, INCONCLUSIVE, PASS

    out = Output(json)
    if scenario == "list":
        for row in SCENARIOS.values():
            out.show(f"{row.name:<17} {row.what}")
        out.result({row.name: row.what for row in SCENARIOS.values()})
        return
    settings: dict[str, object] = {"run.source": source, "run.clock": "simulated"}
    typed = {"--source": source, "--profile": profile, "--config": config}
    given = "".join(f" {option} {quote(str(value))}" for option, value in typed.items() if value is not None)
    given += "".join(f" --set {quote(one)}" for one in assignments or [])
    results: list[Any] = []
    for row in chosen(scenario, stage):
        if row.ends == "DONE":
            settings["pipeline.restart_budget"] = 1000
        else:
            settings.pop("pipeline.restart_budget", None)
        found = effective(config, profile, assignments, settings | row.settings)
        verdict = run_scenario(row, Options(seed, kills, stage, given), found)
        results.append(verdict)
        recovery = verdict.recovery_ms
        out.show(
            f"{verdict.verdict:<12} {row.name:<17} {len(verdict.strikes)} faults, {verdict.restarts} replacements"
            + (
                f", READY again after p50 {recovery['p50']:.1f} ms, max {recovery['max']:.1f} ms"
                if recovery["n"]
                else ""
            )
        )
        for problem in verdict.problems:
            out.show(f"             {problem}")
        if verdict.verdict != PASS:
            out.show(f"             repeat: {verdict.repeat}")
    out.result(results[0] if scenario != "all" else {"verdicts": results})
    worst = next((v for v in (FAIL, INCONCLUSIVE) if any(r.verdict == v for r in results)), PASS)
    raise typer.Exit(EXIT_CODES[worst])
