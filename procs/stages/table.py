"""Stage by name."""

from procs.stages.base import StageProgram
from procs.stages.execution import ExecutionStage
from procs.stages.ingest import IngestStage
from procs.stages.persistence import PersistenceStage
from procs.stages.strategy import StrategyStage
from procs.topology import Segments

STAGES: dict[str, type] = {
    "ingest": IngestStage,
    "strategy": StrategyStage,
    "execution": ExecutionStage,
    "persistence": PersistenceStage,
}


def program(name: str, segments: Segments) -> StageProgram:
    """The stage's program over a run's segments."""
    return STAGES[name](segments)
