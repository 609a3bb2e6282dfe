"""What the worker needs of a stage, and what the two stages that fold records have in common."""

from typing import Protocol

import numpy as np

from procs.topology import Plan, Segments
from ringsim.control import S_NEXT_NS, Stage, block
from ringsim.fold import intake as i
from ringsim.fold.intake import Intake, finished
from ringsim.fold.outbox import Outbox
from ringsim.records import Trading
from ringsim.ring.wait import waiter


class StageProgram(Protocol):
    """One stage's work. Every method returns soon: a slice by its deadline, the others at once."""

    stage: Stage
    name: str

    def slice(self, until_ns: int, inputs: int) -> int:
        """Work until CLOCK_MONOTONIC until_ns, or `inputs` inputs are done; returns how many were."""

    def say(self, code: int, value: int) -> bool:
        """Hand the fold a control event (realtime clock). False: no room now, try again."""

    def done(self) -> bool:
        """Whether nothing is left to do."""

    def progress(self) -> tuple[int, int, int, int]:
        """Inputs taken, outputs published, time of the last input, what it waits for (fold.intake)."""

    def trading(self) -> int:
        """This stage's trading word (records.Trading)."""

    def close(self) -> None:
        """Flush what is not shared memory."""


def intake_setup(
    plan: Plan,
    *,
    stage: Stage,
    peer: Stage,
    market_key: int,
    peer_key: tuple[int, int],
    own_key: tuple[int, int],
    peer_bound_ns: int,
    worst: int,
    lossy: bool,
    triggers: bool,
) -> np.ndarray:
    """The setup words of an intake (see ringsim.fold.intake)."""
    setup = np.zeros(i.I_SETUP, np.int64)
    setup[i.I_SIMULATED] = plan.simulated
    setup[i.I_MARKET_KEY] = market_key
    setup[i.I_PEER_KEY], setup[i.I_PEER_ADD_NS] = peer_key
    setup[i.I_OWN_KEY], setup[i.I_OWN_ADD_NS] = own_key
    setup[i.I_PEER_BOUND_NS] = peer_bound_ns
    setup[i.I_WORST] = worst
    setup[i.I_LOSSY] = lossy
    setup[i.I_TRIGGERS] = triggers
    setup[i.I_WORDS] = block(stage) + S_NEXT_NS
    setup[i.I_PEER_WORDS] = block(peer) + S_NEXT_NS
    return setup


class FoldStage:
    """A stage that folds market and peer records into an output ring: the strategy, the execution."""

    stage: Stage
    name: str

    def __init__(
        self, segments: Segments, setup: np.ndarray, *, market: str, peer: str, output: str, out: Outbox
    ) -> None:
        plan, rings = segments.plan, segments.rings
        self.state = segments.state(self.name)
        self.hops = segments.hops
        self.out = out
        self.control = segments.control
        self.waiter = waiter(plan.waits[self.name])
        self.intake = Intake(
            rings[market].consumer(self.name),
            rings[peer].consumer(self.name),
            rings[output].producer(),
            segments.journals[self.name],
            setup,
            segments.control,
            np.zeros(i.A_WORDS, np.int64),
        )

    def done(self) -> bool:
        s = self.state[0]
        return bool(finished(self.intake, s.pos, int(s.timer_ns)))

    def progress(self) -> tuple[int, int, int, int]:
        pos = self.state[0].pos
        return int(pos.journal), int(pos.out), int(pos.now_ns), int(self.intake.at[i.A_REASON])

    def trading(self) -> int:
        """Trading.ACTIVE, unless the stage keeps an account."""
        return int(Trading.ACTIVE)

    def close(self) -> None:
        """Nothing to flush: everything is in shared memory."""
