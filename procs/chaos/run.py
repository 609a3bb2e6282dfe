"""One scenario from its twin to its verdict, in a folder of its own."""

import os
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import psutil

from procs.chaos.inject import ParentKiller, Strike
from procs.chaos.scenario import Options, Scenario
from procs.chaos.scenarios import SCENARIOS
from procs.chaos.verdict import Verdict, judge
from procs.prepare import Prepared, prepare_run
from procs.resume import THERE, left_in_memory
from procs.run import run_backtest, run_pipeline
from procs.screens import choose_screen
from procs.supervisor import ROLES
from ringsim.config import Effective, load
from ringsim.errors import BadInput
from ringsim.shm import FOLDER, PREFIX
from ringsim.store.runs import new_run_id

ALL = "all"


def chosen(name: str, stage: str | None) -> list[Scenario]:
    """The scenarios that a name stands for. BadInput, with the names there are, for an unknown scenario or stage."""
    if stage is not None and stage not in ROLES:
        raise BadInput(f"unknown stage {stage!r}; there are {', '.join(ROLES)}")
    if name == ALL:
        return list(SCENARIOS.values())
    if name not in SCENARIOS:
        raise BadInput(f"unknown scenario {name!r}; there are {', '.join(SCENARIOS)}, {ALL}, list")
    return [SCENARIOS[name]]


_POLL_MS = 1  # an injector strikes between two turns: the shorter they are, the more places it hits


def _prepared(effective: Effective, folder: Path) -> Prepared:
    config = effective.config
    run_id = new_run_id(datetime.now(UTC))
    return prepare_run(effective, run_id, out=str(folder / run_id) if config.run.out is None else None)


def run_scenario(scenario: Scenario, options: Options, effective: Effective) -> Verdict:
    """Run the twin and the disturbed run, and judge. Nothing of them stays but the verdict."""
    with tempfile.TemporaryDirectory(prefix="ringsim-chaos-") as folder:
        if scenario.source is not None:
            made = {"run.source": scenario.source(Path(folder), options)}
            effective = load(overrides=effective.values() | made)
        twin = run_backtest(_prepared(effective, Path(folder)))
        prepared = _prepared(effective, Path(folder))
        injector = scenario.make(options)
        screen = choose_screen(prepared.instrument, f"chaos {scenario.name}", live=False)
        adopt = isinstance(injector, ParentKiller) and _parent_dies(prepared, injector)
        run = run_pipeline(prepared, screen, injector.each_turn, poll_ms=_POLL_MS, adopt=adopt)
        orphans = [child.pid for child in psutil.Process().children(recursive=True)]
        leaked = sorted(path.name for path in FOLDER.glob(f"{PREFIX}{prepared.run_id}*"))
        stage = f" --stage {options.stage}" if options.stage else ""
        repeat = f"ringsim chaos {scenario.name} --seed {options.seed} --kills {options.kills}{stage}{options.settings}"
        return judge(scenario, options.seed, injector.strikes, injector.planned, run, twin, orphans, leaked, repeat)


def _parent_dies(prepared: Prepared, injector: ParentKiller) -> bool:
    """Begin the run in a process of its own, whose parent is killed. Whether it was, and left its memory to go on with."""
    pid = os.fork()
    if pid == 0:
        try:
            screen = choose_screen(prepared.instrument, "", live=False)
            run_pipeline(prepared, screen, injector.kill_own, poll_ms=_POLL_MS)
        finally:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    if not os.WIFSIGNALED(status):
        return False
    injector.strikes.append(Strike("SIGKILL", "parent", injector.at, time.monotonic_ns()))
    return left_in_memory(prepared.plan) == THERE
