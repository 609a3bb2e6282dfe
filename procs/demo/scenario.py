"""What a demo is asked to do, and what the overrun law says will happen.

A scenario is data: rates, capacity, steps, and at which step the lifecycle changes. Changes obey ringsim.lifecycle, whose
table the run goes by; here it is only said when they are wanted.
"""

from typing import Literal, get_args

import msgspec

from ringsim.errors import BadInput
from ringsim.lifecycle import Lifecycle
from ringsim.limits import DEMO_RATE, DEMO_STEPS, MAX_CAPACITY, MIN_CAPACITY

Resync = Literal["oldest", "newest"]


class Scenario(msgspec.Struct, frozen=True):
    """One demo. In each step the producer publishes `ingest` records, then the consumer polls `polls` times."""

    name: str
    ingest: int
    polls: int
    capacity: int = 64  # slots of the ring
    steps: int = 50
    resync: Resync = "oldest"  # where a lapped reader goes on
    warmup_steps: int = 10
    fails_at: int | None = None  # step in which a failure is injected
    heals_at: int | None = None


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("balanced", 5, 5),
        Scenario("producer-heavy", 8, 3),
        Scenario("consumer-heavy", 3, 8),
        Scenario("failure-recovery", 5, 5, fails_at=20, heals_at=40),
        Scenario("custom", 5, 5),
    )
}


def named(
    name: str,
    *,
    ingest: int | None = None,
    polls: int | None = None,
    capacity: int | None = None,
    steps: int | None = None,
    resync: str | None = None,
) -> Scenario:
    """The scenario of that name, with the figures that are given instead of its own. BadInput as `check`, or for the name."""
    if name not in SCENARIOS:
        raise BadInput(f"unknown scenario {name!r}; there are {', '.join(SCENARIOS)}")
    asked = {"ingest": ingest, "polls": polls, "capacity": capacity, "steps": steps, "resync": resync}
    given = {field: value for field, value in asked.items() if value is not None}
    return check(msgspec.structs.replace(SCENARIOS[name], **given))


def check(scenario: Scenario) -> Scenario:
    """The scenario itself, or BadInput naming everything that is out of its range, with the range."""
    problems = []
    for field, largest in (("ingest", DEMO_RATE), ("polls", DEMO_RATE), ("steps", DEMO_STEPS)):
        value = getattr(scenario, field)
        if not 1 <= value <= largest:
            problems.append(f"{field} {value} is outside 1..{largest}")
    capacity = scenario.capacity
    if not MIN_CAPACITY <= capacity <= MAX_CAPACITY:
        problems.append(f"capacity {capacity} is outside {MIN_CAPACITY}..{MAX_CAPACITY}")
    elif capacity & (capacity - 1):
        problems.append(f"capacity {capacity} is no power of two; the next one is {1 << capacity.bit_length()}")
    if scenario.resync not in get_args(Resync):
        problems.append(f"resync {scenario.resync!r} is neither {' nor '.join(get_args(Resync))}")
    if problems:
        raise BadInput("; ".join(problems))
    return scenario


def wanted_change(scenario: Scenario, step: int) -> tuple[Lifecycle, str] | None:
    """The lifecycle that begins with this step, and why; None if the step goes on as the one before."""
    if step == 0:
        return Lifecycle.WARMUP, f"{scenario.warmup_steps} steps to warm up"
    if step == scenario.warmup_steps:
        return Lifecycle.READY, "warm-up done"
    if step == scenario.fails_at:
        return Lifecycle.DEGRADED, "failure injected"
    if step == scenario.heals_at:
        return Lifecycle.READY, "healed"
    return None


def first_overrun_step(ingest: int, polls: int, capacity: int) -> int | None:
    """The overrun law: the first step, from 0, in which a reader that polls after the producer's step is lapped.

    ingest, polls: records in and polls a step, >= 1. capacity: slots. None: never. In step n, before the polls,
    (n + 1) * ingest - n * polls records wait; the first n for which they are more than the capacity is the step.
    """
    if ingest > polls:
        return max(0, (capacity - ingest) // (ingest - polls) + 1)
    return 0 if ingest > capacity else None
