"""Connections to a run's database: opening them, saying what is wrong in our words, waiting where waiting helps.

Invariant: an SQLite error leaves this package only by one of the names in store.errors; nothing is changed in a file before
it is known to be ours. Nothing here waits while it holds a lock: what was busy is left, the caller's `wait` is called, and
all of it is tried again. (A connection that only reads has no lock to hold back.)
"""

import sqlite3
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np

from ringsim.records import ORDER, REPORT
from ringsim.store.errors import (
    StoreConflict,
    StoreCorrupt,
    StoreError,
    StoreFault,
    StoreForeign,
    StoreFull,
    StoreLocked,
    StoreMissing,
    StoreNewer,
    StoreNoMemory,
    StoreReadOnly,
)
from ringsim.store.schema import APPLICATION_ID, MIN_SQLITE, RINGS, SCHEMA_VERSION, RunFacts
from ringsim.units import Instrument

Wait = Callable[[float], None]
T = TypeVar("T")

# A busy database: 2, 4, 8 ... ms, at most 64 ms at a time, 0.6 s in all; then the caller hears of it.
TRIES = 14
PAUSE_S, PAUSE_MAX_S = 0.002, 0.064
READ_PATIENCE_S = 5.0

# What SQLite calls an I/O error, and is a mapping or an allocation that was refused.
_NO_MEMORY = {sqlite3.SQLITE_IOERR_NOMEM, sqlite3.SQLITE_IOERR_SHMMAP}

RECORD_BYTES = ORDER.itemsize - 8  # without the stamp
DTYPES = {"orders": ORDER, "reports": REPORT}
_CHUNK = 4096  # records read at a time
RECORDS = "SELECT seq, record FROM ring_records WHERE ring = ? ORDER BY seq"


def typed(error: sqlite3.Error, path: Path, doing: str) -> StoreError:
    """The error by our names, from SQLite's result code; the message says what to do."""
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    text = f"{path}: {doing}: {error} ({name})"
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreLocked(f"{text}; another program is writing to it: close that one")
    if code == sqlite3.SQLITE_FULL:
        return StoreFull(f"{text}; free some space: what was committed stands")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return StoreReadOnly(f"{text}; the file and its folder must be writable")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreCorrupt(f"{text}; it is torn or overwritten: keep it for inspection and run again")
    if getattr(error, "sqlite_errorcode", None) in _NO_MEMORY:
        return StoreNoMemory(f"{text}; no memory is left for it")
    if code == sqlite3.SQLITE_IOERR:
        return StoreFault(f"{text}; look at the disk")
    if code == sqlite3.SQLITE_CONSTRAINT:
        return StoreConflict(text)
    return StoreError(text)


def patiently(attempt: Callable[[], T], wait: Wait, path: Path, doing: str) -> T:
    """The result of `attempt`, which is called again after `wait` while the database is busy; other errors by their names."""
    pause = PAUSE_S
    for last in [False] * (TRIES - 1) + [True]:
        try:
            return attempt()
        except (sqlite3.Error, StoreLocked) as error:
            problem = error if isinstance(error, StoreError) else typed(error, path, doing)
            if last or not isinstance(problem, StoreLocked):
                raise problem from None
        wait(pause)
        pause = min(2 * pause, PAUSE_MAX_S)
    raise AssertionError("unreachable")


def record_bytes(records: np.ndarray) -> np.ndarray:
    """uint8[n, 120]: each record of an orders or reports ring without its stamp."""
    plain = np.ascontiguousarray(records).view(np.ndarray)
    return np.ascontiguousarray(plain.view(np.uint8).reshape(len(plain), -1)[:, 8:])


def connect_reading(path: Path) -> sqlite3.Connection:
    """A connection to a run's database that changes nothing, also while it is being written. Typed errors; see Store.open.

    A reader holds nothing that anybody waits for, so it waits itself, READ_PATIENCE_S at most, for a database that is busy: a
    writer that was killed keeps its locks until it is gone, which on a busy machine is a moment later.
    Opened for writing where that is allowed, and told not to: a purely reading connection that comes last leaves the log's
    two files behind, this one removes them.
    """
    look(path)
    try:
        connection = connect(path, "mode=rw", patience_s=READ_PATIENCE_S)
        try:
            check_kind(connection, path)
        except StoreReadOnly:
            # WAL wants to make a -shm file, which a read-only folder refuses; without a WAL none is needed.
            connection.close()
            wal = path.with_name(path.name + "-wal")
            if wal.exists() and wal.stat().st_size:
                raise
            connection = connect(path, "immutable=1")
            check_kind(connection, path)
        except BaseException:
            connection.close()  # what is refused is not kept open
            raise
        connection.execute("PRAGMA query_only = ON")
    except sqlite3.Error as error:
        raise typed(error, path, "opening") from None
    return connection


def connect(path: Path, how: str, *, patience_s: float = 0.0) -> sqlite3.Connection:
    """A connection in autocommit mode. how: of SQLite's URI, mode=rw, mode=rwc or immutable=1.

    patience_s: how long a statement waits for others' locks; a connection that writes never waits by itself.
    """
    return sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True, timeout=patience_s, isolation_level=None)


def connect_temporary() -> sqlite3.Connection:
    """A database that nobody else sees and that is gone when it is closed."""
    return sqlite3.connect("", timeout=0, isolation_level=None)


def look(path: Path) -> None:
    """That there is a file to open, and an SQLite to open it with. Raises StoreMissing, StoreForeign, StoreError."""
    if sqlite3.sqlite_version_info < MIN_SQLITE:
        wanted = ".".join(map(str, MIN_SQLITE))
        raise StoreError(f"SQLite {sqlite3.sqlite_version} is too old: STRICT tables need {wanted}")
    if not path.exists():
        raise StoreMissing(f"{path}: there is no such database")
    if not path.is_file():
        raise StoreForeign(f"{path} is no file")


def check_kind(connection: sqlite3.Connection, path: Path) -> None:
    """That the file is ours and of this version."""
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        raise typed(error, path, "opening") from None
    if application == 0 and tables == 0:
        raise StoreCorrupt(f"{path} is empty: whoever made it never finished")
    if application != APPLICATION_ID:
        raise StoreForeign(f"{path} is a database, but not one of ringsim")
    if version > SCHEMA_VERSION:
        raise StoreNewer(f"{path} has schema version {version}, this ringsim reads {SCHEMA_VERSION}: update ringsim")
    if version != SCHEMA_VERSION:
        raise StoreCorrupt(f"{path} has schema version {version}; ringsim never wrote that")


def read_facts(connection: sqlite3.Connection) -> RunFacts:
    """What the database says of its run."""
    meta = dict(connection.execute("SELECT key, value FROM meta"))
    grids = connection.execute("SELECT symbol, tick, lot, market, quote FROM instruments ORDER BY number")
    strategies = connection.execute("SELECT strategy_id FROM strategies ORDER BY number")
    return RunFacts(
        run_id=meta["run_id"],
        clock=meta["clock"],
        created=meta["created"],
        instruments=tuple(Instrument(*row) for row in grids),
        strategies=tuple(name for (name,) in strategies),
        ringsim=meta["ringsim"],
    )


def read_records(connection: sqlite3.Connection, ring: str) -> Iterator[tuple[int, np.ndarray]]:
    """The stored records of a ring in chunks: (first sequence, ORDER[n] / REPORT[n]), stamps as the ring had them."""
    rows = connection.execute(RECORDS, (ring,))
    while chunk := rows.fetchmany(_CHUNK):
        records = np.zeros(len(chunk), DTYPES[ring])
        raw = np.frombuffer(b"".join(record for _, record in chunk), np.uint8)
        records.view(np.uint8).reshape(len(chunk), -1)[:, 8:] = raw.reshape(len(chunk), RECORD_BYTES)
        records["stamp"] = [seq + 1 for seq, _ in chunk]
        yield chunk[0][0], records


def facts_crc32(connection: sqlite3.Connection) -> int:
    """Checksum over what never changes in a database: its schema and the facts of its run."""
    found = 0
    for query in (
        "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name",
        "SELECT key, value FROM meta WHERE key <> 'crc32' ORDER BY key",
        "SELECT * FROM instruments ORDER BY number",
        "SELECT * FROM strategies ORDER BY number",
    ):
        for row in connection.execute(query):
            found = zlib.crc32(repr(row).encode(), found)
    return found


def check_pages(connection: sqlite3.Connection, path: Path) -> None:
    """That the file's structure is whole, and its schema and facts those that it was made with; else StoreCorrupt."""
    found = [line for (line,) in connection.execute("PRAGMA quick_check(3)")]
    if found != ["ok"]:
        raise StoreCorrupt(f"{path} is torn or overwritten: {'; '.join(found)}")
    row = connection.execute("SELECT value FROM meta WHERE key = 'crc32'").fetchone()
    if row != (str(facts_crc32(connection)),):
        raise StoreCorrupt(f"{path}: its schema or the facts of its run were overwritten (checksum)")


def check_records(connection: sqlite3.Connection, path: Path) -> None:
    """That the records are those that were written: without holes up to the cursor, with the checksum beside it."""
    cursors = {ring: (n, crc) for ring, n, crc in connection.execute("SELECT ring, next_seq, crc32 FROM cursors")}
    if set(cursors) != set(RINGS):
        raise StoreCorrupt(f"{path}: cursors of {sorted(cursors)}, expected {list(RINGS)}")
    for ring, (next_seq, crc) in cursors.items():
        expected, found = 0, 0
        for seq, record in connection.execute(RECORDS, (ring,)):
            if seq != expected:
                raise StoreCorrupt(f"{path}: {ring} record {expected} is missing, the next one is {seq}")
            expected, found = seq + 1, zlib.crc32(record, found)
        if (expected, found) != (next_seq, crc):
            raise StoreCorrupt(f"{path}: {ring} holds {expected} records with checksum {found:08x}, "
                               f"its cursor says {next_seq} with {crc:08x}")  # fmt: skip
