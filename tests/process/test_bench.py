"""`ringsim bench recovery`: with and without journal and commits the stages publish the same; a figure is none otherwise."""

import pytest

from procs.bench import recovery
from procs.bench.ring import BenchFailed

pytestmark = [pytest.mark.timeout(280), pytest.mark.alone]


@pytest.mark.slow
def test_with_and_without_the_same_is_published_and_a_share_is_given_for_each():
    found = recovery.bench_recovery(repeats=2, passes=1)
    assert set(found["share"]) == set(found["digest"]) == {"ingest", "strategy", "execution", "pipeline", "run"}
    for name, share in found["share"].items():
        low, high = found["share_spread"][name]
        assert low <= share <= high < 1 and found["events_per_s"][name] > 0
    alone = sum(found["inputs"][stage] for stage in ("ingest", "strategy", "execution"))
    assert found["events"] == 34_889
    assert found["inputs"]["pipeline"] == found["inputs"]["run"] == alone, (
        "alone and together a stage takes the same inputs"
    )


@pytest.mark.slow
def test_a_difference_is_an_error_and_no_figure(monkeypatch):
    plain = recovery._bare

    def loses_an_input(program, segments):
        if program.name == "execution":
            program.intake.market.ring.slots.qty_lots[11_000:12_000] += 1  # of changes of the book
        return plain(program, segments)

    monkeypatch.setattr(recovery, "_bare", loses_an_input)
    with pytest.raises(BenchFailed, match="execution publishes something else without its journal"):
        recovery.bench_recovery(repeats=1, passes=1)
