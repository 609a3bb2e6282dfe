"""status.json: what a run's parent knows and shared memory does not, in words; screens read it, and whoever resumes the run.

Written as a whole at every change. A disk that is full costs the newest words and never the run.
"""

import contextlib
from pathlib import Path

import msgspec

NAME = "status.json"


class Status(msgspec.Struct, frozen=True):
    """reasons: why it is not READY, cause -> words. commands: (message, ControlCode, value) as sequenced, simulated clock."""

    lifecycle: str = "INIT"
    reasons: dict[str, str] = {}
    commands: list[tuple[int, int, int]] = []
    trading_reason: str = ""


def write_status(folder: Path, status: Status) -> None:
    """Replace the run's status."""
    with contextlib.suppress(OSError):  # a full disk is no reason to stop trading on paper
        new = folder / f"{NAME}.new"
        new.write_bytes(msgspec.json.encode(status))
        new.rename(folder / NAME)


def read_status(folder: Path) -> Status:
    """The run's status; an empty one if there is none that can be read."""
    try:
        return msgspec.json.decode((folder / NAME).read_bytes(), type=Status)
    except (OSError, msgspec.MsgspecError):
        return Status()
