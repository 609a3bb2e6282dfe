"""Random numbers without a state: each depends on its arguments alone, so a redo and another machine draw the same.

    random_word(seed, stream, seq)      a random int64 >= 0; streams are independent sequences of one seed
    below(seed, stream, seq, bound)     uniform on 0..bound - 1
    normal(seed, stream, seq)           N(0, 1), by basic operations alone: libm may differ between machines

The normal is a binomial one: the bits set in eight words, and a ninth word that fills the steps between whole numbers. Its
kurtosis is 3 - 2/504; it never goes beyond 22.5, and agrees with N(0, 1) to within 2e-4 of probability.
"""

import numpy as np

from ringsim.bits import bits_set
from ringsim.kernel import kernel

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_STEP, _MIX1, _MIX2 = (np.uint64(c) for c in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
_SHIFT1, _SHIFT2, _SHIFT3 = np.uint64(30), np.uint64(27), np.uint64(31)
_TOP = np.uint64(1)


@kernel
def _add(a, b):
    """(a + b) mod 2**64 of uint64, by halves: the plain body would warn of an overflow that is meant."""
    low = (a & _LOW) + (b & _LOW)
    high = ((a >> _HALF) + (b >> _HALF) + (low >> _HALF)) & _LOW
    return (high << _HALF) | (low & _LOW)


@kernel
def _multiply(a, b):
    """(a * b) mod 2**64 of uint64, by halves."""
    low = (a & _LOW) * (b & _LOW)
    cross = (((a >> _HALF) * (b & _LOW)) & _LOW) + (((a & _LOW) * (b >> _HALF)) & _LOW)
    high = ((low >> _HALF) + cross) & _LOW
    return (high << _HALF) | (low & _LOW)


@kernel
def _mix(z):
    """The finaliser of splitmix64 (Steele, Lea, Flood 2014)."""
    z = _multiply(z ^ (z >> _SHIFT1), _MIX1)
    z = _multiply(z ^ (z >> _SHIFT2), _MIX2)
    return z ^ (z >> _SHIFT3)


@kernel
def random_word(seed, stream, seq):
    """A random int64 >= 0 that depends on nothing but its arguments, int64 >= 0 each."""
    z = _mix(_add(np.uint64(seed), _STEP))
    z = _mix(_add(z, _multiply(np.uint64(stream), _STEP)))
    z = _mix(_add(z, _multiply(np.uint64(seq), _STEP)))
    return np.int64(z >> _TOP)


@kernel
def below(seed, stream, seq, bound):
    """Uniform on 0..bound - 1. bound: int64 >= 1. The modulo's bias is below bound / 2**63."""
    return random_word(seed, stream, seq) % bound


_WORDS = 9  # words of one normal number: eight are counted, one fills the steps
_MEAN = 8 * 63 / 2
_PER_SIGMA = 0.08905763522908924  # 1 / sqrt(8 * 63 / 4 + 1 / 12): the binomial's variance, and the filling's
_UNIT = 1.1102230246251565e-16  # 2**-53
_FINE = 10  # bits of a word that a float64 has no room for


@kernel
def normal(seed, stream, seq):
    """A number of the standard normal distribution, float64. seq: int64 >= 0; each has words of its own."""
    count = 0
    for k in range(_WORDS - 1):
        count += bits_set(random_word(seed, stream, seq * _WORDS + k))
    filling = (random_word(seed, stream, seq * _WORDS + _WORDS - 1) >> _FINE) * _UNIT
    return (count - _MEAN + (filling - 0.5)) * _PER_SIGMA
