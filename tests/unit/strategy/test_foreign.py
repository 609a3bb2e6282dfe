"""What the fold takes from a kernel that it does not know: orders, refusals with a reason, never another's memory."""

import numpy as np
import pytest

from ringsim.fold.outbox import make_outbox, outbox_clear
from ringsim.limits import MAX_PRICE_TICKS, MAX_QTY_LOTS, STRATEGY_OUT, USER_WAKE_NS
from ringsim.records import (
    FEATURES,
    MARKET_EVENT,
    NEVER_NS,
    ORDER,
    ControlCode,
    EventFlag,
    EventKind,
    OrderKind,
    Reason,
    Side,
    Trading,
)
from ringsim.strategy.fold import on_market, on_timer, strategy_init
from ringsim.strategy.foreign import install
from ringsim.strategy.params import StrategyParams
from ringsim.strategy.protocol import StrategyKind
from ringsim.strategy.schedule import no_orders
from ringsim.strategy.user import load_user
from tests.unit.strategy.stage import params
from tests.unit.strategy.userfiles import write

GOOD = "propose_order(intents[0], 1, 1, 1, 1000, 2, 0, 0, 0, 0)"


@pytest.fixture(autouse=True)
def _nobody_decides():
    yield
    install(0, None)


class Stage:
    """A strategy stage with a whole book at 1000 / 1001, and what it sent."""

    def __init__(self, folder, body):
        loaded = load_user(write(folder, body), "MINE", {})
        self.params: StrategyParams = params(kind=StrategyKind.USER, user_words=loaded.params)
        self.state = strategy_init(self.params)
        self.s, self.out = self.state[0], make_outbox(ORDER, FEATURES, STRATEGY_OUT)
        self.now, self.seq, self.schedule = 10**10, 0, no_orders()
        for kind, side, px, flags in (
            (EventKind.SNAPSHOT_BEGIN, 0, 0, 0),
            (EventKind.LEVEL, Side.BUY, 1_000, 0),
            (EventKind.LEVEL, Side.SELL, 1_001, 0),
            (EventKind.SNAPSHOT_END, 0, 0, EventFlag.LAST),
        ):
            self.event(kind, side, px, flags)
        loaded.install()

    def event(self, kind, side=0, px=0, flags=0, code=0, value=10):
        ev = np.zeros(1, MARKET_EVENT).view(np.recarray)[0]
        ev.kind, ev.side, ev.px_ticks, ev.qty_lots, ev.flag_bits, ev.code = kind, side, px, value, flags, code
        ev.recv_ns, ev.exch_ns = self.now, self.now - 1
        on_market(self.s, self.schedule, ev, self.seq, self.now, self.out)
        self.seq += 1
        return self.sent()

    def book(self):
        """A book message, a millisecond later. What it made the stage send, but for snapshots."""
        self.now += 1_000_000
        return self.event(EventKind.LEVEL, Side.BUY, 1_000, EventFlag.LAST)

    def sent(self):
        records = [{n: int(self.out.records[k][n]) for n in ORDER.names if n not in ("stamp", "pad", "spare")}
                   for k in range(self.out.count[0])]  # fmt: skip
        outbox_clear(self.out)
        return [record for record in records if record["kind"] != OrderKind.SNAPSHOT]


def test_a_good_order_goes_out(tmp_path):
    stage = Stage(tmp_path, f"{GOOD}\nreturn 1")
    [order] = stage.book()
    assert (order["kind"], order["side"], order["px_ticks"], order["qty_lots"]) == (OrderKind.NEW, Side.BUY, 1000, 2)
    assert stage.s.user.fault == stage.s.user.bad == 0


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("side = 3", Reason.BAD_ORDER),
        ("side = 0", Reason.BAD_ORDER),
        ("type = 9", Reason.BAD_ORDER),
        ("tif = -1", Reason.BAD_ORDER),
        ("tag = 4", Reason.BAD_ORDER),
        ("tag = -2", Reason.BAD_ORDER),
        ("flag_bits = 1", Reason.BAD_ORDER),
        ("kind = 0", Reason.BAD_ORDER),
        ("kind = 3", Reason.BAD_ORDER),
        ("kind = 1 << 40", Reason.BAD_ORDER),
        ("px_ticks = -1", Reason.BAD_PRICE),
        ("px_ticks = 0", Reason.BAD_PRICE),
        (f"px_ticks = {MAX_PRICE_TICKS + 1}", Reason.BAD_PRICE),
        ("px_ticks = np.sqrt(own.seen[0] - 1.0)", Reason.BAD_PRICE),
        ("type = 2", Reason.BAD_PRICE),  # a market order with a price
        ("qty_lots = -1", Reason.BAD_QUANTITY),
        (f"qty_lots = {MAX_QTY_LOTS + 1}", Reason.BAD_QUANTITY),
        ("size_ppm = 1_000_001", Reason.BAD_QUANTITY),
        (f"qty_lots = {MAX_QTY_LOTS}", Reason.NOTIONAL),
    ],
)
def test_an_intent_that_is_no_order_is_refused_with_a_reason(tmp_path, change, why):
    stage = Stage(tmp_path, f"{GOOD}\nintents[0].{change}\nreturn 1")
    [record] = stage.book()
    assert (record["kind"], record["reason"]) == (OrderKind.REFUSED, why)
    assert (
        0 <= record["px_ticks"] <= MAX_PRICE_TICKS and 0 <= record["qty_lots"] <= record["asked_lots"] <= MAX_QTY_LOTS
    )
    assert stage.s.user.bad == 1 and stage.s.user.fault == 0 and stage.s.v.own_orders == 0
    assert stage.s.risk.trading == Trading.ACTIVE


def test_a_cancel_of_nothing_and_a_signal_that_cannot_be_are_left_out(tmp_path):
    stage = Stage(tmp_path, "intents[0].kind, intents[0].target_id = 2, 77\npropose_signal(intents[1], 7, 1, 0, 0)\n"
                  "propose_signal(intents[2], 6, 3, 0, 0)\nreturn 3")  # fmt: skip
    assert stage.book() == [] and stage.s.user.bad == 3
    stage = Stage(tmp_path, "propose_signal(intents[0], 6, 1, 9_000_000, -5)\nreturn 1")
    [signal] = stage.book()
    assert (signal["kind"], signal["strength_ppm"], signal["confidence_ppm"]) == (OrderKind.SIGNAL, 1_000_000, 0)
    assert stage.book() == [] and stage.s.user.bad == 1, "a second one, while the first is live"


def test_what_it_writes_into_what_it_is_handed_is_gone(tmp_path):
    body = "p.lots = 9\nf.ready = 0\nf.bid_ticks = 1\nv.position_lots = 77\nv.own_orders = 5\nv.may_act = 0\n"
    stage = Stage(tmp_path, body + f"orders[15].order_id = 5\nown.seen[1] = p.share\n{GOOD}\nreturn 1")
    before = stage.s.p.user.words.copy()
    assert len(stage.book()) == 1
    s = stage.s
    assert (s.p.user.words == before).all() and s.f.now.ready == 1 and s.f.now.bid_ticks == 1_000
    assert s.v.position_lots == 0 and s.v.own_orders == 1 and s.orders[15].order_id == 0
    own = np.ndarray(1, [("wake_ns", "i8"), ("calls", "i8"), ("seen", "f8", (3,))], s.user.own.words)[0]
    assert own["calls"] == 1 and list(own["seen"]) == [0.0, 0.5, 0.0]


def test_one_that_raises_is_quarantined_until_the_operator_rearms(tmp_path):
    stage = Stage(tmp_path, f"if own.calls == 2:\n    intents[6].side = 1\n{GOOD}\nreturn 1")
    assert [r["kind"] for r in stage.book()] == [OrderKind.NEW]
    assert [r["kind"] for r in stage.book()] == [OrderKind.CANCEL_ALL]
    s = stage.s
    assert (s.user.fault, s.user.fault_ns) == (Reason.STRATEGY_RAISED, stage.now)
    assert (s.risk.trading, s.risk.halt_reason) == (Trading.HALTED, Reason.STRATEGY_RAISED)
    assert stage.book() == [] and s.user.own.words[1] == 2, "it is not called any more"
    stage.event(EventKind.CONTROL, flags=EventFlag.LAST, code=ControlCode.TRADING, value=Trading.ACTIVE)
    assert s.user.fault == 0 and s.user.own.words[1] == 3 and s.risk.trading == Trading.ACTIVE


@pytest.mark.parametrize("count", ["7", "-1", "1 << 62"])
def test_no_number_of_intents_is_a_fault(tmp_path, count):
    stage = Stage(tmp_path, f"return {count}")
    stage.book()
    assert stage.s.user.fault == Reason.STRATEGY_COUNT


def test_it_is_called_by_the_clock_once_and_not_too_soon(tmp_path):
    stage = Stage(tmp_path, "own.wake_ns = v.now_ns + (5 if own.calls == 1 else 1_000_000)\nif own.calls > 2:\n"
                  "    own.wake_ns = 1\nreturn 0")  # fmt: skip
    assert stage.s.user.own.words[0] == NEVER_NS
    stage.book()
    for later in (USER_WAKE_NS, 1_000_000):
        assert stage.s.timer_ns == stage.s.wake_ns == stage.now + later
        stage.now += later
        on_timer(stage.s, stage.schedule, stage.now, stage.out)
        outbox_clear(stage.out)
    assert stage.s.user.own.words[1] == 3 and stage.s.wake_ns == NEVER_NS, "a time that is over is none"
