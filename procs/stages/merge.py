"""The process that merges several strategies' orders into the ring that everybody else reads: ringsim.fold.merge."""

import numpy as np

from procs.stages.base import RedoMismatch
from procs.topology import Segments, desk_name
from ringsim import control as c
from ringsim.broker.latency import latency_entry_min, latency_response_min
from ringsim.fold import merge as m
from ringsim.kernel import bound
from ringsim.records import Trading
from ringsim.ring.layout import W_PUBLISHED
from ringsim.ring.ring import P_NEXT, R_NEXT
from ringsim.ring.wait import waiter


class MergeStage:
    """A StageProgram without a fold: what it knows is in the rings, so a replacement looks there and goes on."""

    stage, name = c.Stage.MERGE, "merge"

    def __init__(self, segments: Segments) -> None:
        plan, count = segments.plan, len(segments.plan.strategies)
        self.control, self.simulated = segments.control, plan.simulated
        self.roles = plan.strategy_roles
        setup = np.zeros(m.M_SETUP, np.int64)
        setup[m.M_SIMULATED], setup[m.M_BLOCK] = plan.simulated, c.block(self.stage)
        setup[m.M_EXECUTION], setup[m.M_STRATEGY] = c.block(c.Stage.EXECUTION), c.block(c.Stage.STRATEGY)
        setup[m.M_BLOCK_WORDS], setup[m.M_MERGED], setup[m.M_LINE] = c.BLOCK_WORDS, c.MERGED, c.LINE
        latency = segments.good("execution").p.latency
        setup[m.M_ENTRY_NS], setup[m.M_RESPONSE_NS] = latency_entry_min(latency), latency_response_min(latency)
        self.merge = m.Merge(
            tuple(segments.rings[desk_name(k)].consumer(self.name) for k in range(count)),
            segments.rings["orders"].producer(),
            segments.rings["reports"].ring,
            segments.control,
            setup,
            np.zeros(m.M_WORDS, np.int64),
            *(np.zeros(count, np.int64) for _ in range(3)),
        )
        if not m.go_on(self.merge):
            raise RedoMismatch("merge: what it took of the strategies is not what it handed on")
        self.waiter = waiter(plan.waits[self.name])
        self._slice = bound(m.merge_slice)

    def slice(self, until_ns: int, inputs: int, epoch: int) -> int:
        self.merge.at[m.M_EPOCH] = epoch
        return int(self._slice(self.merge, self.waiter, until_ns, inputs))

    def say(self, code: int, value: int) -> bool:
        """Orders are merged whatever the operator says."""
        return True

    def done(self) -> bool:
        if any(int(d.ring.header[W_PUBLISHED]) != int(d.at[R_NEXT]) for d in self.merge.desks):
            return False
        if self.simulated:
            return bool(self.merge.at[m.M_IDLE])
        states = (int(self.control[c.block(c.stage_of(role)) + c.S_STATE]) for role in self.roles)
        return all(state == c.StageState.DONE for state in states)

    def progress(self) -> tuple[int, int, int, int]:
        moved = int(self.merge.out.at[P_NEXT])
        return moved, moved, 0, int(self.merge.at[m.M_REASON])

    def trading(self) -> int:
        return int(Trading.ACTIVE)

    def close(self) -> None:
        """All of it is in the rings."""
