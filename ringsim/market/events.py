"""Where the feed puts the market events of one step, in private memory, until the worker has published them."""

from typing import NamedTuple

import numpy as np

from ringsim.kernel import kernel
from ringsim.limits import MESSAGE_EVENTS
from ringsim.records import MARKET_EVENT


class Events(NamedTuple):
    """records: MARKET_EVENT recarray[n]. words: the same memory, int64[n * 8]. count: int64[1], events so far."""

    records: np.ndarray
    words: np.ndarray
    count: np.ndarray  # type: ignore[assignment]  # a field; nobody wants tuple.count


def make_events(size: int = MESSAGE_EVENTS) -> Events:
    """Room for `size` events; one message makes at most MESSAGE_EVENTS."""
    words = np.zeros(size * MARKET_EVENT.itemsize // 8, np.int64)
    return Events(words.view(MARKET_EVENT).view(np.recarray), words, np.zeros(1, np.int64))


@kernel
def events_clear(out):
    """Forget what it holds."""
    out.count[0] = 0
