"""Errors of storage as SQLite would raise them, and a seam that raises one at the n-th step."""

from ringsim.store.errors import StoreFault, StoreFull, StoreLocked, StoreReadOnly
from ringsim.store.fault import Fault, as_error

FAULTS = {
    StoreLocked: as_error(Fault.LOCKED),
    StoreFull: as_error(Fault.FULL),
    StoreFault: as_error(Fault.FSYNC),
    StoreReadOnly: as_error(Fault.READ_ONLY),
}


class Nth:
    """A seam whose n-th step fails, counted from 1; `steps` are those that were taken."""

    def __init__(self, n: int, error: Exception, times: int = 1) -> None:
        self.n, self.error, self.last = n, error, n + times - 1
        self.steps: list[str] = []

    def __call__(self, point: str) -> None:
        self.steps.append(point)
        if self.n <= len(self.steps) <= self.last:
            raise self.error
