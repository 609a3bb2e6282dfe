"""Reading a database's tables, and saying where they differ from the naive ones."""

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np

from ringsim.store.connection import connect_reading
from ringsim.store.schema import ROW_KEYS
from tests.naive.store import tables as naive_tables
from tests.unit.store.streams import STRATEGIES, SYMBOLS


def read(path: Path, query: str, *values: Any) -> list[tuple[Any, ...]]:
    connection = connect_reading(path)
    try:
        return connection.execute(query, values).fetchall()
    finally:
        connection.close()


def read_tables(path: Path, suffix: str = "") -> dict[str, list[dict[str, Any]]]:
    connection = connect_reading(path)
    connection.row_factory = sqlite3.Row
    try:
        return {
            table: [
                dict(row) for row in connection.execute(f"SELECT * FROM {table}{suffix} ORDER BY {ROW_KEYS[table]}")
            ]
            for table in ROW_KEYS
        }
    finally:
        connection.close()


def assert_reconciled(path: Path, orders: np.ndarray, reports: np.ndarray) -> None:
    """Every row of every table is what the records say, and nothing else is there."""
    found, expected = read_tables(path), naive_tables(orders, reports, STRATEGIES, SYMBOLS)
    for table in ROW_KEYS:
        assert len(found[table]) == len(expected[table]), table
        for there, wanted in zip(found[table], expected[table], strict=True):
            differences = {
                c: (there[c], wanted[c])
                for c in there.keys() | wanted.keys()
                if there.get(c, ...) != wanted.get(c, ...)
            }
            assert not differences, f"{table} (stored, naive): {differences}"
    for ring, records in (("orders", orders), ("reports", reports)):
        stored = read(path, "SELECT seq, record FROM ring_records WHERE ring = ? ORDER BY seq", ring)
        assert stored == [(k, record.tobytes()[8:]) for k, record in enumerate(records)]
        assert read(path, "SELECT next_seq FROM cursors WHERE ring = ?", ring) == [(len(records),)]
