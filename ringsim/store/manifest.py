"""manifest.json: what a run was made with and what came of it, enough to make it again and compare (`ringsim verify`).

Written twice: at the start (exit_state "running", no result) and at the end. A run whose manifest still says "running" and
whose parent is gone was cut short. The file is replaced as a whole, so a reader sees one or the other.
"""

import hashlib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from typing import Any

import msgspec

import ringsim
from ringsim.store.errors import StoreCorrupt, StoreForeign, StoreMissing, StoreNewer
from ringsim.store.files import read_whole, typed_os, write_whole

FORMAT_VERSION = 1
KIND = "ringsim run"
NAME = "manifest.json"
RUNNING = "running"

_PACKAGES = ("numpy", "numba", "llvmlite", "msgspec")


class Setting(msgspec.Struct, frozen=True):
    """One key of the effective configuration. origin: command line, a file, a profile, default."""

    path: str
    value: Any
    origin: str


class SourceFile(msgspec.Struct, frozen=True):
    """A file that the run read. sha256: 64 hex digits over its bytes as they lie on disk."""

    path: str
    size_bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """All of it. Times are labels, wall clock in words; durations are in the result."""

    run_id: str
    started: str
    command: list[str]
    clock: str  # realtime, simulated
    seed: int
    settings: list[Setting]
    sources: list[SourceFile]
    versions: dict[str, str]
    source_hash: str  # of the ringsim package
    exit_state: str = RUNNING
    result: dict[str, Any] = {}  # the summary, with the digest
    kind: str = KIND
    format_version: int = FORMAT_VERSION


def versions() -> dict[str, str]:
    """Versions of what decides a run's bytes: Python, the packages that compile and compute, ringsim."""
    found = {"python": python_version(), "ringsim": ringsim.__version__}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def source_hash(folder: Path | None = None) -> str:
    """SHA-256, 64 hex digits, over the names and bytes of all .py files of a package, in name order.

    folder: of the package; None is ringsim's own. Two checkouts with the same code have the same hash, wherever they lie.
    """
    folder = Path(ringsim.__file__).parent if folder is None else folder
    found = hashlib.sha256()
    for name, path in sorted((p.relative_to(folder).as_posix(), p) for p in folder.rglob("*.py")):
        content = path.read_bytes()
        found.update(f"{name} {len(content)}\n".encode() + content)
    return found.hexdigest()


def source_files(paths: Iterable[Path | str]) -> list[SourceFile]:
    """What identifies the input files of a run. Raises StoreMissing and the like for one that cannot be read."""
    found = []
    for path in map(Path, paths):
        try:
            with open(path, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                found.append(SourceFile(str(path), file.tell(), digest))
        except OSError as error:
            raise typed_os(error, path, "reading") from None
    return found


def write_manifest(folder: Path | str, manifest: Manifest) -> Path:
    """Replace the manifest of a run's folder. Raises what write_whole does; the old one stands then."""
    path = Path(folder) / NAME
    encoder = msgspec.json.Encoder(decimal_format="number")
    write_whole(path, msgspec.json.format(encoder.encode(manifest)) + b"\n")
    return path


def read_manifest(folder: Path | str) -> Manifest:
    """The manifest of a run's folder.

    Raises StoreMissing (no run there), StoreCorrupt (half-written, damaged), StoreForeign (JSON, but none of ours),
    StoreNewer.
    """
    path = Path(folder) / NAME
    if not path.exists():
        raise StoreMissing(f"{Path(folder)} holds no run: {NAME} is missing")
    text = read_whole(path)
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreCorrupt(f"{path} is half-written or damaged: {error}") from None
    if not isinstance(found, dict) or found.get("kind") != KIND:
        raise StoreForeign(f"{path} is no manifest of a ringsim run")
    number = found.get("format_version")
    if isinstance(number, int) and number > FORMAT_VERSION:
        raise StoreNewer(f"{path} has format version {number}, this ringsim reads {FORMAT_VERSION}: update ringsim")
    try:
        return msgspec.convert(found, Manifest)
    except msgspec.ValidationError as error:
        raise StoreCorrupt(f"{path} is damaged: {error}") from None
