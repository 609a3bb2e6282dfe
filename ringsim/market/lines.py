"""Lines of a recorded file: unpacked, cut apart and judged one by one, before anything is folded.

    file -> blocks (gzip or plain, hashed on the way) -> lines `<receive time> <raw JSON>` -> judge -> kind, E, symbol

Invariant: every line is valid JSON of a known shape, or is called bad with the reason; nothing is repaired. A file that
ends before its gzip data does is an error: half a session read as a whole one would be a wrong answer.
"""

import hashlib
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ringsim.errors import BadInput
from ringsim.limits import MESSAGE_BYTES
from ringsim.market.binance import MessageKind

_GZIP_MAGIC = b"\x1f\x8b"
_READ_BYTES = 1 << 18
_BLOCK_BYTES = 1 << 22
_PARTIAL_DEPTH = re.compile(r"@depth(5|10|20)(@|$)")
_COINM_SYMBOL = re.compile(r"[A-Z0-9]+USD_(PERP|\d{6})")

FORMAT_HINT = "a capture has lines '<receive time in ns or us> <JSON message>'"

_Levels = list[tuple[str, str]]


class Body(msgspec.Struct, gc=False):
    """A message, any kind; a field that another kind uses differently takes both types."""

    e: str | None = None
    E: int | None = None
    s: object = None  # whatever it is: only a text is a symbol
    ps: object = None
    U: int | None = None
    u: int | None = None
    pu: int | None = None
    b: str | int | _Levels | None = None
    a: str | int | _Levels | None = None
    B: str | None = None
    A: str | None = None
    t: int | None = None
    p: str | None = None
    q: str | None = None
    m: bool | None = None
    symbol: object = None
    lastUpdateId: int | None = None
    bids: _Levels | None = None
    asks: _Levels | None = None


class Line(Body, gc=False):
    """A bare message, or the combined-stream wrapper around one."""

    stream: object = None
    data: Body | list | None = None


class Judged(NamedTuple):
    """kind; exch_ns: E, 0 if none; body: of a kind that is folded, else None; fault: why it is bad."""

    kind: MessageKind
    exch_ns: int = 0
    body: Body | None = None
    fault: str = ""


_decode_line = msgspec.json.Decoder(Line).decode
_EVENTS = {
    "depthUpdate": MessageKind.DEPTH,
    "trade": MessageKind.TRADE,
    "bookTicker": MessageKind.BOOK_TICKER,
}


def judge(text: bytes) -> Judged:
    """What one raw JSON message is. Never raises; numbers and the grid are the compiled parser's to check."""
    try:
        try:
            line = _decode_line(text)
        except msgspec.ValidationError as error:
            return _judge_strange(msgspec.json.decode(text), str(error))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Judged(MessageKind.BAD, fault=f"is no JSON: {error}")
    wrapped = line.data is not None
    body = line if line.data is None else line.data
    if not isinstance(body, Body):
        return Judged(MessageKind.OTHER)
    kind = _kind(body, wrapped, line.stream)
    exch_ns = 0 if body.E is None else _nanoseconds(body.E)
    if kind is MessageKind.OTHER:
        return Judged(kind, max(exch_ns, 0))
    if not _whole(kind, body):
        return Judged(MessageKind.BAD, fault=f"is a {kind.name.lower()} message that lacks a field")
    if exch_ns < 0:
        return Judged(MessageKind.BAD, fault=f"has an event time out of range: {body.E}")
    return Judged(kind, exch_ns, body)


def _judge_strange(anything: Any, fault: str) -> Judged:
    """A message whose fields have other types: fine if it is of a kind that nobody folds."""
    inner = anything.get("data", anything) if isinstance(anything, dict) else anything
    if not isinstance(inner, dict):
        return (
            Judged(MessageKind.OTHER) if inner is not anything else Judged(MessageKind.BAD, fault="is no JSON object")
        )
    ours = inner.get("e") in _EVENTS or (
        "e" not in inner and ("lastUpdateId" in inner or {"u", "B", "A"} <= inner.keys())
    )
    return Judged(MessageKind.BAD, fault=fault) if ours else Judged(MessageKind.OTHER)


def _kind(body: Body, wrapped: bool, stream: object) -> MessageKind:
    if body.e is not None:
        kind = _EVENTS.get(body.e, MessageKind.OTHER)
        if kind is MessageKind.DEPTH and isinstance(stream, str) and _PARTIAL_DEPTH.search(stream):
            return MessageKind.OTHER  # the top few levels again and again, no difference to anything
        return kind
    if body.lastUpdateId is not None:
        return MessageKind.OTHER if wrapped else MessageKind.SNAPSHOT
    if body.u is not None and (body.B is not None or body.A is not None):
        return MessageKind.BOOK_TICKER
    return MessageKind.OTHER


def _whole(kind: MessageKind, body: Body) -> bool:
    match kind:
        case MessageKind.DEPTH:
            return None not in (body.E, body.U, body.u) and isinstance(body.b, list) and isinstance(body.a, list)
        case MessageKind.TRADE:
            return None not in (body.E, body.t, body.p, body.q, body.m)
        case MessageKind.BOOK_TICKER:
            return None not in (body.u, body.B, body.A) and isinstance(body.b, str) and isinstance(body.a, str)
        case _:
            return None not in (body.bids, body.asks)


def _nanoseconds(event_time: int) -> int:
    """An E in milliseconds or microseconds, as the compiled parser takes it; -1 if out of range."""
    if 0 <= event_time <= 9 * 10**12:
        return event_time * 1_000_000
    return event_time * 1_000 if 10**14 <= event_time <= 9 * 10**15 else -1


def symbol_of(body: Body) -> tuple[str, str]:
    """Symbol and pair that a message names; "" if it names none."""
    symbol = body.s if isinstance(body.s, str) else body.symbol
    return symbol if isinstance(symbol, str) else "", body.ps if isinstance(body.ps, str) else ""


def is_coinm(symbol: str, pair: str) -> bool:
    """Whether a futures symbol is an inverse (COIN-M) contract: BTCUSD_PERP, BTCUSD_240927."""
    return bool(_COINM_SYMBOL.fullmatch(symbol)) or pair.endswith("USD")


def receive_unit(stamp: int) -> int:
    """Nanoseconds per unit of a receive time (epoch): 1 or 1000; 0 if it is neither ns nor us of this era."""
    if 10**17 <= stamp < 10**19:
        return 1
    return 1_000 if 10**14 <= stamp < 10**16 else 0


class SourceReader:
    """Reads one file once: blocks of unpacked text, and the hash of the raw bytes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size_bytes = 0
        self.lines = 0  # complete ones so far
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def blocks(self) -> Iterator[bytes]:
        """Unpacked text, in blocks of whole lines (the last line gets a newline if it has none).

        BadInput, one line, if the file is missing, unreadable, empty, truncated or corrupt gzip, or has no lines.
        """
        rest = b""
        try:
            for block in self._unpacked():
                head, newline, tail = block.rpartition(b"\n")
                if not newline:
                    rest += block
                else:
                    whole = rest + head + newline
                    self.lines += whole.count(b"\n")
                    rest = tail
                    yield whole
                if len(rest) > MESSAGE_BYTES:
                    raise BadInput(
                        f"{self.path}: line {self.lines + 1} is longer than {MESSAGE_BYTES} bytes; {FORMAT_HINT}"
                    )
        except (EOFError, zlib.error) as error:
            what = "ends early" if isinstance(error, EOFError) else f"is damaged ({error})"
            raise BadInput(
                f"{self.path}: its gzip data {what}, after line {self.lines}; nothing of it was used, get the file again"
            ) from None
        except OSError as error:
            raise BadInput(f"{self.path}: cannot be read: {error.strerror or error}") from None
        if rest:
            self.lines += 1
            yield rest + b"\n"
        if self.lines == 0:
            raise BadInput(f"{self.path}: is empty; {FORMAT_HINT}")

    def _unpacked(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            unpacker = None
            for raw in iter(lambda: file.read(_READ_BYTES), b""):
                if self.size_bytes == 0 and raw.startswith(_GZIP_MAGIC):
                    unpacker = zlib.decompressobj(wbits=31)
                self.size_bytes += len(raw)
                self._hash.update(raw)
                if unpacker is None:
                    yield raw
                    continue
                while raw:
                    if unpacker.eof:  # another gzip member, or the padding that some tools leave
                        raw = raw.lstrip(b"\0")
                        if not raw:
                            break
                        unpacker = zlib.decompressobj(wbits=31)
                    block = unpacker.decompress(raw, _BLOCK_BYTES)
                    raw = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
                    if block:
                        yield block
                    while not raw and not unpacker.eof and len(block) == _BLOCK_BYTES:
                        block = unpacker.decompress(b"", _BLOCK_BYTES)  # what it had taken in but not given out
                        if block:
                            yield block
            if unpacker is not None and not unpacker.eof:
                raise EOFError
