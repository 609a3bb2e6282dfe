"""The reading ends, for kernels. Protocol P1.

Gating: the producer waits for it, so records are read in place until they are released.
Free: nobody waits for it, so a record is copied word by word and believed only if its stamp still stands after the copy:

    P = published (acq), first; x = stamp (acq)
    x == r+1              copy, acquire fence, stamp again: unchanged -> OK, else lapped
    x > r+1, or P > r     lapped
    otherwise             EMPTY

Invariant: acked + lost + pending = published, at every moment, for every reader.
"""

from ringsim.atomics import fence_acquire, load_acquire, load_relaxed, prefetch_read, store_relaxed, store_release
from ringsim.kernel import kernel
from ringsim.ring.layout import C_LAPS, C_LOST, C_RELEASED, W_PUBLISHED
from ringsim.ring.ring import R_LAPS, R_LOST, R_NEWEST, R_NEXT, R_SEEN

EMPTY = 0
OK = 1
LAPPED = 2  # records were lost and none delivered; with OK (LAPPED | OK) one was delivered in the same poll

_RUN = 64  # stamps looked at before `published`: with 8 a ring of 1024 passes a fifth fewer records, one by one
_AHEAD = 6  # records whose lines are on their way from the producer's core while one is copied
_TRIES = 4  # times that one poll runs after a record which a fast producer keeps taking away


@kernel(inline=True)
def available(consumer):
    """Records that a gating consumer can read in place from its next sequence on, int64 >= 0.

    Goes by the stamps of the next records, whose cache lines it needs anyway: `published` is left alone, so that the
    producer keeps that line. Only behind a run of them it is read, because then one word stands for a whole batch.
    """
    ring, at = consumer.ring, consumer.at
    seq = at[R_NEXT]
    ready = at[R_SEEN] - seq
    if ready > 0:
        return ready
    for n in range(_RUN):
        if load_acquire(ring.words, ((seq + n) & ring.mask) * ring.width) != seq + n + 1:
            return n
    seen = load_acquire(ring.header, W_PUBLISHED)
    if seen - seq > _RUN:
        at[R_SEEN] = seen
        return seen - seq
    return _RUN


@kernel(inline=True)
def release(consumer, n):
    """Give the next n records back to the producer; they must not be looked at any more."""
    consumer.at[R_NEXT] += n
    store_release(consumer.ring.header, consumer.line + C_RELEASED, consumer.at[R_NEXT])


@kernel
def _lapped(consumer, head):
    """Move a lapped free reader; count exactly what it lost."""
    at = consumer.at
    oldest = head - (consumer.ring.mask + 1)
    target = head - 1 if at[R_NEWEST] == 1 else oldest
    new = max(at[R_NEXT] + 1, target)
    at[R_LOST] += new - at[R_NEXT]
    at[R_NEXT] = new


@kernel(inline=True)
def poll(consumer, into, start):
    """Copy the next record of a free consumer to words start+1 .. of `into` (int64[:]); word `start` becomes seq + 1.

    Returns EMPTY, OK, LAPPED | OK (records were lost, then this one was delivered) or LAPPED (lost, and the producer was
    too fast to catch one; poll again). The reader's count of lost records is exact and stored in its line.
    """
    ring, at = consumer.ring, consumer.at
    result = EMPTY
    for _ in range(_TRIES):
        seq = at[R_NEXT]
        published = load_acquire(ring.header, W_PUBLISHED)
        base = (seq & ring.mask) * ring.width
        stamp = load_acquire(ring.words, base)
        if stamp == seq + 1:
            if published > seq + _AHEAD:  # never a slot that is still being written
                prefetch_read(ring.words, ((seq + _AHEAD) & ring.mask) * ring.width)
            for k in range(1, ring.width):
                into[start + k] = load_relaxed(ring.words, base + k)
            fence_acquire()
            stamp = load_relaxed(ring.words, base)
            if stamp == seq + 1:
                into[start] = stamp
                at[R_NEXT] = seq + 1
                result |= OK
                break
            published = max(published, seq + 1)
        elif stamp < seq + 1 and published <= seq:
            break
        if result == EMPTY:
            at[R_LAPS] += 1
        result |= LAPPED
        _lapped(consumer, max(published, stamp))
    if result != EMPTY and consumer.line >= 0:
        if result & LAPPED:
            store_relaxed(ring.header, consumer.line + C_LOST, at[R_LOST])
            store_relaxed(ring.header, consumer.line + C_LAPS, at[R_LAPS])
        store_release(ring.header, consumer.line + C_RELEASED, at[R_NEXT])
    return result


@kernel(inline=True)
def lag(consumer):
    """Records published and not yet read by this consumer, int64 >= 0."""
    behind = load_acquire(consumer.ring.header, W_PUBLISHED) - consumer.at[R_NEXT]
    return max(0, behind)
