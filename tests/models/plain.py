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

    Broken, with the way there, if from one of them no end can be reached any more.
    """
    came_from: dict[Any, tuple[Any, str]] = {first: (None, "")}
    before: dict[Any, list[Any]] = {first: []}
    todo = [first]
    while todo:
        situation = todo.pop()
        for label, after in turns(situation):
            if after not in came_from:
                came_from[after] = (situation, label)
                before[after] = []
                todo.append(after)
            before[after].append(situation)
    todo = [situation for situation in came_from if is_end(situation)]
    reaches_an_end = set(todo)
    while todo:
        earlier = [situation for situation in before[todo.pop()] if situation not in reaches_an_end]
        reaches_an_end.update(earlier)
        todo += earlier
    for situation in came_from:
        if situation not in reaches_an_end:
            raise Broken(f"from here no end is reached: {situation}\n  " + "\n  ".join(_way(came_from, situation)))
    return len(came_from)


def _way(came_from: dict[Any, tuple[Any, str]], situation: Any) -> list[str]:
    """What led to a situation, turn by turn."""
    labels: list[str] = []
    while came_from[situation][0] is not None:
        situation, label = came_from[situation]
        labels.append(label)
    return labels[::-1]
