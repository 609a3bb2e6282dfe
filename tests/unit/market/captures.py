"""What the market tests share: a cache of their own, the naive feed over files, events as plain tuples."""

import gzip
from pathlib import Path

import numpy as np

from ringsim.kernel import cache_root
from ringsim.market.feed import FEED_COUNTS
from ringsim.records import MARKET_EVENT
from tests.naive.feed import BadMessage, NaiveFeed, event_time_ns, load

ROOT = Path(__file__).parents[3]
RECORDED = ROOT.parent / "shared" / "data" / "binance"
FIELDS = [name for name in MARKET_EVENT.names if name not in ("stamp", "pad")]
KERNELS = cache_root()  # as it was before the tests chose a cache of their own
GRIDS = {"spot": ("0.01", "0.00001"), "usdm": ("0.1", "0.001")}


def lines_of(files):
    """(receive time, raw JSON) of every line that is not blank; None for a line without a time."""
    last_ns = 0
    for path in files:
        data = Path(path).read_bytes()
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        for line in data.split(b"\n"):
            if not line.strip():
                continue
            stamp, _, raw = line.partition(b" ")
            if not stamp.isdigit():
                yield last_ns, None
                continue
            last_ns = int(stamp) * (1 if int(stamp) > 10**17 else 1000)
            yield last_ns, raw


def naive_skew(lines, feed):
    """min(recv - E) over the sound messages that have an E."""
    least = None
    for recv_ns, raw in lines:
        try:
            feed.parse(raw)
            message, _ = load(raw)
            if type(message.get("E")) is int:
                late = recv_ns - event_time_ns(message["E"])
                least = late if least is None else min(least, late)
        except (BadMessage, TypeError):
            continue
    return least or 0


def naive_feed(files, market="spot", latency_ns=1_000_000):
    """A NaiveFeed of that market's BTCUSDT, and the lines it is to be given."""
    tick, lot = GRIDS[market]
    lines = list(lines_of(files))
    futures = market != "spot"
    skew_ns = naive_skew(lines, NaiveFeed(futures, tick, lot, 0))
    return NaiveFeed(futures, tick, lot, skew_ns, latency_ns), lines


def naive_fold(files, market="spot", latency_ns=1_000_000):
    """The NaiveFeed after all lines and the end."""
    feed, lines = naive_feed(files, market, latency_ns)
    for recv_ns, raw in lines:
        feed.message(recv_ns, raw)
    feed.end()
    return feed


def tuples(events):
    """Events as the naive feed writes them."""
    return list(zip(*(events[name].tolist() for name in FIELDS), strict=True))


def book_of(state):
    """The feed's own book as two dicts."""
    found = []
    for side in (0, 1):
        levels = np.asarray(state.book.sides[side].levels).reshape(-1, 2)
        found.append({int(px): int(qty) for px, qty in levels[levels[:, 0] != 0]})
    return found


def counts_of(state):
    """The feed's counters by name, without the counts by kind."""
    return {name: int(state.counts[name]) for name in FEED_COUNTS.names if name != "messages"}
