"""The worst inputs stay within EXECUTION_OUT, and the table of orders within itself."""

import numpy as np
import pytest

from ringsim.broker.orders import TRANSITIONS, set_status, take_slot
from ringsim.broker.state import BROKER_STATE, ORDER_SLOTS
from ringsim.limits import EXECUTION_OUT, IN_FLIGHT_CANCELS, MAX_IN_FLIGHT, MAX_OPEN_ORDERS, TAKEN_LEVELS
from ringsim.records import ControlCode, OrderKind, OrderType, Reason, ReportKind, Side, Status, Tif, Trading
from ringsim.risk.limits import RiskLimits
from tests.unit.broker.venue import BUY, MS, SELL, Venue, kinds

IN_FLIGHT = MAX_IN_FLIGHT - IN_FLIGHT_CANCELS


def fill_the_connection(v, count=IN_FLIGHT):
    for _ in range(count):
        v.new(BUY, 10, 1)
    for _ in range(IN_FLIGHT_CANCELS):
        v.send(OrderKind.CANCEL, target_id=1)


def fill_the_table(v, px=100, qty=10, count=MAX_OPEN_ORDERS):
    for _ in range(count):
        v.place(BUY, px, qty)


def test_every_order_filled_in_part_then_all_cancelled_by_a_halt():
    """Each order fills in part on its own level's trade; the one that brings the loss over the cap ends everything."""
    v = Venue(limits=RiskLimits(daily_loss_cap=MAX_OPEN_ORDERS), maker_cbps=10_000)
    v.book(((50, 1),), ((200, 1),))
    fill_the_table(v, px=100, qty=10)
    # Each fill of one lot at 100 costs a fee of 1: the 64th halts. Ahead of order k stand k lots less than a trade brings.
    for i in range(MAX_OPEN_ORDERS):
        k = v.s.rank[BUY, i]
        v.s.orders[k].front = MAX_OPEN_ORDERS - 1.0 - i
        v.naive.resting[i]["front"] = MAX_OPEN_ORDERS - 1.0 - i
    fill_the_connection(v)
    got = v.trade(SELL, 100, MAX_OPEN_ORDERS)
    assert kinds(got).count("FILL") == kinds(got).count("CANCELLED") - IN_FLIGHT == MAX_OPEN_ORDERS
    assert len(got) == 2 * MAX_OPEN_ORDERS + IN_FLIGHT + 2 <= EXECUTION_OUT
    v.close()


def test_a_take_over_all_levels_that_halts_at_the_last():
    asks = [(1000 + k, 1) for k in range(TAKEN_LEVELS)]
    v = Venue(limits=RiskLimits(daily_loss_cap=TAKEN_LEVELS * 10), taker_cbps=10_000)
    v.book(((50, 1),), asks)
    fill_the_table(v, px=20)
    v.new(BUY, 0, TAKEN_LEVELS + 5, Tif.IOC, OrderType.MARKET)
    fill_the_connection(v, IN_FLIGHT - 1)
    got = v.tick()
    assert kinds(got).count("FILL") == TAKEN_LEVELS and "HALTED" in kinds(got)
    assert kinds(got).count("CANCELLED") == MAX_OPEN_ORDERS + IN_FLIGHT  # of the flying all but itself, and its rest
    assert len(got) <= EXECUTION_OUT
    v.close()


def test_the_kill_switch_and_the_expiry_with_everything_full():
    for end in ("kill", "expiry"):
        v = Venue(entry_ns=5000 * MS)
        v.book(((90, 1),), ((110, 1),))
        fill_the_connection(v, MAX_OPEN_ORDERS)
        v.wait(5000 * MS)
        assert v.s.open_orders == MAX_OPEN_ORDERS - 1  # the cancels behind them took the first away
        fill_the_connection(v)
        if end == "kill":
            got = v.control(ControlCode.TRADING, Trading.HALTED)
            assert len(got) == MAX_OPEN_ORDERS - 1 + IN_FLIGHT + 2
        got = v.close()
        assert max(v.most, len(got)) <= EXECUTION_OUT


# States


@pytest.mark.parametrize("before", list(Status))
def test_only_the_arrows_of_the_table_are_taken(before):
    v = Venue()
    k = take_slot(v.s)
    for after in Status:
        v.s.orders[k].status, v.s.breach = before, 0
        set_status(v.s, k, np.int64(after))
        assert (v.s.breach == 0) == (after in TRANSITIONS[before])
        assert v.s.breach in (0, Reason.ORDER_STATE)


def test_every_slot_comes_back():
    v = Venue()
    v.book(((90, 1),), ((110, 1),))
    for _ in range(3):
        fill_the_table(v, px=80)
        v.change(OrderKind.CANCEL_ALL)
    v.place(BUY, 110, 5)
    v.close()
    assert v.s.unused_count == ORDER_SLOTS and sorted(v.s.unused) == list(range(ORDER_SLOTS))
    assert [v.s.ranked[s] for s in Side] == [0, 0, 0] and [v.s.working[s] for s in Side] == [0, 0, 0]


def test_no_field_hides_an_attribute_of_numpy():
    def names(dtype):
        for name in dtype.names:
            yield name
            inner = dtype.fields[name][0]
            inner = inner.subdtype[0] if inner.subdtype else inner
            if inner.names:
                yield from names(inner)

    taken = set(dir(np.recarray)) | set(dir(np.record))
    assert not taken & set(names(BROKER_STATE))


def test_a_state_is_its_bytes():
    """Two copies of the state and the same inputs give the same state: nothing lives outside it."""
    first, second = Venue(snapshot_interval_ns=5 * MS), Venue(snapshot_interval_ns=5 * MS)
    for v in (first, second):
        v.book(((90, 9),), ((110, 9),))
        v.place(BUY, 90, 4)
        v.trade(SELL, 90, 11)
    second.state[:] = np.frombuffer(first.state.tobytes(), BROKER_STATE).view(np.recarray)
    for v in (first, second):
        v.market(SELL, 3)
        v.trade(SELL, 90, 1)
        v.close()
    assert first.everything == second.everything and first.state.tobytes() == second.state.tobytes()
    assert first.everything[-1]["kind"] == ReportKind.ACCOUNT
