"""What a run came to, from the last states of its folds: one dict for people, JSON and the manifest.

Invariant: the same folds give the same summary, whether they ran in one process or in five; only `wall_s`, `rings`,
`restarts` and latencies under the realtime clock are the machine's.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from ringsim.ledger import ledger_equity, ledger_unrealized
from ringsim.lifecycle import Change
from ringsim.records import Reason, Trading
from ringsim.telemetry.histogram import summarize_us
from ringsim.units import Instrument

DONE, DEGRADED, HALTED, FAILED, INTERRUPTED = "DONE", "DEGRADED", "HALTED", "FAILED", "INTERRUPTED"

# What a run's end means to whoever started it.
EXIT_CODES = {DONE: 0, FAILED: 1, DEGRADED: 3, HALTED: 3, INTERRUPTED: 130}


def reasons(counts: Iterable[int]) -> dict[str, int]:
    """Counts by Reason number, by name, without zeros."""
    return {Reason(k).name: int(n) for k, n in enumerate(counts) if n}


def orders_summary(strategies: Any, broker: Any) -> dict[str, Any]:
    """What became of the orders: submitted are those that the strategies decided on, refused ones included."""
    counters, refused = broker.counters, reasons(sum(strategy.refused for strategy in strategies))
    rejected = reasons(counters.rejected)
    for name, n in refused.items():
        rejected[name] = rejected.get(name, 0) + n
    return {
        "submitted": int(counters.submitted) + sum(refused.values()),
        "accepted": int(counters.accepted),
        "provisional": int(counters.provisional),
        "adjusted": sum(int(strategy.adjusted) for strategy in strategies) + int(counters.adjusted),
        "rejected": dict(sorted(rejected.items())),
        "filled": int(counters.filled),
        "cancelled": int(counters.cancelled),
    }


def account_summary(broker: Any, instrument: Instrument) -> dict[str, Any]:
    """Position and money in units, exact; and why trading is halted, if it is."""
    halted = Reason(int(broker.risk.halt_reason)).name if int(broker.risk.trading) == Trading.HALTED else None
    return _ledger_summary(broker.ledger, int(broker.mark_ticks), instrument) | {"halted": halted}


def share_summary(strategy: Any, broker: Any, instrument: Instrument) -> dict[str, Any]:
    """What one strategy has of the account, as if its capital were its own: orders that it decided on, fills, position, money."""
    ledger, risk = broker.shares[int(strategy.p.strategy)].ledger, strategy.risk
    fault = int(strategy.user.fault) or (int(risk.halt_reason) if int(risk.trading) == Trading.HALTED else 0)
    return {
        "signals": int(strategy.signals),
        "orders": int(strategy.submitted) + int(strategy.refused.sum()),
        **_ledger_summary(ledger, int(broker.mark_ticks), instrument),
        "halted": Reason(fault).name if fault else None,
    }


def _ledger_summary(ledger: Any, mark: int, instrument: Instrument) -> dict[str, Any]:
    return {
        "fills": int(ledger.fills),
        "position": instrument.quantity(int(ledger.position_lots)),
        "cash": instrument.money(int(ledger.cash)),
        "equity": instrument.money(int(ledger_equity(ledger, mark))),
        "realized_pnl": instrument.money(int(ledger.realized)),
        "unrealized_pnl": instrument.money(int(ledger_unrealized(ledger, mark))),
        "fees": instrument.money(int(ledger.fees)),
    }


def lifecycle_summary(changes: Iterable[Change], started_ns: int) -> list[list[Any]]:
    """[[seconds since the start, state, reason]]."""
    return [[round((c.time_ns - started_ns) / 1e9, 6), c.after.name, c.reason] for c in changes]


def latency_summary(hops: np.ndarray, names: Iterable[str]) -> dict[str, dict[str, float]]:
    """Each hop's distribution, microseconds."""
    return {name: summarize_us(hops[k]) for k, name in enumerate(names)}


def exit_state(*, failure: str | None, interrupted: bool, strategies: Any, broker: Any, book_valid: bool) -> str:
    """How the run ended: the worst that is true."""
    if failure is not None:
        return FAILED
    if interrupted:
        return INTERRUPTED
    if int(broker.risk.trading) == Trading.HALTED or any(int(strategy.user.fault) for strategy in strategies):
        return HALTED
    if not book_valid:
        return DEGRADED
    return DONE
