"""Writing to a terminal or a pipe without ever waiting for whoever reads it.

A terminal that is stopped (Ctrl-S), slow or full takes nothing for a while; one that is closed never again. The stream is
opened a second time, non-blocking: the flag belongs to that description alone, so that nobody else's writes on the same
terminal begin to fail. (A thread that blocks instead would keep the process from ending.)

Invariant: `offer` takes a text whole or refuses it, and never blocks. What was taken goes out before anything newer.
"""

import contextlib
import os
import select
import stat
import time
from typing import Self, TextIO

_FALLBACK = (80, 24)
_CANCEL = b"\x18"  # ends an escape sequence that was cut in the middle


class Terminal:
    """One stream's non-blocking end. `closed`: it is gone for good. `refused`: how many texts it had no room for."""

    def __init__(self, fd: int, stream: TextIO) -> None:
        self._fd, self.stream = fd, stream
        self._pending = b""
        self.closed = False
        self.refused = 0

    @classmethod
    def open(cls, stream: TextIO) -> Self | None:
        """The terminal or pipe that `stream` writes to. None if it is neither, or may not be opened again."""
        try:
            fd = stream.fileno()
            kind = os.fstat(fd).st_mode
        except (OSError, ValueError):  # ValueError: no file beneath, or a closed one
            return None
        tty = os.isatty(fd)
        if not tty and not stat.S_ISFIFO(kind):
            return None
        # /dev/tty where the name is another user's, or another mount's
        for path in (f"/proc/self/fd/{fd}", "/dev/tty") if tty else (f"/proc/self/fd/{fd}",):
            with contextlib.suppress(OSError):
                return cls(os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC), stream)
        return None

    def size(self) -> tuple[int, int]:
        """Columns and rows as they are now; 80 x 24 where the terminal does not know."""
        try:
            columns, rows = os.get_terminal_size(self._fd)
        except OSError:
            return _FALLBACK
        return (columns or _FALLBACK[0], rows or _FALLBACK[1])

    def in_foreground(self) -> bool:
        """Whether this process may use the terminal now; True where job control does not apply."""
        try:
            return os.tcgetpgrp(self._fd) == os.getpgrp()
        except OSError:
            return True

    def ready(self) -> bool:
        """Whether everything offered so far has gone out. Tries to send what is left."""
        while self._pending and not self.closed:
            try:
                sent = os.write(self._fd, self._pending)
            except BlockingIOError:
                return False
            except OSError:  # EIO: the terminal was closed; EPIPE: nobody reads
                self.closed, self._pending = True, b""
                break
            self._pending = self._pending[sent:]
        return not self.closed

    def offer(self, text: bytes) -> bool:
        """Send `text`, at once or bit by bit with later calls. False, and nothing is sent, if older text still waits."""
        if not self.ready():
            self.refused += 1
            return False
        self._pending = text
        self.ready()
        return not self.closed

    def close(self, last: bytes = b"", patience_s: float = 0.5) -> None:
        """Send `last` and let go, in at most `patience_s`.

        A terminal that takes nothing even then gets `last` through the stream's own buffer, before whatever the caller
        prints next.
        """
        until = time.monotonic() + patience_s
        while not self.ready() and not self.closed and (left := until - time.monotonic()) > 0:
            select.select([], [self._fd], [], min(left, 0.05))
        if self._pending:
            self._pending = b""
            last = _CANCEL + last
        unsent = last
        while unsent and not self.closed:
            try:
                unsent = unsent[os.write(self._fd, unsent) :]
            except BlockingIOError:
                with contextlib.suppress(OSError, ValueError):
                    self.stream.write(unsent.decode(errors="replace"))
                break
            except OSError:
                self.closed = True
        os.close(self._fd)
        self.closed = True
