"""The loop of every stage: hear the parent, work a slice, report.

Python's signal handlers do not run inside a compiled loop, so a slice is bounded. Inside it the stage beats, and leaves it
at once when the parent's epoch changes; what costs time (this loop, about 50 us) happens seldom. A stop is a word on the
control page first, SIGTERM second.

Unless the parent says GO, no slice begins: under the simulated clock time stands still. Realtime clock: a change of the parent's
words becomes an input of the fold, which is journalled like any other.
"""

import contextlib
import logging
import os
import signal
import sys
import time

import numpy as np

from procs.stages.base import StageProgram
from procs.wall import set_wall_clock
from ringsim import control as c
from ringsim.errors import RingsimError
from ringsim.records import ControlCode

_PAUSE_S = 0.0005  # between two looks at the parent's words while standing still, or with nothing left to do
_INPUTS, _FEW_INPUTS = 1 << 14, 16


class Worker:
    """One stage at work. words: the control page."""

    def __init__(
        self,
        program: StageProgram,
        words: np.ndarray,
        *,
        simulated: bool,
        generation: int,
        slice_us: int,
        pause_us: int = 0,
    ) -> None:
        """pause_us: after each slice, which then has few inputs: a simulated run is over in a tenth of a second without."""
        self.program, self.words, self.simulated = program, words, simulated
        self.at = c.block(program.stage)
        self.generation, self.slice_ns = generation, slice_us * 1000
        self.pause_s, self.inputs = pause_us / 1e6, _FEW_INPUTS if pause_us else _INPUTS
        self.heard = {ControlCode.LIFECYCLE: 0, ControlCode.RUN: 0, ControlCode.TRADING: 0}
        self.epoch = -1
        self.stands_still = program.stage is not c.Stage.PERSISTENCE  # the database has no clock
        self.terminated = False

    def say(self, word: int, value: int) -> None:
        self.words[self.at + word] = value

    def run(self) -> None:
        """Work until the parent says STOPPED (or SIGTERM)."""
        signal.signal(signal.SIGTERM, self._terminate)
        self.say(c.S_GENERATION, self.generation)
        self.say(c.S_PID, os.getpid())
        self.say(c.S_STATE, c.StageState.WARM)
        while not self.terminated and self.words[c.P_RUN] != c.RunState.STOPPED:
            now = time.monotonic_ns()
            self.say(c.S_HEARTBEAT_NS, now)
            if self.words[c.P_WALL_STEP_S] != self.words[self.at + c.S_WALL_STEP_S]:
                set_wall_clock(int(self.words[c.P_WALL_STEP_S]))
                self.say(c.S_WALL_STEP_S, int(self.words[c.P_WALL_STEP_S]))
            epoch = int(self.words[c.P_EPOCH])  # before the words that it stands for
            if self.stands_still and not self.words[c.P_GO]:
                self.say(c.S_WAITS, c.WAITS_FOR_PARENT)
                time.sleep(_PAUSE_S)
                continue
            if self.simulated:
                self.epoch = epoch
            elif self.epoch != epoch:
                self._hear(epoch)
            done = self.program.slice(now + self.slice_ns, self.inputs, self.epoch)
            if self._report(done) is c.StageState.DONE:
                time.sleep(
                    _PAUSE_S
                )  # who shares this core may not be done, and would wait for its turn behind this loop
            elif self.pause_s:
                time.sleep(self.pause_s)
        self.program.close()
        self.say(c.S_STATE, c.StageState.DONE)

    def _terminate(self, *_: object) -> None:
        self.terminated = True

    def _hear(self, epoch: int) -> None:
        """Turn changed words of the parent into control inputs; what does not fit now is tried again after the next slice."""
        said = {
            ControlCode.LIFECYCLE: int(self.words[c.P_LIFECYCLE]),
            ControlCode.RUN: int(self.words[c.P_RUN]),
            ControlCode.TRADING: int(self.words[c.P_TRADING]),
        }
        for code, value in said.items():
            if self.heard[code] != value:
                if not self.program.say(int(code), value):
                    return
                self.heard[code] = value
        self.epoch = epoch

    def _report(self, done: int) -> c.StageState:
        inputs, outputs, event_ns, waits = self.program.progress()
        self.say(c.S_INPUTS, inputs)
        self.say(c.S_OUTPUTS, outputs)
        self.say(c.S_EVENT_NS, event_ns)
        self.say(c.S_WAITS, waits)
        self.say(c.S_TRADING, self.program.trading())
        state = c.StageState.DONE if done == 0 and self.program.done() else c.StageState.RUNNING
        self.say(c.S_STATE, state)
        return state


def log_failure(words: np.ndarray, role: str, log: logging.Logger) -> None:
    """Say that this stage failed, and whether a replacement may do better, before it leaves.

    First by two words, for which no memory is needed; then, if there is any, with the traceback.
    """
    error, at = sys.exc_info()[1], c.block(c.stage_of(role))
    words[at + c.S_ERROR] = _kind_of(error)
    words[at + c.S_STATE] = c.StageState.FAILED
    with contextlib.suppress(MemoryError):
        why = str(error) if isinstance(error, RingsimError) else f"{type(error).__name__}: {error}"
        log.exception("%s failed: %s", role, why.partition("\n")[0])


def _kind_of(error: BaseException | None) -> c.StageError:
    if isinstance(error, MemoryError):
        return c.StageError.OUT_OF_MEMORY
    return c.StageError.FATAL if isinstance(error, RingsimError) and error.fatal else c.StageError.FAILED
