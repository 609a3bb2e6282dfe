"""A demo's processes: a producer and a consumer, forked, in lockstep; the parent opens the steps and owns the lifecycle.

Nothing can be left behind: the names in /dev/shm are gone before the first fork (children inherit the mappings), children
are tied to the parent, and whatever ends the demo ends them. Ctrl-C, SIGTERM and a closed terminal are looked at between
slices, so they never strike half-way through a fork or a clean-up.

Invariant: after every step published = acked + lost + pending, the reader's own count of lost records is the ring's, and
every payload word was that of its sequence; otherwise the demo ends as failed.
"""

import os
import secrets
import signal
import threading
import time
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

import msgspec
import numpy as np
from setproctitle import setproctitle

from procs.demo import lockstep as at
from procs.demo.lockstep import Seen, consume, open_step, produce, reached
from procs.demo.scenario import Resync, Scenario, check, first_overrun_step, wanted_change
from procs.launcher import tie_to
from ringsim.errors import RingsimError
from ringsim.lifecycle import Change, Lifecycle, change
from ringsim.ring import RingSegment, waiter
from ringsim.shm import Segment, segment_name

_READER = "consumer"
_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class DemoFailed(RingsimError):
    """A process of the demo died, or the ring broke a law; the message says which, and in which step."""


class DemoInterrupted(KeyboardInterrupt):
    """Ctrl-C, SIGTERM or a closed terminal. `result`: the figures of the steps that were finished."""

    def __init__(self, result: "DemoResult") -> None:
        super().__init__(f"interrupted after {result.steps} steps")
        self.result = result


class Moment(msgspec.Struct, frozen=True):
    """A step that is over. waiting: records in front of the reader before it polled, lost ones included; pending: after."""

    step: int
    state: Lifecycle
    waiting: int
    published: int
    pending: int
    seen: Seen


class DemoResult(msgspec.Struct, frozen=True):
    """What is shown, and printed as JSON. steps: those that were finished. None: never."""

    scenario: str
    ring_capacity: int
    steps: int
    ingest_per_step: int
    polls_per_step: int
    producer_pid: int
    consumer_pid: int
    payload_checksum: int  # over the words that the consumer really read, in their order
    lifecycle: list[tuple[int, str]]  # step, state that begins with it
    predicted_first_overrun_step: int | None  # by the law, also where the demo ends before
    first_overrun_step: int | None
    published: int
    acked: int
    executed: int
    provisional: int
    lost: int
    pending: int
    laps: int
    empty_polls: int
    final_state: str


class _Stops:
    """While in force, what would stop the program is only noted: `caught`. A signal that is ignored stays so."""

    def __init__(self) -> None:
        self.caught = False
        self._before: dict[int, Any] = {}

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self.caught = True

    def __enter__(self) -> Self:
        for signum in _STOPS:
            if signal.getsignal(signum) is not signal.SIG_IGN:
                self._before[signum] = signal.signal(signum, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)


class _Shared:
    """The ring and the page, mapped and without a name any more, and the three handles on them."""

    def __init__(self, capacity: int, resync: Resync) -> None:
        run_id = f"demo.{os.getpid()}.{secrets.token_hex(4)}"
        with _Stops() as stops:
            self.ring = RingSegment.create(segment_name(run_id, "ring"), at.RECORD, capacity, [(_READER, "free")])
            try:
                self.segment = Segment(segment_name(run_id, "page"), create=True, size_bytes=8 * at.PAGE_WORDS)
                self.segment.unlink()
            finally:
                self.ring.segment.unlink()
        if stops.caught:
            raise KeyboardInterrupt
        self.page: np.ndarray = np.ndarray(at.PAGE_WORDS, np.int64, self.segment.buf)
        self.producer = self.ring.producer()
        self.consumer = self.ring.consumer(_READER, resync=resync)
        self.waiter = waiter("backoff")
        self.record = np.zeros(at.RECORD.itemsize // 8, np.int64)
        self.counts = np.zeros(at.COUNT_WORDS, np.int64)

    def load_kernels(self) -> None:
        """Run every kernel on nothing, so that children find them loaded and compile nothing. Leaves no trace."""
        open_step(self.page, -1, int(Lifecycle.INIT))
        produce(self.page, self.producer, self.record, 0, -1)
        consume(self.page, self.consumer, self.record, self.counts, 0, -1)
        reached(self.page, at.POLLED, 0, self.waiter)

    def seen(self) -> Seen:
        """The consumer's counts; whole between its steps."""
        return Seen(*(int(word) for word in self.page[at.SEEN : at.SEEN + len(Seen._fields)]))


class _Children:
    """The processes, by name. Whoever is not reaped when the block ends is killed: what it knew is on the page."""

    def __init__(self) -> None:
        self.pids: dict[str, int] = {}
        self._running: dict[str, int] = {}

    def fork(self, name: str, life: Callable[[], None]) -> None:
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            raise DemoFailed(f"cannot start the {name}: {os.strerror(error.errno or 0)}") from None
        if pid:
            self.pids[name] = self._running[name] = pid
            return
        try:
            tie_to(parent)
            os.setpgid(0, 0)  # Ctrl-C and Ctrl-Z are the parent's business
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            setproctitle(f"ringsim demo {name}")
            life()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)  # never unwind into the parent's work, never flush its output

    def check(self, step: int) -> None:
        """DemoFailed if one died; one that has done all its steps may leave."""
        for name, pid in list(self._running.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self._running[name]
                code = os.waitstatus_to_exitcode(status)
                if code:
                    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"failed with status {code}"
                    raise DemoFailed(f"the {name} (pid {pid}) {how} in step {step}: the demo ends here")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for pid in self._running.values():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def run_demo(scenario: Scenario, watch: Callable[[Moment], None] | None = None) -> DemoResult:
    """Run a scenario on a real ring between two processes of its own.

    scenario: checked here, BadInput. watch: called in the parent after each step, before the next one is opened.
    Waits as long as a child is stopped. Call it in the main thread of a process that has no other: it forks.
    Raises DemoFailed, SegmentError if shared memory is short, DemoInterrupted with the figures so far.
    """
    check(scenario)
    if threading.active_count() > 1:
        raise RuntimeError("run_demo forks, and a process with threads must not: a child may inherit a held lock")
    shared = _Shared(scenario.capacity, scenario.resync)
    shared.load_kernels()
    moments: list[Moment] = []
    changes: list[tuple[int, Change]] = []
    with _Stops() as stops, _Children() as children:
        children.fork("producer", lambda: _produce_all(shared, scenario))
        children.fork("consumer", lambda: _consume_all(shared, scenario))
        for step in range(scenario.steps):
            state = _open(shared, scenario, step, changes)
            while not (stops.caught or reached(shared.page, at.POLLED, step + 1, shared.waiter)):
                children.check(step)
            if stops.caught:
                break
            moments.append(_look(shared, step, state, moments))
            if watch:
                watch(moments[-1])
    result = _result(scenario, moments, changes, children.pids)
    if len(moments) < scenario.steps:
        raise DemoInterrupted(result)
    return result


def warm_up() -> None:
    """Compile the demo's kernels, or load them from the cache."""
    _Shared(2, "oldest").load_kernels()


def _produce_all(shared: _Shared, scenario: Scenario) -> None:
    for step in range(scenario.steps):
        while not reached(shared.page, at.OPENED, step + 1, shared.waiter):
            pass
        if not produce(shared.page, shared.producer, shared.record, scenario.ingest, step):
            raise RuntimeError("the ring was full, although nobody gates it")


def _consume_all(shared: _Shared, scenario: Scenario) -> None:
    for step in range(scenario.steps):
        while not reached(shared.page, at.PRODUCED, step + 1, shared.waiter):
            pass
        consume(shared.page, shared.consumer, shared.record, shared.counts, scenario.polls, step)


def _open(shared: _Shared, scenario: Scenario, step: int, changes: list[tuple[int, Change]]) -> Lifecycle:
    """Change the lifecycle if it is wanted, then let the producer go on."""
    state = changes[-1][1].after if changes else Lifecycle.INIT
    wanted = wanted_change(scenario, step)
    if wanted:
        changes.append((step, change(state, *wanted, time.monotonic_ns())))
        state = wanted[0]
    open_step(shared.page, step, int(state))
    return state


def _look(shared: _Shared, step: int, state: Lifecycle, before: list[Moment]) -> Moment:
    """The step's figures, checked."""
    seen, published, pending = shared.seen(), shared.ring.published(), shared.ring.lag()[_READER]
    ring_lost = shared.ring.lost()[_READER]
    if published != seen.acked + seen.lost + pending or seen.lost != ring_lost:
        raise DemoFailed(
            f"step {step}: published {published} is not acked {seen.acked} + lost {seen.lost} + pending {pending}, "
            f"or the ring counts {ring_lost} lost"
        )
    if seen.mismatched:
        raise DemoFailed(f"step {step}: {seen.mismatched} payload words were not those of their record")
    had = before[-1].published - before[-1].pending if before else 0
    return Moment(step, state, published - had, published, pending, seen)


def _result(
    scenario: Scenario, moments: list[Moment], changes: list[tuple[int, Change]], pids: dict[str, int]
) -> DemoResult:
    """The figures of the finished steps; DemoFailed if the first overrun is not where the law has it."""
    steps, last = len(moments), moments[-1] if moments else None
    seen = last.seen if last else Seen(*[0] * len(Seen._fields))
    predicted = first_overrun_step(scenario.ingest, scenario.polls, scenario.capacity)
    observed = next((moment.step for moment in moments if moment.seen.laps), None)
    if observed != (predicted if predicted is not None and predicted < steps else None):
        raise DemoFailed(f"first overrun in step {observed}, predicted for {predicted}: the law or the ring is wrong")
    return DemoResult(
        scenario=scenario.name,
        ring_capacity=scenario.capacity,
        steps=steps,
        ingest_per_step=scenario.ingest,
        polls_per_step=scenario.polls,
        producer_pid=pids["producer"],
        consumer_pid=pids["consumer"],
        payload_checksum=seen.checksum,
        lifecycle=[(step, made.after.name) for step, made in changes if step < steps],
        predicted_first_overrun_step=predicted,
        first_overrun_step=observed,
        published=last.published if last else 0,
        acked=seen.acked,
        executed=seen.executed,
        provisional=seen.provisional,
        lost=seen.lost,
        pending=last.pending if last else 0,
        laps=seen.laps,
        empty_polls=seen.empty_polls,
        final_state=(last.state if last else Lifecycle.INIT).name,
    )
