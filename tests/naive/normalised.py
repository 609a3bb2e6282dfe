"""Event files by their rules: two viewers with two dicts of levels, each told what it sees, in plain Python."""

from ringsim.market import eventfile as f

BUY, SELL = 1, 2


class Viewer:
    """The exchange or the strategy: its book, and the (time, what) that it saw."""

    def __init__(self):
        self.levels = {BUY: {}, SELL: {}}
        self.seen = []

    def row(self, kind, side, px, qty, time_ns):
        if kind == f.TRADE:
            self.seen.append((time_ns, "trade", side, px, qty))
            return
        if kind == f.DEPTH_CLEAR:
            for which in (side,) if side else (BUY, SELL):
                levels = self.levels[which]
                gone = [p for p in levels if px == 0 or (p >= px if which == BUY else p <= px)]
                for p in gone:
                    del levels[p]
        elif qty:
            self.levels[side][px] = qty
        else:
            self.levels[side].pop(px, None)


def fold(data, tick, lot):
    """(exchange, strategy) after the rows of EVENT[n]; tick, lot: floats."""
    viewers = Viewer(), Viewer()
    for r in data:
        word = int(r["ev"])
        kind = word & f.KIND_BITS
        side = BUY if word & f.BUY else SELL if word & f.SELL else 0
        if kind not in (f.DEPTH, f.TRADE, f.DEPTH_CLEAR, f.DEPTH_SNAPSHOT) or (kind != f.DEPTH_CLEAR and not side):
            continue
        px, qty = (
            0 if r[name] != r[name] else round(float(r[name]) / step) for name, step in (("px", tick), ("qty", lot))
        )
        for viewer, bit, time in zip(viewers, (f.EXCH, f.LOCAL), ("exch_ts", "local_ts"), strict=True):
            if word & bit:
                viewer.row(kind, side, px, qty, int(r[time]))
    return viewers
