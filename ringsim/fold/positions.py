"""How far a stage has come: part of its state, so that a committed copy says where to go on.

Streams: MARKET and PEER (reports for the strategy, orders for the broker) are rings; TIMER is the state's own next time;
CONTROL is what the parent said (realtime only); LOST stands for market records that a lossy reader missed.
"""

import numpy as np

MARKET, PEER, TIMER, CONTROL, LOST = range(5)
NOTHING = -1

POSITIONS = np.dtype(
    [
        ("journal", "i8"),  # inputs journalled and folded
        ("market", "i8"),  # sequence of the next market record
        ("peer", "i8"),  # sequence of the next peer record
        ("market_key", "i8"),  # key of the last market record: no later one may be smaller
        ("peer_key", "i8"),
        ("forced", "i8"),  # keys that had to be raised to keep their stream's order
        ("out", "i8"),  # sequence of the next output
        ("now_ns", "i8"),  # the time handed in with the last input
        ("lost", "i8"),  # market records missed
        ("laps", "i8"),
        ("ended", "i8"),  # 1: the market said END_OF_FEED
    ]
)
