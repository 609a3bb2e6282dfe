"""An order book of lists: each level is its queue, and an order of ours a place in it that takes nothing and stays where it is.

Independent of the program: nothing is added up or subtracted over time, what is ahead is counted anew each time.
"""


class Queues:
    """levels: (side, px) -> [[number, lots, name], ...], front first. Others have no name, ours no lots."""

    def __init__(self):
        self.levels = {}
        self.newest = 0

    def _insert(self, side, px, entry):
        queue = self.levels.setdefault((side, px), [])
        later = [k for k, other in enumerate(queue) if other[0] > entry[0]]
        queue.insert(later[0] if later else len(queue), entry)

    def add(self, side, px, number, lots):
        """An order is displayed: behind those that were entered before it, ahead of those that were not."""
        self.newest = max(self.newest, number)
        self._insert(side, px, [number, lots, None])

    def take(self, side, px, number, lots, *, whole=False):
        """Lots of an order go; all of it if `whole`. An order that nobody knows is one of the block, number 0."""
        queue = self.levels.get((side, px), [])
        known = [entry for entry in queue if entry[0] == number] or [entry for entry in queue if entry[0] == 0]
        for entry in known:
            entry[1] = 0 if whole and entry[0] else max(0, entry[1] - lots)
            if not entry[1]:
                queue.remove(entry)

    def numbers(self, side, px):
        return [number for number, _, name in self.levels.get((side, px), []) if name is None]

    def lots(self, side, px, number):
        return next((lots for other, lots, _ in self.levels.get((side, px), []) if other == number), 0)

    def displayed(self, side, px):
        return sum(lots for _, lots, _ in self.levels.get((side, px), []))

    def prices(self, side):
        """Displayed prices of a side, best first."""
        found = [px for which, px in self.levels if which == side and self.displayed(which, px)]
        return sorted(found, reverse=side == 1)

    def join(self, side, px, name):
        """An order of ours, at the end of its level."""
        self._insert(side, px, [self.newest + 0.5, 0, name])

    def leave(self, side, px, name):
        self.levels[side, px] = [entry for entry in self.levels[side, px] if entry[2] != name]

    def joined(self, side, px, name):
        """Its place among the numbers."""
        return next(number for number, _, other in self.levels[side, px] if other == name)

    def ahead(self, side, px, name):
        """Lots that stand before an order of ours."""
        total = 0
        for _, lots, other in self.levels[side, px]:
            if other == name:
                return total
            total += lots
        raise AssertionError(f"{name} is not at {px}")
