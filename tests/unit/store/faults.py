"""Errors of storage as SQLite would raise them, and a seam that raises one at the n-th step."""

import sqlite3

from ringsim.store.errors import StoreFault, StoreFull, StoreLocked, StoreReadOnly


def fault(code: int, message: str) -> sqlite3.OperationalError:
    """An error as SQLite would raise it."""
    error = sqlite3.OperationalError(message)
    error.sqlite_errorcode, error.sqlite_errorname = code, message.upper()
    return error


FAULTS = {
    StoreLocked: fault(sqlite3.SQLITE_BUSY, "database is locked"),
    StoreFull: fault(sqlite3.SQLITE_FULL, "database or disk is full"),
    StoreFault: fault(sqlite3.SQLITE_IOERR_FSYNC, "disk I/O error"),
    StoreReadOnly: fault(sqlite3.SQLITE_READONLY_DBMOVED, "attempt to write a readonly database"),
}


class Nth:
    """A seam whose n-th step fails, counted from 1; `steps` are those that were taken."""

    def __init__(self, n: int, error: sqlite3.Error, times: int = 1) -> None:
        self.n, self.error, self.last = n, error, n + times - 1
        self.steps: list[str] = []

    def __call__(self, point: str) -> None:
        self.steps.append(point)
        if self.n <= len(self.steps) <= self.last:
            raise self.error
