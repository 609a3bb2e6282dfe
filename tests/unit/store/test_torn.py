"""What is on disk after kills and cuts: whole batches from the start, or an error by name; never anything else."""

import os
import random
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from ringsim.store.errors import StoreCorrupt, StoreError
from ringsim.store.sqlite import Store
from tests.unit.store.conftest import Create, no_wait
from tests.unit.store.streams import long_stream
from tests.unit.store.torn import Files, cut_events, cut_log, written

ROOT = Path(__file__).parents[3]


def test_a_writer_killed_anywhere_loses_nothing_that_it_acknowledged(tmp_path: Path):
    path, kills = tmp_path / "run.db", 16
    command = [sys.executable, "-m", "tests.unit.store.killed", str(path), str(kills)]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"OPENBLAS_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, f"{done.stderr}\nagain: {' '.join(command)}"
    assert int(done.stdout.split()[1]) >= kills // 2


def cut_points(size: int, count: int, steps: Iterable[int] = ()) -> list[int]:
    """Places to cut: spread, and just before, at and after frames of the log or pages of the file."""
    drawn = random.Random(size).sample(range(size), min(count, size))
    edges = [n + d for n in steps for d in (-1, 0, 1) if 0 <= n + d < size]
    return sorted({0, size - 1, *drawn, *edges})


def assert_log_cuts_are_prefixes(files: Files, cuts: Iterable[int]) -> None:
    assert len(set(cut_log(files, cuts))) > 3, "the cuts meet different batches"


def test_a_log_cut_anywhere_holds_the_batches_before_the_cut(create: Create, tmp_path: Path):
    files = written(create(), tmp_path, actions=300, batch=30, checkpoint_after=4)
    frames = range(32, len(files.files["-wal"]), 4120)
    assert_log_cuts_are_prefixes(files, cut_points(len(files.files["-wal"]), 25, list(frames)[::12]))


@pytest.mark.slow
def test_a_log_cut_at_every_64th_byte_holds_the_batches_before_the_cut(create: Create, tmp_path: Path):
    files = written(create(), tmp_path, actions=60, batch=10, checkpoint_after=1)
    assert_log_cuts_are_prefixes(files, range(0, len(files.files["-wal"]), 64))


def test_an_event_log_cut_anywhere_goes_on_as_if_nothing_had_happened(tmp_path: Path):
    """The batches that were logged whole are in the database; the others come again."""
    stream = long_stream(60)
    assert cut_events(tmp_path, stream, stream.cuts[10::10], step=211) > 50


def test_a_lost_log_leaves_what_was_in_the_file(create: Create, tmp_path: Path):
    files = written(create(), tmp_path, actions=100, batch=20, checkpoint_after=2)
    assert files.opened_after({"-wal": b""}) == files.ends[2]
    assert files.opened_after({}) == files.ends[-1]


def test_a_file_cut_short_is_named_or_made_whole_by_its_log(create: Create, tmp_path: Path):
    files = written(create(), tmp_path, actions=200, batch=40, checkpoint_after=2)
    size, outcomes = len(files.files[""]), set()
    for cut in cut_points(size, 20, range(4096, size, 3 * 4096)):
        for log in (files.files["-wal"], b""):
            result = files.opened_after({"": files.files[""][:cut], "-wal": log})
            outcomes.add("named" if isinstance(result, StoreError) else "whole")
            assert isinstance(result, StoreCorrupt) or result in (files.ends[2], files.ends[-1]), (
                cut,
                len(log),
                result,
            )
    assert "named" in outcomes


def test_overwritten_bytes_are_named_unless_nothing_lies_there(create: Create, tmp_path: Path):
    """A sector of zeros, or one flipped bit, anywhere in a closed database."""
    files = written(create(), tmp_path, actions=400, batch=200, checkpoint_after=99)
    create("whole.db").close()
    whole = tmp_path / "whole.db"
    with Store.open(whole, wait=no_wait) as store:
        store.write((0, files.stream.orders), (0, files.stream.reports))
    text, named = whole.read_bytes(), 0
    files.ends.append((len(files.stream.orders), len(files.stream.reports)))
    places = random.Random(5).sample(range(len(text)), 40)
    for k, place in enumerate(places):
        other = bytearray(text)
        if k % 2:
            other[place] ^= 1 << k % 8
        else:
            other[place : place + 512] = bytes(len(other[place : place + 512]))
        result = files.opened_after({"": bytes(other), "-wal": b""})
        assert isinstance(result, StoreError) or result == files.ends[-1], (k, place, result)
        named += isinstance(result, StoreError)
    assert named > len(places) // 3


def closed(create: Create, *statements: str) -> tuple[Path, int]:
    """A closed database after some meddling, and the file's page of the index of working orders."""
    store, stream = create(), long_stream(60)
    store.write((0, stream.orders), (0, stream.reports))
    for statement in statements:
        store._execute(statement)
    (page,) = store._execute("SELECT rootpage FROM sqlite_master WHERE name = 'orders_working'").fetchone()
    store.close()
    return store.path, page


@pytest.mark.parametrize(
    "meddling, words",
    [
        (["UPDATE meta SET value = 'realtime' WHERE key = 'clock'"], "facts"),
        (["UPDATE instruments SET tick_div = 1.0"], "facts"),
        (["DROP VIEW trades_decimal"], "schema"),
        (["DELETE FROM meta WHERE key = 'crc32'"], "checksum"),
        (["DELETE FROM ring_records WHERE ring = 'orders' AND seq = 3"], "orders record 3 is missing"),
        (["UPDATE ring_records SET record = zeroblob(120) WHERE ring = 'reports' AND seq = 1"], "checksum"),
        (["UPDATE cursors SET next_seq = next_seq - 1"], "cursor says"),
        (["DELETE FROM cursors WHERE ring = 'orders'"], "cursors of"),
    ],
)
def test_what_somebody_changed_is_named_by_the_everyday_check(create: Create, meddling: list[str], words: str):
    path, _ = closed(create, *meddling)
    with pytest.raises(StoreCorrupt, match=words):
        Store.open(path, wait=no_wait)


def test_a_page_that_only_the_structure_tells_is_named_by_the_everyday_check(create: Create):
    path, page = closed(create)
    text = bytearray(path.read_bytes())
    text[(page - 1) * 4096 : page * 4096] = bytes(4096)
    path.write_bytes(text)
    with pytest.raises(StoreCorrupt):
        Store.open(path, wait=no_wait)


@pytest.mark.parametrize("table", ["orders", "trades", "signals", "positions", "performance_metrics"])
def test_a_row_that_is_not_what_the_records_say_is_named_by_the_full_check(create: Create, table: str):
    path, _ = closed(create, f"DELETE FROM {table}")
    Store.open(path, wait=no_wait).close()
    with pytest.raises(StoreCorrupt, match=table):
        Store.open(path, wait=no_wait, check="rows")
