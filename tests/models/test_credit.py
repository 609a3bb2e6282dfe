"""Protocol P5: from whatever situation, the rings can be emptied and every credit comes home."""

import pytest

from ringsim.config.schema import _CREDIT_RING
from ringsim.limits import CANCEL_ALL_CREDITS, CREDITS, EXECUTION_OUT, MAX_OPEN_ORDERS, STRATEGY_OUT
from tests.models.credit import Desk, Rules, first, is_quiet, turns
from tests.models.plain import search_turns
from tests.ring.machines import Broken

SMALL = Desk(credits=1, open_max=1)


def search(desk):
    return search_turns(first(desk), turns(desk), is_quiet(desk))


def slow(*values):
    return pytest.param(*values, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])


@pytest.mark.parametrize(
    "desk",
    [
        SMALL,
        Desk(credits=2, open_max=2),
        Desk(credits=2, open_max=1, more_slots=1),
        Desk(credits=3, open_max=2),
        slow(Desk(credits=5, open_max=4)),
        slow(Desk(credits=3, open_max=2, cancel_all_credits=2)),
    ],
)
def test_with_credit_and_rings_of_the_asserted_sizes_nobody_waits_for_ever(desk):
    search(desk)


@pytest.mark.parametrize(
    "desk", [SMALL._replace(short_orders=1), SMALL._replace(short_reports=1)], ids=["orders", "reports"]
)
def test_one_slot_less_than_asserted_is_a_deadlock(desk):
    with pytest.raises(Broken, match="from here no end is reached"):
        search(desk)


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        (Rules(orders_take_credit=False), "from here no end is reached"),
        (Rules(refusals_take_credit=False), "from here no end is reached"),
        (Rules(cancel_all_takes_credit=False), "from here no end is reached"),
        (Rules(answer_returns_credit=False), "from here no end is reached"),
        (Rules(room_for_worst=False), "no room in the middle of a step"),
        (Rules(reports_need_room=False), "no room in the middle of a step"),
    ],
    ids=lambda value: "",
)
def test_without_this_rule_it_is_caught(rules, why):
    with pytest.raises(Broken, match=why):
        search(SMALL._replace(rules=rules))


@pytest.mark.parametrize(
    "rules", [Rules(refusals_take_credit=False), slow(Rules(orders_take_credit=False))], ids=lambda value: ""
)
def test_larger_rings_do_not_replace_credit(rules):
    with pytest.raises(Broken, match="from here no end is reached"):
        search(SMALL._replace(more_slots=1, rules=rules))


def test_the_sizes_of_the_program_are_those_of_the_model():
    desk = Desk(CREDITS, CANCEL_ALL_CREDITS, STRATEGY_OUT, MAX_OPEN_ORDERS)
    assert desk.order_slots == _CREDIT_RING
    assert desk.report_slots <= EXECUTION_OUT
