"""`ringsim pause|resume|stop|degrade|heal|kill|rearm|health RUN`: one line to the parent of a running pipeline."""

from typing import Annotated

import typer

from procs.cli.output import DONE, FAILURE, Json, Output
from procs.commands import COMMANDS

app = typer.Typer(help="Steer a running pipeline.")

Run = Annotated[str, typer.Argument(metavar="[RUN]", help="A run's id, its beginning, its folder, or latest.")]
Why = Annotated[str, typer.Option("--why", help="Recorded with the command.")]


def _command(name: str, effect: str) -> None:
    @app.command(
        name, help=f"{effect[0].upper()}{effect[1:]}.", epilog=f'Example: ringsim {name} latest --why "a test"'
    )
    def command(run: Run = "latest", why: Why = "", json: Json = False) -> None:
        from procs.commands import ask
        from procs.folders import state_root
        from ringsim.store.runs import RunIndex

        out = Output(json)
        answer = ask(RunIndex(state_root()).resolve(run).folder, name, why)
        out.show(
            f"run {answer['run_id']}: {answer['lifecycle']}, {answer['run_state']}, trading {answer['trading']}"
            + "".join(f"\n  {reason}" for reason in answer["reasons"])
        )
        out.result(answer)
        if name == "health":
            raise typer.Exit(DONE if answer["ready"] and answer["live"] else FAILURE)


for _name, _effect in COMMANDS.items():
    _command(_name, _effect)
