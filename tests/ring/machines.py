"""Memories as a protocol may meet them, and a search through everything that can happen on them.

A program is a function of its own state: it answers with the one thing that it does next (or with several, if it may choose),
and each of these says which state follows. Nothing else is shared but the memory's places, numbered from 0.

    Views   C11: relaxed, acquire and release accesses and fences, as views (Kang et al., "A promising semantics", without
            promises). Every store stays readable for all who have not seen a later one to that place. One writer a place.
    Tso     x86: stores wait in their process's buffer and reach memory in order, any time later.

A killed process stops between two steps; what it stored reaches memory before its replacement begins, because a replacement
begins after the kernel has said that the old one is dead.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

RELAXED, ACQUIRE, RELEASE = "relaxed", "acquire", "release"


class Broken(Exception):
    """The protocol let something happen that it promises not to."""


class Load(NamedTuple):
    place: int
    order: str
    then: Callable[[int], Any]  # value -> next state


class Store(NamedTuple):
    place: int
    value: int
    order: str
    then: Any  # next state


class Fence(NamedTuple):
    order: str
    then: Any


class Dead(NamedTuple):
    """A killed process, and the state it had."""

    state: Any


Program = Callable[[Any], Load | Store | Fence | Sequence[Load | Store | Fence] | None]


def _join(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    return a if a == b else tuple(map(max, a, b))


def _at(view: tuple[int, ...], place: int, time: int) -> tuple[int, ...]:
    return (*view[:place], time, *view[place + 1 :])


class Views:
    """Memory: (for each place its stores as (value, view), for each process its (current, acquired, released) views).

    A view is the number of the last store seen, for each place. current: what this process may no longer read behind.
    acquired: what an acquire fence would add, from relaxed loads so far. released: what the last release fence covered.
    """

    @staticmethod
    def start(values: Sequence[int], processes: int) -> Any:
        nothing = (0,) * len(values)
        return tuple(((value, nothing),) for value in values), ((nothing, nothing, nothing),) * processes

    @staticmethod
    def load(memory: Any, process: int, place: int, order: str) -> Iterator[tuple[int, Any]]:
        stores, views = memory
        current, acquired, released = views[process]
        for time in range(current[place], len(stores[place])):
            value, carried = stores[place][time]
            seen = _at(current, place, time)
            view = (_join(seen, carried) if order == ACQUIRE else seen, _join(_join(acquired, seen), carried), released)
            yield value, (stores, (*views[:process], view, *views[process + 1 :]))

    @staticmethod
    def store(memory: Any, process: int, place: int, value: int, order: str) -> Any:
        stores, views = memory
        current, acquired, released = views[process]
        time = len(stores[place])
        current, acquired = _at(current, place, time), _at(acquired, place, time)
        carried = current if order == RELEASE else _at(released, place, time)
        stores = (*stores[:place], (*stores[place], (value, carried)), *stores[place + 1 :])
        return stores, (*views[:process], (current, acquired, released), *views[process + 1 :])

    @staticmethod
    def fence(memory: Any, process: int, order: str) -> Any:
        stores, views = memory
        current, acquired, released = views[process]
        view = (_join(current, acquired), acquired, released) if order == ACQUIRE else (current, acquired, current)
        return stores, (*views[:process], view, *views[process + 1 :])

    @staticmethod
    def drain(memory: Any) -> Iterator[Any]:
        yield from ()

    @staticmethod
    def is_drained(memory: Any, process: int) -> bool:
        return True


class Tso:
    """Memory: (values, for each process its buffer of (place, value)). Orders mean nothing: x86 gives them to every access."""

    @staticmethod
    def start(values: Sequence[int], processes: int) -> Any:
        return tuple(values), ((),) * processes

    @staticmethod
    def load(memory: Any, process: int, place: int, order: str) -> Iterator[tuple[int, Any]]:
        values, buffers = memory
        own = [value for where, value in buffers[process] if where == place]
        yield own[-1] if own else values[place], memory

    @staticmethod
    def store(memory: Any, process: int, place: int, value: int, order: str) -> Any:
        values, buffers = memory
        return values, (*buffers[:process], (*buffers[process], (place, value)), *buffers[process + 1 :])

    @staticmethod
    def fence(memory: Any, process: int, order: str) -> Any:
        return memory

    @staticmethod
    def drain(memory: Any) -> Iterator[Any]:
        values, buffers = memory
        for process, buffer in enumerate(buffers):
            if buffer:
                (place, value), *rest = buffer
                yield _at(values, place, value), (*buffers[:process], tuple(rest), *buffers[process + 1 :])

    @staticmethod
    def is_drained(memory: Any, process: int) -> bool:
        return not memory[1][process]


class Scene(NamedTuple):
    """What is searched: processes with their programs and first states, the memory's first values, and who may be killed."""

    values: Sequence[int]
    programs: Sequence[Program]
    states: Sequence[Any]
    replaced: Mapping[int, Callable[[Any], Any]] = MappingProxyType(
        {}
    )  # process -> the state that its replacement begins with
    kills: int = 0
    check: Callable[[Sequence[Any]], None] = lambda states: (
        None
    )  # raises Broken; called with every state of the processes


def search(machine: Any, scene: Scene) -> int:
    """Number of situations that can come about.

    Broken, with the steps that led there, if one of them must not, or if from one of them the end cannot be reached any more:
    a deadlock, or readers that wait for ever.
    """
    first = (machine.start(scene.values, len(scene.programs)), tuple(scene.states), scene.kills)
    numbers, situations = {first: 0}, [first]
    came_from: list[tuple[int, tuple[Any, ...]]] = [(-1, ())]
    before: list[list[int]] = [[]]
    ends, todo = [], [0]
    while todo:
        number = todo.pop()
        states = situations[number][1]
        if not any(isinstance(s, Dead) or _choices(p, s) for p, s in zip(scene.programs, states, strict=True)):
            ends.append(number)
        try:
            for label, after in _steps(machine, scene, situations[number]):
                found = numbers.get(after)
                if found is None:
                    found = numbers[after] = len(situations)
                    situations.append(after)
                    came_from.append((number, label))
                    before.append([])
                    todo.append(found)
                    scene.check([s.state if isinstance(s, Dead) else s for s in after[1]])
                before[found].append(number)
        except Broken as broken:
            raise Broken(f"{broken}\n  " + "\n  ".join(_way(came_from, len(situations) - 1))) from None
    reaches_the_end = set(ends)
    todo = ends
    while todo:
        earlier = [number for number in before[todo.pop()] if number not in reaches_the_end]
        reaches_the_end.update(earlier)
        todo += earlier
    for number in range(len(situations)):
        if number not in reaches_the_end:
            raise Broken("from here the end is never reached\n  " + "\n  ".join(_way(came_from, number)))
    return len(situations)


def _choices(program: Program, state: Any) -> Sequence[Any]:
    action = program(state)
    if action is None:
        return ()
    return (action,) if isinstance(action, Load | Store | Fence) else action


def _steps(machine: Any, scene: Scene, situation: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Everything that can happen next, each with what to call it."""
    memory, states, kills = situation
    for after in machine.drain(memory):
        yield ("a store reaches memory",), (after, states, kills)
    for process, (program, state) in enumerate(zip(scene.programs, states, strict=True)):

        def at(next_state: Any, process: int = process) -> Any:
            return (*states[:process], next_state, *states[process + 1 :])

        if isinstance(state, Dead):
            if machine.is_drained(memory, process):
                yield (process, "is replaced"), (memory, at(scene.replaced[process](state.state)), kills)
            continue
        choices = _choices(program, state)
        if choices and kills and process in scene.replaced:
            yield (process, "is killed"), (memory, at(Dead(state)), kills - 1)
        for action in choices:
            if isinstance(action, Load):
                for value, after in machine.load(memory, process, action.place, action.order):
                    yield (process, state, "reads", value), (after, at(action.then(value)), kills)
            elif isinstance(action, Store):
                after = machine.store(memory, process, action.place, action.value, action.order)
                yield (process, state, "stores", action.value), (after, at(action.then), kills)
            else:
                after = machine.fence(memory, process, action.order)
                yield (process, state, "fence", action.order), (after, at(action.then), kills)


def _way(came_from: list[tuple[int, tuple[Any, ...]]], number: int) -> list[str]:
    """The last steps that led to a situation."""
    steps = []
    while number > 0:
        number, label = came_from[number]
        steps.append(" ".join(map(str, label)))
    return steps[39::-1]
