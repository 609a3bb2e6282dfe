"""From a configuration to the parameters of the folds, on one instrument's grid. The one place that knows both."""

from fractions import Fraction

from ringsim.broker.latency import LatencyModel
from ringsim.broker.params import BrokerParams
from ringsim.broker.queue import QueueModel
from ringsim.config import Config, capacities, limits_in_grid, schedule_file
from ringsim.strategy.params import StrategyParams
from ringsim.strategy.protocol import StrategyKind
from ringsim.units import Instrument

_MS = 1_000_000
_PPM = 1_000_000


def strategy_params(
    config: Config, instrument: Instrument, *, utc_offset_ns: int = 0, first_ns: int = 0
) -> StrategyParams:
    """Of the configured strategy.

    utc_offset_ns: added to the stage's now gives UTC; 0 where now is UTC already. first_ns: receive time of the feed's first
    message, to which a scripted strategy's times are set under the realtime clock.
    """
    paced = config.run.clock == "realtime" and config.run.speed != "max"
    pace = Fraction(str(config.run.speed)).as_integer_ratio() if paced else (1, 1)
    given, grid = config.strategy.params, limits_in_grid(config, instrument)
    return StrategyParams(
        kind=StrategyKind.SCRIPTED if schedule_file(config.strategy.name) else StrategyKind.IMBALANCE,
        capital=grid.start_cash,
        limits=grid.limits,
        imbalance_threshold=float(given.imbalance_threshold),
        min_confidence_ppm=int(given.min_confidence * _PPM),
        signal_decay_ns=given.signal_decay_ms * _MS,
        feature_window_ns=given.feature_window_ms * _MS,
        feature_store=capacities(config).window,
        order_size_ppm=int(given.order_size_fraction * _PPM),
        snapshot_interval_ns=config.strategy.persistence.snapshot_interval_ms * _MS,
        utc_offset_ns=utc_offset_ns,
        realtime=paced,
        first_ns=first_ns if paced else 0,
        speed=pace,
    )


def broker_params(config: Config, instrument: Instrument, *, utc_offset_ns: int = 0) -> BrokerParams:
    """Of the paper exchange; the account has the same limits as the strategy, and enforces them where it counts.

    A model's name in the configuration is its name in the enum, in small letters.
    """
    given, grid = config.broker, limits_in_grid(config, instrument)
    return BrokerParams(
        cash0=grid.start_cash,
        maker_cbps=grid.maker_cbps,
        taker_cbps=grid.taker_cbps,
        latency_model=LatencyModel[given.latency_model.upper()],
        entry_ns=given.entry_latency_ns,
        response_ns=given.response_latency_ns,
        entry_jitter_ns=given.entry_jitter_ns,
        response_jitter_ns=given.response_jitter_ns,
        seed=config.run.seed,
        queue_model=QueueModel[given.queue_model.upper()],
        queue_n=float(given.queue_exponent),
        whole_fills=given.whole_fills,
        snapshot_interval_ns=config.strategy.persistence.snapshot_interval_ms * _MS,
        utc_offset_ns=utc_offset_ns,
        limits=grid.account,
    )
