"""The end of a run, audited: what was acknowledged is in the database, as it was written."""

from pathlib import Path

import pytest

from procs.audit import audit
from ringsim.store.digest import digest_database
from ringsim.store.errors import StoreCorrupt
from ringsim.store.sqlite import Store
from tests.unit.store.conftest import no_wait
from tests.unit.store.streams import FACTS, long_stream

STREAM = long_stream(40)
COUNTS = {"orders": len(STREAM.orders), "reports": len(STREAM.reports)}


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "run.db"
    with Store.create(path, FACTS, wait=no_wait, synchronous="normal") as store:
        store.write((0, STREAM.orders), (0, STREAM.reports))
    return path


def meddle(database: Path, statement: str) -> None:
    with Store.open(database, wait=no_wait) as store:
        store._execute(statement)


def test_what_was_acknowledged_is_there(database: Path):
    found = audit(database, COUNTS)
    assert found.problem is None and found.stored == COUNTS and found.digest == digest_database(database)
    assert audit(database, {"orders": 1, "reports": 0}).problem is None, "more may be stored than was acknowledged"


@pytest.mark.parametrize("ring", ["orders", "reports"])
def test_a_record_that_was_acknowledged_and_is_not_there_is_a_problem(database: Path, ring: str):
    assert f"1 {ring}" in (audit(database, COUNTS | {ring: COUNTS[ring] + 1}).problem or "")


def test_a_database_that_cannot_be_read_is_a_problem_and_has_no_digest(database: Path):
    database.write_bytes(b"noise" * 1000)
    found = audit(database, COUNTS)
    assert found.digest == "" and found.stored == {} and "not a database" in (found.problem or "")
    database.unlink()
    assert "no such database" in (audit(database, COUNTS).problem or "")


@pytest.mark.parametrize("ring", ["orders", "reports"])
def test_no_digest_is_made_of_records_that_are_not_those_that_were_written(database: Path, ring: str):
    meddle(database, f"UPDATE ring_records SET record = zeroblob(120) WHERE ring = '{ring}' AND seq = 3")
    with pytest.raises(StoreCorrupt, match=f"{ring} holds .* checksum"):
        digest_database(database)
    assert "checksum" in (audit(database, COUNTS).problem or "")
