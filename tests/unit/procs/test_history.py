"""Which event a realtime record speaks of, and when each event arrived on the run's clock."""

import random

import numpy as np
import pytest

from procs import history
from procs.history import Market, NoMarket
from ringsim.records import MARKET_EVENT, ORDER

SPEEDS = [(1, 1), (7, 2), (1, 3)]


def feed(seed, speed, pauses=1):
    """Events of the capture's clock, and when each arrived on the run's: by the schedule, standing still now and then."""
    chance = random.Random(seed)
    events = np.zeros(400, MARKET_EVENT)
    events["recv_ns"] = 10**18 + np.cumsum([chance.choice([0, 0, chance.randint(1, 10**9)]) for _ in events])
    events["exch_ns"] = events["recv_ns"] - 1_000_000
    offsets = (events["recv_ns"] - events["recv_ns"][0]) * speed[1] // speed[0]
    arrived, lead = np.zeros(len(events), np.int64), 5_000_000_000
    stops = set(chance.sample(range(50, 350), pauses))
    for k, offset in enumerate(offsets.tolist()):
        lead += 3_000_000_000 if k in stops else 0
        arrived[k] = lead + offset
    return events, arrived, stops


def anchors(monkeypatch, events, speed, triggers, *, realtime=True, published=None):
    """Of a database whose orders have these triggers: (seq, arrival)."""
    records = np.zeros(len(triggers), ORDER)
    records["trigger_seq"], records["trigger_ns"] = zip(*triggers, strict=True)
    parts = np.array_split(records, 3)
    monkeypatch.setattr(history, "read_records", lambda connection, ring: iter([(0, part) for part in parts]))
    return Market(events, speed, realtime, *history._anchors(events, speed, realtime, None, published))


def triggers_of(seed, arrived, count=60):
    return [(k, int(arrived[k])) for k in sorted(random.Random(seed).choices(range(len(arrived)), k=count))]


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_arrivals_are_known_again_but_between_a_pause_and_the_next_record(monkeypatch, seed, speed):
    events, arrived, stops = feed(seed, speed)
    triggers = triggers_of(seed, arrived)
    market = anchors(monkeypatch, events, speed, triggers)
    found = market.arrivals_ns(np.arange(len(events)))
    recorded = [seq for seq, _ in triggers]
    for k, (a, b) in enumerate(zip(found.tolist(), arrived.tolist(), strict=True)):
        told = any(stop <= seq <= k for stop in stops for seq in recorded) or k < min(stops)
        if told and k >= recorded[0]:
            assert abs(a - b) <= 5, k
    assert (market.exchange_ns() == found).all() and len(market.anchor_seqs) <= 1 + len(stops)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_sequences_that_are_not_those_of_the_inputs_are_noticed(monkeypatch, seed):
    """A snapshot that a reader asked for brought more events from some point on."""
    events, arrived, _ = feed(seed, (2, 1), pauses=0)
    triggers = triggers_of(seed, arrived[:300])
    moved = [(seq + (40 if seq > 150 else 0), when) for seq, when in triggers]
    anchors(monkeypatch, events, (2, 1), triggers)
    with pytest.raises(NoMarket, match="asked for a snapshot"):
        anchors(monkeypatch, events, (2, 1), moved)


def test_a_simulated_trigger_must_be_the_event_that_arrived_then(monkeypatch):
    events, _, _ = feed(1, (1, 1))
    triggers = triggers_of(1, events["recv_ns"])
    market = anchors(monkeypatch, events, (1, 1), triggers, realtime=False)
    assert (market.exchange_ns() == events["exch_ns"]).all()
    wrong = [*triggers[:-1], (triggers[-1][0], triggers[-1][1] + 1)]
    with pytest.raises(NoMarket, match=f"event {triggers[-1][0]} of the market arrived at"):
        anchors(monkeypatch, events, (1, 1), wrong, realtime=False)


def test_at_full_speed_the_number_of_events_decides_and_times_are_not_known(monkeypatch):
    events, arrived, _ = feed(1, (1, 1))
    triggers = triggers_of(1, arrived)
    market = anchors(monkeypatch, events, (0, 1), triggers, published=len(events))
    assert market.exchange_ns() is None
    seqs = np.array([seq for seq, _ in triggers])
    assert np.abs(market.arrivals_ns(seqs) - arrived[seqs]).max() <= 5
    for published in (len(events) + 1, None):
        with pytest.raises(NoMarket, match="at full speed"):
            anchors(monkeypatch, events, (0, 1), triggers, published=published)


def test_a_record_beyond_the_end_is_noticed(monkeypatch):
    events, arrived, _ = feed(1, (1, 1))
    with pytest.raises(NoMarket, match="went on to event 400"):
        anchors(monkeypatch, events, (1, 1), [(400, int(arrived[-1]) + 1)])
