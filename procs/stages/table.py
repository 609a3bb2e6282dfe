"""Stage by name."""

from typing import Any

from procs.stages.base import StageProgram
from procs.stages.execution import ExecutionStage
from procs.stages.ingest import IngestStage
from procs.stages.merge import MergeStage
from procs.stages.persistence import PersistenceStage
from procs.stages.strategy import StrategyStage
from procs.topology import Segments

STAGES: dict[str, type] = {
    "ingest": IngestStage,
    "strategy": StrategyStage,
    "execution": ExecutionStage,
    "persistence": PersistenceStage,
    "merge": MergeStage,
}


def program(name: str, segments: Segments, *rehearsed: Any) -> StageProgram:
    """The stage's program over a run's segments. rehearsed: what it does while it waits (procs.rehearsal), if anything."""
    kind, _, number = name.partition("-")
    if number:
        return StrategyStage(segments, *rehearsed, number=int(number))
    stage: StageProgram = STAGES[kind](segments, *rehearsed)
    return stage
