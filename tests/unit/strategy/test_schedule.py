"""A file of orders: what is good comes out as it stands, what is bad is named by its line, all of it at once."""

import hashlib

import pytest

from ringsim.errors import BadInput
from ringsim.limits import MAX_NOTIONAL
from ringsim.records import NEVER_NS, OrderType, Side, Tif
from ringsim.strategy.schedule import COLUMNS, SCHEDULED, BadSchedule, read_schedule
from ringsim.units import Instrument

SPOT = Instrument("BTCUSDT", "0.01", "0.00001")
HEADER = ",".join(COLUMNS)
GOOD = "5,buy,100.25,0.5,limit,gtc,7"


@pytest.fixture
def written(tmp_path):
    """A file of these rows under the header (or another first line), and what reading it gives."""

    def write(*rows, header=HEADER, encoding="utf-8"):
        path = tmp_path / "orders.csv"
        path.write_bytes("\n".join([header, *rows, ""]).encode(encoding))
        return path

    return write


def test_every_word_and_number_arrives(written):
    path = written(
        "5,buy,100.25,0.5,limit,gtc,7",
        "5,sell,,0.00001,market,ioc,",
        "",
        "6,buy,100,1,limit,fok,",
        " 7 , sell , 99.5 , 2 , limit , post_only , 1 ",
    )
    found = read_schedule(path, SPOT)
    rows = [tuple(int(row[name]) for name in SCHEDULED.names if name != "pad") for row in found.orders]
    assert rows == [
        (5, 7, 10_025, 50_000, Side.BUY, OrderType.LIMIT, Tif.GTC),
        (5, 0, 0, 1, Side.SELL, OrderType.MARKET, Tif.IOC),
        (6, 0, 10_000, 100_000, Side.BUY, OrderType.LIMIT, Tif.FOK),
        (7, 1, 9_950, 200_000, Side.SELL, OrderType.LIMIT, Tif.POST_ONLY),
    ]
    data = path.read_bytes()
    assert (found.path, found.size_bytes, found.sha256) == (str(path), len(data), hashlib.sha256(data).hexdigest())


def test_columns_may_stand_in_any_order_and_after_a_byte_order_mark(written):
    cells = dict(zip(COLUMNS, GOOD.split(","), strict=True))
    turned = written(
        ",".join(cells[name] for name in COLUMNS[::-1]), header=",".join(COLUMNS[::-1]), encoding="utf-8-sig"
    )
    assert read_schedule(turned, SPOT).orders.tobytes() == read_schedule(written(GOOD), SPOT).orders.tobytes()


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("x,buy,1,1,limit,gtc,", "time_ns 'x' is no whole number"),
        ("-5,buy,1,1,limit,gtc,", "time_ns '-5' is no whole number"),
        ("1.5,buy,1,1,limit,gtc,", "time_ns '1.5' is no whole number"),
        ("1e9,buy,1,1,limit,gtc,", "time_ns '1e9' is no whole number"),
        (",buy,1,1,limit,gtc,", "time_ns is empty"),
        (f"{NEVER_NS},buy,1,1,limit,gtc,", "lies outside 0.."),
        ("9" * 30 + ",buy,1,1,limit,gtc,", "lies outside 0.."),
        ("5,hold,1,1,limit,gtc,", "side must be one of buy, sell, not 'hold'"),
        ("5,BUY,1,1,limit,gtc,", "side must be one of buy, sell, not 'BUY'"),
        ("5,buy,1,1,stop,gtc,", "type must be one of limit, market, not 'stop'"),
        ("5,buy,1,1,limit,day,", "tif must be one of gtc, ioc, fok, post_only, not 'day'"),
        ("5,buy,,1,limit,gtc,", "price is empty"),
        ("5,buy,nan,1,limit,gtc,", "price 'nan' is no number on the grid of 0.01"),
        ("5,buy,inf,1,limit,gtc,", "price 'inf' is no number on the grid of 0.01"),
        ("5,buy,0,1,limit,gtc,", "price 0 must be above 0"),
        ("5,buy,-1,1,limit,gtc,", "price -1 must be above 0"),
        ("5,buy,1.005,1,limit,gtc,", "price '1.005' is no number on the grid of 0.01"),
        ("5,buy,1e300,1,limit,gtc,", "price 1e300 is more than"),
        ("5,buy,1e99999999999,1,limit,gtc,", "price '1e99999999999' is no number"),
        ("5,buy,1,,limit,gtc,", "qty is empty"),
        ("5,buy,1,0,limit,gtc,", "qty 0 must be above 0"),
        ("5,buy,1,-2,limit,gtc,", "qty -2 must be above 0"),
        ("5,buy,1,0.000001,limit,gtc,", "qty '0.000001' is no number on the grid of 0.00001"),
        ("5,buy,1,1e20,limit,gtc,", "qty 1e20 is more than"),
        ("5,buy,10000000,10000000,limit,gtc,", "price x qty is larger than"),
        ("5,buy,1,1,market,gtc,", "price '1' of a market order: leave it empty"),
        ("5,buy,,1,market,post_only,", "a market order cannot be post_only"),
        ("5,buy,1,1,limit,gtc,0", "cancel_after_ns '0' lies outside 1.."),
        ("5,buy,1,1,limit,gtc,-1", "cancel_after_ns '-1' is no whole number"),
        (f"5,buy,1,1,limit,gtc,{NEVER_NS - 5}", "lies outside 1.."),
        ("4,buy,1,1,limit,gtc,", "time_ns 4 lies before the row above (5)"),
        ("5,buy,1,1,limit,gtc", "has 6 cells where 7 belong"),
        ("5,buy,1,1,limit,gtc,,9", "has 8 cells where 7 belong"),
    ],
)
def test_a_bad_row_is_named_by_its_line(written, row, said):
    path = written(GOOD, row)
    with pytest.raises(BadSchedule) as refused:
        read_schedule(path, SPOT)
    assert len(refused.value.problems) == 1
    assert str(refused.value).startswith(f"{path} line 3: ") and said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_all_bad_rows_are_named_at_once_and_all_that_is_wrong_with_each(written):
    path = written("x,up,1,1,limit,gtc,", GOOD, "5,buy,1,nan,limit,gtc,")
    with pytest.raises(BadSchedule) as refused:
        read_schedule(path, SPOT)
    first, second = refused.value.problems
    assert first.startswith("line 2: ") and "time_ns 'x'" in first and "side must be" in first
    assert second.startswith("line 4: ") and str(refused.value).startswith(f"{path}: 2 bad rows\n")


def test_of_very_many_bad_rows_the_rest_is_counted(written):
    with pytest.raises(BadSchedule) as refused:
        read_schedule(written(*["5,buy,1,nan,limit,gtc,"] * 150), SPOT)
    assert len(refused.value.problems) == 100 and str(refused.value).endswith("and 50 more")


def test_the_largest_order_that_can_be_counted_passes(written):
    lots = MAX_NOTIONAL // 10_025
    assert len(read_schedule(written(f"5,buy,100.25,{SPOT.quantity(lots)},limit,gtc,"), SPOT).orders) == 1
    with pytest.raises(BadSchedule):
        read_schedule(written(f"5,buy,100.25,{SPOT.quantity(lots + 1)},limit,gtc,"), SPOT)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "must have the columns"),
        (b"\n\n", "must have the columns"),
        (b"time_ns,side\n1,buy\n", "must have the columns"),
        (f"{HEADER},more\n".encode(), "must have the columns"),
        (f"{HEADER}\n".encode(), "holds no order"),
        (b"\xff\xfe\x00", "it is not text in UTF-8"),
        (b"\x1f\x8b\x08\x00", "it is not text in UTF-8"),
        (f'{HEADER}\n"5,buy'.encode(), "is no CSV: line 2"),
        (f"{HEADER}\n{'9' * 200_000},buy".encode(), "is no CSV: line 2"),
    ],
)
def test_a_file_that_is_no_schedule_is_one_line(tmp_path, content, said):
    path = tmp_path / "orders.csv"
    path.write_bytes(content)
    with pytest.raises(BadInput) as refused:
        read_schedule(path, SPOT)
    assert said in str(refused.value) and str(path) in str(refused.value) and "\n" not in str(refused.value)


def test_a_file_that_is_not_there_or_is_a_folder_is_one_line(tmp_path):
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(BadInput) as refused:
            read_schedule(path, SPOT)
        assert str(path) in str(refused.value) and "\n" not in str(refused.value)
