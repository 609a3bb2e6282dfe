"""What a row of the fault table is made of."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from procs.chaos.inject import Injector


class Options(msgspec.Struct, frozen=True):
    """What the command line can choose."""

    seed: int
    kills: int
    stage: str | None
    settings: str = ""  # what else was given, as one would type it


# Of a run that is made to be struck: it has to last, and under the simulated clock it would be over before it is looked at.
OWN_RUN: dict[str, object] = {"run.clock": "simulated", "pipeline.pause_us": 250}


class Scenario(msgspec.Struct, frozen=True):
    """One row. ends: the exit state that the run must have. restarts: how many replacements at the least, at the most.

    settings: configuration that the scenario needs, for the run and its twin. least: faults without which nothing is proved,
    if fewer will do than the injector plans. same: whether the run must have its twin's digest. source: makes, in a scratch
    folder, the capture that both of them read, from the one that was asked for, and returns it as --source takes it.
    sound_twin: the twin reads the one that was asked for. holds: what else must be true of (run,
    twin), as problems in words; none when it is. takes: options that `make` heeds, of "kills" and "stage".
    """

    name: str
    what: str
    make: Callable[[Options], Injector]
    ends: str = "DONE"
    restarts: Callable[[int], tuple[int, int]] = lambda strikes: (strikes, strikes)
    settings: dict[str, object] = {}
    least: int | None = None
    same: bool = True
    source: Callable[[Path, Options, str], str] | None = None
    sound_twin: bool = False
    holds: Callable[[dict[str, Any], dict[str, Any]], list[str]] = lambda run, twin: []
    takes: tuple[str, ...] = ()
