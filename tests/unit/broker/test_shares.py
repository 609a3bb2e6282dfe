"""What each of several strategies has of the account: reported, added up, and held against it."""

import pytest

from ringsim.ledger import LEDGER
from ringsim.records import ControlCode, EventKind, ReportFlag, ReportKind, Trading
from ringsim.risk.gate import DAY_NS
from tests.unit.broker.venue import BUY, MS, SELL, Venue, kinds, reasons

ACCOUNT = ReportKind.ACCOUNT


def venue(**params):
    """Two strategies, and a book of three levels a side around 105."""
    v = Venue(**{"strategies": 2} | params)
    v.book([(100 - k, 50) for k in range(3)], [(110 + k, 50) for k in range(3)])
    return v


def accounts(reports):
    """(strategy, position, fills, open orders) of each ACCOUNT."""
    names = ("strategy", "position_lots", "fills", "open_orders")
    return [tuple(r.get(name, 0) for name in names) for r in reports if r["kind"] == ACCOUNT]


def test_who_filled_is_told_and_then_the_account():
    v = venue()
    assert accounts(v.market(BUY, 5, strategy=0)) == [(0, 5, 1, 0), (2, 5, 1, 0)]
    v.place(BUY, 80, 1, strategy=1)
    assert accounts(v.market(SELL, 3, strategy=1)) == [(1, -3, 1, 1), (2, 2, 2, 1)]
    v.place(BUY, 100, 2, strategy=0)
    v.place(BUY, 100, 2, strategy=1)
    got = v.trade(SELL, 99, 4)  # through both
    assert kinds(got) == ["FILL", "FILL", "ACCOUNT", "ACCOUNT", "ACCOUNT"]
    assert accounts(got) == [(0, 7, 2, 0), (1, -1, 2, 1), (2, 6, 4, 1)]
    assert accounts(v.close()) == [(0, 7, 2, 0), (1, -1, 2, 0), (2, 6, 4, 0)]


def test_at_the_interval_all_are_told_though_nothing_was_traded():
    v = venue(snapshot_interval_ns=50 * MS)
    got = v.wait(100 * MS)
    assert accounts(got) == [(0, 0, 0, 0), (1, 0, 0, 0), (2, 0, 0, 0)] * 2
    assert {r["flag_bits"] for r in got} == {ReportFlag.PERIODIC}


def test_one_alone_is_the_account():
    v = venue(strategies=1)
    assert accounts(v.market(BUY, 5)) == [(0, 5, 1, 0)]


def test_a_halt_is_the_accounts():
    v = venue()
    v.place(BUY, 80, 1, strategy=1)
    v.feed(EventKind.CONTROL, code=ControlCode.TRADING, qty=int(Trading.HALTED))
    assert [(r["kind"], r.get("strategy", 0)) for r in v.reports] == [
        (ReportKind.HALTED, 2), (ReportKind.CANCELLED, 1), (ACCOUNT, 2)
    ]  # fmt: skip


def test_realised_alone_does_not_add_up_and_together_with_unrealised_it_does():
    """One is long, the other short: the account has closed what each of them still holds."""
    v = venue()
    v.market(BUY, 5, strategy=0)
    got = {r.get("strategy", 0): r for r in v.market(SELL, 5, strategy=1) + v.close() if r["kind"] == ACCOUNT}
    assert [got[k].get("position_lots", 0) for k in range(3)] == [5, -5, 0]
    assert [got[k].get("realized", 0) for k in range(3)] == [0, 0, 5 * (100 - 110)]
    assert sum(got[k].get("unrealized", 0) for k in (0, 1)) == got[2]["realized"]


def test_a_day_of_a_share_begins_at_midnight_utc():
    v = venue(taker_cbps=10_000, utc_offset_ns=DAY_NS - 40 * MS)
    v.market(BUY, 100, strategy=0)
    before = next(r for r in v.everything if r["kind"] == ACCOUNT)
    assert before["day_realized"] == -before["fees"] < 0
    v.wait(60 * MS)  # over midnight
    v.market(SELL, 10, strategy=1)
    after = v.market(BUY, 1, strategy=0)[-2]
    assert (after.get("strategy", 0), after["kind"]) == (0, ACCOUNT)
    assert after["day_realized"] == -(after["fees"] - before["fees"]) != 0


@pytest.mark.parametrize("name", ["cash", "fees", "paid", "bought_lots", "position_lots", "fills", "realized", "cost"])
def test_a_share_that_is_damaged_halts(name):
    v = venue(snapshot_interval_ns=50 * MS)
    v.market(BUY, 5, strategy=0)
    v.market(BUY, 5, strategy=1)
    v.s.shares[1].ledger[name] += 1
    got = v.tick(compare=False)
    assert kinds(got)[0] == "HALTED" and reasons(got)[0] == "LEDGER_IDENTITY"


def test_shares_that_are_whole_but_not_the_accounts_halt():
    """A fill that the account has is booked to nobody: each ledger is whole by itself."""
    v = venue(snapshot_interval_ns=50 * MS)
    v.market(BUY, 5, strategy=0)
    for name in LEDGER.names:
        v.s.shares[0].ledger[name] = v.s.shares[1].ledger[name]
    got = v.tick(compare=False)
    assert kinds(got)[0] == "HALTED" and reasons(got)[0] == "LEDGER_IDENTITY"
