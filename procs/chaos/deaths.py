"""Deaths: stages, launcher and parent that are killed, stopped or hang, at instructions or moments drawn from a seed."""

import random
import signal
from collections.abc import Iterator

from procs.chaos.inject import Hanger, LauncherKiller, ParentKiller, Pauser, Signaller, Trapper
from procs.chaos.scenario import Options, Scenario
from procs.topology import ROLES
from ringsim.fold.trap import Point

_GAP = (20, 600)  # inputs of a stage between two strikes at it
_NEAR = (1, 60)
# Commits every 768 inputs, small transactions, and a feed that cannot run ahead: more places to die in.
_OFTEN: dict[str, object] = {
    "pipeline.journal_entries": 1024,
    "strategy.persistence.batch_size": 10,
    "strategy.performance.market_channel_size": 1024,
}
_SHORT_S, _LONG_S = 0.2, 3600.0


# Where each stage can be told to die, in an order in which each trap can fire.
_FOLD_POINTS = (*Point.__members__.values(),)[1:]
_POINTS = {
    "persistence": (Point.FOLDED, Point.WRITTEN, Point.BEFORE_RELEASE, Point.RELEASED),
    "ingest": tuple(p for p in _FOLD_POINTS if p not in (Point.BEFORE_RELEASE, Point.RELEASED)),
    "strategy": _FOLD_POINTS,
    "execution": _FOLD_POINTS,
}
_RESTARTS = (Point.RESTART_HALF, Point.REDO)
# A stage runs on for hundreds of inputs until its next commit, so few deaths are there.
_COMMITS = (Point.BEFORE_COMMIT, Point.FLIPPED, Point.HALF_COPY)


def _every_point(stage: str) -> list[Point]:
    """Each point of a stage once; those of a restart right after another death."""
    points = []
    for point in _POINTS[stage]:
        points += [Point.JOURNALLED, point] if point in _RESTARTS else [point]
    return points


def _any_points(stage: str, seed: int) -> Iterator[Point]:
    """Points drawn from the seed, without end; one death in ten is followed by another one in the restart."""
    chance = random.Random(f"{seed} {stage} points")
    while True:
        rare = chance.random() < 0.1
        yield chance.choice([p for p in _POINTS[stage] if p not in _RESTARTS and (rare or p not in _COMMITS)])
        if chance.random() < 0.1 and _RESTARTS[0] in _POINTS[stage]:
            yield chance.choice(_RESTARTS)


def _kill_points(options: Options) -> Trapper:
    traps = {stage: _every_point(stage) for stage in ([options.stage] if options.stage else _POINTS)}
    planned = sum(map(len, traps.values()))
    return Trapper({stage: iter(points) for stage, points in traps.items()}, planned, options.seed, _NEAR)


def _random_points(options: Options) -> Trapper:
    stages = [options.stage] if options.stage else ROLES
    return Trapper({s: _any_points(s, options.seed) for s in stages}, options.kills, options.seed, _NEAR)


def _kill(stage: str) -> Scenario:
    few = stage == "persistence"  # it takes its inputs late and in batches, so its moments go by the strategy's
    return Scenario(
        f"kill-{stage}",
        f"SIGKILL to {stage} in the middle of its work",
        lambda o: Signaller(signal.SIGKILL, [stage], o.kills, o.seed, _GAP, by="strategy" if few else None),
        settings=_OFTEN if few else {},
        least=2 if few else None,  # a death that a busy machine is slow to show costs a good part of the session
        takes=("kills",),
    )


DEATHS: tuple[Scenario, ...] = (
    *(_kill(role) for role in ROLES),
    Scenario(
        "random",
        "the stages die again and again, at instructions drawn from the seed",
        _random_points,
        settings=_OFTEN,
        takes=("kills", "stage"),
    ),
    Scenario(
        "kill-points",
        "every stage dies once at each of its named points, also in its commits and its restarts",
        _kill_points,
        settings=_OFTEN,
        takes=("stage",),
    ),
    Scenario(
        "pause-short",
        "SIGSTOP for 0.2 s: late, not stalled, so nothing is replaced",
        lambda o: Pauser(o.stage or "strategy", _SHORT_S, o.seed, _GAP),
        restarts=lambda strikes: (0, 0),
        takes=("stage",),
    ),
    Scenario(
        "pause-long",
        "SIGSTOP for good: declared stalled, killed, seen dead, replaced",
        lambda o: Pauser(o.stage or "strategy", _LONG_S, o.seed, _GAP),
        takes=("stage",),
    ),
    Scenario(
        "hang-in-kernel",
        "a stage never comes back from its kernel: it runs without beating, is killed and replaced",
        lambda o: Hanger(o.stage or "strategy", o.seed, _GAP),
        takes=("stage",),
    ),
    Scenario(
        "kill-parent",
        "SIGKILL to the parent: its stages end with it, and the run is resumed from the memory that it left",
        lambda o: ParentKiller(o.seed, (200, 5000)),
        restarts=lambda strikes: (0, 0),
        settings={"pipeline.slice_us": 100},
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
        least=1,
        restarts=lambda strikes: (1, strikes),
    ),
)
