"""A histogram never loses a value, never understates a percentile, and is at most 1/32 too high."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ringsim.telemetry.histogram import BUCKETS, HISTOGRAM, bucket_of, bucket_top, observe, percentile_ns, summarize_us

values = st.one_of(st.integers(0, 200), st.integers(0, 10**7), st.integers(0, (1 << 40) - 1))


def filled(sample):
    h = np.zeros(1, HISTOGRAM).view(np.recarray)[0]
    for value in sample:
        observe(h, value)
    return h


@given(values)
def test_a_bucket_holds_its_value_and_is_narrow(value):
    index = int(bucket_of(value))
    below = bucket_top(index - 1) if index else -1
    assert 0 <= index < BUCKETS
    assert below < value <= bucket_top(index)
    assert bucket_top(index) - value <= value / 32


@settings(max_examples=60, deadline=None)
@given(st.lists(values, min_size=1, max_size=200), st.floats(0.001, 1.0))
def test_a_percentile_is_that_of_the_sorted_values_within_a_bucket(sample, share):
    exact = sorted(sample)[max(1, int(np.ceil(share * len(sample)))) - 1]
    reported = percentile_ns(filled(sample), share)
    assert exact <= reported <= exact + exact / 32
    assert reported <= max(sample)


def test_oracle_p99_of_1_to_100():
    assert percentile_ns(filled(range(1, 101)), 0.99) >= 99


def test_what_lies_outside_is_clamped_and_counted():
    h = filled([-5, 1 << 50])
    assert h.n == 2 and h.max_ns == (1 << 40) - 1 and h.counts[0] == 1


def test_a_summary_of_nothing_is_zeros():
    assert set(summarize_us(filled([])).values()) == {0}
