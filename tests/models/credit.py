"""Credit (P5): the orders ring and the reports ring may fill, and everybody waits, but never for each other.

    market ──> strategy ══ orders ══> broker <── market
                  ^           ║          ║
                  ║           v          ║
                  ║       persistence    ║      (gates both rings, waits for nobody)
                  ║           ^          ║
                  ╚═══════ reports ══════╝

A turn is an input with all that it causes. There is always another market record. A stage takes an input only if its output ring
has room for the worst that any input can cause (_has_room, ringsim/fold/intake.py). Who is slow, stopped or killed is who
gets no turn for a while; what must hold is that from every situation the rings can be emptied and all credits come home.

    strategy turns   _ask, on_report, _emit        ringsim/strategy/fold.py, orders.py
    broker turns     on_order, return_credit       ringsim/broker/exchange.py, reports.py
    sizes            _CREDIT_RING, EXECUTION_OUT   ringsim/config/schema.py, ringsim/limits.py
"""

from collections.abc import Iterator
from typing import NamedTuple

from tests.ring.machines import Broken

# Records of the orders ring: an order, a refusal (signals and snapshots are like it: the broker only notes them), a cancel-all.
ORDER, REFUSAL, CANCEL_ALL = "orc"
# Records of the reports ring: an answer, which returns a credit; that of a cancel-all; anything else (a fill, a cancel).
ANSWER, ALL_CANCELLED, NEWS = "acn"


class Rules(NamedTuple):
    """The protocol; each of them can be broken."""

    orders_take_credit: bool = True
    refusals_take_credit: bool = True  # else what lacks a credit is refused, and the refusal is a record
    cancel_all_takes_credit: bool = True
    answer_returns_credit: bool = True  # every record is answered, refusals too
    room_for_worst: bool = True  # else an input is taken when there is room for one record
    reports_need_room: bool = True  # the strategy takes reports, too, only if there is room for what they may cause


class Desk(NamedTuple):
    """What is searched. credits: K. worst_orders: records of one input. open_max: orders open at the broker."""

    credits: int = 2
    cancel_all_credits: int = 1
    worst_orders: int = 2  # an order or a refusal, and a cancel-all
    open_max: int = 2
    short_orders: int = 0  # slots that the rings have too few
    short_reports: int = 0
    more_slots: int = 0
    rules: Rules = Rules()

    @property
    def order_slots(self):
        """C_orders >= K + worst case of one input (_CREDIT_RING: the reserved credit counts, too)."""
        return self.credits + self.cancel_all_credits + self.worst_orders - self.short_orders + self.more_slots

    @property
    def worst_reports(self):
        """A cancel-all ends all that is open, and is answered; so is a market record that fills all of it."""
        return self.open_max + 1

    @property
    def report_slots(self):
        """C_reports >= worst case of one input."""
        return self.worst_reports - self.short_reports + self.more_slots


class Ring(NamedTuple):
    """Records that somebody still needs; how many of them the other stage and persistence have released."""

    records: str = ""
    stage: int = 0
    sink: int = 0

    def put(self, records):
        return self._replace(records=self.records + records)

    def freed(self):
        both = min(self.stage, self.sink)
        return Ring(self.records[both:], self.stage - both, self.sink - both)

    def take(self):
        return self._replace(stage=self.stage + 1).freed()

    def store(self):
        return self._replace(sink=self.sink + 1).freed()


class Situation(NamedTuple):
    orders: Ring
    reports: Ring
    credits: int
    cancel_all_credits: int
    open: int


def first(desk):
    return Situation(Ring(), Ring(), desk.credits, desk.cancel_all_credits, 0)


def is_quiet(desk):
    """Rings empty, credits at home."""
    start = first(desk)
    return lambda now: now._replace(open=0) == start


def turns(desk):
    """Everything that can happen next, for tests.models.plain.search_turns."""

    def has_room(ring, slots, worst):
        return slots - len(ring.records) >= (worst if desk.rules.room_for_worst else 1)

    def published(ring, records, slots):
        after = ring.put(records)
        if len(after.records) > slots:
            raise Broken(f"no room in the middle of a step: {len(after.records)} records in {slots} slots")
        return after

    def proposals(now) -> Iterator[tuple[str, Situation]]:
        """What an input may make the strategy emit."""
        yield "", now
        for kind, takes in (
            (ORDER, desk.rules.orders_take_credit),
            (REFUSAL, desk.rules.refusals_take_credit),
        ):
            for all_too in (False, True):
                credits, cancel_alls, records = now.credits, now.cancel_all_credits, kind
                if takes and not credits:
                    continue  # nothing is emitted, and that is counted
                if takes:
                    credits -= 1
                if all_too and desk.rules.cancel_all_takes_credit:
                    if not cancel_alls:
                        continue
                    cancel_alls -= 1
                if all_too:
                    records += CANCEL_ALL
                orders = published(now.orders, records, desk.order_slots)
                yield records, now._replace(orders=orders, credits=credits, cancel_all_credits=cancel_alls)

    def strategy(now):
        room = has_room(now.orders, desk.order_slots, desk.worst_orders)
        if room:
            for emitted, after in proposals(now):
                yield f"strategy: market -> {emitted}", after
        if now.reports.stage < len(now.reports.records) and (room or not desk.rules.reports_need_room):
            report = now.reports.records[now.reports.stage]
            taken = now._replace(reports=now.reports.take())
            if report == ANSWER:
                taken = taken._replace(credits=min(desk.credits, now.credits + 1))
            if report == ALL_CANCELLED:
                back = min(desk.cancel_all_credits, now.cancel_all_credits + 1)
                taken = taken._replace(cancel_all_credits=back)
            for emitted, after in proposals(taken):
                yield f"strategy: report {report} -> {emitted}", after

    def broker(now):
        if not has_room(now.reports, desk.report_slots, desk.worst_reports):
            return
        for fills in range(1, now.open + 1):
            reports = published(now.reports, NEWS * fills, desk.report_slots)
            yield f"broker: market -> {fills} fills", now._replace(reports=reports, open=now.open - fills)
        if now.orders.stage < len(now.orders.records):
            record = now.orders.records[now.orders.stage]
            is_open, emitted = now.open, ANSWER if desk.rules.answer_returns_credit or record == ORDER else ""
            if record == ORDER:
                is_open = min(desk.open_max, now.open + 1)  # one too many is rejected
            elif record == CANCEL_ALL:
                is_open, emitted = 0, NEWS * now.open + ALL_CANCELLED
            reports = published(now.reports, emitted, desk.report_slots)
            yield (
                f"broker: {record} -> {emitted}",
                now._replace(orders=now.orders.take(), reports=reports, open=is_open),
            )

    def persistence(now):
        if now.orders.sink < len(now.orders.records):
            yield "persistence: an order", now._replace(orders=now.orders.store())
        if now.reports.sink < len(now.reports.records):
            yield "persistence: a report", now._replace(reports=now.reports.store())

    def all_turns(now):
        yield from strategy(now)
        yield from broker(now)
        yield from persistence(now)

    return all_turns
