"""`bench backtest`: figures of one run, and nothing but a note where the other program is missing."""

import sys

import pytest

OURS = ("events_per_s", "shared_events_per_s")
THEIRS = ("hftbacktest_events_per_s", "hftbacktest_10ms_events_per_s")


def test_the_figures_are_medians_within_their_spread_and_the_ratio_is_of_the_same_events(ringsim):
    pytest.importorskip("hftbacktest")
    answer = ringsim("bench", "backtest", "--repeats", "1", "--json")
    found = answer.json
    assert answer.code == 0 and (found["events"], found["repeats"], found["notes"]) == (34889, 1, [])
    assert found["shared_events"] == 34889 - 2 * 5360
    for name in OURS + THEIRS:
        low, high = found[f"{name}_spread"]
        assert 0 < low <= found[name] <= high
    assert found["ratio"] == pytest.approx(found["shared_events_per_s"] / found["hftbacktest_events_per_s"], rel=0.01)


def test_without_the_other_program_its_figures_are_null_with_a_note(ringsim, monkeypatch):
    monkeypatch.setitem(sys.modules, "hftbacktest", None)
    answer = ringsim("bench", "backtest", "--repeats", "1", "--json")
    found = answer.json
    assert answer.code == 0 and all(found[name] > 0 for name in OURS)
    assert all(found[name] is None for name in (*THEIRS, "ratio", "ratio_10ms"))
    (note,) = found["notes"]
    assert note.startswith("hftbacktest is not installed")


def test_a_source_that_cannot_be_folded_is_one_line_and_2(ringsim):
    answer = ringsim("bench", "backtest", "--source", "replay:none.gz")
    assert answer.code == 2 and "none.gz" in answer.err and answer.err.count("\n") == 1
