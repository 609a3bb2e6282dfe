"""Laws of the database: rows are what the records say, however they were cut, repeated, interrupted or contradicted."""

import resource
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringsim.errors import BadInput
from ringsim.records import ORDER, REPORT, OrderKind, Reason, ReportKind, Verdict
from ringsim.store.connection import PAUSE_MAX_S, TRIES, connect_reading, read_records
from ringsim.store.errors import (
    StoreConflict,
    StoreCorrupt,
    StoreError,
    StoreExists,
    StoreFault,
    StoreForeign,
    StoreFull,
    StoreLocked,
    StoreMissing,
    StoreNewer,
    StoreReadOnly,
)
from ringsim.store.schema import RunFacts
from ringsim.store.sqlite import POINTS, Store
from tests.unit.store.conftest import Create, no_wait
from tests.unit.store.faults import FAULTS, Nth
from tests.unit.store.streams import FACTS, Stream, actions, build, busy, long_stream, slices
from tests.unit.store.tables import assert_reconciled, read, read_tables

few = settings(max_examples=25)
some = [("new", 0, 0, 77), ("accept", 0, 0, 5), ("fill", 0, 0, 1), ("signal", 1, 1, 4), ("new", 1, 1, 99), ("account", 0, 0, 31),
        ("adjust", 0, 0, 8), ("snapshot", 0, 0, 3), ("finish", 0, 0, 9), ("signal_end", 1, 1, 4), ("cancelled", 0, 0, 1),
        ("final", 0, 0, 12)]  # fmt: skip


# Rows


@few
@given(drawn=st.one_of(actions, busy), data=st.data())
def test_every_row_is_what_the_records_say_however_they_are_cut(tmp_path_factory, drawn, data):
    stream = build(drawn)
    ends = sorted(data.draw(st.lists(st.sampled_from(stream.cuts), max_size=8))) + stream.cuts[-1:]
    path = tmp_path_factory.mktemp("cut") / "run.db"
    with Store.create(path, FACTS, wait=no_wait, synchronous="normal") as store:
        for batch in slices(stream, ends):
            store.write(**batch)
    assert_reconciled(path, stream.orders, stream.reports)


@few
@given(drawn=busy, data=st.data())
def test_reopening_at_the_cursors_and_redoing_changes_nothing(tmp_path_factory, drawn, data):
    stream = build(drawn)
    path = tmp_path_factory.mktemp("redo") / "run.db"
    ends = sorted(data.draw(st.lists(st.sampled_from(stream.cuts), min_size=1, max_size=5))) + stream.cuts[-1:]
    Store.create(path, FACTS, wait=no_wait, synchronous="normal").close()
    for o_end, r_end in ends:
        with Store.open(path, wait=no_wait, synchronous="normal") as store:
            o, r = store.next_seq("orders"), store.next_seq("reports")
            o, r = (
                data.draw(st.integers(0, o)),
                data.draw(st.integers(0, r)),
            )  # a successor may know less than is stored
            store.write((o, stream.orders[o:o_end]), (r, stream.reports[r:r_end]))
    assert_reconciled(path, stream.orders, stream.reports)


def test_rings_may_be_written_apart(create: Create):
    stream, store = build(some), create()
    store.write_orders(0, stream.orders)
    store.write_reports(0, stream.reports)
    store.write_reports(0, stream.reports[:0])
    assert_reconciled(store.path, stream.orders, stream.reports)


def test_records_of_a_ring_as_kernels_see_them_are_taken(create: Create):
    stream, store = build(some), create()
    store.write((0, stream.orders.view(np.recarray)), (0, stream.reports.view(np.recarray)))
    assert_reconciled(store.path, stream.orders, stream.reports)


def test_the_facts_of_the_run_come_back(create: Create):
    store = create()
    store.close()
    with Store.open(store.path, wait=no_wait) as again:
        assert again.facts == FACTS


def test_what_no_row_shows_is_counted(create: Create):
    end = np.zeros(1, ORDER)
    end["kind"], end["signal_id"] = OrderKind.SIGNAL_END, 3
    refusal = np.zeros(1, REPORT)
    refusal["kind"], refusal["order_kind"], refusal["reason"] = ReportKind.REJECTED, OrderKind.NEW, Reason.BAD_ORDER
    store = create()
    store.write((0, end), (0, refusal))
    store.write((0, end), (0, refusal))
    assert store.unmatched == 2
    assert not any(read_tables(store.path).values())


def test_numbers_that_no_enum_has_still_make_a_row(create: Create):
    order = np.zeros(1, ORDER)
    order["kind"], order["side"], order["tif"], order["symbol"], order["strategy"] = OrderKind.NEW, 9, 77, 3, 5
    store = create()
    store.write_orders(0, order)
    (row,) = read_tables(store.path)["orders"]
    assert (row["side"], row["tif"], row["symbol"], row["strategy_id"]) == (
        "UNKNOWN_9",
        "UNKNOWN_77",
        "UNKNOWN_3",
        "UNKNOWN_5",
    )


def test_a_signal_that_begins_again_ends_once_whoever_looks(create: Create):
    stream, store = build([(action, 0, 0, 4) for action in ("signal", "signal", "signal_end", "signal_end")]), create()
    store.close()
    for k in range(4):
        with Store.open(store.path, wait=no_wait, check="rows") as store:
            store.write_orders(k, stream.orders[k : k + 1])
    assert_reconciled(store.path, stream.orders, stream.reports)


def test_a_signal_has_the_verdict_on_its_first_order(create: Create):
    """Also when the order comes in a later batch than the signal; a later order changes nothing."""
    records = np.zeros(4, ORDER)
    records["kind"] = OrderKind.SIGNAL, OrderKind.NEW, OrderKind.REFUSED, OrderKind.SIGNAL_END
    records["signal_id"], records["order_id"] = 3, (0, 1, 0, 0)
    records["verdict"] = Verdict.NONE, Verdict.ADJUSTED, Verdict.REJECTED, Verdict.NONE
    records["reason"] = 0, Reason.POSITION, Reason.ORDER_RATE, 0
    for cut in range(5):
        store = create(f"{cut}.db")
        store.write_orders(0, records[:cut])
        store.write_orders(cut, records[cut:])
        (row,) = read_tables(store.path)["signals"]
        assert (row["verdict"], row["reason"], row["end_seq"]) == ("ADJUSTED", "POSITION", 3)


def test_a_halt_may_cancel_two_orders_of_one_id_on_their_way(create: Create):
    orders, reports = np.zeros(2, ORDER), np.zeros(2, REPORT)
    orders["kind"], orders["order_id"], orders["created_ns"] = OrderKind.NEW, 7, (100, 200)
    reports["kind"], reports["order_id"], reports["created_ns"] = ReportKind.CANCELLED, 7, (200, 100)
    store = create()
    store.write((0, orders), (0, reports))
    assert [(r["status"], r["report_seq"]) for r in read_tables(store.path)["orders"]] == [
        ("CANCELLED", 1),
        ("CANCELLED", 0),
    ]
    assert_reconciled(store.path, orders, reports)


def test_the_records_come_back_as_they_were(create: Create):
    stream, store = long_stream(8000), create()
    store.write((0, stream.orders), (0, stream.reports))
    for ring, records in (("orders", stream.orders), ("reports", stream.reports)):
        connection = connect_reading(store.path)
        chunks = list(read_records(connection, ring))
        connection.close()
        assert np.concatenate([found for _, found in chunks]).tobytes() == records.tobytes()
        assert [first for first, _ in chunks] == list(range(0, len(records), 4096))


# Conflicts


def changed(records: np.ndarray, at: int) -> np.ndarray:
    records = records.copy()
    records["trigger_ns"][at] += 1
    return records


def test_the_same_record_again_is_ignored_only_if_it_is_the_same_to_the_byte(create: Create):
    stream, store = build(some), create()
    store.write((0, stream.orders), (0, stream.reports))
    before = read_tables(store.path)
    store.write((0, stream.orders), (0, stream.reports))
    stamped = stream.orders.copy()
    stamped["stamp"] = 0  # the ring's own, not the record's
    store.write_orders(0, stamped)
    for at in range(len(stream.reports)):
        with pytest.raises(StoreConflict, match=f"reports record {at} "):
            store.write_reports(0, changed(stream.reports, at))
    assert read_tables(store.path) == before


def test_a_conflict_takes_its_whole_batch_with_it(create: Create):
    stream, store = build(some), create()
    store.write_orders(0, stream.orders[:1])
    with pytest.raises(StoreConflict):
        store.write_orders(0, np.concatenate([changed(stream.orders[:1], 0), stream.orders[1:]]))
    assert store.next_seq("orders") == 1
    store.write((0, stream.orders), (0, stream.reports))
    assert_reconciled(store.path, stream.orders, stream.reports)


@pytest.mark.parametrize("first", [-1, 1, 1000])
def test_a_hole_in_the_sequence_is_a_conflict(create: Create, first: int):
    stream, store = build(some), create()
    with pytest.raises(StoreConflict, match="record 0 comes next"):
        store.write_orders(first, stream.orders)


@pytest.mark.parametrize("kind", [ReportKind.FILL, ReportKind.ACCEPTED, ReportKind.CANCELLED, ReportKind.REPLACED])
def test_a_report_about_no_known_order_is_a_conflict(create: Create, kind: ReportKind):
    report = np.zeros(1, REPORT)
    report["kind"], report["order_id"], report["order_kind"] = kind, 5, OrderKind.NEW
    store = create()
    with pytest.raises(StoreConflict, match="order 5 of imbalance_v1"):
        store.write_reports(0, report)
    assert store.next_seq("reports") == 0


def test_a_second_writer_is_noticed(create: Create):
    stream, store = build(some), create()
    with Store.open(store.path, wait=no_wait) as other:
        store.write_orders(0, stream.orders[:2])
        with pytest.raises((StoreConflict, StoreError)):
            other.write_orders(0, stream.orders[:3])
    assert read(store.path, "SELECT next_seq FROM cursors WHERE ring = 'orders'") == [(2,)]


def test_records_of_another_ring_are_refused(create: Create):
    with pytest.raises(BadInput, match="orders"):
        create().write_orders(0, np.zeros(1, REPORT))


# Faults


def kinds(*everyday: type[StoreError]) -> list:
    """Every kind of fault; those that are not for every day are slow."""
    return [pytest.param(kind, marks=() if kind in everyday else pytest.mark.slow) for kind in FAULTS]


def halves(stream: Stream) -> list[dict]:
    return slices(stream, [stream.cuts[len(stream.cuts) // 2], stream.cuts[-1]])


@pytest.mark.parametrize("kind", kinds(StoreLocked, StoreFault), ids=lambda kind: kind.__name__)
def test_any_step_may_fail_once_and_the_same_call_again_succeeds(tmp_path: Path, kind: type[StoreError]):
    """n = 1, 2, 3 ... until nothing fails any more: the n-th step of a life fails once."""
    stream = build(some)
    for n in range(1, 200):
        seam, path, waits = Nth(n, FAULTS[kind]), tmp_path / f"{n}.db", []

        def attempt(call, kind=kind, waits=waits):
            """Call; if it fails, once more."""
            try:
                return call()
            except kind:
                assert kind is not StoreLocked, "a lock that goes away is waited for"
                return call()

        options = {"wait": waits.append, "seam": seam, "synchronous": "normal"}
        store = attempt(lambda path=path, options=options: Store.open_or_create(path, FACTS, **options))
        for batch in halves(stream):
            attempt(lambda batch=batch, store=store: store.write(**batch))
        attempt(store.checkpoint)
        if n == len(seam.steps) + 1:
            with pytest.raises(kind):
                store.close()
        store.close()
        assert_reconciled(path, stream.orders, stream.reports)
        assert len(waits) == (kind is StoreLocked and n < len(seam.steps))
        if n > len(seam.steps):
            assert set(seam.steps) == set(POINTS) - {"check"}
            return
    raise AssertionError("never came to an end")


@pytest.mark.parametrize("kind", kinds(StoreFull, StoreReadOnly, StoreLocked), ids=lambda kind: kind.__name__)
def test_a_fault_that_stays_leaves_a_whole_number_of_batches_and_a_successor_goes_on(
    tmp_path: Path, kind: type[StoreError]
):
    stream, n = build(some), 0
    ends = [(0, 0), *stream.cuts[4::4]]
    batches = slices(stream, ends)
    while True:
        n += 1
        seam, path, acknowledged = Nth(n, FAULTS[kind], times=10**6), tmp_path / f"{n}.db", (0, 0)
        try:
            with Store.open_or_create(path, FACTS, wait=lambda s: None, seam=seam, synchronous="normal") as store:
                for batch in batches:
                    store.write(**batch)
                    acknowledged = store.next_seq("orders"), store.next_seq("reports")
        except StoreError as error:
            assert type(error) is kind
            assert error.transient == (kind in (StoreLocked, StoreFull))
        with Store.open_or_create(path, FACTS, wait=no_wait, synchronous="normal") as store:
            found = store.next_seq("orders"), store.next_seq("reports")
            assert found in ends and found >= acknowledged
            assert_reconciled(path, stream.orders[: found[0]], stream.reports[: found[1]])
            store.write((0, stream.orders), (0, stream.reports))
        assert_reconciled(path, stream.orders, stream.reports)
        if n > len(seam.steps):
            return


def test_a_busy_database_is_waited_for_without_holding_anything_then_named(create: Create):
    stream, pauses = build(some), []
    other = sqlite3.connect(create().path, timeout=0, isolation_level=None)
    path = other.execute("PRAGMA database_list").fetchone()[2]

    def wait(seconds: float) -> None:
        """The pause is real only if nobody holds a lock in it: the other program can commit and lock again."""
        pauses.append(seconds)
        other.execute("COMMIT")
        other.execute("BEGIN IMMEDIATE")

    with Store.open(path, wait=wait) as store:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreLocked, match="another program"):
            store.write_orders(0, stream.orders)
        assert len(pauses) == TRIES - 1 and max(pauses) == PAUSE_MAX_S and sum(pauses) < 1
        other.execute("ROLLBACK")
        store.write_orders(0, stream.orders)
    other.close()
    assert_reconciled(Path(path), stream.orders, stream.reports[:0])


def test_a_full_disk_is_named_and_what_was_committed_stands(create: Create):
    stream, store = long_stream(400), create()
    batches = slices(stream, stream.cuts[20::20] + stream.cuts[-1:])
    store._execute(f"PRAGMA max_page_count = {store._execute('PRAGMA page_count').fetchone()[0] + 6}")
    with pytest.raises(StoreFull, match="free some space"):
        for batch in batches:
            store.write(**batch)
    stored = store.next_seq("orders"), store.next_seq("reports")
    assert stored > (0, 0)
    assert_reconciled(store.path, stream.orders[: stored[0]], stream.reports[: stored[1]])
    store._execute("PRAGMA max_page_count = 1000000")
    store.write((0, stream.orders), (0, stream.reports))
    assert_reconciled(store.path, stream.orders, stream.reports)


def short_write(store: Store, stream: Stream, room: int) -> bool:
    """The log may grow by `room` bytes; what does not fit is refused, also in the middle of a page. Whether it was met.

    RLIMIT_FSIZE: a write takes what fits, the next one gets EFBIG. (Python ignores SIGXFSZ.)
    """
    batches = slices(stream, stream.cuts[40::40] + stream.cuts[-1:])
    before, done = resource.getrlimit(resource.RLIMIT_FSIZE), 0
    limit = room + store.path.with_name(f"{store.path.name}-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        for done, batch in enumerate(batches):  # noqa: B007
            store.write(**batch)
    except StoreFault as error:
        assert "look at the disk" in str(error)
        with pytest.raises(StoreFault):
            store.write(**batches[done])
        met = True
    else:
        met = False
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    for batch in batches[done:]:
        store.write(**batch)
    assert_reconciled(store.path, stream.orders, stream.reports)
    return met


@pytest.mark.parametrize("room", [150_000, 200_007])
def test_writes_that_the_system_refuses_halfway_are_named_and_leave_whole_batches(create: Create, room: int):
    assert short_write(create(), long_stream(400), room)


@pytest.mark.slow
def test_a_write_may_be_cut_short_anywhere(create: Create):
    """Room for 1, 2, 3 ... steps of an odd size, until everything fits."""
    stream, room = long_stream(200), 0
    while short_write(create(f"{room}.db"), stream, room):
        room += 4099
    assert room > 15 * 4099


def test_an_interrupt_in_the_middle_leaves_no_lock(create: Create):
    stream, steps = build(some), []

    def seam(point: str) -> None:
        steps.append(point)
        if point == "commit" and steps.count("commit") == 2:  # the first made the database
            raise KeyboardInterrupt

    store = create(seam=seam)
    with pytest.raises(KeyboardInterrupt):
        store.write_orders(0, stream.orders)
    with Store.open(store.path, wait=no_wait) as other:
        other.write_orders(0, stream.orders)


# Opening


def test_what_is_no_database_of_ours_is_named(tmp_path: Path, create: Create):
    def opened(name: str) -> None:
        Store.open(tmp_path / name, wait=no_wait)

    with pytest.raises(StoreMissing, match="no such database"):
        opened("none.db")
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(StoreForeign, match="no file"):
        opened("folder.db")
    (tmp_path / "text.db").write_text("t,external_px,market_px\n" * 100)
    with pytest.raises(StoreCorrupt, match="not a database"):
        opened("text.db")
    (tmp_path / "empty.db").touch()
    with pytest.raises(StoreCorrupt, match="never finished"):
        opened("empty.db")
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE orders (id)")
    other.close()
    with pytest.raises(StoreForeign, match="not one of ringsim"):
        opened("other.db")
    with pytest.raises(StoreExists):
        Store.create(tmp_path / "other.db", FACTS, wait=no_wait)
    with sqlite3.connect(tmp_path / "other.db") as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("delete",)  # looked at, not touched
    other.close()
    newer = create("newer.db")
    newer._execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(StoreNewer, match="schema version 99, this ringsim reads 1"):
        opened("newer.db")
    with pytest.raises(StoreNewer):
        connect_reading(newer.path)


def test_a_database_is_made_once(tmp_path: Path, create: Create):
    with pytest.raises(StoreExists):
        Store.create(create().path, FACTS, wait=no_wait)
    with pytest.raises(BadInput, match="no such folder"):
        Store.create(tmp_path / "missing" / "run.db", FACTS, wait=no_wait)
    with pytest.raises(StoreExists, match="no file"):
        Store.create(tmp_path, FACTS, wait=no_wait)


def test_an_unfinished_database_is_made_anew_and_another_runs_one_is_refused(tmp_path: Path):
    path = tmp_path / "run.db"
    path.touch()
    Store.open_or_create(path, FACTS, wait=no_wait).close()
    Store.open_or_create(path, FACTS, wait=no_wait).close()
    with pytest.raises(StoreConflict, match=f"{FACTS.run_id}, not to other"):
        Store.open_or_create(path, RunFacts("other", "simulated", "", FACTS.instruments, ("s",)), wait=no_wait)


def test_a_folder_that_cannot_be_written_is_named():
    with pytest.raises(StoreReadOnly, match="writable"):
        Store.create("/proc/self/run.db", FACTS, wait=no_wait)


def test_a_database_can_be_read_where_nothing_can_be_written_unless_part_of_it_is_in_its_log(
    create: Create, monkeypatch
):
    stream, store, living = build(some), create(), create("living.db")
    for each in (store, living):
        each.write((0, stream.orders), (0, stream.reports))
    store.close()
    real = sqlite3.connect

    class NoNewFiles(sqlite3.Connection):
        def execute(self, *args):
            raise FAULTS[StoreReadOnly]

    def connect(address, **options):
        return real(address, **options, **({} if "immutable" in address else {"factory": NoNewFiles}))

    monkeypatch.setattr(sqlite3, "connect", connect)
    assert_reconciled(store.path, stream.orders, stream.reports)
    with pytest.raises(StoreReadOnly):
        connect_reading(living.path)


def test_reading_changes_nothing_and_leaves_one_file(create: Create, tmp_path: Path):
    stream, store = build(some), create()
    store.write((0, stream.orders), (0, stream.reports))
    store.close()
    before = store.path.read_bytes()
    connection = connect_reading(store.path)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM orders")
    assert connection.execute("SELECT count(*) FROM orders").fetchone() == (2,)
    connection.close()
    assert store.path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["run.db"]


def test_closing_twice_is_closing_once(create: Create):
    store = create()
    store.close()
    store.close()
