"""What is said where there is no terminal to draw on: one plain line a second, and the progress of the warming.

Invariant: a line goes out whole or is dropped and counted; a pipe that nobody reads never holds a run up.
"""

import os
import sys
from io import StringIO
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.text import Text

from procs import figures as f
from procs.cells import plain
from procs.notes import Grade, notes
from procs.terminal import Terminal
from ringsim.units import Instrument

if TYPE_CHECKING:
    from procs.readmodel import View

_SHARES = 10  # of the warming: a plain line for each tenth


def progress_line(view: "View", instrument: Instrument) -> str:
    """The state of `view` in one plain line: words first, then what was done, what it is worth, how fast it was.

    events/s: inputs that the strategy folds. lost: records that readers of all rings lost.
    """
    a, hop = view.account, view.hops.get("tick_to_order", {})
    time = f.event_time(view.market.get("time_ns", 0)) or f"up {f.elapsed(view.uptime_s)}"
    rate = next((s.rate for s in view.stages if s.name == "strategy"), 0.0)
    latency = f"{f.micros(hop.get('p50', 0.0))}/{f.micros(hop.get('p99', 0.0))}" if hop.get("n") else "-"
    said = [
        f"{view.lifecycle} {view.trading} {view.run_state}",
        time,
        f"{f.count(rate)} events/s",
        f"orders {f.count(a.get('submitted', 0))}",
        f"fills {f.count(a.get('fills', 0))}",
        f"position {f.quantity(instrument, a.get('position_lots', 0), sign=True)}",
        f"equity {f.money(instrument, a.get('equity', 0))}" if a else "equity -",
        f"tick_to_order {latency}",
        f"lost {f.count(sum(sum(r.lost.values()) for r in view.rings))}",
    ]
    first = next((note.text for note in notes(view) if note.grade > Grade.ASIDE), "")
    healthy = (view.lifecycle, view.trading, view.run_state) == ("READY", "ACTIVE", "RUNNING")
    return plain("  ".join(said) + (f"  ({first})" if first and not healthy else ""))


class Lines:
    """Whole lines to a stream, never waiting for who reads them. `dropped`: how many there was no room for.

    A file takes every line (OSError if it cannot); a pipe or a terminal when it has room. Once `gone`, all are dropped.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._end = Terminal.open(stream)
        self.dropped = 0

    @property
    def gone(self) -> bool:
        """Whether nobody reads any more."""
        return self._end is not None and self._end.closed

    def say(self, line: str) -> bool:
        """Send a line; the next one that fits says how many did not. Returns False if it was dropped."""
        missed = f"  [{self.dropped} lines dropped: the reader was slow]" if self.dropped else ""
        if self._end is None:
            print(line, file=self.stream, flush=True)
            return True
        if self._end.offer(f"{line}{missed}\n".encode(errors="replace")):
            self.dropped = 0
            return True
        self.dropped += 1
        return False

    def close(self) -> None:
        """Let go. What a slow reader has not taken within half a second is lost."""
        if self._end is not None:
            self._end.close()
            self._end = None


class Warming:
    """How far the warming is: a bar on a terminal, a line for each tenth (at most) elsewhere.

    Use it as a context manager, or call `close`: it removes the bar.
    """

    WIDTH = 32

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self._lines: Lines | None = None
        self._terminal: Terminal | None = None
        self._shown: int | None = None
        if _draws(self.stream):
            self._terminal = Terminal.open(self.stream)
        if self._terminal is None:
            self._lines = Lines(self.stream)
        else:
            seen = Console(file=self.stream)
            self._console = Console(
                file=StringIO(), force_terminal=True, color_system=seen.color_system, no_color=seen.no_color,  # type: ignore[arg-type]
                legacy_windows=False, highlight=False, markup=False, emoji=False, width=self.WIDTH,
            )  # fmt: skip

    def update(self, done: int, total: int, what: str) -> None:
        """`done` of `total` parts are ready, `what` is next. Never waits."""
        if self._terminal is not None:
            self._terminal.offer(self._bar(done, total, what).encode(errors="replace"))
            return
        tenth = done * _SHARES // total if total > 0 else _SHARES
        if tenth != self._shown and self._lines is not None:
            self._shown = tenth
            self._lines.say(warming_line(done, total, what))

    def _bar(self, done: int, total: int, what: str) -> str:
        assert self._terminal is not None
        columns, _ = self._terminal.size()
        with self._console.capture() as captured:
            self._console.print(ProgressBar(total=max(total, 1), completed=min(done, total), width=self.WIDTH), end="")
        bar = captured.get().rstrip("\n")
        words = Text(f"  {warming_line(done, total, what)}")
        if words.cell_len >= columns - self.WIDTH:
            words = Text(words.plain.partition(";")[0])
            words.truncate(max(0, columns - self.WIDTH - 1), overflow="ellipsis")
        return f"\r\x1b[K{bar if columns > self.WIDTH else ''}{words.plain}"

    def close(self) -> None:
        """Remove the bar. Idempotent."""
        if self._terminal is not None:
            self._terminal.close(b"\r\x1b[K")
            self._terminal = None
        if self._lines is not None:
            self._lines.close()
            self._lines = None

    def __enter__(self) -> "Warming":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def warming_line(done: int, total: int, what: str) -> str:
    """The same in words."""
    ready = f" ({done} of {total} ready)" if total > 0 else ""
    hint = "; the first time it takes about a minute" if done <= 0 else ""
    return plain(f"warming up: {what or 'kernels'}{ready}{hint}")


def _draws(stream: TextIO) -> bool:
    try:
        return stream.isatty() and os.environ.get("TERM") != "dumb"
    except ValueError:
        return False
