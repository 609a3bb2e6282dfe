"""What a LOBSTER session is worth: is the book that its messages make the one of its book file, is its queue the exchange's?

After every row the best prices (and their quantities) of the replay are compared with the book file's. Of the visible
executions those are counted that hit the front of the reconstructed queue at the best price; every other one is listed.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from ringsim.errors import BadInput
from ringsim.market.lobster import (
    DUMMY_PRICE,
    EXECUTED,
    PRICE_DIGITS,
    Message,
    Replay,
    Trade,
    read_book,
    read_messages,
    read_rows,
    symbol_of,
)
from ringsim.records import Side

_TYPES = ("new", "reduced", "deleted", "executed", "hidden", "auction", "halt")


class LobsterCheck(msgspec.Struct, frozen=True):
    """The answer. rows: compared with the book file, 0 without one."""

    symbol: str
    messages: dict[str, int]
    rows: int
    price_mismatches: int  # rows after which a best price differs
    qty_mismatches: int  # rows after which only the quantity at a best price does
    first_mismatch: str
    unknown: int  # messages on orders that no level can have held
    executions: int  # visible
    at_front: int  # of them, the front of the queue at the best price
    exceptions: list[str]

    @property
    def sound(self) -> bool:
        """Whether the book that a run folds is the exchange's, as far as that can be seen."""
        return self.price_mismatches == 0

    @property
    def share(self) -> float:
        """Of visible executions, at the front of the queue; 1 without any."""
        return self.at_front / self.executions if self.executions else 1.0


def check_lobster(files: Sequence[Path]) -> LobsterCheck:
    """Replay and compare. Raises BadInput as `prepare_lobster` does."""
    if not 1 <= len(files) <= 2:
        raise BadInput(f"a LOBSTER session is MSG.csv and perhaps BOOK.csv, not {len(files)} files")
    rows, _ = read_rows(files[0])
    book: list[list[int]] = []
    if len(files) == 2:
        book = list(read_book(files[1], read_rows(files[1])[0]))
        if len(book) != len(rows):
            raise BadInput(f"{files[1]}: has {len(book)} rows where {files[0].name} has {len(rows)} messages")
    replay = Replay(book[0] if book else ())
    counts = dict.fromkeys(_TYPES, 0)
    prices = quantities = executions = front = 0
    first, exceptions = "", []
    for k, message in enumerate(read_messages(files[0], rows)):
        counts[_TYPES[message.type - 1]] += 1
        if k == 0 and book:
            replay.name(message)
        else:
            trade = replay.fold(message)
            if trade is not None and message.type == EXECUTED:
                executions += 1
                if trade.ahead == 0 and not trade.better:
                    front += 1
                else:
                    exceptions.append(_exception(message, trade))
        if book:
            differs = _compare(replay, book[k])
            prices += differs == "price"
            quantities += differs == "quantity"
            if differs and not first:
                first = f"row {k + 1}: the best {differs} differs"
    return LobsterCheck(
        symbol_of(files[0]), counts, len(book), prices, quantities, first, replay.unknown, executions, front, exceptions
    )


def _exception(message: Message, trade: Trade) -> str:
    side = "bid" if message.side == Side.BUY else "ask"
    why = [f"{trade.ahead} shares stood ahead of it"] if trade.ahead else []
    why += ["a better price rested"] if trade.better else []
    return (
        f"row {message.row}: order {message.order_id}, {message.size} at {side} "
        f"{message.price / 10**PRICE_DIGITS:.{PRICE_DIGITS}f}: {' and '.join(why)}"
    )


def _compare(replay: Replay, row: Sequence[int]) -> str:
    """What differs at the best prices: price, quantity, or nothing."""
    found = ""
    for side, at in ((Side.SELL, 0), (Side.BUY, 2)):
        price, size = row[at], row[at + 1]
        price = 0 if abs(price) >= DUMMY_PRICE else price
        best = replay.best(side)
        if best != price:
            return "price"
        if best and replay.levels[side][best].size != size:
            found = "quantity"
    return found
