"""How many replacements a run may have: so many in any window of time, then something is wrong for good."""

import time
from collections import deque


class Budget:
    """most: replacements within window_s seconds. spent: all of them so far."""

    def __init__(self, most: int, window_s: float) -> None:
        self.most, self.window_s = most, window_s
        self.spent = 0
        self._when: deque[float] = deque()

    def spend(self) -> bool:
        """Take one; False, and nothing taken, if the window is full."""
        now = time.monotonic()
        while self._when and now - self._when[0] > self.window_s:
            self._when.popleft()
        if len(self._when) >= self.most:
            return False
        self._when.append(now)
        self.spent += 1
        return True

    def __str__(self) -> str:
        return f"{self.most} in {self.window_s:g} s"
