"""The database of a run, written in batches: records, the rows derived from them and the cursors, all in one transaction.

Invariants:
- What `write` returned from is committed; with synchronous "full" it is on disk. What it raised on is not in the
  database, or in it whole (an error after the commit): writing it again is right in both cases.
- Every record is stored once. One that is stored already must be the same to the byte, else StoreConflict; a hole in the
  sequence is a StoreConflict too.
- Nothing here waits while it holds a lock: a busy database is left, the caller's `wait` is called, and all is tried again.

`seam` is called with the name of every step that touches the disk before it is taken (POINTS); by raising sqlite3 errors
there, tests and chaos make the n-th of them fail.
"""

import sqlite3
import zlib
from collections.abc import Callable, Collection, Iterable
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from ringsim.errors import BadInput
from ringsim.store.connection import (
    DTYPES,
    RECORD_BYTES,
    Wait,
    check_kind,
    check_pages,
    check_records,
    connect,
    connect_temporary,
    facts_crc32,
    look,
    patiently,
    read_facts,
    read_records,
    record_bytes,
    typed,
)
from ringsim.store.errors import StoreConflict, StoreCorrupt, StoreError, StoreExists
from ringsim.store.rows import ROW_TYPES, Changes, OrderRow, PositionRow, Rows, SignalRow
from ringsim.store.schema import RINGS, ROW_KEYS, SCHEMA_VERSION, RunFacts, check_facts, instrument_row, statements

Seam = Callable[[str], None]
Slice = tuple[int, np.ndarray]  # first sequence, records
Synchronous = Literal["full", "normal"]
Check = Literal["none", "pages", "rows"]

POINTS = ("open", "check", "begin", "read", "write", "commit", "committed", "checkpoint", "close")

CHECKPOINT_PAGES = 4000  # 16 MB of log: pages written by many batches go into the file once


def no_seam(point: str) -> None:
    """The seam of every day: nothing happens."""


def _no_wait(seconds: float) -> None:
    """Nobody else can hold a lock on a temporary database."""


def check_rows(connection: sqlite3.Connection, path: Path) -> None:
    """That every row is what the records say: derives them again, beside, and compares.

    Raises StoreCorrupt naming the first row that differs. Memory grows with the orders (about 1 KB each).
    """
    with Store._beside(read_facts(connection)) as fresh:
        for ring in RINGS:  # orders first: reports speak of them
            for first_seq, records in read_records(connection, ring):
                try:
                    fresh.write(**{ring: (first_seq, records)})
                except StoreConflict as conflict:
                    raise StoreCorrupt(f"{path}: its records contradict each other: {conflict}") from None
        for table, key in ROW_KEYS.items():
            query = f"SELECT * FROM {table} ORDER BY {key}"
            for found, expected in zip_longest(connection.execute(query), fresh._execute(query)):
                if found != expected:
                    raise StoreCorrupt(f"{path}: {table} holds {found}, the records say {expected}")


class Store:
    """The one writer of a run's database. Use `create`, `open` or `open_or_create`; close it, or use it in a `with`.

    path: of the database. wait: called with seconds when another program holds the lock; the library never sleeps.
    synchronous: "full" syncs the WAL at each commit, so that what `write` returned from survives a power cut (about
    0.1-5 ms a batch, docs/database.md); "normal" only before a checkpoint: a kill loses nothing, a power cut the last
    batches. check: "pages" looks at every page and record before going on (time grows with the file); "none" is for the
    replacement of a killed writer, whose bytes the kernel still has; "rows" also derives every row again and compares, for
    a database of unknown history (it costs as much as writing it did).
    """

    def __init__(
        self, path: Path, connection: sqlite3.Connection, *, wait: Wait, seam: Seam, synchronous: Synchronous
    ) -> None:
        self.path, self._connection, self._wait, self._seam = path, connection, wait, seam
        self._execute = connection.execute
        for pragma in (f"synchronous = {synchronous}", "busy_timeout = 0", f"wal_autocheckpoint = {CHECKPOINT_PAGES}"):
            self._execute(f"PRAGMA {pragma}")
        self.facts = RunFacts("", "", "", (), ())
        self._cursors: dict[str, tuple[int, int]] = {}  # ring -> next sequence, checksum
        self._rows = Rows((), ())
        self._doubt = True  # what is in memory may not be what is stored: read it again before the next write
        self._closed = False
        self.unmatched = 0  # records that no row shows (rows.Changes): a strategy's mistake, worth a warning

    @classmethod
    def create(
        cls,
        path: Path | str,
        facts: RunFacts,
        *,
        wait: Wait,
        seam: Seam = no_seam,
        synchronous: Synchronous = "full",
    ) -> "Store":
        """A new, empty database. StoreExists if there is one; StoreReadOnly, StoreFull, BadInput (facts, no folder)."""
        path = Path(path)
        check_facts(facts)
        if not path.parent.is_dir():
            raise BadInput(f"{path.parent}: there is no such folder for a database")
        if path.exists() and not path.is_file():
            raise StoreExists(f"{path} is there already, and no file")
        return cls._opened(path, "mode=rwc", wait, seam, synchronous, lambda store: store._make(facts))

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        wait: Wait,
        seam: Seam = no_seam,
        synchronous: Synchronous = "full",
        check: Check = "pages",
    ) -> "Store":
        """Go on with a database, at its cursors.

        Raises StoreMissing, StoreForeign, StoreNewer, StoreCorrupt, StoreReadOnly, StoreLocked.
        """
        path = Path(path)
        look(path)
        return cls._opened(path, "mode=rw", wait, seam, synchronous, lambda store: store._continue(check))

    @classmethod
    def open_or_create(
        cls,
        path: Path | str,
        facts: RunFacts,
        *,
        wait: Wait,
        seam: Seam = no_seam,
        synchronous: Synchronous = "full",
        check: Check = "pages",
    ) -> "Store":
        """`open`, or `create` where there is none, or one whose maker died first. StoreConflict if it is another run's."""
        try:
            store = cls.create(path, facts, wait=wait, seam=seam, synchronous=synchronous)
        except StoreExists:
            store = cls.open(path, wait=wait, seam=seam, synchronous=synchronous, check=check)
        if store.facts.run_id != facts.run_id:
            found = store.facts.run_id
            store.close()
            raise StoreConflict(f"{path} belongs to run {found}, not to {facts.run_id}")
        return store

    @classmethod
    def _beside(cls, facts: RunFacts) -> "Store":
        """A store in a temporary file that nobody sees and that is gone with it."""
        store = cls(Path("(temporary)"), connect_temporary(), wait=_no_wait, seam=no_seam, synchronous="normal")
        store._execute("BEGIN")
        store._fill(facts)
        store._execute("COMMIT")
        store._load()
        return store

    @classmethod
    def _opened(
        cls, path: Path, how: str, wait: Wait, seam: Seam, synchronous: Synchronous, then: Callable[["Store"], None]
    ) -> "Store":
        """Connect and do `then`, all of it again while the database is busy."""

        def attempt() -> "Store":
            seam("open")
            connection = connect(path, how)
            try:
                store = cls(path, connection, wait=wait, seam=seam, synchronous=synchronous)
                then(store)
            except BaseException:
                connection.close()
                raise
            return store

        return patiently(attempt, wait, path, "opening")

    def _make(self, facts: RunFacts) -> None:
        if not self._is_empty():  # before anything of it is changed: it may be somebody else's
            raise StoreExists(f"{self.path} is there already")
        (mode,) = self._execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise StoreError(f"{self.path}: no write-ahead log on this file system (got {mode}); use a local disk")
        self._seam("begin")
        self._execute("BEGIN IMMEDIATE")
        if not self._is_empty():  # somebody was faster
            raise StoreExists(f"{self.path} is there already")
        self._fill(facts)
        self._seam("commit")
        self._execute("COMMIT")
        self._load()

    def _fill(self, facts: RunFacts) -> None:
        self._seam("write")
        for statement in statements():
            self._execute(statement)
        meta = {
            "schema_version": str(SCHEMA_VERSION),
            "run_id": facts.run_id,
            "clock": facts.clock,
            "created": facts.created,
            "ringsim": facts.ringsim,
        }
        self._insert("meta", meta.items())
        self._insert("instruments", [instrument_row(k, i) for k, i in enumerate(facts.instruments)])
        self._insert("strategies", [(name, k) for k, name in enumerate(facts.strategies)])
        self._insert("cursors", [(ring, 0, 0) for ring in RINGS])
        self._insert("meta", [("crc32", str(facts_crc32(self._connection)))])

    def _is_empty(self) -> bool:
        return self._execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)

    def _continue(self, check: Check) -> None:
        check_kind(self._connection, self.path)
        if check != "none":
            self._seam("check")
            check_pages(self._connection, self.path)
            check_records(self._connection, self.path)
        if check == "rows":
            check_rows(self._connection, self.path)
        self._load()

    # state

    def _load(self) -> None:
        """Take the cursors, and the rows that can still change, from the database."""
        self._seam("read")
        self.facts = read_facts(self._connection)
        self._cursors = {ring: (n, crc) for ring, n, crc in self._execute("SELECT ring, next_seq, crc32 FROM cursors")}
        orders = "SELECT * FROM orders WHERE status IN ('PENDING', 'OPEN', 'PARTIAL') ORDER BY seq"
        signals = "SELECT * FROM signals WHERE ended_ns IS NULL ORDER BY seq"
        self._rows = Rows(
            self.facts.strategies,
            [i.symbol for i in self.facts.instruments],
            orders=[OrderRow(*row) for row in self._execute(orders)],
            signals=[SignalRow(*row) for row in self._execute(signals)],
            positions=[PositionRow(*row) for row in self._execute("SELECT * FROM positions")],
            next_order_seq=self._cursors["orders"][0],
        )
        self._doubt = False

    def next_seq(self, ring: str) -> int:
        """Sequence of the first record of `ring` ("orders", "reports") that is not stored."""
        return self._cursors[ring][0]

    # writing

    def write_orders(self, first_seq: int, records: np.ndarray) -> None:
        """`write` with records of the orders ring only."""
        self.write(orders=(first_seq, records))

    def write_reports(self, first_seq: int, records: np.ndarray) -> None:
        """`write` with records of the reports ring only; the orders that they speak of must be stored."""
        self.write(reports=(first_seq, records))

    def write(self, orders: Slice | None = None, reports: Slice | None = None) -> None:
        """Store a batch of both rings in one transaction; on return it is committed.

        orders, reports: (first sequence, ORDER[n] / REPORT[n]). Records below the cursor are compared, not written.
        Raises StoreLocked and StoreFull (nothing written; call again), StoreConflict, StoreFault, StoreCorrupt.
        """
        slices = {ring: s for ring, s in (("orders", orders), ("reports", reports)) if s is not None and len(s[1])}
        for ring, (_, records) in slices.items():
            if records.dtype != DTYPES[ring]:
                raise BadInput(f"the {ring} ring holds {DTYPES[ring].names}, got records of {records.dtype}")
        if slices:
            patiently(lambda: self._transaction(slices), self._wait, self.path, "writing")

    def _transaction(self, slices: dict[str, Slice]) -> None:
        try:
            self._seam("begin")
            self._execute("BEGIN IMMEDIATE")
            if self._doubt:
                self._load()
            cursors = dict(self._cursors)
            self._doubt = True  # from here on, until it is committed
            for ring, (first_seq, records) in slices.items():
                first_seq, records = self._unstored(ring, first_seq, records)
                if len(records):
                    cursors[ring] = self._append(ring, first_seq, records)
            changes = self._rows.take()
            self._write_rows(changes)
            self._move_cursors(cursors)
            self._seam("commit")
            self._execute("COMMIT")
            self._seam("committed")
        except BaseException:
            self._abandon()
            raise
        self._cursors, self._doubt = cursors, False
        self.unmatched += changes.unmatched

    def _abandon(self) -> None:
        """Leave the transaction, whatever state it is in, and with it every lock."""
        try:
            if self._connection.in_transaction:
                self._connection.rollback()
        except sqlite3.Error:
            pass  # the error that brought us here is the one to tell; `_doubt` makes the next write look again

    def _unstored(self, ring: str, first_seq: int, records: np.ndarray) -> Slice:
        """The part of a slice that is new, after comparing the rest with what is stored."""
        next_seq = self._cursors[ring][0]
        if first_seq > next_seq or first_seq < 0:
            raise StoreConflict(f"{ring}: record {next_seq} comes next, got {first_seq}; those between are missing")
        again = min(next_seq - first_seq, len(records))
        if again:
            self._seam("read")
            query = "SELECT seq, record FROM ring_records WHERE ring = ? AND seq BETWEEN ? AND ? ORDER BY seq"
            stored = self._execute(query, (ring, first_seq, first_seq + again - 1)).fetchall()
            if len(stored) != again:
                raise StoreCorrupt(f"{self.path}: {ring} records below its cursor {next_seq} are missing")
            for (seq, record), new in zip(stored, record_bytes(records[:again]), strict=True):
                if record != new.tobytes():
                    raise StoreConflict(f"{ring} record {seq} is stored with other bytes: the redo went another way")
        return first_seq + again, records[again:]

    def _append(self, ring: str, first_seq: int, records: np.ndarray) -> tuple[int, int]:
        """Write records and fold them into the rows; returns the new cursor."""
        raw = record_bytes(records)
        blobs = raw.view(f"V{RECORD_BYTES}")[:, 0].tolist()
        self._insert("ring_records", ((ring, seq, blob) for seq, blob in enumerate(blobs, first_seq)))
        plain = records.view(np.ndarray)
        if ring == "orders":
            self._rows.add_orders(first_seq, plain)
        else:
            self._rows.add_reports(first_seq, plain)
        return first_seq + len(records), zlib.crc32(raw.data, self._cursors[ring][1])

    def _write_rows(self, changes: Changes) -> None:
        # Rows stored before are updated by what can change in them, never replaced: a row that is not there is an error.
        self._update("orders", changes.changed_orders.values())
        self._update("signals", changes.changed_signals.values())
        self._insert("orders", map(msgspec.structs.astuple, changes.new_orders))
        self._insert("trades", map(msgspec.structs.astuple, changes.trades))
        self._insert("signals", map(msgspec.structs.astuple, changes.new_signals))
        self._insert("performance_metrics", map(msgspec.structs.astuple, changes.metrics))
        self._insert("strategy_snapshots", map(msgspec.structs.astuple, changes.snapshots))
        self._insert("positions", map(msgspec.structs.astuple, changes.positions.values()), "INSERT OR REPLACE")

    def _insert(self, table: str, rows: Iterable[tuple[Any, ...]], verb: str = "INSERT") -> None:
        found = list(rows)
        if found:
            self._seam("write")
            self._connection.executemany(f"{verb} INTO {table} VALUES ({', '.join('?' * len(found[0]))})", found)

    def _update(self, table: str, found: Collection[OrderRow | SignalRow]) -> None:
        if not found:
            return
        self._seam("write")
        names = _CHANGING[table]
        query = f"UPDATE {table} SET {', '.join(f'{n} = ?' for n in names)} WHERE seq = ?"
        done = self._connection.executemany(query, [(*(getattr(r, n) for n in names), r.seq) for r in found])
        if done.rowcount != len(found):
            raise StoreCorrupt(f"{self.path}: {len(found) - done.rowcount} rows of {table} that were stored are gone")

    def _move_cursors(self, cursors: dict[str, tuple[int, int]]) -> None:
        for ring, (next_seq, crc) in cursors.items():
            before = self._cursors[ring][0]
            if next_seq == before:
                continue
            self._seam("write")
            query = "UPDATE cursors SET next_seq = ?, crc32 = ? WHERE ring = ? AND next_seq = ?"
            if self._execute(query, (next_seq, crc, ring, before)).rowcount != 1:
                raise StoreConflict(f"{self.path}: the {ring} cursor left {before} by itself: there is another writer")

    # ends

    def checkpoint(self) -> None:
        """Bring the write-ahead log into the database file, as far as readers let it. Never waits for them."""

        def attempt() -> None:
            self._seam("checkpoint")
            self._execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

        patiently(attempt, self._wait, self.path, "checkpoint")

    def close(self) -> None:
        """Checkpoint and close; afterwards the database is one file, unless somebody reads it. Idempotent.

        Closed it is in any case; an error says only that the log stayed beside the file, which the next opening folds in.
        """
        if self._closed:
            return
        self._closed = True
        self._abandon()
        try:
            self._seam("close")
        except sqlite3.Error as error:
            raise typed(error, self.path, "closing") from None
        finally:
            self._connection.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_CHANGING = {
    "orders": (
        "price_ticks", "qty_lots", "filled_lots", "left_lots", "filled_value", "fees", "status", "reason", "verdict",
        "verdict_reason", "provisional", "received_ns", "acted_ns", "filled_ns", "reported_ns", "report_seq",
    ),
    "signals": ("verdict", "reason", "ended_ns", "hold_ns", "end_reason", "end_seq"),
}  # fmt: skip
assert all(set(names) <= set(ROW_TYPES[table].__struct_fields__) for table, names in _CHANGING.items())
