"""Random numbers: splitmix64's words, uniform below a bound, and a normal number that is normal."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringsim.draws import _mix as mix
from ringsim.draws import below, normal, random_word
from ringsim.kernel import kernel
from tests.naive import draws as naive

SEEDS, STREAMS, SEQS = st.integers(0, 2**63 - 1), st.integers(0, 20), st.integers(0, 2**40)


@given(z=st.integers(0, 2**64 - 1))
def test_the_mix_is_splitmix64s(z):
    assert int(mix(np.uint64(z))) == naive.splitmix64(z)


@given(seed=SEEDS, stream=STREAMS, seq=st.integers(0, 2**62))
def test_the_random_word_in_whole_numbers(seed, stream, seq):
    assert random_word(seed, stream, seq) == naive.random_word(seed, stream, seq)


@given(seed=SEEDS, stream=STREAMS, seq=SEQS, bound=st.integers(1, 2**40))
def test_below_is_below(seed, stream, seq, bound):
    assert below(seed, stream, seq, bound) == naive.random_word(seed, stream, seq) % bound


@given(seed=SEEDS, stream=STREAMS, seq=SEQS)
def test_the_normal_number_is_the_exact_one_to_the_last_bits(seed, stream, seq):
    assert normal(seed, stream, seq) == pytest.approx(naive.normal(seed, stream, seq), rel=1e-14, abs=1e-15)


def test_its_constants_make_sigma_one():
    assert normal(1, 2, 3) / float(naive.deviation(1, 2, 3)) == pytest.approx(float(naive.VARIANCE) ** -0.5, rel=1e-15)


def phi(x):
    return 0.5 * math.erfc(-x / math.sqrt(2))


def test_its_distribution_is_the_normal_one():
    """Exactly, without a sample: the distribution of what is counted, with the filling spread evenly over each step."""
    sigma = float(naive.VARIANCE) ** 0.5
    below_step, worst = 0.0, 0.0
    for count in range(8 * 63 + 1):
        share = math.comb(504, count) / 2**504
        for part in range(11):
            z = (count - 252 - 0.5 + part / 10) / sigma
            worst = max(worst, abs(below_step + share * part / 10 - phi(z)))
        below_step += share
    assert worst < 2e-4


@kernel
def fill(seed, found):
    for k in range(found.size):
        found[k] = normal(seed, 3, k)


@pytest.mark.parametrize("seed", [1, 2**62])
def test_a_sample_of_it_has_the_moments_and_no_memory(seed):
    z = np.zeros(200_000)
    fill(seed, z)
    n = len(z)
    assert abs(z.mean()) < 4 / n**0.5 and abs((z**2).mean() - 1) < 4 * (2 / n) ** 0.5
    assert abs((z**4).mean() - 3) < 4 * (96 / n) ** 0.5
    for lag in (1, 2, 7):
        assert abs((z[lag:] * z[:-lag]).mean()) < 4 / n**0.5
