"""When the stages wait for each other for good, and what only looks like it."""

import pytest

from procs.stalemate import Stalemate
from ringsim import control as c
from ringsim.fold.intake import NO_INPUT, NO_ROOM

SECOND = 1_000_000_000
STAGES = (c.Stage.INGEST, c.Stage.STRATEGY, c.Stage.EXECUTION)


class Ring:
    """A ring of which persistence has yet to store some records."""

    capacity = 1024

    def __init__(self) -> None:
        self.records, self.unstored = 7, 0

    def published(self) -> int:
        return self.records

    def lag(self) -> dict[str, int]:
        return {"persistence": self.unstored}


class Pipeline:
    """What a parent sees of three stages, second by second: all awake, ingest without room."""

    def __init__(self) -> None:
        self.words = c.control_words(memoryview(bytearray(8 * c.CONTROL_WORDS)))
        self.words[c.P_GO] = 1
        self.waits(NO_ROOM)
        self.rings = {name: Ring() for name in ("market", "orders", "reports")}
        self.stalemate = Stalemate()

    def waits(self, ingest_for: int) -> None:
        self.words[c.block(c.Stage.INGEST) + c.S_WAITS] = ingest_for

    def at(self, seconds: float) -> str | None:
        now = SECOND + int(seconds * SECOND)
        for stage in STAGES:
            self.words[c.block(stage) + c.S_HEARTBEAT_NS] = now
        return self.stalemate.look(self.words, self.rings, now)  # type: ignore[arg-type]


@pytest.fixture
def pipeline():
    return Pipeline()


def test_it_is_said_after_a_second_and_names_what_to_raise(pipeline):
    assert pipeline.at(0) is None and pipeline.at(0.9) is None
    why = pipeline.at(1)
    assert why and "1024 events" in why and "market_channel_size" in why


def test_a_full_disk_that_has_space_again_leaves_the_stages_time_to_move(pipeline):
    pipeline.rings["reports"].unstored = 900
    assert pipeline.at(0) is None and pipeline.at(30) is None
    pipeline.rings["reports"].unstored = 0  # stored at last; the stages have yet to see it
    assert pipeline.at(30.001) is None and pipeline.at(30.9) is None
    assert pipeline.at(31.1), "nothing has moved since"


@pytest.mark.parametrize("what", ["an input", "a record", "no order to go on", "room", "asleep"])
def test_anything_that_moves_or_may_begins_it_anew(pipeline, what: str):
    assert pipeline.at(0) is None
    match what:
        case "an input":
            pipeline.words[c.block(c.Stage.STRATEGY) + c.S_INPUTS] += 1
        case "a record":
            pipeline.rings["orders"].records += 1
        case "no order to go on":
            pipeline.words[c.P_GO] = 0
        case "room":
            pipeline.waits(NO_INPUT)
        case "asleep":
            now = 3 * SECOND
            assert pipeline.stalemate.look(pipeline.words, pipeline.rings, now) is None  # type: ignore[arg-type]
    assert pipeline.at(1.5) is None
    pipeline.words[c.P_GO] = 1
    pipeline.waits(NO_ROOM)
    assert pipeline.at(2.4) is None
    assert pipeline.at(3.6)
