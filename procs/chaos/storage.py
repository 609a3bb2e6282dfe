"""Storage and memory: a disk that is slow, full, locked or damaged, memory that is not there; and what must hold then.

What is transient (slow, locked, full for a while) ends with the twin's digest, and the run has said why it waited. What is
not ends the run with its reason, and the database with a beginning of the twin's, whole, and nothing in it is missing
that was acknowledged.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from procs.chaos.disk import (
    Damage,
    Locker,
    NoMemory,
    NoShm,
    OneStep,
    Refusal,
    ShortWrite,
    Slow,
    cut_log,
    filled,
    overwrite_page,
)
from procs.chaos.scenario import Scenario
from ringsim.store.compare import compare
from ringsim.store.errors import StoreError
from ringsim.store.fault import Fault
from ringsim.store.sqlite import Store

_GAP = (20, 600)  # records that persistence has stored before the strike
# Rings that are soon full, so that whoever waits for persistence has to; small batches, so that there are many.
_SMALL: dict[str, object] = {
    "strategy.performance.order_channel_size": 64,
    "strategy.performance.persist_channel_size": 512,
    "strategy.persistence.batch_size": 10,
}
_OFTEN: dict[str, object] = {"strategy.persistence.batch_size": 10}

Summary = dict[str, Any]
Holds = Callable[[Summary, Summary], list[str]]


def rings_filled(run: Summary, twin: Summary) -> list[str]:
    """That persistence was far behind in both rings, one of them was full, and nobody else was waited for there."""
    rings = {name: run["rings"][name] for name in ("orders", "reports")}
    lags = {name: ring["max_lag"] for name, ring in rings.items()}
    problems = [
        f"{ring['gated_by']} gated the {name} ring" for name, ring in rings.items() if ring["gated_by"] != "persistence"
    ]
    if not filled(lags, {name: ring["capacity"] for name, ring in rings.items()}):
        problems.append(f"the rings did not fill: {lags}")
    return problems


def waited_for(words: str) -> Holds:
    """That the run was DEGRADED because persistence was behind, said so with `words`, and was READY afterwards."""

    def holds(run: Summary, twin: Summary) -> list[str]:
        states = [(state, reason) for _, state, reason in run["lifecycle"]]
        behind = [k for k, (state, why) in enumerate(states) if state == "DEGRADED" and "persistence" in why]
        problems = [] if behind else ["it was never DEGRADED because of persistence"]
        if not any(words in why for _, why in states):
            problems.append(f"no change of the lifecycle says {words!r}")
        if behind and not any(state == "READY" for state, _ in states[behind[-1] :]):
            problems.append("it was not READY again")
        return problems

    return holds


def ended_with(*words: str) -> Holds:
    """That the run's reason holds one of `words`."""

    def holds(run: Summary, twin: Summary) -> list[str]:
        why = run["failure"] or ""
        return [] if any(w in why for w in words) else [f"its reason says none of {', '.join(words)}: {why}"]

    return holds


def a_whole_beginning(run: Summary, twin: Summary) -> list[str]:
    """That the database is whole, a beginning of the twin's, and holds all that persistence acknowledged."""
    database = Path(run["database"])
    try:
        Store.open(database, wait=lambda seconds: None, check="rows").close()
        found = compare(database, Path(twin["database"]))
    except StoreError as error:
        return [f"the database is not whole: {error}"]
    parts = [part for part in (found.first, found.also) if part is not None and part.a is not None]
    problems = [f"{part.ring} record {part.seq} is not the twin's" for part in parts]
    if found.same:
        problems.append("everything was stored: the fault came too late to show anything")
    return problems + ([run["failure"]] if "lacks records" in (run["failure"] or "") else [])


def both(*laws: Holds) -> Holds:
    """All of them."""
    return lambda run, twin: [problem for law in laws for problem in law(run, twin)]


STORAGE: tuple[Scenario, ...] = (
    Scenario(
        "slow-persistence",
        "every step at the disk takes 0.1 s: both rings fill, everybody waits, the run says why; the same digest",
        lambda o: Slow(o.seed, _GAP),
        restarts=lambda strikes: (0, 0),
        settings=_SMALL | {"strategy.performance.order_channel_size": 256},
        holds=both(rings_filled, waited_for("persistence is")),
    ),
    Scenario(
        "database-locked",
        "another program holds the database's write lock for a while: waited for, no replacement, the same digest",
        lambda o: Locker(o.seed, _GAP),
        restarts=lambda strikes: (0, 0),
        settings=_SMALL,
        holds=waited_for("another program has locked"),
    ),
    Scenario(
        "disk-full",
        "no room on the disk until somebody makes some: waited for, no replacement, the same digest",
        lambda o: Refusal(o.seed, _GAP, Fault.FULL),
        restarts=lambda strikes: (0, 0),
        settings=_SMALL,
        holds=waited_for("its disk is full"),
    ),
    Scenario(
        "disk-full-for-good",
        "no room on the disk, and nobody makes any: the run ends with the reason, what was acknowledged is there",
        lambda o: Refusal(o.seed, _GAP, Fault.FULL, for_good=True),
        ends="FAILED",
        restarts=lambda strikes: (0, 0),
        settings=_SMALL | {"pipeline.storage_patience_s": 1},
        holds=both(ended_with("full"), a_whole_beginning),
    ),
    Scenario(
        "fsync-error",
        "the disk reports an error once: persistence is replaced, looks what is stored, and goes on; the same digest",
        lambda o: OneStep(o.seed, _GAP, Fault.FSYNC),
        settings=_OFTEN,
    ),
    Scenario(
        "short-write",
        "the system takes half of a write and refuses the rest: persistence is replaced; the same digest",
        lambda o: ShortWrite(o.seed, _GAP),
        settings=_OFTEN,
    ),
    Scenario(
        "corrupt-database",
        "a page of the database is overwritten while nobody writes: named, never continued",
        lambda o: Damage(o.seed, _GAP, overwrite_page),
        ends="FAILED",
        settings=_OFTEN,
        holds=ended_with("torn or overwritten", "overwritten (checksum)", "checksum", "not a database", "malformed"),
    ),
    Scenario(
        "cut-log",
        "the database's log is cut while nobody writes: what was acknowledged is missed, named, never continued",
        lambda o: Damage(o.seed, _GAP, cut_log),
        ends="FAILED",
        settings=_OFTEN,
        holds=ended_with("its log was cut or overwritten"),
    ),
    Scenario(
        "shm-full",
        "the launcher dies when shared memory is full: the new one cannot warm, the run ends with the reason",
        lambda o: NoShm(o.seed, _GAP),
        ends="FAILED",
        settings=_OFTEN,
        holds=both(ended_with("/dev/shm cannot hold"), a_whole_beginning),
    ),
    Scenario(
        "out-of-memory",
        "persistence is replaced when there is no memory: the run ends with the reason, what was acknowledged is there",
        lambda o: NoMemory(o.seed, _GAP),
        ends="FAILED",
        settings=_OFTEN,
        holds=both(ended_with("out of memory", "no memory"), a_whole_beginning),
    ),
)
