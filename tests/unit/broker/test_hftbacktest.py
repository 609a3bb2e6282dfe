"""The same orders on the same events through our exchange and through hftbacktest's: the same fills.

Whole fills: every order ends the same way, at the same price, in the same quantity, at the same exchange time; apart from
orders that only we refuse (they would trade with an own order, or are one too many). Partial fills: the same until that
program does what a venue does not. docs/reliability.md names each difference; here it has to be one of those.
"""

from collections import Counter

import numpy as np
import pytest

from ringsim.broker.delays import delay_table
from ringsim.broker.latency import LatencyModel
from ringsim.broker.queue import QueueModel
from ringsim.limits import TAKEN_LEVELS
from ringsim.market.capture import prepare
from ringsim.market.eventfile import to_event_file, write_event_file
from ringsim.market.feed import fold_capture
from ringsim.market.normalised import prepare_events
from ringsim.market.source import sample_path
from ringsim.records import EventKind, OrderType, Reason, Side, Tif
from tests.unit.broker import hft, ours, schedules
from tests.unit.market.captures import RECORDED
from tests.unit.market.eventfiles import apart

pytestmark = pytest.mark.timeout(280)

LATENCY = {"entry_ns": 1_000_000, "response_ns": 2_000_000}
OURS_ALONE = {Reason.SELF_TRADE, Reason.OPEN_ORDERS}  # refusals that the other program does not know
QUEUES = ["risk-averse", "power:1", "power:2", "power:5"]
CAPTURES = {
    "spot": ["spot_btcusdt_20240808.gz", "spot_btcusdt_20240809.gz"],
    "usdm": ["usdm_btcusdt_20240718.gz", "usdm_btcusdt_20240719.gz"],
}


class Session:
    """Events, the same as an event file, the grid."""

    def __init__(self, files):
        capture = prepare(files)
        self.events, _ = fold_capture(capture)
        self.instrument = capture.meta.instrument
        self.data = to_event_file(self.events, self.instrument)
        self.trades = self.events[self.events.kind == EventKind.TRADE]


@pytest.fixture(scope="module")
def sample():
    """The shipped minute."""
    return Session([sample_path()])


@pytest.fixture(scope="module", params=list(CAPTURES))
def capture(request):
    """A recorded session beside the repository."""
    files = [RECORDED / name for name in CAPTURES[request.param]]
    if not all(file.exists() for file in files):
        pytest.skip(f"no recorded captures in {RECORDED.parent.parent.name}/data beside the repository")
    return Session(files)


def model(queue):
    """Our parameters of a queue model."""
    name, _, n = queue.partition(":")
    if name == "risk-averse":
        return {"queue_model": QueueModel.RISK_AVERSE}
    return {"queue_model": QueueModel.POWER, "queue_n": float(n)}


def whole_fills_agree(session, schedule, queue):
    """Every order of the schedule; returns how many ended how."""
    theirs, _ = hft.replay(session.data, schedule, session.instrument, queue=queue, **LATENCY)
    found, refused, _, position = ours.replay(session.events, schedule, whole_fills=True, **model(queue), **LATENCY)
    assert set(refused.values()) <= OURS_ALONE and len(refused) < len(schedule) / 5
    compared = [k for k in range(len(schedule)) if k not in refused]
    differ = [(k, schedule[k], theirs.get(k), found.get(k)) for k in compared if theirs.get(k) != found.get(k)]
    assert not differ, f"{len(differ)} of {len(compared)} orders differ, the first: {differ[0]}"
    filled = [k for k in compared if found[k].status == "filled"]
    signed = sum(found[k].lots if schedule.side[k] == Side.BUY else -found[k].lots for k in filled)
    assert position == signed
    return Counter(found[k].status for k in compared)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("queue", ["risk-averse", "power:2"])
def test_whole_fills_of_all_kinds_of_orders_are_the_same(sample, queue, seed):
    ends = whole_fills_agree(sample, schedules.mixed(sample.events, seed, 1_000, 200_000_000), queue)
    assert min(ends["filled"], ends["cancelled"], ends["expired"]) > 150


def test_whole_fills_of_resting_orders_are_the_same_by_every_queue_model(sample):
    schedule = schedules.resting(sample.events, 3, 250, 5_000_000_000)
    filled = [whole_fills_agree(sample, schedule, queue)["filled"] for queue in QUEUES]
    assert min(filled) > 50 and len(set(filled)) > 1, "the models must matter here"


def test_latencies_between_measured_rows_are_the_same(sample):
    rng = np.random.default_rng(5)
    request = np.sort(rng.integers(int(sample.events.recv_ns[0]), int(sample.events.recv_ns[-1]), 60))
    exchange = np.maximum.accumulate(request + rng.integers(1_000_000, 30_000_000, 60))
    back = exchange + rng.integers(1_000_000, 9_000_000, 60)
    rows = list(zip(request.tolist(), exchange.tolist(), back.tolist(), strict=True))
    delays = delay_table([(r, e - r) for r, e, _ in rows], [(e, b - e) for _, e, b in rows])
    least = {"entry_ns": min(e - r for r, e, _ in rows), "response_ns": min(b - e for _, e, b in rows)}
    schedule = schedules.one_by_one(
        sample.events, 7, 400
    )  # who overtakes nobody: here a connection is first in, first out
    theirs, _ = hft.replay(sample.data, schedule, sample.instrument, rows=rows)
    found, refused, _, _ = ours.replay(
        sample.events, schedule, delays, latency_model=LatencyModel.ROWS, whole_fills=True, **least
    )
    differ = [(k, schedule[k], theirs[k], found[k]) for k in found if k not in refused and theirs[k] != found[k]]
    assert not differ, f"{len(differ)} of {len(found)} orders differ, the first: {differ[0]}"
    assert len(found) == len(schedule) and len({f.exch_ns - int(schedule.time_ns[k]) for k, f in found.items()}) > 300


@pytest.mark.slow
@pytest.mark.captures
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_whole_fills_are_the_same_on_the_captures(capture, seed):
    mixed = schedules.mixed(capture.events, seed, 4_000, 1_000_000_000)
    for queue in ("risk-averse", "power:2"):
        assert whole_fills_agree(capture, mixed, queue)["filled"] > 1_000
    resting = schedules.resting(capture.events, seed, 2_000, 3_000_000_000)
    filled = [whole_fills_agree(capture, resting, queue)["filled"] for queue in QUEUES]
    assert min(filled) > 200 and len(set(filled)) > 2


def states(fates):
    """(exchange time, price, lots left) after each time at which an order filled."""
    last = {f.exch_ns: (f.exch_ns, f.px_ticks, f.left_lots) for f in fates if f.status in ("partial", "filled")}
    return list(last.values())


def explained(session, row, theirs, found):
    """Why two lists of states part, in the words of docs/reliability.md; None if it is none of them."""
    at = next(i for i in range(len(theirs) + len(found)) if theirs[i : i + 1] != found[i : i + 1])
    if at >= len(theirs):
        return None
    exch_ns, _, left = theirs[at]
    before = theirs[at - 1][2] if at else int(row.qty_lots)
    traded = session.trades[session.trades.exch_ns == exch_ns]
    beyond = traded.px_ticks < row.px_ticks if row.side == Side.BUY else traded.px_ticks > row.px_ticks
    if left == 0 and beyond.any():
        return "all of it at a trade through the price"
    at_price = int(traded.qty_lots[traded.px_ticks == row.px_ticks].sum())
    if 0 < at_price < before - left:
        return "more than was traded"
    if left == 0 and len(traded) == 0:
        return "all of it when the other side is displayed"
    return None


def partial_fills_agree(session, schedule, queue):
    """One order after the other; returns how many filled the same, and why the others did not."""
    theirs, their_position = hft.steps(session.data, schedule, session.instrument, queue=queue, **LATENCY)
    _, refused, fills, position = ours.replay(session.events, schedule, **model(queue), **LATENCY)
    assert not refused
    found = Counter()
    for k, row in enumerate(schedule):
        one, other = states(theirs[k]), states(fills.get(k, []))
        if one == other:
            found["same" if one else "neither filled"] += 1
            continue
        why = explained(session, row, one, other)
        assert why, f"order {k} {row}: hftbacktest {one}, here {other}"
        found[why] += 1
    assert position == sum(
        (1 if schedule.side[k] == Side.BUY else -1) * sum(f.lots for f in each) for k, each in fills.items()
    )
    ended = sum(
        (1 if schedule.side[k] == Side.BUY else -1) * sum(f.lots for f in each if f.status == "filled")
        for k, each in theirs.items()
    )
    assert their_position == ended, "its position counts an order's last fill only: known, and not ours"
    return found


@pytest.mark.parametrize("queue", ["risk-averse", "power:2"])
def test_partial_fills_are_the_same_as_far_as_that_program_is_right(sample, queue):
    found = sum((partial_fills_agree(sample, schedules.one_by_one(sample.events, seed, 20), queue) for seed in range(4)),
                Counter())  # fmt: skip
    assert found["same"] > 10 and found["neither filled"] > 20


@pytest.mark.slow
@pytest.mark.captures
@pytest.mark.parametrize("queue", ["risk-averse", "power:1", "power:2"])
def test_partial_fills_are_the_same_on_the_captures(capture, queue):
    found = sum((partial_fills_agree(capture, schedules.one_by_one(capture.events, seed, 250), queue) for seed in range(3)),
                Counter())  # fmt: skip
    assert found["same"] > 30


def takers(session, seed, count):
    """Orders that take, over several levels: market, IOC and FOK, each to be sent into an untouched book."""
    rng = np.random.default_rng(seed)
    s = schedules.mixed(session.events, seed, count, 1_000_000_000)
    s.tif = rng.choice([Tif.IOC, Tif.FOK], count)
    s.type = rng.choice([OrderType.LIMIT] * 3 + [OrderType.MARKET], count)
    s.tif[s.type == OrderType.MARKET] = Tif.IOC
    reach = rng.integers(5, 1_500, count)
    s.px_ticks = np.where(s.type == OrderType.MARKET, 0, schedules.away(session.events, s, -reach))
    s.qty_lots = np.exp(rng.uniform(6, 14.5, count)).astype(np.int64) + 1
    s.cancel_after_ns = 0
    return s


def test_takers_walk_the_same_levels(sample):
    """Each alone: in one run ours would remember what the one before has taken."""
    ends, walked = Counter(), 0
    for k, row in enumerate(takers(sample, 5, 90)):
        schedule = takers(sample, 5, 90)[k : k + 1]
        theirs, _ = hft.replay(sample.data, schedule, sample.instrument, partial=True, **LATENCY)
        found, refused, fills, _ = ours.replay(sample.events, schedule, **LATENCY)
        best = fills[0][0].px_ticks if 0 in fills else 0
        if row.type == OrderType.MARKET and abs(fills[0][-1].px_ticks - best) >= 100:
            continue  # that program's market orders give up after a hundred ticks
        if len(fills.get(0, [])) == TAKEN_LEVELS:
            continue  # and ours after as many levels as it can remember
        assert not refused and theirs[0]._replace(lots=0, px_ticks=0) == found[0]._replace(lots=0, px_ticks=0), row
        if found[0].status == "filled":
            assert (theirs[0].px_ticks, theirs[0].lots) == (found[0].px_ticks, found[0].lots), row
        ends[found[0].status] += 1
        walked += len(fills.get(0, [])) > 2
    assert ends["filled"] > 20 and ends["expired"] > 5 and walked > 8, (ends, walked)


@pytest.mark.parametrize("seed", [1, 2])
def test_rows_for_the_exchange_or_the_receiver_alone_mean_the_same_to_both_programs(sample, tmp_path, seed):
    """An event file in which messages overtake each other on their way to the receiver."""
    data = apart(sample.data, seed)
    write_event_file(tmp_path / "apart.npz", data)
    mine = Session.__new__(Session)
    prepared = prepare_events([tmp_path / "apart.npz"], "BTCUSDT", sample.instrument.tick, sample.instrument.lot)
    mine.events, mine.data, mine.instrument = fold_capture(prepared)[0], data, prepared.meta.instrument
    schedule = schedules.mixed(sample.events, seed, 600, 300_000_000)
    ends = whole_fills_agree(mine, schedule, "power:2")
    assert min(ends["filled"], ends["cancelled"], ends["expired"]) > 60
