"""Stages that a run has lost: when each last gave a sign of life, when the parent saw it, when its replacement was back.

All times are CLOCK_MONOTONIC, which is the whole machine's: whoever struck a stage from another process may compare them with
its own. A sign of life is a heartbeat, or the moment at which a trap was sprung; so the time from it to `seen_ns` is an upper
bound of how long the loss went unseen, and exact for a death in a trap.

Invariant: a stage that is down has been seen to be lost, and a generation is lost once.
"""

from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np

from ringsim import control as c
from ringsim.lifecycle import Change
from ringsim.summary import lifecycle_summary

_TOLD = 200  # entries of a history in one answer


class Loss(msgspec.Struct):
    """One generation of a stage that died or stalled. back_ns: 0 as long as nothing has taken its place."""

    stage: str
    generation: int
    last_ns: int
    seen_ns: int
    back_ns: int = 0


class Losses:
    """What the parent notes. down: stages being replaced, and since when they are known to be gone, ns."""

    def __init__(self) -> None:
        self.all: list[Loss] = []
        self.down: dict[str, int] = {}
        self.recoveries_ns: list[int] = []  # from each loss seen to the stage's being back

    def seen(self, words: np.ndarray, stage: str, generation: int, now_ns: int) -> None:
        """The parent has found that a generation is dead, or stalled. The first time counts."""
        if not any(loss.stage == stage and loss.generation == generation for loss in reversed(self.all)):
            at = c.block(c.stage_of(stage))
            last_ns = max(int(words[at + c.S_HEARTBEAT_NS]), int(words[at + c.S_TRAP_NS]))
            self.all.append(Loss(stage, generation, min(last_ns, now_ns), now_ns))

    def lost(self, stage: str) -> None:
        """It is being replaced. A replacement that dies, too, leaves the stage down since the first of them."""
        since = next((loss.seen_ns for loss in self.all if loss.stage == stage and not loss.back_ns), 0)
        self.down.setdefault(stage, since)

    def back(self, stage: str, now_ns: int) -> None:
        """Its replacement has redone its journal."""
        self.recoveries_ns.append(now_ns - self.down.pop(stage))
        for loss in self.all:
            if loss.stage == stage and not loss.back_ns:
                loss.back_ns = now_ns

    def unseen_ns(self) -> list[int]:
        """For how long each loss went unseen, at the most. Of a stage that never gave a sign of life nothing is said."""
        return [loss.seen_ns - loss.last_ns for loss in self.all if loss.last_ns]


def history(losses: Losses, changes: Iterable[Change], started_ns: int) -> dict[str, Any]:
    """What happened so far, the newest of it: for whoever asks the parent."""
    return {
        "started_ns": started_ns,
        "lifecycle": lifecycle_summary(changes, started_ns)[-_TOLD:],
        "losses": msgspec.to_builtins(losses.all[-_TOLD:]),
    }
