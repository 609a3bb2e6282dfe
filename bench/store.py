"""What storing costs: records a second into SQLite and into the run log, beside bare inserts of the same bytes.

    python -m bench.store [--actions 40000] [--folder DIR] [--json]

One process, a made-up stream of orders, answers, fills and accounts; batches of 100 and 1000 actions (about as many
records); synchronous full and normal. The floor is the same records as blobs in one table, the same batches, nothing
derived. Each figure is the median of three; store_cpu_us is
processor time a record, which a busy machine does not change.
"""

import argparse
import json
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from ringsim.store.runlog import RunLog
from ringsim.store.sqlite import Store, Synchronous
from tests.unit.store.streams import FACTS, STRATEGIES, SYMBOLS, Stream, long_stream, slices

Batches = list[dict[str, tuple[int, Any]]]


def seconds_of_store(path: Path, batches: Batches, synchronous: Synchronous) -> float:
    """Wall time of writing all batches."""
    with Store.create(path, FACTS, wait=time.sleep, synchronous=synchronous) as store:
        began = time.perf_counter()
        for batch in batches:
            store.write(**batch)
        return time.perf_counter() - began


def seconds_of_floor(path: Path, batches: Batches, synchronous: Synchronous) -> float:
    """The same bytes as blobs, nothing else."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute("CREATE TABLE r (ring TEXT, seq INTEGER, record BLOB, PRIMARY KEY (ring, seq)) WITHOUT ROWID")
    began = time.perf_counter()
    for batch in batches:
        connection.execute("BEGIN IMMEDIATE")
        for ring, (first, records) in batch.items():
            rows = [(ring, first + k, r) for k, r in enumerate(records.view("V128").tolist())]
            connection.executemany("INSERT INTO r VALUES (?, ?, ?)", rows)
        connection.execute("COMMIT")
    wall = time.perf_counter() - began
    connection.close()
    return wall


def seconds_of_log(path: Path, batches: Batches) -> float:
    """The run log, flushed after each batch."""
    with RunLog(path, STRATEGIES, SYMBOLS) as log:
        began = time.perf_counter()
        for batch in batches:
            log.add_orders(*batch["orders"])
            log.add_reports(*batch["reports"])
            log.flush()
        return time.perf_counter() - began


def seconds_of_opening(path: Path) -> float:
    """A successor's start, every page looked at."""
    began = time.perf_counter()
    Store.open(path, wait=time.sleep, check="pages").close()
    return time.perf_counter() - began


def measure(stream: Stream, folder: Path) -> list[dict[str, Any]]:
    """One row a batch size and policy."""
    records, rows = len(stream.orders) + len(stream.reports), []
    for size in (100, 1000):
        batches = slices(stream, stream.cuts[size::size] + stream.cuts[-1:])
        for synchronous in ("full", "normal"):
            walls: dict[str, list[float]] = {"store": [], "floor": [], "log": []}
            cpu_s = 0.0
            for k in range(3):
                name = f"{size}.{synchronous}.{k}"
                cpu_s -= time.process_time()
                walls["store"].append(seconds_of_store(folder / f"{name}.db", batches, synchronous))
                cpu_s += time.process_time()
                walls["floor"].append(seconds_of_floor(folder / f"{name}.floor", batches, synchronous))
                walls["log"].append(seconds_of_log(folder / f"{name}.jsonl", batches))
            wall = {what: statistics.median(found) for what, found in walls.items()}
            rows.append(
                {
                    "batch_records": round(records / len(batches)),
                    "synchronous": synchronous,
                    "records": records,
                    "store_records_per_s": round(records / wall["store"]),
                    "store_cpu_us": round(cpu_s / 3 / records * 1e6, 2),
                    "floor_records_per_s": round(records / wall["floor"]),
                    "log_records_per_s": round(records / wall["log"]),
                    "commit_ms": round(wall["store"] / len(batches) * 1e3, 2),
                    "bytes_per_record": round((folder / f"{name}.db").stat().st_size / records),
                    "open_ms": round(seconds_of_opening(folder / f"{name}.db") * 1e3, 1),
                }
            )
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--actions", type=int, default=40_000)
    parser.add_argument("--folder", type=Path, help="On the disk to measure. [default: the temporary folder]")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        rows = measure(long_stream(asked.actions), Path(folder))
    if asked.json:
        print(json.dumps(rows))
        return
    print("  ".join(rows[0]))
    for row in rows:
        print("  ".join(f"{value!s:>{len(name)}}" for name, value in row.items()))


if __name__ == "__main__":
    main()
