"""The fault table: what is done, and what the run must end like.

Every scenario runs under the simulated clock, where the law is exact: the digest is that of the undisturbed twin.
"""

import signal
from collections.abc import Callable

import msgspec

from procs.chaos.inject import Injector, LauncherKiller, Pauser, Signaller
from procs.supervisor import ROLES

_GAP = (20, 600)  # inputs of a stage between two strikes at it
_SHORT_S, _LONG_S = 0.2, 3600.0


class Options(msgspec.Struct, frozen=True):
    """What the command line can choose."""

    seed: int
    kills: int
    stage: str | None


class Scenario(msgspec.Struct, frozen=True):
    """One row. ends: the exit state that the run must have. restarts: how many replacements at the least, at the most."""

    name: str
    what: str
    make: Callable[[Options], Injector]
    ends: str = "DONE"
    restarts: Callable[[int], tuple[int, int]] = lambda strikes: (strikes, strikes)


def _kill(stage: str) -> Scenario:
    return Scenario(
        f"kill-{stage}",
        f"SIGKILL to {stage} in the middle of its work",
        lambda o: Signaller(signal.SIGKILL, [stage], o.kills, o.seed, _GAP),
    )


SCENARIOS: dict[str, Scenario] = {
    s.name: s
    for s in (
        *(_kill(role) for role in ROLES),
        Scenario(
            "random",
            "SIGKILL to one stage after the other, at moments drawn from the seed",
            lambda o: Signaller(signal.SIGKILL, [o.stage] if o.stage else ROLES, o.kills, o.seed, _GAP),
        ),
        Scenario(
            "pause-short",
            "SIGSTOP for 0.2 s: late, not stalled, so nothing is replaced",
            lambda o: Pauser(o.stage or "strategy", _SHORT_S, o.seed, _GAP),
            restarts=lambda strikes: (0, 0),
        ),
        Scenario(
            "pause-long",
            "SIGSTOP for good: declared stalled, killed, seen dead, replaced",
            lambda o: Pauser(o.stage or "strategy", _LONG_S, o.seed, _GAP),
        ),
        Scenario(
            "launcher-kill",
            "SIGKILL to the launcher: its stages die with it, all are started again",
            lambda o: LauncherKiller(o.seed, _GAP),
        ),
        Scenario(
            "crash-loop",
            "SIGKILL to the strategy again and again: the budget is spent, trading halts with the reason",
            lambda o: Signaller(signal.SIGKILL, ["strategy"], 1000, o.seed, (1, 2)),
            ends="FAILED",
            restarts=lambda strikes: (1, strikes),
        ),
    )
}
