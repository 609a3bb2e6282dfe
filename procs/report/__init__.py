"""`ringsim report`: a run as one page that holds everything it needs.

    database ──┐
    manifest ──┼─ readings ──> pictures (plain data) ──> page (HTML, plotly's JavaScript inlined when the page is made)
    market   ──┘

Invariant: a picture shows stored values, or what is folded from the run's own inputs; what was thinned for drawing keeps its
extremes and says so; a picture without data says why it has none.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from procs.export import reading
from procs.history import Market, NoMarket, market_again
from procs.latencies import read_latencies
from procs.record import state_of
from procs.report.page import page
from procs.report.pictures import pictures
from procs.report.readings import Markouts, Readings, read
from ringsim.store.errors import StoreExists
from ringsim.store.files import replacing


class Reported(msgspec.Struct, frozen=True):
    """What was written. empty: picture -> why it has nothing to show. markouts: by liquidity and horizon, bps of the price."""

    run_id: str
    path: str
    size_bytes: int
    state: str
    pictures: list[str]
    empty: Mapping[str, str]
    markouts: list[Markouts]


def report(folder: Path, to: Path, *, over: bool = False) -> Reported:
    """Write the page of the run in `folder`. over: may replace a file. Raises BadInput, StoreError."""
    if not over and os.path.lexists(to):  # before anything that takes time
        raise StoreExists(f"{to} is there already; --force replaces it")
    with reading(folder) as (manifest, path, connection):
        market: Market | None = None
        no_market = ""
        try:
            market = market_again(manifest, folder, connection)
        except NoMarket as error:
            no_market = f"the market cannot be told again: {error}"
        readings: Readings = read(connection, path, market)
    state = state_of(manifest, folder)
    drawn = pictures(readings, read_latencies(folder), manifest.clock, no_market)
    text = page(manifest, state, readings, drawn)
    with replacing(to, over=over) as file:
        file.write(text.encode())
    empty: dict[str, Any] = {name: p["empty"] for name, p in drawn.items() if p["empty"]}
    return Reported(manifest.run_id, str(to), len(text.encode()), state, list(drawn), empty, readings.markouts)
