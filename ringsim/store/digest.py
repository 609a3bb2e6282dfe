"""The digest of a run: one SHA-256 that two runs share only if every order, report and the final account are the same.

    orders <n>\\n   the n records, 120 bytes each (all fields but the stamp), in sequence order
    reports <n>\\n  the same
    ledger <n>\\n   n lines: strategy symbol position_lots cost cash realized unrealized fees equity mark_ticks

Rings come in name order, ledger lines by strategy and symbol number. The counts make the text unambiguous: no other run has
the same bytes. Under the simulated clock all times are event times, so digest(pipeline) = digest(processes) =
digest(processes with kills); under the realtime clock a digest only names a run.

Records are hashed as they come, a chunk at a time: memory stays flat whatever the run's length.
"""

import hashlib
import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from ringsim.records import ACCOUNT, ReportKind
from ringsim.store.connection import connect_reading, record_bytes, typed
from ringsim.store.errors import StoreCorrupt
from ringsim.store.schema import RINGS

_CHUNK = 4096  # records hashed at a time

# A number that nobody declared has the name UNKNOWN_<number>.
_LEDGER = """
SELECT coalesce(s.number, CAST(substr(strategy_id, 9) AS INTEGER)), coalesce(i.number, CAST(substr(symbol, 9) AS INTEGER)),
  position_lots, cost, cash, realized, unrealized, fees, equity, mark_ticks
FROM positions LEFT JOIN strategies AS s USING (strategy_id) LEFT JOIN instruments AS i USING (symbol)
"""


class LedgerRow(msgspec.Struct, frozen=True, order=True):
    """The account at the end of a run: integers, money = ticks x lots. strategy, symbol: numbers as in the records."""

    strategy: int
    symbol: int
    position_lots: int
    cost: int
    cash: int
    realized: int
    unrealized: int
    fees: int
    equity: int
    mark_ticks: int


def ledger_rows(reports: np.ndarray) -> list[LedgerRow]:
    """The final account of each strategy and symbol, from its last ACCOUNT record. reports: REPORT[n]; [] without any."""
    accounts = np.ascontiguousarray(reports[reports["kind"] == ReportKind.ACCOUNT]).view(np.ndarray).view(ACCOUNT)
    last = {(int(a["strategy"]), int(a["symbol"])): a for a in accounts}
    rows = []
    for (strategy, symbol), account in last.items():
        position, cost, cash, realized, unrealized, fees, mark = (
            int(account[name])
            for name in ("position_lots", "cost", "cash", "realized", "unrealized", "fees", "mark_ticks")
        )
        equity = cash + position * mark
        rows.append(LedgerRow(strategy, symbol, position, cost, cash, realized, unrealized, fees, equity, mark))
    return sorted(rows)


class _Hash:
    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def head(self, name: str, count: int) -> None:
        self._hash.update(f"{name} {count}\n".encode())

    def add(self, data: bytes) -> None:
        self._hash.update(data)

    def end(self, rows: Iterable[LedgerRow]) -> str:
        ordered = sorted(rows)
        self.head("ledger", len(ordered))
        for row in ordered:
            self.add((" ".join(map(str, msgspec.structs.astuple(row))) + "\n").encode())
        return self._hash.hexdigest()


def digest_records(orders: np.ndarray, reports: np.ndarray, ledger: Sequence[LedgerRow] | None = None) -> str:
    """The digest, as 64 hex digits, of records in memory.

    orders: ORDER[n], reports: REPORT[n], each from sequence 0. ledger: the final account; None takes it from the reports.
    """
    found = _Hash()
    for name, records in zip(RINGS, (orders, reports), strict=True):
        found.head(name, len(records))
        for start in range(0, len(records), _CHUNK):
            found.add(record_bytes(records[start : start + _CHUNK]).tobytes())
    return found.end(ledger_rows(reports) if ledger is None else ledger)


def digest_database(path: Path | str) -> str:
    """The digest, as 64 hex digits, of what a run's database holds.

    Raises StoreCorrupt if records are missing or not those that were written, and what connect_reading raises.
    """
    path = Path(path)
    connection = connect_reading(path)
    try:
        connection.execute("BEGIN")  # one moment of a database that is still being written
        found = _Hash()
        for name in RINGS:
            cursor = "SELECT next_seq, crc32 FROM cursors WHERE ring = ?"
            count, checksum = connection.execute(cursor, (name,)).fetchone() or (0, 0)
            found.head(name, count)
            records = connection.execute("SELECT record FROM ring_records WHERE ring = ? ORDER BY seq", (name,))
            read, crc = 0, 0
            while chunk := records.fetchmany(_CHUNK):
                text = b"".join(record for (record,) in chunk)
                read, crc = read + len(chunk), zlib.crc32(text, crc)
                found.add(text)
            if (read, crc) != (count, checksum):
                raise StoreCorrupt(
                    f"{path}: {name} holds {read} records with checksum {crc:08x}, "
                    f"its cursor says {count} with {checksum:08x}"
                )
        rows = connection.execute(_LEDGER)
        return found.end([LedgerRow(*row) for row in rows])
    except sqlite3.Error as error:
        raise typed(error, path, "reading") from None
    finally:
        connection.close()
