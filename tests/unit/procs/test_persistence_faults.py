"""The persistence stage at a disk that fails: at its first step, its second, ... until it needs no more."""

import logging
import time
from pathlib import Path

import pytest

from procs.stages import persistence
from procs.stages.patience import Patience
from procs.stages.persistence import PersistenceStage
from procs.worker import log_failure
from ringsim import control as c
from ringsim.store.errors import (
    StoreConflict,
    StoreCorrupt,
    StoreError,
    StoreFault,
    StoreFull,
    StoreGivenUp,
    StoreLocked,
    StoreNoMemory,
    StoreReadOnly,
)
from ringsim.store.fault import Fault, as_error
from tests.unit.procs.stored import AT, Desk, desk, die
from tests.unit.store.streams import long_stream

STREAM = long_stream(40)
ENDS = STREAM.cuts[20::20]
TRANSIENT = (Fault.LOCKED, Fault.FULL)
KINDS = {Fault.FSYNC: StoreFault, Fault.READ_ONLY: StoreReadOnly, Fault.NO_MEMORY: MemoryError}
FAULTS = [*TRANSIENT, *KINDS]


@pytest.fixture(autouse=True)
def _no_naps(monkeypatch: pytest.MonkeyPatch):
    """What is waited for here is not time."""
    monkeypatch.setattr(persistence.time, "sleep", lambda seconds: None)


def until_clean(folder: Path, attempt) -> int:
    """Call attempt(desk, n) in a run of its own, n = 1, 2, 3 ..., until a life takes fewer than n steps. Returns that n."""
    for n in range(1, 100):
        (folder / str(n)).mkdir()
        with desk(folder / str(n), STREAM, ENDS) as found:
            attempt(found, n)
            found.words[AT + c.S_FAULT] = 0
            if found.steps < n:
                return n
    raise AssertionError("it never came to an end")


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_any_step_at_the_disk_may_fail_once(tmp_path: Path, fault: Fault):
    """What is transient is waited for in the same life; after anything else a successor goes on where it stood."""

    def attempt(found: Desk, n: int) -> None:
        found.ask(fault, n, n + 1)
        try:
            found.store_all()
            assert fault in TRANSIENT or found.steps < n
        except (StoreError, MemoryError) as error:
            closing = found.steps == n and found.acknowledged() == {"orders": ENDS[-1][0], "reports": ENDS[-1][1]}
            assert fault not in TRANSIENT or closing, "only a log that stays beside the file may be told of"
            assert closing or type(error) is KINDS[fault]
            found.assert_whole()
            found.store_all()
        found.assert_complete()

    assert until_clean(tmp_path, attempt) > 15


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_that_stays_ends_the_stage_with_its_name_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault
):
    monkeypatch.setattr(Patience, "refused", _impatient)

    def attempt(found: Desk, n: int) -> None:
        found.ask(fault, n, 1 << 62)
        try:
            found.store_all()
            assert found.steps < n
        except (StoreError, MemoryError) as error:
            ended = found.steps >= n and found.acknowledged() == {"orders": ENDS[-1][0], "reports": ENDS[-1][1]}
            assert ended or type(error) is (StoreGivenUp if fault in TRANSIENT else KINDS[fault])
        found.assert_whole()
        found.words[AT + c.S_FAULT] = 0
        found.store_all()
        found.assert_complete()

    assert until_clean(tmp_path, attempt) > 15


def _impatient(self: Patience, error: StoreError) -> None:
    raise StoreGivenUp(str(error))


def test_while_it_is_refused_it_says_for_what_it_waits_and_releases_nothing(tmp_path: Path):
    with desk(tmp_path, STREAM, ENDS) as found:
        stage = PersistenceStage(found.segments)
        found.publish(ENDS[0])
        for fault, waits in ((Fault.FULL, c.WAITS_FOR_SPACE), (Fault.LOCKED, c.WAITS_FOR_LOCK)):
            found.ask(fault, 0, 1 << 62)
            assert stage.slice(0, 0, 0) == 0
            assert stage.progress()[3] == waits and not stage.done()
            assert found.acknowledged() == {"orders": 0, "reports": 0}
        found.words[AT + c.S_FAULT] = 0
        assert stage.slice(0, 0, 0) == sum(ENDS[0])
        assert stage.progress()[3] not in (c.WAITS_FOR_SPACE, c.WAITS_FOR_LOCK)
        die(stage)


def test_a_lock_is_heard_of_while_it_is_waited_for(tmp_path: Path):
    with desk(tmp_path, STREAM, ENDS) as found:
        stage = PersistenceStage(found.segments)
        found.words[AT + c.S_HEARTBEAT_NS] = 0
        stage._wait_for_lock(0.0)
        assert found.words[AT + c.S_WAITS] == c.WAITS_FOR_LOCK and found.words[AT + c.S_HEARTBEAT_NS] > 0
        die(stage)


def test_a_database_that_lacks_what_was_acknowledged_is_refused(tmp_path: Path):
    """The log is cut while nobody writes: SQLite alone would go on with the transactions that are left."""
    with desk(tmp_path, STREAM, ENDS) as found:
        stage = PersistenceStage(found.segments)
        found.publish(ENDS[-1])
        stage.slice(0, 0, 0)
        kept = {name: Path(f"{found.database}{name}").read_bytes() for name in ("", "-wal")}
        die(stage)
        found.database.write_bytes(kept[""])
        Path(f"{found.database}-wal").write_bytes(kept["-wal"][: len(kept["-wal"]) // 2])
        with pytest.raises(StoreCorrupt, match=rf"holds 0 orders records and {ENDS[-1][0]} were stored"):
            PersistenceStage(found.segments)


def test_patience_ends_and_begins_anew_with_a_success(monkeypatch: pytest.MonkeyPatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic_ns", lambda: int(now[0] * 1e9))
    patience = Patience(10, logging.getLogger("test"))
    for now[0] in (1.0, 5.0, 11.0):
        patience.refused(StoreFull("full"))
    patience.granted()
    for now[0] in (12.0, 22.0):
        patience.refused(StoreLocked("locked"))
    now[0] = 22.1
    with pytest.raises(StoreGivenUp, match="locked; waited for 10 s"):
        patience.refused(StoreLocked("locked"))


@pytest.mark.parametrize(
    "error, said",
    [
        (MemoryError(), c.StageError.OUT_OF_MEMORY),
        (StoreNoMemory("x"), c.StageError.FATAL),
        (StoreCorrupt("x"), c.StageError.FATAL),
        (StoreConflict("x"), c.StageError.FATAL),
        (StoreGivenUp("x"), c.StageError.FATAL),
        (StoreFault("x"), c.StageError.FAILED),
        (ValueError("x"), c.StageError.FAILED),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_failed_stage_says_whether_a_replacement_may_do_better(error, said):
    words = c.control_words(memoryview(bytearray(8 * c.CONTROL_WORDS)))
    try:
        raise error
    except Exception:
        log_failure(words, "persistence", logging.getLogger("test"))
    assert (words[AT + c.S_STATE], words[AT + c.S_ERROR]) == (c.StageState.FAILED, said)


def test_even_without_memory_for_a_line_the_words_are_said():
    class NoMemory(logging.Logger):
        def exception(self, *_: object, **__: object) -> None:
            raise MemoryError

    words = c.control_words(memoryview(bytearray(8 * c.CONTROL_WORDS)))
    try:
        raise MemoryError
    except MemoryError:
        log_failure(words, "persistence", NoMemory("test"))
    assert words[AT + c.S_ERROR] == c.StageError.OUT_OF_MEMORY


def test_only_what_fails_has_an_error():
    for fault in (Fault.NONE, Fault.SLOW):
        with pytest.raises(ValueError, match=fault.name):
            as_error(fault)
