"""What the two processes of a ring measurement run: every word written, every word checked, a pause where there is nothing.

    stream     one writes as fast as the ring lets it, the other reads
    ping-pong  one record there, one back, over two rings: a round is two hops
    bare       the same with one word each way and nothing around it: the floor

Record seq holds seq + k in word k. The processes meet on the page before a measurement; `began` and `ended` are the same
clock's, so that neither's start-up counts.
"""

from ringsim.atomics import load_acquire, load_relaxed, now_ns, pause, store_relaxed, store_release
from ringsim.kernel import kernel
from ringsim.ring import FULL, available, begin, commit, publish, release, try_claim
from ringsim.ring.ring import R_NEXT

# The page, int64: words of different writers are two cache lines apart.
LINE = 16
READY = (0, LINE)  # how many measurements each process has come to
BEGAN, ENDED, WRONG = 2 * LINE, 3 * LINE, 4 * LINE  # WRONG: and a word for each process
THERE, BACK = 6 * LINE, 7 * LINE  # the bare ping-pong's words
PAGE_WORDS = 8 * LINE

WORDS = 8  # of a record: 64 bytes


@kernel
def meet(page, mine, other, number):
    """Wait until the other process has come to measurement `number` too."""
    store_release(page, mine, number)
    while load_acquire(page, other) < number:
        pause()


@kernel(inline=True)
def write(producer, seq):
    """Record seq, its words straight into its slot."""
    words = producer.ring.words
    base = begin(producer, seq)
    for k in range(1, WORDS):
        store_relaxed(words, base + k, seq + k)
    commit(producer, seq)


@kernel(inline=True)
def wrong_words(consumer, seq):
    """How many words of record seq, in its slot, are not what was written; the stamp is one of them."""
    words, base = consumer.ring.words, (seq & consumer.ring.mask) * WORDS
    # Word by word: plain loads are gathered from eight records at once, which is slower than the ring.
    wrong = int(load_relaxed(words, base) != seq + 1)
    for k in range(1, WORDS):
        wrong += int(load_relaxed(words, base + k) != seq + k)
    return wrong


@kernel(inline=True)
def claim(producer, count):
    """The sequence of `count` slots, as soon as there is room."""
    seq = try_claim(producer, count)
    while seq == FULL:
        pause()
        seq = try_claim(producer, count)
    return seq


@kernel(inline=True)
def send(producer):
    """One record, announced."""
    write(producer, claim(producer, 1))
    publish(producer, 1)


@kernel
def stream_out(page, producer, count):
    """Write `count` records, each announced by itself."""
    store_release(page, BEGAN, now_ns())
    for _ in range(count):
        send(producer)


@kernel
def batches_out(page, producer, count, batch):
    """Write `count` records, a multiple of batch, announced `batch` at a time."""
    store_release(page, BEGAN, now_ns())
    for _ in range(count // batch):
        first = claim(producer, batch)
        for seq in range(first, first + batch):
            write(producer, seq)
        publish(producer, batch)


@kernel
def stream_in(page, consumer, count):
    """Read `count` records in place, whatever is there at a time. Returns the words that were wrong."""
    wrong, end = 0, consumer.at[R_NEXT] + count
    while consumer.at[R_NEXT] < end:
        ready = available(consumer)
        if ready == 0:
            pause()
            continue
        first = consumer.at[R_NEXT]
        for seq in range(first, first + ready):
            wrong += wrong_words(consumer, seq)
        release(consumer, ready)
    store_release(page, ENDED, now_ns())
    return wrong


@kernel(inline=True)
def receive(consumer):
    """One record, as soon as it is there. Returns the words that were wrong."""
    while available(consumer) == 0:
        pause()
    wrong = wrong_words(consumer, consumer.at[R_NEXT])
    release(consumer, 1)
    return wrong


@kernel
def ping(page, producer, consumer, rounds):
    """Send a record, wait for the answer. Returns the words that were wrong."""
    wrong = 0
    store_release(page, BEGAN, now_ns())
    for _ in range(rounds):
        send(producer)
        wrong += receive(consumer)
    store_release(page, ENDED, now_ns())
    return wrong


@kernel
def pong(page, producer, consumer, rounds):
    """Wait for a record, answer it. Returns the words that were wrong."""
    wrong = 0
    for _ in range(rounds):
        wrong += receive(consumer)
        send(producer)
    return wrong


@kernel
def bare_ping(page, rounds):
    """Set a word, wait for the other process to set its own."""
    base = load_acquire(page, THERE)
    store_release(page, BEGAN, now_ns())
    for number in range(base + 1, base + rounds + 1):
        store_release(page, THERE, number)
        while load_acquire(page, BACK) != number:
            pause()
    store_release(page, ENDED, now_ns())


@kernel
def bare_pong(page, rounds):
    """Answer a word by a word."""
    base = load_acquire(page, BACK)
    for number in range(base + 1, base + rounds + 1):
        while load_acquire(page, THERE) != number:
            pause()
        store_release(page, BACK, number)
