"""Waiting: each strategy gives up the core when it says so, and work sets it back to its beginning."""

import numpy as np
import pytest

from ringsim.errors import BadInput
from ringsim.ring import idle, reset, wait, waiter


@pytest.fixture
def calls(monkeypatch):
    """What the plain body of `idle` asks of the machine, in order."""
    made = []
    monkeypatch.setattr(wait, "pause", lambda: made.append("pause"))
    monkeypatch.setattr(wait, "yield_core", lambda: made.append("yield"))
    monkeypatch.setattr(wait, "sleep_ns", made.append)
    return made


def plain(verb):
    """The Python body, compiled or not."""
    return getattr(verb, "py_func", verb)


def idle_rounds(waiting, count):
    for _ in range(count):
        plain(idle)(waiting)


def test_busy_never_gives_up_the_core(calls):
    idle_rounds(waiter("busy"), 1000)
    assert set(calls) == {"pause"}


def test_yield_lets_others_run_every_time(calls):
    idle_rounds(waiter("yield"), 1000)
    assert set(calls) == {"yield"}


def test_backoff_sleeps_longer_each_time_up_to_a_millisecond(calls):
    idle_rounds(waiter("backoff"), 1000)
    awake = [call for call in calls if isinstance(call, str)]
    sleeps = calls[len(awake) :]
    assert set(awake) == {"pause", "yield"} and awake == sorted(awake) == calls[: len(awake)]
    assert sleeps == sorted(sleeps) and sleeps[0] < sleeps[1] and sleeps[-1] == 1_000_000


def test_work_sets_a_waiter_back_to_its_beginning(calls):
    waiting = waiter("backoff")
    idle_rounds(waiting, 1000)
    reset(waiting)
    del calls[:]
    idle_rounds(waiting, 1)
    assert calls == ["pause"]


@pytest.mark.parametrize("strategy", ["busy", "yield", "backoff"])
def test_a_waiter_comes_back(strategy):
    waiting = waiter(strategy)
    for _ in range(160):
        idle(waiting)
    assert waiting.dtype == np.int64 and waiting[1] == 160


def test_an_unknown_strategy_is_refused_and_the_known_ones_named():
    with pytest.raises(BadInput, match="'lazy'; there are busy, yield, backoff"):
        waiter("lazy")
