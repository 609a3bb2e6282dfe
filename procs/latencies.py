"""latency.json in a run's folder: the whole distribution of every hop, as the histograms in shared memory had it at the end.

    {"kind": "ringsim latency", "format_version": 1, "unit": "ns", "hops": {"publish": {"n", "total_ns", "max_ns",
     "buckets": [[largest value of the bucket, values in it], ...]}, ...}}

Only runs with the realtime clock have one: under the simulated clock no time of the machine is measured. Buckets are 1.6 %
wide or narrower; empty ones are left out.
"""

from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np

from ringsim.store.errors import StoreCorrupt, StoreForeign, StoreNewer
from ringsim.store.files import read_whole, write_whole
from ringsim.telemetry.histogram import filled_buckets

NAME = "latency.json"
KIND = "ringsim latency"
FORMAT_VERSION = 1


class Hop(msgspec.Struct, frozen=True):
    """One distribution, ns. buckets: (largest value, count), ascending."""

    n: int
    total_ns: int
    max_ns: int
    buckets: list[tuple[int, int]]

    def curve(self) -> list[tuple[float, int]]:
        """(share of the values, 0..1, that are at most so many ns): ascending in both, ending with 1 at the maximum."""
        total, seen, found = sum(count for _, count in self.buckets), 0, []
        for top, count in self.buckets:
            seen += count
            found.append((seen / total, min(top, self.max_ns)))
        return found


class Latencies(msgspec.Struct, frozen=True):
    """The file."""

    hops: dict[str, Hop]
    unit: str = "ns"
    kind: str = KIND
    format_version: int = FORMAT_VERSION


def write_latencies(folder: Path, hops: np.ndarray, names: Iterable[str]) -> None:
    """Keep the histograms. hops: HISTOGRAM[len(names)]. Raises StoreFull and the like."""
    found = {
        name: Hop(int(hops[k].n), int(hops[k].total_ns), int(hops[k].max_ns), filled_buckets(hops[k]))
        for k, name in enumerate(names)
    }
    write_whole(folder / NAME, msgspec.json.encode(Latencies(found)) + b"\n")


def read_latencies(folder: Path) -> Latencies | None:
    """The run's distributions, None if it has none. Raises StoreCorrupt, StoreForeign, StoreNewer."""
    path = folder / NAME
    if not path.exists():
        return None
    try:
        found = msgspec.json.decode(read_whole(path), type=Latencies)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StoreCorrupt(f"{path} is damaged: {error}") from None
    if found.kind != KIND:
        raise StoreForeign(f"{path} is no file of latencies")
    if found.format_version > FORMAT_VERSION:
        raise StoreNewer(
            f"{path} has format version {found.format_version}, this ringsim reads {FORMAT_VERSION}: update it"
        )
    return found
