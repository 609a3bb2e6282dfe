"""Producing and consuming allocates nothing: numba's own counters stand still, and a kernel that allocates does not compile."""

import numpy as np
import pytest
from numba.core.errors import NumbaError
from numba.core.runtime import _nrt_python, rtsys  # type: ignore[attr-defined]

from ringsim.kernel import kernel
from ringsim.ring import OK, available, batch_max, poll, publish, put, release, try_claim
from tests.ring.rings import WIDTH, fill, is_whole, ring_of


@kernel
def pass_through(producer, gate, tape, record, count):
    """Write, read in place and poll `count` records; returns how many came through whole."""
    whole = 0
    while count > 0:
        n = min(count, batch_max(producer))
        first = try_claim(producer, n)
        for seq in range(first, first + n):
            fill(record, 0, seq, WIDTH)
            put(producer, seq, record, 0)
        publish(producer, n)
        for _ in range(available(gate)):
            if poll(tape, record, 0) == OK and is_whole(record, 0, record[0] - 1, WIDTH):
                whole += 1
            release(gate, 1)
        count -= n
    return whole


def allocations(work, *arguments):
    """Allocations of numba's runtime during one call, the arguments' own included."""
    before = rtsys.get_allocation_stats()
    work(*arguments)
    after = rtsys.get_allocation_stats()
    return after.alloc - before.alloc, after.mi_alloc - before.mi_alloc


@pytest.fixture
def counted():
    was = _nrt_python.memsys_stats_enabled()
    _nrt_python.memsys_enable_stats()
    yield
    if not was:
        _nrt_python.memsys_disable_stats()


def test_a_hundred_times_the_records_cost_the_same_allocations(counted):
    with ring_of(64, [("gate", "gating"), ("tape", "free")]) as ring:
        ends = ring.producer(), ring.consumer("gate"), ring.consumer("tape"), np.zeros(WIDTH, np.int64)
        assert pass_through(*ends, 1000) == 1000
        few, many = allocations(pass_through, *ends, 1000), allocations(pass_through, *ends, 100_000)
    assert few == many == (0, 0)


def test_the_counters_would_show_an_allocation(counted):
    assert allocations(rtsys.meminfo_alloc, 64)[0] > 0


def test_a_kernel_that_allocates_does_not_compile():
    @kernel
    def allocates(n):
        return np.zeros(n)[0]

    with pytest.raises(NumbaError, match=r"np\.empty|NRT required"):
        allocates(3)
