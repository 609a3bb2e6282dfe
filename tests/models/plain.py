"""Searches without a weak memory: one shared step at a time, whole turns at a time, and long runs at random.

P1's models show which accesses need which order. Where that is not the question, every store is seen at once: the
situations are fewer by a factor of ten, and the rings and runs searched can be longer.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from random import Random
from typing import Any

from tests.ring.machines import Broken, Scene, _steps

_STEPS_MAX = 50_000  # of a walk: ten times the longest that came to its end
_KILL_WEIGHT = 0.02  # against a step's at most 1.05: kills land anywhere in a walk, not all at its beginning


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


def walk(scene: Scene, chance: Random, name: str) -> int:
    """One way through a scene that is too large to search, drawn by chance; processes differ in speed. Returns its steps.

    Broken, with `name`, if something happens that must not, or the end does not come.
    """
    speeds = [chance.random() + 0.05 for _ in scene.programs]
    situation = (Plain.start(scene.values, len(scene.programs)), tuple(scene.states), scene.kills)
    for taken in range(_STEPS_MAX):
        try:
            steps = list(_steps(Plain, scene, situation))
        except Broken as broken:
            raise Broken(f"{name}: {broken}") from None
        if all(step[0][1] == "is killed" for step in steps):
            return taken
        weights = [_KILL_WEIGHT if label[1] == "is killed" else speeds[label[0]] for label, _ in steps]
        situation = chance.choices(steps, weights)[0][1]
        scene.check([getattr(state, "state", state) for state in situation[1]])
    raise Broken(f"{name}: no end after {_STEPS_MAX} steps: {situation[1]}")
