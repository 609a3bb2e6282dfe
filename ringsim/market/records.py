"""A source that brings market events instead of recorded lines, kept like a capture: its text is the records themselves.

    MARKET_EVENT[n] --RecordWriter--> <cache>/feeds/<key>/  text.bin   the records, 64 bytes each
                                                            index.npy  an INDEX record a message: its records, when, which kind
                                                            meta.json  CaptureMeta, records = true

So whatever replays a capture replays this too: pacing, commands, snapshots for who lost the book, kills. Invariants, checked
here, once, for every record: times never decrease and exch_ns < recv_ns; each message ends with LAST and nothing else does;
a snapshot is one message, from SNAPSHOT_BEGIN to SNAPSHOT_END; prices and quantities are in range.
"""

from array import array
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

import numpy as np

from ringsim.errors import BadInput
from ringsim.limits import MAX_PRICE_TICKS, MAX_QTY_LOTS, MESSAGE_EVENTS
from ringsim.market.binance import KIND_NAMES, MessageKind
from ringsim.market.capture import INDEX, TEXT, Capture, CaptureMeta, SourceFile, kept, write_index
from ringsim.market.scan import PADDING
from ringsim.records import MARKET_EVENT, EventFlag, EventKind
from ringsim.units import Instrument

_KINDS = {
    EventKind.LEVEL: MessageKind.DEPTH,
    EventKind.TRADE: MessageKind.TRADE,
    EventKind.PREDICTION: MessageKind.PREDICTION,
    EventKind.SNAPSHOT_END: MessageKind.SNAPSHOT,
    EventKind.GAP: MessageKind.DEPTH,
    EventKind.QUOTE: MessageKind.BOOK_TICKER,
}
_KIND_OF_LAST = np.full(256, MessageKind.BAD, np.uint8)
for _event, _message in _KINDS.items():
    _KIND_OF_LAST[_event] = _message
_NAMES = KIND_NAMES | {MessageKind.PREDICTION: "prediction"}


class RecordWriter:
    """Takes a session's events in order, in parts of whole messages."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = (folder / TEXT).open("wb")
        self._offset, self._length, self._recv, self._kind = (array(code) for code in "qlqB")
        self._exch = array("q")
        self._last_recv = self._last_exch = 0

    @property
    def messages(self) -> int:
        return len(self._kind)

    def add(self, events: np.ndarray) -> None:
        """MARKET_EVENT[n], whole messages. Raises BadInput, naming the message, for events that no feed may send."""
        events = events.view(np.ndarray)
        if not len(events):
            return
        ends = np.flatnonzero(events["flag_bits"] & EventFlag.LAST)
        if not len(ends) or ends[-1] != len(events) - 1:
            raise BadInput(f"message {self.messages + len(ends)} has no end")
        starts = np.concatenate(([0], ends[:-1] + 1))
        self._check(events, starts, ends)
        last = events[ends]
        at = self._file.tell()
        self._offset.frombytes((at + starts * MARKET_EVENT.itemsize).astype(np.int64).tobytes())
        lengths = ((ends - starts + 1) * MARKET_EVENT.itemsize).astype(np.dtype(self._length.typecode))
        self._length.frombytes(lengths.tobytes())
        self._recv.frombytes(np.ascontiguousarray(last["recv_ns"]).tobytes())
        self._exch.frombytes(np.ascontiguousarray(last["exch_ns"]).tobytes())
        self._kind.frombytes(_KIND_OF_LAST[last["kind"]].tobytes())
        self._last_recv, self._last_exch = int(last[-1]["recv_ns"]), int(last[-1]["exch_ns"])
        self._file.write(events.tobytes())

    def _check(self, events: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> None:
        recv, exch, kind = events["recv_ns"], events["exch_ns"], events["kind"]
        inside = np.cumsum((kind == EventKind.SNAPSHOT_BEGIN).astype(int) - (kind == EventKind.SNAPSHOT_END))
        for wrong, what in (
            (np.diff(recv, prepend=self._last_recv) < 0, "is received before the one ahead of it"),
            (np.diff(exch, prepend=self._last_exch) < 0, "happens before the one ahead of it"),
            (exch >= recv, "is received before it happened"),
            ((events["px_ticks"] < 0) | (events["px_ticks"] > MAX_PRICE_TICKS), "has a price out of range"),
            ((events["qty_lots"] < 0) | (events["qty_lots"] > MAX_QTY_LOTS), "has a quantity out of range"),
        ):
            if wrong.any():
                raise BadInput(f"message {self._number(ends, np.argmax(wrong))} {what}")
        if (ends - starts + 1).max() > MESSAGE_EVENTS:
            at = np.argmax(ends - starts + 1)
            raise BadInput(f"message {self.messages + at} has more than {MESSAGE_EVENTS:,} events")
        bad = (_KIND_OF_LAST[kind[ends]] == MessageKind.BAD) | (inside[ends] != 0)
        if bad.any():
            raise BadInput(f"message {self.messages + np.argmax(bad)} is of no kind that a feed sends")

    def _number(self, ends: np.ndarray, event: np.intp) -> int:
        return self.messages + int(np.searchsorted(ends, event))

    def close(self) -> None:
        """Let go of the folder, finished or not."""
        self._file.close()

    def finish(self, instrument: Instrument, files: list[SourceFile], notes: Iterable[str] = ()) -> None:
        """Write index and meta. BadInput for a source without a message."""
        if not self.messages:
            raise BadInput("holds no market event")
        self._file.write(bytes(PADDING))
        self.close()
        index = np.zeros(self.messages, INDEX)
        columns = {
            "offset": self._offset,
            "length": self._length,
            "recv_ns": self._recv,
            "exch_ns": self._exch,
            "kind": self._kind,
        }
        for name, column in columns.items():
            index[name] = np.frombuffer(column, column.typecode)
        counted = np.bincount(index["kind"], minlength=len(MessageKind))
        meta = CaptureMeta(
            files=files,
            market=instrument.market,
            symbol=instrument.symbol,
            instrument=instrument,
            instrument_known=True,
            counts={name: int(counted[kind]) for kind, name in _NAMES.items()},
            first_recv_ns=int(index[0]["recv_ns"]),
            last_recv_ns=int(index[-1]["recv_ns"]),
            skew_ns=0,
            timed=0,
            cut_lots=0,
            warnings=[],
            notes=list(notes),
            records=True,
        )
        write_index(self._folder, index, meta)


def keep_records(key: str, fill: Callable[[RecordWriter], None]) -> Capture:
    """The source kept under a key, from the cache or made now by `fill`, which adds its events and finishes. See capture.kept."""

    def filled(folder: Path) -> None:
        with closing(RecordWriter(folder)) as writer:
            fill(writer)

    return kept(key, filled)
