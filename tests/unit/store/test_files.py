"""Laws of the files beside the database: whole or not there, named when they cannot be used."""

import errno
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringsim.errors import BadInput, RingsimError
from ringsim.store.errors import (
    NoSuchRun,
    StoreCorrupt,
    StoreError,
    StoreFault,
    StoreForeign,
    StoreFull,
    StoreMissing,
    StoreNewer,
    StoreReadOnly,
)
from ringsim.store.files import read_whole, typed_os, write_whole
from ringsim.store.manifest import (
    NAME,
    RUNNING,
    Manifest,
    Setting,
    read_manifest,
    source_files,
    source_hash,
    versions,
    write_manifest,
)
from ringsim.store.runs import RunIndex, new_run_id

ROOT = Path(__file__).parents[3]
MANIFEST = Manifest(
    run_id="20240808-235413-ab12",
    started="2024-08-08T23:54:13Z",
    command=["ringsim", "run", "--seed", "7"],
    clock="simulated",
    seed=7,
    settings=[Setting("strategy.symbols", ["BTCUSDT"], "default"), Setting("run.seed", 7, "command line")],
    sources=[],
    versions=versions(),
    source_hash=source_hash(),
)

# Whole files


def test_a_replaced_file_is_the_new_one(tmp_path: Path):
    write_whole(tmp_path / "f", b"old" * 1000)
    write_whole(tmp_path / "f", b"new")
    assert read_whole(tmp_path / "f") == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize(
    "number, kind", [(errno.ENOSPC, StoreFull), (errno.EIO, StoreFault), (errno.EROFS, StoreReadOnly)]
)
def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch, step: str, number: int, kind):
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    write_whole(tmp_path / "f", b"old")
    monkeypatch.setattr(*{"fsync": (os, "fsync"), "replace": (Path, "replace")}[step], fail)
    with pytest.raises(kind, match=os.strerror(number)):
        write_whole(tmp_path / "f", b"new")
    assert read_whole(tmp_path / "f") == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_a_full_device_is_named():
    with pytest.raises(OSError) as refused, open("/dev/full", "wb", buffering=0) as full:
        full.write(b"x")
    assert isinstance(typed_os(refused.value, Path("/dev/full"), "writing"), StoreFull)


def test_missing_folders_and_files_are_named(tmp_path: Path):
    with pytest.raises(StoreMissing):
        write_whole(tmp_path / "no" / "f", b"")
    with pytest.raises(StoreMissing):
        read_whole(tmp_path / "no")
    with pytest.raises(StoreReadOnly):
        read_whole(tmp_path)


# Manifest


def test_a_manifest_comes_back(tmp_path: Path):
    write_manifest(tmp_path, MANIFEST)
    assert read_manifest(tmp_path) == MANIFEST
    assert read_manifest(tmp_path).exit_state == RUNNING
    done = msgspec.structs.replace(MANIFEST, exit_state="done", result={"digest": "ab" * 32, "fills": 3, "cash": 1e5})
    write_manifest(tmp_path, done)
    assert read_manifest(tmp_path) == done


@given(cut=st.integers(0, 10**6))
def test_half_a_manifest_is_never_taken_for_one(tmp_path_factory, cut: int):
    folder = tmp_path_factory.mktemp("half")
    text = write_manifest(folder, MANIFEST).read_bytes().rstrip()
    (folder / NAME).write_bytes(text[: cut % len(text)])
    with pytest.raises(StoreCorrupt, match="half-written"):
        read_manifest(folder)


def changed(**values: object) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(msgspec.json.encode(MANIFEST)) | values)


@pytest.mark.parametrize(
    "content, kind, words",
    [
        (None, StoreMissing, "holds no run"),
        (b"\xff\xfe\x00", StoreCorrupt, "damaged"),
        (b"[]", StoreForeign, "no manifest"),
        (b'{"name": "something-else"}', StoreForeign, "no manifest"),
        (changed(format_version=2, new="field"), StoreNewer, "format version 2, this ringsim reads 1"),
        (changed(seed="seven"), StoreCorrupt, "seed"),
    ],
)
def test_what_is_no_manifest_of_ours_is_named(tmp_path: Path, content: bytes | None, kind, words: str):
    if content is not None:
        (tmp_path / NAME).write_bytes(content)
    with pytest.raises(kind, match=words):
        read_manifest(tmp_path)


def test_the_source_hash_is_of_names_and_bytes_and_not_of_places(tmp_path: Path):
    def package(where: str, files: dict[str, str]) -> str:
        for name, text in files.items():
            (tmp_path / where / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / where / name).write_text(text)
        return source_hash(tmp_path / where)

    files = {"a.py": "x = 1\n", "b/c.py": ""}
    same = package("one", files)
    assert package("two", {**files, "notes.txt": "not code"}) == same
    others: list[dict[str, str]] = [
        {"a.py": "x = 2\n", "b/c.py": ""},
        {"a.py": "x = 1\n", "b/d.py": ""},
        {"a.py": "x = 1\n"},
        {"a.py": "", "b/c.py": "x = 1\n"},
    ]
    assert len({package(f"other{k}", other) for k, other in enumerate(others)} | {same}) == 5
    assert source_hash() == source_hash(ROOT / "ringsim")


def test_sources_are_known_by_their_bytes(tmp_path: Path):
    (tmp_path / "capture.gz").write_bytes(b"abc")
    (found,) = source_files([tmp_path / "capture.gz"])
    assert found.size_bytes == 3
    assert found.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, "abc"
    with pytest.raises(StoreMissing):
        source_files([tmp_path / "missing"])


def test_versions_name_what_decides_the_bytes():
    assert {"python", "numpy", "numba", "ringsim"} <= versions().keys() and all(versions().values())


# Runs

WHEN = datetime(2024, 8, 8, 23, 54, 13, tzinfo=UTC)


def test_a_run_id_is_its_utc_second_and_two_bytes():
    assert new_run_id(WHEN, b"\xab\x12") == "20240808-235413-ab12"
    assert new_run_id(WHEN.astimezone(timezone(timedelta(hours=-7))), b"\xab\x12") == "20240808-235413-ab12"
    with pytest.raises(ValueError, match="aware"):
        new_run_id(WHEN.replace(tzinfo=None))
    assert len({new_run_id(WHEN) for _ in range(20)}) > 1


@given(st.lists(st.datetimes(datetime(2000, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC)), min_size=2))
def test_run_ids_sort_by_time(times: list[datetime]):
    ids = [new_run_id(t.replace(microsecond=0), b"\0\0") for t in times]
    assert sorted(ids) == [new_run_id(t, b"\0\0") for t in sorted(times)]


def run_folder(where: Path, run_id: str) -> Path:
    where.mkdir(parents=True)
    write_manifest(where, msgspec.structs.replace(MANIFEST, run_id=run_id))
    return where


@pytest.fixture
def index(tmp_path: Path) -> RunIndex:
    found = RunIndex(tmp_path / "state")
    for run_id in ("20240808-235413-ab12", "20240809-000000-0001", "20240809-000000-0002"):
        found.register(run_id, run_folder(tmp_path / "runs" / run_id, run_id))
    return found


def test_runs_are_listed_newest_first(index: RunIndex):
    assert [r.run_id for r in index.list()] == ["20240809-000000-0002", "20240809-000000-0001", "20240808-235413-ab12"]


def test_a_run_is_found_by_every_name_that_a_person_gives(index: RunIndex, tmp_path: Path, monkeypatch):
    first = tmp_path / "runs" / "20240808-235413-ab12"
    assert index.resolve("latest").run_id == "20240809-000000-0002"
    for name in ("20240808-235413-ab12", "20240808", "2024080808"[:8], str(first), str(first / NAME)):
        assert index.resolve(name).folder == first
    monkeypatch.chdir(tmp_path / "runs")
    assert index.resolve("./20240808-235413-ab12").folder == first
    run_folder(tmp_path / "runs" / "mine", "20250101-000000-ffff")  # never registered: moved here from elsewhere
    assert index.resolve("mine").run_id == "20250101-000000-ffff"
    monkeypatch.chdir(first)
    assert index.resolve(".").folder == first


@pytest.mark.parametrize(
    "name, kind, words",
    [
        ("2024", NoSuchRun, "means 3 runs: 20240809-000000-0002, "),
        ("1999", NoSuchRun, "the newest are 20240809-000000-0002"),
        ("", NoSuchRun, "no run ''"),
        ("./nowhere", NoSuchRun, "no such folder"),
        ("./", StoreMissing, "holds no run"),
    ],
)
def test_a_name_that_means_no_run_is_a_usage_error_that_says_what_there_is(
    index, tmp_path, monkeypatch, name, kind, words
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=words) as refused:
        index.resolve(name)
    assert refused.value.exit_code == 2 and "\n" not in str(refused.value)


def test_without_any_run_latest_says_so(tmp_path: Path):
    assert RunIndex(tmp_path / "none").list() == []
    with pytest.raises(NoSuchRun, match="no run yet"):
        RunIndex(tmp_path / "none").resolve("latest")
    with pytest.raises(NoSuchRun, match="none yet"):
        RunIndex(tmp_path / "none").resolve("20")
    assert not (tmp_path / "none").exists(), "looking makes nothing"


def test_entries_of_folders_that_are_gone_are_hidden_and_swept(index: RunIndex, tmp_path: Path):
    gone = tmp_path / "runs" / "20240809-000000-0002"
    (gone / NAME).unlink()
    gone.rmdir()
    assert [r.run_id for r in index.list()] == ["20240809-000000-0001", "20240808-235413-ab12"]
    assert len(list(index.folder.iterdir())) == 2
    assert index.resolve("latest").run_id == "20240809-000000-0001"


def test_what_a_killed_writer_left_is_swept_and_what_is_none_of_ours_stays(index: RunIndex):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = index.folder / f".x.json.{dead.pid}.tmp"
    left.write_bytes(b"{")
    writing = index.folder / f".y.json.{os.getpid()}.tmp"
    writing.write_bytes(b"{")
    (index.folder / "foreign.json").write_text("{}")
    assert len(index.list()) == 3
    assert not left.exists() and writing.exists() and (index.folder / "foreign.json").exists()


def test_an_id_belongs_to_one_living_folder(index: RunIndex, tmp_path: Path):
    first, run_id = tmp_path / "runs" / "20240808-235413-ab12", "20240808-235413-ab12"
    index.register(run_id, first)
    with pytest.raises(BadInput, match="registered already"):
        index.register(run_id, run_folder(tmp_path / "other", run_id))
    first.rename(tmp_path / "moved")
    assert index.register(run_id, tmp_path / "moved").folder == tmp_path / "moved"
    assert index.resolve(run_id).folder == tmp_path / "moved"


@pytest.mark.parametrize("run_id", ["", "latest", "../x", "a/b", ".x", "x" * 65])
def test_what_is_no_id_is_refused(index: RunIndex, tmp_path: Path, run_id: str):
    with pytest.raises(BadInput, match="run id"):
        index.register(run_id, tmp_path)
    with pytest.raises(BadInput, match="no such folder"):
        index.register("good", tmp_path / "missing")


def test_a_state_directory_that_cannot_be_written_is_named(tmp_path: Path):
    with pytest.raises(StoreError) as refused:
        RunIndex("/proc/self").register("a", tmp_path)
    assert isinstance(refused.value, RingsimError)


WRITER = """
import sys
from pathlib import Path
from ringsim.store.runs import RunIndex
index, base, name = RunIndex(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
for k in range(40):
    folder = base / f"{name}{k}"
    folder.mkdir()
    index.register(folder.name, folder)
    if k % 4 == 3:
        folder.rmdir()
    index.list()
print("done", flush=True)
"""


def test_many_writers_and_a_killed_one_leave_exactly_the_living_runs(tmp_path: Path):
    base, command = tmp_path / "folders", [sys.executable, "-c", WRITER, str(tmp_path / "state")]
    base.mkdir()
    writers = [subprocess.Popen([*command, str(base), name], cwd=ROOT, stdout=subprocess.PIPE) for name in "abc"]
    index = RunIndex(tmp_path / "state")
    while not list(base.glob("c1?")):
        for entry in index.list():
            assert entry.folder.name == entry.run_id
        assert all(w.poll() in (None, 0) for w in writers)
    writers[2].send_signal(signal.SIGKILL)
    for writer in writers[:2]:
        assert writer.communicate(timeout=60)[0] == b"done\n"
    writers[2].communicate()
    found = {r.run_id for r in index.list()}
    living = {folder.name for folder in base.iterdir()}
    assert {n for n in living if n[0] in "ab"} == {n for n in found if n[0] in "ab"}
    assert len(living - found) <= 1  # killed between making a folder and registering it
    assert {p.stem for p in index.folder.iterdir()} == found
