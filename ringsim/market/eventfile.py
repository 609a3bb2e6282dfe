"""Normalised event files, as hftbacktest reads and writes them: one array `data` of 64-byte records in an .npz.

    ev         kind in the low bits; BUY or SELL; EXCH: the exchange meets it at exch_ts, LOCAL: the strategy at local_ts
    px, qty    float64, in units; order_id, ival, fval: not used by depth and trade records

Invariant: a price or quantity on the grid is written as the float64 nearest to its decimal text, so that reading it gives
the same ticks and lots. The layout and the words are hftbacktest's (hftbacktest/types.py); the code is not.
"""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from ringsim.errors import BadInput
from ringsim.market.instruments import grid_values
from ringsim.records import EventKind, Side
from ringsim.units import Instrument

EVENT = np.dtype(
    [
        ("ev", "u8"),
        ("exch_ts", "i8"),
        ("local_ts", "i8"),
        ("px", "f8"),
        ("qty", "f8"),
        ("order_id", "u8"),
        ("ival", "i8"),
        ("fval", "f8"),
    ]
)

DEPTH, TRADE, DEPTH_CLEAR, DEPTH_SNAPSHOT, DEPTH_BBO = 1, 2, 3, 4, 5
KIND_BITS = 0xFF
EXCH, LOCAL, BUY, SELL = 1 << 31, 1 << 30, 1 << 29, 1 << 28

_CLEARS = (EventKind.SNAPSHOT_BEGIN, EventKind.GAP)  # after a gap nobody may trade on the book: there is none


def read_event_file(path: Path) -> np.ndarray:
    """The records of a file, EVENT[n], n > 0. BadInput, one line, for one that is missing, damaged, or none of these files."""
    try:
        with open(path, "rb") as file:  # numpy leaves its own open where the file is damaged
            found = np.load(file, allow_pickle=False)
            if not isinstance(found, np.ndarray):
                names = found.files
                if "data" not in names:
                    raise BadInput(
                        f"{path}: is no event file: it has no array `data`, only {', '.join(names)[:80] or 'none'}"
                    )
                found = found["data"]
    except FileNotFoundError:
        raise BadInput(f"there is no event file {path}") from None
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise BadInput(f"{path}: is no event file: {str(error).splitlines()[0]}") from None
    if not _has_layout(found.dtype) or found.ndim != 1:
        raise BadInput(
            f"{path}: is no event file: its records are {str(found.dtype)[:60]}, not {', '.join(EVENT.names or ())}"
        )
    if len(found) == 0:
        raise BadInput(f"{path}: holds no event")
    return found.view(EVENT)


def _has_layout(dtype: np.dtype) -> bool:
    """Whether records lie in memory as EVENT does, whatever numpy thinks of their alignment."""
    wanted = {name: (kind, place) for name, (kind, place, *_) in (EVENT.fields or {}).items()}
    given = {name: (kind, place) for name, (kind, place, *_) in (dtype.fields or {}).items()}
    return given == wanted and dtype.itemsize == EVENT.itemsize


def has_record(events: np.ndarray) -> np.ndarray:
    """bool[n]: which market events the file format has a record for, or which belong to one that it has."""
    return np.isin(events["kind"], (EventKind.LEVEL, EventKind.TRADE, *_CLEARS, EventKind.SNAPSHOT_END))


def to_event_file(events: np.ndarray, instrument: Instrument) -> np.ndarray:
    """Market events as EVENT[m]: levels, trades and cleared books; quotes, controls and the ends of snapshots have no record.

    events: MARKET_EVENT[n], as fold_capture gives them.
    """
    kind = events["kind"]
    depth = np.cumsum(kind == EventKind.SNAPSHOT_BEGIN) > np.cumsum(
        np.isin(kind, (EventKind.SNAPSHOT_END, EventKind.GAP))
    )
    word = np.zeros(len(events), np.uint64)
    word[kind == EventKind.LEVEL] = DEPTH
    word[(kind == EventKind.LEVEL) & depth] = DEPTH_SNAPSHOT
    word[kind == EventKind.TRADE] = TRADE
    word[np.isin(kind, _CLEARS)] = DEPTH_CLEAR
    side = events["side"]
    word[(word > 0) & (side == Side.BUY)] |= np.uint64(BUY)
    word[(word > 0) & (side == Side.SELL)] |= np.uint64(SELL)
    word[word > 0] |= np.uint64(EXCH | LOCAL)
    kept = events[word > 0]
    found = np.zeros(len(kept), EVENT)
    found["ev"] = word[word > 0]
    found["exch_ts"], found["local_ts"] = kept["exch_ns"], kept["recv_ns"]
    px_digits, px_units, qty_digits, qty_units = grid_values(instrument)
    found["px"] = kept["px_ticks"] * px_units / 10.0**px_digits
    found["qty"] = kept["qty_lots"] * qty_units / 10.0**qty_digits
    return found


def write_event_file(path: Path, data: np.ndarray) -> None:
    """Write EVENT[n] as a compressed .npz. OSError as numpy raises it."""
    with path.open("wb") as file:
        np.savez_compressed(file, data=data)
