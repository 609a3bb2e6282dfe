"""How many replacements a run may need: so many within so many seconds, and a crash loop ends instead of going on for ever."""

import time
from collections import deque


class RestartBudget:
    """most replacements within window_s seconds, at any time. spent: how many were made in all."""

    def __init__(self, most: int, window_s: int) -> None:
        self.most, self.window_s = most, window_s
        self.spent = 0
        self._when: deque[float] = deque()

    def spend(self) -> bool:
        """Make one more replacement, if it may be made now."""
        now = time.monotonic()
        while self._when and now - self._when[0] > self.window_s:
            self._when.popleft()
        if len(self._when) >= self.most:
            return False
        self._when.append(now)
        self.spent += 1
        return True

    def __str__(self) -> str:
        return f"{self.most} in {self.window_s} s"
