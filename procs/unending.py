"""A backtest has no parent that watches it: a user's strategy that never returns must end it all the same.

Compiled code hears neither Ctrl-C nor any signal handler. A thread looks whether inputs are folded; the kernels leave it room.
Without a user's strategy there is no thread: the program's own kernels return.
"""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

import numpy as np

from procs.prepare import Prepared
from procs.record import abandon
from ringsim.store.errors import StoreError
from ringsim.store.manifest import read_manifest

PATIENCE_S = 10.0  # of the processor's time without an input: a decision takes less than a microsecond
_LOOK_S = 0.5


def until_unending(prepared: Prepared, states: np.ndarray, batches: Iterable[Any]) -> Iterator[Any]:
    """The batches. Where one does not come because a strategy does not return, the process says so and ends.

    states: STRATEGY_STATE[strategies], which the kernels fold in while this looks at them.
    """
    if all(strategy.user is None for strategy in prepared.plan.strategies):
        yield from batches
        return
    folding, over = threading.Event(), threading.Event()
    threading.Thread(target=_watch, args=(prepared, states, folding, over), daemon=True).start()
    one_by_one = iter(batches)
    try:
        while True:
            folding.set()
            batch = next(one_by_one, None)
            folding.clear()
            if batch is None:
                return
            yield batch
    finally:
        over.set()


def _watch(prepared: Prepared, states: np.ndarray, folding: threading.Event, over: threading.Event) -> None:
    seen, since = 0, 0.0  # before the first input kernels may be compiled, which takes a minute
    while not over.wait(_LOOK_S):
        inputs = int(states["pos"]["journal"].sum())
        if inputs != seen or not folding.is_set():
            seen, since = inputs, time.process_time()
        elif inputs > 0 and time.process_time() - since > PATIENCE_S:
            _end(prepared, inputs)


def _end(prepared: Prepared, inputs: int) -> NoReturn:
    with contextlib.suppress(StoreError):  # a run that is only repeated has no record
        abandon(read_manifest(prepared.folder), prepared, interrupted=False)
    sys.stderr.write(
        f"ringsim: the strategy {', '.join(prepared.strategies)} is too slow: at input {inputs:,} it did not return within "
        f"{PATIENCE_S:g} s of the processor's time\n"
    )
    sys.stderr.flush()
    os._exit(1)
