"""The state of each stage that folds, by name: what lies in its segment, twice."""

import numpy as np

from ringsim.broker.exchange import BROKER_STATE
from ringsim.market.feed import FEED_STATE
from ringsim.strategy.fold import STRATEGY_STATE

# Whether the feed has ended, and whether because the operator said so: what is open is then expired at once.
ENDS_NOT, ENDED, ENDED_STOPPED = range(3)

# The ingest folds messages, and sequences what the operator says.
INGEST_STATE = np.dtype(
    [
        ("journal", "i8"),  # inputs journalled and folded
        ("out", "i8"),  # sequence of the next market record
        ("commands", "i8"),  # operator's commands sequenced
        ("command_at", "i8"),  # message before which the last one was put
        ("snapshots", "i8"),  # number of the last request answered with a snapshot
        ("answering", "i8"),  # and of the one being answered
        ("snapshot_part", "i8"),  # where the one under way goes on, 0: none
        ("ended", "i8"),  # ENDS_NOT, ENDED or ENDED_STOPPED
        ("recv_ns", "i8"),  # of the last record published, realtime
        ("exch_ns", "i8"),
        ("event_ns", "i8"),  # receive time of the last message, as recorded
        ("feed", FEED_STATE),
    ]
)

STATE_DTYPES = {"ingest": INGEST_STATE, "strategy": STRATEGY_STATE, "execution": BROKER_STATE}
