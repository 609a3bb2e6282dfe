"""How much earlier or later orders fill by a queue model's estimate than in their exact place, on order-level data.

    python -m bench.queue MSG.csv[.gz] [BOOK.csv[.gz]] [--every 10] [--size 100] [--json]

After every tenth message an order joins the best bid and another one the best ask, each in a market of its own, and rests until
it is filled or the data end. Its time is that of its last lot. Nothing travels: what differs is the place in the queue.
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np

from ringsim.book import VALID, book_best
from ringsim.broker.exchange import broker_init, on_market, on_order, on_timer
from ringsim.broker.params import BrokerParams
from ringsim.broker.queue import QueueModel
from ringsim.fold.outbox import make_outbox, outbox_clear
from ringsim.kernel import kernel
from ringsim.limits import EXECUTION_OUT
from ringsim.market.feed import fold_capture
from ringsim.market.lobster import prepare_lobster
from ringsim.records import ACCOUNT, ORDER, REPORT, EventFlag, OrderKind, OrderType, Side, Tif

EXACT = "fifo"
MODELS: dict[str, tuple[QueueModel, float]] = {
    EXACT: (QueueModel.FIFO, 1.0),
    "risk-averse": (QueueModel.RISK_AVERSE, 1.0),
    "power:1": (QueueModel.POWER, 1.0),
    "power:2": (QueueModel.POWER, 2.0),
    "power:3": (QueueModel.POWER, 3.0),
    "log": (QueueModel.LOG, 1.0),
    "power2:2": (QueueModel.POWER2, 2.0),
    "log2": (QueueModel.LOG2, 1.0),
    "power3:2": (QueueModel.POWER3, 2.0),
}
Place = tuple[int, int]  # number of the event, side


@kernel
def gone_by(s, events, first, out):
    """Fold events from `first` on until no order rests; the number of the one that took the last, -1 if none did."""
    for k in range(first, events.size):
        on_market(s, events[k], k, events[k].exch_ns, out)
        outbox_clear(out)
        if s.open_orders == 0:
            return k
    return -1


class Lives:
    """Orders' lives by one model. times: place -> ns from joining to the last fill, None if the data ended before."""

    def __init__(self, events: np.recarray, model: str, every: int, size: int) -> None:
        kind, exponent = MODELS[model]
        self._events, self._size = events, size
        self._out = make_outbox(REPORT, ACCOUNT, EXECUTION_OUT)
        params = BrokerParams(
            cash0=1 << 50, maker_cbps=0, taker_cbps=0, entry_ns=0, response_ns=0, snapshot_interval_ns=0,
            queue_model=kind, queue_n=exponent,
        )  # fmt: skip
        market = broker_init(params)
        self.times: dict[Place, int | None] = {}
        messages = 0
        for k, event in enumerate(events):
            on_market(market[0], event, k, int(event.exch_ns), self._out)
            messages += bool(event.flag_bits & EventFlag.LAST)
            if event.flag_bits & EventFlag.LAST and messages % every == 0 and market[0].book.valid == VALID:
                for side in (Side.BUY, Side.SELL):
                    px = int(book_best(market[0].book, int(side)))
                    if px:
                        self.times[k, int(side)] = self._life(market.copy(), k, side, px)

    def _life(self, market: np.ndarray, k: int, side: Side, px: int) -> int | None:
        s, joined_ns = market[0], int(self._events[k].exch_ns)
        order = np.zeros(1, ORDER).view(np.recarray)
        order["order_id"], order["kind"], order["type"], order["tif"] = 1, OrderKind.NEW, OrderType.LIMIT, Tif.POST_ONLY
        order["side"], order["px_ticks"], order["qty_lots"], order["created_ns"] = side, px, self._size, joined_ns
        on_order(s, order[0], 0, joined_ns, self._out)
        on_timer(s, joined_ns, self._out)
        assert s.open_orders == 1
        last = gone_by(s, self._events, k + 1, self._out)
        return int(self._events[last].exch_ns) - joined_ns if last >= 0 else None


def compare(exact: dict[Place, int | None], times: dict[Place, int | None]) -> dict[str, Any]:
    """A model's row: how many filled; of those that fill by both, how many at another time, and by how much."""
    away = [b - a for a, b in ((exact[place], times[place]) for place in exact) if a is not None and b is not None]
    early, late = [-ns for ns in away if ns < 0], [ns for ns in away if ns > 0]
    return {
        "orders": len(times),
        "filled": sum(t is not None for t in times.values()),
        "only_here": sum(t is not None and exact[place] is None for place, t in times.items()),
        "only_exact": sum(t is None and exact[place] is not None for place, t in times.items()),
        "same_time": len(away) - len(early) - len(late),
        "earlier": len(early),
        "earlier_ms": round(statistics.median(early) / 1e6, 1) if early else 0.0,
        "later": len(late),
        "later_ms": round(statistics.median(late) / 1e6, 1) if late else 0.0,
    }


def measure(files: list[Path], every: int, size: int) -> list[dict[str, Any]]:
    """A row a model; earlier_ms and later_ms are medians of those that fill earlier and later than in the exact place."""
    events = fold_capture(prepare_lobster(files))[0][:-1].copy()
    lives = {model: Lives(events, model, every, size).times for model in MODELS}
    return [{"model": model} | compare(lives[EXACT], times) for model, times in lives.items()]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--every", type=int, default=10, help="Messages between two orders.")
    parser.add_argument("--size", type=int, default=100, help="Lots of an order.")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rows = measure(asked.files, asked.every, asked.size)
    if asked.json:
        print(json.dumps(rows))
        return
    print("  ".join(f"{name:>11}" for name in rows[0]))
    for row in rows:
        print("  ".join(f"{value!s:>11}" for value in row.values()))


if __name__ == "__main__":
    main()
