"""The fault table: what is done, and what the run must end like.

Every scenario runs under the simulated clock, where the law is exact: the digest is that of the undisturbed twin.
"""

import random
import signal
from collections.abc import Callable, Sequence

import msgspec

from procs.chaos.inject import Injector, LauncherKiller, Pauser, Signaller, Trapper
from procs.supervisor import ROLES
from ringsim.fold.trap import Point

_GAP = (20, 600)  # inputs of a stage between two strikes at it
_NEAR = (1, 60)
_OFTEN: dict[str, object] = {
    "pipeline.journal_entries": 1024
}  # commits every 768 inputs: a commit is a place to die in
_SHORT_S, _LONG_S = 0.2, 3600.0


# Where each stage can be told to die, in an order in which each trap can fire.
_FOLD_POINTS = (*Point.__members__.values(),)[1:]
_POINTS = {
    "ingest": tuple(p for p in _FOLD_POINTS if p not in (Point.BEFORE_RELEASE, Point.RELEASED)),
    "strategy": _FOLD_POINTS,
    "execution": _FOLD_POINTS,
    "persistence": (Point.FOLDED, Point.WRITTEN, Point.BEFORE_RELEASE, Point.RELEASED),
}
_RESTARTS = (Point.RESTART_HALF, Point.REDO)


def _every_point(stages: Sequence[str]) -> list[tuple[str, Point]]:
    """Each point of each stage once; those of a restart right after a death of that stage."""
    traps = []
    for stage in stages:
        for point in _POINTS[stage]:
            if point in _RESTARTS:
                traps.append((stage, Point.JOURNALLED))
            traps.append((stage, point))
    return traps


def _random_points(stages: Sequence[str], kills: int, seed: int) -> list[tuple[str, Point]]:
    """So many deaths: the stages in turn, each at a point drawn from the seed; one in ten dies again in its restart."""
    chance = random.Random(seed)
    traps: list[tuple[str, Point]] = []
    while len(traps) < kills:
        stage = stages[len(traps) % len(stages)]
        traps.append((stage, chance.choice([p for p in _POINTS[stage] if p not in _RESTARTS])))
        if chance.random() < 0.1 and _RESTARTS[0] in _POINTS[stage]:
            traps.append((stage, chance.choice(_RESTARTS)))
    return traps[:kills]


class Options(msgspec.Struct, frozen=True):
    """What the command line can choose."""

    seed: int
    kills: int
    stage: str | None


class Scenario(msgspec.Struct, frozen=True):
    """One row. ends: the exit state that the run must have. restarts: how many replacements at the least, at the most.

    settings: configuration that the scenario needs, for the run and its twin.
    """

    name: str
    what: str
    make: Callable[[Options], Injector]
    ends: str = "DONE"
    restarts: Callable[[int], tuple[int, int]] = lambda strikes: (strikes, strikes)
    settings: dict[str, object] = {}


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
            "one stage after the other dies, at instructions drawn from the seed",
            lambda o: Trapper(_random_points([o.stage] if o.stage else ROLES, o.kills, o.seed), o.seed, _NEAR),
            settings=_OFTEN,
        ),
        Scenario(
            "kill-points",
            "every stage dies once at each of its named points, also in its commits and its restarts",
            lambda o: Trapper(_every_point([o.stage] if o.stage else ROLES), o.seed, _NEAR),
            settings=_OFTEN,
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
