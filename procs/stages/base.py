"""What the worker needs of a stage, and what the two stages that fold records have in common."""

import time
from typing import Any, NamedTuple, Protocol

import numpy as np

from procs.stages.working import HasState, Working
from procs.topology import Plan, Segments
from ringsim.atomics import store_release
from ringsim.control import P_START_NS, S_NEXT_NS, block
from ringsim.errors import RingsimError
from ringsim.fold import intake as i
from ringsim.fold.commit import EVERY_NS
from ringsim.fold.intake import Intake, finished
from ringsim.fold.journal import HEAD
from ringsim.fold.outbox import Outbox
from ringsim.fold.rehearsal import ALONE, SHARING, Rehearsal, Script, private_intake, rehearsal
from ringsim.kernel import bound
from ringsim.records import ControlCode, Trading
from ringsim.ring.layout import C_RELEASED
from ringsim.ring.ring import R_LAPS, R_LOST, R_NEXT, R_SEEN
from ringsim.ring.wait import waiter


class RedoMismatch(RingsimError):
    """A redo emitted something else than what was published: the fold is not deterministic, or memory is damaged."""

    fatal = True


class StageProgram(Protocol):
    """One stage's work. Every method returns soon: a slice by its deadline, the others at once."""

    stage: int
    name: str

    def slice(self, until_ns: int, inputs: int, epoch: int) -> int:
        """Work until CLOCK_MONOTONIC until_ns, or `inputs` inputs are done, or the parent's epoch is another.

        Returns how many inputs were done. The slice beats by itself.
        """

    def say(self, code: int, value: int) -> bool:
        """Hand the fold a control event (realtime clock). False: no room now, try again."""

    def done(self) -> bool:
        """Whether nothing is left to do."""

    def progress(self) -> tuple[int, int, int, int]:
        """Inputs taken, outputs published, time of the last input, what it waits for (fold.intake)."""

    def trading(self) -> int:
        """This stage's trading word (records.Trading)."""

    def close(self) -> None:
        """Leave everything whole for whoever reads it next."""


def intake_setup(
    plan: Plan,
    *,
    stage: int,
    peer_words: int,
    market_key: int,
    peer_key: tuple[int, int],
    own_key: tuple[int, int],
    peer_bound_ns: int,
    worst: int,
    lossy: bool,
    triggers: bool,
) -> np.ndarray:
    """The setup words of an intake (see ringsim.fold.intake). stage: its place in the page. peer_words: the peer's two words."""
    setup = np.zeros(i.I_SETUP, np.int64)
    setup[i.I_SIMULATED] = plan.simulated
    setup[i.I_MARKET_KEY] = market_key
    setup[i.I_PEER_KEY], setup[i.I_PEER_ADD_NS] = peer_key
    setup[i.I_OWN_KEY], setup[i.I_OWN_ADD_NS] = own_key
    setup[i.I_PEER_BOUND_NS] = peer_bound_ns
    setup[i.I_WORST] = worst
    setup[i.I_LOSSY] = lossy
    setup[i.I_TRIGGERS] = triggers
    setup[i.I_BLOCK] = block(stage)
    setup[i.I_WORDS] = block(stage) + S_NEXT_NS
    setup[i.I_PEER_WORDS] = peer_words
    return setup


class Practice(NamedTuple):
    """What a stage rehearses with: the script and its twin's state, and what stands for the run's own intake and histograms."""

    twin: Rehearsal
    intake: Intake
    hops: np.ndarray


class FoldStage(HasState):
    """A stage that folds market and peer records into an output ring: the strategy, the execution.

    It works in one of two copies of its state and commits between slices. A replacement begins in a fresh copy of the
    committed one and redoes the journal: see ringsim.fold.commit.
    """

    stage: int
    name: str

    def __init__(
        self, segments: Segments, setup: np.ndarray, *, peer: str, output: str, out: Outbox, script: Script | None
    ) -> None:
        plan, rings = segments.plan, segments.rings
        self.hops, self.out, self.control = segments.hops, out, segments.control
        self.waiter = waiter(plan.waits[self.name])
        self.intake = Intake(
            rings["market"].consumer(self.name, resync="newest"),
            rings[peer].consumer(self.name),
            rings[output].producer(),
            segments.journals[self.name],
            setup,
            segments.control,
            np.zeros(i.A_WORDS, np.int64),
        )
        pace = SHARING if plan.waits[self.name] == "yield" else ALONE
        self.practice = Practice(
            rehearsal(script, segments.copies[self.name].states.dtype, pace),
            private_intake(self.intake),
            np.zeros_like(self.hops),
        )
        self._commit_at = (self.intake.journal.mask + 1) * 3 // 4
        self._finished = bound(finished)
        self.working = Working(segments.copies[self.name], self.control, block(self.stage))
        self.intake.at[i.A_COMMITTED] = self.working.record.pos.journal
        self._recover()

    def _recover(self) -> None:
        """Fold what was journalled after the last commit, then stand where the journal ends."""
        head = int(self.intake.journal.header[HEAD])
        if not self.redo(head):
            raise RedoMismatch(f"{self.name}: redoing the journal gave another output than the published one")
        pos = self.working.record.pos
        if self.intake.setup[i.I_LOSSY]:
            # A record may have been polled and not journalled: the journal decides, and it is polled again.
            at = self.intake.market.at
            at[R_NEXT], at[R_LOST], at[R_LAPS], at[R_SEEN] = pos.market, pos.lost, pos.laps, 0
            store_release(self.intake.market.ring.header, self.intake.market.line + C_RELEASED, pos.market)

    def redo(self, head: int) -> bool:
        """Fold the journal's entries up to `head`; False if an output differs from what was published."""
        raise NotImplementedError

    def work(self, until_ns: int, inputs: int) -> int:
        """The stage's compiled slice."""
        raise NotImplementedError

    def slice(self, until_ns: int, inputs: int, epoch: int) -> int:
        self.intake.at[i.A_EPOCH] = epoch
        done = self.work(until_ns, inputs)
        used = int(self.working.record.pos.journal) - int(self.intake.at[i.A_COMMITTED])
        if used >= self._commit_at or (used and time.monotonic_ns() - self.working.committed_ns > EVERY_NS):
            self.commit()
        return done

    def knows_the_clock(self, known_ns: int) -> bool:
        """Tell the fold when the feed began, as an input of its own; a run that is resumed begins anew. False: no room now.

        known_ns: what the fold was told before.
        """
        start = int(self.control[P_START_NS])
        return start in (0, known_ns) or self.say(int(ControlCode.CLOCK), start)

    def say(self, code: int, value: int) -> bool:
        """Fold a control event as an input of its own; False if there is no room for it now."""
        raise NotImplementedError

    def commit(self) -> None:
        """Make what is folded so far the state that a replacement begins with."""
        position = int(self.working.record.pos.journal)
        self.working.commit(position)
        self.intake.at[i.A_COMMITTED] = position

    def done(self) -> bool:
        s = self.working.record
        return bool(self._finished(self.intake, s.pos, int(s.timer_ns)))

    def progress(self) -> tuple[int, int, int, int]:
        pos: Any = self.working.record.pos
        return int(pos.journal), int(pos.out), int(pos.now_ns), int(self.intake.at[i.A_REASON])

    def trading(self) -> int:
        """Trading.ACTIVE, unless the stage keeps an account."""
        return int(Trading.ACTIVE)

    def close(self) -> None:
        self.commit()
