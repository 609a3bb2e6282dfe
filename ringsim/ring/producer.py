"""The writing end, for kernels. Protocol P1:

    room:    seq + n - min(gating cursors) <= capacity        (cursors cached, read again when the ring seems full)
    record:  stamp <- 0; release fence; payload words (relaxed); stamp <-rel seq + 1
    batch:   published <-rel seq + n          (its records in any order: readers that wait, wait at the first one's stamp)

Invariant: a record is whole for every reader that sees its stamp; `published` never passes a record without one.
Never waits: a full ring is an answer (FULL), and the caller decides how to wait.
"""

from ringsim.atomics import fence_release, load_acquire, store_relaxed, store_release
from ringsim.kernel import kernel
from ringsim.limits import BATCH_SHARE
from ringsim.ring.layout import (
    C_MODE,
    C_RELEASED,
    GATING,
    LINE,
    W_CONSUMER_0,
    W_CONSUMERS,
    W_PUBLISHED,
)
from ringsim.ring.ring import P_FULL, P_GATE, P_NEXT, P_REFUSED

FULL = -1


@kernel
def slowest_cursor(ring, published):
    """Smallest released cursor (acquire) of the gating consumers; `published` if there are none. int64."""
    slowest = published
    for k in range(ring.header[W_CONSUMERS]):
        line = W_CONSUMER_0 + k * LINE
        if ring.header[line + C_MODE] == GATING:
            cursor = load_acquire(ring.header, line + C_RELEASED)
            if cursor - slowest < 0:
                slowest = cursor
    return slowest


@kernel
def room(producer):
    """Free slots right now, int64 0..capacity; looks at every gating cursor."""
    at = producer.at
    at[P_GATE] = slowest_cursor(producer.ring, at[P_NEXT])
    return producer.ring.mask + 1 - (at[P_NEXT] - at[P_GATE])


@kernel(inline=True)
def batch_max(producer):
    """Largest n that try_claim takes: max(1, capacity / 4)."""
    return max(1, (producer.ring.mask + 1) // BATCH_SHARE)


@kernel
def refused(producer):
    """What is to be written next does not fit: counted once, however often it is asked."""
    at = producer.at
    if at[P_REFUSED] != at[P_NEXT] + 1:
        at[P_REFUSED] = at[P_NEXT] + 1
        at[P_FULL] += 1


@kernel
def _has_room(producer, n):
    """Look at the gating cursors again: whether n records fit."""
    if n <= room(producer):
        return True
    refused(producer)
    return False


@kernel(inline=True)
def fits(producer, n):
    """Whether n records fit now, n >= 1. Looks at the gating cursors only if it is not known already."""
    return producer.at[P_NEXT] + n - producer.at[P_GATE] <= producer.ring.mask + 1 or _has_room(producer, n)


@kernel(inline=True)
def try_claim(producer, n):
    """Sequence of the first of n slots to write, or FULL if a gating consumer still needs one of them.

    n: 1..batch_max; more than the capacity is FULL for ever. Claims nothing that would have to be given back: a claim not
    followed by `publish` is simply made again.
    """
    if not fits(producer, n):
        return FULL
    return producer.at[P_NEXT]


@kernel(inline=True)
def begin(producer, seq):
    """Open slot `seq` for writing: readers of its last lap see that it is gone. Returns its first word's index."""
    ring = producer.ring
    base = (seq & ring.mask) * ring.width
    store_relaxed(ring.words, base, 0)
    fence_release()
    return base


@kernel(inline=True)
def commit(producer, seq):
    """Stamp slot `seq`: from here on the record is whole, and survives its writer's death."""
    ring = producer.ring
    store_release(ring.words, (seq & ring.mask) * ring.width, seq + 1)


@kernel(inline=True)
def put(producer, seq, source, start):
    """Write one record: words start+1 .. start+width-1 of `source` (int64[:]) go to slot `seq`, then its stamp."""
    ring = producer.ring
    base = begin(producer, seq)
    for k in range(1, ring.width):
        store_relaxed(ring.words, base + k, source[start + k])
    commit(producer, seq)


@kernel(inline=True)
def publish(producer, n):
    """Make the n records written since the last publish visible to readers that go by `published`."""
    store_release(producer.ring.header, W_PUBLISHED, producer.at[P_NEXT] + n)
