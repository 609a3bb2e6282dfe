"""One scenario from its twin to its verdict, in a folder of its own."""

import os
import shutil
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from procs.chaos.chronicle import Chronicle, detection_ms
from procs.chaos.inject import Closing, Injector, ParentKiller, Strike
from procs.chaos.remains import Descriptors, remains
from procs.chaos.scenario import Options, Scenario
from procs.chaos.scenarios import SCENARIOS
from procs.chaos.verdict import Verdict, judge
from procs.prepare import Prepared, prepare_run
from procs.resume import THERE, left_in_memory
from procs.run import run_backtest, run_pipeline
from procs.screens import choose_screen
from procs.supervisor import Supervisor
from procs.topology import ROLES
from ringsim.config import Effective, load
from ringsim.errors import BadInput
from ringsim.store.runs import new_run_id
from ringsim.summary import INTERRUPTED

ALL = "all"


def chosen(name: str, stage: str | None, *, kills: int | None = None) -> list[Scenario]:
    """The scenarios that a name stands for.

    BadInput, with the names there are, for an unknown scenario or stage, and for an option that the scenario does not heed.
    """
    if stage is not None and stage not in ROLES:
        raise BadInput(f"unknown stage {stage!r}; there are {', '.join(ROLES)}")
    if name == ALL:
        return list(SCENARIOS.values())
    if name not in SCENARIOS:
        raise BadInput(f"unknown scenario {name!r}; there are {', '.join(SCENARIOS)}, {ALL}, list")
    for option, value in (("kills", kills), ("stage", stage)):
        if value is not None and option not in SCENARIOS[name].takes:
            those = [row.name for row in SCENARIOS.values() if option in row.takes]
            raise BadInput(f"{name} takes no --{option}; {', '.join(those)} do")
    return [SCENARIOS[name]]


_POLL_MS = 1  # an injector strikes between two turns: the shorter they are, the more places it hits


def _prepared(effective: Effective, folder: Path) -> Prepared:
    config = effective.config
    run_id = new_run_id(datetime.now(UTC))
    return prepare_run(effective, run_id, out=str(folder / run_id) if config.run.out is None else None, processes=True)


class _Watch:
    """What happens in every turn of the disturbed run's loop: the injector, the chronicle, a count of open files."""

    def __init__(self, injector: Injector) -> None:
        self.injector, self.chronicle, self.descriptors = injector, Chronicle(injector.strikes), Descriptors()
        self.parent: Supervisor | None = None

    def each_turn(self, parent: Supervisor) -> None:
        if self.parent is None:
            self.parent = self.chronicle.run = parent
        self.injector.each_turn(parent)
        self.descriptors.look(parent)

    def detection_ms(self) -> list[float]:
        """Of the faults that cost a stage."""
        return detection_ms(self.injector.strikes, self.parent.losses.all) if self.parent else []


def run_scenario(scenario: Scenario, options: Options, effective: Effective, *, live: bool = False) -> Verdict:
    """Run the twin and the disturbed run, and judge. Nothing of them stays but the verdict.

    live: show the disturbed run in the live view. Raises BadInput for settings that no run can have, KeyboardInterrupt if
    somebody has ended the run: it proves nothing then.
    """
    with tempfile.TemporaryDirectory(prefix="ringsim-chaos-") as folder:
        sound = effective
        if scenario.source is not None:
            made = {"run.source": scenario.source(Path(folder), options, effective.config.run.source)}
            effective = load(overrides=effective.values() | made)
        twin = run_backtest(_prepared(sound if scenario.sound_twin else effective, Path(folder)))
        prepared = _prepared(effective, Path(folder))
        injector = scenario.make(options)
        adopt = isinstance(injector, ParentKiller) and _parent_dies(prepared, injector)
        watch = _Watch(injector)
        title = f"chaos {scenario.name}"
        screen = choose_screen(prepared.instrument, title, live=live, story=watch.chronicle.story)
        try:
            run = run_pipeline(prepared, screen, watch.each_turn, poll_ms=_POLL_MS, adopt=adopt)
        finally:
            if isinstance(injector, Closing):
                injector.close()
        if run["exit_state"] == INTERRUPTED:
            raise KeyboardInterrupt
        left = remains(prepared.run_id, watch.descriptors.grown())
        stage = f" --stage {options.stage}" if options.stage else ""
        kills = f" --kills {options.kills}" if "kills" in scenario.takes else ""
        repeat = f"ringsim chaos {scenario.name} --seed {options.seed}{kills}{stage}{options.settings}"
        found = (injector.strikes, injector.planned, run, twin, left, repeat, watch.detection_ms())
        verdict = judge(scenario, options.seed, *found)
        if effective is not sound:
            shutil.rmtree(prepared.capture.folder, ignore_errors=True)  # made for this run: of no use to any other
    return verdict


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
