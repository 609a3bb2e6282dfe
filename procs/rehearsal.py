"""What the stages rehearse while they wait: a made-up session of the run's instrument, folded once by the warm-up's stages.

    recording (text, as the venue sends it) --ingest, strategy, execution of the warm-up--> journals --> a Script a stage

The session has what costs time in a real one: diffs of two to sixteen levels on either side, some at the best price; trades,
tickers; a book that leans one way, then the other, so that signals begin, orders are sent, follow the best price, and are
cancelled. It is drawn from a fixed seed and holds nothing of the run's own messages: those must not be known beforehand.
"""

import json
import random
from decimal import Decimal
from pathlib import Path

from ringsim.units import Instrument

PRELUDE = 6  # messages before what is rehearsed: a snapshot among them
MESSAGES = 60
_SEED = 20240808
_START_NS = 1_700_000_000_000_000_000
_DEPTH = 40  # levels of a side at first
_FULL_DIGITS = 8  # of spot's decimals


class _Book:
    """Levels by side, kept while the session is made up."""

    def __init__(self, chance: random.Random, mid_ticks: int, size_lots: int) -> None:
        self.chance, self.size = chance, max(4, size_lots)
        self.bid = max(2 * _DEPTH, mid_ticks)
        self.sides: dict[str, dict[int, int]] = {"b": {}, "a": {}}
        for k in range(_DEPTH):
            self.sides["b"][self.bid - k] = self.lots(1)
            self.sides["a"][self.bid + 1 + k] = self.lots(1)

    def lots(self, weight: float) -> int:
        return max(1, int(weight * self.size * self.chance.uniform(0.5, 1.5)))

    def change(self, side: str, weight: float, levels: int) -> dict[int, int]:
        """Some levels of a side anew, most of them near the best price, none beyond it."""
        found = {}
        for _ in range(levels):
            k = min(int(self.chance.expovariate(0.15)), _DEPTH)
            px = self.bid - k if side == "b" else self.bid + 1 + k
            gone = k > 4 and self.chance.random() < 0.3
            found[px] = 0 if gone else self.lots(weight if k < 6 else 1)
        self.sides[side] |= found
        return found

    def move(self, by: int) -> tuple[dict[int, int], dict[int, int]]:
        """The best prices go up or down by a tick: one level goes on one side, one comes on the other."""
        if by > 0:
            self.bid += 1
            return {self.bid: self.lots(1)}, {self.bid: 0}
        self.bid -= 1
        return {self.bid + 1: 0}, {self.bid + 1: self.lots(1)}


def write_recording(path: Path, instrument: Instrument, futures: bool, mid_ticks: int, size_lots: int) -> None:
    """The made-up session as a capture. mid_ticks, size_lots: about where, and how much lies at a level."""
    chance, symbol = random.Random(_SEED), instrument.symbol
    book = _Book(chance, mid_ticks, size_lots)
    seq, trade, now_ns = 1000, 1, _START_NS
    lines = []

    def text(value: Decimal) -> str:
        return f"{value:f}" if futures else f"{value:.{_FULL_DIGITS}f}"

    def levels(changed: dict[int, int]) -> list[list[str]]:
        return [[text(instrument.price(px)), text(instrument.quantity(qty))] for px, qty in changed.items()]

    def say(stream: str, what: dict[str, object]) -> None:
        whole = what if stream == "" else {"stream": f"{symbol.lower()}@{stream}", "data": what}
        lines.append(f"{now_ns} {json.dumps(whole, separators=(',', ':'))}\n")

    def diff(bids: dict[int, int], asks: dict[int, int]) -> None:
        nonlocal seq
        event: dict[str, object] = {
            "e": "depthUpdate",
            "E": now_ns // 1_000_000,
            "s": symbol,
            "U": seq + 1,
            "u": seq + 4,
        }
        if futures:
            event |= {"T": now_ns // 1_000_000, "pu": seq}
        seq += 4
        say("depth@100ms", event | {"b": levels(bids), "a": levels(asks)})

    for number in range(PRELUDE + MESSAGES):
        now_ns += chance.randint(20_000_000, 90_000_000)
        lean = 6.0 if number // 10 % 2 else 1 / 6  # a side that is six times the other makes a signal, and then its end
        kind = number % 4
        if number == 1:
            say("", {"lastUpdateId": seq, "bids": levels(book.sides["b"]), "asks": levels(book.sides["a"])})
        elif kind == 2:
            trade += 1
            px = book.bid + chance.randint(0, 1)
            what = {"e": "trade", "E": now_ns // 1_000_000, "s": symbol, "t": trade, "p": text(instrument.price(px))}
            say("trade", what | {"q": text(instrument.quantity(book.lots(0.2))), "T": 0, "m": px == book.bid})
        elif kind == 3:
            best = {"b": text(instrument.price(book.bid)), "B": text(instrument.quantity(book.lots(1)))}
            best |= {"a": text(instrument.price(book.bid + 1)), "A": text(instrument.quantity(book.lots(1)))}
            futures_only = {"e": "bookTicker", "E": now_ns // 1_000_000} if futures else {}
            say("bookTicker", futures_only | {"u": seq, "s": symbol} | best)
        elif number % 8 == 4:
            diff(*book.move(1 if chance.random() < 0.5 else -1))
        else:
            diff(book.change("b", lean, chance.randint(1, 8)), book.change("a", 1 / lean, chance.randint(1, 8)))
    path.write_text("".join(lines))
