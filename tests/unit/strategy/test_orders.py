"""Intents of any strategy become records, or are refused, held back, ignored; whatever they say."""

import pytest

from ringsim.limits import CREDITS, OWN_ORDERS
from ringsim.records import OrderFlag, OrderKind, OrderType, Reason, Side, Tif, Trading, Verdict
from ringsim.strategy.orders import emit_cancel, emit_cancel_all, emit_order, emit_snapshot, find_order, order_left
from ringsim.strategy.protocol import OWN_ORDER, SIZED_BY_STAGE, TAGS, Cause
from ringsim.strategy.sizing import WHOLE_PPM
from tests.unit.strategy.stage import Stage

BUY, SELL = Side.BUY, Side.SELL


@pytest.fixture
def stage():
    """A stage with a book 1000 / 1001, and nothing sent but the first snapshot."""
    stage = Stage()
    stage.snapshot()
    stage.book(1_000, 1_001)
    stage.answer_all()
    return stage


def want(stage, side=BUY, px=1_000, qty=5, tag=0, flags=0):
    """Hand the stage an intent as a strategy would; returns the record that it made of it, or None."""
    intent = stage.s.intents[0]
    intent.kind, intent.side, intent.type, intent.tif = OrderKind.NEW, side, OrderType.LIMIT, Tif.GTC
    intent.px_ticks, intent.qty_lots, intent.tag, intent.flag_bits = px, qty, tag, flags
    intent.size_ppm = WHOLE_PPM
    stage.out.count[0] = 0
    emit_order(stage.s, intent, stage.now, stage.out)
    return stage.out.records[0] if stage.out.count[0] else None


def test_an_order_larger_than_a_limit_goes_out_smaller_and_says_so(stage):
    o = want(stage, qty=16)
    assert (o.kind, o.verdict, o.reason) == (OrderKind.NEW, Verdict.ADJUSTED, Reason.ORDER_SIZE)
    assert (o.qty_lots, o.asked_lots) == (15, 16)
    assert stage.s.adjusted == stage.s.submitted == 1 and stage.s.working_buy_lots == 15


def test_what_works_already_counts_against_the_next_order(stage):
    assert [want(stage, qty=15).qty_lots for _ in range(2)] == [15, 15]
    refused = want(stage, qty=1)
    assert (refused.kind, refused.reason, refused.order_id) == (OrderKind.REFUSED, Reason.POSITION, 0)
    assert want(stage, SELL, qty=15).qty_lots == 15, "the other side has its own room"


def test_a_full_table_refuses(stage):
    for _ in range(OWN_ORDERS):
        assert want(stage, qty=1).kind == OrderKind.NEW
    assert want(stage, qty=1).reason == Reason.OPEN_ORDERS
    assert stage.s.v.own_orders == OWN_ORDERS and stage.s.credits == CREDITS - OWN_ORDERS - 1


def test_nonsense_is_refused_by_name(stage):
    assert want(stage, side=7, tag=0).reason == Reason.BAD_ORDER
    assert want(stage, qty=-3, tag=1).reason == Reason.BAD_QUANTITY
    assert want(stage, px=-1, tag=2).reason == Reason.BAD_PRICE
    assert want(stage, px=-1, tag=3, qty=SIZED_BY_STAGE).reason == Reason.BAD_PRICE
    assert want(stage, SELL, tag=TAGS + 3, qty=-1).reason == Reason.BAD_QUANTITY, "a tag out of range is some tag"


def test_a_refusal_holds_back_its_own_purpose_only(stage):
    assert want(stage, qty=-3, tag=1).kind == OrderKind.REFUSED
    assert want(stage, qty=2, tag=1) is None and stage.s.held_back == 1
    assert want(stage, qty=2, tag=2).kind == OrderKind.NEW


def test_without_leave_to_send_nothing_goes(stage):
    stage.s.v.may_send = 0
    assert want(stage) is None and stage.s.held_back == 1


def test_a_market_order_is_sized_at_the_mark(stage):
    stage.s.risk.max_order_lots = 0
    assert want(stage, px=0, qty=SIZED_BY_STAGE).asked_lots == 10, "half of 20,000 at 1000"


def test_an_order_up_to_the_position_reduces_and_one_beyond_does_not(stage):
    stage.s.ledger.position_lots = 8
    stage.s.v.cause = Cause.TIMER
    assert want(stage, SELL, qty=9).flag_bits == 0
    stage.s.v.own_orders, stage.s.working_sell_lots = 0, 0
    assert want(stage, SELL, qty=8, flags=OrderFlag.CLOSES).flag_bits == OrderFlag.REDUCES | OrderFlag.CLOSES


def test_cancels_need_something_to_cancel(stage):
    stage.out.count[0] = 0
    emit_cancel(stage.s, 99, stage.now, stage.out)
    stage.s.cancel_all = 1
    emit_cancel_all(stage.s, stage.now, stage.out)
    assert stage.out.count[0] == 0 and stage.s.cancel_all == 0
    order_id = want(stage, qty=2).order_id
    stage.out.count[0] = 0
    for _ in range(2):
        emit_cancel(stage.s, order_id, stage.now, stage.out)
    assert stage.out.count[0] == 1, "once is enough"


def test_after_a_cancel_all_nothing_needs_a_cancel(stage):
    ids = [want(stage, qty=2).order_id for _ in range(3)]
    stage.out.count[0] = 0
    emit_cancel_all(stage.s, stage.now, stage.out)
    for order_id in ids:
        emit_cancel(stage.s, order_id, stage.now, stage.out)
    assert stage.out.count[0] == 1 and stage.out.records[0].kind == OrderKind.CANCEL_ALL
    assert (stage.s.cancel_all_credits, stage.s.credits) == (0, CREDITS - 3)


def test_an_order_that_is_done_leaves_the_others_as_they_are(stage):
    ids = [int(want(stage, qty=lots, px=1_000 - lots, tag=lots).order_id) for lots in (1, 2, 3)]
    emit_cancel(stage.s, ids[2], stage.now, stage.out)
    last = [int(stage.s.orders[2][name]) for name in OWN_ORDER.names]
    order_left(stage.s, find_order(stage.s, ids[0]), 0)
    assert stage.s.v.own_orders == 2 and stage.s.working_buy_lots == 5
    assert find_order(stage.s, ids[0]) == -1
    assert [int(stage.s.orders[find_order(stage.s, ids[2])][name]) for name in OWN_ORDER.names] == last
    assert stage.s.orders[find_order(stage.s, ids[1])].left_lots == 2


def test_a_snapshot_without_a_credit_is_counted_not_sent(stage):
    stage.out.count[0], stage.s.credits = 0, 0
    emit_snapshot(stage.s, stage.now, stage.out)
    assert (stage.out.count[0], stage.s.no_credit, stage.s.credits) == (0, 1, 0)


def test_halted_by_the_account_is_its_reason(stage):
    stage.account(Trading.HALTED, Reason.DRAWDOWN)
    assert want(stage).reason == Reason.DRAWDOWN
    assert stage.s.refused[Reason.DRAWDOWN] == 1
