"""Where a run is watched: the live view on a terminal, plain lines elsewhere. Neither can slow the run down."""

import sys
import time
from collections.abc import Callable
from typing import Protocol, TextIO

from procs.cells import plain
from procs.live import LiveView
from procs.progress import Lines, Warming, progress_line
from procs.readmodel import Happening, View
from ringsim.units import Instrument

_LINE_S = 1.0
_HAPPENINGS = 12  # of a story that a second has lines for

Story = Callable[[], list[Happening]]  # what befell a run on purpose, so far


class Screen(Protocol):
    """What a run shows itself on. Nothing here waits."""

    def warming(self, done: int, total: int, what: str) -> None:
        """How far the kernels are."""

    def open(self, look: Callable[[], View]) -> None:
        """The run has begun; `look` gives its state."""

    def update(self) -> None:
        """Show what is new, if it is time."""

    def close(self) -> None:
        """The run is over: give the terminal back."""


def happening_line(happening: Happening) -> str:
    """When, and what."""
    return plain(f"  {happening.at_s:7.3f} s  {happening.text}")


class PlainScreen:
    """A line a second on stderr, and what happened in that second: stdout is for the summary."""

    def __init__(self, instrument: Instrument, stream: TextIO | None = None, story: Story = list) -> None:
        self.instrument, self.story = instrument, story
        self._told: set[Happening] = set()
        self._warming = Warming(stream or sys.stderr)
        self._lines = Lines(stream or sys.stderr)
        self._look: Callable[[], View] | None = None
        self._next_s = 0.0

    def warming(self, done: int, total: int, what: str) -> None:
        self._warming.update(done, total, what)

    def open(self, look: Callable[[], View]) -> None:
        self._look = look
        self._next_s = time.monotonic() + _LINE_S

    def update(self) -> None:
        if self._look is not None and time.monotonic() >= self._next_s:
            self._next_s += _LINE_S
            self._tell()
            self._lines.say(progress_line(self._look(), self.instrument))

    def _tell(self) -> None:
        """What happened since the last time: the newest, if it is much."""
        new = [happening for happening in self.story() if happening not in self._told]
        self._told.update(new)
        if len(new) > _HAPPENINGS:
            self._lines.say(f"  ({len(new) - _HAPPENINGS} or more happenings are left out)")
        for happening in new[-_HAPPENINGS:]:
            self._lines.say(happening_line(happening))

    def close(self) -> None:
        self._warming.close()
        self._tell()
        self._lines.close()


class LiveScreen:
    """The live view, once the kernels are warm; plain lines if the terminal cannot show it."""

    def __init__(self, instrument: Instrument, title: str, story: Story = list) -> None:
        self.instrument, self.title, self.story = instrument, title, story
        self._warming = Warming(sys.stderr)
        self._view: LiveView | None = None
        self._plain: PlainScreen | None = None

    def warming(self, done: int, total: int, what: str) -> None:
        self._warming.update(done, total, what)

    def open(self, look: Callable[[], View]) -> None:
        self._warming.close()

        def told() -> View:
            view = look()
            view.story = self.story()
            return view

        self._view = LiveView(told, self.instrument, self.title, hint="Ctrl-C stops")
        if not self._view.start():
            self._view, self._plain = None, PlainScreen(self.instrument, story=self.story)
            self._plain.open(look)

    def update(self) -> None:
        if self._view is not None:
            self._view.update()
        if self._plain is not None:
            self._plain.update()

    def close(self) -> None:
        self._warming.close()
        if self._view is not None:
            self._view.stop()
            self._view = None
            if self.story():
                self._plain = PlainScreen(self.instrument, story=self.story)  # the end of the story stays to be read
        if self._plain is not None:
            self._plain.close()


def choose_screen(instrument: Instrument, title: str, *, live: bool, story: Story = list) -> Screen:
    """The live view where it is wanted, else plain lines. story: what is done to the run on purpose, asked at each look."""
    return LiveScreen(instrument, title, story) if live else PlainScreen(instrument, story=story)
