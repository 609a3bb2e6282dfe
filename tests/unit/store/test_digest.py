"""Laws of the digest: the records, the database and the recipe in words agree; every field of every record counts."""

import hashlib
import sqlite3
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringsim.records import ACCOUNT, FEATURES, ORDER, REPORT, ReportKind
from ringsim.store import digest
from ringsim.store.digest import LedgerRow, digest_database, digest_records, ledger_rows
from ringsim.store.errors import StoreCorrupt, StoreForeign
from ringsim.store.sqlite import Store
from tests.unit.store.conftest import Create, no_wait
from tests.unit.store.streams import FACTS, Stream, actions, build, busy, long_stream, slices

some = build([("new", 0, 0, 77), ("accept", 0, 0, 5), ("snapshot", 0, 0, 3), ("fill", 0, 0, 1), ("account", 0, 0, 31),
              ("account", 1, 1, 77), ("final", 0, 0, 12)])  # fmt: skip


def by_hand(stream: Stream) -> str:
    """The recipe, word by word."""
    text = f"orders {len(stream.orders)}\n".encode() + b"".join(r.tobytes()[8:] for r in stream.orders)
    text += f"reports {len(stream.reports)}\n".encode() + b"".join(r.tobytes()[8:] for r in stream.reports)
    accounts = {}
    for report in stream.reports.view(ACCOUNT):
        if report["kind"] == ReportKind.ACCOUNT:
            equity = report["cash"] + report["position_lots"] * report["mark_ticks"]
            names = ("position_lots", "cost", "cash", "realized", "unrealized", "fees")
            key = (int(report["strategy"]), int(report["symbol"]))
            accounts[key] = [*key, *(report[n] for n in names), equity, report["mark_ticks"]]
    text += f"ledger {len(accounts)}\n".encode()
    text += "".join(" ".join(str(int(v)) for v in accounts[key]) + "\n" for key in sorted(accounts)).encode()
    return hashlib.sha256(text).hexdigest()


@settings(max_examples=30)
@given(drawn=st.one_of(actions, busy), data=st.data())
def test_records_database_and_recipe_agree(tmp_path_factory, drawn, data):
    stream = build(drawn)
    path = tmp_path_factory.mktemp("digest") / "run.db"
    ends = sorted(data.draw(st.lists(st.sampled_from(stream.cuts), max_size=4))) + stream.cuts[-1:]
    with Store.create(path, FACTS, wait=no_wait, synchronous="normal") as store:
        for batch in slices(stream, ends):
            store.write(**batch)
        written = digest_database(path)  # while it is open
    assert digest_records(stream.orders, stream.reports) == by_hand(stream) == written == digest_database(path)


@pytest.mark.parametrize("ring", ["orders", "reports"])
def test_every_byte_of_every_record_but_the_stamp_counts(ring: str):
    before, seen = digest_records(some.orders, some.reports, []), set()
    records = getattr(some, ring)
    for k in range(len(records)):
        for byte in range(records.itemsize):
            other = records.copy()
            other[k : k + 1].view(np.uint8)[byte] ^= 1
            rings = {"orders": some.orders, "reports": some.reports} | {ring: other}
            after = digest_records(rings["orders"], rings["reports"], [])
            assert (after == before) == (byte < 8)
            seen.add(after)
    assert len(seen) == 1 + len(records) * (records.itemsize - 8)


def test_the_byte_test_covers_every_field_of_all_four_records():
    for dtype in (ORDER, FEATURES, REPORT, ACCOUNT):
        spans = [range(dtype.fields[n][1], dtype.fields[n][1] + dtype[n].itemsize) for n in dtype.names]
        assert set().union(*spans[1:]) == set(range(8, 128)) and dtype.names[0] == "stamp"


@pytest.mark.parametrize("field", LedgerRow.__struct_fields__)
def test_every_field_of_the_ledger_counts(field: str):
    (row, *rest) = ledger_rows(some.reports)
    other = LedgerRow(**{n: getattr(row, n) + (n == field) for n in LedgerRow.__struct_fields__})
    before = digest_records(some.orders, some.reports, [row, *rest])
    assert (
        before == digest_records(some.orders, some.reports, [*rest, row]) == digest_records(some.orders, some.reports)
    )
    assert before != digest_records(some.orders, some.reports, [other, *rest])


def test_a_record_moved_to_the_other_ring_or_place_counts():
    order = np.zeros(2, ORDER)
    order["order_id"] = 1, 2
    report = order.view(REPORT)
    texts = {
        digest_records(order, report[:0]),
        digest_records(order[:1], report[1:]),
        digest_records(order[:0], report),
        digest_records(order[::-1], report[:0]),
        digest_records(order[:1], report[:0]),
    }
    assert len(texts) == 5


def test_long_runs_are_hashed_in_chunks_with_the_same_result(create: Create):
    stream, store = long_stream(8000), create()
    assert len(stream.reports) > 4096  # more than one chunk
    store.write((0, stream.orders), (0, stream.reports))
    assert digest_database(store.path) == digest_records(stream.orders, stream.reports) == by_hand(stream)


def test_a_digest_is_of_one_moment_while_the_writer_goes_on(create: Create, monkeypatch):
    store = create()
    store.write((0, some.orders[:1]), (0, some.reports[:2]))
    head, heads = digest._Hash.head, []

    def head_while_written(found, name: str, count: int) -> None:
        if heads.append(name) is None and name == "reports":
            store.write((1, some.orders[1:]), (2, some.reports[2:]))
        head(found, name, count)

    monkeypatch.setattr(digest._Hash, "head", head_while_written)
    assert digest_database(store.path) == digest_records(some.orders[:1], some.reports[:2])
    assert heads.count("reports") == 2 and store.next_seq("reports") == len(some.reports)


def test_an_account_of_numbers_that_nobody_declared_agrees_too(create: Create):
    account = np.zeros(1, ACCOUNT)
    account["kind"], account["strategy"], account["symbol"], account["cash"] = ReportKind.ACCOUNT, 5, 300, 7
    store = create()
    store.write_reports(0, account.view(REPORT))
    assert digest_database(store.path) == digest_records(some.orders[:0], account.view(REPORT))


def test_an_empty_run_has_a_digest(create: Create):
    nothing = build([])
    assert digest_database(create().path) == digest_records(nothing.orders, nothing.reports) == by_hand(nothing)


def test_a_writer_that_is_not_quite_gone_is_waited_for(create: Create):
    """A killed one keeps its locks until the machine has had the time to end it."""
    store = create()
    store.write((0, some.orders), (0, some.reports))
    expected, path = digest_database(store.path), store.path
    store.close()
    writer = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    writer.execute("PRAGMA locking_mode = EXCLUSIVE")
    writer.execute("BEGIN IMMEDIATE")
    with sqlite3.connect(path, timeout=0) as other, pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("SELECT count(*) FROM cursors").fetchone()
    gone = threading.Timer(0.2, writer.close)
    gone.start()
    assert digest_database(path) == expected
    gone.join()


def test_missing_records_are_named_and_not_hashed(create: Create):
    store = create()
    store.write((0, some.orders), (0, some.reports))
    store._execute("DELETE FROM ring_records WHERE ring = 'reports' AND seq = 1")
    with pytest.raises(StoreCorrupt, match="reports holds"):
        digest_database(store.path)
    with pytest.raises(StoreForeign):
        digest_database(store.path.parent)
