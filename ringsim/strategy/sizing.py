"""How large an entry order is: a fraction of what the limits still allow, so that it shrinks as the position grows."""

from ringsim.kernel import kernel

WHOLE_PPM = 1_000_000


@kernel
def entry_lots(headroom_lots, fraction_ppm):
    """Lots to ask for.

    headroom_lots: what the smallest limit allows, >= 0, at most 2**40. fraction_ppm: 1..1,000,000.
    Rounded down, but at least 1: where the limits allow nothing, risk gets to say which one.
    """
    return max(1, headroom_lots * fraction_ppm // WHOLE_PPM)
