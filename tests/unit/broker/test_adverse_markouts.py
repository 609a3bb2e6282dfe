"""What the fill model of adverse selection is for: the good fills become fewer with P, and what is left has worse mark-outs."""

import numpy as np
import pytest

from ringsim.analysis.markouts import NO_MARKOUT, markouts
from ringsim.analysis.tops import Tops
from ringsim.broker.exchange import broker_init
from ringsim.broker.params import BrokerParams
from ringsim.broker.queue import QueueModel
from ringsim.market.feed import fold_capture
from ringsim.market.instruments import SYNTHETIC
from ringsim.market.synthetic import prepare_synthetic
from ringsim.market.walk import FINE, SyntheticParams
from ringsim.pipeline import Pipeline
from ringsim.records import OrderType, ReportKind, Side, Tif
from ringsim.risk.limits import RiskLimits
from ringsim.strategy.fold import strategy_init
from ringsim.strategy.params import StrategyParams
from ringsim.strategy.protocol import StrategyKind
from ringsim.strategy.schedule import SCHEDULED
from ringsim.units import Instrument

SECOND = 1_000_000_000
HORIZONS_NS = [1_000_000, 10_000_000, 100_000_000]


@pytest.fixture(scope="module")
def session():
    """Events, and orders that rest at the best price for two seconds: five minutes whose mid goes about a tick in a step.

    Generated, with levels twenty trades deep: where ticks are small, as in the shipped minute, hardly a level holds.
    """
    market = SyntheticParams(
        start_fine=10_000 << FINE, duration_ns=300 * SECOND, sigma=1e-4, trade_hz=50, trade_lots=50
    )
    events, _ = fold_capture(prepare_synthetic(market, Instrument("TICKS", "0.01", "0.001", SYNTHETIC, "USDT")))
    rng, count = np.random.default_rng(1), 600
    s = np.zeros(count, SCHEDULED).view(np.recarray)
    first, last = int(events.recv_ns[0]) + SECOND, int(events.recv_ns[-1]) - 5 * SECOND
    s.time_ns = np.sort(rng.integers(first, last, count))
    tops = Tops(events).at(np.searchsorted(events.recv_ns, s.time_ns, side="right") - 1)
    s.side, s.type, s.tif = rng.integers(1, 3, count), OrderType.LIMIT, Tif.POST_ONLY
    s.px_ticks = np.where(s.side == Side.BUY, tops["bid_ticks"], tops["ask_ticks"])
    s.qty_lots, s.cancel_after_ns = rng.integers(1, 100, count), 2 * SECOND
    return events, s


def fills(session, pct, model):
    """{(trade, order): (lots, mark-outs in half ticks at each horizon)} of every fill whose horizons the market has."""
    events, orders = session
    params = BrokerParams(cash0=1 << 50, maker_cbps=0, taker_cbps=0, queue_model=model, adverse_pct=pct)
    strategy = StrategyParams(capital=1 << 50, limits=RiskLimits(), kind=StrategyKind.SCRIPTED)
    pipeline = Pipeline(
        strategy_init(strategy, int(orders.time_ns[0])), broker_init(params), events, params.entry_ns, [orders]
    )
    reports = np.concatenate([part[3] for part in pipeline.run()])
    found = reports[reports["kind"] == ReportKind.FILL]
    told = [(int(r["filled_ns"]), int(r["side"]), int(r["px_ticks"])) for r in found]
    marks = markouts(events, events.exch_ns.copy(), told, HORIZONS_NS)
    return {
        (int(r["trigger_seq"]), int(r["order_id"])): (int(r["qty_lots"]), m)
        for r, m in zip(found, marks, strict=True)
        if (m != NO_MARKOUT).all()
    }


def mean_markouts(some):
    """Of fills, weighed by their lots, half ticks, at each horizon."""
    lots = np.array([lots for lots, _ in some])
    return (np.array([m for _, m in some]) * lots[:, None]).sum(axis=0) / lots.sum()


@pytest.mark.parametrize("model", [QueueModel.RISK_AVERSE, QueueModel.POWER])
def test_the_higher_the_chance_the_fewer_the_fills_and_the_worse_their_markouts(session, model):
    found = [list(fills(session, pct, model).values()) for pct in (0, 50, 100)]
    lots = [sum(lots for lots, _ in some) for some in found]
    means = [mean_markouts(some) for some in found]
    assert lots[0] > lots[1] > lots[2]
    assert (means[0] > means[1]).all() and (means[1] > means[2]).all()


@pytest.mark.parametrize("model", [QueueModel.RISK_AVERSE, QueueModel.POWER])
def test_what_others_have_would_have_been_better_than_what_is_left(session, model):
    all_fills, left = fills(session, 0, model), fills(session, 100, model)
    lost = [fill for key, fill in all_fills.items() if key not in left]
    kept = [fill for key, fill in all_fills.items() if key in left]
    assert min(len(lost), len(kept)) > 20 and (mean_markouts(lost) > mean_markouts(kept)).all()
