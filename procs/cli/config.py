"""`ringsim config`: what is in force and where it came from; what is wrong with a file."""

from collections import Counter

import typer

from procs.cli.options import Assignments, ConfigFile, Profile, effective
from procs.cli.output import BAD_INPUT, Json, Output, say

app = typer.Typer(help="Show or check the configuration.", no_args_is_help=True, epilog="Example: ringsim config show")


@app.command(epilog="Example: ringsim config show --profile demo --set run.seed=7")
def show(
    config: ConfigFile = None, profile: Profile = None, assignments: Assignments = None, json: Json = False
) -> None:
    """Every key with the value in force and where it came from: command line, file, profile or default.

    The text is TOML: it can be kept as a configuration file.
    """
    from ringsim.config import toml_value

    out = Output(json)
    found = effective(config, profile, assignments)
    section = None
    for setting in found.settings:
        table, _, key = setting.path.rpartition(".")
        if table != section:
            out.show("" if section is None else "\n", f"[{table}]")
            section = table
        line = f"# {key} =" if setting.value is None else f"{key} = {toml_value(setting.value)}"
        out.show(f"{line:<44}  # {setting.origin}{': not set' if setting.value is None else ''}")
    for note in found.notes:
        say(f"note: {note.path} ({note.origin}): {note.text}")
    out.result(
        {
            "profile": found.config.run.profile,
            "settings": {s.path: {"value": s.value, "origin": s.origin} for s in found.settings},
            "notes": found.notes,
        }
    )


@app.command(epilog="Example: ringsim config check --config mine.toml")
def check(
    config: ConfigFile = None, profile: Profile = None, assignments: Assignments = None, json: Json = False
) -> None:
    """Say everything that is wrong with a configuration, each with its key; exit code 2 if anything is."""
    from ringsim.config import BadConfig

    out = Output(json)
    try:
        found = effective(config, profile, assignments)
    except BadConfig as bad:
        say(str(bad))
        out.result({"ok": False, "problems": bad.problems, "notes": []})
        raise typer.Exit(BAD_INPUT) from None
    counts = Counter(setting.origin for setting in found.settings)
    values = ", ".join(
        f"{count} by default" if name == "default" else f"{count} from {name}" for name, count in counts.items()
    )
    out.show(f"The configuration is good: {values}.")
    for note in found.notes:
        out.show(f"note: {note.path} ({note.origin}): {note.text}")
    out.result({"ok": True, "problems": [], "notes": found.notes, "values": dict(counts)})
