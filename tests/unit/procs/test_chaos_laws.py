"""Laws of the fault table beside the digest: each of them can be broken."""

import numpy as np
import pytest

from procs.chaos import laws, machine
from procs.chaos.inputs import INPUTS
from procs.chaos.laws import everything_answered_once
from procs.chaos.machine import MACHINE
from ringsim.records import ACCOUNT, ORDER, REPORT, OrderKind, Reason, ReportFlag, ReportKind, Trading


def rows(name):
    return next(row for row in (*INPUTS, *MACHINE) if row.name == name)


def order(number):
    record = np.zeros(1, ORDER)
    record["order_id"], record["kind"] = number, OrderKind.NEW
    return record


def report(number, kind, credit=False, left=0, reason=0):
    record = np.zeros(1, REPORT)
    record["order_id"], record["kind"], record["left_lots"], record["reason"] = number, kind, left, reason
    record["flag_bits"] = ReportFlag.RETURNS_CREDIT if credit else 0
    return record


def account(trading=Trading.ACTIVE, flag=ReportFlag.FINAL):
    record = np.zeros(1, ACCOUNT)
    record["kind"], record["trading"], record["flag_bits"] = ReportKind.ACCOUNT, trading, flag
    return record.view(REPORT)


def holding(monkeypatch, orders, reports):
    """A run whose database holds these records."""
    found = {"orders": np.concatenate(orders), "reports": np.concatenate(reports)}
    for module in (laws, machine):
        monkeypatch.setattr(module, "stored", lambda run, ring: found[ring])
    return {"rings": {ring: {"published": len(records), "lost": 0} for ring, records in found.items()}}


ORDERS = [order(1), order(2)]
REPORTS = [
    report(1, ReportKind.ACCEPTED, credit=True),
    report(2, ReportKind.REJECTED, credit=True),
    report(1, ReportKind.FILL, left=3),
    report(1, ReportKind.FILL),
]


def test_orders_that_are_each_answered_and_ended_once_are_fine(monkeypatch):
    assert everything_answered_once(holding(monkeypatch, ORDERS, REPORTS)) == []


@pytest.mark.parametrize(
    ("orders", "reports"),
    [
        ([*ORDERS, order(3)], REPORTS),
        (ORDERS, REPORTS[:-1]),
        (ORDERS, [*REPORTS, REPORTS[-1]]),
        (ORDERS, [*REPORTS, report(2, ReportKind.CANCELLED)]),
        (ORDERS, [*REPORTS, report(1, ReportKind.CANCEL_REJECTED, credit=True)]),
    ],
    ids=["no answer", "no end", "two ends", "an end of what was over", "two answers"],
)
def test_orders_that_are_not_are_a_problem(monkeypatch, orders, reports):
    assert everything_answered_once(holding(monkeypatch, orders, reports))


@pytest.mark.parametrize("key", ["published", "lost"])
def test_records_that_are_lost_on_the_way_are_a_problem(monkeypatch, key):
    run = holding(monkeypatch, ORDERS, REPORTS)
    run["rings"]["orders"][key] += 1
    assert everything_answered_once(run)


HALT = report(0, ReportKind.HALTED, reason=Reason.LEDGER_IDENTITY)
HALTED = [*REPORTS, HALT, account(Trading.HALTED)]


@pytest.mark.parametrize(
    ("orders", "reports", "halted", "fine"),
    [
        (ORDERS, HALTED, "LEDGER_IDENTITY", True),
        (ORDERS, HALTED, "KILL_SWITCH", False),
        (
            ORDERS,
            [*REPORTS, report(0, ReportKind.HALTED, reason=Reason.DAILY_LOSS), HALTED[-1]],
            "LEDGER_IDENTITY",
            False,
        ),
        (ORDERS, [*REPORTS, HALT, HALT, HALTED[-1]], "LEDGER_IDENTITY", False),
        (ORDERS, [*REPORTS[:-1], HALT, REPORTS[-1], HALTED[-1]], "LEDGER_IDENTITY", False),
        (ORDERS, [*REPORTS, HALT, account()], "LEDGER_IDENTITY", False),
        (ORDERS, [*REPORTS, HALT, account(Trading.HALTED, 0)], "LEDGER_IDENTITY", False),
    ],
    ids=["fine", "other reason", "other report", "said twice", "filled after", "account trades", "no final account"],
)
def test_a_damaged_ledger_must_halt_once_with_its_name_and_for_good(monkeypatch, orders, reports, halted, fine):
    run = holding(monkeypatch, orders, reports) | {"halted": halted}
    assert (rows("ledger-corrupt").holds(run, {}) == []) is fine


STORM = {
    "events_published": 10,
    "market_lost": 3,
    "latency_us": {"tick_to_strategy": {"n": 7}},
    "orders": {"submitted": 2},
}


@pytest.mark.parametrize(
    ("changed", "fine"),
    [
        ({}, True),
        ({"market_lost": 2}, False),
        ({"events_published": 11}, False),
        ({"latency_us": {"tick_to_strategy": {"n": 8}}}, False),
        ({"orders": {"submitted": 0}}, False),
    ],
)
def test_what_a_storm_took_from_a_free_reader_is_exact(monkeypatch, changed, fine):
    run = holding(monkeypatch, ORDERS, REPORTS) | STORM | changed
    run["rings"]["market"] = {"published": 10, "lost": 3}
    assert (rows("producer-storm").holds(run, {}) == []) is fine


GARBAGE = {
    "messages": {"depth": 30, "trade": 30, "bad": 64},
    "feed": {"stale": 9},
    "notes": ["64 bad lines skipped, the first: ..."],
}
SOUND = {"messages": {"depth": 10, "trade": 10, "bad": 0}, "feed": {"stale": 1}, "notes": []}


@pytest.mark.parametrize(
    ("changed", "fine"),
    [
        ({}, True),
        ({"messages": {"depth": 30, "trade": 30, "bad": 63}}, False),
        ({"messages": {"depth": 30, "trade": 29, "bad": 64}}, False),
        ({"feed": {"stale": 1}}, False),
        ({"notes": []}, False),
    ],
)
def test_garbage_is_counted_to_the_line(changed, fine):
    assert (rows("feed-garbage").holds(GARBAGE | changed, SOUND) == []) is fine
