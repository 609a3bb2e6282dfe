"""The core is handed over when the neighbour has something to do, and now and then without a reason."""

import numpy as np
import pytest

from ringsim.fold.neighbour import TURN_NS, Neighbour, neighbour_waits
from ringsim.records import NEVER_NS
from ringsim.ring.layout import C_RELEASED, HEADER_WORDS, W_PUBLISHED, consumer_line

NOW = 10**15
TIMER = 3


@pytest.fixture
def pair():
    """A neighbour that has folded all there is, and the control page."""
    control = np.full(8, NEVER_NS, np.int64)
    first, second = np.zeros(HEADER_WORDS, np.int64), np.zeros(HEADER_WORDS, np.int64)
    turn = np.array([NOW], np.int64)
    return Neighbour(first, consumer_line(1), second, consumer_line(0), TIMER, turn), control


def waits(pair, now=NOW):
    return bool(neighbour_waits.py_func(*pair, now))


def test_an_idle_neighbour_waits_for_nothing(pair):
    assert not waits(pair)


@pytest.mark.parametrize(("ring", "line"), [("first", "first_line"), ("second", "second_line")])
def test_a_record_that_it_has_not_released_is_work(pair, ring, line):
    neighbour, _ = pair
    header = getattr(neighbour, ring)
    header[W_PUBLISHED] = 5
    assert waits(pair)
    header[getattr(neighbour, line) + C_RELEASED] = 4
    assert waits(pair)
    header[getattr(neighbour, line) + C_RELEASED] = 5
    assert not waits(pair)


def test_its_own_time_is_work_once_it_has_come(pair):
    pair[1][TIMER] = NOW + 1
    assert not waits(pair) and waits(pair, NOW + 1)


def test_it_has_a_turn_now_and_then_and_then_waits_for_the_next(pair):
    assert not waits(pair, NOW + TURN_NS)
    assert waits(pair, NOW + TURN_NS + 1)
    assert not waits(pair, NOW + TURN_NS + 1)
