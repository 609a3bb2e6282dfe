"""What was done to a run and what came of it, in the order of the clock: for the live view, for plain lines, for the verdict.

    1.52 s  SIGKILL to strategy at its input 312 (HALF_RECORD)
    1.53 s  DEGRADED: strategy (pid 4711) died; seen after 0.4 ms
    1.54 s  READY again after 13.8 ms

A fault is matched with the first loss of its stage that the parent saw afterwards: the time between them is the detection.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from procs.chaos.inject import Strike
from procs.losses import Loss, Losses
from procs.notes import Grade
from procs.readmodel import Happening
from ringsim.lifecycle import Change, Lifecycle

_SHOWN = 64  # newest faults, and changes, that are put into words
LAUNCHER = "launcher"


class Watched(Protocol):
    """A run as the chronicle needs it."""

    @property
    def changes(self) -> list[Change]:
        """Of the lifecycle."""

    @property
    def losses(self) -> Losses:
        """Stages lost."""


def detected(strikes: Iterable[Strike], losses: Iterable[Loss]) -> list[tuple[Strike, Loss]]:
    """Each fault that cost a stage, with the loss that it was. The launcher's death is seen as the loss of any stage."""
    left, pairs = sorted(losses, key=lambda loss: loss.seen_ns), []
    for strike in sorted(strikes, key=lambda strike: strike.time_ns):
        for loss in left:
            if loss.seen_ns >= strike.time_ns and strike.stage in (loss.stage, LAUNCHER):
                left.remove(loss)
                pairs.append((strike, loss))
                break
    return pairs


def detection_ms(strikes: Iterable[Strike], losses: Iterable[Loss]) -> list[float]:
    """From each fault to the parent's having seen it, ms, in the order of the faults."""
    return [round((loss.seen_ns - strike.time_ns) / 1e6, 3) for strike, loss in detected(strikes, losses)]


class Chronicle:
    """Tells the story of one run so far. strikes: the injector's list, which grows."""

    def __init__(self, strikes: Sequence[Strike]) -> None:
        self.strikes = strikes
        self.run: Watched | None = None

    def story(self) -> list[Happening]:
        """The newest happenings, oldest first; times from the run's first READY on."""
        if self.run is None:
            return []
        changes = self.run.changes
        start_ns = next((ch.time_ns for ch in changes if ch.after is Lifecycle.READY), 0)
        told: list[tuple[int, str, int]] = []
        for strike in self.strikes[-_SHOWN:]:
            told.append((strike.time_ns, fault(strike), Grade.LOOK))
        pairs = detected(self.strikes[-_SHOWN:], self.run.losses.all[-_SHOWN:])
        down_ns = 0
        for step in changes[-_SHOWN:]:
            if step.after is Lifecycle.DEGRADED:
                down_ns = step.time_ns
                # The parent changes the lifecycle right after it has seen the loss, in the same turn of its loop.
                loss = next(((s, x) for s, x in reversed(pairs) if 0 <= step.time_ns - x.seen_ns < 500_000_000), None)
                seen = f"; seen after {(loss[1].seen_ns - loss[0].time_ns) / 1e6:,.1f} ms" if loss else ""
                told.append((step.time_ns, f"DEGRADED: {step.reason}{seen}", Grade.BAD))
            elif step.after is Lifecycle.READY and down_ns:
                told.append((step.time_ns, f"READY again after {(step.time_ns - down_ns) / 1e6:,.1f} ms", Grade.ASIDE))
            elif step.after is Lifecycle.READY:
                told.append((step.time_ns, f"READY: {step.reason}", Grade.ASIDE))
        return [Happening((at - start_ns) / 1e9, text, int(grade)) for at, text, grade in sorted(told)]


def fault(strike: Strike) -> str:
    """One fault in words."""
    point = f" ({strike.point})" if strike.point else ""
    return f"{strike.what} to {strike.stage} at its input {strike.inputs:,}{point}"
