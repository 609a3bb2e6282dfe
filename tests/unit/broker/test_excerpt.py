"""On the shipped market data, with the orders of the shipped strategy, the exchange reports what the naive one reports."""

import numpy as np
import pytest

from ringsim.broker.exchange import broker_init
from ringsim.broker.queue import QueueModel
from ringsim.config import Config
from ringsim.ledger import ledger_check
from ringsim.market.capture import prepare
from ringsim.market.feed import fold_capture
from ringsim.market.source import open_source
from ringsim.pipeline import Pipeline
from ringsim.records import ACCOUNT, MARKET_EVENT, NEVER_NS, ORDER, ReportKind
from ringsim.strategy.fold import strategy_init
from ringsim.wiring import broker_params, strategy_params
from tests.naive.broker import NaiveBroker
from tests.unit.broker.venue import told


def as_dict(record):
    return {name: record[name].item() for name in record.dtype.names if name not in ("stamp", "pad", "pad2", "spare")}


def replay(events, orders, params):
    """The naive exchange over the same inputs: market before orders before timers, by exchange time."""
    venue, reports, market, peer, now = NaiveBroker(params), [], 0, 0, 0
    while True:
        market_ns = max(now, int(events[market].exch_ns)) if market < len(events) else NEVER_NS
        order_ns = int(orders[peer].created_ns) + params.entry_ns if peer < len(orders) else NEVER_NS
        now = min(market_ns, order_ns, venue.timer_ns)
        if now >= NEVER_NS:
            return venue, reports
        if now == market_ns:
            reports += venue.market(as_dict(events[market]), market, now)
            market += 1
        elif now == order_ns:
            reports += venue.order(as_dict(orders[peer]), now)
            peer += 1
        else:
            reports += venue.timer(now)


@pytest.mark.parametrize("model", [QueueModel.RISK_AVERSE, QueueModel.POWER])
def test_the_shipped_session_gives_the_same_reports(model):
    capture = prepare(open_source("sample"))
    events = fold_capture(capture)[0]
    params = broker_params(Config(), capture.meta.instrument)
    params = type(params)(**{f: getattr(params, f) for f in params.__struct_fields__} | {"queue_model": model})
    pipeline = Pipeline(
        strategy_init(strategy_params(Config(), capture.meta.instrument)), broker_init(params), events, params.entry_ns
    )
    parts = list(pipeline.run())
    orders, reports = (np.concatenate([part[k] for part in parts]).view(np.recarray) for k in (1, 3))

    venue, expected = replay(events.view(MARKET_EVENT), orders.view(ORDER), params)
    assert len(reports) == len(expected)
    for record, wanted in zip(reports, expected, strict=True):
        found = record.view(ACCOUNT) if record.kind == ReportKind.ACCOUNT else record
        assert told(as_dict(found)) == told(wanted)
    counts = np.bincount(reports.kind, minlength=11)
    print(counts)
    assert min(counts[[ReportKind.ACCEPTED, ReportKind.FILL, ReportKind.CANCELLED, ReportKind.ACCOUNT]]) > 1
    state = pipeline.broker_state[0]
    assert ledger_check(state.ledger, state.mark_ticks) and state.ledger.cash == venue.ledger.cash
