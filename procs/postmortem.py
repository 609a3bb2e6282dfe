"""terminal.json: how everything stood when a run failed, for whoever asks afterwards.

    at the failure          the reason, the lifecycle, each stage, each ring, what was lost before, with the stages still there
    when all of it is dead  the ledger and the open orders, from the execution's last commit; and what its journal has beyond

Invariant: written as a whole and once, after the last process of the run has ended: nothing in it can change any more.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from procs.losses import Losses, history
from procs.topology import Segments
from ringsim import control as c
from ringsim.fold.intake import NO_INPUT, NO_JOURNAL, NO_ROOM, WORKING
from ringsim.fold.journal import HEAD
from ringsim.lifecycle import Change, Lifecycle
from ringsim.records import OrderType, Side, Trading
from ringsim.store.errors import StoreError
from ringsim.store.files import write_whole
from ringsim.summary import account_summary
from ringsim.units import Instrument

NAME = "terminal.json"
_WAITS = {WORKING: "nothing", NO_INPUT: "input", NO_ROOM: "room", NO_JOURNAL: "journal", c.WAITS_FOR_PARENT: "parent"}


def scene(
    segments: Segments, roles: Sequence[str], failure: str, changes: Iterable[Change], started_ns: int,
    reasons: Mapping[str, str], losses: Losses,
) -> dict[str, Any]:  # fmt: skip
    """How the processes and the rings stand, now. Times in it: seconds since the run's start, or of age."""
    words = segments.control
    return {
        "run_id": segments.plan.run_id,
        "clock": "simulated" if segments.plan.simulated else "realtime",
        "failure": failure,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "after_s": round((time.monotonic_ns() - started_ns) / 1e9, 6),
        "state": Lifecycle(int(words[c.P_LIFECYCLE])).name,
        "reasons": list(reasons.values()),
        "run_state": c.RunState(int(words[c.P_RUN])).name,
        "trading": Trading(int(words[c.P_TRADING])).name,
        "stages": {role: _stage(segments, role) for role in roles},
        "rings": {name: _ring(ring) for name, ring in segments.rings.items()},
        **history(losses, changes, started_ns),
    }


def _stage(segments: Segments, role: str) -> dict[str, Any]:
    """One stage as it last said. inputs that are journalled and not committed would have been redone."""
    words, at = segments.control, c.block(c.stage_of(role))
    beat, waits = int(words[at + c.S_HEARTBEAT_NS]), int(words[at + c.S_WAITS])
    found: dict[str, Any] = {
        "pid": int(words[at + c.S_PID]),
        "generation": int(words[at + c.S_GENERATION]),
        "state": c.StageState(int(words[at + c.S_STATE])).name,
        "silent_ms": round((time.monotonic_ns() - beat) / 1e6, 3) if beat else None,
        "inputs": int(words[at + c.S_INPUTS]),
        "outputs": int(words[at + c.S_OUTPUTS]),
        "waits_for": _WAITS.get(waits, str(waits)),
        "trading": Trading(int(words[at + c.S_TRADING])).name,
    }
    if role in segments.journals:
        found["journalled"] = int(segments.journals[role].header[HEAD])
    return found


def _ring(ring: Any) -> dict[str, Any]:
    return {
        "capacity": ring.capacity,
        "published": ring.published(),
        "lag": ring.lag(),
        "lost": ring.lost(),
        "gated_by": ring.who_gates(),
    }


def write_terminal(
    folder: Path, at_failure: dict[str, Any], segments: Segments, broker: Any, instrument: Instrument
) -> str | None:
    """Add the account to the scene and write both. broker: the execution's last committed state. Returns the file's path.

    None if it could not be written: a full disk takes no reason from a run that has failed already.
    """
    journalled = int(segments.journals["execution"].header[HEAD])
    whole = at_failure | {
        "account": account_summary(broker, instrument),
        "account_at_ns": int(broker.pos.now_ns),
        "inputs_beyond_the_account": journalled - int(broker.pos.journal),
        "open_orders": [_order(order, instrument) for order in broker.orders if order.ranked],
        "orders_in_flight": int(broker.in_flight_count),
    }
    path = folder / NAME
    try:
        write_whole(path, msgspec.json.format(msgspec.json.Encoder(decimal_format="number").encode(whole)))
    except StoreError:
        return None
    return str(path)


def _order(order: Any, instrument: Instrument) -> dict[str, Any]:
    return {
        "order_id": int(order.order_id),
        "side": Side(int(order.side)).name,
        "type": OrderType(int(order.type)).name,
        "price": instrument.price(int(order.px)),
        "quantity": instrument.quantity(int(order.qty)),
        "left": instrument.quantity(int(order.left)),
    }
