"""What screens are told of a ring's records: whatever a record holds, it becomes a line."""

import numpy as np
import pytest

from procs.readmodel import _order_line
from ringsim.records import FEATURES, ORDER, OrderKind


@pytest.mark.parametrize("position", [-(1 << 40), -1, 0, 1, 1 << 40])
def test_a_snapshot_of_any_position_is_a_line(position):
    record = np.zeros(1, FEATURES)
    record["kind"], record["created_ns"], record["position_lots"] = OrderKind.SNAPSHOT, 7, position
    record["volatility"] = record["trade_flow"] = -0.7
    line = _order_line(record.view(ORDER)[0])
    assert (line.time_ns, line.kind, line.reason) == (7, "SNAPSHOT", "NONE")
