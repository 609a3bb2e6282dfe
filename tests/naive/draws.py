"""Random numbers in Python's whole numbers and fractions: splitmix64 as its authors write it, the normal exactly."""

from fractions import Fraction

WORD = 2**64
STEP = 0x9E3779B97F4A7C15


def splitmix64(z):
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % WORD
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % WORD
    return z ^ (z >> 31)


def random_word(seed, stream, seq):
    z = splitmix64((seed + STEP) % WORD)
    z = splitmix64((z + stream * STEP) % WORD)
    z = splitmix64((z + seq * STEP) % WORD)
    return z >> 1


def deviation(seed, stream, seq):
    """The normal number before it is scaled to sigma 1, exact: bits set in eight words and a filling, less their mean."""
    words = [random_word(seed, stream, 9 * seq + k) for k in range(9)]
    return sum(w.bit_count() for w in words[:8]) - 252 + Fraction(words[8] >> 10, 2**53) - Fraction(1, 2)


VARIANCE = Fraction(8 * 63, 4) + Fraction(1, 12)


def normal(seed, stream, seq):
    return float(deviation(seed, stream, seq)) / float(VARIANCE) ** 0.5
