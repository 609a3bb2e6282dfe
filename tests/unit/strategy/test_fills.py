"""What fills and the exchange's own decisions do to the stage's memory: sizes, refusals, round trips."""

from ringsim.records import OrderKind, Reason, Side, Tif, Trading
from tests.unit.strategy.stage import SECOND, Stage

NEW, REFUSED, SIGNAL = OrderKind.NEW, OrderKind.REFUSED, OrderKind.SIGNAL


def signalled(**given):
    """A stage with a live buy signal that lasts, its entry order just sent."""
    stage = Stage(**{"min_confidence_ppm": 400_000, "signal_decay_ns": 1_000 * SECOND} | given)
    stage.snapshot()
    stage.book(1_000, 1_001)
    stage.book(1_000, 1_001, 10, 2)
    assert [r["kind"] for r in stage.records[-2:]] == [SIGNAL, NEW]
    return stage


def accepted(stage, lots=None):
    while stage.unanswered:
        stage.answer(lots=lots)
    return stage


def test_the_exchange_may_make_an_order_smaller_and_what_is_left_counts():
    stage = accepted(signalled(), lots=3)
    assert stage.s.working_buy_lots == 3
    stage.fill(1)
    assert stage.position == 3 and stage.s.orders[0].order_id == 2


def test_a_smaller_order_that_ends_unfilled_is_held_back_like_any_other():
    stage = accepted(signalled(), lots=3)
    assert stage.cancel(1, Reason.NO_LIQUIDITY) == []
    assert stage.book(999, 1_000, 10, 2)[0]["kind"] == NEW


def test_a_fill_lets_go_of_what_a_limit_held_back():
    stage = accepted(signalled(limits={"max_position_lots": 7}, order_size_ppm=1_000_000))
    sent = stage.fill(1)
    assert [r["reason"] for r in sent] == [Reason.POSITION]
    stage.open[1] = dict(stage.records[2], left=4, side=Side.SELL)  # late: of an order that is not at work any more
    sent = stage.fill(1)
    assert [r["kind"] for r in sent] == [NEW] and sent[0]["qty_lots"] == 4


def test_a_round_trip_begins_with_its_first_fill_and_ends_flat():
    stage = accepted(signalled(limits={"max_consecutive_losses": 1}))
    stage.fill(1, 4, fee=3)
    stage.fill(1, 3, fee=3)
    assert stage.s.risk.losses == 0, "paying to get in is no trip lost"
    accepted(stage)
    stage.cancel(2, Reason.KILL_SWITCH)
    stage.book(1_000, 1_001, 2, 10)
    close = stage.records[-1]
    assert (close["tif"], close["qty_lots"]) == (Tif.IOC, 7)
    accepted(stage)
    stage.fill(close["order_id"], 6)
    assert stage.s.risk.trading == Trading.ACTIVE
    stage.fill(close["order_id"], 1)
    assert (stage.s.risk.trading, stage.s.risk.halt_reason) == (Trading.HALTED, Reason.CONSECUTIVE_LOSSES)
