"""The live view: the newest picture of a run on a terminal, at most `refresh_hz` times a second.

Invariant: nothing waits for the screen. A frame that the terminal has no room for is skipped, and the next one shows the
newest state; a terminal that is gone ends the view, and the caller decides what that means for the run.

Only lines that changed are sent; once a second all of them, which repairs what others wrote in between.
"""

import contextlib
import os
import select
import signal
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable
from io import StringIO
from typing import TYPE_CHECKING, Any, Literal, Self, TextIO

from rich.console import Console, Group
from rich.text import Text

from procs.cells import ASCII, UNICODE
from procs.frame import Frame
from procs.terminal import Terminal
from ringsim.units import Instrument

if TYPE_CHECKING:
    from procs.readmodel import View

# The other screen, no cursor, no wrapping; and back.
_ENTER = b"\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
_LEAVE = b"\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
_CLEAR = "\x1b[2J"
_WHOLE_S = 1.0

Ending = Literal["done", "left", "gone"]


class LiveView:
    """A live view of what `look` returns. Use `run`, or `start`, `update` and `stop` from an event loop of one's own.

    look: cheap, called for frames only. stream: where to show it, sys.stdout by default. hint: said at the top right.
    """

    def __init__(
        self,
        look: Callable[[], "View"],
        instrument: Instrument,
        title: str,
        refresh_hz: float = 10.0,
        *,
        stream: TextIO | None = None,
        hint: str = "",
    ) -> None:
        self.look, self.instrument, self.title, self.hint = look, instrument, title, hint
        self.stream = stream or sys.stdout
        self.period_s = 1.0 / refresh_hz
        self.frames = 0  # shown
        self._terminal: Terminal | None = None
        self._glyphs = (
            UNICODE if (getattr(self.stream, "encoding", None) or "utf-8").lower().startswith("utf") else ASCII
        )
        self._next_s = self._whole_s = 0.0
        self._size = (0, 0)
        self._shown: list[Text] = []
        self._console: Console | None = None
        self._on_suspend: Any = None
        self._keyboard: _Keyboard | None = None

    # -- the picture

    def render(self, view: "View", width: int, height: int) -> Group:
        """The picture of `view`: exactly `height` lines of `width` cells. A pure function; any size >= 1."""
        return Group(*self.lines(view, width, height))

    def lines(self, view: "View", width: int, height: int) -> list[Text]:
        """What `render` groups."""
        return Frame(view, self.instrument, self.title, self.hint, self._glyphs).lines(width, height)

    # -- the screen

    @property
    def active(self) -> bool:
        """Whether there is a terminal that shows the view."""
        return self._terminal is not None and not self._terminal.closed

    @property
    def skipped(self) -> int:
        """Frames that the terminal had no room for."""
        return self._terminal.refused if self._terminal else 0

    def start(self) -> bool:
        """Take over the terminal. False, and nothing happens, if the stream is none that can show a view."""
        if self._terminal is not None:
            return self.active
        if os.environ.get("TERM") == "dumb" or not _is_tty(self.stream):
            return False
        self._terminal = Terminal.open(self.stream)
        if self._terminal is None:
            return False
        seen = Console(file=self.stream)  # it knows what colours the terminal has, and NO_COLOR
        system: Any = seen.color_system
        self._console = Console(
            file=StringIO(), force_terminal=True, color_system=system, no_color=seen.no_color, legacy_windows=False,
            highlight=False, markup=False, emoji=False,
        )  # fmt: skip
        with contextlib.suppress(OSError, ValueError):
            self.stream.flush()
        self._enter()
        self._catch_suspension()
        return self.active

    def update(self) -> bool:
        """Show the newest view if a frame is due and the terminal takes it. Never waits.

        Returns False once the terminal is gone (or was never there).
        """
        terminal, now = self._terminal, time.monotonic()
        if terminal is None or terminal.closed:
            return False
        if now < self._next_s:
            return True
        self._next_s = now + self.period_s
        if not terminal.ready():
            terminal.refused += not terminal.closed
            return not terminal.closed
        if not terminal.in_foreground():
            self._shown = []  # another program has the terminal: draw all of it when it is ours again
            return True
        size = terminal.size()
        lines = self.lines(self.look(), *size)
        whole = size != self._size or len(self._shown) != len(lines) or now >= self._whole_s
        text = self._changes(lines, size, whole)
        if terminal.offer(text.encode(errors="replace")):
            self.frames += 1
            self._shown, self._size = lines, size
            if whole:
                self._whole_s = now + _WHOLE_S
        return not terminal.closed

    def stop(self) -> None:
        """Give the terminal back. Idempotent; takes at most half a second, even if the terminal does not listen."""
        terminal, self._terminal = self._terminal, None
        if terminal is None:
            return
        self._release_suspension()
        terminal.close(_LEAVE)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def run(self, until: Callable[[], bool]) -> Ending:
        """Show the view until `until()` ("done"), the key q ("left") or the end of the terminal ("gone").

        Ctrl-C raises KeyboardInterrupt, with the terminal given back.
        """
        with self:
            self._keyboard = _Keyboard()
            try:
                while True:
                    if not self.update():
                        return "gone"
                    if until():
                        return "done"
                    key = self._keyboard.next(self.period_s)
                    if key is None:
                        return "gone"
                    if key in ("q", "Q"):
                        return "left"
            finally:
                self._keyboard.give_back()
                self._keyboard = None

    def _enter(self) -> None:
        assert self._terminal is not None
        self._terminal.offer(_ENTER)
        self._shown, self._next_s = [], 0.0

    def _changes(self, lines: list[Text], size: tuple[int, int], whole: bool) -> str:
        """What to send so that the terminal shows `lines`."""
        assert self._console is not None
        changed = [k for k, line in enumerate(lines) if whole or line != self._shown[k]]
        if not changed:
            return ""
        self._console.size = size
        with self._console.capture() as captured:
            self._console.print(Group(*(lines[k] for k in changed)), crop=False)
        rows = captured.get().split("\n")
        text = "".join(f"\x1b[{k + 1};1H{row}" for k, row in zip(changed, rows, strict=False))
        return (_CLEAR if size != self._size else "") + text

    # -- Ctrl-Z: give the terminal back while stopped

    def _catch_suspension(self) -> None:
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTSTP) == signal.SIG_DFL:
            self._on_suspend = signal.signal(signal.SIGTSTP, self._suspend)

    def _release_suspension(self) -> None:
        if self._on_suspend is not None:
            signal.signal(signal.SIGTSTP, self._on_suspend)
            self._on_suspend = None

    def _suspend(self, *_: object) -> None:
        terminal = self._terminal
        if terminal is not None and terminal.ready():
            terminal.offer(_LEAVE)
        if self._keyboard is not None:
            self._keyboard.give_back()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTSTP)
        # Here the process was stopped, and goes on.
        signal.signal(signal.SIGTSTP, self._suspend)
        if self._keyboard is not None and terminal is not None and terminal.in_foreground():
            self._keyboard.grab()
        if terminal is not None and not terminal.closed:
            self._enter()


def _is_tty(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


class _Keyboard:
    """Keys as they are pressed, without echo, from a terminal on stdin. Without one it has none and never will."""

    def __init__(self) -> None:
        self._before: Any = None
        try:
            self.fd = sys.stdin.fileno()
            if os.tcgetpgrp(self.fd) == os.getpgrp():
                self._before = termios.tcgetattr(self.fd)
        except (OSError, ValueError, AttributeError, termios.error):
            self.fd = -1
        self.grab()

    @property
    def there(self) -> bool:
        return self._before is not None

    def grab(self) -> None:
        if self._before is not None:
            with contextlib.suppress(OSError, termios.error):
                tty.setcbreak(self.fd, termios.TCSANOW)  # not TCSAFLUSH: it waits for a terminal that has been stopped

    def give_back(self) -> None:
        if self._before is not None:
            with contextlib.suppress(OSError, termios.error):
                termios.tcsetattr(self.fd, termios.TCSANOW, self._before)

    def next(self, patience_s: float) -> str | None:
        """The next key within `patience_s`, "" if none was pressed, None at the end of the keyboard."""
        if not self.there:
            time.sleep(patience_s)
            return ""
        try:
            if not select.select([self.fd], [], [], patience_s)[0]:
                return ""
            return os.read(self.fd, 1).decode(errors="replace") or None
        except OSError:
            return None
