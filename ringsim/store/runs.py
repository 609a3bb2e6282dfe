"""Where the runs are: an index in the user's state directory, one small file a run, so that any number of programs may write.

    <root>/runs/20240808-235413-ab12.json    {"run_id": ..., "folder": ...}

Invariant: an entry is whole or not there. Nothing is locked: an id is registered by its own run alone, when its folder
exists, so an entry whose folder is gone stays dead, and whoever sees it removes it.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from ringsim.errors import BadInput
from ringsim.store.errors import NoSuchRun
from ringsim.store.files import typed_os, write_whole
from ringsim.store.manifest import NAME, read_manifest

LATEST = "latest"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_UNFINISHED = re.compile(r"\..*\.(\d+)\.tmp")  # of files.write_whole, with its process
_SHOWN = 5  # ids that an error names


class RunEntry(msgspec.Struct, frozen=True):
    """A run and its folder, absolute."""

    run_id: str
    folder: Path


def new_run_id(when: datetime, chance: bytes | None = None) -> str:
    """An id like 20240808-235413-ab12: sorts by time (UTC, seconds), unique by two random bytes.

    when: aware; the library reads no clock. chance: 2 bytes, for tests; None draws them.
    """
    if when.tzinfo is None:
        raise ValueError("a run id wants an aware time: a local one does not sort")
    return f"{when.astimezone(UTC):%Y%m%d-%H%M%S}-{(os.urandom(2) if chance is None else chance).hex()}"


class RunIndex:
    """The runs known under a state directory. root: it need not exist before the first run."""

    def __init__(self, root: Path | str) -> None:
        self.folder = Path(root) / "runs"

    def register(self, run_id: str, folder: Path | str) -> RunEntry:
        """Note where a run's folder is; it must exist. Registering the same run again changes nothing.

        Raises BadInput if the id is none, the folder is missing or the id belongs to another living folder; StoreFull,
        StoreReadOnly.
        """
        if not _ID.fullmatch(run_id) or run_id == LATEST:
            raise BadInput(f"a run id has letters, digits, - and _, at most 64, and is not {LATEST}; got {run_id!r}")
        entry = RunEntry(run_id, Path(folder).absolute())
        if not entry.folder.is_dir():
            raise BadInput(f"{entry.folder}: there is no such folder to register for run {run_id}")
        before = self._read(self._path(run_id))
        if before is not None and before.folder.is_dir() and not before.folder.samefile(entry.folder):
            raise BadInput(f"run {run_id} is registered already, at {before.folder}")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise typed_os(error, self.folder, "making it") from None
        write_whole(self._path(run_id), msgspec.json.encode(entry, enc_hook=str))
        return entry

    def list(self) -> list[RunEntry]:
        """The runs whose folders exist, newest first. Removes the entries of the others, where it may."""
        found = []
        for path in self._files():
            entry = self._read(path)
            if entry is None:
                continue
            if entry.folder.is_dir():
                found.append((entry.run_id[:15], _age(path), entry))  # within one second the file's time decides
            else:
                _remove(path)
        return [entry for *_, entry in sorted(found, key=lambda row: row[:2], reverse=True)]

    def resolve(self, name: str) -> RunEntry:
        """The run that a person means: "latest", an id, the beginning of one id, or the path of a run's folder.

        Raises NoSuchRun (with what there is), StoreMissing and the like for a path that holds no run.
        """
        if os.sep in name or name in (".", ".."):
            return self._at(Path(name))
        runs = self.list()
        if name == LATEST:
            if not runs:
                raise NoSuchRun(f"there is no run yet in {self.folder}; `ringsim run` makes one")
            return runs[0]
        matching = [r for r in runs if r.run_id == name] or [r for r in runs if name and r.run_id.startswith(name)]
        if len(matching) == 1:
            return matching[0]
        if matching:
            raise NoSuchRun(f"{name} means {len(matching)} runs: {_names(matching)}; give more of the id")
        if name and Path(name).is_dir():
            return self._at(Path(name))
        there = f"the newest are {_names(runs)}" if runs else "there is none yet"
        raise NoSuchRun(f"no run {name!r}; {there} (ringsim runs)")

    def _at(self, folder: Path) -> RunEntry:
        folder = folder.expanduser().absolute()
        if folder.name == NAME:
            folder = folder.parent
        if not folder.is_dir():
            raise NoSuchRun(f"{folder}: there is no such folder")
        return RunEntry(read_manifest(folder).run_id, folder)

    def _path(self, run_id: str) -> Path:
        return self.folder / f"{run_id}.json"

    def _files(self) -> Iterator[Path]:
        """The entries' files; what a killed writer left unfinished beside them is removed."""
        try:
            there = sorted(self.folder.iterdir()) if self.folder.is_dir() else []
        except OSError as error:
            raise typed_os(error, self.folder, "reading") from None
        for path in there:
            writer = _UNFINISHED.fullmatch(path.name)
            if writer and not Path("/proc", writer[1]).exists():
                _remove(path)
            elif not path.name.startswith(".") and path.suffix == ".json":
                yield path

    def _read(self, path: Path) -> RunEntry | None:
        """The entry in a file; None if it is gone or is none of ours."""
        try:
            return msgspec.json.decode(path.read_bytes(), type=RunEntry, dec_hook=lambda kind, value: kind(value))
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None


def _age(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _remove(path: Path) -> None:
    with suppress(OSError):  # in a read-only state directory, hidden is enough
        path.unlink(missing_ok=True)


def _names(runs: "list[RunEntry]") -> str:
    return ", ".join(r.run_id for r in runs[:_SHOWN]) + (" ..." if len(runs) > _SHOWN else "")
