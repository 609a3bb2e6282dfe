"""Protocols P2 and P3: a stage killed at any step, also while it recovers, and its outputs are those of one undisturbed run.

What must never happen: an input lost, or taken twice, or redone in another order than the first time; an output lost, doubled or
different in the database; a lost record counted twice; a stage that waits for ever.
"""

import pytest

from tests.models.plain import Plain
from tests.models.recovery import Plant, Rules, scene
from tests.ring.machines import Broken, Tso, Views, search


def slow(*values):
    return pytest.param(*values, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])


@pytest.mark.parametrize(
    ("machine", "plant", "kills"),
    [
        (Plain, Plant(gating=1, free=1), 2),  # the second kill may hit the replacement in its recovery
        slow(Plain, Plant(gating=1, free=2), 1),
        (Plain, Plant(gating=2, free=1, journal=1), 1),  # a commit after every input
        (Plain, Plant(gating=1, free=1, out=1, in_parts=True), 1),
        slow(Plain, Plant(gating=1, free=1, out=1, in_parts=True), 2),
        (Tso, Plant(gating=1, free=0), 1),
        (Views, Plant(gating=1, free=0), 1),
        slow(Plain, Plant(gating=2, free=2), 2),
        slow(Plain, Plant(gating=1, free=3, journal=4, out=4), 1),
        slow(Plain, Plant(gating=1, free=1), 4),
        slow(Plain, Plant(gating=2, free=2, out=1, in_parts=True), 2),
        slow(Tso, Plant(gating=1, free=1), 1),
        slow(Views, Plant(gating=1, free=1), 1),
    ],
)
def test_a_stage_killed_anywhere_loses_doubles_and_changes_nothing(machine, plant, kills):
    search(machine, scene(plant, kills=kills))


@pytest.mark.parametrize(("plant", "kills"), [(Plant(gating=1, free=1), 2), slow(Plant(gating=2, free=2), 3)])
def test_persistence_killed_anywhere_has_every_output_once(plant, kills):
    search(Plain, scene(plant, sink_kills=kills))


@pytest.mark.parametrize(
    ("rules", "plant", "why"),
    [
        (Rules(journal_first=False), Plant(gating=2, free=0), "the end is never reached"),
        (Rules(entry_first=False), Plant(gating=2, free=0), "the redo wants journal entry 1 and finds 0"),
        (Rules(full_copy=False), Plant(gating=1, free=1), "the redo emits"),
        (Rules(other_copy=False), Plant(gating=1, free=1), "not those of one run"),
        (Rules(whole_before_good=False), Plant(gating=1, free=1), "not those of one run"),
        (Rules(brought_up=False), Plant(gating=1, free=1), "not those of one run"),
        (Rules(journal_bound=False), Plant(gating=1, free=2), r"wants journal entry 0 and finds \(2,"),
        (Rules(journal_moves=False), Plant(gating=1, free=1), "inputs lost or taken twice"),
        (Rules(skip_published=False), Plant(gating=1, free=1), "overwritten before persistence has it"),
        (Rules(room_for_worst=False), Plant(gating=1, free=1), "overwritten before persistence has it"),
        (Rules(whole_message=False), Plant(gating=1, free=1, out=1, in_parts=True), "not those of one run"),
        (Rules(counts_absolute=False), Plant(gating=1, free=2), "the ring's word says 2 lost, and it were 1"),
    ],
    ids=lambda value: "",
)
def test_a_stage_without_this_rule_is_caught(rules, plant, why):
    with pytest.raises(Broken, match=why):
        search(Plain, scene(plant._replace(rules=rules), kills=1))


def test_persistence_that_releases_before_it_stores_loses_a_record():
    plant = Plant(gating=1, free=1, rules=Rules(stored_first=False))
    with pytest.raises(Broken, match="record 1 comes next in the database, got 2"):
        search(Plain, scene(plant, sink_kills=1))


@pytest.mark.parametrize("rule", ["journal_first", "entry_first", "full_copy", "other_copy", "journal_moves"])
def test_only_a_kill_shows_that_this_rule_is_missing(rule):
    """So no run that is left alone can: it takes the kills of the search to see it."""
    search(Plain, scene(Plant(gating=1, free=1, rules=Rules(**{rule: False}))))
