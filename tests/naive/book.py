"""A book as two dicts; best and next by `sorted`."""

from ringsim.records import EventFlag, EventKind, Side


class NaiveBook:
    def __init__(self):
        self.levels = {Side.BUY: {}, Side.SELL: {}}
        self.state = "invalid"

    def set(self, side, px, qty):
        if qty:
            self.levels[Side(side)][px] = qty
        else:
            self.levels[Side(side)].pop(px, None)

    def prices(self, side):
        """Best first."""
        return sorted(self.levels[Side(side)], reverse=side == Side.BUY)

    def best(self, side):
        return next(iter(self.prices(side)), 0)

    def next(self, side, px):
        worse = [p for p in self.prices(side) if (p < px if side == Side.BUY else p > px)]
        return next(iter(worse), 0)

    def qty(self, side, px):
        return self.levels[Side(side)].get(px, 0)

    def fold(self, kind, side, px, qty, flags):
        if flags & EventFlag.REFRESH and self.state == "valid":
            return False
        if kind == EventKind.LEVEL and self.state != "invalid":
            self.set(side, px, qty)
        elif kind == EventKind.SNAPSHOT_BEGIN:
            self.levels = {Side.BUY: {}, Side.SELL: {}}
            self.state = "loading"
        elif kind == EventKind.SNAPSHOT_END and self.state == "loading":
            self.state = "valid"
        elif kind == EventKind.GAP:
            self.state = "invalid"
        return self.state == "valid" and bool(flags & EventFlag.LAST)
