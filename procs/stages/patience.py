"""Storage that refuses for a while: how long it is waited for, and what is said of it.

Transient errors (ringsim.store.errors) are those after which nothing was written and the same call may succeed later. They
are said once when they begin and once when they are over; the clock starts anew with every success.
"""

import logging
import time

from ringsim.store.errors import StoreError, StoreGivenUp


class Patience:
    """most_s: how long refusals without a success between them are borne, seconds, > 0."""

    def __init__(self, most_s: float, log: logging.Logger) -> None:
        self.most_s, self.log = most_s, log
        self._since_ns: int | None = None

    def refused(self, error: StoreError) -> None:
        """One more refusal. Raises StoreGivenUp, with its words, when it is the last that is borne."""
        now = time.monotonic_ns()
        if self._since_ns is None:
            self._since_ns = now
            self.log.warning("persistence waits: %s", error)
        if now - self._since_ns > self.most_s * 1e9:
            raise StoreGivenUp(f"{error}; waited for {self.most_s:g} s") from error

    def granted(self) -> None:
        """Storage took it."""
        if self._since_ns is not None:
            waited_s = (time.monotonic_ns() - self._since_ns) / 1e9
            self.log.info("persistence goes on: storage takes it again, after %.1f s", waited_s)
            self._since_ns = None
