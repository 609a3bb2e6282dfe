"""What a compiled slice does between two inputs beside its work: it beats, says how far it is, and listens.

So a slice may be long (the Python around it costs about 80 us, in which its inputs wait) and still ends within one input
once the parent has something to say.
"""

from ringsim.atomics import load_relaxed, store_relaxed
from ringsim.control import P_EPOCH, S_HEARTBEAT_NS, S_INPUTS
from ringsim.kernel import kernel


@kernel(inline=True)
def called(control, at, epoch, now, inputs):
    """Between two inputs of a compiled slice: beat, and hear whether the parent has said something since `epoch`.

    at: the stage's block. epoch: P_EPOCH as the caller read it before the words that it acts on. now: CLOCK_MONOTONIC ns.
    inputs: how many the stage has taken so far.
    """
    store_relaxed(control, at + S_HEARTBEAT_NS, now)
    store_relaxed(control, at + S_INPUTS, inputs)
    return load_relaxed(control, P_EPOCH) != epoch
