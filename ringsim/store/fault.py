"""Faults of storage that can be asked for: what SQLite would raise if the disk, or another program, did that.

A run's persistence looks at three words of its control page (S_FAULT and the two behind it) at every step that touches the
disk, so chaos can make the n-th step fail, once or from then on. It is the code that always runs: without a fault a step
costs one load. Whatever can be done to a real file is done there instead (procs.chaos.storage); this is for what needs a
disk of one's own.
"""

import sqlite3
from enum import IntEnum

import numpy as np

from ringsim.control import S_FAULT, S_FAULT_FROM, S_FAULT_UNTIL, S_STEPS


class Fault(IntEnum):
    """What fails, and how it is told."""

    NONE = 0
    LOCKED = 1  # another program holds the write lock
    FULL = 2  # ENOSPC, and a write that the system took a part of: SQLite tells both alike
    FSYNC = 3  # the disk reported an error when it was told to sync
    READ_ONLY = 4  # the file was moved or its rights taken away
    NO_MEMORY = 5  # an allocation fails
    SLOW = 6  # nothing fails, and everything takes long


_ERRORS = {
    Fault.LOCKED: (sqlite3.SQLITE_BUSY, "SQLITE_BUSY", "database is locked"),
    Fault.FULL: (sqlite3.SQLITE_FULL, "SQLITE_FULL", "database or disk is full"),
    Fault.FSYNC: (sqlite3.SQLITE_IOERR_FSYNC, "SQLITE_IOERR_FSYNC", "disk I/O error"),
    Fault.READ_ONLY: (
        sqlite3.SQLITE_READONLY_DBMOVED,
        "SQLITE_READONLY_DBMOVED",
        "attempt to write a readonly database",
    ),
}


def as_error(fault: Fault) -> Exception:
    """What the sqlite3 module would raise: its error with SQLite's code and name, or MemoryError. ValueError for the others."""
    if fault is Fault.NO_MEMORY:
        return MemoryError()
    if fault not in _ERRORS:
        raise ValueError(f"no error stands for {fault!r}")
    code, name, message = _ERRORS[fault]
    error = sqlite3.OperationalError(message)
    error.sqlite_errorcode, error.sqlite_errorname = code, name
    return error


def step_fault(control: np.ndarray, at: int) -> Fault:
    """Count one more step at the disk; how it is to fail, NONE if it is not. at: the stage's block of the control page."""
    steps = int(control[at + S_STEPS]) + 1
    control[at + S_STEPS] = steps
    fault = int(control[at + S_FAULT])
    return Fault(fault) if fault and control[at + S_FAULT_FROM] <= steps < control[at + S_FAULT_UNTIL] else Fault.NONE
