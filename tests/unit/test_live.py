"""Laws of the live view: a picture of exactly the size asked for, and a terminal that never holds anybody up."""

import fcntl
import io
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from procs.cells import clip, wrap
from procs.frame import MIN_HEIGHT, MIN_WIDTH
from procs.live import LiveView
from procs.notes import Grade, notes
from procs.readmodel import Happening, StageView, View
from ringsim.units import Instrument
from tests.unit.views import BTC, INT64, any_view, empty, healthy, line

SIZES = [(60, 15), (80, 24), (120, 40), (200, 60)]
sizes = pytest.mark.parametrize(("width", "height"), SIZES)


def picture(view: View, width: int, height: int, instrument: Instrument = BTC) -> list[str]:
    """What a terminal of that size would show, line by line, drawn by rich."""
    group = LiveView(lambda: view, instrument, "ringsim top", hint="q leaves").render(view, width, height)
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None, legacy_windows=False)
    console.print(group)
    return console.file.getvalue().split("\n")[:-1]  # type: ignore[attr-defined]


def fits(lines: list[str], width: int, height: int) -> bool:
    return len(lines) == height and all(cell_len(text) == width for text in lines)


# -- the picture


@settings(max_examples=80, deadline=None)
@given(view=any_view, width=st.integers(1, 220), height=st.integers(1, 70))
def test_whatever_the_view_holds_the_picture_has_the_size_asked_for(view, width, height):
    assert fits(picture(view, width, height), width, height)


texts = st.text(st.characters(exclude_categories=["C", "M", "Z"]) | st.just(" "), max_size=9)


@given(parts=st.lists(st.tuples(texts, st.just(""))), width=st.integers(0, 30))
def test_a_row_that_is_cut_says_so_at_its_end(parts, width):
    whole, shown = "".join(t for t, _ in parts), "".join(t for t, _ in clip(parts, width))
    assert cell_len(shown) == width
    if cell_len(whole) <= width:
        assert shown == whole.ljust(len(whole) + width - cell_len(whole))
    elif width > 0:
        assert shown[-1] == "…" and whole.startswith(shown[:-1].rstrip())


@given(words=st.lists(st.from_regex(r"[a-z]{1,9}", fullmatch=True)), width=st.integers(1, 30), rows=st.integers(1, 5))
def test_wrapped_text_keeps_its_words_or_is_cut_at_its_end(words, width, rows):
    lines = wrap(" ".join(words), width, rows)
    assert len(lines) <= rows and all(cell_len(text) <= width for text in lines)
    assert " ".join(lines) == " ".join(words) or "…" in "".join(lines)


@sizes
def test_what_matters_is_there(width, height):
    lines = picture(healthy(), width, height)
    text = "\n".join(lines)
    assert fits(lines, width, height)
    for word in ("READY", "ACTIVE", "RUNNING", "65,432.10", "65,432.11", "0.015 bps", "-0.532"):
        assert word in text
    for word in ("position +0.01500", "equity 100,012.34", "P&L +12.34"):
        assert word in text
    for hop in ("tick_to_order", "tick_to_fill", "decision"):
        row = next(row for row in lines if row.startswith(hop))
        assert all(figure in row for figure in ("p50 1.85us", "p99 7.21us", "max 1.23ms", "12,345"))
    rates = (("ingest", "4101", "12,346/s"), ("strategy", "4102", "123.5k/s"), ("persistence", "4104", "346/s"))
    for stage, pid, rate in rates:
        row = next(row for row in lines if row.startswith(stage))
        assert pid in row and rate in row and "RUNNING" in row and "400us" in row
    for ring, fill, lag, gate in (("market", "25 %", "4,096", "execution"), ("orders", "29 %", "300", "persistence")):
        row = next(row for row in lines if row.startswith(f"{ring} ") and "█" in row)
        assert fill in row and lag in row and gate in row


@pytest.mark.parametrize(("width", "height"), SIZES[1:])
def test_from_80x24_on_there_is_more(width, height):
    lines = picture(healthy(), width, height)
    text = "\n".join(lines)
    for words in ("realised +10.00", "unrealised +4.00", "fees 1.66", "120 submitted", "40 fills", "p99.9", "MiB"):
        assert words in text
    assert "strategy 12  execution 4,096" in text  # each reader's lag
    assert "12:00:00.000" in text
    head = next(k for k, row in enumerate(lines) if row.startswith("newest orders"))
    assert lines[head + 1].startswith("REFUSED  BUY  0.01500") and "POSITION" in lines[head + 1]
    assert lines[head + 2].startswith("NEW      SELL 0.01500")
    assert "FILL     SELL 0.01500 @ 65,432.99" in lines[head + 1]
    assert "SIGNAL" not in text and "ACCOUNT" not in text  # neither an order nor an answer


STORY = [
    Happening(0.0, "READY: every stage is warm", Grade.ASIDE),
    Happening(1.52, "SIGKILL to strategy at its input 312 (HALF_RECORD)", Grade.LOOK),
    Happening(1.53, "DEGRADED: strategy (pid 4711) died; seen after 0.4 ms", Grade.BAD),
    Happening(1.54, "READY again after 13.8 ms", Grade.ASIDE),
]


@pytest.mark.parametrize(("width", "height"), [(80, 24), (80, 15), (120, 40), (200, 60)])
def test_what_was_done_to_a_run_is_told_the_newest_last(width, height):
    lines = [text.rstrip() for text in picture(healthy(story=STORY), width, height)]
    told = lines[lines.index("what was done to the run, and what came of it") + 1 :]
    shown = [text for text in told if " s  " in text]
    assert shown[-1] == "    1.540 s  READY again after 13.8 ms"
    if height >= 24:
        assert [text.split(" s  ")[1] for text in shown] == [happening.text for happening in STORY]
    assert not any("what was done" in text for text in picture(healthy(), width, height))


def test_a_title_that_names_the_run_does_not_name_it_twice():
    view = LiveView(healthy, BTC, f"ringsim run {healthy().run_id}")
    assert view.lines(healthy(), 80, 24)[0].plain.count(healthy().run_id) == 1


def test_a_large_terminal_shows_every_hop_with_every_percentile():
    text = "\n".join(picture(healthy(), 200, 60))
    assert all(hop in text for hop in healthy().hops) and "p99.99 99.1us" in text and "mean 2.20us" in text
    assert "1,234 of 9,999" in text


@sizes
def test_the_rows_stay_where_they_are_when_trouble_comes(width, height):
    calm = picture(healthy(), width, height)
    trouble = picture(healthy(lifecycle="DEGRADED", reasons=["one", "two", "three"], missed=5), width, height)
    for head in ("process ", "market ", "position ", "tick_to_fill"):
        assert [r.startswith(head) for r in calm] == [r.startswith(head) for r in trouble]


@sizes
def test_a_reason_is_said_in_words(width, height):
    text = "\n".join(picture(healthy(lifecycle="DEGRADED", reasons=["persistence is 51% behind"]), width, height))
    assert "DEGRADED" in text and "persistence is 51% behind" in text
    halted = healthy(trading="HALTED", reports=[line(1, "HALTED", "", "DAILY_LOSS", 0, 0)])
    text = "\n".join(picture(halted, width, height))
    assert "trading HALTED: DAILY_LOSS" in text
    for state in ("PAUSED", "STOPPING", "STOPPED"):
        assert f"- {state}" in "\n".join(picture(healthy(run_state=state), width, height))


@sizes
def test_a_long_reason_is_wrapped_or_cut_at_its_end(width, height):
    reason = " ".join(f"word{k:02}" for k in range(60))
    lines = picture(healthy(lifecycle="DEGRADED", reasons=[reason]), width, height)
    start = next(k for k, row in enumerate(lines) if row.startswith("! DEGRADED: word00"))
    end = next(k for k, row in enumerate(lines) if k > start and not row.startswith("  word"))
    shown = "".join(row[1:] for row in lines[start:end])
    words = re.findall(r"word\d\d", shown)
    assert words == [f"word{k:02}" for k in range(len(words))]  # nothing is left out in the middle
    assert len(words) == 60 or "…" in lines[end - 1]


def test_reasons_that_have_no_room_are_counted():
    lines = picture(healthy(lifecycle="DEGRADED", reasons=["one", "two", "three"]), 60, 15)
    # and the refusal among the newest orders
    assert "DEGRADED: one" in lines[1] and "(+3 more)" in lines[1]


@sizes
def test_control_characters_do_not_reach_the_terminal(width, height):
    reason = "red \x1b[31m alert\n\r\x07 \u202e \ud800 done"
    view = healthy(lifecycle="DEGRADED", reasons=[reason], run_id="\x1b]0;title\x07")
    lines = picture(view, width, height)
    assert fits(lines, width, height)
    assert all(ch.isprintable() for row in lines for ch in row)


@sizes
def test_nothing_known_is_said_so(width, height):
    text = "\n".join(picture(empty(), width, height))
    for words in ("INIT", "no market data yet", "no account yet", "no latencies yet"):
        assert words in text


def test_a_process_that_is_not_there_has_no_figures():
    view = healthy()
    view.stages[0] = StageView("ingest", 0, "ABSENT", 0, 0.0, 0, 0.0, "", 0.0, 0.0)
    row = next(row for row in picture(view, 80, 24) if row.startswith("ingest"))
    assert row.split() == ["ingest", "-", "ABSENT", "-", "-", "-", "-", "-"]


@sizes
def test_a_book_without_a_snapshot_shows_no_prices(width, height):
    view = healthy()
    view.market["valid"] = 0
    text = "\n".join(picture(view, width, height))
    assert "no valid book" in text and "65,432.11" not in text


@sizes
def test_huge_numbers_are_shortened_and_never_cut(width, height):
    view = healthy()
    view.market = dict.fromkeys(view.market, INT64)
    view.account = dict.fromkeys(view.account, INT64)
    view.hops = {name: dict.fromkeys(hop, 1e15) for name, hop in view.hops.items()}
    for ring in view.rings:
        ring.lag = dict.fromkeys(ring.lag, INT64)
        ring.lost = dict.fromkeys(ring.lost, INT64)
    for stage in view.stages:
        stage.rate, stage.cpu_percent, stage.rss_mib, stage.heartbeat_ms, stage.inputs = 1e15, 1e9, 1e9, 1e12, INT64
    lines = picture(view, width, height)
    assert fits(lines, width, height)
    heads = ("bid", "BTC", "position", "P&L", "orders ", "tick", "decision", "ingest")
    figures = [row for row in lines if row.startswith(heads)]
    assert len(figures) >= 6 and not any("…" in row for row in figures)


@sizes
def test_more_processes_and_rings_than_rows_are_counted(width, height):
    view = healthy()
    view.stages *= 20
    view.rings *= 20
    lines = picture(view, width, height)
    assert fits(lines, width, height)
    assert any("more processes" in row for row in lines) and any("more rings" in row for row in lines)


def test_what_deserves_a_look_is_said():
    view = healthy(missed=7, feed={"gaps": 2, "resyncs": 1})
    view.stages[0].generation, view.stages[1].heartbeat_ms = 3, 12_300.0
    view.rings[0].lost["strategy"], view.rings[1].lag["persistence"] = 99, 900
    view.account["provisional"] = 4
    text = "\n".join(note.text for note in notes(view))
    for words in (
        "ingest was restarted", "generation 3", "strategy: no heartbeat for 12.3s", "strategy lost 99 records of the market ring",
        "the orders ring is 88% full: waits for persistence", "gaps in the feed: 2", "provisional orders: 4", "POSITION 1",
        "too slow for 7 records",
    ):  # fmt: skip
        assert words in text
    text = "\n".join(picture(view, 120, 60))
    assert "- strategy lost 99 records" in text and "! strategy: no heartbeat" in text and " more)" in text
    assert "room, persistence" in text  # whom the execution waits for


@pytest.mark.parametrize(("width", "height"), [(59, 40), (200, 14), (40, 8), (20, 5), (8, 3)])
def test_too_small_a_terminal_says_so_and_shows_the_words(width, height):
    lines = picture(healthy(), width, height)
    assert fits(lines, width, height)
    words = " ".join(lines)
    assert "READY" in words and "ACTIVE" in words and "RUNNING" in words
    assert width < 11 or f"{MIN_WIDTH}x{MIN_HEIGHT}" in words


def test_a_stream_without_unicode_gets_none():
    stream = SimpleNamespace(encoding="ascii")
    group = LiveView(healthy, BTC, "ringsim top", stream=stream).render(healthy(reasons=["long " * 99]), 80, 24)
    assert all(row.plain.isascii() for row in group.renderables)


def test_the_view_needs_no_compiler():
    code = "import sys, procs.live, procs.progress; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


# -- the terminal


class Screen:
    """A pseudo-terminal whose reader is this test: it reads when asked to and not before."""

    def __init__(self) -> None:
        self.master, self.slave = pty.openpty()
        self.stream = open(self.slave, "w", encoding="utf-8")  # noqa: SIM115
        self.resize(80, 24)

    def resize(self, width: int, height: int) -> None:
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def read(self) -> str:
        """Everything that has arrived."""
        data = b""
        while select.select([self.master], [], [], 0)[0]:
            data += os.read(self.master, 1 << 16)
        return data.decode(errors="replace")

    def hang_up(self) -> None:
        if self.master >= 0:
            os.close(self.master)
            self.master = -1

    def close(self) -> None:
        self.hang_up()
        self.stream.close()


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    one = Screen()
    yield one
    one.close()


class Looks:
    """Counts how often the view was asked for, and shows the count."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> View:
        self.count += 1
        return healthy(run_id=f"look-{self.count}")


def live(screen: Screen, look: Callable[[], View] | None = None) -> LiveView:
    return LiveView(look or Looks(), BTC, "ringsim top", refresh_hz=1e9, stream=screen.stream)


def promptly(work: Callable[[], object], rescue: Callable[[], None]) -> None:
    """Fail, instead of hanging, if `work` blocks: `rescue` then frees it."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(30)
    if thread.is_alive():
        rescue()
        pytest.fail("it waited for the terminal")


def shown(text: str) -> list[str]:
    return re.findall(r"look-\d+", text)


def test_a_reader_that_stops_costs_frames_and_no_time(screen):
    look = Looks()
    view = live(screen, look)
    assert view.start()

    def until_full() -> None:
        while view.skipped < 50:
            view._whole_s = 0.0  # whole frames, so that the terminal fills up soon
            assert view.update()

    promptly(until_full, screen.hang_up)
    assert look.count == view.frames  # a frame that is skipped is not even drawn

    # The reader goes on: what was begun arrives whole, then the newest.
    frames, text = view.frames, screen.read()
    while view.frames == frames:
        assert view.update()
        text += screen.read()
    newest = f"look-{look.count}"
    view.stop()
    text += screen.read()
    assert shown(text)[-1] == newest and len(shown(text)) == view.frames
    assert text.endswith("\x1b[?1049l")


def test_a_stopped_terminal_skips_and_goes_on(screen):
    view = live(screen)
    view.start()
    view.update()
    screen.read()
    termios.tcflow(screen.slave, termios.TCOOFF)  # what Ctrl-S does

    def until_skipped() -> None:
        while not view.skipped:
            view.update()

    promptly(until_skipped, lambda: termios.tcflow(screen.slave, termios.TCOON))
    termios.tcflow(screen.slave, termios.TCOON)
    frames = view.frames
    while view.frames == frames:
        assert view.update()
        screen.read()
    view.stop()


def test_stop_gives_a_terminal_back_that_does_not_listen(screen):
    termios.tcflow(screen.slave, termios.TCOOFF)

    def start_and_stop() -> None:
        with live(screen) as view:
            view.update()

    promptly(start_and_stop, lambda: termios.tcflow(screen.slave, termios.TCOON))
    termios.tcflow(screen.slave, termios.TCOON)
    screen.read()
    screen.stream.write("summary\n")  # the way back goes before whatever the caller prints
    screen.stream.flush()
    assert re.search(r"\x1b\[\?1049l.*summary", screen.read(), re.DOTALL)


def test_a_closed_terminal_ends_the_view_and_raises_nothing(screen):
    view = live(screen)
    view.start()
    assert view.update() and view.active
    screen.hang_up()
    while view.update():
        pass
    assert not view.active and not view.update()
    view.stop()
    view.stop()


def test_run_says_how_it_ended(screen):
    assert live(screen).run(lambda: True) == "done"
    gone = live(screen)
    assert gone.start()
    screen.hang_up()
    assert gone.run(lambda: False) == "gone"


def test_an_error_of_the_look_comes_through_with_the_terminal_given_back(screen):
    def broken() -> View:
        raise RuntimeError("the segment is gone")

    with pytest.raises(RuntimeError, match="segment"):
        live(screen, broken).run(lambda: False)
    assert screen.read().endswith("\x1b[?1049l")


def test_a_resize_is_drawn_whole_at_the_new_size(screen):
    view = live(screen)
    view.start()
    view.update()
    assert max(rows_of(screen.read())) == 24
    for width, height in ((120, 40), (90, 40), (60, 15), (30, 6), (1, 1)):
        screen.resize(width, height)
        view.update()
        text = screen.read()
        assert "\x1b[2J" in text and rows_of(text) == list(range(1, height + 1))
    view.stop()


def test_only_changed_lines_are_sent(screen):
    view = live(screen)
    view.start()
    view.update()
    screen.read()
    view._whole_s = float("inf")
    view.update()
    assert rows_of(screen.read()) == [1]  # the run's name, which holds the count
    view.stop()


def test_no_color_is_honoured(screen, monkeypatch):
    def drawn() -> str:
        view = live(screen)
        with view:
            view.update()
        return screen.read()

    colour = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-8]|4[0-8]|9[0-7])[;m]")
    assert colour.search(drawn())
    monkeypatch.setenv("NO_COLOR", "1")
    text = drawn()
    assert not colour.search(text) and "READY" in text


def test_a_pipe_or_a_dumb_terminal_shows_no_view(screen, monkeypatch):
    read, write = os.pipe()
    with open(read, "rb"), open(write, "w") as stream:
        view = LiveView(healthy, BTC, "ringsim top", stream=stream)
        assert not view.start() and not view.update()
        view.stop()
    monkeypatch.setenv("TERM", "dumb")
    assert not live(screen).start()
    assert screen.read() == ""


def rows_of(text: str) -> list[int]:
    return [int(row) for row in re.findall(r"\x1b\[(\d+);1H", text)]
