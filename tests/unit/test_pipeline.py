"""Laws of the folds together, in one process, on the shipped minute."""

import numpy as np
import pytest
from numba.core.runtime import _nrt_python, rtsys

from ringsim.broker.exchange import broker_init
from ringsim.broker.latency import latency_entry_min
from ringsim.config import load
from ringsim.fold.outbox import make_outbox
from ringsim.limits import EXECUTION_OUT, STRATEGY_OUT
from ringsim.market.capture import prepare
from ringsim.market.feed import fold_capture
from ringsim.market.source import sample_path
from ringsim.pipeline import FINISHED, MORE, Pipeline, advance, make_desks, make_log
from ringsim.records import ACCOUNT, FEATURES, ORDER, REPORT, OrderKind, ReportFlag, ReportKind
from ringsim.store.digest import digest_records
from ringsim.strategy.fold import strategy_init
from ringsim.strategy.schedule import no_orders
from ringsim.wiring import broker_params, strategy_params

pytestmark = pytest.mark.timeout(300)  # the first one compiles both folds


@pytest.fixture(scope="module")
def session():
    """(market events, strategy parameters, broker parameters)"""
    capture = prepare([sample_path()])
    config, instrument = load().config, capture.meta.instrument
    events, _ = fold_capture(capture)
    return events, strategy_params(config, instrument), broker_params(config, instrument)


def run(session, steps=1 << 18):
    events, strategy, broker = session
    states = strategy_init(strategy), broker_init(broker)
    pipeline = Pipeline(*states, events, int(latency_entry_min(states[1][0].p.latency)))
    parts = list(pipeline.run(steps))
    orders, reports = (np.concatenate([part[k] for part in parts]) for k in (1, 3))
    return orders, reports, states


def test_the_size_of_a_slice_changes_nothing(session):
    orders, reports, _ = run(session)
    digest = digest_records(orders, reports)
    assert len(orders) > 500 and (orders["kind"] == OrderKind.NEW).sum() > 100
    for steps in (1_000, 37):
        again = run(session, steps)
        assert digest_records(*again[:2]) == digest


def test_sequences_stamps_and_times_are_in_order(session):
    orders, reports, _ = run(session)
    for records, key in ((orders, "created_ns"), (reports, "deliver_ns")):
        assert (records["stamp"] == np.arange(1, len(records) + 1)).all()
        assert (np.diff(records[key]) >= 0).all()


def test_the_books_balance_after_every_account_record(session):
    _, reports, (_, broker) = run(session)
    account = reports[reports["kind"] == ReportKind.ACCOUNT].view(ACCOUNT)
    cash0 = int(broker[0].ledger.cash0)
    assert len(account) > 10 and account[-1]["flag_bits"] & ReportFlag.FINAL
    equity = account["cash"] + account["position_lots"] * account["mark_ticks"]
    assert (account["realized"] + account["unrealized"] - account["fees"] == equity - cash0).all()
    assert (account["unrealized"] == account["position_lots"] * account["mark_ticks"] - account["cost"]).all()
    fills = reports[reports["kind"] == ReportKind.FILL]
    signed = np.where(fills["side"] == 1, 1, -1) * fills["qty_lots"]
    assert signed.sum() == account[-1]["position_lots"]
    assert (signed * fills["px_ticks"]).sum() + fills["fee"].sum() == cash0 - account[-1]["cash"]


def test_every_order_record_gets_its_credit_back_exactly_once(session):
    orders, reports, (strategy, _) = run(session)
    returned = (reports["flag_bits"] & ReportFlag.RETURNS_CREDIT) != 0
    assert returned.sum() == len(orders) and strategy[0].no_credit == 0


def test_no_order_is_left_without_an_end_and_a_reason(session):
    orders, reports, _ = run(session)
    new = orders[orders["kind"] == OrderKind.NEW]["order_id"]
    ends = reports[np.isin(reports["kind"], (ReportKind.CANCELLED, ReportKind.REJECTED, ReportKind.PROVISIONAL))]
    filled = reports[(reports["kind"] == ReportKind.FILL) & (reports["left_lots"] == 0)]
    assert (ends["reason"] != 0).all()
    assert set(new) == set(ends["order_id"]) | set(filled["order_id"])


def test_folding_allocates_nothing_however_long_it_goes_on(session):
    events, strategy, broker = session
    _nrt_python.memsys_enable_stats()

    def allocations(steps):
        states = strategy_init(strategy), broker_init(broker)
        logs = make_log(ORDER, FEATURES, 1 << 12), make_log(REPORT, ACCOUNT, 1 << 12)
        boxes = make_outbox(ORDER, FEATURES, STRATEGY_OUT), make_outbox(REPORT, ACCOUNT, EXECUTION_OUT)
        taken = np.zeros(2, np.int64)
        arguments = (*states, make_desks([no_orders()]), events, *logs, *boxes, 1_000_000, taken)
        advance(*arguments, 1)
        before = rtsys.get_allocation_stats()
        result = advance(*arguments, steps)
        after = rtsys.get_allocation_stats()
        return result, after.alloc - before.alloc

    few, many = allocations(100), allocations(60_000)
    assert few[0] == MORE and many[0] in (MORE, FINISHED)
    assert few[1] == many[1]
