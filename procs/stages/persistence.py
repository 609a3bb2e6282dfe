"""The persistence process: a gating reader of orders and reports, which releases what the database holds.

Invariants:
- A ring's slot is released only after the transaction that holds its record is committed, so a killed process loses
  nothing: its successor reads on at the cursors of the database.
- What was acknowledged so is in the database, or the stage does not begin: a log that was cut, a page that was overwritten
  while nobody wrote, is named and never continued.
- Storage that refuses for a while (locked, full) is waited for; the records stay in their rings meanwhile.
"""

import contextlib
import logging
import time
from pathlib import Path

import numpy as np

from procs.logs import LOGGER
from procs.stages.patience import Patience
from procs.topology import Segments
from ringsim.control import S_HEARTBEAT_NS, S_STATE, S_WAITS, WAITS_FOR_LOCK, WAITS_FOR_SPACE, Stage, StageState, block
from ringsim.fold.intake import NO_INPUT, WORKING
from ringsim.fold.trap import BEFORE_RELEASE, FOLDED, RELEASED, WRITTEN, trap
from ringsim.kernel import kernel
from ringsim.limits import STORE_CHECK_BYTES
from ringsim.records import MARKET_EVENT, Trading
from ringsim.ring import OK, available, poll, release
from ringsim.ring.layout import W_PUBLISHED
from ringsim.ring.ring import R_NEXT
from ringsim.store.errors import StoreCorrupt, StoreError, StoreLocked
from ringsim.store.fault import Fault, as_error, step_fault
from ringsim.store.runlog import NAME as LOG_NAME
from ringsim.store.runlog import RunLog
from ringsim.store.sqlite import Store

_MOST = 4096  # records of one transaction and ring
_SLOW_S = 0.1  # of a step at a disk that is slow on purpose
_NAP_MIN_S, _NAP_MAX_S = 0.001, 0.04  # with nothing to write; each look costs a stage on the same core about 0.1 ms
_SIMULATED_NAP_S = 0.01  # at full speed a ring is half full after 40 ms
# A transaction costs a stage on the same core 1 ms, however few its records; and feeds tick in tenths of a second. Under the
# simulated clock nobody waits for an event, and everybody for a full ring.
_BATCH_AGE_NS, _SIMULATED_AGE_NS = 230_000_000, 50_000_000
_LOOK_AGE_NS = 330_000_000  # of the market's records, which are only counted: 0.3 ms


@kernel
def copy_out(consumer, into):
    """Copy what can be read, up to the size of `into` (int64[records * width]), without releasing it. Returns the count."""
    ring = consumer.ring
    count = min(available(consumer), into.size // ring.width)
    for i in range(count):
        base = ((consumer.at[R_NEXT] + i) & ring.mask) * ring.width
        for k in range(ring.width):
            into[i * ring.width + k] = ring.words[base + k]
    return count


@kernel
def copy_lossy(observer, into):
    """Copy what a lossy reader can get, up to the size of `into`. Returns the count; losses are in the observer's words."""
    width = observer.ring.width
    count = 0
    for i in range(into.size // width):
        if poll(observer, into, i * width) & OK == 0:
            break
        count += 1
    return count


class PersistenceStage:
    """A StageProgram whose work is SQLite's: Python, in batches."""

    stage, name = Stage.PERSISTENCE, "persistence"

    def __init__(self, segments: Segments) -> None:
        plan = segments.plan
        self.plan, self.control = plan, segments.control
        self.orders = segments.rings["orders"].consumer(self.name)
        self.reports = segments.rings["reports"].consumer(self.name)
        self.buffers = {
            name: np.zeros(_MOST * segments.rings[name].ring.width, np.int64) for name in ("orders", "reports")
        }
        self.dtypes = {name: segments.rings[name].dtype for name in ("orders", "reports")}
        self.reason = NO_INPUT
        self.nap_s = _NAP_MIN_S
        self.age_ns = _SIMULATED_AGE_NS if plan.simulated else _BATCH_AGE_NS
        self.nap_max_s = _SIMULATED_NAP_S if plan.simulated else _NAP_MAX_S
        self.patience = Patience(plan.storage_patience_s, logging.getLogger(LOGGER))
        self.store = self._opened(Path(plan.database))
        facts = self.store.facts
        self.log = RunLog(
            Path(plan.folder) / LOG_NAME,
            facts.strategies,
            [instrument.symbol for instrument in facts.instruments],
            cursors={ring: self.store.next_seq(ring) for ring in ("orders", "reports")},
        )
        self.market = segments.rings["market"].observer(resync="oldest")
        self.market.at[R_NEXT] = self.log.next_seq("market")
        self.events = np.zeros(_MOST * self.market.ring.width, np.int64)
        self.written = 0
        self.log_failed = False
        self.last_batch_ns = self.last_look_ns = time.monotonic_ns()

    def _opened(self, path: Path) -> Store:
        """The database, at its cursors; as long as it is locked or the disk full, once more."""
        size_bytes = sum(p.stat().st_size for p in (path, path.with_name(path.name + "-wal")) if p.exists())
        while True:
            try:
                store = Store.open(
                    path,
                    wait=self._wait_for_lock,
                    seam=self._step,
                    check="pages" if size_bytes <= STORE_CHECK_BYTES else "none",
                )
            except StoreError as error:
                self._refused(error)
                continue
            self.patience.granted()
            break
        for name, consumer in (("orders", self.orders), ("reports", self.reports)):
            stored, acknowledged = store.next_seq(name), int(consumer.at[R_NEXT])
            if stored < acknowledged:
                store.close()
                raise StoreCorrupt(
                    f"{path} holds {stored} {name} records and {acknowledged} were stored: its log was cut or overwritten; "
                    "keep it for inspection and run again"
                )
        return store

    def _step(self, step: str) -> None:
        """One of the store's steps at the disk, which fails or takes long if that was asked from outside."""
        fault = step_fault(self.control, block(self.stage))
        if fault is Fault.SLOW:
            time.sleep(_SLOW_S)
        elif fault is not Fault.NONE:
            raise as_error(fault)

    def _wait_for_lock(self, seconds: float) -> None:
        """Another program writes: say so, beat, and let it."""
        at = block(self.stage)
        self.control[at + S_WAITS], self.control[at + S_HEARTBEAT_NS] = WAITS_FOR_LOCK, time.monotonic_ns()
        time.sleep(seconds)

    def _refused(self, error: StoreError) -> None:
        """Wait a little for storage that may take it later; anything else, or too long a wait, is the stage's end."""
        if not error.transient:
            raise error
        self.patience.refused(error)
        self.reason = WAITS_FOR_LOCK if isinstance(error, StoreLocked) else WAITS_FOR_SPACE
        time.sleep(self.nap_s)
        self.nap_s = min(2 * self.nap_s, self.nap_max_s)

    def slice(self, until_ns: int, inputs: int, epoch: int) -> int:
        """One transaction when a batch is together or the last one is some time ago; else a wait."""
        waiting = [int(c.ring.header[W_PUBLISHED]) - int(c.at[R_NEXT]) for c in (self.orders, self.reports)]
        now = time.monotonic_ns()
        if sum(waiting) == 0 or not self._batch_is_due(waiting, now):
            self.reason = NO_INPUT
            if self._market_is_due(now) and self._watch_market() == _MOST:
                self.nap_s = _NAP_MIN_S
            else:
                time.sleep(self.nap_s)
                self.nap_s = min(2 * self.nap_s, self.nap_max_s)
            return 0
        if sum(waiting) >= self.plan.batch_size:  # there is much: what waits the next time, waits shortly
            self.nap_s = _NAP_MIN_S
        self.reason = WORKING
        counts = {}
        # Reports first: whatever they answer was published before them, so the batch has their orders, too.
        for name, consumer in (("reports", self.reports), ("orders", self.orders)):
            counts[name] = int(copy_out(consumer, self.buffers[name]))
        self._trap(FOLDED)
        try:
            self.write(counts)
        except StoreError as error:
            self._refused(error)
            self._watch_market()
            return 0
        self.patience.granted()
        self._trap(BEFORE_RELEASE)
        release(self.orders, counts["orders"])
        self._trap(RELEASED)
        release(self.reports, counts["reports"])
        self.last_batch_ns = time.monotonic_ns()
        done = sum(counts.values())
        self.written += done
        return done

    def write(self, counts: dict[str, int]) -> None:
        """Both rings' records in one transaction."""
        records = {
            name: self.buffers[name][: counts[name] * (dtype.itemsize // 8)].view(dtype)
            for name, dtype in self.dtypes.items()
        }
        # The log first: what a kill leaves uncommitted comes again, and the log skips what it has.
        self.log.add_orders(int(self.orders.at[R_NEXT]), records["orders"])
        self.log.add_reports(int(self.reports.at[R_NEXT]), records["reports"])
        self._flush_log()
        self._trap(WRITTEN)
        self.store.write(
            orders=(int(self.orders.at[R_NEXT]), records["orders"]),
            reports=(int(self.reports.at[R_NEXT]), records["reports"]),
        )

    def _trap(self, point: np.int64) -> None:
        """Die here if that was asked: with a batch copied, logged but not stored, stored but not released, half released."""
        trap(self.control, block(self.stage), point, self.written)

    def _batch_is_due(self, waiting: list[int], now_ns: int) -> bool:
        """Whether to store what waits: there is much, it is some time since the last batch, or nothing more will come.

        waiting: records by ring. Much is a batch, or a quarter of a small ring, for whose writer nobody is to wait.
        """
        if sum(waiting) >= self.plan.batch_size or now_ns - self.last_batch_ns >= self.age_ns:
            return True
        if any(4 * count > c.ring.mask for count, c in zip(waiting, (self.orders, self.reports), strict=True)):
            return True
        writers = (block(stage) + S_STATE for stage in (Stage.STRATEGY, Stage.EXECUTION))
        return all(self.control[at] == StageState.DONE for at in writers)

    def _market_is_due(self, now_ns: int) -> bool:
        """Whether to look at the market: much has come, or the last look is some time ago."""
        behind = int(self.market.ring.header[W_PUBLISHED]) - int(self.market.at[R_NEXT])
        return behind >= _MOST // 4 or now_ns - self.last_look_ns >= _LOOK_AGE_NS

    def _watch_market(self) -> int:
        """A summary line for each second of the market; what this reader is too slow for is missing in it."""
        self.last_look_ns = time.monotonic_ns()
        first = int(self.market.at[R_NEXT])
        count = int(copy_lossy(self.market, self.events))
        if count:
            records = self.events[: count * self.market.ring.width].view(MARKET_EVENT)
            self.log.add_market(max(first, int(records[0]["stamp"]) - 1), records)
        return count

    def _flush_log(self) -> None:
        """Nothing waits for the log: on a full disk it keeps what it can and says later what it could not."""
        try:
            self.log.flush()
        except StoreError as error:
            if not self.log_failed:
                logging.getLogger(LOGGER).warning("%s", error)
            self.log_failed = True

    def say(self, code: int, value: int) -> bool:
        """The database does not care."""
        return True

    def done(self) -> bool:
        return all(int(c.ring.header[W_PUBLISHED]) == int(c.at[R_NEXT]) for c in (self.orders, self.reports))

    def progress(self) -> tuple[int, int, int, int]:
        return self.written, self.written, 0, self.reason

    def trading(self) -> int:
        return int(Trading.ACTIVE)

    def close(self) -> None:
        """Commit and close the database, then the log."""
        while self._watch_market():
            pass
        self.store.close()
        self._flush_log()
        with contextlib.suppress(StoreError):  # said by the flush
            self.log.close()
