"""What a configuration means in integers: ring sizes, limits in lots and money, fees, and the paths that it names.

Invariant: rounding never widens a limit. Money is ticks x lots, fees are hundredths of a basis point.
"""

from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import msgspec

from ringsim.config.problems import BadConfig, Problem
from ringsim.config.schema import ACCOUNT, WITH_FILES, Config
from ringsim.limits import FEATURE_WINDOW, MAX_NOTIONAL, MAX_QTY_LOTS
from ringsim.risk.limits import MONEY_MAX, RiskLimits
from ringsim.units import Instrument


def in_run_folder(path: str, folder: Path) -> Path:
    """A path of the configuration: `~` expanded, relative ones in the run's folder."""
    return folder / Path(path).expanduser()


class Capacities(msgspec.Struct, frozen=True):
    """Powers of two."""

    market: int
    orders: int
    reports: int
    window: int
    journal: int


def capacities(config: Config) -> Capacities:
    """The rings' and stores' sizes in records, rounded up to powers of two."""
    sizes = config.strategy.performance
    return Capacities(
        market=power_of_two(sizes.market_channel_size),
        orders=power_of_two(sizes.order_channel_size),
        reports=power_of_two(sizes.persist_channel_size),
        window=min(power_of_two(sizes.buffer_capacity), FEATURE_WINDOW),
        journal=power_of_two(config.pipeline.journal_entries),
    )


class InGrid(msgspec.Struct, frozen=True):
    """What a configuration means on one instrument's grid. Money is ticks x lots, fees are hundredths of a basis point."""

    limits: RiskLimits  # of the strategy; with risk.limits = "none" only strategy.params.max_position_size
    account: RiskLimits  # of the account; the same, or none at all
    start_cash: int
    maker_cbps: int
    taker_cbps: int


def limits_in_grid(config: Config, instrument: Instrument) -> InGrid:
    """The limits, the capital and the fees as integers. Limits are rounded toward zero: never wider than asked for.

    Limits beyond the program's own bounds become those bounds. Raises BadConfig, with all problems, where a limit is less
    than one lot or tick x lot, or the capital is more than the instrument's money can count.
    """
    strategy, sim, risk = config.strategy, config.sim, config.strategy.risk_limits
    problems: list[Problem] = []
    lot = Fraction(Decimal(instrument.lot))
    unit = Fraction(Decimal(instrument.tick)) * lot

    def count(path: str, amount: Fraction, step: Fraction, bound: int) -> int:
        steps = int(amount / step)
        if steps == 0:
            smallest = f"one lot ({instrument.lot})" if step == lot else f"tick x lot ({float(unit):g})"
            problems.append(Problem(path, instrument.symbol, f"{float(amount):g} is less than {smallest}"))
        return min(steps, bound)

    def lots(path: str, size: Decimal) -> int:
        return count(path, Fraction(size), lot, MAX_QTY_LOTS)

    def money(path: str, amount: Fraction, bound: int = MONEY_MAX) -> int:
        return count(path, amount, unit, bound)

    capital = Fraction(config.risk.capital)
    if capital / unit > MONEY_MAX:
        text = f"{config.risk.capital} cannot be counted in tick x lot ({float(unit):g}); the most is {float(MONEY_MAX * unit):g}"
        problems.append(Problem("risk.capital", instrument.symbol, text))
    of_params = lots("strategy.params.max_position_size", strategy.params.max_position_size)
    of_limits = lots("strategy.risk_limits.max_position_size", risk.max_position_size)
    maker_bps, taker_bps = fees(config)
    configured = RiskLimits(
        max_intent=money("sim.max_position_pct", capital * Fraction(sim.max_position_pct), MAX_NOTIONAL),
        max_position_lots=min(of_params, of_limits),
        max_order_lots=lots("strategy.risk_limits.max_order_size", risk.max_order_size),
        max_notional=money("strategy.risk_limits.max_notional_exposure", Fraction(risk.max_notional_exposure)),
        orders_per_second=risk.max_orders_per_second,
        daily_loss_cap=money("sim.daily_loss_cap_pct", capital * Fraction(sim.daily_loss_cap_pct)),
    )
    enforced = config.risk.limits == "enforced"
    result = InGrid(
        # A strategy sizes its orders by what its limits leave, so without its own size it would ask for the whole market.
        limits=configured if enforced else RiskLimits(max_position_lots=of_params),
        account=configured if enforced else RiskLimits(),
        start_cash=money("risk.capital", capital),
        maker_cbps=int(maker_bps * 100),
        taker_cbps=int(taker_bps * 100),
    )
    if problems:
        raise BadConfig(problems)
    return result


def fees(config: Config) -> tuple[Decimal, Decimal]:
    """Maker and taker fee in basis points, exact: broker.maker_bps and taker_bps, or sim.fee_bps."""
    maker, taker, both = config.broker.maker_bps, config.broker.taker_bps, config.sim.fee_bps
    return (both if maker is None else maker, both if taker is None else taker)


def instruments(config: Config) -> list[Instrument]:
    """The instruments that the configuration adds to, or changes in, the shipped table."""
    return [
        Instrument(symbol, format(grid.tick, "f"), format(grid.lot, "f"), market, grid.quote)
        for market, symbols in config.instruments.items()
        for symbol, grid in symbols.items()
    ]


def source_files(source: str) -> list[str]:
    """The files of a `replay:FILE[,FILE...]` or `events:FILE[,FILE...]`; none for other sources."""
    kind, _, files = source.partition(":")
    return [name for name in files.split(",") if name] if kind in WITH_FILES else []


def schedule_file(strategy: str) -> str | None:
    """The file of a `scripted:FILE.csv`; None for another strategy."""
    kind, _, file = strategy.partition(":")
    return file if kind == "scripted" else None


def user_strategy(strategy: str) -> tuple[str, str] | None:
    """(file, name) of a `FILE.py:NAME`; None for another strategy, or without a NAME."""
    file, colon, name = strategy.rpartition(":")
    is_one = strategy_kind(strategy) == "user" and colon and file.endswith(".py") and name.isidentifier()
    return (file, name) if is_one else None


def strategy_kind(strategy: str) -> str:
    """What of the program runs it: imbalance, divergence, scripted, or user for a file in Python."""
    kind = strategy.partition(":")[0]
    is_file = strategy.endswith(".py") or ".py:" in strategy
    return "user" if is_file and kind != "scripted" else kind


def strategy_names(config: Config) -> tuple[str, ...]:
    """The strategies of the run, as --strategy writes them, in the order of their numbers."""
    name = config.strategy.name
    return (name,) if isinstance(name, str) else name


def strategy_ids(config: Config) -> tuple[str, ...]:
    """What the database calls the numbers in the records.

    One strategy has strategy.strategy_id. Several have as many as it lists, or else their kinds (of a user's own its NAME) and
    numbers; after them comes the account.
    """
    names, given = strategy_names(config), config.strategy.strategy_id
    if len(names) == 1:
        return (given,) if isinstance(given, str) else given
    if isinstance(given, str):
        given = tuple(f"{_label(name)}-{number}" for number, name in enumerate(names))
    return (*given, ACCOUNT)


def _label(strategy: str) -> str:
    user = user_strategy(strategy)
    return user[1] if user else strategy_kind(strategy)


def power_of_two(size: int) -> int:
    """The smallest power of two that is not below size >= 1."""
    return 1 << (size - 1).bit_length()
