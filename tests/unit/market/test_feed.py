"""The fold is its naive twin: the same events, the same book, the same counts, whatever was recorded."""

import hashlib
import os
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringsim.book import VALID, book_best, book_fold, book_qty
from ringsim.errors import BadInput
from ringsim.market.binance import make_scratch
from ringsim.market.capture import prepare
from ringsim.market.events import make_events
from ringsim.market.feed import Step, feed_snapshot, feed_step, fold_capture, new_feed
from ringsim.market.source import sample_path
from ringsim.records import ControlCode, EventFlag, EventKind
from tests.sessions import SPOT, USDM, session, write_capture
from tests.unit.market.captures import ROOT, book_of, counts_of, naive_feed, naive_fold, tuples
from tests.unit.test_book import new_book

markets = st.sampled_from([SPOT, USDM])
seeds = st.integers(0, 10**6)


# --- faults ----------------------------------------------------------------------------------------------------------


def drop(lines, at, chance):
    del lines[at]


def repeat(lines, at, chance):
    lines.insert(min(len(lines), at + chance.randint(1, 9)), lines[at])


def swap(lines, at, chance):
    other = min(len(lines) - 1, at + 1)
    lines[at], lines[other] = lines[other], lines[at]


def cut(lines, at, chance):
    lines[at] = lines[at][: chance.randint(0, len(lines[at]) - 1)] + b"\n"


def garble(lines, at, chance):
    line = bytearray(lines[at])
    line[chance.randrange(min(20, len(line) - 1), len(line))] = chance.randrange(32, 127)
    lines[at] = bytes(line)


def scribble(lines, at, chance):
    lines.insert(
        at,
        chance.choice(
            [b"\n", b"  \n", b"no message at all\n", lines[at].partition(b" ")[0] + b' {"result":null,"id":1}\n']
        ),
    )


def off_grid(lines, at, chance):
    lines[at] = lines[at].replace(b'["6', b'["6.00000001', 1).replace(b'"p":"6', b'"p":"6.00000001', 1)


def overlap(lines, at, chance):
    """A diff that repeats a part of the one before."""
    less = chance.randint(1, 30)
    for key in (b'"U":', b'"pu":'):
        lines[at] = re.sub(key + rb"(\d+)", lambda m, key=key: key + b"%d" % (int(m[1]) - less), lines[at])


def later(lines, at, chance):
    """What was sent arrives further on."""
    lines.insert(min(len(lines), at + chance.randint(1, 20)), lines.pop(at))


def cross(lines, at, chance):
    """A diff whose sides are exchanged."""
    lines[at] = lines[at].replace(b'"b":[', b'"x":[').replace(b'"a":[', b'"b":[').replace(b'"x":[', b'"a":[')


FAULTS = [drop, repeat, swap, cut, garble, scribble, off_grid, overlap, later, cross]
faults = st.lists(st.tuples(st.sampled_from(FAULTS), st.floats(0, 1)), max_size=4)


@settings(max_examples=80, deadline=None)
@given(
    seed=seeds,
    market=markets,
    snapshots=st.lists(st.integers(0, 38), max_size=3).map(tuple),
    broken=faults,
    parts=st.floats(0.2, 0.8),
    latency_ns=st.sampled_from([1_000_000, 0, 50_000_000]),
)
def test_whatever_was_recorded_the_fold_is_the_naive_one(seed, market, snapshots, broken, parts, latency_ns):
    messages = session(seed, market, snapshots=snapshots)
    lines = [m.line() for m in messages]
    chance = random.Random(seed)
    for fault, where in broken:
        fault(lines, 8 + int(where * (len(lines) - 9)), chance)
    with tempfile.TemporaryDirectory() as folder:
        split = int(len(lines) * parts)
        files = [
            write_capture(Path(folder) / "a.gz", lines[:split]),
            write_capture(Path(folder) / "b", lines[split:]),
        ]
        try:
            capture = prepare(files)
        except BadInput as refused:
            assert "symbols (" in str(refused)  # the wrong byte was in a symbol
            return
        events, state = fold_capture(capture, latency_ns=latency_ns)
        naive = naive_fold(files, market, latency_ns)
    assert tuples(events) == naive.events
    assert book_of(state[0]) == list(naive.book.values())
    counted = counts_of(state[0])
    assert {name: counted[name] for name in naive.counts} == naive.counts
    assert counted["events"] == len(events) and capture.meta.counts["bad"] == naive.counts["bad"]
    assert (state[0].book.valid == VALID) == naive.valid
    assert capture.meta.skew_ns == naive.skew_ns
    lawful(events)


def lawful(events):
    """What holds of every stream of events, whatever was recorded."""
    assert (np.diff(events.recv_ns) >= 0).all() and (np.diff(events.exch_ns) >= 0).all()
    assert (events.exch_ns < events.recv_ns).all()
    assert events[-1].code == ControlCode.END_OF_FEED
    book, inside = new_book(), False
    for e in events:
        inside = (inside or e.kind == EventKind.SNAPSHOT_BEGIN) and not e.flag_bits & EventFlag.LAST
        if book_fold(book, e) and book_best(book, 1) and book_best(book, 2):
            assert not inside, "somebody may act in the middle of a snapshot"


@pytest.mark.parametrize("market", [SPOT, USDM])
@pytest.mark.parametrize("seed", range(6))
def test_after_every_diff_the_book_is_the_true_market(tmp_path, seed, market):
    messages = session(seed, market)
    events, state = fold_capture(prepare([write_capture(tmp_path / "a.gz", messages)]))
    book, compared = new_book(), 0
    truth = {m.body["u"]: m.truth for m in messages if m.truth}
    for e in events:
        if book_fold(book, e) and e.kind == EventKind.LEVEL:
            bids, asks = truth[int(e.id)]
            assert (book_best(book, 1), book_best(book, 2)) == (max(bids), min(asks))
            assert all(book_qty(book, 1, px) == qty for px, qty in bids.items())
            assert book.sides[0].count == len(bids) and book.sides[1].count == len(asks)
            compared += 1
    assert compared > 20
    counts = counts_of(state[0])
    assert [counts[k] for k in ("bad", "gaps", "stale", "overlaps", "crossed", "trade_gaps", "unbridged")] == [0] * 7
    assert counts["bridged"] + counts["waiting"] > 0


def test_a_gap_is_declared_and_the_next_snapshot_mends_it(tmp_path):
    messages = session(11, SPOT, steps=60, snapshots=(3, 40))
    depths = [k for k, m in enumerate(messages) if m.kind == "depth"]
    del messages[depths[20]]
    events, state = fold_capture(prepare([write_capture(tmp_path / "a", messages)]))
    kinds = [EventKind(k) for k in events.kind if k not in (EventKind.LEVEL, EventKind.TRADE, EventKind.QUOTE)]
    whole = [EventKind.SNAPSHOT_BEGIN, EventKind.SNAPSHOT_END]
    assert kinds == [*whole, EventKind.GAP, *whole, EventKind.CONTROL]
    counts = counts_of(state[0])
    assert (counts["gaps"], counts["resyncs"]) == (1, 1)
    between = events[list(events.kind).index(EventKind.GAP) + 1 :]
    between = between[: list(between.kind).index(EventKind.SNAPSHOT_BEGIN)]
    assert EventKind.LEVEL not in between.kind, "levels that nobody can use"
    bids, asks = next(m.truth for m in reversed(messages) if m.truth)
    assert book_of(state[0]) == [bids, asks]


def test_no_snapshot_no_valid_book(tmp_path):
    capture = prepare([write_capture(tmp_path / "a", session(5, SPOT, snapshots=()))])
    events, state = fold_capture(capture)
    assert state[0].book.valid != VALID and not np.isin(events.kind, [EventKind.LEVEL, EventKind.GAP]).any()
    assert any("no snapshot" in note for note in capture.meta.notes)


def test_a_snapshot_too_old_for_the_diffs_never_makes_a_book_valid(tmp_path):
    messages = session(5, SPOT, snapshots=(3,))
    k = next(k for k, m in enumerate(messages) if m.kind == "snapshot")
    old = {**messages[k].body, "lastUpdateId": 4_000_000}
    messages[k] = messages[k]._replace(body=old)
    path = write_capture(tmp_path / "a", messages)
    events, state = fold_capture(prepare([path]))
    assert counts_of(state[0])["unbridged"] == 1 and tuples(events) == naive_fold([path]).events
    book = new_book()
    assert not any(book_fold(book, e) for e in events)
    assert EventKind.SNAPSHOT_END not in events.kind and EventKind.GAP in events.kind


def test_skew_and_latency_as_the_oracle_says(tmp_path):
    """exch_ns = E + min(recv - E) - 1 ms where nothing forces it; a message without E takes recv - 1 ms or the last one."""
    messages = [m for m in session(3, SPOT) if m.kind != "bookTicker"]
    events, _ = fold_capture(prepare([write_capture(tmp_path / "a", messages)]))
    skew_ns = min(m.recv_ns - m.body["E"] * 10**6 for m in messages if "E" in m.body)
    assert skew_ns < 0
    last = 0
    for number, m in enumerate(messages):
        wanted = m.body["E"] * 10**6 + skew_ns - 10**6 if "E" in m.body else m.recv_ns - 10**6
        last = max(last, min(wanted, m.recv_ns - 1))
        own = events[events.source_seq == number]
        own = own[~np.isin(own.kind, [EventKind.CONTROL])] if m.kind != "depth" else own[own.recv_ns == m.recv_ns]
        assert (own.exch_ns == last).all()


def test_the_sample_message_by_message():
    """7,342 recorded messages: same events after each, and a book that changes in the same places to the same values."""
    files = [sample_path()]
    capture = prepare(files)
    naive, lines = naive_feed(files)
    state, scratch, out = new_feed(capture)[0], make_scratch(), make_events()
    assert len(lines) == len(capture.index) == 7342
    for recv_ns, raw in lines:
        expected = naive.message(recv_ns, raw)
        out.count[0] = 0
        while feed_step(state, capture.text, capture.index, scratch, out) == Step.MORE:
            pass
        assert tuples(out.records[: out.count[0]]) == expected
        for event in expected:
            if event[8] == EventKind.LEVEL:
                assert book_qty(state.book, event[9], event[2]) == naive.book[event[9]].get(event[2], 0)
        for side, levels in naive.book.items():
            assert state.book.sides[side - 1].count == len(levels)
    assert feed_step(state, capture.text, capture.index, scratch, out) == Step.END
    assert book_of(state) == list(naive.book.values())
    assert book_best(state.book, 1) == max(naive.book[1]) and book_best(state.book, 2) == min(naive.book[2])
    counted = counts_of(state)
    assert {name: counted[name] for name in naive.counts} == naive.counts
    assert counted["cut_lots"] == 1 and not any(
        counted[name] for name in ("bad", "gaps", "crossed", "trade_gaps", "stale")
    )


@pytest.mark.parametrize("room", [3, 7, 100, 1 << 14])
def test_a_snapshot_on_request_gives_a_lapped_reader_the_book(room):
    capture = prepare([sample_path()])
    _, state = fold_capture(capture)
    book, out, part, calls = new_book(), make_events(room), 0, 0
    events = []
    while calls == 0 or part:
        out.count[0] = 0
        part = feed_snapshot(state[0], out, part)
        assert 0 < out.count[0] <= room
        events += [out.records[k].copy() for k in range(out.count[0])]
        calls += 1
    acted = [book_fold(book, e) for e in events]
    assert acted == [False] * (len(events) - 1) + [True]
    for side in (0, 1):
        assert np.array_equal(level_set(book, side), level_set(state[0].book, side))
    assert all(e.flag_bits & EventFlag.REFRESH for e in events)
    before = book_of_sides(book)
    assert not any(book_fold(book, e) for e in events), "a reader with a valid book skips it"
    assert before == book_of_sides(book)


def test_without_a_valid_book_there_is_nothing_to_repeat(tmp_path):
    capture = prepare([write_capture(tmp_path / "a", session(5, SPOT, snapshots=()))])
    _, state = fold_capture(capture)
    out = make_events()
    assert feed_snapshot(state[0], out, 0) == 0 and out.count[0] == 0


def level_set(book, side):
    levels = np.asarray(book.sides[side].levels).reshape(-1, 2)
    levels = levels[levels[:, 0] != 0]
    return levels[np.argsort(levels[:, 0])]


def book_of_sides(book):
    return [level_set(book, side).tolist() for side in (0, 1)]


PROGRAM = """
import hashlib, sys
from pathlib import Path
from ringsim.market.capture import prepare
from ringsim.market.feed import fold_capture
print(hashlib.sha256(fold_capture(prepare([Path(sys.argv[1])]))[0].tobytes()).hexdigest())
"""


@pytest.mark.parametrize("market", [SPOT, USDM])
def test_the_plain_bodies_say_the_same(tmp_path, market):
    """With compilation off: what can be read in the source is what runs."""
    path = write_capture(tmp_path / "a.gz", session(5, market, steps=30))
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "RINGSIM_CACHE": str(tmp_path)}
    command = [sys.executable, "-W", "error", "-c", PROGRAM, path]
    plain = subprocess.run(
        command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()
    assert plain == hashlib.sha256(fold_capture(prepare([path]))[0].tobytes()).hexdigest()


def test_void_trades_are_counted_and_not_published(tmp_path):
    """The venue fills trade numbers with price 0; their ids are no gap."""
    messages = session(2, USDM)
    k = [k for k, m in enumerate(messages) if m.kind == "trade"][3]
    messages[k] = messages[k]._replace(body={**messages[k].body, "p": "0", "q": "0", "X": "NA"})
    events, state = fold_capture(prepare([write_capture(tmp_path / "a", messages)]))
    counts = counts_of(state[0])
    assert (counts["trades_void"], counts["trade_gaps"], counts["bad"]) == (1, 0, 0)
    assert (events.kind == EventKind.TRADE).sum() == sum(m.kind == "trade" for m in messages) - 1


def test_partial_depth_streams_are_no_diffs(tmp_path):
    messages = session(4, SPOT)
    top = b'%d {"stream":"btcusdt@depth20@100ms","data":{"lastUpdateId":1,"bids":[["1.00","1"]],"asks":[]}}\n'
    again = b'{"stream":"btcusdt@depth5","data":{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":1,"u":2,"b":[],"a":[]}}\n'
    lines = []
    for m in messages:
        lines += [m.line(), top % m.recv_ns, b"%d " % m.recv_ns + again]
    with_them, state = fold_capture(prepare([write_capture(tmp_path / "a", lines)]))
    without, _ = fold_capture(prepare([write_capture(tmp_path / "b", messages)]))
    assert counts_of(state[0])["bad"] == 0
    assert with_them.px_ticks.tolist() == without.px_ticks.tolist()
