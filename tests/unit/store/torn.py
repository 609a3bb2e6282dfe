"""A database's write-ahead log and a run's event log, cut wherever a power cut may cut them. Also a program:

    python -m tests.unit.store.torn [STEP [FIRST]]

cuts both at every STEP-th byte (1: at each; some minutes) from byte FIRST on, and says in one line what came of it. What is
left of the write-ahead log must be the whole batches before the cut; the event log must go on to the same bytes as if nothing
had happened. The first cut after which that is not so ends it with exit code 1, and with the command that repeats it.
"""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from ringsim.store.digest import digest_database
from ringsim.store.errors import StoreError
from ringsim.store.runlog import RunLog
from ringsim.store.sqlite import Check, Store
from tests.unit.store.conftest import no_wait
from tests.unit.store.streams import FACTS, STRATEGIES, SYMBOLS, Stream, long_stream, slices
from tests.unit.store.tables import assert_reconciled, read_tables


class Files:
    """Copies of a database and its log, taken while the writer lived, to be cut and opened with `check`."""

    check: Check = "rows"

    def __init__(self, store: Store, folder: Path, stream: Stream, ends: list[tuple[int, int]]) -> None:
        self.stream, self.ends, self.folder = stream, [(0, 0), *ends], folder
        self.expected: dict[tuple[int, int], object] = {}  # cursors -> what was there, reconciled once
        self.files = {name: (store.path.with_name(store.path.name + name).read_bytes()) for name in ("", "-wal")}

    def opened_after(self, changes: dict[str, bytes]) -> tuple[int, int] | StoreError:
        """The cursors that a successor finds, everything before them reconciled; or the error that it gets."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        path = self.folder / "run.db"
        for name, text in (self.files | changes).items():
            path.with_name(path.name + name).write_bytes(text)
        try:
            store = Store.open(path, wait=no_wait, check=self.check, synchronous="normal")
        except StoreError as error:
            return error
        with store:
            found = store.next_seq("orders"), store.next_seq("reports")
        assert found in self.ends
        expected = self.expected.get(found)
        if expected is None:
            assert_reconciled(path, self.stream.orders[: found[0]], self.stream.reports[: found[1]])
            expected = self.expected[found] = read_tables(path), digest_database(path)
        assert (read_tables(path), digest_database(path)) == expected
        return found


def written(store: Store, folder: Path, actions: int, batch: int, checkpoint_after: int) -> Files:
    """A database whose first batches are in the file and whose last ones are in the log only."""
    stream = long_stream(actions)
    ends = stream.cuts[batch::batch]
    store._execute("PRAGMA wal_autocheckpoint = 0")
    for k, part in enumerate(slices(stream, ends)):
        if k == checkpoint_after:
            store.checkpoint()
        store.write(**part)
    return Files(store, folder / "cut", stream, ends)


def cut_log(files: Files, cuts: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Cut the write-ahead log at each of `cuts`, ascending: the cursors found, never fewer than before. Raises AssertionError."""
    before = (0, 0)
    for cut in cuts:
        result = files.opened_after({"-wal": files.files["-wal"][:cut]})
        assert not isinstance(result, StoreError), f"log cut at byte {cut}: {result}"
        assert result >= before, f"log cut at byte {cut}: a longer log never holds less"
        before = result
        yield result


def cut_events(folder: Path, stream: Stream, ends: list[tuple[int, int]], step: int, first: int = 0) -> int:
    """Cut the event log at every step-th byte and go on from what the database has by then. Returns how many cuts.

    The log is flushed before its batch is committed, so of a log that ends at the cut the database holds the batches that
    are logged whole.
    """
    path, batches = folder / "events.jsonl", slices(stream, ends)

    def write(log: RunLog, parts: list[dict]) -> Iterator[int]:
        for part in parts:
            log.add_orders(*part["orders"])
            log.add_reports(*part["reports"])
            log.flush()
            yield path.stat().st_size

    with RunLog(path, STRATEGIES, SYMBOLS) as log:
        sizes = list(write(log, batches))
    whole = path.read_bytes()
    cuts = range(first, len(whole) + 1, step)
    for cut in cuts:
        path.write_bytes(whole[:cut])
        logged = sum(size <= cut for size in sizes)
        cursors = dict(zip(("orders", "reports"), [(0, 0), *ends][logged], strict=True))
        with RunLog(path, STRATEGIES, SYMBOLS, cursors=cursors) as log:
            for _ in write(log, batches[logged:]):
                pass
        assert path.read_bytes() == whole, f"event log cut at byte {cut}: it went on to something else"
    return len(cuts)


def main(step: int = 1, first: int = 0) -> None:
    began = time.monotonic()
    # In memory, where syncing costs nothing; the janitor of segments knows its own by another name.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="torn-", dir=memory) as made:
        folder = Path(made)
        stream = long_stream(40)
        events = cut_events(folder, stream, stream.cuts[10::10], step, first)
        print(f"the event log was cut at {events:,} places, and went on as if nothing had happened", file=sys.stderr)
        with Store.create(folder / "run.db", FACTS, wait=no_wait, synchronous="normal") as store:
            files = written(store, folder, actions=24, batch=8, checkpoint_after=1)
            files.check = "pages"  # the rows are compared with what they must be, whatever the check
            size = len(files.files["-wal"])
            cuts, found, shown = range(first, size + 1, step), set(), 0
            for cut, result in zip(cuts, cut_log(files, cuts), strict=True):
                found.add(result)
                if 10 * cut // size > shown:
                    shown = 10 * cut // size
                    print(f"the write-ahead log: byte {cut:,} of {size:,}", file=sys.stderr)
    print(
        f"torn files: {events:,} cuts of the event log, {len(cuts):,} of the write-ahead log ({len(found)} prefixes of it), "
        f"every {step} bytes; none was wrong ({time.monotonic() - began:.0f} s)"
    )


if __name__ == "__main__":
    try:
        main(*map(int, sys.argv[1:]))
    except AssertionError as error:
        print(f"{error}\nagain: python -m tests.unit.store.torn {' '.join(sys.argv[1:])}", file=sys.stderr)
        sys.exit(1)
