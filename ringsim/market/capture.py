"""A recorded session, prepared once and then mapped: unpacked text, an index of its messages, and what is known of it.

    FILE[,FILE...] --prepare--> <cache>/feeds/<key>/  text.bin   the lines as they were recorded, file after file
                                                      index.npy  one INDEX record a message: where, when, which kind
                                                      meta.json  CaptureMeta

gzip cannot seek, and a stage that restarts must; so preparation unpacks, and everything after it maps. Invariants: a
prepared folder appears whole (built aside, then renamed) and never changes; its key covers the files' names, sizes and
times, the instruments, and the code that prepared it. Every message in it was decoded by msgspec and parsed by the
compiled parser; one that either refused is there as BAD, so that its number stays in the count.
"""

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from ringsim.errors import BadInput, RingsimError
from ringsim.kernel import closure_key, kernel
from ringsim.limits import CACHED_CAPTURES, CAPTURE_TRIAL_LINES, CAPTURE_WARNINGS
from ringsim.market.binance import (
    KIND_NAMES,
    PARSE_WORDS,
    MessageKind,
    make_scratch,
    parse_message,
)
from ringsim.market.held import Held, in_use
from ringsim.market.instruments import COINM, SPOT, USDM, find_instrument, infer_instrument, make_grid
from ringsim.market.jsontext import Parse
from ringsim.market.lines import FORMAT_HINT, Judged, SourceReader, is_coinm, judge, receive_unit, symbol_of
from ringsim.market.scan import PADDING
from ringsim.units import Instrument

INDEX = np.dtype(
    [
        ("offset", "i8"),  # of the JSON in the text
        ("recv_ns", "i8"),  # as recorded
        ("exch_ns", "i8"),  # E as recorded, 0 if the message has none
        ("length", "i4"),
        ("line", "i4"),  # in its file, from 1
        ("file", "u2"),
        ("kind", "u1"),  # MessageKind
        ("pad", "u1", (5,)),
    ]
)

TEXT = "text.bin"
_INDEX, _META = "index.npy", "meta.json"
_GRID_SAMPLE = 10_000  # levels that an unknown instrument's grid is taken from


class SourceFile(msgspec.Struct, frozen=True):
    """A file as it was when it was read: two runs on the same hashes had the same input."""

    path: str
    size_bytes: int
    sha256: str
    lines: int


class Fault(msgspec.Struct, frozen=True, order=True):
    """A line that could not be used."""

    file: int
    line: int
    text: str


class CaptureMeta(msgspec.Struct, frozen=True):
    """What is known of a session before it is folded."""

    files: list[SourceFile]
    market: str  # spot, usdm, coinm
    symbol: str
    instrument: Instrument
    instrument_known: bool  # False: its grid was taken from the capture
    counts: dict[str, int]  # messages by KIND_NAMES
    first_recv_ns: int
    last_recv_ns: int
    skew_ns: int  # min(recv - E) over the messages with E; 0 if there is none
    timed: int  # messages with E
    cut_lots: int  # quantities finer than a lot: only whole lots count
    warnings: list[str]  # the first bad lines, "FILE line N: why"
    notes: list[str]  # for the summary
    records: bool = False  # the text holds MARKET_EVENT records, not lines

    @property
    def span_s(self) -> float:
        return (self.last_recv_ns - self.first_recv_ns) / 1e9

    @property
    def futures(self) -> bool:
        return self.market != SPOT


@dataclass(frozen=True)
class Capture:
    """text: uint8[], read-only, PADDING bytes longer than its lines. index: INDEX recarray, read-only.

    held: as long as it is open, in this process or a forked one, nobody drops the folder from the cache.
    """

    folder: Path
    meta: CaptureMeta
    text: np.ndarray
    index: np.recarray
    held: Held

    def place(self, message: int) -> str:
        """Where a message (number in the index) was recorded: "FILE line N"."""
        entry = self.index[message]
        return f"{Path(self.meta.files[entry.file].path).name} line {entry.line}"


def prepare(files: Sequence[Path], instruments: Iterable[Instrument] = ()) -> Capture:
    """The session recorded in `files` (in order), from the cache or prepared now: about 10 us a message.

    instruments: known beside the table, by the configuration.
    Raises BadInput, one line, for files that are missing, unreadable, empty, truncated, no captures, of several symbols or
    in the wrong order. Bad lines are no error: they are in the counts and in `warnings`.
    """
    more = list(instruments)
    return kept(session_key(files, __file__, more), lambda folder: _Preparation(folder, files, more).run())


def kept(key: str, make: Callable[[Path], None]) -> Capture:
    """The prepared session of that key, from the cache, or made now: make(folder) fills a new folder."""
    for root in _cache_roots():
        if (found := _opened(root / key)) is not None:
            return found
    failure: OSError | None = None
    for root in _cache_roots():
        try:
            return _prepare_in(root, key, make)
        except OSError as error:  # read-only, full: the next one
            failure = error
    raise RingsimError(
        f"a prepared capture cannot be kept in {root}: {failure and failure.strerror}; set RINGSIM_CACHE to a folder with room"
    )


def prepare_in(folder: Path, files: Sequence[Path], instruments: Iterable[Instrument] = ()) -> Capture:
    """As `prepare`, into an empty folder of the caller's, beside the cache."""
    _Preparation(folder, files, list(instruments)).run()
    return open_capture(folder)


def open_capture(folder: Path) -> Capture:
    """Map a folder that `prepare` made (in this process or another). BadInput if it is not one."""
    capture = _opened(folder)
    if capture is None:
        raise BadInput(f"{folder}: holds no prepared capture")
    return capture


# --- the cache -------------------------------------------------------------------------------------------------------


def _cache_roots() -> list[Path]:
    """Where prepared captures may lie, best first; the last is a folder of this user's under the temporary directory."""
    temporary = Path(tempfile.gettempdir()) / f"ringsim-{os.getuid()}" / "feeds"
    if chosen := os.environ.get("RINGSIM_CACHE"):
        return [Path(chosen) / "feeds", temporary]
    try:
        return [Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ringsim" / "feeds", temporary]
    except RuntimeError:  # a user without a home
        return [temporary]


def _stat(path: Path) -> os.stat_result:
    try:
        stat = path.stat()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from None
    if not path.is_file():
        raise BadInput(f"{path}: is no file")
    return stat


def session_key(files: Sequence[Path], code: str, more: object) -> str:
    """A name for what a module (`code`, its file) makes of these files, as they are now, with the settings `more`."""
    stats = [_stat(path) for path in files]
    if not files:
        raise BadInput("no capture file was given")
    sources = [(str(p.resolve()), s.st_size, s.st_mtime_ns) for p, s in zip(files, stats, strict=True)]
    text = msgspec.json.encode([closure_key(Path(code)), sources, more])
    return hashlib.sha256(text).hexdigest()[:24]


def _opened(folder: Path) -> Capture | None:
    """The capture in a folder, or None: whatever is wrong with a cache entry, preparing it again is the answer."""
    try:
        held = Held(folder / _META)
        meta = msgspec.json.decode((folder / _META).read_bytes(), type=CaptureMeta)
        index = np.load(folder / _INDEX, mmap_mode="r")
        text = np.memmap(folder / TEXT, np.uint8, "r")
        if index.dtype != INDEX or len(index) == 0:
            return None
        if int(index[-1]["offset"]) + int(index[-1]["length"]) + PADDING > len(text):
            return None
    except (OSError, ValueError, msgspec.MsgspecError):
        return None
    with contextlib.suppress(OSError):  # a read-only cache
        os.utime(folder)  # in use: the last to go
    return Capture(folder, meta, np.asarray(text), np.asarray(index).view(np.recarray), held)


def _prepare_in(root: Path, key: str, make: Callable[[Path], None]) -> Capture:
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    if root.stat().st_uid != os.getuid():
        raise PermissionError(13, "it belongs to somebody else")
    _sweep(root)
    aside = Path(tempfile.mkdtemp(prefix=f".{os.getpid()}-", dir=root))
    try:
        make(aside)
        try:
            aside.rename(root / key)
        except OSError:  # another process was faster, or what lies there is damaged
            if (theirs := _opened(root / key)) is not None:
                return theirs
            shutil.rmtree(root / key, ignore_errors=True)
            aside.rename(root / key)
        return open_capture(root / key)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _sweep(root: Path) -> None:
    """Drop what preparations that died left behind, and the captures that were not used for longest."""
    for left in root.glob(".*-*"):
        owner = re.match(r"\.(\d+)-", left.name)
        if owner and not Path("/proc", owner[1]).exists():
            shutil.rmtree(left, ignore_errors=True)
    kept = sorted((p for p in root.iterdir() if not p.name.startswith(".")), key=lambda p: p.stat().st_mtime)
    for old in kept[: max(0, len(kept) - CACHED_CAPTURES + 1)]:
        if not in_use(old / _META):
            shutil.rmtree(old, ignore_errors=True)


# --- preparing -------------------------------------------------------------------------------------------------------


@kernel
def examine(text, index, grid, futures, scratch, codes):
    """Parse every message of a kind that is folded; its Parse code goes to codes[k]. Returns how many quantities were cut.

    futures: 1 if each diff must carry pu. codes: int64[len(index)], OK where nothing was parsed.
    """
    m = scratch[0]
    cut = 0
    for k in range(index.size):
        kind = index[k].kind
        codes[k] = _OK
        if kind == _OTHER or kind == _BAD:  # noqa: SIM109
            continue
        start = index[k].offset
        codes[k] = parse_message(text, start, start + index[k].length, grid[0], m)
        if codes[k] == _OK and (m.kind != kind or (kind == _DEPTH and m.futures != futures)):
            codes[k] = _MISSING
        if codes[k] == _OK:
            cut += m.cut_lots
    return cut


_OK, _MISSING = int(Parse.OK), int(Parse.MISSING)
_OTHER, _BAD, _DEPTH = int(MessageKind.OTHER), int(MessageKind.BAD), int(MessageKind.DEPTH)


class _Columns(NamedTuple):
    """The index while it grows, 33 bytes a message."""

    offset: array
    recv_ns: array
    exch_ns: array
    length: array
    line: array
    file: array
    kind: array


class _Source:
    """How far one file has come."""

    def __init__(self, number: int, path: Path) -> None:
        self.number = number
        self.path = path
        self.lines = 0
        self.good = 0
        self.unit = 0  # nanoseconds per unit of its receive times, decided by the first message that is folded
        self.first_ns = 0

    def recv_ns(self, stamp: bytes) -> int:
        """A receive time; 0 if it is none, or not in this file's unit."""
        if not stamp.isdigit() or len(stamp) > 19:
            return 0
        value = int(stamp)
        unit = receive_unit(value)
        return value * unit if self.unit in (0, unit) else 0

    def count(self, judged: Judged, recv_ns: int, stamp: bytes) -> None:
        """Note a message that is not bad."""
        self.good += 1
        self.first_ns = self.first_ns or recv_ns
        if self.unit == 0 and judged.body is not None:
            self.unit = receive_unit(int(stamp))

    def check(self) -> None:
        """BadInput if nothing that was read so far looks like a capture."""
        if self.good == 0:
            raise BadInput(
                f"{self.path}: is no capture: none of its first {self.lines} lines is a message; {FORMAT_HINT}"
            )


class _Preparation:
    """One pass over the files, into a folder."""

    def __init__(self, folder: Path, files: Sequence[Path], more: list[Instrument]) -> None:
        self.folder = folder
        self.files = files
        self.more = more
        self.columns = _Columns(*(array(code) for code in "qqqllHB"))
        self.faults: list[Fault] = []
        self.symbols: dict[str, str] = {}  # and their pair, in order of appearance
        self.futures = False
        self.text_bytes = 0

    def run(self) -> None:
        sources = []
        with (self.folder / TEXT).open("wb") as out:
            began_ns = 0
            for number, path in enumerate(self.files):
                before, reader, source = _stat(path), SourceReader(path), _Source(number, path)
                for block in reader.blocks():
                    self._take(source, block)
                    out.write(block)
                    if source.lines >= CAPTURE_TRIAL_LINES:
                        source.check()
                source.check()
                after = _stat(path)
                if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
                    raise BadInput(f"{path}: changed while it was read; wait until the recording is finished")
                if source.first_ns <= began_ns:
                    raise BadInput(f"{path}: begins before {self.files[number - 1]}; give the files in order of time")
                began_ns = source.first_ns
                sources.append(SourceFile(str(path), reader.size_bytes, reader.sha256, reader.lines))
            out.write(bytes(PADDING))
        if len(self.symbols) > 1:
            several = ", ".join(sorted(self.symbols)[:10])
            raise BadInput(f"{self.files[0]}: holds {len(self.symbols)} symbols ({several}); a session has one")
        if not self.symbols:
            raise BadInput(f"{self.files[0]}: no message names a symbol; {FORMAT_HINT}")
        self._finish(sources)

    def _take(self, source: _Source, block: bytes) -> None:
        """Judge the lines of a block. The loop that preparation spends its time in."""
        columns, at = self.columns, self.text_bytes
        last_ns = columns.recv_ns[-1] if columns.recv_ns else 0
        for line in block.split(b"\n")[:-1]:
            source.lines += 1
            start, at = at, at + len(line) + 1
            if not line or line.isspace():
                continue
            stamp, _, message = line.partition(b" ")
            recv_ns = source.recv_ns(stamp)
            if recv_ns:
                last_ns = recv_ns
                judged = judge(message)
            else:
                judged = Judged(MessageKind.BAD, fault="begins with no receive time in the file's unit, ns or us")
            if judged.kind is MessageKind.BAD:
                self._fault(source.number, source.lines, judged.fault)
            else:
                source.count(judged, recv_ns, stamp)
            if (body := judged.body) is not None:
                symbol, pair = symbol_of(body)
                if symbol:
                    self.symbols[symbol] = self.symbols.get(symbol) or pair
                self.futures = self.futures or body.pu is not None
            columns.offset.append(start + len(line) - len(message))
            columns.recv_ns.append(last_ns)
            columns.exch_ns.append(judged.exch_ns)
            columns.length.append(len(message))
            columns.line.append(source.lines)
            columns.file.append(source.number)
            columns.kind.append(judged.kind)
        self.text_bytes = at

    def _fault(self, file: int, line: int, text: str) -> None:
        if len(self.faults) < CAPTURE_WARNINGS:
            self.faults.append(Fault(file, line, text))

    def _finish(self, sources: list[SourceFile]) -> None:
        """Check the numbers with the compiled parser, then write index and meta."""
        index = np.zeros(len(self.columns.kind), INDEX).view(np.recarray)
        for name, column in zip(_Columns._fields, self.columns, strict=True):
            index[name] = np.frombuffer(column, column.typecode)
        text = np.asarray(np.memmap(self.folder / TEXT, np.uint8, "r"))
        ((symbol, pair),) = self.symbols.items()
        market = COINM if is_coinm(symbol, pair) else USDM if self.futures else SPOT
        instrument = find_instrument(symbol, market, self.more)
        known = instrument is not None
        instrument = instrument or infer_instrument(symbol, market, _some_levels(text, index))
        codes, cut = examine_capture(text, index, instrument, market != SPOT)
        for k in np.flatnonzero(codes):
            self._fault(int(index.file[k]), int(index.line[k]), PARSE_WORDS[Parse(codes[k])])
        index.kind[codes != _OK] = MessageKind.BAD

        counted = np.bincount(index.kind, minlength=len(MessageKind))
        times = index.recv_ns[index.kind != MessageKind.BAD]
        timed = index[(index.exch_ns > 0) & (index.kind != MessageKind.BAD)]
        meta = CaptureMeta(
            files=sources,
            market=market,
            symbol=symbol,
            instrument=instrument,
            instrument_known=known,
            counts={name: int(counted[kind]) for kind, name in KIND_NAMES.items()},
            first_recv_ns=int(times[0]) if len(times) else 0,
            last_recv_ns=int(times[-1]) if len(times) else 0,
            skew_ns=int((timed.recv_ns - timed.exch_ns).min()) if len(timed) else 0,
            timed=len(timed),
            cut_lots=cut,
            warnings=[f"{self.files[f.file].name} line {f.line}: {f.text}" for f in sorted(self.faults)],
            notes=[],
        )
        meta.notes.extend(_notes(meta, int(np.count_nonzero(np.diff(times) < 0))))
        write_index(self.folder, index, meta)


def write_index(folder: Path, index: np.ndarray, meta: CaptureMeta) -> None:
    """The last two files of a prepared folder; its text, named TEXT, is there already."""
    np.save(folder / _INDEX, np.asarray(index))
    (folder / _META).write_bytes(msgspec.json.encode(meta))


def examine_capture(
    text: np.ndarray, index: np.recarray, instrument: Instrument, futures: bool
) -> tuple[np.ndarray, int]:
    """Parse code of every message (int64[n], 0 OK), and how many quantities are finer than the instrument's lot."""
    codes = np.zeros(len(index), np.int64)
    fixed = index.view()
    fixed.flags.writeable = False  # as a mapped index is, so that one compiled version serves both
    return codes, int(examine(text, fixed, make_grid(instrument), int(futures), make_scratch(), codes))


def _some_levels(text: np.ndarray, index: np.recarray) -> list[tuple[str, str]]:
    """Prices and quantities to take an unknown grid from: the first snapshot's; without one, those that come first."""
    snapshots = np.flatnonzero(index.kind == MessageKind.SNAPSHOT)[:1]
    levels: list[tuple[str, str]] = []
    for k in snapshots if len(snapshots) else range(len(index)):
        start = int(index.offset[k])
        body = judge(text[start : start + int(index.length[k])].tobytes()).body
        if body is not None:
            for side in (body.bids, body.asks, body.b, body.a):
                levels += side if isinstance(side, list) else []
            pairs = ((body.p, body.q), (body.b, body.B), (body.a, body.A))
            levels += [(px, qty) for px, qty in pairs if isinstance(px, str) and qty is not None]
        if len(levels) >= _GRID_SAMPLE:
            break
    return levels


def _notes(meta: CaptureMeta, backward: int) -> list[str]:
    """What a summary should say about this session."""
    one, bad, notes = meta.instrument, meta.counts["bad"], []
    if not meta.instrument_known:
        notes.append(
            f"{one.symbol} ({one.market}) is in no instrument table: tick {one.tick} and lot {one.lot} were taken from the capture"
        )
    if meta.counts["snapshot"] == 0:
        notes.append("there is no snapshot: the book never becomes valid, and a run on this ends DEGRADED")
    if bad:
        notes.append(f"{bad} bad line{'s' if bad > 1 else ''} skipped, the first: {meta.warnings[0]}")
    if meta.cut_lots:
        notes.append(
            f"quantities finer than a lot ({one.lot}): {meta.cut_lots}; only whole lots can be traded, and count"
        )
    if backward:
        notes.append(f"the receive time steps back {backward} times: held at the latest")
    return notes
