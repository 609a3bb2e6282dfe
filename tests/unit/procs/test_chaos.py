"""A verdict is a pass only if a fault was there and nothing came of it."""

import os
from types import SimpleNamespace

import msgspec
import pytest

from procs.chaos.attached import OUTSIDERS, outsider
from procs.chaos.chronicle import Chronicle, detected, detection_ms
from procs.chaos.inject import Strike
from procs.chaos.remains import Descriptors, Remains, open_files
from procs.chaos.run import chosen
from procs.chaos.scenario import Options
from procs.chaos.scenarios import SCENARIOS
from procs.chaos.verdict import FAIL, INCONCLUSIVE, PASS, judge, spread
from procs.losses import Loss, Losses
from ringsim.errors import BadInput
from ringsim.lifecycle import Change, Lifecycle

TWIN = {"clock": "simulated", "digest": "d", "events_published": 10, "signals": 2, "fills": 1}
RUN = TWIN | {
    "exit_state": "DONE", "failure": None, "restarts": 1, "market_lost": 0, "recovery_ms": [5.0], "lifecycle": [],
}  # fmt: skip
STRIKE = Strike("SIGKILL", "strategy", 100, 1)


def verdict(run=RUN, strikes=(STRIKE,), name="kill-strategy", planned=1, **left):
    return judge(SCENARIOS[name], 1, list(strikes), planned, run, TWIN, Remains(**left), "repeat", [0.5])


def test_the_same_digest_after_a_fault_is_a_pass():
    found = verdict()
    assert found.verdict == PASS and found.problems == []
    assert found.detection_ms == {"n": 1, "p50": 0.5, "p99": 0.5, "max": 0.5} and found.recovery_ms["p50"] == 5.0


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


@pytest.mark.parametrize(
    ("left", "said"),
    [
        ({"orphans": [7]}, "process 7 is left"),
        ({"zombies": [8]}, "process 8 is dead, and nobody waited for it"),
        ({"segments": ["ringsim-x"]}, "segment ringsim-x is left"),
        ({"descriptors": {"chaos": 1}}, "chaos has 1 more open files than before"),
        ({"descriptors": {"parent": 9}}, "parent has 9 more open files than before"),
    ],
)
def test_what_is_left_behind_is_a_fail_that_says_what(left, said):
    assert verdict(**left).verdict == FAIL and verdict(**left).problems == [said]


def test_descriptors_that_are_just_closing_are_no_leak():
    assert verdict(descriptors={"chaos": 0, "parent": 8, "launcher": 1}).verdict == PASS


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


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [("pause-short", "kills", 3), ("crash-loop", "kills", 3), ("kill-ingest", "stage", "ingest")],
)
def test_an_option_that_a_scenario_does_not_heed_names_those_that_do(name, option, value):
    with pytest.raises(BadInput, match=f"{name} takes no --{option}; .*random.* do"):
        chosen(name, **{"stage": None, "kills": None} | {option: value})


class Noting(Options):
    """Options that note which of them are asked for."""

    def __getattribute__(self, name):
        if name in ("kills", "stage"):
            ASKED.add(name)
        return super().__getattribute__(name)


ASKED = set()


@pytest.mark.parametrize("row", SCENARIOS.values(), ids=lambda row: row.name)
def test_a_row_says_which_options_it_heeds(row):
    ASKED.clear()
    row.make(Noting(1, 4, None))
    assert set(row.takes) == ASKED


def test_a_spread_of_nothing_is_zeros():
    assert spread([]) == {"n": 0, "p50": 0.0, "p99": 0.0, "max": 0.0}
    assert spread([3.0, 1.0, 2.0])["p50"] == 2.0


MS = 1_000_000


def strike(stage, at_ms, what="SIGKILL"):
    return Strike(what, stage, 7, at_ms * MS)


def loss(stage, generation, seen_ms, back_ms=0):
    return Loss(stage, generation, 0, seen_ms * MS, back_ms * MS)


def test_a_fault_is_detected_by_the_first_loss_of_its_stage_after_it():
    strikes = [strike("strategy", 10), strike("ingest", 12), strike("strategy", 50), strike("strategy", 90, "SIGSTOP")]
    losses = [loss("ingest", 1, 5), loss("strategy", 1, 11), loss("ingest", 2, 15), loss("strategy", 2, 54)]
    assert detection_ms(strikes, losses) == [1.0, 3.0, 4.0], (
        "what was seen before the fault is another's; a short pause costs none"
    )
    assert [pair[1].generation for pair in detected(strikes, losses)] == [1, 2, 2]


def test_the_launchers_death_is_seen_as_that_of_any_stage():
    losses = [loss(role, 1, 30) for role in ("ingest", "strategy", "execution", "persistence")]
    assert detection_ms([strike("launcher", 25)], losses) == [5.0]


def test_the_chronicle_tells_fault_degraded_and_ready_in_the_order_of_the_clock():
    changes = [
        Change(0, Lifecycle.WARMUP, Lifecycle.READY, "every stage is warm"),
        Change(12 * MS, Lifecycle.READY, Lifecycle.DEGRADED, "strategy (pid 4) died"),
        Change(40 * MS, Lifecycle.DEGRADED, Lifecycle.READY, "healed: strategy (pid 4) died"),
    ]
    losses = Losses()
    losses.all.append(loss("strategy", 1, 11, 40))
    chronicle = Chronicle([strike("strategy", 10)])
    assert chronicle.story() == []
    chronicle.run = SimpleNamespace(changes=changes, losses=losses)
    assert [(round(h.at_s, 3), h.text) for h in chronicle.story()] == [
        (0.0, "READY: every stage is warm"),
        (0.01, "SIGKILL to strategy at its input 7"),
        (0.012, "DEGRADED: strategy (pid 4) died; seen after 1.0 ms"),
        (0.04, "READY again after 28.0 ms"),
    ]


def test_an_open_file_more_is_growth():
    descriptors = Descriptors()
    assert descriptors.grown() == {"chaos": 0}
    with open(os.devnull):
        assert descriptors.grown() == {"chaos": 1}
    assert open_files(os.getpid()) == descriptors.before and open_files(0) == 0


def test_what_cannot_be_done_to_a_foreign_run_names_what_can():
    options = Options(1, 4, None)
    for name in set(SCENARIOS) - set(OUTSIDERS):
        with pytest.raises(
            BadInput, match=f"{name} cannot be done to a run that is going on.*kill-strategy.*launcher-kill"
        ):
            outsider(SCENARIOS[name], options)
    assert set(OUTSIDERS) <= set(SCENARIOS)
    assert {outsider(SCENARIOS[name], options).planned for name in OUTSIDERS} == {1, 4}


def test_the_stages_that_random_strikes_from_outside_follow_from_the_seed():
    one, same, other = (outsider(SCENARIOS["random"], Options(seed, 30, None)).stages for seed in (1, 1, 2))
    assert one == same != other and len(set(one)) == 4


def test_of_a_realtime_run_and_its_twin_nothing_is_compared():
    row = msgspec.structs.replace(SCENARIOS["kill-strategy"], same=False)
    run = RUN | {"clock": "realtime", "digest": "other", "events_published": 99}
    found = judge(row, 1, [STRIKE], 1, run, TWIN, Remains(), "repeat")
    assert (found.verdict, found.twin_digest, found.duplicated) == (PASS, None, None)
