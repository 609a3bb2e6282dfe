"""The strategy stage: what it sends, when, and what it never does. Every input also goes to the naive twin."""

import numpy as np
import pytest

from ringsim.control import RunState
from ringsim.errors import BadInput
from ringsim.lifecycle import Lifecycle
from ringsim.limits import CREDITS
from ringsim.records import (
    NEVER_NS,
    ControlCode,
    EventFlag,
    EventKind,
    GapCode,
    OrderFlag,
    OrderKind,
    Reason,
    ReportKind,
    Side,
    Tif,
    Trading,
    Verdict,
)
from ringsim.risk.gate import DAY_NS
from ringsim.strategy.fold import RETRY_NS, on_timer, strategy_init
from ringsim.strategy.params import StrategyParams
from ringsim.strategy.protocol import MAX_INTENTS
from tests.unit.strategy.stage import MILLI, SECOND, Stage

NEW, CANCEL, REFUSED = OrderKind.NEW, OrderKind.CANCEL, OrderKind.REFUSED
SIGNAL, SIGNAL_END, SNAPSHOT = OrderKind.SIGNAL, OrderKind.SIGNAL_END, OrderKind.SNAPSHOT
BUY, SELL = Side.BUY, Side.SELL


def kinds(sent):
    return [OrderKind(r["kind"]) for r in sent]


def ready(**given):
    """A stage with a balanced book: bid 1000, ask 1001, the first snapshot behind it."""
    stage = Stage(**given)
    stage.snapshot()
    assert kinds(stage.book(1_000, 1_001)) == [SNAPSHOT]
    stage.answer_all()
    return stage


def lean(stage, bid=1_000, ask=1_001, sign=1):
    """A book message with imbalance +-8/12."""
    return stage.book(bid, ask, *((10, 2) if sign > 0 else (2, 10)))


def entered(sign=1, **given):
    """A stage with a live signal, one full unit of confidence, and its entry order accepted."""
    given.setdefault("min_confidence_ppm", 400_000)
    stage = ready(**given)
    stage.wait(100 * MILLI)
    sent = lean(stage, sign=sign)
    assert kinds(sent) == [SIGNAL, NEW]
    stage.answer_all()
    return stage, sent[-1]


def test_a_signal_needs_its_confidence_and_says_how_sure_it_is():
    stage = ready(min_confidence_ppm=725_000)
    for _ in range(4):
        stage.wait(100 * MILLI)
        assert stage.book(1_002, 1_003, 29, 11) == []
    stage.wait(100 * MILLI)
    sent = stage.book(1_002, 1_003, 29, 11)  # imbalance .45, streak 5, momentum up: the worked value of the documents
    assert kinds(sent) == [SIGNAL, NEW]
    signal, order = sent
    assert (signal["strength_ppm"], signal["confidence_ppm"], signal["signal_id"]) == (450_000, 725_000, 1)
    assert signal["side"] == order["side"] == BUY


def test_an_entry_is_post_only_at_the_own_best_for_a_share_of_what_the_limits_allow():
    for sign, side, px in ((1, BUY, 1_000), (-1, SELL, 1_001)):
        _, order = entered(sign)
        assert (order["side"], order["px_ticks"], order["tif"]) == (side, px, Tif.POST_ONLY)
        assert order["qty_lots"] == order["asked_lots"] == 7, "half of 15: the order size is the smallest limit"
        assert (order["verdict"], order["reason"], order["order_id"]) == (Verdict.APPROVED, Reason.NONE, 1)
        assert order["flag_bits"] == OrderFlag.BY_TICK, "a book message caused it"


def test_no_signal_where_the_spread_is_too_wide():
    stage = ready(min_confidence_ppm=300_000, max_spread_bps=19.9)
    assert stage.book(1_000, 1_002, 10, 2) == [], "20 bps"
    assert kinds(stage.book(1_000, 1_001, 10, 2)) == [SIGNAL, NEW]


def test_a_spread_of_exactly_the_most_is_narrow_enough():
    for ask, expected in ((10_005, [SIGNAL, NEW]), (10_006, [])):
        stage = ready(min_confidence_ppm=300_000, max_spread_bps=10.0, limits={"max_intent": 200_000})
        assert kinds(stage.book(9_995, ask, 10, 2)) == expected


def test_the_best_moves_cancel_then_a_new_order_and_never_two():
    stage, _ = entered()
    stage.wait(MILLI)
    assert kinds(lean(stage, bid=1_000, ask=1_002)) == [], "the other side's best does not matter"
    sent = lean(stage, bid=1_001, ask=1_002)
    assert kinds(sent) == [CANCEL] and sent[0]["target_id"] == 1
    assert lean(stage, bid=1_002, ask=1_003) == [], "its cancel is on the way"
    sent = stage.answer()
    assert kinds(sent) == [NEW] and sent[0]["px_ticks"] == 1_002


def test_a_cancel_that_comes_too_late_is_followed_by_the_next_entry():
    stage, _ = entered()
    lean(stage, bid=1_001, ask=1_002)
    stage.fill(1)
    stage.wait(MILLI)
    sent = stage.answer()  # CANCEL_REJECTED, UNKNOWN_ORDER
    assert sent == [] and stage.s.v.own_orders == 1, "the entry that followed the fill is at work already"
    assert stage.records[-1]["order_id"] == 2


def test_the_confidence_decays_by_half_and_the_signal_ends_at_its_minimum_to_the_nanosecond():
    stage = ready(min_confidence_ppm=400_000, signal_decay_ns=500 * MILLI)
    stage.book(1_000, 1_001, 65, 35)  # imbalance .3: .25 + .03, momentum 0: too little
    assert stage.records[-1]["kind"] == SNAPSHOT
    stage.wait(MILLI)
    stage.book(1_000, 1_001, 10, 2)
    start = stage.now
    signal = stage.records[-2]
    assert signal["confidence_ppm"] == 560_000
    expected = 500 * MILLI * np.log2(1.4)
    assert stage.s.timer_ns == start + int(expected) + 1
    stage.answer_all()
    assert stage.wait(int(expected)) == []
    sent = stage.wait(1)
    assert kinds(sent) == [SIGNAL_END, CANCEL]
    assert sent[0]["hold_ns"] == int(expected) + 1 and sent[0]["signal_id"] == 1


@pytest.mark.parametrize("late_ns", [0, 5 * MILLI])
def test_a_message_at_the_end_or_later_renews_nothing_even_before_the_timer(late_ns):
    stage, _ = entered()
    stage.now = int(stage.s.own.end_ns) + late_ns
    sent = lean(stage)
    assert kinds(sent) == [SIGNAL_END, SIGNAL], "the old one is over, the next one begins"
    stage, _ = entered()
    stage.now = int(stage.s.own.end_ns) - 1
    assert lean(stage) == []


def test_a_renewal_sets_the_confidence_anew_also_downwards():
    stage, _ = entered(min_confidence_ppm=500_000)
    assert stage.s.own.confidence_ppm == 530_000
    stage.wait(10 * MILLI)
    lean(stage)
    assert (stage.s.own.confidence_ppm, stage.s.own.streak) == (560_000, 2)
    stage.wait(10 * MILLI)
    assert stage.book(1_000, 1_001, 20, 10)[:1] != [], "imbalance 1/3: confidence .37 is below the minimum"
    assert kinds(stage.records)[-2:] == [SIGNAL_END, CANCEL]


def test_a_weak_book_breaks_the_streak_but_not_the_signal():
    stage, _ = entered()
    lean(stage)
    assert stage.s.own.streak == 2
    assert stage.book(1_000, 1_001, 10, 9) == []
    assert (stage.s.own.streak, stage.s.own.sign) == (0, 1)
    lean(stage)
    assert stage.s.own.streak == 1


def test_a_signal_that_turns_ends_and_the_position_is_closed_before_the_next_entry():
    stage, _ = entered()
    stage.fill(1)
    stage.answer_all()  # a second entry followed at once
    stage.wait(5 * MILLI)
    sent = lean(stage, sign=-1)
    assert kinds(sent) == [SIGNAL_END, SIGNAL, CANCEL]
    assert [r["side"] for r in sent] == [BUY, SELL, BUY]
    sent = stage.answer_all()
    close = sent[-1]
    assert kinds(sent) == [NEW]
    assert (close["side"], close["tif"], close["qty_lots"]) == (SELL, Tif.IOC, 7)
    assert close["px_ticks"] == 999, "one tick through the best bid: 5 bps of 1000 are less"
    assert close["flag_bits"] == OrderFlag.CLOSES | OrderFlag.REDUCES
    assert close["signal_id"] == 1, "it closes what the first signal opened"
    sent = stage.fill(close["order_id"], 7)
    assert kinds(sent) == [NEW] and sent[0]["tif"] == Tif.POST_ONLY and sent[0]["side"] == SELL


def test_a_close_is_repeated_while_a_position_is_left():
    stage, _ = entered()
    stage.fill(1)
    stage.answer_all()
    stage.cancel(2, Reason.KILL_SWITCH)
    assert kinds(stage.wait(400 * MILLI))[:1] == [SIGNAL_END]
    close = stage.records[-1]
    assert close["tif"] == Tif.IOC and close["qty_lots"] == 7
    stage.answer_all()
    assert stage.fill(close["order_id"], 3) == []
    sent = stage.cancel(close["order_id"])
    assert kinds(sent) == [NEW] and sent[0]["qty_lots"] == 4, "part of it went: at once again"
    stage.answer_all()
    assert stage.cancel(sent[0]["order_id"]) == [], "nothing went at this price: not again at the same"
    sent = stage.book(998, 1_001)
    assert kinds(sent) == [NEW] and sent[0]["px_ticks"] == 997
    stage.answer_all()
    assert stage.cancel(sent[0]["order_id"]) == []
    sent = stage.wait(RETRY_NS)
    assert kinds(sent) == [NEW], "or after a second"


def test_holding_counts_from_the_first_entry_order():
    stage = ready(min_confidence_ppm=400_000)
    stage.control(ControlCode.RUN, RunState.PAUSED)
    assert kinds(lean(stage)) == [SIGNAL]
    stage.wait(100 * MILLI)
    assert kinds(stage.control(ControlCode.RUN, RunState.RUNNING)) == [NEW]
    stage.wait(50 * MILLI)
    sent = lean(stage, sign=-1)
    assert kinds(sent)[0] == SIGNAL_END and sent[0]["hold_ns"] == 50 * MILLI


def test_a_refusal_is_recorded_once_and_tried_again_when_something_changed():
    stage = ready(min_confidence_ppm=400_000, limits={"max_intent": 999})
    sent = lean(stage)
    assert kinds(sent) == [SIGNAL, REFUSED]
    refused = sent[1]
    assert (refused["verdict"], refused["reason"], refused["qty_lots"]) == (Verdict.REJECTED, Reason.INTENT, 0)
    assert refused["order_id"] == 0 and refused["asked_lots"] == 1
    assert stage.s.refused[Reason.INTENT] == 1
    assert stage.answer_all() == [], "the broker's note of it is no change"
    assert lean(stage) == []
    sent = lean(stage, bid=999, ask=1_000)
    assert kinds(sent) == [NEW], "at 999 one lot is within the limit"


def test_a_position_at_its_limit_is_refused_once_a_second_however_the_price_moves():
    stage, _ = entered(signal_decay_ns=100 * SECOND, limits={"max_position_lots": 7}, order_size_ppm=1_000_000)
    sent = stage.fill(1)
    assert kinds(sent) == [REFUSED] and sent[0]["reason"] == Reason.POSITION
    for k in range(5):
        stage.wait(100 * MILLI)
        assert lean(stage, bid=1_001 + k, ask=1_002 + k) == []
    assert kinds(stage.wait(500 * MILLI)) == [REFUSED]


def test_out_of_tokens_it_waits_for_the_next_one():
    stage, _ = entered(signal_decay_ns=100 * SECOND, limits={"orders_per_second": 2})
    for bid in (1_001, 1_002):
        lean(stage, bid=bid, ask=bid + 1)
        stage.answer_all()
    refused = stage.records[-1]
    assert (refused["kind"], refused["reason"]) == (REFUSED, Reason.ORDER_RATE)
    assert lean(stage, bid=1_003, ask=1_004) == []
    sent = stage.wait(500 * MILLI)
    assert kinds(sent) == [NEW] and sent[0]["created_ns"] == refused["created_ns"] + 500 * MILLI


def test_a_post_only_that_would_have_taken_waits_for_another_price():
    stage = ready(min_confidence_ppm=400_000)
    lean(stage)
    stage.answer()
    assert stage.answer(ReportKind.REJECTED, Reason.WOULD_TAKE) == []
    assert lean(stage) == []
    assert kinds(lean(stage, bid=999, ask=1_000)) == [NEW]


def test_nothing_is_sent_without_a_whole_book_and_an_entry_may_wait_through_a_gap():
    stage, _ = entered()
    stage.fill(1, 2)
    assert stage.event(EventKind.GAP, code=GapCode.SEQUENCE) == []
    assert stage.s.f.now.ready == 0 and stage.s.own.streak == 0
    sent = stage.wait(300 * MILLI)
    assert kinds(sent) == [SIGNAL_END, CANCEL], "a cancel always may"
    stage.answer_all()
    assert stage.position == 2 and stage.wait(100 * MILLI) == []
    stage.snapshot()
    assert kinds(stage.book(1_000, 1_001)) == [NEW], "the close, on the first whole message"


def test_a_repeated_snapshot_is_no_message_to_a_valid_book():
    stage, _ = entered()
    samples = stage.s.f.now.sample
    for kind, flags in ((EventKind.SNAPSHOT_BEGIN, 2), (EventKind.LEVEL, 3), (EventKind.SNAPSHOT_END, 3)):
        assert stage.event(kind, BUY, 900, 5, flags) == []
    assert stage.s.f.now.sample == samples and stage.s.f.now.ready == 1


def test_other_symbols_and_half_messages_change_nothing():
    stage = ready(min_confidence_ppm=400_000)
    assert stage.event(EventKind.LEVEL, BUY, 1_000, 90, EventFlag.LAST, symbol=3) == []
    assert stage.event(EventKind.GAP, code=GapCode.SEQUENCE, symbol=3) == [] and stage.s.f.now.ready == 1
    assert stage.event(EventKind.LEVEL, BUY, 1_000, 90) == []
    assert kinds(stage.event(EventKind.LEVEL, BUY, 999, 1, EventFlag.LAST)) == [SIGNAL, NEW]
    stage.event(EventKind.GAP, code=GapCode.LAPPED, symbol=3)
    assert stage.s.f.now.ready == 0, "what was lost may have been ours"


@pytest.mark.parametrize("state", [Lifecycle.INIT, Lifecycle.WARMUP])
def test_before_ready_it_only_looks(state):
    stage = ready(min_confidence_ppm=400_000)
    stage.control(ControlCode.LIFECYCLE, state)
    assert kinds(lean(stage)) == [SIGNAL]
    assert kinds(stage.control(ControlCode.LIFECYCLE, Lifecycle.READY)) == [NEW]


def test_degraded_orders_go_out_and_end_provisional_without_a_flood():
    stage = ready(min_confidence_ppm=400_000, signal_decay_ns=100 * SECOND)
    stage.control(ControlCode.LIFECYCLE, Lifecycle.DEGRADED)
    assert kinds(lean(stage)) == [SIGNAL, NEW]
    stage.answer()
    assert stage.answer(ReportKind.PROVISIONAL, Reason.NOT_READY) == []
    assert lean(stage, bid=1_001, ask=1_002) == []
    assert kinds(stage.control(ControlCode.LIFECYCLE, Lifecycle.READY)) == [NEW]


def test_the_kill_switch_refuses_once_and_rearming_lets_it_go_on():
    stage, _ = entered(signal_decay_ns=100 * SECOND)
    stage.fill(1, 3)
    stage.control(ControlCode.TRADING, Trading.HALTED)
    stage.report(ReportKind.HALTED, reason=Reason.KILL_SWITCH)
    sent = stage.cancel(1, Reason.KILL_SWITCH)
    assert kinds(sent) == [REFUSED] and sent[0]["reason"] == Reason.KILL_SWITCH
    stage.account(Trading.HALTED, Reason.KILL_SWITCH)
    stage.open[1] = dict(stage.records[2], left=1, qty_lots=1)
    assert stage.fill(1) == [], "a fill that was on the way changes nothing about the halt"
    for bid in (1_001, 1_002):
        stage.wait(2 * SECOND)
        assert lean(stage, bid=bid, ask=bid + 1) == []
    sent = stage.control(ControlCode.TRADING, Trading.ACTIVE)
    assert kinds(sent) == [NEW] and sent[0]["px_ticks"] == 1_002


def test_the_account_may_halt_and_reduce_without_the_own_gate():
    stage, _ = entered(signal_decay_ns=100 * SECOND)
    stage.fill(1, 3)
    stage.account(Trading.REDUCING)
    sent = stage.cancel(1, Reason.REDUCING)
    assert kinds(sent) == [REFUSED] and sent[0]["reason"] == Reason.REDUCING
    sent = lean(stage, sign=-1)
    assert kinds(sent) == [SIGNAL_END, SIGNAL, NEW] and sent[2]["qty_lots"] == 3, "what reduces passes"
    stage.answer_all()
    stage.account(Trading.HALTED, Reason.DAILY_LOSS)
    assert stage.cancel(2, Reason.DAILY_LOSS) == [], "the cancel said why"
    assert kinds(stage.account(Trading.ACTIVE)) == [NEW]


def test_its_own_loss_cap_halts_it_and_cancels_everything():
    stage, _ = entered(signal_decay_ns=100 * SECOND)
    stage.fill(1)  # 7 at 1000
    stage.answer_all()
    stage.book(1_000, 1_001, 10, 10)
    assert stage.s.v.own_orders == 1
    order = stage.s.orders[0]
    stage.open[int(order.order_id)]["side"] = SELL  # as if it had sold: the ledger believes reports, not memories
    sent = stage.fill(int(order.order_id), 5, px=150)
    assert stage.s.risk.trading == Trading.HALTED and stage.s.risk.halt_reason == Reason.DAILY_LOSS
    assert kinds(sent) == [OrderKind.CANCEL_ALL]
    assert stage.s.cancel_all_credits == 0
    stage.answer_all()
    assert stage.s.cancel_all_credits == 1 and stage.s.v.own_orders == 0


def test_reducing_by_loss_ends_with_the_day_and_the_next_entry_follows():
    stage = ready(
        min_confidence_ppm=400_000,
        signal_decay_ns=1_000 * SECOND,
        utc_offset_ns=DAY_NS - 30 * SECOND,
        limits={"daily_loss_cap": 100},
    )
    lean(stage)
    stage.answer_all()
    assert kinds(stage.fill(1, fee=85)) == [REFUSED] and stage.s.risk.trading == Trading.REDUCING
    assert stage.s.refused[Reason.REDUCING] == 1
    assert kinds(stage.wait(19 * SECOND)) == [SNAPSHOT]
    sent = stage.wait(2 * SECOND)
    assert kinds(sent) == [NEW, SNAPSHOT] and stage.s.risk.trading == Trading.ACTIVE


def test_after_the_end_of_the_feed_nothing_more():
    stage, _ = entered()
    stage.fill(1, 2)
    sent = stage.end()
    assert kinds(sent) == [SIGNAL_END, SNAPSHOT] and stage.s.timer_ns == NEVER_NS
    assert lean(stage) == [] and stage.end() == []
    on_timer(stage.s, stage.schedule, stage.now + SECOND, stage.out)
    assert stage.out.count[0] == 0 and stage.s.timer_ns == NEVER_NS
    assert stage.fill(1) == [] and stage.answer_all() == []
    assert stage.s.ledger.position_lots == 7 and stage.s.credits == CREDITS, "reports are still booked"


def test_snapshots_come_with_the_first_whole_book_then_on_the_interval():
    stage = Stage(snapshot_interval_ns=2 * SECOND)
    stage.now += 300 * MILLI
    stage.snapshot()
    first = stage.book(1_000, 1_001, 12, 11)
    assert kinds(first) == [SNAPSHOT] and first[0]["sample"] == 1 and first[0]["bid_ticks"] == 1_000
    times = [r["created_ns"] for r in stage.wait(5 * SECOND)]
    assert times == [12 * SECOND, 14 * SECOND], "multiples of the interval"
    stage.event(EventKind.GAP, code=GapCode.SEQUENCE)
    blind = stage.wait(2 * SECOND)
    assert kinds(blind) == [SNAPSHOT] and blind[0]["bid_ticks"] == 0 == blind[0]["imbalance"]


def starve(stage, left):
    """As if snapshots had used up the credits but for `left` of them."""
    count = int(stage.s.credits) - left
    stage.s.credits -= count
    stage.naive.unanswered += count
    stage.unanswered += [{"kind": SNAPSHOT}] * count


def test_without_credits_it_looks_and_acts_when_they_come_back():
    stage, _ = entered()
    starve(stage, MAX_INTENTS)
    assert lean(stage, bid=1_001, ask=1_002) == [] and stage.s.no_credit > 0
    assert stage.s.own.streak == 2
    assert kinds(stage.answer()) == [CANCEL]


def test_without_credits_a_signal_that_is_over_waits_for_a_report_not_for_the_clock():
    stage, _ = entered(snapshot_interval_ns=0)
    starve(stage, 2)
    assert stage.wait(10 * SECOND) == [] and stage.s.timer_ns == NEVER_NS
    sent = [record for _ in range(5) for record in stage.answer()]
    assert kinds(sent) == [SIGNAL_END, CANCEL] and sent[0]["created_ns"] == stage.now


def test_a_cancel_that_is_refused_leaves_the_order_and_may_be_asked_again():
    stage, _ = entered()
    lean(stage, bid=1_001, ask=1_002)
    record = stage.unanswered.pop(0)
    sent = stage.report(ReportKind.CANCEL_REJECTED, record, record, reason=Reason.IN_FLIGHT)
    assert kinds(sent) == [CANCEL]
    record = stage.unanswered.pop(0)
    sent = stage.report(ReportKind.CANCEL_REJECTED, record, record, reason=Reason.UNKNOWN_ORDER)
    assert kinds(sent) == [NEW], "an order that the exchange does not know is over"


def test_reports_to_other_strategies_are_none_of_its_business():
    stage, _ = entered(strategy=1, strategies=3)
    before = stage.state.tobytes()
    order = next(iter(stage.open.values()))
    for other in (0, 2, 5):
        assert stage.report(ReportKind.FILL, order, order, strategy=other, qty_lots=7) == []
    assert stage.report(ReportKind.HALTED, strategy=2, reason=Reason.DAILY_LOSS) == []
    assert stage.state.tobytes() == before
    stage.report(ReportKind.HALTED, strategy=3, reason=Reason.DAILY_LOSS)  # the account's
    assert (stage.s.account_trading, stage.s.account_reason) == (Trading.HALTED, Reason.DAILY_LOSS)


def test_a_short_position_is_bought_back_above_the_ask():
    stage, _ = entered(sign=-1, close_cross_cbps=5_000)
    stage.fill(1)
    stage.answer_all()
    stage.cancel(2, Reason.KILL_SWITCH)
    stage.wait(400 * MILLI)
    close = stage.records[-1]
    assert (close["side"], close["tif"], close["qty_lots"], close["px_ticks"]) == (BUY, Tif.IOC, 7, 1_006)


def test_with_no_minimum_a_signal_ends_only_by_turning():
    stage, _ = entered(min_confidence_ppm=0, snapshot_interval_ns=0)
    assert stage.s.timer_ns == NEVER_NS and stage.wait(1_000 * SECOND) == []
    assert kinds(lean(stage, sign=-1))[:2] == [SIGNAL_END, SIGNAL]


def test_trades_show_in_the_next_message():
    stage = ready()
    stage.event(EventKind.TRADE, BUY, 1_001, 30, EventFlag.LAST)
    stage.event(EventKind.TRADE, SELL, 1_000, 10, EventFlag.LAST)
    stage.book(1_000, 1_001)
    assert stage.s.f.now.trade_flow == 0.5


def test_timer_and_report_orders_carry_the_last_market_event():
    stage, _ = entered()
    stage.wait(3 * MILLI)
    last = stage.seq - 1
    sent = stage.fill(1)
    assert (sent[0]["trigger_seq"], sent[0]["created_ns"] - sent[0]["trigger_ns"]) == (last, 3 * MILLI)


def test_bad_parameters_are_all_named():
    with pytest.raises(
        BadInput, match=r"min_confidence_ppm 1000001.*feature_store 100 is no power of two.*limits.max_intent"
    ):
        bad = StrategyParams(capital=1, min_confidence_ppm=1_000_001, feature_store=100)
        strategy_init(StrategyParams(**{n: getattr(bad, n) for n in bad.__struct_fields__} | {"limits": bad_limits()}))


def bad_limits():
    from ringsim.risk.limits import RiskLimits

    return RiskLimits(max_intent=-1)
