"""Latencies: never below their lower bound, the same for the same record."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ringsim.broker.fees import fee_money
from ringsim.broker.latency import (
    LATENCY,
    LatencyModel,
    latency_entry,
    latency_entry_min,
    latency_response,
    latency_response_min,
)
from tests.unit.broker.venue import BUY, MS, Venue


def params(model, entry, response, entry_jitter=0, response_jitter=0, seed=0):
    p = np.zeros(1, LATENCY).view(np.recarray)[0]
    for name, value in zip(LATENCY.names, (model, entry, response, entry_jitter, response_jitter, seed), strict=True):
        p[name] = value
    return p


def test_constant():
    p = params(LatencyModel.CONSTANT, 5, 7, 100, 100)
    assert {latency_entry(p, k) for k in range(50)} == {5} and {latency_response(p, k) for k in range(50)} == {7}


def test_jitter_fills_its_range_and_no_more_and_the_directions_differ():
    p = params(LatencyModel.JITTER, 5, 5, 3, 3, seed=11)
    entry, response = [latency_entry(p, k) for k in range(400)], [latency_response(p, k) for k in range(400)]
    assert set(entry) == set(response) == {5, 6, 7, 8}
    assert min(entry) == latency_entry_min(p) and min(response) == latency_response_min(p)
    assert entry != response
    assert entry == [latency_entry(p, k) for k in range(400)], "no hidden state"
    other = params(LatencyModel.JITTER, 5, 5, 3, 3, seed=12)
    assert entry != [latency_entry(other, k) for k in range(400)]
    counts = [entry.count(v) for v in (5, 6, 7, 8)]
    assert all(60 <= n <= 140 for n in counts), "uniform: 100 each, 4 standard deviations are 35"


def test_the_connection_is_first_in_first_out():
    v = Venue(latency_model=LatencyModel.JITTER, entry_jitter_ns=50 * MS, response_jitter_ns=50 * MS, seed=3)
    v.book(((90, 1),), ((110, 1),))
    sent = []
    for k in range(40):
        v.new(BUY, 40 + k, 1)
        sent.append(v.now)
        v.wait(MS)
    v.wait(200 * MS)
    accepted = [r for r in v.everything if r.get("order_id")]
    assert [r["order_id"] for r in accepted] == list(range(1, 41))
    assert all(r["acted_ns"] - at >= MS for r, at in zip(accepted, sent, strict=True))
    assert v.s.counters.forced_due > 0 and v.s.counters.forced_deliver > 0
    v.close()


@given(px=st.integers(1, 2**30), qty=st.integers(1, 2**19), cbps=st.integers(-10_000, 10_000))
def test_a_fee_is_the_nearest_unit_of_money(px, qty, cbps):
    exact_times_a_million = px * qty * cbps
    assert abs(fee_money(px, qty, cbps) * 1_000_000 - exact_times_a_million) <= 500_000


def test_fees_by_hand():
    assert fee_money(100_000, 10, 200) == 200  # 2 bps of a million
    assert fee_money(1, 2500, 200) == 1 and fee_money(1, 2499, 200) == 0  # a half goes up
    assert fee_money(1, 2500, -200) == 0 and fee_money(1, 2501, -200) == -1
