"""Event files: what goes out comes back, each viewer sees its rows in its order, and what cannot be folded is one line."""

import io

import numpy as np
import pytest

from ringsim.book import BOOK, book_fold
from ringsim.errors import BadInput
from ringsim.market import eventfile as f
from ringsim.market.capture import prepare
from ringsim.market.eventfile import EVENT, read_event_file, to_event_file, write_event_file
from ringsim.market.feed import fold_capture
from ringsim.market.normalised import prepare_events
from ringsim.market.source import sample_path
from ringsim.records import ControlCode, EventFlag, EventKind, Side
from tests.naive import normalised as naive
from tests.unit.market.eventfiles import BOTH, apart

T0 = 1_700_000_000_000_000_000


@pytest.fixture(scope="module")
def sample():
    """The shipped minute: its events, the same as an event file, its instrument."""
    capture = prepare([sample_path()])
    events, _ = fold_capture(capture)
    return events, to_event_file(events, capture.meta.instrument), capture.meta.instrument


@pytest.fixture
def session(tmp_path):
    """What a file of these records is folded to: events, the feed's state, meta."""

    def fold(data, tick="0.01", lot="0.00001", name="session.npz"):
        path = tmp_path / name
        write_event_file(path, data)
        capture = prepare_events([path], "BTCUSDT", tick, lot)
        return *fold_capture(capture), capture.meta

    return fold


def rows(*given):
    """EVENT[n] of (word, exch_ts, local_ts, px, qty); times from T0."""
    data = np.zeros(len(given), EVENT)
    for k, (word, exch, local, px, qty) in enumerate(given):
        data[k] = (word, T0 + exch, T0 + local, px, qty, 0, 0, 0.0)
    return data


def trades(events, hidden):
    """What a viewer, from whom `hidden` is kept, sees of the trades."""
    seen = events[(events.kind == EventKind.TRADE) & ((events.flag_bits & hidden) == 0)]
    return seen


def book_of(events, hidden):
    """The book that a viewer folds, as two dicts."""
    book = np.zeros(1, BOOK).view(np.recarray)
    for e in events:
        if not e.flag_bits & hidden:
            book_fold(book[0], e)
    assert book[0].valid == 1
    found = {}
    for side in (0, 1):
        levels = np.asarray(book[0].sides[side].levels).reshape(-1, 2)
        found[side + 1] = {int(px): int(qty) for px, qty in levels[levels[:, 0] != 0]}
    return found


EXCHANGE, STRATEGY = EventFlag.STRATEGY_ONLY, EventFlag.EXCHANGE_ONLY  # the flag that hides an event from each


def agree_with_the_twin(data, events):
    """Trades in order and at their times, and the book at the end, of both viewers."""
    for viewer, hidden, time in zip(
        naive.fold(data, 0.01, 0.00001), (EXCHANGE, STRATEGY), ("exch_ns", "recv_ns"), strict=True
    ):
        seen = trades(events, hidden)
        assert viewer.seen == [(int(e[time]), "trade", int(e.side), int(e.px_ticks), int(e.qty_lots)) for e in seen]
        assert book_of(events, hidden) == viewer.levels
    assert (np.diff(events.exch_ns) >= 0).all() and (np.diff(events.recv_ns) >= 0).all()
    assert (events.exch_ns < events.recv_ns).all()


def test_the_sample_comes_back_as_it_went_out(sample, session):
    events, data, instrument = sample
    again, state, meta = session(data)
    assert meta.instrument.tick == instrument.tick and meta.counts["trade"] == 1381 and meta.notes == []
    for kind in (EventKind.TRADE, EventKind.LEVEL):
        begun = np.flatnonzero(events.kind == EventKind.SNAPSHOT_END)[0]
        before = events[begun + 1 :][events[begun + 1 :].kind == kind]
        after = again[np.flatnonzero(again.kind == EventKind.SNAPSHOT_END)[-1] + 1 :]
        after = after[after.kind == kind]
        for name in ("exch_ns", "recv_ns", "px_ticks", "qty_lots", "side"):
            assert (before[name] == after[name]).all(), name
        if kind == EventKind.LEVEL:
            assert ((before.flag_bits & 1) == (after.flag_bits & 1)).all(), "the same messages"
    assert book_of(again, 0) == book_of(events, 0)
    assert (
        again[-1].kind == EventKind.CONTROL and again[-1].code == ControlCode.END_OF_FEED and state[0].book.valid == 1
    )
    agree_with_the_twin(data, again)


def test_the_grid_is_taken_from_the_file_unless_it_is_given(sample, session):
    given, taken = session(sample[1]), session(sample[1], None, None, "again.npz")
    assert (taken[2].instrument.tick, taken[2].instrument.lot) == ("0.01", "0.00001") and len(taken[2].notes) == 1
    assert given[0].tobytes() == taken[0].tobytes()
    coarse = session(rows((f.DEPTH | f.BUY | BOTH, 0, 9, 100.5, 3.0)), None, None, "coarse.npz")[2].instrument
    assert (coarse.tick, coarse.lot) == ("0.1", "1")


@pytest.mark.parametrize("seed", [1, 2])
def test_rows_for_one_of_them_are_seen_by_that_one_alone(sample, session, seed):
    data = apart(sample[1][:12_000], seed)
    assert ((data["ev"] & np.uint64(BOTH)) != BOTH).mean() > 0.1
    agree_with_the_twin(data, session(data)[0])


def test_a_cleared_side_up_to_a_price_and_a_snapshot_leave_what_is_beyond(session):
    bid, ask = f.BUY | BOTH, f.SELL | BOTH
    data = rows(
        (f.DEPTH | bid, 0, 9, 100.0, 1.0), (f.DEPTH | bid, 0, 9, 99.0, 2.0), (f.DEPTH | bid, 0, 9, 90.0, 3.0),
        (f.DEPTH | ask, 1, 10, 101.0, 1.0), (f.DEPTH | ask, 1, 10, 110.0, 4.0),
        (f.DEPTH_CLEAR | bid, 2, 11, 95.0, 0.0), (f.DEPTH_SNAPSHOT | bid, 2, 11, 98.0, 5.0),
        (f.TRADE | bid, 3, 12, 101.0, 0.5),
        (f.DEPTH_CLEAR | BOTH, 4, 13, np.nan, np.nan), (f.DEPTH_SNAPSHOT | ask, 5, 14, 105.0, 6.0),
    )  # fmt: skip
    events, _, _ = session(data)
    upto = events[: np.flatnonzero(events.kind == EventKind.TRADE)[0]]
    assert book_of(upto, 0) == {1: {9_800: 500_000, 9_000: 300_000}, 2: {10_100: 100_000, 11_000: 400_000}}
    agree_with_the_twin(data, events)


def test_what_nobody_folds_is_left_out_and_said(session):
    data = rows(
        (f.DEPTH | f.BUY | BOTH, 0, 9, 100.0, 1.0),
        (f.DEPTH_BBO | f.BUY | BOTH, 1, 10, np.nan, 1.0),
        (f.TRADE | BOTH, 2, 11, 100.0, 1.0),  # no side
        (f.TRADE | f.BUY | BOTH, 3, 12, 100.0, 0.0),  # nothing was traded
        (f.DEPTH | f.SELL, 4, 13, 101.0, 1.0),  # for nobody
        (103 | BOTH, 5, 14, 1e300, 1.0),
    )
    events, _, meta = session(data)
    assert list(events.kind[events.kind != EventKind.CONTROL]) == [
        EventKind.SNAPSHOT_BEGIN,
        EventKind.LEVEL,
        EventKind.SNAPSHOT_END,
    ]
    assert meta.notes == ["rows that are neither depth nor trade, have no side, or are for nobody, left out: 5"]


BID = f.DEPTH | f.BUY | BOTH


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([(BID, 5, 9, 100.0, 1.0), (BID, 4, 10, 100.0, 1.0)], "row 2: the exchange's time goes back"),
        ([(BID, 5, 9, 100.0, 1.0), (BID, 6, 8, 100.0, 1.0)], "row 2: the receiver's time goes back"),
        ([(BID, 5, 9, np.nan, 1.0)], "row 1: has px nan: it must be finite"),
        ([(BID, 5, 9, np.inf, 1.0)], "row 1: has px inf: it must be finite"),
        ([(BID, 5, 9, 100.0, np.nan)], "row 1: has qty nan: it must be finite"),
        ([(BID, 5, 9, -1.0, 1.0)], "row 1: has px -1.0, outside"),
        ([(BID, 5, 9, 0.0, 1.0)], "row 1: has the price 0.0: it must be above 0"),
        ([(BID, 5, 9, 100.0, -1.0)], "row 1: has qty -1.0, outside"),
        ([(BID, 5, 9, 1e15, 1.0)], "row 1: has px 1000000000000000.0, outside"),
        (
            [(BID, 5, 9, 100.005, 1.0)],
            "row 1: has px np.float64(100.005), off the grid of 0.01: give the right one with --tick",
        ),
        ([(BID, 5, 9, 100.0, 0.000001)], "off the grid of 0.00001: give the right one with --lot"),
        ([(BID | f.SELL, 5, 9, 100.0, 1.0)], "row 1: is for both sides"),
        ([(10 | f.BUY | BOTH, 5, 9, 100.0, 1.0)], "row 1: is an order-by-order record (kind 10)"),
        ([(BID, -T0 - 1, 9, 100.0, 1.0)], "row 1: has the time -1, outside 0.."),
        ([(BID, 5, 1 << 62, 100.0, 1.0)], "row 1: has the time"),
        ([(f.DEPTH | f.BUY, 5, 9, 100.0, 1.0)], "has no depth and no trade for anybody"),
        ([(BID, 5, 9, np.nan, 1.0)] * 3, "(and 2 rows more)"),
    ],
)
def test_a_bad_row_is_one_line_that_names_it(session, tmp_path, given, said):
    with pytest.raises(BadInput) as refused:
        session(rows(*given))
    assert said.replace("np.float64(100.005)", "") in str(refused.value).replace("np.float64(100.005)", "")
    assert str(tmp_path / "session.npz") in str(refused.value) and "\n" not in str(refused.value)


def test_files_out_of_order_are_one_line(tmp_path):
    late, early = tmp_path / "late.npz", tmp_path / "early.npz"
    write_event_file(late, rows((BID, 50, 59, 100.0, 1.0)))
    write_event_file(early, rows((BID, 5, 9, 100.0, 1.0)))
    with pytest.raises(BadInput, match=r"early\.npz row 1: the exchange's time goes back"):
        prepare_events([late, early], "X", "0.01", "1")
    assert len(prepare_events([early, late], "X", "0.01", "1").index) == 2


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no event file"),
        (b"time,side\n", "is no event file"),
        (b"PK\x03\x04 and no more", "is no event file"),
        (npz(data=np.zeros(3, EVENT))[:200], "is no event file"),
        (npz(other=np.zeros(3, EVENT)), "it has no array `data`, only other"),
        (npz(data=np.zeros(3)), "its records are float64, not ev, exch_ts"),
        (npz(data=np.zeros((2, 2), EVENT)), "is no event file: its records are"),
        (npz(data=np.zeros(0, EVENT)), "holds no event"),
        (npz(data=np.array([{}], object)), "is no event file"),
    ],
)
def test_a_file_that_is_none_is_one_line(tmp_path, content, said):
    path = tmp_path / "x.npz"
    path.write_bytes(content)
    with pytest.raises(BadInput) as refused:
        read_event_file(path)
    assert said in str(refused.value) and str(path) in str(refused.value) and "\n" not in str(refused.value)


def test_a_file_that_is_not_there_or_a_folder_is_one_line(tmp_path):
    for path in (tmp_path / "none.npz", tmp_path):
        with pytest.raises(BadInput):
            prepare_events([path], "X", None, None)


def test_levels_off_every_decimal_grid_ask_for_one(tmp_path):
    write_event_file(tmp_path / "x.npz", rows((BID, 5, 9, 100 / 3, 1.0)))
    with pytest.raises(BadInput, match=r"px lies on no decimal grid down to 1e-8: give the grid with --tick"):
        prepare_events([tmp_path / "x.npz"], "X", None, None)


def test_sides_are_what_the_words_say(session):
    data = rows((f.TRADE | f.SELL | BOTH, 0, 9, 100.0, 1.0), (f.DEPTH | f.SELL | BOTH, 1, 10, 101.0, 1.0))
    events, _, _ = session(data)
    assert [Side(int(e.side)) for e in events if e.kind in (EventKind.TRADE, EventKind.LEVEL)] == [Side.SELL, Side.SELL]
