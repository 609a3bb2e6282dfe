"""Order-level files: the book after each row, queues in order of the orders' numbers, what is refused; the recorded excerpts."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringsim.book import BOOK, book_best, book_fold, book_qty
from ringsim.errors import BadInput
from ringsim.market.feed import fold_capture
from ringsim.market.lobster import DUMMY_PRICE, EXECUTED, prepare_lobster, read_rows
from ringsim.market.lobstercheck import check_lobster
from ringsim.records import HIDDEN_ORDER, UNNAMED_ORDER, EventFlag, EventKind, Side
from tests.unit.market.captures import ROOT

RECORDED = ROOT.parent / "shared" / "data" / "lobster"


def written(folder, messages, book=(), name="ACME_2012-06-21_34200000_57600000_message_1.csv"):
    files = [folder / name]
    files[0].write_text("".join(f"{m}\n" for m in messages))
    if book:
        files.append(folder / "book.csv")
        files[1].write_text("".join(f"{row}\n" for row in book))
    return files


BY_HAND = [
    ("34200.5,1,9,40,1000100,-1", "1000100,90,999900,30"),
    ("34200.500000001,1,8,10,999900,1", "1000100,90,999900,40"),
    ("34201,4,3,30,999900,1", "1000100,90,999900,10"),  # of the block
    ("34201,4,8,4,999900,1", "1000100,90,999900,6"),
    ("34202,2,9,15,1000100,-1", "1000100,75,999900,6"),
    ("34203,5,0,11,1000000,1", "1000100,75,999900,6"),  # hidden
    ("34204,3,8,6,999900,1", f"1000100,75,-{DUMMY_PRICE},0"),
    ("34205,6,-1,5,1000000,-1", f"1000100,75,-{DUMMY_PRICE},0"),
]


def test_a_session_by_hand(tmp_path):
    rows = [("34200.1,1,5,30,1000100,-1", "1000100,50,999900,30"), *BY_HAND[:7]]
    files = written(tmp_path, *map(list, zip(*rows, strict=True)))
    found = check_lobster(files)
    assert (found.rows, found.price_mismatches, found.qty_mismatches, found.unknown) == (8, 0, 0, 0)
    assert (found.executions, found.at_front, found.exceptions) == (2, 2, [])
    capture = prepare_lobster(files)
    assert (capture.meta.symbol, capture.meta.market, capture.meta.instrument.tick) == ("ACME", "lobster", "0.01")
    events, state = fold_capture(capture)
    day = 1_340_236_800 * 10**9
    said = [
        (EventKind(e.kind).name, int(e.side), int(e.px_ticks), int(e.qty_lots), int(e.exch_ns) - day)
        for e in events[:-1]
        if e.kind in (EventKind.LEVEL, EventKind.TRADE)
    ]
    assert said == [
        ("LEVEL", 1, 9999, 30, 34_200_100_000_000),
        ("LEVEL", 2, 10001, 50, 34_200_100_000_000),
        ("LEVEL", 2, 10001, 90, 34_200_500_000_000),
        ("LEVEL", 1, 9999, 40, 34_200_500_000_001),
        ("TRADE", 2, 9999, 30, 34_201_000_000_000),
        ("LEVEL", 1, 9999, 10, 34_201_000_000_000),
        ("TRADE", 2, 9999, 4, 34_201_000_000_000),
        ("LEVEL", 1, 9999, 6, 34_201_000_000_000),
        ("LEVEL", 2, 10001, 75, 34_202_000_000_000),
        ("TRADE", 2, 10000, 11, 34_203_000_000_000),
        ("LEVEL", 1, 9999, 0, 34_204_000_000_000),
    ]
    assert (events.recv_ns - events.exch_ns)[:-1].tolist() == [1_000_000] * (len(events) - 1)
    assert state[0].book.valid == 1 and book_best(state[0].book, 1) == 0


def test_an_event_names_its_order(tmp_path):
    rows = [("34200.1,1,5,30,1000100,-1", "1000100,50,999900,30"), *BY_HAND[:7]]
    events, state = fold_capture(prepare_lobster(written(tmp_path, *map(list, zip(*rows, strict=True)))))
    names = [int(e.id) for e in events[:-1]]
    assert names[:4] == [5] * 4  # the snapshot
    assert names[4:] == [9, 8, UNNAMED_ORDER, UNNAMED_ORDER, 8, 8, 9, HIDDEN_ORDER, 8]
    assert state[0].last_id == 9  # the highest: what a snapshot for a late reader says


def test_a_queue_stands_in_the_order_of_its_numbers(tmp_path):
    found = check_lobster(written(tmp_path, ["1,1,20,5,100,1", "1,1,10,7,100,1", "1,1,30,1,99,1", "2,4,20,5,100,1",
                                             "3,4,10,7,100,1", "4,1,40,1,101,1", "5,4,30,1,99,1"]))  # fmt: skip
    assert (found.executions, found.at_front) == (3, 1)
    assert found.exceptions == [
        "row 4: order 20, 5 at bid 0.0100: 7 shares stood ahead of it",
        "row 7: order 30, 1 at bid 0.0099: a better price rested",
    ]


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_the_folded_book_is_that_of_a_list_of_orders(tmp_path_factory, data):
    """Random orders, cancels and executions; the naive book is a list, summed up after each row."""
    orders, rows, wanted, number = [], [], [], 0
    for k in range(data.draw(st.integers(1, 40))):
        kind = data.draw(st.sampled_from([1, 1, 2, 3, 4])) if orders else 1
        if kind == 1:
            number += 1
            side = data.draw(st.sampled_from([1, -1]))
            order = [
                number,
                data.draw(st.integers(1, 9)),
                (95 if side == 1 else 105) + data.draw(st.integers(-3, 3)),
                side,
            ]
            orders.append(order)
            size = order[1]
        else:
            order = data.draw(st.sampled_from(orders))
            size = order[1] if kind == 3 else data.draw(st.integers(1, order[1]))
            order[1] -= size
            orders = [o for o in orders if o[1]]
        rows.append(f"{k}.{k:09d},{kind},{order[0]},{size},{order[2] * 100},{order[3]}")
        wanted.append({(o[2], o[3]): sum(q for _, q, px, s in orders if (px, s) == (o[2], o[3])) for o in orders})
    events, _ = fold_capture(prepare_lobster(written(tmp_path_factory.mktemp("random"), rows)))
    book, folded = np.zeros(1, BOOK).view(np.recarray)[0], []
    for event in events:
        book_fold(book, event)
        if event.kind == EventKind.LEVEL and event.flag_bits & EventFlag.LAST:
            levels = {}
            for side, direction in ((Side.BUY, 1), (Side.SELL, -1)):
                levels |= {
                    (px, direction): int(book_qty(book, side, px)) for px in range(90, 112) if book_qty(book, side, px)
                }
            folded.append(levels)
    assert folded == wanted


@pytest.mark.parametrize(
    ("messages", "book", "said"),
    [
        (["1,1,1,1,1,1", "nonsense"], [], "line 2: is no message row"),
        (["1,9,1,1,1,1"], [], "line 1: has the type 9"),
        (["90000,1,1,1,1,1"], [], "line 1: has a time after midnight"),
        (["1,1,1,0,1,1"], [], "line 1: has a price or size out of range"),
        (["1,1,1,1,-5,1"], [], "line 1: has a price or size out of range"),
        ([f"1,1,{HIDDEN_ORDER},1,1,1"], [], "line 1: has an order number out of range"),
        (["2,1,1,1,1,1", "1,1,1,1,1,1"], [], "line 2: its time lies before"),
        (["1,1,1,1,1,2"], [], "line 1: is no message row"),
        (["1,1,1,1,1,1"], ["1,2,3"], "book.csv line 1: is no book row"),
        (["1,1,1,1,1,1"], ["1,2,3,4", "1,2,3,4"], "has 2 rows where"),
        ([], [], "is empty"),
    ],
)
def test_what_is_no_session_is_refused_in_a_line(tmp_path, messages, book, said):
    files = written(tmp_path, messages, book)
    for use in (prepare_lobster, check_lobster):
        with pytest.raises(BadInput, match=said) as refused:
            use(files)
        assert "\n" not in str(refused.value)


def test_files_that_are_not_there_or_damaged_are_said_so(tmp_path):
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"1,1,1,1,1,1\n" * 100)[:-20])
    for name, said in (("x.gz", "gzip data is damaged"), ("none", "cannot be read: No such file")):
        with pytest.raises(BadInput, match=said):
            read_rows(Path(tmp_path / name))


@pytest.mark.captures
@pytest.mark.skipif(not RECORDED.is_dir(), reason="the recorded market data folder is not here")
@pytest.mark.parametrize(("symbol", "rows", "executions", "front"), [("AAPL", 672, 56, 56), ("MSFT", 1950, 160, 156)])
def test_the_recorded_excerpts_have_the_book_files_best_prices_after_every_row(symbol, rows, executions, front):
    files = [RECORDED / f"{symbol}_msgs.csv.gz", RECORDED / f"{symbol}_book.csv.gz"]
    found = check_lobster(files)
    assert (found.rows, found.price_mismatches, found.qty_mismatches, found.unknown) == (rows, 0, 0, 0)
    assert (found.executions, found.at_front, len(found.exceptions)) == (executions, front, executions - front)
    # And what a run folds is the same book.
    capture = prepare_lobster(files)
    step = 100 if capture.meta.instrument.tick == "0.01" else 1
    events, state = fold_capture(capture)
    messages = [list(map(float, row.split(b","))) for row in read_rows(files[0])[0]]
    trades = events[events.kind == EventKind.TRADE]
    assert len(trades) == sum(m[1] in (EXECUTED, 5) for m in messages)
    last = list(map(int, read_rows(files[1])[0][-1].split(b",")))
    book = state[0].book
    best = [
        book_best(book, 2),
        book_qty(book, 2, book_best(book, 2)),
        book_best(book, 1),
        book_qty(book, 1, book_best(book, 1)),
    ]
    assert [int(b) for b in best] == [last[0] // step, last[1], last[2] // step, last[3]]
