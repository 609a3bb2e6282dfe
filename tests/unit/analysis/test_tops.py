"""The market at chosen events, and after fills: as a naive look at every event says."""

import random

import numpy as np
import pytest

from ringsim.analysis.markouts import NO_MARKOUT, markouts
from ringsim.analysis.thin import thin
from ringsim.analysis.tops import Tops
from ringsim.records import Side
from tests.naive.analysis import naive_markouts, naive_tops
from tests.unit.analysis.sessions import market

SEEDS = (1, 2, 3)


def as_tuples(tops):
    return [tuple(int(v) for v in row) for row in tops]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_top_after_every_event_is_that_of_a_naive_book(tmp_path, seed):
    events = market(tmp_path, seed)
    expected = naive_tops(events)
    assert as_tuples(Tops(events).at(np.arange(len(events)))) == expected
    there = [row[0] > 0 for row in expected]
    assert False in there[there.index(True) :], "the session never lost its book"
    assert any(row[4] for row in expected), "the session predicts nothing"


@pytest.mark.parametrize("seed", SEEDS)
def test_however_the_questions_are_cut_the_answers_are_the_same(tmp_path, seed):
    chance, events = random.Random(seed), market(tmp_path, seed)
    expected = naive_tops(events)
    seqs = sorted(chance.choices(range(-1, len(events) + 5), k=80))
    cut = sorted(chance.choices(range(len(seqs)), k=3))
    tops, found = Tops(events), []
    for part in np.split(np.array(seqs), cut):
        found += as_tuples(tops.at(part))
    assert found == [(0,) * 5 if s < 0 else expected[min(s, len(events) - 1)] for s in seqs]


def test_another_symbol_has_its_own_book(tmp_path):
    events = market(tmp_path, 5)
    seqs = np.arange(len(events))
    assert as_tuples(Tops(events, 1).at(seqs)) == naive_tops(events, 1) != naive_tops(events)


def test_a_question_about_the_past_is_refused(tmp_path):
    tops = Tops(market(tmp_path, 1))
    tops.at(np.array([5]))
    for seqs in ([4], [9, 8]):
        with pytest.raises(ValueError, match="decrease"):
            tops.at(np.array(seqs))


@pytest.mark.parametrize("seed", SEEDS)
def test_markouts_are_those_of_a_look_at_every_event(tmp_path, seed):
    chance, events = random.Random(seed), market(tmp_path, seed)
    times = np.asarray(events["exch_ns"])
    first, last = int(times[0]), int(times[-1])
    horizons = (0, 1_000_000, 100_000_000, 1_000_000_000)
    fills = [
        (chance.choice([chance.randint(first - 10, last + 10), int(chance.choice(times))]), chance.choice([Side.BUY, Side.SELL]),
         6_000_000 + chance.randint(-9, 9))
        for _ in range(40)
    ]  # fmt: skip
    found = markouts(events, times, [(t, int(side), px) for t, side, px in fills], horizons)
    expected = naive_markouts(events, times.tolist(), fills, horizons)
    assert found.tolist() == [[NO_MARKOUT if v is None else 2 * v for v in row] for row in expected]
    assert (found == NO_MARKOUT).any() and (found != NO_MARKOUT).sum() > 40


def test_no_fill_and_no_market_have_no_markout(tmp_path):
    events = market(tmp_path, 1)
    assert markouts(events, events["exch_ns"], [], (1,)).shape == (0, 1)
    assert (markouts(events[:0], events["exch_ns"][:0], [(5, 1, 7)], (1,)) == NO_MARKOUT).all()


@pytest.mark.parametrize("n", [0, 1, 4, 99, 100, 101, 5000])
def test_thinning_keeps_the_ends_the_order_and_the_extremes(n):
    values = np.random.default_rng(n).integers(-1000, 1000, n)
    kept = thin(values, 100)
    assert len(kept) <= max(n if n <= 100 else 0, 102) and (np.diff(kept) > 0).all()
    if n <= 100:
        assert len(kept) == n
    if n:
        assert kept[0] == 0 and kept[-1] == n - 1
        assert values[kept].min() == values.min() and values[kept].max() == values.max()
