"""Two runs part where their first records differ, and nowhere else; words say in what."""

import pytest

from procs.text import difference_text
from ringsim.records import OrderKind, ReportKind, Side
from ringsim.store.compare import compare
from tests.unit.store.streams import long_stream


@pytest.fixture
def databases(create, tmp_path):
    """Two databases of one stream, the second one changed: databases(change) -> their paths."""

    def make(change=lambda stream: stream):
        stream = long_stream(120)
        changed = change(type(stream)(*(part.copy() for part in stream)))
        for name, part in (("a.db", stream), ("b.db", changed)):
            store = create(name)
            store.write(orders=(0, part.orders), reports=(0, part.reports))
            store.close()
        return tmp_path / "a.db", tmp_path / "b.db"

    return make


def first_of(records, kind):
    return int((records["kind"] == kind).nonzero()[0][0])


def test_equal_runs_have_no_difference(databases):
    found = compare(*databases())
    assert found.same and found.first is None and found.also is None
    assert found.records["orders"][0] == found.records["orders"][1] > 0
    assert "no difference" in difference_text(found)


def test_one_changed_field_is_found_by_ring_place_and_name(databases):
    places = {}

    def change(stream):
        places["seq"] = seq = first_of(stream.orders, OrderKind.NEW)
        side = stream.orders[seq]["side"]
        stream.orders[seq]["side"] = Side.SELL if side == Side.BUY else Side.BUY
        return stream

    found = compare(*databases(change))
    assert not found.same and found.also is None
    assert (found.first.ring, found.first.seq, found.first.fields) == ("orders", places["seq"], ["side"])
    assert {found.first.a["side"], found.first.b["side"]} == {"BUY", "SELL"} and found.first.a["kind"] == "NEW"
    assert "side" in difference_text(found) and f"record {places['seq']:,} of orders" in difference_text(found)


def test_a_run_that_ends_earlier_differs_where_it_ends(databases):
    found = compare(*databases(lambda s: s._replace(reports=s.reports[:-1])))
    assert found.first.ring == "reports" and found.first.seq == len(long_stream(120).reports) - 1
    assert found.first.b is None and found.first.a["kind"] in ReportKind.__members__
    assert "only the first run has it" in difference_text(found)


def test_where_both_rings_differ_the_earlier_record_comes_first(databases):
    def change(stream):
        stream.orders["qty_lots"][-1] += 1
        stream.reports["qty_lots"][first_of(stream.reports, ReportKind.ACCEPTED)] += 1
        return stream

    found = compare(*databases(change))
    assert {found.first.ring, found.also.ring} == {"orders", "reports"}
    assert found.first.time_ns <= found.also.time_ns
