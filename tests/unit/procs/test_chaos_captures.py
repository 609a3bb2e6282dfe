"""Captures with faults in them: the fault is there, and nothing else has changed."""

import random
import shutil

import numpy as np
import pytest

from procs.chaos import captures
from procs.chaos.captures import Line, sound_lines, with_bursts, with_garbage, without_updates, write_capture
from procs.chaos.laws import without_book
from procs.chaos.storm import bursts
from ringsim.book import VALID
from ringsim.errors import BadInput
from ringsim.market.binance import MessageKind
from ringsim.market.capture import prepare
from ringsim.market.feed import fold_capture
from ringsim.market.lines import judge
from ringsim.market.source import open_source
from tests import sessions

SEEDS = range(1, 6)


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Prepares a capture from a source or from messages."""
    monkeypatch.setenv("RINGSIM_CACHE", str(tmp_path / "cache"))

    def make(what):
        if isinstance(what, list) and isinstance(what[0], sessions.Message):
            return prepare([sessions.write_capture(tmp_path / f"s{len(list(tmp_path.iterdir()))}", what)])
        return prepare(open_source(write_capture(tmp_path / f"c{len(list(tmp_path.iterdir()))}", what)))

    yield make
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)


@pytest.fixture(params=[sessions.SPOT, sessions.USDM])
def sound(request, made):
    return made(sessions.session(7, request.param, steps=200))


def book(state):
    """Both sides of a feed's book: {ticks: lots}."""
    sides = [side.levels.reshape(-1, 2) for side in state[0].book.sides]
    return [{int(px): int(lots) for px, lots in side if px} for side in sides]


@pytest.mark.parametrize("seed", SEEDS)
def test_garbage_between_the_lines_changes_no_event(made, sound, seed):
    lines = with_garbage(sound, 24, 30, seed)
    assert lines == with_garbage(sound, 24, 30, seed) and len(lines) == len(sound.index) + 54
    dirty = made(lines)
    (events, state), (clean, _) = fold_capture(dirty), fold_capture(sound)
    assert dirty.meta.counts["bad"] == state[0].counts.bad == 24
    for name in set(events.dtype.names) - {"source_seq"}:
        assert np.array_equal(events[name], clean[name]), name
    doubled = [dirty.meta.counts[kind] - sound.meta.counts[kind] for kind in ("depth", "trade")]
    assert sum(doubled) == 30 and min(doubled) > 0
    assert dirty.meta.counts["bookTicker"] == sound.meta.counts["bookTicker"]


@pytest.mark.parametrize("kind", captures._GARBAGE, ids=lambda kind: kind.__name__.strip("_"))
def test_each_kind_of_garbage_is_always_bad(made, sound, kind):
    chance = random.Random(kind.__name__)
    lines = sound_lines(sound)[:60]
    garbage = [kind(line, chance) for line in lines for _ in range(5)]
    assert not any(b"\n" in line.text for line in garbage)
    with_times = [line for line in garbage if line.recv_ns is not None]
    assert all(judge(line.text).kind is MessageKind.BAD for line in with_times)
    assert made([*lines, *garbage]).meta.counts["bad"] == len(garbage)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_mended_gap_ends_with_the_true_book(made, sound, seed):
    lines = without_updates(sound, 3, seed, mended=True)
    assert lines == without_updates(sound, 3, seed, mended=True)
    holed = made(lines)
    (_, state), (_, clean) = fold_capture(holed), fold_capture(sound)
    assert (state[0].counts.gaps, state[0].counts.resyncs, state[0].counts.unbridged) == (3, 3, 0)
    assert holed.meta.counts["snapshot"] == sound.meta.counts["snapshot"] + 3
    assert holed.meta.counts["depth"] < sound.meta.counts["depth"] and state[0].book.valid == VALID
    assert book(state) == book(clean) and state[0].last_id == clean[0].last_id
    stretches = list(without_book(holed))
    assert len(stretches) == 3 and all(gap["recv_ns"] <= end["recv_ns"] for gap, end in stretches)


def test_an_open_gap_is_never_mended(made):
    # A later snapshot that the capture has of its own would mend it.
    holed = made(without_updates(made(sessions.session(7, steps=200, snapshots=(3, 190))), 1, 1, mended=False))
    _, state = fold_capture(holed)
    assert (state[0].counts.gaps, state[0].counts.resyncs) == (1, 0) and state[0].book.valid != VALID
    ((gap, end),) = without_book(holed)
    assert gap["source_seq"] > 0 and end is None


def test_what_arrives_at_once_is_what_was_recorded(made, sound):
    span_s = sound.meta.span_s
    stormy = made(with_bursts(sound, 3, span_s / 9))
    texts = [[c.text[e.offset : e.offset + e.length].tobytes() for e in c.index] for c in (stormy, sound)]
    assert texts[0] == texts[1] and not stormy.meta.notes
    lengths = np.diff(np.flatnonzero(np.diff(stormy.index.recv_ns, prepend=0, append=2**62)))
    assert (lengths > 10).sum() == 3 and stormy.meta.last_recv_ns >= sound.meta.last_recv_ns


def test_bursts_are_found_by_their_one_time():
    times = np.array([1, 2, *[5] * 100, 6, *[7] * 99, *[9] * 200])
    assert bursts(times) == [(2, 102), (202, 402)]
    assert bursts(np.arange(1000)) == []


def test_a_capture_too_short_or_with_gaps_is_refused(made):
    short = made(sessions.session(1, steps=20))
    for make in (
        lambda: without_updates(short, 3, 1, mended=True),
        lambda: with_garbage(short, 10_000, 1, 1),
        lambda: with_garbage(short, 1, 10_000, 1),
        lambda: with_bursts(short, 3, 1000.0),
    ):
        with pytest.raises(BadInput, match=r"too (few|short)"):
            make()
    messages = sessions.session(7, steps=200, snapshots=(3, 60))
    diffs = [k for k, m in enumerate(messages) if m.kind == "depth"]
    del messages[diffs[20] : diffs[21] + 1]
    with pytest.raises(BadInput, match="gaps of its own"):
        without_updates(made(messages), 1, 1, mended=True)


def test_a_line_without_a_time_is_written_as_it_is(tmp_path):
    path = tmp_path / "c"
    assert write_capture(path, [Line(5, b"{}"), Line(None, b"\x80x")]) == f"replay:{path}"
    assert path.read_bytes() == b"5 {}\n\x80x\n"
