"""Log records from stages to the parent: one pipe for each generation of a stage, under multiprocessing-logging's handler.

Prior art: multiprocessing-logging puts one multiprocessing.Queue under all processes; a child killed while it holds that
queue's write lock silences its siblings. Here every generation has a pipe of its own with one writer and no lock. A frame
is at most PIPE_BUF bytes, so it arrives whole or not at all.

Invariant: a stage never blocks on its log. A full pipe drops the record, and the next one that fits says how many.
"""

import contextlib
import logging
import os
import pickle
import select
import struct
import sys
import threading
from pathlib import Path
from queue import Empty

from multiprocessing_logging import MultiProcessingHandler

_HEADER = struct.Struct("=H")
_FRAME_MAX = select.PIPE_BUF - _HEADER.size
PIPE_BYTES = 1 << 18
LOGGER = "ringsim"


class PipeQueue:
    """What MultiProcessingHandler needs of a queue, over one end of a pipe."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.dropped = 0
        self._closed = False

    def put_nowait(self, record: logging.LogRecord) -> None:
        """Send a record, or drop and count it if the pipe is full."""
        if self.dropped:
            record.msg = f"{record.msg} [{self.dropped} earlier records dropped: the log pipe was full]"
        body = pickle.dumps(record, 5)
        if len(body) > _FRAME_MAX:
            body = pickle.dumps(_cut(record), 5)
        try:
            os.write(self.fd, _HEADER.pack(len(body)) + body)
            self.dropped = 0
        except BlockingIOError:
            self.dropped += 1

    def get(self, timeout: float) -> logging.LogRecord:
        """The next record. Empty after `timeout` seconds without one, EOFError when the writer is gone and all is read."""
        if not select.select([self.fd], [], [], timeout)[0]:
            raise Empty
        header = self._read(_HEADER.size)
        return pickle.loads(self._read(_HEADER.unpack(header)[0]))

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = os.read(self.fd, size - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def qsize(self) -> int:
        """1 if a record waits, else 0."""
        return int(not self._closed and bool(select.select([self.fd], [], [], 0)[0]))

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            os.close(self.fd)

    def join_thread(self) -> None:
        """There is none."""


def _cut(record: logging.LogRecord) -> logging.LogRecord:
    """The record in what fits a frame: the beginning of the message, the end of the traceback."""
    short = logging.LogRecord(record.name[:64], record.levelno, record.pathname[-256:], record.lineno, "", None, None)
    short.created, short.process, short.processName = record.created, record.process, (record.processName or "")[:64]
    short.msg = str(record.msg)[:512] + " [cut]"
    short.exc_text = (record.exc_text or "")[-512:] or None  # characters: 4 bytes each at the most
    return short


class PipeHandler(MultiProcessingHandler):
    """multiprocessing-logging's handler, its queue given. With `receive`, a thread hands records to `sub_handler`."""

    def __init__(self, queue: PipeQueue, sub_handler: logging.Handler, *, receive: bool) -> None:
        logging.Handler.__init__(self, sub_handler.level)
        self.sub_handler, self.filters, self.queue, self._is_closed = sub_handler, sub_handler.filters, queue, False
        self.last_words = ""  # received: the last error's line
        self._receive_thread = threading.Thread(target=self._receive, name="log receiver", daemon=True)
        if receive:
            self._receive_thread.start()

    def _receive(self) -> None:
        sink, self.sub_handler = self.sub_handler, _Listener(self, self.sub_handler)
        try:
            super()._receive()
        finally:
            self.sub_handler = sink

    def join(self, timeout: float) -> None:
        """Wait until the writer is gone and everything that it said is handed on."""
        self._receive_thread.join(timeout)

    def close(self) -> None:
        """Stop receiving, once everything that came is handed on. The sink stays open: others use it too."""
        if not self._is_closed:
            self._is_closed = True
            if self._receive_thread.ident is not None:
                self._receive_thread.join(5.0)
            logging.Handler.close(self)

    def handleError(self, record: logging.LogRecord) -> None:
        if isinstance(sys.exc_info()[1], BrokenPipeError | ConnectionResetError):
            os._exit(0)  # nobody listens: the parent is gone, and so is the reason to live
        super().handleError(record)


class _Listener(logging.Handler):
    """Hands on what was received, and remembers what the writer died of."""

    def __init__(self, end: PipeHandler, sink: logging.Handler) -> None:
        super().__init__()
        self.end, self.sink = end, sink

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR:
            self.end.last_words = record.getMessage().partition("\n")[0]
        self.sink.handle(record)


class LogFile(logging.FileHandler):
    """A run's log. A full disk costs lines, which are counted in `missing`, and never the run."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        self.missing, self.reason = 0, ""

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        self.missing += 1
        self.reason = os.strerror(error.errno or 0)

    def close(self) -> None:
        with contextlib.suppress(OSError):  # the last line could not be written: counted above
            super().close()


def writing_end(fd: int) -> logging.Logger:
    """The stage's logger: everything goes down the pipe. Called once in a new stage."""
    os.set_blocking(fd, False)
    logger = logging.getLogger(LOGGER)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.handlers[:] = [PipeHandler(PipeQueue(fd), logging.NullHandler(), receive=False)]
    return logger


def reading_end(fd: int, sink: logging.Handler) -> PipeHandler:
    """In the parent: hand what comes from `fd` to `sink` until its writer is gone."""
    return PipeHandler(PipeQueue(fd), sink, receive=True)
