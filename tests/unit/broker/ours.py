"""A list of orders through the folds: what became of each, in the words of tests.unit.broker.hft."""

import numpy as np

from ringsim.broker.exchange import broker_init
from ringsim.broker.params import BrokerParams
from ringsim.pipeline import Pipeline
from ringsim.records import OrderKind, Reason, ReportKind
from ringsim.risk.limits import RiskLimits
from ringsim.strategy.fold import strategy_init
from ringsim.strategy.params import StrategyParams
from ringsim.strategy.protocol import StrategyKind
from tests.unit.broker.hft import Fate

EXPIRED = {Reason.WOULD_TAKE, Reason.NOT_FILLABLE, Reason.NO_LIQUIDITY}


def replay(events, schedule, delays=None, **broker):
    """({row: Fate}, {row: Reason} of those that ended as hftbacktest's cannot, final position in lots).

    delays: of a latency model that looks them up. broker: of BrokerParams. No limits, neither the strategy's nor the
    account's; no fees.
    """
    params = BrokerParams(**{"cash0": 1 << 50, "maker_cbps": 0, "taker_cbps": 0} | broker)
    strategy = StrategyParams(capital=1 << 50, limits=RiskLimits(), kind=StrategyKind.SCRIPTED)
    states = strategy_init(strategy, int(schedule[0].time_ns)), broker_init(params, delays)
    parts = list(Pipeline(*states, events, params.entry_ns, [schedule]).run())
    orders, reports = (np.concatenate([part[k] for part in parts]) for k in (1, 3))
    sent = orders[np.isin(orders["kind"], (OrderKind.NEW, OrderKind.REFUSED))]
    assert (sent["created_ns"] == schedule.time_ns[: len(sent)]).all(), "each row at its time"
    rows = {int(o["order_id"]): k for k, o in enumerate(sent) if o["kind"] == OrderKind.NEW}
    other = {k: Reason(int(o["reason"])) for k, o in enumerate(sent) if o["kind"] == OrderKind.REFUSED}
    fates, fills = {}, {}
    for r in reports:
        kind, row = r["kind"], rows.get(int(r["order_id"]))
        if row is None or kind == ReportKind.ACCOUNT:
            continue
        left, acted = int(r["left_lots"]), int(r["acted_ns"])
        if kind == ReportKind.ACCEPTED:
            fates[row] = Fate("new", 0, 0, left, acted)
        elif kind == ReportKind.FILL:
            status = "partial" if left else "filled"
            fates[row] = Fate(status, int(r["px_ticks"]), int(r["qty_lots"]), left, int(r["filled_ns"]))
            fills.setdefault(row, []).append(fates[row])
        elif kind in (ReportKind.CANCELLED, ReportKind.REJECTED):
            reason = Reason(int(r["reason"]))
            if reason in EXPIRED:
                fates[row] = Fate("expired", 0, 0, int(r["left_lots"] or r["qty_lots"]), acted)
            elif reason == Reason.ASKED:
                fates[row] = Fate("cancelled", 0, 0, left, acted)
            elif reason != Reason.END_OF_FEED:
                other[row] = reason
    return fates, other, fills, int(states[1][0].ledger.position_lots)
