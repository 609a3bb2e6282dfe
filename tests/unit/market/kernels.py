"""Kernels that reach intrinsics which have no other way to be called from a test."""

from ringsim.kernel import kernel
from ringsim.market.scan import digits8, scan, word64


@kernel
def digits_at(text, i, most):
    """digits8 as compiled."""
    return digits8(scan(text), i, most)


@kernel
def word_at(text, i):
    """word64 as compiled."""
    return word64(scan(text), i)
