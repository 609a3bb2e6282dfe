"""Losses of stages: seen once, back once, and a budget for how many may be replaced."""

import numpy as np
import pytest

from procs import budget
from procs.budget import RestartBudget
from procs.losses import Losses, history
from ringsim import control as c


@pytest.fixture
def words():
    """A control page on which the strategy has beaten at 900 and the ingest has died in a trap at 950."""
    page = np.zeros(c.CONTROL_WORDS, np.int64)
    page[c.block(c.Stage.STRATEGY) + c.S_HEARTBEAT_NS] = 900
    page[c.block(c.Stage.INGEST) + c.S_HEARTBEAT_NS] = 940
    page[c.block(c.Stage.INGEST) + c.S_TRAP_NS] = 950
    return page


def test_a_loss_went_unseen_since_the_last_sign_of_life(words):
    losses = Losses()
    losses.seen(words, "strategy", 1, 1000)
    losses.seen(words, "ingest", 1, 1000)
    losses.seen(words, "execution", 1, 1000)
    assert losses.unseen_ns() == [100, 50], "a stage that never beat says nothing"


def test_a_generation_is_lost_once(words):
    losses = Losses()
    losses.seen(words, "strategy", 1, 1000)  # stalled
    losses.seen(words, "strategy", 1, 1500)  # and dead
    losses.lost("strategy")
    losses.back("strategy", 2500)
    assert [(loss.seen_ns, loss.back_ns) for loss in losses.all] == [(1000, 2500)] and losses.recoveries_ns == [1500]
    assert not losses.down


def test_a_replacement_that_dies_too_leaves_the_stage_down_since_the_first(words):
    losses = Losses()
    for generation, now in ((1, 1000), (2, 1200)):
        losses.seen(words, "strategy", generation, now)
        losses.lost("strategy")
    losses.back("strategy", 2000)
    assert losses.recoveries_ns == [1000] and [loss.back_ns for loss in losses.all] == [2000, 2000]


def test_a_history_is_short_enough_for_one_answer(words):
    losses = Losses()
    for generation in range(1000):
        losses.seen(words, "strategy", generation, 1000 + generation)
    told = history(losses, [], 0)["losses"]
    assert len(told) == 200 and told[-1]["generation"] == 999


def test_a_budget_counts_within_its_window(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(budget.time, "monotonic", lambda: now[0])
    spent = RestartBudget(2, 30)
    assert spent.spend() and spent.spend() and not spent.spend()
    now[0] = 30.5
    assert spent.spend() and spent.spent == 3 and str(spent) == "2 in 30 s"
    assert not RestartBudget(0, 30).spend()
