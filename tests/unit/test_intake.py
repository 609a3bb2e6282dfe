"""Two small looks of an intake: at a peer that is behind, and at the market records that come next."""

from types import SimpleNamespace

import numpy as np
import pytest

from ringsim.fold import intake as i
from ringsim.ring.layout import HEADER_WORDS, W_PUBLISHED

PEER_WORD = 6


def looking(published=0, market=0):
    """An intake and its positions, as far as these looks go. The ring has sixteen slots of eight words."""
    ring = SimpleNamespace(header=np.zeros(HEADER_WORDS, np.int64), words=np.zeros(16 * 8, np.int64), mask=15, width=8)
    ring.header[W_PUBLISHED] = published
    setup = np.zeros(i.I_SETUP, np.int64)
    setup[i.I_PEER_WORDS] = PEER_WORD
    control, at = np.zeros(8, np.int64), np.zeros(i.A_WORDS, np.int64)
    intake = SimpleNamespace(market=SimpleNamespace(ring=ring), setup=setup, control=control, at=at)
    return intake, SimpleNamespace(market=market)


@pytest.mark.parametrize("folded, behind", [(0, True), (4, True), (5, False), (9, False)])
def test_a_peer_is_behind_while_it_folds_what_this_stage_has_folded(folded, behind):
    intake, pos = looking(market=5)
    intake.control[PEER_WORD + 1] = folded
    assert i.peer_behind.py_func(intake, pos) == behind


@pytest.fixture
def asked(monkeypatch):
    """Records whose lines, and whose places in the book, were asked for."""
    found = SimpleNamespace(lines=[], levels=[])
    monkeypatch.setattr(i, "prefetch_read", lambda words, word: found.lines.append(word // 8))
    monkeypatch.setattr(i, "near_level", lambda book, ring, seq: found.levels.append(seq))
    return found


def look(intake, pos):
    i.look_ahead.py_func(intake, pos, None)


def test_each_record_is_asked_for_once_as_the_stage_goes_on(asked):
    intake, pos = looking(published=12)
    for pos.market in range(1, 13):
        look(intake, pos)
    assert asked.lines == list(range(1, 12)) == asked.levels


def test_what_is_not_published_is_not_touched(asked):
    intake, pos = looking(published=3, market=1)
    look(intake, pos)
    assert asked.lines == [1, 2] == asked.levels
    intake.market.ring.header[W_PUBLISHED] = 4
    look(intake, pos)
    assert asked.lines == [1, 2, 3], "and the new one once it is"


@pytest.mark.parametrize("market", [5_000, 2], ids=["a jump ahead", "a replacement that begins further back"])
def test_after_a_jump_it_looks_from_where_the_stage_is(asked, market):
    intake, pos = looking(published=100, market=90)
    look(intake, pos)
    del asked.lines[:], asked.levels[:]
    pos.market, intake.market.ring.header[W_PUBLISHED] = market, market + 2
    look(intake, pos)
    assert asked.lines == [market & 15, (market + 1) & 15] and asked.levels == [market, market + 1]
