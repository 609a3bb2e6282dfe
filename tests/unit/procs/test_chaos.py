"""A verdict is a pass only if a fault was there and nothing came of it."""

import pytest

from procs.chaos.inject import Strike
from procs.chaos.run import chosen
from procs.chaos.scenarios import SCENARIOS
from procs.chaos.verdict import FAIL, INCONCLUSIVE, PASS, judge, spread
from ringsim.errors import BadInput

TWIN = {"digest": "d", "events_published": 10, "signals": 2, "fills": 1}
RUN = TWIN | {
    "exit_state": "DONE", "failure": None, "restarts": 1, "market_lost": 0, "recovery_ms": [5.0], "lifecycle": [],
}  # fmt: skip
STRIKE = Strike("SIGKILL", "strategy", 100, 1)


def verdict(run=RUN, strikes=(STRIKE,), name="kill-strategy", orphans=(), leaked=(), planned=1):
    return judge(SCENARIOS[name], 1, list(strikes), planned, run, TWIN, list(orphans), list(leaked), "repeat")


def test_the_same_digest_after_a_fault_is_a_pass():
    assert verdict().verdict == PASS and verdict().problems == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"digest": "other"}, "digest"),
        ({"fills": 2}, "fills"),
        ({"exit_state": "FAILED", "failure": "why"}, "why"),
        ({"restarts": 2}, "replacements"),
    ],
)
def test_whatever_differs_from_the_twin_is_a_fail_that_says_so(changed, said):
    found = verdict(run=RUN | changed)
    assert found.verdict == FAIL and any(said in problem for problem in found.problems)


def test_what_is_left_behind_is_a_fail():
    assert verdict(orphans=[7]).verdict == verdict(leaked=["ringsim-x"]).verdict == FAIL


def test_a_fault_that_could_not_be_injected_is_no_pass():
    assert verdict(run=RUN | {"restarts": 0}, strikes=()).verdict == INCONCLUSIVE
    assert verdict(planned=2).verdict == INCONCLUSIVE, "one of two proves nothing about the other"


def test_a_crash_loop_must_end_with_its_reason():
    ended = RUN | {"exit_state": "FAILED", "failure": "the restart budget is spent", "restarts": 5, "digest": "part"}
    assert verdict(run=ended, strikes=[STRIKE] * 6, name="crash-loop", planned=1000).verdict == PASS
    assert verdict(run=RUN, strikes=[STRIKE], name="crash-loop").verdict == FAIL


def test_names_that_are_none_list_those_that_are():
    with pytest.raises(BadInput, match="kill-strategy"):
        chosen("nosuch", None)
    with pytest.raises(BadInput, match="ingest"):
        chosen("random", "nosuch")
    assert len(chosen("all", None)) == len(SCENARIOS)


def test_a_spread_of_nothing_is_zeros():
    assert spread([]) == {"n": 0, "p50": 0.0, "p99": 0.0, "max": 0.0}
    assert spread([3.0, 1.0, 2.0])["p50"] == 2.0
