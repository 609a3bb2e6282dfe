"""Screens: what befell a run on purpose is told once, in order, and shortly if it is much."""

import io

from procs.readmodel import Happening
from procs.screens import PlainScreen
from tests.unit.views import BTC


def test_a_plain_screen_tells_each_happening_once_and_counts_what_it_leaves_out():
    story, stream = [Happening(k / 8, f"thing {k}", 0) for k in range(3)], io.StringIO()
    screen = PlainScreen(BTC, stream, story=lambda: story)
    screen.open(lambda: None)
    screen._tell()
    story += [Happening(1 + k / 8, f"thing {k + 3}", 0) for k in range(20)]
    screen.close()
    said = stream.getvalue().splitlines()
    assert said[:3] == ["    0.000 s  thing 0", "    0.125 s  thing 1", "    0.250 s  thing 2"]
    assert said[3] == "  (8 or more happenings are left out)"
    assert [line.split()[-1] for line in said[4:]] == [str(k) for k in range(11, 23)]


def test_a_screen_of_a_run_to_which_nothing_is_done_tells_nothing():
    stream = io.StringIO()
    screen = PlainScreen(BTC, stream)
    screen.close()
    assert stream.getvalue() == ""
