"""The schema is what docs/database.md says; the views are the integers in units, exactly."""

import re
import sqlite3
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringsim.errors import BadInput
from ringsim.store.manifest import FORMAT_VERSION, KIND, Manifest
from ringsim.store.rows import ROW_TYPES
from ringsim.store.runlog import CHAIN
from ringsim.store.schema import (
    APPLICATION_ID,
    ROW_KEYS,
    SCHEMA_VERSION,
    RunFacts,
    check_facts,
    instrument_row,
    statements,
)
from ringsim.store.sqlite import Store
from ringsim.units import Instrument
from tests.unit.store.conftest import Create, no_wait
from tests.unit.store.streams import FACTS, build, busy, long_stream
from tests.unit.store.tables import read_tables

DOCUMENT = (Path(__file__).parents[3] / "docs" / "database.md").read_text()
SECTIONS = dict(re.findall(r"^### (\w+)\n(.*?)(?=^#)", DOCUMENT, re.S | re.M))


@pytest.fixture
def empty() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    for statement in statements():
        connection.execute(statement)
    yield connection
    connection.close()


def objects(connection: sqlite3.Connection, kind: str) -> dict[str, str]:
    return dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = ? AND sql IS NOT NULL", (kind,)))


def columns(connection: sqlite3.Connection, name: str) -> list[str]:
    return [row[0] for row in connection.execute(f"SELECT * FROM {name} LIMIT 0").description]


# The document


def test_the_document_has_exactly_the_tables_and_views_that_there_are(empty):
    assert SECTIONS.keys() == objects(empty, "table").keys()
    assert set(re.findall(r"^`(\w+)_decimal`", DOCUMENT, re.M)) == {
        v.removesuffix("_decimal") for v in objects(empty, "view")
    }
    assert all(name in DOCUMENT for name in objects(empty, "index"))


@pytest.mark.parametrize("table", SECTIONS)
def test_every_column_is_documented_with_its_type_and_meaning(empty, table: str):
    told = [
        tuple(cell.strip() for cell in line.split("|")[1:4]) for line in re.findall(r"^\|.*", SECTIONS[table], re.M)[2:]
    ]
    sql = objects(empty, "table")[table]
    there = []
    for _, name, kind, not_null, _, key in empty.execute(f"PRAGMA table_info({table})"):
        (meaning,) = re.findall(rf"^  {name} [A-Z ]+,?(?: -- (.*))?$", sql, re.M)
        there.append((name, kind + ("" if not_null or key else ", may be NULL"), meaning))
    assert told == there
    assert "STRICT" in sql and all(meaning for *_, meaning in there)


def test_every_column_of_a_view_is_documented(empty):
    for view in objects(empty, "view"):
        (told,) = re.findall(rf"^`{view}`: (.*)\.$", DOCUMENT, re.M)
        assert told.split(", ") == columns(empty, view)


def test_the_questions_of_the_document_have_answers(create: Create):
    store, stream = create(), long_stream(300)
    store.write((0, stream.orders), (0, stream.reports))
    (block,) = re.findall(r"```sql\n(.*?)```", DOCUMENT, re.S)
    questions = [q for q in re.sub(r"--.*", "", block).split(";") if q.strip()]
    assert len(questions) == 6
    for question in questions:
        assert store._execute(question).fetchall(), question


def test_versions_and_names_in_the_document_are_those_of_the_program():
    assert f"is {APPLICATION_ID} " in DOCUMENT and f"schema version: **{SCHEMA_VERSION}**" in DOCUMENT
    assert f'"{KIND}", {FORMAT_VERSION} |' in DOCUMENT
    manifest = DOCUMENT.partition("## manifest.json")[2].partition("##")[0]
    told = {name for cell in re.findall(r"^\| ([\w, ]+) \|", manifest, re.M)[1:] for name in cell.split(", ")}
    assert told == set(Manifest.__struct_fields__)
    assert all(re.search(rf"^\|.*\b{name}\b.*\|", DOCUMENT, re.M) for name in CHAIN)


# The schema


@pytest.mark.parametrize("table", ROW_TYPES)
def test_a_rows_fields_are_its_tables_columns_in_order(empty, table: str):
    assert list(ROW_TYPES[table].__struct_fields__) == columns(empty, table)
    assert ROW_KEYS.keys() == ROW_TYPES.keys()


def test_the_tables_are_strict(create: Create):
    with pytest.raises(sqlite3.IntegrityError, match="cannot store TEXT"):
        create()._execute("INSERT INTO cursors VALUES ('x', 'many', 0)")


# The views

grid = st.sampled_from([".01", "0.00001", "1", "5", "0.25", "10", ".1", "0.0005", "100"])


@settings(max_examples=60)
@given(
    tick=grid, lot=grid, ticks=st.integers(1, 10**9), lots=st.integers(1, 10**9), money=st.integers(-(10**11), 10**11)
)
def test_a_view_shows_the_exact_decimal(tick, lot, ticks, lots, money):
    instrument = Instrument("X", tick, lot)
    connection = sqlite3.connect(":memory:")
    for statement in statements():
        connection.execute(statement)
    row = instrument_row(0, instrument)
    connection.execute(f"INSERT INTO instruments VALUES ({', '.join('?' * len(row))})", row)
    values = dict.fromkeys(columns(connection, "trades"), 0) | {"price_ticks": ticks, "qty_lots": lots, "fee": money}
    values |= {"strategy_id": "s", "symbol": "X", "side": "BUY", "liquidity": "MAKER"}
    connection.execute(f"INSERT INTO trades VALUES ({', '.join('?' * len(values))})", tuple(values.values()))
    price, qty, fee = connection.execute("SELECT price, qty, fee FROM trades_decimal").fetchone()
    connection.close()
    assert (Decimal(repr(price)), Decimal(repr(qty))) == (instrument.price(ticks), instrument.quantity(lots))
    assert Decimal(repr(fee)) == instrument.money(money)


@settings(max_examples=10)
@given(drawn=busy)
def test_every_row_is_in_its_view_in_units(tmp_path_factory, drawn):
    stream, path = build(drawn), tmp_path_factory.mktemp("view") / "run.db"
    with Store.create(path, FACTS, wait=no_wait, synchronous="normal") as store:
        store.write((0, stream.orders), (0, stream.reports))
    grids = {i.symbol: i for i in FACTS.instruments}
    units = {"lots": "quantity", "ticks": "price"}
    rows, views = read_tables(path), read_tables(path, "_decimal")
    for table in ROW_KEYS:
        assert len(rows[table]) == len(views[table])
        for row, view in zip(rows[table], views[table], strict=True):
            known = grids.get(row["symbol"])
            for name, value in row.items():
                stem, _, unit = name.rpartition("_")
                if unit in units and value is not None:
                    shown = view[stem if stem in view else f"{stem}_qty"]
                    assert (
                        shown is None if known is None else Decimal(repr(shown)) == getattr(known, units[unit])(value)
                    )
                elif name in view and name != "value" and value == view[name]:
                    continue  # as it is
                elif name in view and name != "value" and known is not None:
                    assert Decimal(repr(view[name])) == known.money(value), name
        if table == "performance_metrics":
            for row, view in zip(rows[table], views[table], strict=True):
                known = grids[row["symbol"]]
                exact = {"money": known.money, "lots": known.quantity, "count": Decimal}[row["unit"]](row["value"])
                assert Decimal(repr(view["value"])) == exact


def test_latencies_in_the_views_are_differences_of_times(create: Create):
    store, stream = create(), long_stream(300)
    store.write((0, stream.orders), (0, stream.reports))
    rows, views = read_tables(store.path), read_tables(store.path, "_decimal")
    for row, view in zip(rows["orders"], views["orders"], strict=True):
        assert view["decision_us"] == (row["created_ns"] - row["trigger_ns"]) / 1e3
        filled = row["filled_ns"]
        assert view["end_to_end_us"] == (None if filled is None else (filled - row["trigger_ns"]) / 1e3)
        if row["filled_lots"]:
            tick = FACTS.instruments[[i.symbol for i in FACTS.instruments].index(row["symbol"])].tick
            assert view["average_price"] == pytest.approx(
                row["filled_value"] / row["filled_lots"] * float(tick), rel=1e-12
            )
    for row, view in zip(rows["trades"], views["trades"], strict=True):
        assert view["exchange_us"] == (row["acted_ns"] - row["created_ns"]) / 1e3


# Facts


@pytest.mark.parametrize(
    "instruments, strategies, words",
    [
        ((), ("s",), "1..16 symbols"),
        ((Instrument("A", "1", "1"),) * 2, ("s",), "different names"),
        ((Instrument("A", "1", "1"),), (), "1..9 strategies"),
        ((Instrument("A", "0", "1"),), ("s",), "above 0"),
        ((Instrument("A", "x", "1"),), ("s",), "no number"),
        ((Instrument("A", "0.33333333", "0.33333333"),), ("s",), "at most 2147483648"),
        ((Instrument("A", "1e-20", "1e-20"),), ("s",), "22"),
    ],
)
def test_facts_that_no_database_can_hold_are_refused(instruments, strategies, words: str):
    with pytest.raises(BadInput, match=words):
        check_facts(RunFacts("r", "simulated", "", instruments, strategies))
