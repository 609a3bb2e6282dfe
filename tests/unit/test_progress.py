"""Laws of the plain faces: a line that says what matters, whole or not at all; figures that are never read as smaller ones."""

import io
import os
import pty
import re
import select
from collections.abc import Iterator
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from procs import figures as f
from procs.progress import Lines, Warming, progress_line
from tests.unit.views import BTC, any_view, empty, healthy, line

# -- the progress line


def test_the_line_says_what_matters():
    said = progress_line(healthy(), BTC)
    for words in (
        "READY ACTIVE RUNNING", "12:00:00.000", "123,457 events/s", "orders 120", "fills 40", "position +0.01500",
        "equity 100,012.34", "tick_to_order 1.85us/7.21us", "lost 0",
    ):  # fmt: skip
        assert words in said


def test_the_line_says_why_a_run_is_not_as_it_should_be():
    assert "(DEGRADED: too slow)" in progress_line(healthy(lifecycle="DEGRADED", reasons=["too slow"]), BTC)
    halted = healthy(trading="HALTED", reports=[line(1, "HALTED", "", "DAILY_LOSS", 0, 0)])
    assert "(trading HALTED: DAILY_LOSS;" in progress_line(halted, BTC)


def test_the_line_of_a_run_of_which_nothing_is_known():
    assert progress_line(empty(), BTC).startswith("INIT ACTIVE RUNNING  up 0:00  0 events/s  orders 0")


@settings(max_examples=60, deadline=None)
@given(view=any_view)
def test_whatever_the_view_holds_it_is_one_plain_line(view):
    said = progress_line(view, BTC)
    assert said.isprintable()


# -- lines that wait for nobody


@pytest.fixture
def pipe() -> Iterator[tuple[int, io.TextIOWrapper]]:
    read, write = os.pipe()
    with open(write, "w") as stream:
        yield read, stream
    os.close(read)


def arrived(fd: int) -> str:
    data = b""
    while select.select([fd], [], [], 0)[0] and (more := os.read(fd, 1 << 16)):
        data += more
    return data.decode()


def test_a_pipe_that_nobody_reads_drops_whole_lines_and_says_how_many(pipe):
    read, stream = pipe
    lines = Lines(stream)
    sent = 0
    while lines.dropped < 10:  # a call that waits is caught by the suite's time limit
        lines.say(f"{sent:06} {'x' * 90}")
        sent += 1
    first = arrived(read)
    assert lines.say("next")
    text = first + arrived(read)
    rows = text.split("\n")
    assert all(re.fullmatch(r"\d{6} x{90}", row) for row in rows[:-2]) and len(rows) - 2 == sent - 10
    assert rows[-2] == "next  [10 lines dropped: the reader was slow]" and rows[-1] == ""
    lines.close()


def test_a_reader_that_leaves_is_noticed_and_raises_nothing():
    read, write = os.pipe()
    with open(write, "w") as stream:
        lines = Lines(stream)
        os.close(read)
        assert not lines.say("one") and lines.gone
        lines.close()


def test_a_file_takes_every_line_at_its_end(tmp_path):
    path = tmp_path / "log.txt"
    path.write_text("before\n")
    with path.open("a") as stream:
        lines = Lines(stream)
        lines.say("one")
        lines.say("two")
        lines.close()
    assert path.read_text() == "before\none\ntwo\n"


# -- the warming


def test_the_warming_is_a_line_for_each_tenth_where_there_is_no_terminal(tmp_path):
    with (tmp_path / "log.txt").open("w+") as stream:
        with Warming(stream) as warming:
            for done in range(201):
                warming.update(done, 200, "book_set")
        stream.seek(0)
        rows = stream.read().splitlines()
    assert len(rows) == 11
    assert rows[0].startswith("warming up: book_set (0 of 200 ready)") and "200 of 200" in rows[-1]


def test_the_warming_is_a_bar_on_a_terminal_and_leaves_nothing_behind(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    master, slave = pty.openpty()
    with open(slave, "w") as stream:
        with Warming(stream) as warming:
            for done in (0, 3, 7, 0):
                warming.update(done, 7, "book_set")
            shown = arrived(master)
            assert "3 of 7 ready" in shown and "━" in shown and "\n" not in shown
        assert arrived(master) == "\r\x1b[K"
        os.close(master)


@given(done=st.integers(-5, 50), total=st.integers(-5, 50), what=st.text(max_size=200))
def test_the_warming_takes_any_figures(done, total, what):
    stream = io.StringIO()
    with Warming(stream) as warming:
        warming.update(done, total, what)
    assert stream.getvalue().endswith("\n") and stream.getvalue()[:-1].isprintable()


# -- figures

numbers = st.integers(-(2**63), 2**63) | st.floats() | st.floats(-1e9, 1e9)


@given(value=numbers, width=st.integers(6, 20))
def test_a_count_fits_its_room_and_means_what_it_says(value, width):
    text = f.count(value, width)
    assert len(text) <= width
    meant = meaning(text)
    close = abs(Decimal(value)) / (2 if "e" in text else 10)
    assert meant is None or abs(meant - Decimal(value)) <= max(close, Decimal("0.5"))


@given(value=numbers | st.decimals(-(10**18), 10**18, places=7), places=st.integers(0, 9), width=st.integers(8, 24))
def test_a_number_fits_its_room_and_means_what_it_says(value, places, width):
    for sign in (False, True):
        text = f.number(value, places, width, sign=sign)
        assert len(text) <= width
        meant = meaning(text)
        assert meant is None or abs(meant - Decimal(value)) <= max(abs(Decimal(value)) / 2, Decimal(10) ** -places)


@given(us=st.floats(0, 1e18))
def test_a_duration_fits_six_cells_and_means_what_it_says(us):
    text = f.micros(us)
    assert len(text) <= 6
    scale = {"us": 1, "ms": 1000}.get(text[-2:])
    meant = float(text[:-2]) * scale if scale else float(text[:-1]) * 1e6
    assert meant == pytest.approx(us, rel=0.5 if "e" in text else 0.01, abs=0.006)


def meaning(text: str) -> Decimal | None:
    """What a person reads; None for unknown."""
    if text == f.UNKNOWN:
        return None
    power = "kMGTPE".find(text[-1]) + 1
    return Decimal(text.rstrip("kMGTPE").replace(",", "")) * 1000**power


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (f.count(12_345), "12,345"),
        (f.count(1_234_567, 6), "1.23M"),
        (f.micros(0.85), "0.85us"),
        (f.micros(1234.5), "1.23ms"),
        (f.micros(3.1e6), "3.10s"),
        (f.elapsed(83.9), "1:23"),
        (f.elapsed(7283), "2:01:23"),
        (f.elapsed(3 * 86400 + 5), "3d 00:00:05"),
        (f.event_time(5_000_000_000), ""),  # a monotonic clock has no time of day
        (f.age(12_000_000_000, 11_700_000_000), "0.3s"),
        (f.age(0, 5), ""),
        (f.money(BTC, -166_000_00, sign=True), "-1.66"),
        (f.quantity(BTC, 1500, sign=True), "+0.01500"),
    ],
)
def test_figures_read_well(said, expected):
    assert said == expected
