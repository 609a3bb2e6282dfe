"""On the shipped market data the compiled stage sends what the naive one sends, to the record."""

import numpy as np

from ringsim.broker.exchange import broker_init
from ringsim.config import Config
from ringsim.market.capture import prepare
from ringsim.market.feed import fold_capture
from ringsim.market.source import open_source
from ringsim.pipeline import Pipeline
from ringsim.records import ACCOUNT, FEATURES, OrderKind
from ringsim.strategy.fold import strategy_init
from ringsim.wiring import broker_params, strategy_params
from tests.naive.strategy import NaiveStrategy
from tests.unit.strategy.stage import PLAIN, agree_on_features


def run(events, strategy, broker):
    """Orders (as they lie in the ring) and reports of the whole session."""
    pipeline = Pipeline(strategy_init(strategy), broker_init(broker), events, broker.entry_ns)
    parts = list(pipeline.run())
    return [np.concatenate([part[k] for part in parts]).view(np.recarray) for k in (1, 3)]


def replay(events, reports, params):
    """The naive stage over the same inputs: market before reports before timers, by time."""
    stage = NaiveStrategy(params)
    accounts = reports.view(ACCOUNT).view(np.recarray)
    sent, market, peer = [], 0, 0
    while True:
        market_ns = events[market].recv_ns if market < len(events) else 1 << 62
        peer_ns = reports[peer].deliver_ns if peer < len(reports) else 1 << 62
        now = min(market_ns, peer_ns, stage.timer_ns)
        if now >= 1 << 62:
            return sent
        if now == market_ns:
            sent += stage.on_market(events[market], market, int(now))
            market += 1
        elif now == peer_ns:
            sent += stage.on_report(reports[peer], accounts[peer], int(now))
            peer += 1
        else:
            sent += stage.on_timer(int(now))


def first_seconds(events, seconds):
    """The session's beginning, with its end of the feed."""
    count = int(np.searchsorted(events.recv_ns, events.recv_ns[0] + int(seconds * 1e9)))
    cut = np.concatenate([events[:count], events[-1:]]).view(np.recarray)
    cut.recv_ns[-1], cut.exch_ns[-1] = cut.recv_ns[-2], cut.exch_ns[-2]
    return cut


def test_the_shipped_session_gives_the_same_orders():
    capture = prepare(open_source("sample"))
    events = first_seconds(fold_capture(capture)[0], 25)
    params = strategy_params(Config(), capture.meta.instrument)
    orders, reports = run(events, params, broker_params(Config(), capture.meta.instrument))
    expected = replay(events, reports, params)
    assert len(orders) == len(expected)
    for found, wanted in zip(orders, expected, strict=True):
        if found.kind == OrderKind.SNAPSHOT:
            agree_on_features(found.view(FEATURES), dict(wanted))
        else:
            assert {n: int(found[n]) for n in PLAIN if found[n]} == {n: int(v) for n, v in wanted.items() if v}
    counts = np.bincount(orders.kind, minlength=9)
    assert min(counts[[OrderKind.NEW, OrderKind.CANCEL, OrderKind.SIGNAL, OrderKind.SNAPSHOT]]) > 1
