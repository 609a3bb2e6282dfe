"""How a run is: what an operator, or a probe, is told."""

import time
from typing import Any

import numpy as np

from procs.topology import Plan
from ringsim import control as c
from ringsim.lifecycle import Lifecycle
from ringsim.limits import HEARTBEAT_STALE_NS
from ringsim.records import Trading


def health(plan: Plan, words: np.ndarray, lifecycle: Lifecycle, reasons: list[str]) -> dict[str, Any]:
    """Liveness and readiness. words: the control page. reasons: why the run is not READY."""
    now, stages = time.monotonic_ns(), {}
    for role in plan.roles:
        at = c.block(c.stage_of(role))
        age = now - int(words[at + c.S_HEARTBEAT_NS])
        stages[role] = {
            "pid": int(words[at + c.S_PID]),
            "state": c.StageState(int(words[at + c.S_STATE])).name,
            "heartbeat_ms": round(age / 1e6, 1),
            "live": age < HEARTBEAT_STALE_NS,
        }
    return {
        "run_id": plan.run_id,
        "ready": lifecycle is Lifecycle.READY and int(words[c.P_RUN]) == c.RunState.RUNNING,
        "live": all(s["live"] for s in stages.values()),
        "lifecycle": lifecycle.name,
        "run_state": c.RunState(int(words[c.P_RUN])).name,
        "trading": Trading(int(words[c.P_TRADING])).name,
        "reasons": reasons,
        "stages": stages,
    }
