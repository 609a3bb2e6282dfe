"""The gate by its definition: tries every size, keeps every order's time, tells days with datetime."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction

from ringsim.limits import MAX_NOTIONAL, MAX_QTY_LOTS
from ringsim.records import Reason, Side, Trading, Verdict


class NaiveGate:
    def __init__(self, limits, capital, utc_offset_ns=0):
        self.limits = limits
        self.offset_ns = utc_offset_ns
        self.trading = Trading.ACTIVE
        self.reason = Reason.NONE
        self.reducing_by_loss = False
        self.bucket = Fraction(limits.orders_per_second)
        self.bucket_ns = None
        self.day = None
        self.nets = [0]  # every net realised P&L told so far
        self.base = 0
        self.equities = [capital]
        self.trips = [0]
        self.lost_in_a_row = 0

    # sizes

    def only_reduces(self, side, qty, position, buys, sells):
        """Even with everything on its side filled, it has not gone through zero."""
        if side == Side.BUY:
            return position + buys + qty <= 0
        return position - sells - qty >= 0

    def objections(self, side, px, qty, position, buys, sells, mark):
        """Reasons against this size, in the order in which they are named."""
        x = self.limits
        price = px or mark
        if price < 1:
            return [Reason.BAD_PRICE]
        if self.trading == Trading.REDUCING:
            return [Reason.REDUCING]
        after = position + buys + qty if side == Side.BUY else -(position - sells - qty)
        found = []
        if price * qty > (x.max_intent or MAX_NOTIONAL):
            found.append(Reason.INTENT)
        if x.max_position_lots and after > x.max_position_lots:
            found.append(Reason.POSITION)
        if qty > (x.max_order_lots or MAX_QTY_LOTS):
            found.append(Reason.ORDER_SIZE)
        if x.max_notional and after * price > x.max_notional:
            found.append(Reason.NOTIONAL)
        return found

    def vetoes(self, side, px, mark):
        """Reasons against any size."""
        x = self.limits
        found = []
        if x.orders_per_second and self.bucket < 1:
            found.append(Reason.ORDER_RATE)
        if x.collar_cbps:
            price = px or mark
            far = Fraction(price - mark if side == Side.BUY else mark - price)
            if mark < 1 or far / mark > Fraction(x.collar_cbps, 1_000_000):
                found.append(Reason.PRICE_COLLAR)
        return found

    def judge(self, now, side, px, qty, position, buys, sells, mark):
        if side not in (Side.BUY, Side.SELL):
            return Verdict.REJECTED, Reason.BAD_ORDER, 0
        if qty < 1:
            return Verdict.REJECTED, Reason.BAD_QUANTITY, 0
        if px < 0:
            return Verdict.REJECTED, Reason.BAD_PRICE, 0
        if self.trading == Trading.HALTED:
            return Verdict.REJECTED, self.reason, 0
        self.fill_bucket(now)
        if self.only_reduces(side, qty, position, buys, sells):
            self.bucket = max(Fraction(0), self.bucket - 1)
            return Verdict.APPROVED, Reason.NONE, qty
        # the largest size without objection; what objects to one lot more is the tightest limit
        size, why = qty, Reason.NONE
        while size > 0 and (found := self.objections(side, px, size, position, buys, sells, mark)):
            size, why = size - 1, found[0]
        if size > 0 and (found := self.vetoes(side, px, mark)):
            size, why = 0, found[0]
        while size < qty and self.only_reduces(side, size + 1, position, buys, sells):
            size += 1
        if size == 0:
            return Verdict.REJECTED, why, 0
        self.bucket = max(Fraction(0), self.bucket - 1)
        if size == qty:
            return Verdict.APPROVED, Reason.NONE, qty
        return Verdict.ADJUSTED, why, size

    def headroom(self, side, px, position, buys, sells, most):
        """At most `most`, so that the search ends."""
        if self.trading == Trading.HALTED:
            return 0
        return max(
            (
                q
                for q in range(1, most + 1)
                if self.only_reduces(side, q, position, buys, sells)
                or not self.objections(side, px, q, position, buys, sells, px)
            ),
            default=0,
        )

    def fill_bucket(self, now):
        rate = self.limits.orders_per_second
        if self.bucket_ns is None or now > self.bucket_ns:
            gone = Fraction(now - (self.bucket_ns or 0), 10**9)
            self.bucket = min(Fraction(rate), self.bucket + gone * rate)
            self.bucket_ns = now

    # losses

    def account(self, now, net, equity):
        day = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=(now + self.offset_ns) // 1000)).date()
        if day != self.day:
            self.day, self.base = day, self.nets[-1]
            if self.reducing_by_loss and self.trading == Trading.REDUCING:
                self.trading, self.reducing_by_loss = Trading.ACTIVE, False
        self.nets.append(net)
        self.equities.append(equity)
        if self.trading == Trading.HALTED:
            return Reason.NONE
        x, lost = self.limits, self.base - net
        if x.daily_loss_cap and lost >= x.daily_loss_cap:
            return self.halt(Reason.DAILY_LOSS)
        if x.max_drawdown and max(self.equities) - equity >= x.max_drawdown:
            return self.halt(Reason.DRAWDOWN)
        if x.daily_loss_cap and self.trading == Trading.ACTIVE and lost >= Fraction(8, 10) * x.daily_loss_cap:
            self.trading, self.reducing_by_loss = Trading.REDUCING, True
        return Reason.NONE

    def round_trip(self, net):
        result, self.trips = net - self.trips[-1], self.trips + [net]
        if result:
            self.lost_in_a_row = self.lost_in_a_row + 1 if result < 0 else 0
        most = self.limits.max_consecutive_losses
        if self.trading != Trading.HALTED and most and self.lost_in_a_row >= most:
            return self.halt(Reason.CONSECUTIVE_LOSSES)
        return Reason.NONE

    # words

    def halt(self, reason):
        if self.trading != Trading.HALTED:
            self.trading, self.reason = Trading.HALTED, reason
        return reason

    def control(self, trading):
        if trading == Trading.HALTED:
            self.halt(Reason.KILL_SWITCH)
        elif trading == Trading.REDUCING and self.trading != Trading.HALTED:
            self.trading, self.reducing_by_loss = Trading.REDUCING, False
        elif trading == Trading.ACTIVE:
            self.trading, self.reason, self.reducing_by_loss = Trading.ACTIVE, Reason.NONE, False
            self.base, self.equities, self.lost_in_a_row = self.nets[-1], [self.equities[-1]], 0
