"""Whether a run that was told to end still comes nearer to its end."""

import numpy as np

from ringsim import control as c

GRACE_NS = 5_000_000_000  # without any stage taking an input, after which what is left is killed


class Draining:
    """Ask `overdue` in every turn of the parent's loop, from the moment on when the run was told to end."""

    def __init__(self, roles: tuple[str, ...]) -> None:
        self._words = [c.block(c.stage_of(role)) + c.S_INPUTS for role in roles]
        self._inputs: tuple[int, ...] = ()
        self._since_ns = 0

    def overdue(self, words: np.ndarray, now_ns: int) -> bool:
        """Nothing has moved for the time of grace: a busy machine is slow, and no reason to lose what is under way."""
        inputs = tuple(int(words[at]) for at in self._words)
        if inputs != self._inputs or not self._since_ns:
            self._inputs, self._since_ns = inputs, now_ns
        return now_ns - self._since_ns > GRACE_NS
