"""A run from its start to its summary: processes (`run_pipeline`) or one (`run_backtest`); the same folds, the same digest."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from procs.audit import audit
from procs.first import first_broker, first_strategy, install_strategies, prepare, schedule_of
from procs.latencies import write_latencies
from procs.logs import LogFile
from procs.postmortem import write_terminal
from procs.prepare import Prepared
from procs.readmodel import ReadModel, View
from procs.screens import Screen
from procs.states import ENDED_STOPPED, INGEST_STATE
from procs.supervisor import POLL_MS, Supervisor
from procs.topology import HOPS, Segments
from procs.unending import until_unending
from ringsim import __version__, summary
from ringsim.broker.latency import latency_entry_min
from ringsim.lifecycle import Lifecycle
from ringsim.market.binance import MessageKind
from ringsim.market.feed import fold_capture
from ringsim.pipeline import Pipeline
from ringsim.records import Reason
from ringsim.store.digest import digest_database
from ringsim.store.errors import StoreError
from ringsim.store.files import typed_os
from ringsim.store.runlog import NAME as LOG_NAME
from ringsim.store.runlog import RunLog
from ringsim.store.schema import RunFacts
from ringsim.store.sqlite import Store
from ringsim.strategy.protocol import MAX_INTENTS

_FAULTS: dict[int, str] = {
    Reason.STRATEGY_RAISED: "raised (or reached out of an array, or divided by zero)",
    Reason.STRATEGY_COUNT: f"returned no number of intents from 0 to {MAX_INTENTS}",
}


def create_database(prepared: Prepared) -> None:
    """An empty database with the run's facts."""
    path = Path(prepared.plan.database)
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = RunFacts(
        run_id=prepared.run_id,
        clock="simulated" if prepared.plan.simulated else "realtime",
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        instruments=(prepared.instrument,),
        strategies=prepared.strategy_ids,
        ringsim=__version__,
    )
    Store.create(path, facts, wait=time.sleep).close()


def log_sink(folder: Path) -> LogFile:
    """The run's log file. Raises StoreFull and the like."""
    path = folder / "log.txt"
    try:
        return LogFile(path)
    except OSError as error:
        raise typed_os(error, path, "opening") from None


def _summary(prepared: Prepared, states: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What both kinds of run have in common. states: of each stage; of the strategies an array of them, by number."""
    feed, strategies, broker = states["ingest"].feed, states["strategy"], states["execution"]
    meta, counts = prepared.capture.meta, feed.counts
    names: tuple[str, ...] = ("other", "depth", "trade", "bookTicker", "snapshot", "bad")
    if counts.messages[MessageKind.PREDICTION]:
        names = (*names, "prediction")
    return {
        "run_id": prepared.run_id,
        "clock": "simulated" if prepared.plan.simulated else "realtime",
        "source": [f.path for f in meta.files] or [meta.market],
        "symbol": meta.symbol,
        "strategy": ", ".join(prepared.strategies),
        "exchange": prepared.exchange,
        "messages": {name: int(counts.messages[k]) for k, name in enumerate(names)},
        "feed": {
            "gaps": int(counts.gaps),
            "stale": int(counts.stale),
            "resyncs": int(counts.resyncs),
            "skew_removed_ms": -meta.skew_ns / 1e6,
        },
        "messages_taken": int(feed.next),
        "events_published": int(states["ingest"].out),
        "market_lost": sum(int(s.pos.lost) for s in strategies),
        "signals": sum(int(s.signals) for s in strategies),
        "orders": summary.orders_summary(strategies, broker),
        **summary.account_summary(broker, prepared.instrument),
        **next(({"halted": Reason(int(s.user.fault)).name} for s in strategies if s.user.fault), {}),
        "strategies": [
            {"number": k, "strategy_id": prepared.strategy_ids[k], "name": name}
            | summary.share_summary(strategies[k], broker, prepared.instrument)
            for k, name in enumerate(prepared.strategies)
        ],
        **more,
        "notes": [
            *prepared.notes,
            *(note for s in strategies for note in (*_unsent(prepared, s), *_of_user(prepared, s))),
            *_why_degraded(prepared, feed, more["exit_state"]),
        ],
        "database": prepared.plan.database,
        "out": str(prepared.folder),
    }


def _unsent(prepared: Prepared, strategy: Any) -> Iterator[str]:
    """Orders of a schedule whose time did not come."""
    count = len(schedule_of(prepared.plan.strategies[int(strategy.p.strategy)])) - int(strategy.scripted.next)
    if count > 0:
        yield f"orders of the schedule{_which(prepared, strategy)} that lie after the end of the run, and were not sent: {count}"


def _which(prepared: Prepared, strategy: Any) -> str:
    """Of several strategies, which one."""
    number = int(strategy.p.strategy)
    return f" {prepared.strategy_ids[number]}" if len(prepared.strategies) > 1 else ""


def _of_user(prepared: Prepared, strategy: Any) -> Iterator[str]:
    """What a user's strategy did wrong."""
    which = _which(prepared, strategy)
    if fault := int(strategy.user.fault):
        since = (int(strategy.user.fault_ns) - prepared.capture.meta.first_recv_ns) / 1e9
        when = f" {since:.3f} s after the first message" if prepared.plan.simulated else ""
        what = f"the strategy{which} {_FAULTS[fault]}{when} ({Reason(fault).name})"
        yield f"{what}: its orders were cancelled, and it was not called any more"
    if bad := int(strategy.user.bad):
        yield f"intents of the strategy{which} that were none, and were refused or left out: {bad:,}"


def _why_degraded(prepared: Prepared, feed: Any, exit_state: str) -> Iterator[str]:
    """Why a feed ended without a valid book, unless the capture has said so already: it may have no snapshot at all."""
    if exit_state != summary.DEGRADED:
        return
    if feed.counts.gaps:
        yield "a gap in the feed was mended by no later snapshot: from there on the book was not valid, and the run ends DEGRADED"
    elif feed.counts.messages[MessageKind.SNAPSHOT]:
        yield "the snapshot does not meet the diffs: the book never became valid, and the run ends DEGRADED"
    elif prepared.capture.meta.counts.get("snapshot"):
        yield "the run ends before the capture's snapshot: the book never became valid, and the run ends DEGRADED"


def fold_session(
    prepared: Prepared, commands: Sequence[tuple[int, int, int]], stopped: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The market events of a run and the feed's last state. commands: (message, code, value), each before its message."""
    plan, index = prepared.plan, prepared.capture.index
    part = replace(prepared.capture, index=index[: plan.messages].view(np.recarray))
    return fold_capture(part, latency_ns=plan.base_latency_ns, controls=commands, stopped=stopped)


def run_backtest(
    prepared: Prepared,
    commands: Sequence[tuple[int, int, int]] = (),
    *,
    stopped: bool = False,
    interrupted: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """The folds in this process, on the simulated clock. Returns the summary; its digest is that of the processes.

    commands, stopped: what an operator said in the run that is repeated, as its summary lists it.
    interrupted: asked after each batch; once it is true the rest is left out, and the summary says so.
    """
    started, plan = time.monotonic(), prepared.plan
    create_database(prepared)
    install_strategies(plan)
    events, feed = fold_session(prepared, commands, stopped)
    ingest = np.zeros(1, INGEST_STATE).view(np.recarray)
    ingest["feed"], ingest["out"] = feed, len(events)
    strategies = np.concatenate([first_strategy(plan, number) for number in range(len(plan.strategies))])
    strategies, broker = strategies.view(np.recarray), first_broker(plan)
    bound_ns = int(latency_entry_min(broker[0].p.latency))
    pipeline = Pipeline(strategies, broker, events, bound_ns, [schedule_of(one) for one in plan.strategies])
    folded = time.monotonic()
    facts = (prepared.strategy_ids, [prepared.instrument.symbol])
    with (
        RunLog(prepared.folder / LOG_NAME, *facts) as log,
        Store.open(plan.database, wait=time.sleep, check="none", synchronous="normal") as store,
    ):
        for orders_at, orders, reports_at, reports in until_unending(prepared, strategies, pipeline.run()):
            log.add_orders(orders_at, orders)
            log.add_reports(reports_at, reports)
            store.write(orders=(orders_at, orders), reports=(reports_at, reports))
            if interrupted():
                break
        wall = time.monotonic()
        log.add_market(0, events)
    states = {"ingest": ingest[0], "strategy": strategies, "execution": broker[0]}
    return _summary(
        prepared,
        states,
        digest=digest_database(plan.database),
        wall_s=round(wall - started, 6),
        fold_s=round(wall - folded, 6),
        events_per_s=round(len(events) / (wall - folded)),
        lifecycle=[],
        latency_us={},
        rings={},
        restarts=0,
        exit_state=_exit_state(states, failure=None, interrupted=interrupted()),
    )


def _exit_state(states: dict[str, Any], *, failure: str | None, interrupted: bool) -> str:
    return summary.exit_state(
        failure=failure,
        interrupted=interrupted,
        strategies=states["strategy"],
        broker=states["execution"],
        book_valid=bool(states["ingest"].feed.book.valid == 1),
    )


class Signals:
    """SIGINT, SIGTERM and SIGHUP end a run in good order; a second SIGINT ends it now. What is ignored (nohup) stays so."""

    def __init__(self, stop: Callable[[str], None]) -> None:
        self.stop, self.caught = stop, ""
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Signals":
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._on)
        return self

    def _on(self, number: int, _: object) -> None:
        if self.caught and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.caught = signal.Signals(number).name
        self.stop(self.caught)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def run_pipeline(
    prepared: Prepared,
    screen: Screen,
    each_turn: Callable[[Supervisor], None] = lambda parent: None,
    *,
    poll_ms: int = POLL_MS,
    adopt: bool = False,
) -> dict[str, Any]:
    """The processes. Returns the summary; a failed run has one, too, with its reason.

    each_turn: called in every turn of the parent's loop; what tests and chaos act from. poll_ms: a turn takes no longer.
    adopt: go on in the shared memory that a killed parent has left (procs.resume).
    """
    started, folder = time.monotonic(), prepared.folder
    if not Path(prepared.plan.database).exists():
        create_database(prepared)
    with (
        closing(log_sink(folder)) as sink,
        Supervisor(prepared.plan, sink, on_warming=screen.warming) as parent,
    ):
        with Signals(parent.stop) as signals:
            parent.start(prepare, adopt=adopt)
            assert parent.segments is not None
            model = ReadModel(parent.segments, owner=False)
            opened = False
            try:
                while not parent.finished:
                    if parent.lifecycle is Lifecycle.READY and not opened:
                        opened = True
                        screen.open(model.look)
                    parent.step(poll_ms)
                    each_turn(parent)
                    screen.update()
                parent.halt()
            finally:
                screen.close()
        segments = parent.segments
        roles = prepared.plan.strategy_roles
        states: dict[str, Any] = {
            "ingest": _ended(segments, "ingest")[0],
            "strategy": _ended(segments, *roles),
            "execution": _ended(segments, "execution")[0],
        }
        interrupted = bool(signals.caught)
        if not prepared.plan.simulated:
            with suppress(StoreError):  # a full disk: the summary, which says so, has the percentiles
                write_latencies(folder, segments.hops, HOPS)
        acknowledged = {ring: segments.rings[ring].gating_cursors()["persistence"] for ring in ("orders", "reports")}
        found = audit(Path(prepared.plan.database), acknowledged)
        failure = "; and ".join(why for why in (parent.failure, found.problem) if why) or None
        terminal = None
        if parent.failure is not None:
            terminal = write_terminal(folder, parent.scene, segments, states["execution"], prepared.instrument)
        result = _summary(
            prepared,
            states,
            digest=found.digest,
            wall_s=round(time.monotonic() - started, 6),
            lifecycle=summary.lifecycle_summary(parent.changes, parent.started_ns),
            latency_us=summary.latency_summary(segments.hops, HOPS),
            rings=ring_summary(model.look(), parent.behind.max_lag, found.stored),
            restarts=parent.restarts,
            recovery_ms=[round(ns / 1e6, 3) for ns in parent.losses.recoveries_ns],
            detection_ms=[round(ns / 1e6, 3) for ns in parent.losses.unseen_ns()],
            commands=parent.commands_said,
            stopped=int(states["ingest"].ended) == ENDED_STOPPED,
            failure=failure,
            terminal=terminal,
            exit_state=_exit_state(states, failure=failure, interrupted=interrupted),
        )
    if sink.missing:
        result["notes"] = [*result["notes"], f"log.txt lacks {sink.missing} lines: {sink.reason}"]
    return result


def _ended(segments: Segments, *stages: str) -> np.ndarray:
    """The last states of stages of one kind: a recarray that outlives the segments."""
    return np.array([segments.good(stage).copy() for stage in stages]).view(np.recarray)


def ring_summary(
    view: View, max_lag: dict[str, tuple[int, str | None]], stored: dict[str, int]
) -> dict[str, dict[str, Any]]:
    """Each ring at the end. max_lag: the largest lag that the parent saw, and who gated then. stored: by the database."""
    return {
        ring.name: {
            "published": ring.published,
            "lost": sum(ring.lost.values()),
            "max_lag": max_lag.get(ring.name, (0, None))[0],
            "capacity": ring.capacity,
            "gated_by": max_lag.get(ring.name, (0, None))[1],
            **({"stored": stored[ring.name]} if ring.name in stored else {}),
        }
        for ring in view.rings
    }
