"""A ledger that remembers every fill and adds them up again each time it is asked."""

from fractions import Fraction

from ringsim.records import Side


class NaiveLedger:
    def __init__(self, cash0):
        self.cash0 = cash0
        self.fills = []  # signed lots, price, fee
        self.open_lots = 0
        self.open_cost = 0  # what the open lots cost, signed
        self.realized = 0

    def fill(self, side, px, qty, fee):
        signed = qty if side == Side.BUY else -qty
        self.fills.append((signed, px, fee))
        before = self.realized
        if self.open_lots * signed < 0:
            closed = min(qty, abs(self.open_lots))
            part = int(Fraction(self.open_cost) * Fraction(closed, abs(self.open_lots)))  # int(): toward zero
            direction = 1 if self.open_lots > 0 else -1
            self.realized += direction * closed * px - part
            self.open_cost -= part
            self.open_lots -= direction * closed
            signed += direction * closed
        self.open_lots += signed
        self.open_cost += signed * px
        return self.realized - before

    @property
    def position(self):
        return sum(lots for lots, _, _ in self.fills)

    @property
    def fees(self):
        return sum(fee for _, _, fee in self.fills)

    @property
    def cash(self):
        return self.cash0 - sum(lots * px + fee for lots, px, fee in self.fills)

    def unrealized(self, mark):
        return self.position * mark - self.open_cost

    def equity(self, mark):
        return self.cash + self.position * mark
