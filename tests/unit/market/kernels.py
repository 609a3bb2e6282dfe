"""Kernels that reach intrinsics which have no other way to be called from a test."""

from ringsim.kernel import kernel
from ringsim.market.scan import digits8, scan


@kernel
def digits_at(text, i, most):
    """digits8 as compiled."""
    return digits8(scan(text), i, most)
