"""Generated sessions: a small true market, and the messages that Binance would have sent about it.

The market is a book of a few levels that never crosses, changed in groups of updates, each with its id; diffs, tickers,
trades and snapshots are what a venue says of it, with a clock that runs ahead of the receiver's. Faults are put in by
whoever wants them: a session is a list of messages.
"""

import gzip
import json
import random
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

SPOT, USDM = "spot", "usdm"
GRIDS = {SPOT: (Decimal("0.01"), Decimal("0.00001")), USDM: (Decimal("0.1"), Decimal("0.001"))}  # BTCUSDT
START_NS = 1_700_000_000_000_000_000
CLOCK_AHEAD_NS = 1_270_000_000  # the exchange's clock, as in the recorded sessions


class Message(NamedTuple):
    """One line of a capture. truth: bids and asks (ticks -> lots) after a diff."""

    recv_ns: int
    kind: str
    body: dict
    truth: tuple[dict[int, int], dict[int, int]] | None = None

    def line(self, unit_ns: int = 1) -> bytes:
        stream = {"depth": "depth@100ms", "trade": "trade", "bookTicker": "bookTicker"}.get(self.kind)
        symbol = self.body.get("s", "BTCUSDT").lower()
        whole = {"stream": f"{symbol}@{stream}", "data": self.body} if stream else self.body
        return b"%d %s\n" % (self.recv_ns // unit_ns, json.dumps(whole, separators=(",", ":")).encode())


class Market:
    """The true book, and what was said of it."""

    def __init__(self, seed: int, market: str = SPOT, symbol: str = "BTCUSDT") -> None:
        self.random = random.Random(seed)
        self.market, self.symbol = market, symbol
        self.tick, self.lot = GRIDS[market]
        self.mid = 6_000_000 if market == SPOT else 600_000
        self.bids = {self.mid - k: self.random.randint(1, 900) for k in range(1, 8)}
        self.asks = {self.mid + k: self.random.randint(1, 900) for k in range(1, 8)}
        self.update_id = 5_000_000
        self.said_id = self.update_id  # u of the last diff
        self.touched: tuple[set[int], set[int]] = (set(), set())
        self.trade_id = 7_000
        self.now_ns = START_NS
        self.said: list[Message] = []

    def price(self, ticks: int) -> str:
        return f"{ticks * self.tick:.8f}" if self.market == SPOT else f"{ticks * self.tick:.2f}"

    def quantity(self, lots: int) -> str:
        return f"{lots * self.lot:.8f}" if self.market == SPOT else f"{lots * self.lot:.3f}"

    def rows(self, side: dict[int, int], prices: list[int]) -> list[list[str]]:
        return [[self.price(px), self.quantity(side.get(px, 0))] for px in prices]

    def change(self) -> None:
        """A few updates; the market may walk, and then what it walked through is gone."""
        self.mid += self.random.choice([0, 0, 0, 1, -1, 2, -2])
        for side, sign, touched in ((self.bids, -1, self.touched[0]), (self.asks, 1, self.touched[1])):
            for px in [p for p in side if (p - self.mid) * sign <= 0]:
                del side[px]
                touched.add(px)
            for _ in range(self.random.randint(1, 3)):
                px = self.mid + sign * self.random.randint(1, 9)
                side[px] = self.random.choice([0, 1, self.random.randint(2, 2000)])
                touched.add(px)
                if side[px] == 0:
                    del side[px]
            if not side:
                side[self.mid + sign] = 5
                touched.add(self.mid + sign)
        self.update_id += self.random.randint(1, 5)
        self.say_ticker()

    def _say(self, kind: str, body: dict, timed: bool = True, truth=None) -> None:
        self.now_ns += self.random.randint(100_000, 90_000_000)
        late_ns = self.random.choice([1_000_000, 2_000_000, 40_000_000])
        if timed:
            body = {**body, "E": (self.now_ns + CLOCK_AHEAD_NS - late_ns) // 1_000_000}
            if self.market == USDM:
                body["T"] = body["E"] - 1
        self.said.append(Message(self.now_ns, kind, body, truth))

    def say_diff(self) -> None:
        first = self.said_id + 1
        before = self.said_id
        body = {"e": "depthUpdate", "s": self.symbol, "U": first, "u": self.update_id}
        if self.market == USDM:  # ids are shared with other symbols: U lies beyond the previous u
            body["U"] = min(self.update_id, first + self.random.randint(0, 2))
            body["pu"] = before
        body["b"] = self.rows(self.bids, sorted(self.touched[0], reverse=True))
        body["a"] = self.rows(self.asks, sorted(self.touched[1]))
        self.said_id = self.update_id
        self.touched = (set(), set())
        self._say("depth", body, truth=(dict(self.bids), dict(self.asks)))

    def say_ticker(self) -> None:
        bid, ask = max(self.bids), min(self.asks)
        body = {"u": self.update_id, "s": self.symbol, "b": self.price(bid), "B": self.quantity(self.bids[bid])}
        body |= {"a": self.price(ask), "A": self.quantity(self.asks[ask])}
        if self.market == USDM:
            body = {"e": "bookTicker", **body}
        self._say("bookTicker", body, timed=self.market == USDM)

    def say_trade(self) -> None:
        sold = self.random.random() < 0.5
        px = max(self.bids) if sold else min(self.asks)
        self.trade_id += 1
        body = {"e": "trade", "s": self.symbol, "t": self.trade_id, "p": self.price(px)}
        body |= {"q": self.quantity(self.random.randint(1, 99)), "m": sold}
        self._say("trade", body)

    def snapshot(self) -> dict:
        bids, asks = sorted(self.bids, reverse=True), sorted(self.asks)
        return {"lastUpdateId": self.update_id, "bids": self.rows(self.bids, bids), "asks": self.rows(self.asks, asks)}

    def say_snapshot(self, body: dict) -> None:
        self._say("snapshot", body, timed=self.market == USDM)


def session(seed: int, market: str = SPOT, steps: int = 40, snapshots: tuple[int, ...] = (3,)) -> list[Message]:
    """Messages of one session.

    snapshots: the steps before which one is taken; it is received one to three steps later, as a REST answer is.
    """
    venue = Market(seed, market)
    answers: dict[int, dict] = {}
    for step in range(steps):
        if step in snapshots:
            answers[step + venue.random.randint(1, 3)] = venue.snapshot()
        for _ in range(venue.random.randint(0, 3)):
            venue.change()
        for _ in range(venue.random.randint(0, 2)):
            venue.say_trade()
        if venue.update_id > venue.said_id:
            venue.say_diff()
        if step in answers:
            venue.say_snapshot(answers[step])
    return venue.said


def write_capture(path: Path, messages: list[Message] | list[bytes], unit_ns: int = 1) -> Path:
    """A capture file: gzip if its name ends so."""
    lines = [m.line(unit_ns) if isinstance(m, Message) else m for m in messages]
    text = b"".join(lines)
    path.write_bytes(gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)
    return path
