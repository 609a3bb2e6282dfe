"""`ringsim runs`, `show`, `clean`, `ring inspect`: what was run, what it came to, what lies in shared memory."""

from pathlib import Path
from typing import Annotated, Any

import typer

from procs.cli.output import DONE, FAILURE, Json, Output

app = typer.Typer()
ring = typer.Typer(
    help="Look at rings in shared memory.",
    no_args_is_help=True,
    epilog="Example: ringsim ring inspect ringsim-20260101-120000-ab12-ring.market",
)
app.add_typer(ring, name="ring")

Run = Annotated[str, typer.Argument(metavar="[RUN]", help="A run's id, its beginning, its folder, or latest.")]


def _line(entry: Any) -> dict[str, Any]:
    """A run's manifest in one line's worth; runs whose folder cannot be read are shown as such."""
    from procs.record import state_of
    from ringsim.errors import RingsimError
    from ringsim.store.manifest import read_manifest

    try:
        manifest = read_manifest(entry.folder)
    except RingsimError as error:
        return {"run_id": entry.run_id, "folder": str(entry.folder), "exit_state": "unreadable", "error": str(error)}
    result = manifest.result
    return {
        "run_id": entry.run_id,
        "started": manifest.started,
        "exit_state": state_of(manifest, entry.folder),
        "clock": manifest.clock,
        "symbol": result.get("symbol"),
        "fills": result.get("fills"),
        "equity": result.get("equity"),
        "digest": result.get("digest"),
        "folder": str(entry.folder),
    }


@app.command(epilog="Example: ringsim runs --json")
def runs(json: Json = False) -> None:
    """The runs that this user has made, newest first."""
    from procs.folders import state_root
    from ringsim.store.runs import RunIndex

    out = Output(json)
    lines = [_line(entry) for entry in RunIndex(state_root()).list()]
    out.result({"runs": lines})
    if not lines:
        out.show("No runs yet: ringsim run")
    for line in lines:
        said = [line["run_id"], f"{line['exit_state']:<11}", f"{line.get('clock') or '':<9}"]
        if line.get("fills") is not None:
            said.append(f"{line['symbol']}  {line['fills']} fills  equity {line['equity']:,}  {line['digest'][:12]}")
        out.show("  ".join(said))


@app.command(epilog="Example: ringsim show latest")
def show(run: Run = "latest", json: Json = False) -> None:
    """One run: what it was asked to do, what it came to, where it lies."""
    from procs.folders import state_root
    from procs.record import state_of
    from procs.text import summary_text
    from ringsim.store.manifest import read_manifest
    from ringsim.store.runs import RunIndex

    out = Output(json)
    entry = RunIndex(state_root()).resolve(run)
    manifest = read_manifest(entry.folder)
    out.result(manifest)
    if not manifest.result:
        state = state_of(manifest, entry.folder)
        out.show(f"run {manifest.run_id}  {state}, started {manifest.started}")
        if state == "CUT SHORT":
            out.show(f"  its parent was killed: ringsim run --resume {manifest.run_id}")
        out.show(f"  in        {entry.folder}")
        return
    out.show(summary_text(manifest.result))
    out.show(f"  command   ringsim {' '.join(manifest.command)}")
    chosen = [s for s in manifest.settings if s.origin != "default"]
    for setting in chosen:
        out.show(f"  setting   {setting.path} = {setting.value}  ({setting.origin})")


@app.command(epilog="Example: ringsim verify latest")
def verify(run: Run = "latest", json: Json = False) -> None:
    """Run it again from its manifest, in one process, and compare the digests: 0 the same, 1 not, 2 it cannot be."""
    from procs.folders import state_root
    from procs.repeat import SAME
    from procs.repeat import verify as repeat
    from ringsim.store.runs import RunIndex

    out = Output(json)
    found = repeat(RunIndex(state_root()).resolve(run).folder)
    out.show(f"run {found.run_id}: the digest is {found.result}")
    out.show(f"  then  {found.digest}\n  now   {found.digest_again}")
    for change in found.changed:
        out.show(f"  note  {change}")
    out.result(found)
    raise typer.Exit(DONE if found.result == SAME else FAILURE)


@app.command(epilog="Example: ringsim diff latest runs/20260101-120000-ab12")
def diff(
    one: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, its beginning, its folder, or latest.")],
    other: Annotated[str, typer.Argument(metavar="RUN", help="Another one.")],
    json: Json = False,
) -> None:
    """The first record in which two runs differ, in words: 0 they are the same, 1 they differ."""
    from procs.folders import state_root
    from procs.record import database_of
    from procs.text import difference_text
    from ringsim.store.compare import compare
    from ringsim.store.runs import RunIndex

    out, index = Output(json), RunIndex(state_root())
    found = compare(*(database_of(index.resolve(run).folder) for run in (one, other)))
    out.result(found)
    out.show(difference_text(found))
    raise typer.Exit(DONE if found.same else FAILURE)


@app.command(epilog="Example: ringsim clean --dry-run")
def clean(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False, json: Json = False
) -> None:
    """Remove what dead runs left in shared memory. What a living process uses is never touched."""
    from procs.janitor import sweep

    out = Output(json)
    swept = sweep(dry=dry_run)
    out.result({"removed": [] if dry_run else swept, "found": swept})
    for segment in swept:
        out.show(f"{'would remove' if dry_run else 'removed'} {segment.name} ({segment.size_bytes:,} bytes)")
    if not swept:
        out.show("Nothing was left behind.")


@ring.command(epilog="Example: ringsim ring inspect ringsim-20260101-120000-ab12-ring.market")
def inspect(
    segment: Annotated[str, typer.Argument(metavar="SEGMENT", help="Its name in /dev/shm.")], json: Json = False
) -> None:
    """A ring's header, cursors and lag. It only reads."""
    from procs.inspect import describe

    out = Output(json)
    found = describe(Path(segment).name)
    out.result(found)
    for key, value in found.items():
        if key != "consumers":
            out.show(f"{key:<13} {value}")
    for consumer in found["consumers"]:
        out.show(
            f"  {consumer['name']:<12} {consumer['mode']:<7} released {consumer['released']:,}  lag {consumer['lag']:,}  "
            f"lost {consumer['lost']:,}  laps {consumer['laps']:,}"
        )
