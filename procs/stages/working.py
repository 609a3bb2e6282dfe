"""The copy of its state that a stage works in, and the commit that changes it for the other one (ringsim.fold.commit)."""

import time
from typing import Any

import numpy as np

from ringsim.fold.commit import Copies, commit, resume
from ringsim.fold.near import state_words
from ringsim.kernel import bound


class Working:
    """Begins as a fresh copy of the committed state.

    state: recarray of one record, for kernels. memory: its words, int64[:]. record: the same, for Python to read from.
    committed_ns: CLOCK_MONOTONIC of the last commit. What numpy makes of a record so large costs 50 us: it is made once.
    """

    state: np.ndarray
    memory: np.ndarray
    record: Any

    def __init__(self, copies: Copies, control: np.ndarray, at: int) -> None:
        """control, at: the control page, and in it the stage's block."""
        self._commit, self._where = bound(commit), (copies, control, at)
        states = (copies.states[:1], copies.states[1:])
        self._views = [(state, state_words(state), state[0]) for state in states]
        self._go_on(int(resume(copies, control, at)))

    def commit(self, journal_position: int) -> None:
        """Make what was folded so far the state that a replacement begins with."""
        self._go_on(int(self._commit(*self._where, self._copy, journal_position)))

    def _go_on(self, copy: int) -> None:
        self._copy = copy
        self.state, self.memory, self.record = self._views[copy]
        self.committed_ns = time.monotonic_ns()


class HasState:
    """A stage that folds, as others look into it."""

    working: Working

    @property
    def state(self) -> np.ndarray:
        """The working copy: recarray of one record."""
        return self.working.state

    @property
    def memory(self) -> np.ndarray:
        """Its words, int64[:]."""
        return self.working.memory
