"""A ring's header in words, without knowing its record: read from the segment as it lies, nothing mapped for writing."""

from pathlib import Path
from typing import Any

import numpy as np

from procs.janitor import lives
from ringsim.errors import BadInput
from ringsim.ring import layout as at
from ringsim.shm import FOLDER, PREFIX

_NAMED = 4
_MODES = {at.GATING: "gating", at.FREE: "free"}


def _text(words: np.ndarray) -> str:
    return words.tobytes().rstrip(b"\0").decode(errors="replace")


def describe(name: str) -> dict[str, Any]:
    """The header, cursors and lag of the ring in segment `name`.

    BadInput if there is no such segment, with the names there are, or if it is no ring.
    """
    path = FOLDER / name
    if not path.is_file():
        raise BadInput(f"no segment {name} in {FOLDER}; {_rings_there()}")
    header = _header(path)
    published, owner = int(header[at.W_PUBLISHED]), (int(header[at.W_OWNER_PID]), int(header[at.W_OWNER_START]))
    consumers: list[dict[str, Any]] = []
    for k in range(int(header[at.W_CONSUMERS])):
        line = at.consumer_line(k)
        released = int(header[line + at.C_RELEASED])
        consumers.append(
            {
                "name": _text(header[line + at.C_NAME : line + at.C_NAME + 3]),
                "mode": _MODES.get(int(header[line + at.C_MODE]), "?"),
                "released": released,
                "lag": published - released,
                "lost": int(header[line + at.C_LOST]),
                "laps": int(header[line + at.C_LAPS]),
            }
        )
    gating = [c for c in consumers if c["mode"] == "gating" and c["lag"] > 0]
    return {
        "segment": name,
        "version": int(header[at.W_VERSION]),
        "capacity": int(header[at.W_CAPACITY]),
        "slot_size": int(header[at.W_SLOT_SIZE]),
        "ready": bool(header[at.W_READY]),
        "owner_pid": owner[0],
        "owner_alive": lives(*owner),
        "producer": _text(header[at.W_NAME : at.W_NAME + 3]),
        "published": published,
        "full_waits": int(header[at.W_FULL_WAITS]),
        "gated_by": max(gating, key=lambda c: int(c["lag"]))["name"] if gating else None,
        "consumers": consumers,
    }


def _rings_there() -> str:
    """A few of them: there may be several runs."""
    there = sorted((p.name for p in FOLDER.glob(f"{PREFIX}*ring*")), reverse=True)
    more = f" and {len(there) - _NAMED} more" if len(there) > _NAMED else ""
    return f"rings there: {', '.join(there[:_NAMED]) or 'none'}{more}"


def _header(path: Path) -> np.ndarray:
    with path.open("rb") as file:
        data = file.read(8 * at.HEADER_WORDS)
    header = np.frombuffer(data[: len(data) // 8 * 8], np.int64)
    if len(header) < at.HEADER_WORDS or header[at.W_MAGIC] != at.MAGIC:
        raise BadInput(f"{path.name} is no ring")
    return header
