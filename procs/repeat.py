"""A run again from what it left: its settings to the last digit, its inputs if they are still the same, its commands."""

import hashlib
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from procs.prepare import Prepared, prepare_run
from procs.run import run_backtest
from ringsim.config import Effective, load
from ringsim.errors import BadInput
from ringsim.store.manifest import Manifest, read_manifest, source_hash, versions

SAME, DIFFERENT = "same", "different"
_NOT_REPEATED = ("run.out",)


class Verification(msgspec.Struct):
    """What running it again gave. changed: what is not as it was then, and may explain a difference."""

    run_id: str
    result: str
    digest: str
    digest_again: str
    changed: list[str]


def settings_of(folder: Path) -> dict[str, object]:
    """The keys that were given to a run, exact: numbers with a fraction come back as the decimals that they were."""
    path = folder / "manifest.json"
    read_manifest(folder)  # its typed errors: missing, damaged, foreign, newer
    raw = msgspec.json.Decoder(type=dict, float_hook=Decimal).decode(path.read_bytes())
    return {
        s["path"]: s["value"] for s in raw["settings"] if s["origin"] != "default" and s["path"] not in _NOT_REPEATED
    }


def source_changes(manifest: Manifest) -> list[str]:
    """Input files that are gone or not what they were."""
    found = []
    for source in manifest.sources:
        try:
            with open(source.path, "rb") as file:
                same = hashlib.file_digest(file, "sha256").hexdigest() == source.sha256
        except OSError:
            raise BadInput(f"the run read {source.path}, which is not there any more") from None
        if not same:
            found.append(f"{source.path} has other bytes than then")
    return found


def changes(manifest: Manifest) -> list[str]:
    """What is not as it was when the run was made."""
    now = versions()
    found = [f"{k} was {v}, is {now.get(k, 'gone')}" for k, v in manifest.versions.items() if now.get(k) != v]
    if source_hash() != manifest.source_hash:
        found.append("the code of ringsim is not what it was")
    return found + source_changes(manifest)


def _finished(manifest: Manifest) -> dict[str, Any]:
    if manifest.clock != "simulated":
        raise BadInput(
            f"run {manifest.run_id} had the realtime clock: it happened once, and cannot be repeated to the byte"
        )
    if "digest" not in manifest.result:
        raise BadInput(f"run {manifest.run_id} has no result ({manifest.exit_state})")
    return manifest.result


def prepared_again(folder: Path, out: Path) -> tuple[Effective, Prepared]:
    """The same run, ready to start in the folder `out`."""
    effective = load(overrides=settings_of(folder) | {"run.clock": "simulated"})
    return effective, prepare_run(effective, out.name, out=str(out))


def verify(folder: Path) -> Verification:
    """Fold a run again, in one process, and compare the digests. BadInput for a run that cannot be repeated."""
    manifest = read_manifest(folder)
    result = _finished(manifest)
    changed = changes(manifest)
    with tempfile.TemporaryDirectory(prefix="ringsim-verify-") as scratch:
        _, prepared = prepared_again(folder, Path(scratch) / manifest.run_id)
        taken = result.get("messages_taken")
        if taken is not None:
            plan = msgspec.structs.replace(prepared.plan, messages=taken)
            prepared = msgspec.structs.replace(prepared, plan=plan)
        commands = [tuple(c) for c in result.get("commands", [])]
        again = run_backtest(prepared, commands, stopped=bool(result.get("stopped")))
    same = again["digest"] == result["digest"]
    return Verification(manifest.run_id, SAME if same else DIFFERENT, result["digest"], again["digest"], changed)
