"""What reading the market costs: nanoseconds to parse a message of each kind, events a second of the ingest fold.

    python -m bench.feed [FILE...] [--json]

One process, no ring: a prepared capture (the shipped sample if no file is named; several files are one session) parsed
and folded again and again. Each figure is processor time, the best of many: what is slower is the machine's other work.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ringsim.market.binance import KIND_NAMES, MessageKind, make_scratch
from ringsim.market.capture import Capture, examine, prepare
from ringsim.market.feed import fold_capture
from ringsim.market.instruments import make_grid
from ringsim.market.source import sample_path
from ringsim.records import EventKind

ROUNDS = 25
PARSED = (MessageKind.DEPTH, MessageKind.TRADE, MessageKind.BOOK_TICKER, MessageKind.SNAPSHOT)


def best_s(action: Callable[[], Any]) -> float:
    """Least of ROUNDS processor times."""
    times = []
    for _ in range(ROUNDS):
        began = time.process_time()
        action()
        times.append(time.process_time() - began)
    return min(times)


def parse_s(capture: Capture, kinds: tuple[MessageKind, ...]) -> tuple[float, int]:
    """Time to parse all messages of these kinds, and how many there are."""
    chosen = capture.index[np.isin(capture.index.kind, kinds)]
    chosen.flags.writeable = False
    grid, scratch, codes = make_grid(capture.meta.instrument), make_scratch(), np.zeros(len(chosen), np.int64)
    return best_s(lambda: examine(capture.text, chosen, grid, int(capture.meta.futures), scratch, codes)), len(chosen)


def measure(files: list[Path]) -> dict[str, Any]:
    """The figures of one session."""
    capture = prepare(files)
    events, _ = fold_capture(capture)
    levels = int((events.kind == EventKind.LEVEL).sum())
    fold_s = best_s(lambda: fold_capture(capture))
    parsed = {kind: parse_s(capture, (kind,)) for kind in PARSED}
    return {
        "capture": [path.name for path in files],
        "messages": len(capture.index),
        "events": len(events),
        "parse_ns": {KIND_NAMES[kind]: round(s / n * 1e9, 1) for kind, (s, n) in parsed.items() if n},
        "level_ns": round(parse_s(capture, (MessageKind.DEPTH, MessageKind.SNAPSHOT))[0] / max(levels, 1) * 1e9, 1),
        "fold_events_per_s": round(len(events) / fold_s),
        "fold_messages_per_s": round(len(capture.index) / fold_s),
        "fold_ns_per_message": round(fold_s / len(capture.index) * 1e9, 1),
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = measure(options.files or [sample_path()])
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:<22} {value}")


if __name__ == "__main__":
    main()
