"""What a scenario proved. A fault that could not be injected is INCONCLUSIVE, never a pass."""

from collections.abc import Sequence
from typing import Any

import msgspec

from procs.chaos.inject import Strike
from procs.chaos.remains import Remains
from procs.chaos.scenario import Scenario

PASS, FAIL, INCONCLUSIVE, INTERRUPTED = "PASS", "FAIL", "INCONCLUSIVE", "INTERRUPTED"
EXIT_CODES = {PASS: 0, FAIL: 1, INCONCLUSIVE: 3, INTERRUPTED: 130}


class Verdict(msgspec.Struct):
    """One scenario's result, as printed with --json."""

    scenario: str
    seed: int
    verdict: str
    problems: list[str]
    kills: int
    strikes: list[Strike]
    restarts: int
    digest: str | None
    twin_digest: str | None  # null where there is no twin: a run that was not chaos' own, or realtime
    lost: int
    duplicated: int | None  # null where there is no twin
    recovery_ms: dict[str, float]  # from each loss seen to the stage's being back
    detection_ms: dict[str, float]  # from each fault to the parent's having seen it
    lifecycle: list[Any]
    orphans: list[int]
    zombies: list[int]
    leaked_segments: list[str]
    descriptors: dict[str, int]  # process -> growth
    notes: list[str]
    repeat: str


def spread(values: list[float]) -> dict[str, float]:
    """p50, p99 and max; zeros of nothing."""
    if not values:
        return {"n": 0, "p50": 0.0, "p99": 0.0, "max": 0.0}
    ordered = sorted(values)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    return {"n": len(ordered), "p50": at(0.5), "p99": at(0.99), "max": ordered[-1]}


def judge(
    scenario: Scenario, seed: int, strikes: list[Strike], planned: int, run: dict[str, Any], twin: dict[str, Any],
    left: Remains, repeat: str, detection_ms: Sequence[float] = (),
) -> Verdict:  # fmt: skip
    """Compare a disturbed run with its undisturbed twin. planned: faults that the injector had in mind."""
    problems = []
    least, most = scenario.restarts(len(strikes))
    if run["exit_state"] != scenario.ends:
        problems.append(f"ended {run['exit_state']}, not {scenario.ends}: {run['failure'] or 'no reason given'}")
    if scenario.ends == "DONE" and scenario.same:
        if run["digest"] != twin["digest"]:
            problems.append("the digest is not the twin's")
        for key in ("events_published", "signals", "fills"):
            if run[key] != twin[key]:
                problems.append(f"{key}: {run[key]}, the twin has {twin[key]}")
    elif scenario.ends == "FAILED" and not run["failure"]:
        problems.append("it ended without a reason")
    problems += scenario.holds(run, twin)
    if not least <= run["restarts"] <= most:
        problems.append(f"{run['restarts']} replacements for {len(strikes)} faults, expected {least}..{most}")
    problems += left.problems()
    comparable = run["clock"] == twin["clock"]  # under the realtime clock each run is another one
    short = len(strikes) < min(scenario.least or planned, planned)
    verdict = FAIL if problems else INCONCLUSIVE if short else PASS
    if short:
        problems.append(
            f"the run was over after {len(strikes)} of {planned} faults: it proves nothing about the others"
        )
    return Verdict(
        scenario=scenario.name,
        seed=seed,
        verdict=verdict,
        problems=problems,
        kills=sum(s.what == "SIGKILL" for s in strikes),
        strikes=strikes,
        restarts=run["restarts"],
        digest=run["digest"],
        twin_digest=twin["digest"] if comparable else None,
        lost=run["market_lost"],
        duplicated=max(0, run["events_published"] - twin["events_published"]) if comparable else None,
        recovery_ms=spread(run["recovery_ms"]),
        detection_ms=spread(list(detection_ms)),
        lifecycle=run["lifecycle"],
        orphans=left.orphans,
        zombies=left.zombies,
        leaked_segments=left.segments,
        descriptors=left.descriptors,
        notes=[],
        repeat=repeat,
    )
