"""From a configuration to the parameters of the folds, on one instrument's grid. The one place that knows both."""

from fractions import Fraction

from ringsim.broker.delays import Delays
from ringsim.broker.latency import LatencyModel
from ringsim.broker.params import BrokerParams
from ringsim.broker.queue import QueueModel
from ringsim.config import Config, capacities, instruments, limits_in_grid, strategy_kind, strategy_names
from ringsim.market.instruments import SYNTHETIC, find_instrument, quote_of
from ringsim.market.walk import FINE, Regime, SyntheticParams
from ringsim.strategy.params import StrategyParams
from ringsim.strategy.protocol import StrategyKind
from ringsim.units import Instrument

_MS = 1_000_000
_S = 1_000_000_000
_PPB = 1_000_000_000
_PPM = 1_000_000


def feed_pace(config: Config) -> tuple[bool, tuple[int, int]]:
    """Whether the feed has a clock that is not the session's, and its speed against it, a fraction."""
    paced = config.run.clock == "realtime" and config.run.speed != "max"
    return paced, Fraction(str(config.run.speed)).as_integer_ratio() if paced else (1, 1)


def strategy_params(
    config: Config,
    instrument: Instrument,
    number: int = 0,
    *,
    utc_offset_ns: int = 0,
    first_ns: int = 0,
    user_words: tuple[int, ...] = (),
) -> StrategyParams:
    """Of the configured strategy of that number.

    utc_offset_ns: added to the stage's now gives UTC; 0 where now is UTC already. first_ns: receive time of the feed's first
    message, to which a scripted strategy's times are set under the realtime clock. user_words: parameters of a user's strategy.
    """
    paced, pace = feed_pace(config)
    own = config.strategy.divergence
    given, grid = config.strategy.params, limits_in_grid(config, instrument)
    names = strategy_names(config)
    return StrategyParams(
        strategy=number,
        strategies=len(names),
        kind=StrategyKind[strategy_kind(names[number]).upper()],
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
        divergence_threshold=float(config.sim.threshold),
        decision_interval_ns=config.sim.decision_interval_ms * _MS,
        hold_ns=(config.sim.market_lag_ms or 1 if own.hold_ms is None else own.hold_ms) * _MS,
        volatile_at=float(own.volatile_at),
        trend_at=float(own.trend_at),
        user_words=user_words,
        size_ppm=(int(own.size_sideways * _PPM), int(own.size_trend * _PPM), int(own.size_volatile * _PPM)),
    )


def broker_params(
    config: Config, instrument: Instrument, *, utc_offset_ns: int = 0, first_ns: int = 0, delays: Delays | None = None
) -> BrokerParams:
    """Of the paper exchange; the account has the same limits as each strategy, and enforces them where it counts: on all together.

    A model's name in the configuration is its name in the enum, in small letters. delays: the table of a latency model that
    has one; its least is the lower bound. first_ns: as for `strategy_params`.
    """
    given, grid = config.broker, limits_in_grid(config, instrument)
    paced, pace = feed_pace(config)
    return BrokerParams(
        strategies=len(strategy_names(config)),
        cash0=grid.start_cash,
        maker_cbps=grid.maker_cbps,
        taker_cbps=grid.taker_cbps,
        latency_model=LatencyModel[given.latency_model.upper()],
        entry_ns=delays.entry_ns if delays else given.entry_latency_ns,
        response_ns=delays.response_ns if delays else given.response_latency_ns,
        entry_jitter_ns=given.entry_jitter_ns,
        response_jitter_ns=given.response_jitter_ns,
        ns_per_bps=given.volatility_ns_per_bps,
        most_ns=given.volatility_most_ns,
        first_ns=first_ns if paced else 0,
        speed=pace,
        realtime=paced,
        seed=config.run.seed,
        queue_model=QueueModel[given.queue_model.upper()],
        queue_n=float(given.queue_exponent),
        whole_fills=given.whole_fills,
        adverse_pct=given.adverse_pct if given.adverse_fills else 0,
        slippage_ticks=given.slippage_ticks if given.slippage_model == "ticks" else 0,
        slippage_cbps=int(given.slippage_bps * 100) if given.slippage_model == "bps" else 0,
        rate_orders=given.rate_limit_orders if given.rate_limit_model == "windows" else 0,
        rate_window_ns=given.rate_limit_s * _S,
        snapshot_interval_ns=config.strategy.persistence.snapshot_interval_ms * _MS,
        utc_offset_ns=utc_offset_ns,
        limits=grid.account,
    )


def synthetic_instrument(config: Config) -> Instrument:
    """What the generated market trades: the first of strategy.symbols, on its grid in [instruments.synthetic], else .01 x .001."""
    symbol = config.strategy.symbols[0]
    known = find_instrument(symbol, SYNTHETIC, instruments(config))
    return known or Instrument(symbol, "0.01", "0.001", SYNTHETIC, quote_of(symbol))


def synthetic_params(config: Config, instrument: Instrument) -> SyntheticParams:
    """Of the configured generated market, on its instrument's grid; what has a part of a lot is rounded down."""
    sim, book = config.sim, config.sim.book
    tick, lot = Fraction(instrument.tick), Fraction(instrument.lot)
    seconds = sim.duration_s if config.run.duration_s is None else config.run.duration_s
    return SyntheticParams(
        seed=config.run.seed if sim.seed is None else sim.seed,
        start_fine=int(Fraction(sim.start_price) / tick * (1 << FINE)),
        duration_ns=int(Fraction(seconds) * _S),
        step_ns=sim.step_ms * _MS,
        lag_ns=sim.market_lag_ms * _MS,
        jitter_ns=sim.lag_jitter_ms * _MS,
        latency_ns=config.feed.base_latency_ns,
        transport_jitter_ns=sim.transport_jitter_ns,
        regime=Regime[sim.regime.upper()],
        regime_steps=max(1, sim.regime_ms // sim.step_ms),
        jump_ppb=int(sim.jump_share * _PPB),
        levels=book.levels,
        spread_ticks=book.spread_ticks,
        level_lots=int(Fraction(book.level_size) / lot),
        trade_lots=int(Fraction(book.trade_size) / lot),
        depth_hz=book.depth_hz,
        cancel_hz=book.cancel_hz,
        trade_hz=book.trade_hz,
        sigma=float(sim.sigma),
        noise=float(sim.noise),
        jump_by=float(sim.jump_by),
    )
