"""Captures with faults in them, made from a sound one: updates left out, garbage in between.

    Capture --sound_lines--> lines --without_updates | with_garbage--> lines --write_capture--> a file for --source

Pure and seeded: the same capture and seed give the same file. What is sound in a line stays as it was recorded, so that what
a run makes of the faulty capture can be held against what it makes of the sound one.
"""

import random
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from ringsim.errors import BadInput
from ringsim.limits import BOOK_LEVELS
from ringsim.market.binance import MessageKind, make_scratch
from ringsim.market.capture import Capture
from ringsim.market.events import make_events
from ringsim.market.feed import Step, feed_step, fold_capture, new_feed

_LEVELS = 5_000  # a side, of a snapshot: the venue's own limit
_MISSING = (1, 5)  # diffs that one gap leaves out
_UNTIL_MENDED = (3, 20)  # diffs from a gap to the snapshot that mends it


class Line(NamedTuple):
    """A line of a capture. recv_ns: its receive time; None: `text` is the whole line, whatever it is."""

    recv_ns: int | None
    text: bytes
    kind: MessageKind = MessageKind.BAD


def sound_lines(capture: Capture) -> list[Line]:
    """The messages of a capture that are not bad, their receive times in ns."""
    return [line for line in _all_lines(capture) if line.kind != MessageKind.BAD]


def _all_lines(capture: Capture) -> list[Line]:
    return [
        Line(int(e.recv_ns), capture.text[e.offset : e.offset + e.length].tobytes(), MessageKind(e.kind))
        for e in capture.index
    ]


def write_capture(path: Path, lines: list[Line]) -> str:
    """Write a capture file; returns it as --source takes it."""
    with path.open("wb") as file:
        for line in lines:
            stamp = b"" if line.recv_ns is None else b"%d " % line.recv_ns
            file.write(stamp + line.text + b"\n")
    return f"replay:{path}"


# Updates left out


class _Gap(NamedTuple):
    """Messages first..last (numbers in the capture; diffs among them) are left out; a snapshot follows message `mended`."""

    first: int
    last: int
    mended: int


def _gaps(capture: Capture, count: int, seed: int) -> list[_Gap]:
    """Where to leave diffs out: `count` places drawn from the seed, one in each part of what follows the first snapshot."""
    kinds = capture.index.kind
    snapshots = np.flatnonzero(kinds == MessageKind.SNAPSHOT)
    first = int(snapshots[0]) if len(snapshots) else len(kinds)
    diffs = [int(k) for k in np.flatnonzero(kinds == MessageKind.DEPTH) if k > first]
    part = len(diffs) // max(count, 1)
    if part < _MISSING[1] + _UNTIL_MENDED[1] + 4:
        raise BadInput(f"{capture.meta.files[0].path}: too few diffs after a snapshot ({len(diffs)}) for {count} gaps")
    chance, found = random.Random(f"{seed} gaps"), []
    for k in range(count):
        missing, until = chance.randint(*_MISSING), chance.randint(*_UNTIL_MENDED)
        at = k * part + chance.randint(1, part - missing - until - 2)
        found.append(_Gap(diffs[at], diffs[at + missing - 1], diffs[at + missing + until]))
    return found


def without_updates(capture: Capture, count: int, seed: int, *, mended: bool) -> list[Line]:
    """`count` times a few diffs in a row are missing. mended: a snapshot of the true book comes a little later, as a REST
    answer would; without it nothing that could mend the book is left in the capture.

    Raises BadInput if the capture is too short for that, or has gaps of its own.
    """
    if fold_capture(capture)[1][0].counts.gaps:
        raise BadInput(f"{capture.meta.files[0].path}: has gaps of its own; take a capture without")
    gaps = _gaps(capture, count, seed)
    answers = _snapshots(capture, [gap.mended for gap in gaps]) if mended else {}
    lines = []
    for number, line in enumerate(_all_lines(capture)):
        missing = line.kind == MessageKind.DEPTH and any(gap.first <= number <= gap.last for gap in gaps)
        missing |= line.kind == MessageKind.SNAPSHOT and not mended and number > gaps[0].first
        if not missing and line.kind != MessageKind.BAD:
            lines.append(line)
        if number in answers:
            lines.append(Line(line.recv_ns, answers[number], MessageKind.SNAPSHOT))
    return lines


def _snapshots(capture: Capture, after: list[int]) -> dict[int, bytes]:
    """What the venue would have answered after each of these messages (ascending): the book as the sound capture tells it."""
    feed, scratch, events, found = new_feed(capture), make_scratch(), make_events(), {}
    for message in after:
        step = Step.DONE
        while feed[0].next <= message or step == Step.MORE:
            events.count[0] = 0
            step = feed_step(feed[0], capture.text, capture.index, scratch, events)
        bids, asks = (_levels(side, capture, sign) for side, sign in zip(feed[0].book.sides, (-1, 1), strict=True))
        found[message] = msgspec.json.encode({"lastUpdateId": int(feed[0].last_id), "bids": bids, "asks": asks})
    return found


def _levels(side: np.record, capture: Capture, sign: int) -> list[tuple[str, str]]:
    """A side's levels as the venue writes them, best first."""
    one = capture.meta.instrument
    pairs = side.levels.reshape(BOOK_LEVELS, 2)
    pairs = pairs[pairs[:, 0] != 0]
    ordered = pairs[np.argsort(sign * pairs[:, 0], kind="stable")][:_LEVELS]
    return [(f"{one.price(int(px)):f}", f"{one.quantity(int(lots)):f}") for px, lots in ordered]


# Everything at once


def with_bursts(capture: Capture, count: int, burst_s: float) -> list[Line]:
    """`count` times the connection stands still for burst_s seconds, and then all that was held up arrives at the same moment.

    The bursts are spread evenly; half of the time between two of them at the least, messages come as they were recorded.
    Raises BadInput if the capture is too short for that.
    """
    meta, burst_ns = capture.meta, round(burst_s * 1e9)
    part = (meta.last_recv_ns - meta.first_recv_ns) // count
    if part < 2 * burst_ns:
        raise BadInput(f"{meta.files[0].path}: {meta.span_s:.1f} s are too short for {count} bursts of {burst_s:g} s")
    lines = []
    for line in sound_lines(capture):
        assert line.recv_ns is not None
        offset = line.recv_ns - meta.first_recv_ns
        held_until = min(offset // part, count - 1) * part + part // 2 + burst_ns
        held = held_until - burst_ns <= offset < held_until
        lines.append(line._replace(recv_ns=meta.first_recv_ns + held_until) if held else line)
    return lines


# Garbage in between


def with_garbage(capture: Capture, bad: int, doubled: int, seed: int) -> list[Line]:
    """Every sound line of the capture in its order, and between them `bad` lines that are no messages and `doubled` diffs
    and trades once more (at once, or a few messages late).

    Raises BadInput if the capture has too few lines for that.
    """
    sound = sound_lines(capture)
    chance = random.Random(f"{seed} garbage")
    twice = [k for k, line in enumerate(sound[:-_LATE]) if line.kind in (MessageKind.DEPTH, MessageKind.TRADE)]
    if len(twice) < doubled or len(sound) < bad + _LATE:
        raise BadInput(f"{capture.meta.files[0].path}: too few messages ({len(sound)}) to put garbage between")
    added: dict[int, list[Line]] = {}
    for k in chance.sample(twice, doubled):
        after = k + chance.choice((0, 0, 1, _LATE))
        added.setdefault(after, []).append(sound[k]._replace(recv_ns=sound[after].recv_ns))
    for n, k in enumerate(sorted(chance.sample(range(1, len(sound)), bad))):
        added.setdefault(k, []).append(_GARBAGE[n % len(_GARBAGE)](sound[k], chance))
    lines = []
    for k, line in enumerate(sound):
        lines += [line, *added.get(k, ())]
    return lines


_LATE = 7  # messages that a late double comes after its first


def _cut(line: Line, chance: random.Random) -> Line:
    """The connection ended in the middle of a line."""
    return line._replace(text=line.text[: chance.randint(1, len(line.text) - 1)], kind=MessageKind.BAD)


def _flipped(line: Line, chance: random.Random) -> Line:
    """A brace is something else."""
    return line._replace(text=line.text[:-1] + chance.choice((b"]", b"\x00", b'"', b"\xff")), kind=MessageKind.BAD)


def _binary(line: Line, chance: random.Random) -> Line:
    """Bytes of any value but the one that ends a line, without a receive time."""
    return Line(None, b"\x80" + bytes(b for b in chance.randbytes(chance.randint(1, 300)) if b != 10))


def _binary_message(line: Line, chance: random.Random) -> Line:
    """A receive time, and then such bytes."""
    return line._replace(text=_binary(line, chance).text, kind=MessageKind.BAD)


def _no_object(line: Line, chance: random.Random) -> Line:
    """JSON, and no message."""
    return line._replace(text=chance.choice((b"42", b"[1, 2]", b'"depthUpdate"', b"null")), kind=MessageKind.BAD)


def _lacks_fields(line: Line, chance: random.Random) -> Line:
    """A message of a known kind with next to nothing in it."""
    texts = (b'{"e":"depthUpdate","E":1}', b'{"e":"trade","t":1,"p":"1"}', b'{"lastUpdateId":5}')
    return line._replace(text=chance.choice(texts), kind=MessageKind.BAD)


def _deep(line: Line, chance: random.Random) -> Line:
    """Nesting without end."""
    return line._replace(text=b"[" * chance.randint(2_000, 20_000), kind=MessageKind.BAD)


def _no_time(line: Line, chance: random.Random) -> Line:
    """A sound message, whose receive time is none."""
    return Line(None, chance.choice((b"", b"yesterday ", b"-5 ", b"99999999999999999999 ")) + line.text)


_GARBAGE = (_cut, _flipped, _binary, _binary_message, _no_object, _lacks_fields, _deep, _no_time)
