"""Normalised event files, as hftbacktest reads and writes them: one array `data` of 64-byte records in an .npz.

    ev         kind in the low bits; BUY or SELL; EXCH: the exchange meets it at exch_ts, LOCAL: the strategy at local_ts
    px, qty    float64, in units; order_id, ival, fval: not used by depth and trade records

Invariant: a price or quantity on the grid is written as the float64 nearest to its decimal text, so that reading it gives
the same ticks and lots. The layout and the words are hftbacktest's (hftbacktest/types.py); the code is not.
"""

from pathlib import Path

import numpy as np

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


def to_event_file(events: np.ndarray, instrument: Instrument) -> np.ndarray:
    """Market events as EVENT[m]: levels, trades and cleared books; quotes, controls and the ends of snapshots have no record.

    events: MARKET_EVENT[n], as fold_capture gives them.
    """
    kind = events["kind"]
    depth = np.cumsum(kind == EventKind.SNAPSHOT_BEGIN) > np.cumsum(np.isin(kind, (EventKind.SNAPSHOT_END, EventKind.GAP)))
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
