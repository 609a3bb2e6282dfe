"""What stays of a run: its manifest, its summary, its place in the index of runs."""

import contextlib
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from procs.folders import state_root
from procs.janitor import is_cut_short
from procs.prepare import Prepared
from ringsim.config import Effective, in_run_folder
from ringsim.store.errors import StoreError
from ringsim.store.files import write_whole
from ringsim.store.manifest import (
    RUNNING,
    Manifest,
    Setting,
    SourceFile,
    read_manifest,
    source_hash,
    versions,
    write_manifest,
)
from ringsim.store.runs import RunIndex
from ringsim.summary import FAILED, INTERRUPTED


def begin(effective: Effective, prepared: Prepared, command: list[str]) -> Manifest:
    """Write the manifest of a run that starts, and register it: from here on others find it."""
    manifest = Manifest(
        run_id=prepared.run_id,
        started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        command=command or sys.argv[1:],
        clock="simulated" if prepared.plan.simulated else "realtime",
        seed=effective.config.run.seed,
        settings=[Setting(s.path, s.value, s.origin) for s in effective.settings],
        sources=[SourceFile(f.path, f.size_bytes, f.sha256) for f in prepared.capture.meta.files] + prepared.inputs,
        versions=versions(),
        source_hash=source_hash(),
    )
    write_manifest(prepared.folder, manifest)
    try:
        RunIndex(state_root()).register(prepared.run_id, prepared.folder)
    except StoreError as error:  # a home that cannot be written is no reason not to run
        prepared.notes.append(f"not in the index of runs, name it by its folder: {error}")
    return manifest


def abandon(manifest: Manifest, prepared: Prepared, *, interrupted: bool) -> None:
    """Put into the manifest how a run without a summary ended, if that can still be written."""
    with contextlib.suppress(StoreError):
        state = INTERRUPTED if interrupted else FAILED
        write_manifest(prepared.folder, msgspec.structs.replace(manifest, exit_state=state))


def finish(manifest: Manifest, prepared: Prepared, result: dict[str, Any]) -> None:
    """Put the result into the manifest, and beside it as summary.json."""
    write_manifest(prepared.folder, msgspec.structs.replace(manifest, exit_state=result["exit_state"], result=result))
    encoder = msgspec.json.Encoder(decimal_format="number")
    write_whole(prepared.folder / "summary.json", msgspec.json.format(encoder.encode(result)))


def database_of(folder: Path) -> Path:
    """The database of the run in a folder, which may have been moved since. Raises what read_manifest does."""
    settings = {s.path: s.value for s in read_manifest(folder).settings}
    return in_run_folder(str(settings["strategy.persistence.database_path"]), folder)


def state_of(manifest: Manifest, folder: Path) -> str:
    """How a run ended, in a word; "running" while it goes on, CUT SHORT if its parent was killed and could not say so."""
    cut = manifest.exit_state == RUNNING and is_cut_short(folder, manifest.run_id)
    return "CUT SHORT" if cut else str(manifest.exit_state)
