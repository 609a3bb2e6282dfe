"""Who has a trade at our price, in plain numbers."""

from tests.naive.draws import random_word


def holds(left, other):
    """The level is the larger of the two queues."""
    return left > 0 and left >= other


def others_had(params, left, other, seq):
    """params: BrokerParams."""
    return holds(left, other) and random_word(params.seed, 15, seq) % 100 < params.adverse_pct
