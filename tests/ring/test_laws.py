"""Laws of a ring, in one process: it does what the naive ring does, from any sequence on, and every record is accounted for."""

import os

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ringsim.ring import (
    EMPTY,
    FULL,
    LAPPED,
    OK,
    RingSegment,
    available,
    batch_max,
    begin,
    commit,
    lag,
    layout,
    poll,
    publish,
    put,
    release,
    room,
    try_claim,
)
from ringsim.ring.ring import P_FULL, R_LAPS, R_LOST, R_NEXT, Mode
from tests.naive.ring import NaiveRing
from tests.ring.rings import RECORD, WIDTH, fill, is_whole, memory_of, read_in_place, ring_of, word_of

CAPACITIES = (2, 4, 64)
FAR = 2**62  # an int64 sequence that a float64 would spoil, and whose sums still fit
capacities = st.sampled_from(CAPACITIES)
starts = st.sampled_from([0, 1, FAR - 3, FAR - 1, FAR, FAR + 129])
GATING = ["ledger", "audit"]
FREE = {"tape": "oldest", "screen": "newest"}


class Pair:
    """A ring beside its naive twin; every step is taken by both and compared."""

    def __init__(self, segment, gating, start):
        self.segment, self.source = segment, np.zeros(WIDTH, np.int64)
        self.naive = NaiveRing(segment.capacity, gating, FREE, start)
        self.producer = segment.producer()
        self.readers = {name: segment.consumer(name) for name in gating}
        self.readers |= {name: segment.consumer(name, resync=resync) for name, resync in FREE.items()}
        self.start = start

    def write(self, count):
        """`count` whole records that nobody has announced; False if the ring is full."""
        count = min(count, int(batch_max(self.producer)))
        first = try_claim(self.producer, count)
        if not self.naive.has_room(count):
            assert first == FULL
            return False
        assert first == self.naive.written
        for seq in range(first, first + count):
            fill(self.source, 0, seq, WIDTH)
            put(self.producer, seq, self.source, 0)
            assert self.naive.write() == seq
        return count

    def publish(self, count):
        if count := self.write(count):
            publish(self.producer, count)
            self.naive.publish()

    def replace(self, count):
        """The producer dies after writing and before publishing."""
        self.write(count)
        self.producer = self.segment.producer()
        self.naive.replace_producer()

    def read(self, name, count):
        reader, twin = self.readers[name], self.naive.gating[name]
        ready = int(available(reader))
        assert (ready > 0) == (twin.next < self.naive.written) and ready <= self.naive.written - twin.next
        count = min(count, ready)
        assert all(read_in_place(reader, number) for number in range(count))
        assert self.naive.release(name, count) == [*range(reader.at[R_NEXT], reader.at[R_NEXT] + count)]
        release(reader, count)

    def poll(self, name):
        twin, into = self.naive.free[name], np.zeros(WIDTH, np.int64)
        lost = twin.lost
        expected = self.naive.poll(name)
        result = poll(self.readers[name], into, 0)
        if expected is None:
            assert result == EMPTY
        else:
            assert result == (OK if twin.lost == lost else LAPPED | OK)
            assert into[0] == expected + 1 and is_whole(into, 0, expected, WIDTH)
        assert self.readers[name].at[R_LAPS] == twin.laps

    def check(self):
        segment, naive = self.segment, self.naive
        twins = naive.gating | naive.free
        assert segment.published() == naive.published
        assert segment.lag() == {name: naive.pending(name) for name in twins}
        assert segment.lost() == {name: twin.lost for name, twin in twins.items()}
        assert segment.gating_cursors() == {name: twin.next for name, twin in naive.gating.items()}
        slowest = min(naive.gating, key=lambda name: naive.gating[name].next, default=None)
        assert segment.who_gates() == (slowest if slowest and naive.pending(slowest) else None)
        for name, twin in twins.items():
            assert int(lag(self.readers[name])) == naive.pending(name)
            assert len(twin.acked) + twin.lost + naive.pending(name) == naive.published - self.start


steps = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(1, 20)),
        st.tuples(st.just("replace"), st.integers(0, 20)),
        st.tuples(st.just("read"), st.sampled_from(GATING), st.integers(1, 40)),
        st.tuples(st.just("poll"), st.sampled_from(sorted(FREE))),
    ),
    max_size=80,
)


@settings(max_examples=120)
@given(capacity=capacities, start=starts, gating=st.sampled_from([[], GATING[:1], GATING]), steps=steps)
def test_a_ring_does_what_the_naive_one_does(capacity, start, gating, steps):
    consumers: list[tuple[str, Mode]] = [(name, "gating") for name in gating] + [(name, "free") for name in FREE]
    with ring_of(capacity, consumers, start=start) as segment:
        pair = Pair(segment, gating, start)
        for verb, *arguments in steps:
            if verb != "read" or arguments[0] in gating:
                getattr(pair, verb)(*arguments)
            pair.check()


unannounced = st.lists(st.sampled_from(["write", "write", "publish", "poll", "poll"]), max_size=60)


@settings(max_examples=120)
@given(capacity=capacities, start=starts, resync=st.sampled_from(["oldest", "newest"]), steps=unannounced)
@example(capacity=4, start=0, resync="oldest", steps=["write"] * 7 + ["poll"] * 3)
@example(capacity=4, start=FAR, resync="newest", steps=["write"] * 4 + ["publish"] + ["write"] * 3 + ["poll"] * 3)
def test_a_free_reader_of_records_not_yet_published_loses_none_that_is_whole(capacity, start, resync, steps):
    with ring_of(capacity, [("reader", "free")], start=start) as segment:
        producer, reader = segment.producer(), segment.consumer("reader", resync=resync)
        naive = NaiveRing(capacity, [], {"reader": resync}, start)
        source, acked = np.zeros(WIDTH, np.int64), []
        for step in steps:
            if step == "write":
                seq = naive.write()
                fill(source, 0, seq, WIDTH)
                put(producer, seq, source, 0)
            elif step == "publish":
                publish(producer, naive.written - naive.published)
                naive.publish()
            else:
                before, into = int(reader.at[R_NEXT]), np.zeros(WIDTH, np.int64)
                result = poll(reader, into, 0)
                if result & OK:
                    acked.append(int(into[0]) - 1)
                    assert acked[-1] in naive.whole() and is_whole(into, 0, acked[-1], WIDTH)
                    assert (result == OK) == (acked[-1] == before)
                else:
                    assert (result == EMPTY) == (before == naive.written)
                if result & LAPPED:
                    stands_at = int(reader.at[R_NEXT]) - bool(result & OK)
                    assert before not in naive.whole() and stands_at > before
                    if resync == "oldest":
                        assert stands_at <= naive.whole()[0], "a record that is whole was counted as lost"
            assert len(acked) + int(reader.at[R_LOST]) == int(reader.at[R_NEXT]) - start


@pytest.mark.parametrize("start", [0, FAR])
@pytest.mark.parametrize("capacity", CAPACITIES)
def test_a_stamped_record_is_there_before_it_is_published(capacity, start):
    with ring_of(capacity, [("gate", "gating"), ("tape", "free")], start=start) as segment:
        producer, gate, tape = segment.producer(), segment.consumer("gate"), segment.consumer("tape")
        source, into = np.zeros(WIDTH, np.int64), np.zeros(WIDTH, np.int64)
        fill(source, 0, start, WIDTH)
        begin(producer, start)
        assert available(gate) == 0 and poll(tape, into, 0) == EMPTY
        put(producer, start, source, 0)
        assert segment.published() == start
        assert available(gate) == 1 and poll(tape, into, 0) == OK
        release(gate, 1)
        assert segment.lag() == {"gate": 0, "tape": 0} and lag(gate) == 0 and segment.who_gates() is None
        publish(producer, 1)
        assert available(gate) == 0 and poll(tape, into, 0) == EMPTY


@pytest.mark.parametrize("start", [0, FAR - 100])
def test_a_reader_far_behind_is_told_of_everything_at_once(start):
    with ring_of(1024, [("gate", "gating")], start=start) as segment:
        producer, gate = segment.producer(), segment.consumer("gate")

        def write(count):
            for seq in range(segment.published(), segment.published() + count):
                commit(producer, seq)

        write(200)
        assert 0 < available(gate) <= 200, "a run of stamps is believed before it is published"
        for _ in range(3):
            write(200)
            publish(producer, 200)
        assert available(gate) == 600
        release(gate, 250)
        assert available(gate) == 350
        write(200)
        publish(producer, 200)
        release(gate, 350)
        assert available(gate) == 200 and segment.lag() == {"gate": 200}


def test_a_record_is_written_in_place_between_begin_and_commit():
    with ring_of(4, [("gate", "gating")]) as segment:
        producer, gate = segment.producer(), segment.consumer("gate")
        for seq in range(4):
            assert try_claim(producer, 1) == seq
            base = begin(producer, seq)
            assert base == seq * WIDTH and segment.ring.slots[seq].stamp == 0
            segment.ring.slots[seq].words[:] = [word_of(seq, k) for k in range(1, WIDTH)]
            commit(producer, seq)
            publish(producer, 1)
        assert available(gate) == 4 and all(read_in_place(gate, number) for number in range(4))


@pytest.mark.parametrize("start", [0, FAR - 5])
def test_a_record_that_is_being_overwritten_is_lapped_and_not_believed(start):
    with ring_of(2, [("tape", "free")], start=start) as segment:
        producer, tape, into = segment.producer(), segment.consumer("tape"), np.zeros(WIDTH, np.int64)
        for seq in range(start, start + 2):
            commit(producer, seq)
            publish(producer, 1)
        begin(producer, start + 2)
        assert poll(tape, into, 0) == LAPPED | OK
        assert into[0] == start + 2 and tape.at[R_LOST] == 1 and segment.lost() == {"tape": 1}


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("start", [0, FAR - 3])
def test_a_record_overwritten_while_it_is_copied_is_not_believed(monkeypatch, start, whole):
    with ring_of(2, [("tape", "free")], start=start) as segment:
        producer, tape, into = segment.producer(), segment.consumer("tape"), np.zeros(WIDTH, np.int64)
        for seq in range(start, start + 2):
            commit(producer, seq)
            publish(producer, 1)

        def overwrite():
            monkeypatch.undo()
            begin(producer, start + 2)
            if whole:
                commit(producer, start + 2)

        # The plain body is interrupted where only another process could do it: after the copy, before the second look.
        monkeypatch.setattr("ringsim.ring.consumer.fence_acquire", overwrite)
        assert getattr(poll, "py_func", poll)(tape, into, 0) == LAPPED | OK
        assert into[0] == start + 2 and tape.at[R_LOST] == 1 == tape.at[R_LAPS]


@pytest.mark.parametrize("consumers", [[], [("tape", "free")]])
def test_nobody_but_a_gating_reader_fills_a_ring(consumers):
    with ring_of(2, consumers) as segment:
        producer = segment.producer()
        for seq in range(9):
            assert try_claim(producer, 1) == seq and room(producer) == 2
            commit(producer, seq)
            publish(producer, 1)


def test_room_is_what_the_slowest_gating_reader_leaves():
    with ring_of(4, [("a", "gating"), ("b", "gating"), ("c", "free")]) as segment:
        producer, a, b = segment.producer(), segment.consumer("a"), segment.consumer("b")
        for left in (4, 3, 2, 1):
            assert room(producer) == left
            commit(producer, try_claim(producer, 1))
            publish(producer, 1)
        release(a, 3)
        assert room(producer) == 0 and segment.who_gates() == "b"
        release(b, 1)
        assert room(producer) == 1 and segment.who_gates() == "b"
        release(b, 3)
        assert room(producer) == 3 and segment.who_gates() == "a"


def test_a_claim_that_waits_is_counted_once_however_often_it_asks():
    with ring_of(2, [("gate", "gating")]) as segment:
        producer, gate = segment.producer(), segment.consumer("gate")
        for seq in range(3):
            while (claimed := try_claim(producer, 1)) == FULL:
                assert try_claim(producer, 1) == FULL
                release(gate, 1)
            assert claimed == seq
            commit(producer, seq)
            publish(producer, 1)
        assert producer.at[P_FULL] == 1 == segment.ring.header[layout.W_FULL_WAITS]
        assert try_claim(producer, 1) == FULL
        assert producer.at[P_FULL] == 2 == segment.ring.header[layout.W_FULL_WAITS]


@pytest.mark.parametrize(("capacity", "most"), [(2, 1), (4, 1), (8, 2), (64, 16)])
def test_a_batch_is_a_quarter_of_the_ring_or_one_record(capacity, most):
    with ring_of(capacity, []) as segment:
        assert batch_max(segment.producer()) == most


@settings(max_examples=20)
@given(capacity=capacities, start=starts, published=st.integers(0, 70), stamped=st.integers(0, 70))
def test_a_replacement_publishes_what_was_stamped_and_takes_no_old_lap_for_new(capacity, start, published, stamped):
    stamped = min(stamped, capacity - 1)  # with the one begun, the most that any claim allows
    with ring_of(capacity, [], start=start) as segment:
        first = segment.producer()
        for seq in range(start, start + published):
            commit(first, seq)
        publish(first, published)
        for seq in range(start + published, start + published + stamped):
            commit(first, seq)
        begin(first, start + published + stamped)
        replacement = segment.producer()
        assert segment.published() == start + published + stamped == try_claim(replacement, 1)


@settings(max_examples=20)
@given(capacity=st.sampled_from([8, 64]), start=starts, published=st.integers(0, 70), behind=st.integers(1, 15))
def test_a_replacement_takes_back_what_was_stamped_behind_a_record_that_is_not_whole(
    capacity, start, published, behind
):
    """A batch whose first record is written last, killed before that."""
    behind = min(behind, capacity // 4 - 1)
    with ring_of(capacity, [], start=start) as segment:
        first = segment.producer()
        for seq in range(start, start + published):
            commit(first, seq)
        publish(first, published)
        hole = start + published
        for seq in range(hole + 1, hole + 1 + behind):
            commit(first, seq)
        old = segment.ring.words[((hole + behind + 1) & segment.ring.mask) * segment.ring.width]
        segment.producer()
        stamps = [segment.ring.words[(seq & segment.ring.mask) * segment.ring.width] for seq in range(hole, hole + 17)]
        assert segment.published() == hole and stamps[1 : 1 + behind] == [0] * behind
        assert stamps[1 + behind] == old, "what is not of this batch stays as it is"


def test_an_observer_starts_at_the_head_and_leaves_no_trace():
    with ring_of(4, [("gate", "gating")]) as segment:
        producer, into = segment.producer(), np.zeros(WIDTH, np.int64)
        commit(producer, 0)
        publish(producer, 1)
        before = memory_of(segment)
        observer, patient = segment.observer(), segment.observer(resync="oldest")
        assert poll(observer, into, 0) == EMPTY
        assert memory_of(segment) == before
        release(segment.consumer("gate"), 1)
        for seq in range(1, 8):
            commit(producer, seq)
            publish(producer, 1)
            release(segment.consumer("gate"), 1)
        before = memory_of(segment)
        assert poll(observer, into, 0) == LAPPED | OK and into[0] == 8 and observer.at[R_LOST] == 6
        assert poll(patient, into, 0) == LAPPED | OK and into[0] == 5 and patient.at[R_LOST] == 3
        assert memory_of(segment) == before and segment.lost() == {"gate": 0}


def test_a_gating_reader_may_poll_too_and_is_never_lapped():
    with ring_of(2, [("gate", "gating")], start=FAR) as segment:
        producer, gate, into = segment.producer(), segment.consumer("gate"), np.zeros(WIDTH, np.int64)
        for seq in range(FAR, FAR + 9):
            commit(producer, try_claim(producer, 1))
            publish(producer, 1)
            assert poll(gate, into, 0) == OK and into[0] == seq + 1
        assert segment.gating_cursors() == {"gate": FAR + 9}


def test_a_reader_that_comes_back_goes_on_where_it_was():
    with ring_of(2, [("gate", "gating"), ("tape", "free")]) as segment:
        producer, into = segment.producer(), np.zeros(WIDTH, np.int64)
        for _ in range(5):
            commit(producer, try_claim(producer, 1))
            publish(producer, 1)
            release(segment.consumer("gate"), 1)
        assert poll(segment.consumer("tape"), into, 0) == LAPPED | OK and into[0] == 4
        again = segment.consumer("tape")
        assert poll(again, into, 0) == OK and into[0] == 5
        assert again.at[R_LOST] == 3 and again.at[R_LAPS] == 1


def test_a_wide_record_is_copied_whole():
    wide = np.dtype([("stamp", "i8"), ("words", "i8", (15,))])
    assert RECORD.itemsize == 64 and wide.itemsize == 128
    with ring_of(2, [("tape", "free")], dtype=wide) as segment:
        producer, tape = segment.producer(), segment.consumer("tape")
        source, into = np.zeros(20, np.int64), np.zeros(40, np.int64)
        fill(source, 4, 0, 16)
        put(producer, 0, source, 4)
        assert poll(tape, into, 8) == OK
        assert into[8] == 1 and is_whole(into, 8, 0, 16) and not into[:8].any() and not into[24:].any()


def test_what_is_known_to_be_there_is_not_looked_up_again():
    with RingSegment.create(f"ringsim-{os.getpid()}-known", RECORD, 8, [("a", "gating")]) as segment:
        producer, reader, words = segment.producer(), segment.consumer("a"), np.zeros(WIDTH, np.int64)
        for seq in range(3):
            put(producer, try_claim(producer, 1), words, 0)
            publish(producer, 1)
            assert producer.at[0] == seq + 1
        assert available(reader) == 3
        release(reader, 1)
        assert available(reader) == 2
