"""Two searches without a weak memory: one shared step at a time, and whole turns at a time.

P1's models show which accesses need which order. Where that is not the question, every store is seen at once: the
situations are fewer by a factor of ten, and the rings and runs searched can be longer.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any

from tests.ring.machines import Broken


class Plain:
    """Memory: its values. Orders mean nothing. (A machine for tests.ring.machines.search.)"""

    @staticmethod
    def start(values: Sequence[Any], processes: int) -> Any:
        return tuple(values)

    @staticmethod
    def load(memory: Any, process: int, place: int, order: str) -> Iterator[tuple[Any, Any]]:
        yield memory[place], memory

    @staticmethod
    def store(memory: Any, process: int, place: int, value: Any, order: str) -> Any:
        return (*memory[:place], value, *memory[place + 1 :])

    @staticmethod
    def fence(memory: Any, process: int, order: str) -> Any:
        return memory

    @staticmethod
    def drain(memory: Any) -> Iterator[Any]:
        yield from ()

    @staticmethod
    def is_drained(memory: Any, process: int) -> bool:
        return True


def search_turns(
    first: Hashable, turns: Callable[[Any], Iterable[tuple[str, Any]]], is_end: Callable[[Any], bool]
) -> int:
    """Number of situations that turns (a label and the situation after it) lead to from the first one.

    Broken, with the way there, if in one of them nobody has a turn and it is no end.
    """
    came_from: dict[Any, tuple[Any, str]] = {first: (None, "")}
    todo = [first]
    while todo:
        situation = todo.pop()
        stuck = not is_end(situation)
        for label, after in turns(situation):
            stuck = False
            if after not in came_from:
                came_from[after] = (situation, label)
                todo.append(after)
        if stuck:
            way: list[str] = []
            at = situation
            while came_from[at][0] is not None:
                at, label = came_from[at]
                way.append(label)
            raise Broken(f"deadlock: {situation}\n  " + "\n  ".join(reversed(way)))
    return len(came_from)
