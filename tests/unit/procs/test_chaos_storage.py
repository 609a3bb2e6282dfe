"""Storage faults: what the injectors do, and that their laws can be broken."""

import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from procs.chaos.disk import cut_log, filled, overwrite_page
from procs.chaos.storage import STORAGE, a_whole_beginning, both, ended_with, rings_filled, waited_for
from ringsim.store.errors import StoreCorrupt, StoreError
from ringsim.store.sqlite import Store
from tests.unit.store.conftest import no_wait
from tests.unit.store.streams import FACTS, Stream, long_stream, slices

STREAM = long_stream(300)


def database(path: Path, stream: Stream = STREAM, ends: int = 300) -> dict:
    """A run that stored the first `ends` actions."""
    o, r = stream.cuts[ends]
    with Store.create(path, FACTS, wait=no_wait, synchronous="normal") as store:
        store.write((0, stream.orders[:o]), (0, stream.reports[:r]))
    return {"database": str(path), "failure": "why"}


@pytest.fixture
def twin(tmp_path: Path) -> dict:
    return database(tmp_path / "twin.db")


def test_a_beginning_of_the_twins_records_is_one(tmp_path: Path, twin: dict):
    assert a_whole_beginning(database(tmp_path / "run.db", ends=100), twin) == []
    assert a_whole_beginning(database(tmp_path / "none.db", ends=0), twin) == []


def test_what_is_no_beginning_is_told(tmp_path: Path, twin: dict):
    assert "everything was stored" in a_whole_beginning(twin, twin)[0]
    other = database(tmp_path / "other.db", long_stream(300, seed=8), 100)
    assert any("is not the twin's" in problem for problem in a_whole_beginning(other, twin))
    longer = database(tmp_path / "longer.db", long_stream(400), 400)
    assert a_whole_beginning(longer, twin)
    lost = database(tmp_path / "lost.db", ends=100) | {"failure": "x; and y lacks records that were stored: 3 orders"}
    assert any("lacks records" in problem for problem in a_whole_beginning(lost, twin))
    torn = database(tmp_path / "torn.db", ends=100)
    overwrite_page(tmp_path / "torn.db", random.Random(3))
    assert any("not whole" in problem for problem in a_whole_beginning(torn, twin))


@pytest.mark.parametrize("seed", range(8))
def test_an_overwritten_page_is_a_page_that_counts(tmp_path: Path, twin: dict, seed: int):
    path = tmp_path / "run.db"
    shutil.copy(twin["database"], path)
    assert overwrite_page(path, random.Random(seed))
    with pytest.raises(StoreError):
        Store.open(path, wait=no_wait)


@pytest.mark.parametrize("seed", range(4))
def test_a_cut_log_holds_less_than_it_did(tmp_path: Path, seed: int):
    path = tmp_path / "left.db"
    with Store.create(tmp_path / "run.db", FACTS, wait=no_wait, synchronous="normal") as store:
        store._execute("PRAGMA wal_autocheckpoint = 0")
        for batch in slices(STREAM, STREAM.cuts[50::50]):
            store.write(**batch)
        for name in ("", "-wal"):
            shutil.copy(f"{store.path}{name}", f"{path}{name}")
        stored = store.next_seq("orders")
    assert cut_log(path, random.Random(seed))
    try:
        with Store.open(path, wait=no_wait) as left:
            assert left.next_seq("orders") < stored
    except StoreCorrupt as error:
        assert "is empty" in str(error), "not even the tables were in the file yet"


def test_without_a_log_there_is_nothing_to_cut(tmp_path: Path):
    sqlite3.connect(tmp_path / "run.db").close()
    assert not cut_log(tmp_path / "run.db", random.Random(1))


def test_filled_is_far_behind_in_both_and_no_room_in_one():
    capacities = {"orders": 256, "reports": 512}
    assert filled({"orders": 249, "reports": 130}, capacities)
    assert filled({"orders": 65, "reports": 257}, capacities)
    assert not filled({"orders": 248, "reports": 256}, capacities), "there is room for the worst of one input"
    assert not filled({"orders": 250, "reports": 128}, capacities)


def test_the_laws_of_a_wait_can_be_broken():
    said, healed = (
        [2.0, "DEGRADED", "persistence is 60% of a ring behind"],
        [3.0, "READY", "healed: x: its disk is full"],
    )
    holds = waited_for("its disk is full")
    assert holds({"lifecycle": [said, healed]}, {}) == []
    assert holds({"lifecycle": [healed]}, {}) and holds({"lifecycle": [said]}, {})
    assert holds({"lifecycle": [said, [3.0, "READY", "healed"]]}, {})
    assert both(holds, ended_with("full"))({"lifecycle": [said, healed], "failure": "locked"}, {})
    ring = {"max_lag": 250, "capacity": 256, "gated_by": "persistence"}
    assert rings_filled({"rings": {"orders": ring, "reports": ring}}, {}) == []
    assert rings_filled({"rings": {"orders": ring, "reports": ring | {"gated_by": "strategy"}}}, {})
    assert rings_filled({"rings": {"orders": ring, "reports": ring | {"max_lag": 20}}}, {})


def test_every_row_has_a_name_of_its_own_and_ends_one_way():
    assert len({row.name for row in STORAGE}) == len(STORAGE)
    assert {row.ends for row in STORAGE} == {"DONE", "FAILED"}
