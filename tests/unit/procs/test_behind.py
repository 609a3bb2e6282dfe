"""Persistence is behind: from half a ring on, until a quarter; and why, as soon as that is known."""

import pytest

from procs.behind import Behind
from ringsim import control as c

WAITS = c.block(c.Stage.PERSISTENCE) + c.S_WAITS


class Ring:
    """A ring of 100 records, of which somebody has not read some."""

    capacity = 100

    def __init__(self, behind: int, other: int = 0) -> None:
        self.behind, self.other = behind, other

    def lag(self) -> dict[str, int]:
        return {"persistence": self.behind, "execution": self.other}

    def who_gates(self) -> str:
        return "persistence" if self.behind > self.other else "execution"


@pytest.fixture
def words():
    return c.control_words(memoryview(bytearray(8 * c.CONTROL_WORDS)))


def test_it_does_not_flicker(words):
    behind, said, seen = Behind(), None, []
    for lag in (0, 50, 51, 30, 25, 24, 50):
        said = behind.look({"orders": Ring(lag)}, words, said, 0)
        seen.append(said)
    holds = "persistence is 51% of a ring behind"
    assert seen == [None, None, holds, holds, holds, None, None]


def test_others_that_are_behind_are_no_reason_and_are_counted(words):
    behind = Behind()
    assert behind.look({"orders": Ring(3, other=90)}, words, None, 0) is None
    assert behind.max_lag["orders"] == (90, "execution")


@pytest.mark.parametrize(
    "waits, why",
    [(c.WAITS_FOR_LOCK, "another program has locked its database"), (c.WAITS_FOR_SPACE, "its disk is full")],
)
def test_it_says_why_as_soon_as_it_is_known_and_keeps_to_it(words, waits: int, why: str):
    behind = Behind()
    said = behind.look({"orders": Ring(60)}, words, None, 0)
    words[WAITS] = waits
    better = behind.look({"orders": Ring(70)}, words, said, 0)
    assert better == f"persistence is 70% of a ring behind: {why}"
    words[WAITS] = 0
    assert behind.look({"orders": Ring(80)}, words, better, 0) == better, "until it is healed"


def test_under_the_simulated_clock_it_may_catch_up_first(words):
    behind, ms = Behind(simulated=True), 1_000_000
    assert behind.look({"orders": Ring(10)}, words, None, 0) is None
    assert behind.look({"orders": Ring(90)}, words, None, 140 * ms) is None
    assert behind.look({"orders": Ring(40)}, words, None, 145 * ms) is None, "it is near again: anew"
    assert behind.look({"orders": Ring(90)}, words, None, 290 * ms) is None
    assert behind.look({"orders": Ring(90)}, words, None, 296 * ms) == "persistence is 90% of a ring behind"


def test_storage_that_refuses_is_a_reason_at_once_under_either_clock(words):
    behind = Behind(simulated=True)
    assert behind.look({"orders": Ring(10)}, words, None, 0) is None
    words[WAITS] = c.WAITS_FOR_SPACE
    assert behind.look({"orders": Ring(60)}, words, None, 1) == "persistence is 60% of a ring behind: its disk is full"
