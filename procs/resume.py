"""Going on with a run whose parent was killed.

Its stages end with it, but the shared memory stays until somebody sweeps it: states, journals and rings are as whole as after
the death of every stage, and are taken over as they are. Ledger, limits used, open orders, kill switch, all of it goes on;
under the simulated clock to the digest of the undisturbed run.

If the memory is gone (swept, or the machine was started again), a simulated run is folded again from its first message into
the same database, which skips what it has; a realtime run happened once, and cannot.
"""

import time
from pathlib import Path

import msgspec

from procs.janitor import lives, remove_run
from procs.prepare import Prepared, prepare_run
from procs.repeat import changes, settings_of
from procs.status import read_status
from procs.topology import Plan, Segments
from ringsim import control as c
from ringsim.config import load
from ringsim.errors import BadInput, LayoutError, SegmentError
from ringsim.ring.ring import process_start
from ringsim.shm import Segment, segment_name
from ringsim.store.errors import StoreError, StoreMissing
from ringsim.store.manifest import RUNNING, Manifest, read_manifest
from ringsim.store.sqlite import Store

GONE, UNUSED, THERE = "gone", "unused", "there"  # UNUSED: killed before it was READY, nothing has happened in it
_LAST_BREATH_S = 3.0  # a killed parent's stages end within a second


class Resumption(msgspec.Struct, frozen=True):
    """A run that can go on. adopt: its shared memory is there."""

    manifest: Manifest
    prepared: Prepared
    adopt: bool


def resumption(folder: Path) -> Resumption:
    """Everything that must hold for a run to go on. BadInput, one line, if it does not; StoreError for a damaged manifest."""
    manifest = read_manifest(folder)
    if manifest.exit_state != RUNNING:
        raise BadInput(f"run {manifest.run_id} has ended ({manifest.exit_state}): there is nothing to resume")
    try:
        plan = Plan.load(folder / "plan.json")
    except FileNotFoundError:
        raise BadInput(f"run {manifest.run_id} was killed before it had begun: start it anew") from None
    except msgspec.MsgspecError as error:
        raise BadInput(f"the plan of run {manifest.run_id} is damaged, or of another version: {error}") from None
    memory = left_in_memory(plan)
    _check_database(manifest, plan)
    found = changes(manifest)
    if found:
        raise BadInput(f"run {manifest.run_id} cannot go on where it stood: {'; '.join(found)}")
    if memory == GONE and not plan.simulated:
        raise BadInput(
            f"the shared memory of run {manifest.run_id} is gone (cleaned, or the machine was started again): "
            "a realtime run lives there, and cannot go on without it"
        )
    if memory == GONE and read_status(folder).commands:
        raise BadInput(
            f"the shared memory of run {manifest.run_id} is gone, and it had been given commands: start it anew"
        )
    effective = load(overrides=settings_of(folder) | {"run.clock": manifest.clock})
    prepared = prepare_run(effective, manifest.run_id, out=str(folder), plan=plan)
    if memory == UNUSED:
        remove_run(manifest.run_id)
    return Resumption(manifest, prepared, memory == THERE)


def _check_database(manifest: Manifest, plan: Plan) -> None:
    """Its database must be there and whole: what it holds is gone from the rings."""
    try:
        Store.open(plan.database, wait=time.sleep).close()
    except StoreMissing:
        raise BadInput(
            f"run {manifest.run_id} cannot go on: its database {plan.database} is missing; start it anew"
        ) from None
    except StoreError as error:
        raise BadInput(f"run {manifest.run_id} cannot go on: {error}") from None


def _check_memory(plan: Plan) -> None:
    """All of it must be there, as long as it was: what was cut short is not whole anywhere."""
    try:
        Segments(plan, create=False).close()
    except (
        SegmentError,
        LayoutError,
        TypeError,
        ValueError,
    ) as error:  # numpy: a buffer too small for what should be in it
        raise _damaged(plan, f" ({error})") from None


def _damaged(plan: Plan, how: str = "") -> BadInput:
    return BadInput(f"the shared memory of run {plan.run_id} is damaged{how}: `ringsim clean` removes it")


def left_in_memory(plan: Plan) -> str:
    """What the killed parent has left in shared memory. BadInput if it, or one of its stages, lives, or if it is damaged."""
    try:
        page = Segment(segment_name(plan.run_id, "control"), populate=False)
    except SegmentError:
        return GONE
    except ValueError:  # no byte is left of it
        raise _damaged(plan) from None
    try:
        assert page.buf is not None
        if page.size < 8 * c.CONTROL_WORDS:
            raise _damaged(plan)
        words = c.control_words(page.buf)
        if lives(int(words[c.P_OWNER_PID]), int(words[c.P_OWNER_START])):
            raise BadInput(f"run {plan.run_id} is going on")
        pids = [int(words[c.block(c.stage_of(role)) + c.S_PID]) for role in plan.roles]
        begun = int(words[c.P_START_NS]) > 0
        del words
    finally:
        page.close()
    until = time.monotonic() + _LAST_BREATH_S
    while any(_is_stage(pid, plan.run_id) for pid in pids):
        if time.monotonic() > until:
            raise BadInput(f"a process of run {plan.run_id} is still there, though its parent is not")
        time.sleep(0.01)
    if begun:
        _check_memory(plan)
    return THERE if begun else UNUSED


def _is_stage(pid: int, run_id: str) -> bool:
    """Whether a process is there, alive, and a stage of the run."""
    start = process_start(pid) if pid > 0 else 0
    if not start or not lives(pid, start):
        return False
    try:
        return run_id.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
