"""Several strategies on one account, in one process: what each has, what all have together, and what is between them."""

from decimal import Decimal

import numpy as np
import pytest

from ringsim.broker.exchange import broker_init
from ringsim.broker.latency import latency_entry_min
from ringsim.config import load
from ringsim.ledger import LEDGER
from ringsim.market.capture import prepare
from ringsim.market.feed import fold_capture
from ringsim.market.source import sample_path
from ringsim.pipeline import Pipeline
from ringsim.records import ACCOUNT, ORDER, OrderKind, OrderType, Reason, ReportFlag, ReportKind, Side, Tif
from ringsim.strategy.fold import strategy_init
from ringsim.strategy.schedule import SCHEDULED, no_orders
from ringsim.wiring import broker_params, strategy_params
from tests.naive.ledger import NaiveLedger

pytestmark = pytest.mark.timeout(600)  # the first one compiles both folds

SECOND, MS = 1_000_000_000, 1_000_000
BUY, SELL = int(Side.BUY), int(Side.SELL)
IMBALANCE, SCRIPTED = "imbalance", "scripted:given"


@pytest.fixture(scope="module")
def market():
    """(market events, instrument) of the shipped minute."""
    capture = prepare([sample_path()])
    return fold_capture(capture)[0], capture.meta.instrument


class Found:
    """What a run came to. schedules: of the scripted ones, in the order of their numbers."""

    def __init__(self, market, *schedules, names, steps=1 << 18, **settings):
        events, instrument = market
        config = load(
            overrides={"run.clock": "simulated", "strategy.name": names}
            | {key.replace("__", "."): value for key, value in settings.items()}
        ).config
        left = iter(schedules)
        self.given = [next(left) if name == SCRIPTED else no_orders() for name in names]
        states = [
            strategy_init(strategy_params(config, instrument, k), int(given[0].time_ns) if len(given) else 1 << 62)
            for k, given in enumerate(self.given)
        ]
        self.strategies = np.concatenate(states).view(np.recarray)
        broker = broker_init(broker_params(config, instrument))
        pipeline = Pipeline(self.strategies, broker, events, int(latency_entry_min(broker[0].p.latency)), self.given)
        parts = list(pipeline.run(steps))
        self.orders, self.reports = (np.concatenate([part[k] for part in parts]) for k in (1, 3))
        self.broker = broker[0]

    def orders_of(self, strategy):
        return self.orders[self.orders["strategy"] == strategy]

    def answers(self, strategy, kind):
        """(price, lots, reason) of each report of a kind to a strategy."""
        mine = self.reports[(self.reports["strategy"] == strategy) & (self.reports["kind"] == kind)]
        return [(int(r["px_ticks"]), int(r["qty_lots"]), Reason(int(r["reason"])).name) for r in mine]


def orders_at(market, *rows):
    """A schedule. rows: (seconds after the first message, side, lots, away from the best price of that side; None: market)."""
    events, _ = market
    found = np.zeros(len(rows), SCHEDULED).view(np.recarray)
    for row, (seconds, side, lots, away) in zip(found, rows, strict=True):
        row.time_ns, row.side, row.qty_lots = int(events[0].recv_ns) + int(seconds * SECOND), side, lots
        row.type, row.tif = (OrderType.MARKET, Tif.IOC) if away is None else (OrderType.LIMIT, Tif.GTC)
        if away is not None:
            quotes = events[(events.kind == 8) & (events.side == side) & (events.recv_ns <= row.time_ns)]
            row.px_ticks = int(quotes.px_ticks[-1]) + (-away if side == BUY else away)
    return found


def busy(market, first, every=0.5, count=100, lots=40):
    """Market orders there and back, from `first` seconds on."""
    return orders_at(market, *((first + k * every, BUY if k % 2 else SELL, lots, None) for k in range(count)))


@pytest.fixture(scope="module")
def three(market):
    """Two lists of orders around the strategy that comes with the program."""
    return Found(market, busy(market, 3.1), busy(market, 3.3, 0.7, 70, 25), names=[SCRIPTED, IMBALANCE, SCRIPTED])


def test_all_three_trade_and_every_record_is_whose_it_says(three):
    assert {k: int((three.orders["strategy"] == k).sum()) > 50 for k in range(3)} == dict.fromkeys(range(3), True)
    fills = three.reports[three.reports["kind"] == ReportKind.FILL]
    assert min(np.bincount(fills["strategy"], minlength=3)) > 5
    for k in range(3):
        returned = three.reports[(three.reports["flag_bits"] & ReportFlag.RETURNS_CREDIT != 0)]
        returned = returned[(returned["strategy"] == k) & (returned["kind"] != ReportKind.ACCOUNT)]
        assert len(returned) == len(three.orders_of(k)), "each record has one answer, its strategy's"
    halted_or_account = three.reports[np.isin(three.reports["kind"], (ReportKind.ACCOUNT, ReportKind.HALTED))]
    assert set(halted_or_account["strategy"]) == {0, 1, 2, 3}, "3: the account"


def test_after_every_report_the_shares_are_the_account(three):
    """Each ACCOUNT against ledgers that this test keeps from the fills; and their sum, at its mark."""
    cash0 = int(three.broker.ledger.cash0)
    shares, whole, told = [NaiveLedger(cash0) for _ in range(3)], NaiveLedger(cash0), [0] * 4
    checked = 0
    for report in three.reports:
        strategy = int(report["strategy"])
        if report["kind"] == ReportKind.FILL:
            fill = int(report["side"]), int(report["px_ticks"]), int(report["qty_lots"]), int(report["fee"])
            shares[strategy].fill(*fill)
            whole.fill(*fill)
        elif report["kind"] == ReportKind.ACCOUNT:
            account = report.view(ACCOUNT)
            mark, ledger = int(account["mark_ticks"]), whole if strategy == 3 else shares[strategy]
            got = [
                int(account[n]) for n in ("position_lots", "cost", "cash", "realized", "unrealized", "fees", "fills")
            ]
            assert got == [ledger.position, ledger.open_cost, ledger.cash, ledger.realized, ledger.unrealized(mark),
                           ledger.fees, len(ledger.fills)]  # fmt: skip
            told[strategy] = len(ledger.fills)
            if strategy == 3:
                assert told[:3] == [len(share.fills) for share in shares], "who filled is told before the account"
                assert told[3] == sum(told[:3])
                gained = sum(share.equity(mark) - cash0 for share in shares)
                assert gained == whole.equity(mark) - cash0
                parts = sum(share.realized + share.unrealized(mark) for share in shares)
                assert parts == whole.realized + whole.unrealized(mark)
                assert whole.position == sum(share.position for share in shares)
                checked += 1
    assert checked > 100


def test_a_strategys_own_ledger_is_the_brokers_of_it(three):
    for k in range(3):
        mine, share = three.strategies[k].ledger, three.broker.shares[k].ledger
        assert all(mine[name] == share[name] for name in LEDGER.names) and mine.fills > 0
    assert three.broker.ledger.fills == sum(s.ledger.fills for s in three.strategies)


def test_the_orders_log_is_merged_by_time_then_number_then_sequence(three):
    own = [three.orders_of(k) for k in range(3)]
    keys = [(int(o["created_ns"]), k, n) for k in range(3) for n, o in enumerate(own[k])]
    merged = [own[k][n] for _, k, n in sorted(keys)]
    assert [o.tobytes()[8:] for o in three.orders] == [o.tobytes()[8:] for o in merged]
    assert (three.orders["stamp"] == np.arange(1, len(keys) + 1)).all()


def test_at_equal_times_the_smaller_number_goes_first(market):
    rows = (5, BUY, 1, 2_000), (5, BUY, 2, 2_000), (6, SELL, 3, 2_000)
    found = Found(market, orders_at(market, *rows), orders_at(market, *rows), names=[SCRIPTED, SCRIPTED])
    new = found.orders[found.orders["kind"] == OrderKind.NEW]
    assert len(set(new["created_ns"])) == 2
    assert list(new["strategy"]) == [0, 0, 1, 1, 0, 1] and list(new["qty_lots"]) == [1, 2, 1, 2, 3, 3]
    accepted = found.reports[found.reports["kind"] == ReportKind.ACCEPTED]
    assert list(accepted["strategy"]) == [0, 0, 1, 1, 0, 1], "and so does the exchange"


def test_the_size_of_a_slice_changes_nothing(market, three):
    again = Found(
        market, *(g for g in three.given if len(g)), names=[SCRIPTED, IMBALANCE, SCRIPTED], steps=997
    )  # fmt: skip
    assert again.orders.tobytes() == three.orders.tobytes() and again.reports.tobytes() == three.reports.tobytes()


@pytest.mark.parametrize("names", [[IMBALANCE, SCRIPTED], [SCRIPTED, IMBALANCE]])
def test_beside_somebody_small_it_does_what_it_does_alone(market, names):
    """Far from every limit, and at other prices, nothing of the other one reaches it."""
    alone = Found(market, names=[IMBALANCE])
    small = busy(market, 3.1, 1.3, 40, 1)
    found = Found(market, small, names=names)
    mine = names.index(IMBALANCE)
    beside = found.orders_of(mine).copy()
    assert (beside["strategy"] == mine).all() and len(beside) == len(alone.orders) > 500
    beside["strategy"], beside["stamp"] = 0, alone.orders["stamp"]
    assert beside.tobytes() == alone.orders.tobytes()
    share, whole = found.broker.shares[mine].ledger, alone.broker.ledger
    assert all(share[name] == whole[name] for name in LEDGER.names) and whole.fills > 0
    assert found.broker.shares[1 - mine].ledger.fills > 10, "the other one traded meanwhile"


def test_a_limit_that_only_the_sum_breaks(market):
    """Each is within the position limit; the account, which has both, is not."""
    limit = {"strategy__risk_limits__max_position_size": "0.00100"}  # 100 lots
    limit = {"strategy__risk_limits__max_position_size": Decimal("0.00100")}  # 100 lots
    first, second = orders_at(market, (5, BUY, 70, None)), orders_at(market, (6, BUY, 70, None), (7, BUY, 30, None))
    alone = Found(market, second, names=[SCRIPTED], **limit)
    assert alone.answers(0, ReportKind.ACCEPTED) == [(0, 70, "NONE"), (0, 30, "NONE")]

    both = Found(market, first, second, names=[SCRIPTED, SCRIPTED], **limit)
    assert (both.orders["kind"] != OrderKind.REFUSED).all(), "neither's own gate has anything against it"
    assert both.answers(0, ReportKind.ACCEPTED) == [(0, 70, "NONE")]
    assert both.answers(1, ReportKind.ACCEPTED) == [(0, 30, "POSITION")]
    assert both.answers(1, ReportKind.REJECTED) == [(0, 30, "POSITION")]
    assert both.broker.ledger.position_lots == 100
    assert [int(s.ledger.position_lots) for s in both.strategies] == [70, 30]


def test_one_that_loses_ends_trading_for_all(market):
    """The daily loss is the account's: who goes on after it is told HALTED by the account, and refuses by itself."""
    loser = busy(market, 4, 0.25, 60, 1_000)
    # One sends what rests far away, to be there when trading ends.
    patient = orders_at(market, (2, BUY, 3, 5_000), (3, SELL, 3, 5_000), (50, BUY, 1, None))
    cap = Decimal(
        "0.0000015"
    )  # of the capital: two fees, the first of which is below the four fifths that make it careful
    found = Found(market, loser, patient, names=[SCRIPTED, SCRIPTED], sim__daily_loss_cap_pct=cap)
    halts = found.reports[found.reports["kind"] == ReportKind.HALTED]
    assert len(halts) == 1 and halts[0]["strategy"] == 2 and halts[0]["reason"] == Reason.DAILY_LOSS
    assert [reason for _, _, reason in found.answers(1, ReportKind.CANCELLED)] == ["DAILY_LOSS"] * 2
    refused = found.orders_of(1)[found.orders_of(1)["kind"] == OrderKind.REFUSED]
    assert [Reason(int(r)).name for r in refused["reason"]] == ["DAILY_LOSS"]
    assert found.strategies[1].ledger.fills == 0


def test_strategies_do_not_trade_with_each_other(market):
    """One rests at the best price; the other one's order that would reach it is refused."""
    resting, reaching = orders_at(market, (5, BUY, 50, 0)), orders_at(market, (5.01, SELL, 20, -5_000))
    found = Found(market, resting, reaching, names=[SCRIPTED, SCRIPTED])
    assert found.answers(0, ReportKind.ACCEPTED)[0][1:] == (50, "NONE")
    assert [answer[1:] for answer in found.answers(1, ReportKind.REJECTED)] == [(20, "SELF_TRADE")]
    alone = Found(market, reaching, names=[SCRIPTED])
    assert alone.answers(0, ReportKind.REJECTED) == [] != alone.answers(0, ReportKind.FILL)


def test_what_one_has_taken_is_not_there_for_the_other(market):
    """The same market order, at the same time: together they get no more at a level than it displays."""
    whole = orders_at(market, (5, BUY, 4_000, None))
    alone = Found(market, whole, names=[SCRIPTED], risk__limits="none")
    both = Found(market, whole, whole, names=[SCRIPTED, SCRIPTED], risk__limits="none")
    first, second = (both.answers(k, ReportKind.FILL) for k in (0, 1))
    assert first == alone.answers(0, ReportKind.FILL)
    assert second[0][0] >= first[-1][0] and sum(lots for _, lots, _ in second) > 0
    double = orders_at(market, (5, BUY, 8_000, None))
    expected, got = {}, {}
    for px, lots, _ in Found(market, double, names=[SCRIPTED], risk__limits="none").answers(0, ReportKind.FILL):
        expected[px] = expected.get(px, 0) + lots
    for px, lots, _ in first + second:
        got[px] = got.get(px, 0) + lots
    assert got == expected


def test_as_many_as_there_may_be(market):
    rows = [orders_at(market, (5 + k / 10, BUY if k % 2 else SELL, 1 + k, None)) for k in range(8)]
    found = Found(market, *rows, names=[SCRIPTED] * 8)
    assert [int(s.ledger.position_lots) for s in found.strategies] == [(1 + k) * (1 if k % 2 else -1) for k in range(8)]
    assert found.broker.ledger.position_lots == 4
    assert found.orders.dtype == ORDER
    final = [r.view(ACCOUNT) for r in found.reports[-9:]]
    assert [int(a["strategy"]) for a in final] == list(range(9)), "at the end each one's share, then the account"
    assert all(a["flag_bits"] == ReportFlag.FINAL and a["kind"] == ReportKind.ACCOUNT for a in final)
