"""Protocol P4: whatever the stages' speeds, and whoever is killed, both take their inputs in the one-process order and end.

What must never happen: an input taken before one that the reference takes first; a stage that is done too early; a wait for
ever - but where the feed's lag is larger than the market ring: that cannot finish, and says so in procs.progress.
"""

from random import Random
from types import SimpleNamespace

import numpy as np
import pytest

from ringsim.fold import intake
from tests.models.merge import BROKER, NEVER, STRATEGY, Rules, Run, reference, scene
from tests.models.plain import Plain, walk
from tests.ring.machines import Broken, Tso, Views, search

FIRST = frozenset({0})
SHORT = Run(market=((10, 12), (60, 62)), triggers=FIRST)
LONG = Run(market=((10, 12), (20, 22), (60, 62)), triggers=FIRST)
TIMED = LONG._replace(answers=FIRST, expiry=2)  # orders that end by a timer, which makes `next` fall
TIED = Run(market=((10, 10), (13, 13), (13, 13)), triggers=FIRST, answers=FIRST)  # equal keys in every pair of streams
LAGGING = Run(market=((10, 30), (20, 40), (25, 45)), triggers=FIRST)  # the broker's keys run 20 ahead of the strategy's
# Three orders at once; the third one's report makes a fourth order, which meets the broker before its market record at 22.
BURST = Run(
    market=((10, 10), (11, 11), (12, 12), (16, 30), (22, 31), (40, 40)),
    triggers=frozenset({0, 1, 2}),
    answers=frozenset({2}),
    report_slots=3,
)


def slow(*values):
    return pytest.param(*values, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])


def tight(run):
    """Every ring as small as it may be (orders: protocol P5, one order unanswered and one that the next input may cause)."""
    return run._replace(order_slots=2, report_slots=1, market_slots=2)


@pytest.mark.parametrize(
    ("machine", "run", "kills"),
    [
        (Plain, SHORT, 1),
        (Plain, LONG, 0),
        slow(Plain, TIMED, 0),
        (Plain, TIED, 0),
        (Plain, tight(LONG), 0),
        (Plain, LAGGING, 1),
        (Tso, SHORT, 0),
        slow(Plain, LONG, 2),
        slow(Plain, TIMED, 1),
        slow(Plain, TIED, 1),
        slow(Plain, tight(LONG), 2),
        slow(Plain, tight(TIMED), 1),
        slow(Plain, BURST, 0),
        slow(Tso, SHORT, 1),
        slow(Views, SHORT, 0),
    ],
)
def test_both_stages_take_their_inputs_in_the_order_of_one_process(machine, run, kills):
    search(machine, scene(run, kills=kills))


def drawn(chance):
    """A run too long to be searched through, in rings that are used many times over."""
    exch_ns, recv_ns, market = 10, 10, []
    for _ in range(14):
        exch_ns += chance.choice((0, 1, 2, 5, 30))
        recv_ns = max(recv_ns, exch_ns + chance.choice((0, 1, 3, 9)))
        market.append((exch_ns, recv_ns))
    return Run(
        market=tuple(market),
        triggers=frozenset(i for i in range(13) if chance.random() < 0.4),
        answers=frozenset(i for i in range(12) if chance.random() < 0.3),
        entry=chance.choice((1, 3, 8)),
        response=chance.choice((1, 3, 8)),
        expiry=chance.choice((4, 25, NEVER)),
        report_slots=chance.choice((3, 4)),
    )


@pytest.mark.parametrize("seeds", [range(30), slow(range(30, 2000))], ids=str)
def test_long_runs_walked_at_random_take_their_inputs_in_that_order_too(seeds):
    for seed in seeds:
        chance = Random(seed)
        walk(scene(drawn(chance), kills=3), chance, f"seed {seed}")


def test_a_walk_finds_what_is_wrong():
    with pytest.raises(Broken, match=r"seed \d+: the (strategy|broker) takes"):
        for seed in range(20):
            chance = Random(seed)
            walk(scene(drawn(chance)._replace(rules=Rules(two_words=False))), chance, f"seed {seed}")


@pytest.mark.parametrize(
    ("rules", "run", "kills"),
    [
        (Rules(two_words=False), LONG, 0),
        (Rules(next_may_fall=False), TIMED, 0),
        (Rules(own_record=False), LONG, 0),
        (Rules(next_first=False), TIMED, 0),
        (Rules(folded_first=False), TIMED, 0),
        (Rules(words_first=False), LONG, 0),
        (Rules(folded_after_outputs=False), LONG, 0),
        (Rules(redo_first=False), LONG, 1),
        (Rules(released_last=False), BURST, 0),
    ],
    ids=lambda value: "",
)
def test_a_merge_without_this_rule_takes_an_input_too_early(rules, run, kills):
    with pytest.raises(Broken, match=r"the (strategy|broker) takes Input\(.*\), the reference Input"):
        search(Plain, scene(run._replace(rules=rules), kills=kills))


@pytest.mark.parametrize("rules", [Rules(words_released=False), Rules(words_acquired=False)], ids=lambda value: "")
def test_without_this_order_c11_breaks_and_x86_never_does(rules):
    with pytest.raises(Broken, match="takes Input"):
        search(Views, scene(SHORT._replace(rules=rules)))
    search(Tso, scene(SHORT._replace(rules=rules)))


@pytest.mark.parametrize(("slots", "ends"), [(1, False), (2, False), (3, True)])
def test_a_lag_larger_than_the_market_ring_never_ends(slots, ends):
    run = LAGGING._replace(market_slots=slots)
    if ends:
        search(Plain, scene(run))
    else:
        with pytest.raises(Broken, match="the end is never reached"):
            search(Plain, scene(run))


def test_rings_smaller_than_credit_allows_stop_both_stages():
    """The order that waits for the broker leaves no room for another, its fill none for the report: see credit."""
    with pytest.raises(Broken, match="the end is never reached"):
        search(Plain, scene(tight(TIMED)._replace(order_slots=1)))


def test_the_reference_is_what_it_should_be():
    """The searches above compare with it: one run by hand."""
    strategy, broker = reference(TIMED).inputs
    assert [taken.key for taken in strategy] == [12, 18, 20, 22, 24, 26, 62]
    assert [taken.key for taken in broker] == [10, 15, 17, 20, 21, 23, 60]
    assert reference(TIMED).sent == ((12, 18), (15, 17, 21, 23))
    for stage in (STRATEGY, BROKER):
        last = reference(TIMED).states[stage][-1]
        assert last.ended and last.timer == NEVER
    for run in (SHORT, LONG, TIMED, TIED, LAGGING, BURST):
        for inputs in reference(run).inputs:
            assert list(inputs) == sorted(inputs)


def test_settle_gives_slots_back_after_its_words(monkeypatch):
    """Rules.released_last, in the code: the order in which it stores."""
    stored = []
    monkeypatch.setattr(intake, "release", lambda consumer, n: stored.append(consumer.name))
    monkeypatch.setattr(intake, "store_release", lambda words, at, value: stored.append(at))
    monkeypatch.setattr(intake, "trap", lambda *_: None, raising=False)
    monkeypatch.setattr(intake, "_is_there", lambda consumer, seq: False)
    setup = np.zeros(intake.I_SETUP, np.int64)
    setup[intake.I_SIMULATED], setup[intake.I_WORDS] = 1, 40
    market, peer = (SimpleNamespace(name=name, at=[0] * 8) for name in ("market", "peer"))
    stage = SimpleNamespace(market=market, peer=peer, setup=setup, control=None)
    pos = SimpleNamespace(market=1, peer=1, market_key=5, ended=0, journal=2)
    getattr(intake.settle, "py_func", intake.settle)(stage, pos, NEVER)
    assert sorted(stored, key=str) == [40, 41, "market", "peer"]
    assert stored.index(40) < stored.index(41) < stored.index("peer")
