"""A run's decisions as a file for other programs: CSV, JSON lines or Parquet, the same values in each.

Invariant: a file under the asked name is whole; it grows beside it and takes its name at the end. Values are exact: CSV and
JSON lines show the integers' decimals, Parquet has DECIMAL columns. Rows are written as they are read; for Parquet they go
through a CSV file beside the target, which duckdb reads as a stream.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from procs.history import market_again
from procs.record import database_of, state_of
from ringsim.analysis.decisions import STRATEGY, Decision, Decisions, text
from ringsim.errors import BadInput
from ringsim.store.connection import check_pages, check_records, connect_reading, typed
from ringsim.store.errors import StoreExists, StoreFault, StoreFull
from ringsim.store.files import replacing
from ringsim.store.manifest import Manifest, read_manifest

CSV, JSONL, PARQUET = "csv", "jsonl", "parquet"
FORMATS = (CSV, JSONL, PARQUET)
_FLUSH_ROWS = 4096
_NUMBER_DIGITS = 38  # of DECIMAL in Parquet
_MEMORY = "512MB"  # that duckdb may take; it reads and writes streams


class Exported(msgspec.Struct, frozen=True):
    """What was written. path: None for stdout. state: how the run ended, or that it goes on: then the rows are those so far."""

    run_id: str
    format: str
    path: str | None
    rows: int
    state: str
    market: bool  # whether the columns of the market are filled


@contextmanager
def reading(folder: Path) -> Iterator[tuple[Manifest, Path, sqlite3.Connection]]:
    """A run's manifest, and its database as of one moment, whole: raises StoreCorrupt and the like if it is not."""
    manifest, path = read_manifest(folder), database_of(folder)
    with closing(connect_reading(path)) as connection:
        try:
            connection.execute("BEGIN")
            check_pages(connection, path)
            check_records(connection, path)
            yield manifest, path, connection
        except sqlite3.Error as error:
            raise typed(error, path, "reading") from None


def export(
    folder: Path, form: str, to: Path | None, *, over: bool = False, market: bool = True, stdout: BinaryIO | None = None
) -> Exported:
    """Write the decisions of the run in `folder`.

    form: of FORMATS. to: the file; None writes to `stdout` (not Parquet). over: may replace a file. market: False leaves the
    columns of the market empty, where it cannot be told again. Raises BadInput (procs.history.NoMarket among it), StoreError.
    """
    if to is not None and not over and os.path.lexists(to):  # before anything that takes time
        raise StoreExists(f"{to} is there already; --force replaces it")
    with reading(folder) as (manifest, path, connection):
        events = market_again(manifest, folder, connection).events if market else None
        rows = Decisions(connection, path, events)
        if to is None:
            assert stdout is not None and form != PARQUET
            with nullcontext(stdout) as file:
                _WRITERS[form](rows, file)
        elif form == PARQUET:
            _write_parquet(rows, to, over=over)
        else:
            with replacing(to, over=over) as file:
                _WRITERS[form](rows, file)
        state = state_of(manifest, folder)
        return Exported(manifest.run_id, form, None if to is None else str(to), rows.count, state, market)


def _write_lines(rows: Decisions, file: BinaryIO, line: Callable[[Decision], str]) -> None:
    lines: list[str] = []
    for row in rows:
        lines.append(line(row))
        if len(lines) == _FLUSH_ROWS:
            file.write("".join(lines).encode())
            lines.clear()
    file.write("".join(lines).encode())


def write_csv(rows: Decisions, file: BinaryIO) -> None:
    """A header of the columns, then a line a row; a value that is not known is empty. Nothing needs quotes."""
    file.write((",".join(rows.columns) + "\n").encode())
    _write_lines(rows, file, lambda row: ",".join(text(row, rows.places_of(row), rows.columns)) + "\n")


def write_jsonl(rows: Decisions, file: BinaryIO) -> None:
    """An object a line, keys as the columns; numbers with all their decimals, null for a value that is not known."""

    def line(row: Decision) -> str:
        values = zip(rows.columns, text(row, rows.places_of(row), rows.columns), strict=True)
        return "{" + ",".join(f'"{name}":{_json(name, value)}' for name, value in values) + "}\n"

    _write_lines(rows, file, line)


def _json(name: str, value: str) -> str:
    return f'"{value}"' if name == "action" else value or "null"


_WRITERS = {CSV: write_csv, JSONL: write_jsonl}


def _write_parquet(rows: Decisions, to: Path, *, over: bool) -> None:
    duckdb = _duckdb()
    with replacing(to, over=over) as file:
        grown = Path(file.name)
        plain = grown.with_name(grown.name + ".csv")
        try:
            with plain.open("wb") as lines:
                write_csv(rows, lines)
            _convert(duckdb, plain, grown, parquet_types(rows))
        except duckdb.Error as error:
            line = str(error).splitlines()[0]
            if "space" in line or "File too large" in line or "quota" in line:
                raise StoreFull(f"{to}: writing: {line}; free some space") from None
            raise StoreFault(f"{to}: writing: {line}; look at the disk") from None
        finally:
            plain.unlink(missing_ok=True)


def parquet_types(rows: Decisions) -> dict[str, str]:
    """The columns' types: DECIMAL with the most decimals that any instrument of the run needs."""
    types = {"t": "BIGINT", "action": "VARCHAR", "halted": "TINYINT", STRATEGY: "TINYINT"}
    places: dict[str, int] = {}
    for scales in rows.scales:
        places |= {name: max(n, places.get(name, 0)) for name, n in scales.places.items()}
    types |= {name: f"DECIMAL({_NUMBER_DIGITS},{n})" for name, n in places.items()}
    return {name: types[name] for name in rows.columns}


def _convert(duckdb: Any, plain: Path, grown: Path, types: dict[str, str]) -> None:
    """CSV to Parquet, as a stream, in the same order. Errors of duckdb."""
    columns = ", ".join(f"'{name}': '{kind}'" for name, kind in types.items())
    with closing(duckdb.connect(":memory:")) as engine:
        engine.execute(f"SET memory_limit = '{_MEMORY}'; SET threads = 1; SET enable_progress_bar = false")
        engine.execute(f"SET temp_directory = {_quoted(str(plain.parent))}")
        engine.execute(
            f"COPY (SELECT * FROM read_csv({_quoted(str(plain))}, header = true, auto_detect = false, delim = ',', "
            f"nullstr = '', columns = {{{columns}}})) TO {_quoted(str(grown))} (FORMAT parquet, "
            "COMPRESSION zstd, USE_TMP_FILE false)"
        )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _duckdb() -> Any:
    try:
        import duckdb
    except ImportError:
        raise BadInput(
            "Parquet needs the package duckdb: pip install duckdb, or choose --format csv or jsonl"
        ) from None
    return duckdb
