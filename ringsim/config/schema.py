"""What can be set: one struct a section, one field a key under its TOML name, with type, range and default.

Invariants: `Config()` is the table of defaults; a range stands in the annotation of its field and nowhere else.
[strategy] and its defaults are the founding documents', and so are the names in [sim].
"""

from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from ringsim import limits
from ringsim.risk.limits import RATE_MAX


class Within(NamedTuple):
    """A range, both ends included; `step`: only its multiples; `why`: said to whoever leaves it."""

    low: Decimal
    high: Decimal
    step: Decimal = Decimal(0)
    why: str = ""


def _within(low: float | str, high: float | str, step: str = "0", why: str = "") -> Within:
    return Within(Decimal(str(low)), Decimal(str(high)), Decimal(step), why)


SMALL = "0.000000000001"  # stands for "above zero"
_RATES = limits.MAX_FEE_CBPS // 100

Share = Annotated[Decimal, _within(0, 1)]
PositiveShare = Annotated[Decimal, _within(SMALL, 1)]
Quantity = Annotated[Decimal, _within(SMALL, 10**12)]
Money = Annotated[Decimal, _within(SMALL, 10**15)]
Millis = Annotated[int, _within(1, 86_400_000)]
Bps = Annotated[Decimal, _within(0, _RATES, "0.01")]
SignedBps = Annotated[Decimal, _within(-_RATES, _RATES, "0.01")]
LatencyNs = Annotated[int, _within(1, 60_000_000_000, why="zero would let an answer arrive with its question")]
JitterNs = Annotated[int, _within(0, 60_000_000_000)]
SlippageTicks = Annotated[int, _within(0, 1_000_000)]
Percent = Annotated[int, _within(0, 100)]
RateOrders = Annotated[int, _within(1, 1_000_000)]
RateSeconds = Annotated[int, _within(1, 86_400)]
EventRate = Annotated[int, _within(0, 100_000)]
Seed = Annotated[int, _within(0, 2**63 - 1)]
SizeShare = Annotated[Decimal, _within("0.000001", 1, "0.000001")]
Core = Annotated[int, _within(0, 4095)]
WaitName = Literal["auto", "busy", "yield", "backoff"]
ProfileName = Literal["dev", "demo", "bench"]
Market = Literal["spot", "usdm", "coinm", "lobster", "synthetic"]


def _capacity(low: int, why: str) -> Within:
    return _within(low, limits.MAX_CAPACITY, why=why)


_CREDIT_RING = limits.CREDITS + limits.CANCEL_ALL_CREDITS + limits.STRATEGY_OUT


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A table of the file."""


class Run(Section, frozen=True, kw_only=True):
    """What to run and how."""

    source: str = "sample"  # one of SOURCE_FORMS
    clock: Literal["realtime", "simulated"] = "realtime"
    speed: Annotated[Decimal | Literal["max"], _within("0.001", 1_000_000)] = Decimal(1)  # paces the realtime feed only
    seed: Seed = 1
    duration_s: Annotated[Decimal, _within("0.001", 10**9)] | None = None  # of event time; all of the source without it
    out: str | None = None  # the run's folder; runs/<id> without it
    profile: ProfileName = "dev"


class Params(Section, frozen=True, kw_only=True):
    """[strategy.params]"""

    imbalance_threshold: Annotated[Decimal, _within("0.000001", 1, "0.000001")] = Decimal("0.3")
    min_confidence: Annotated[Decimal, _within(0, 1, "0.000001")] = Decimal("0.7")
    feature_window_ms: Millis = 1000
    signal_decay_ms: Millis = 500
    max_position_size: Quantity = Decimal("1.0")
    order_size_fraction: Annotated[Decimal, _within("0.000001", 1, "0.000001")] = Decimal("0.5")


class RiskLimits(Section, frozen=True, kw_only=True):
    """[strategy.risk_limits]: the strategy's own; the smallest limit wins."""

    max_position_size: Quantity = Decimal("1.0")
    max_order_size: Quantity = Decimal("0.5")
    max_notional_exposure: Money = Decimal("100000.0")
    max_orders_per_second: Annotated[int, _within(1, RATE_MAX)] = 10


class Performance(Section, frozen=True, kw_only=True):
    """[strategy.performance]: capacities, rounded up to powers of two."""

    buffer_capacity: Annotated[int, _capacity(16, "the feature window's store")] = 10_000
    market_channel_size: Annotated[int, _capacity(64, "a batch is at most a quarter of the ring")] = 10_000
    order_channel_size: Annotated[
        int,
        _capacity(
            _CREDIT_RING, "all credits and one input's worst case must fit, or everybody could wait for everybody"
        ),
    ] = 1_000
    persist_channel_size: Annotated[int, _capacity(limits.EXECUTION_OUT, "the reports of one input must fit")] = 10_000


class Persistence(Section, frozen=True, kw_only=True):
    """[strategy.persistence]"""

    database_path: str = "./data/strategy.db"  # lies in the run's folder
    snapshot_interval_ms: Millis = 60_000
    batch_size: Annotated[int, _within(1, 1_000_000)] = 100


class Divergence(Section, frozen=True, kw_only=True):
    """[strategy.divergence]; its threshold and decision interval are sim.threshold and sim.decision_interval_ms."""

    hold_ms: Millis | None = None  # of a trade; sim.market_lag_ms without it: until the market has arrived
    volatile_at: Share = Decimal("0.002")  # root mean square return from a decision to the next: volatile from here on
    trend_at: Share = Decimal("0.45")  # way gone / way walked of the last 64 decisions: a trend from here on
    size_trend: SizeShare = Decimal(1)  # of the size that strategy.params.order_size_fraction gives
    size_sideways: SizeShare = Decimal("0.5")
    size_volatile: SizeShare = Decimal("0.25")


Free = Annotated[bool | int | Decimal, _within(-(2**63), 2**63 - 1)]  # the strategy's file says more


class Strategy(Section, frozen=True, kw_only=True):
    """[strategy]"""

    strategy_id: str | tuple[str, ...] = "imbalance_v1"  # of several strategies as many
    name: str | tuple[str, ...] = "imbalance"  # one of STRATEGY_FORMS, or a list of them: several at once
    symbols: tuple[str, ...] = ("BTCUSDT",)
    paper_trading: bool = True
    params: Params = Params()
    divergence: Divergence = Divergence()
    user: dict[str, Free] = {}  # [strategy.user]: what FILE.py:NAME has as its parameters
    risk_limits: RiskLimits = RiskLimits()
    performance: Performance = Performance()
    persistence: Persistence = Persistence()


class Broker(Section, frozen=True, kw_only=True):
    """The paper broker: how the exchange behaves. docs/exchange.md has the models' formulas."""

    queue_model: Literal["risk_averse", "power", "log", "power2", "log2", "power3", "fifo"] = "risk_averse"
    queue_exponent: Annotated[Decimal, _within(SMALL, 16)] = Decimal(2)  # of power, power2 and power3
    latency_model: Literal["constant", "jitter", "rows", "measured", "volatility"] = "constant"
    entry_latency_ns: LatencyNs = 1_000_000  # order to exchange; jitter: the least
    response_latency_ns: LatencyNs = 1_000_000
    entry_jitter_ns: JitterNs = 0  # jitter: uniform from 0 to this on top, drawn from run.seed
    response_jitter_ns: JitterNs = 0
    volatility_ns_per_bps: JitterNs = 0  # volatility: on top for each basis point that the mid went in the last second
    volatility_most_ns: JitterNs = 0  # volatility: what that adds at most
    latency_rows: str | None = None  # rows: the CSV file
    latency_run: str | None = None  # measured: a finished run, its id or its folder
    maker_bps: SignedBps | None = None  # sim.fee_bps without it; negative: a rebate
    taker_bps: SignedBps | None = None
    slippage_model: Literal["none", "ticks", "bps"] = "none"
    slippage_ticks: SlippageTicks = 0  # ticks: what a taker pays beyond each level
    slippage_bps: Bps = Decimal(0)  # bps: the same as a share of the level's price, rounded up to a tick
    rate_limit_model: Literal["none", "windows"] = "none"
    rate_limit_orders: RateOrders = 50  # windows: new orders and replacements that the venue takes in one
    rate_limit_s: RateSeconds = 10  # windows: how long one is; they begin at its multiples of UTC
    whole_fills: bool = False  # all of an order once any of it is executable, a taker's at the best price
    adverse_fills: bool = False  # a trade at an order's price fills it for sure only where its level is about to go
    adverse_pct: Percent = 50  # adverse_fills: else others there have the trade with this probability


class Risk(Section, frozen=True, kw_only=True):
    """The account. Its shares of capital are sim.max_position_pct (an intent) and sim.daily_loss_cap_pct."""

    capital: Money = Decimal(limits.START_CASH)  # quote units
    limits: Literal["enforced", "none"] = "enforced"  # none: for comparisons with programs that have no limits


class SimBook(Section, frozen=True, kw_only=True):
    """[sim.book]: the generated order book; its tick and lot are those of [instruments.synthetic.SYMBOL], .01 and .001 without."""

    levels: Annotated[int, _within(1, limits.SYNTHETIC_LEVELS)] = 10  # a side, a tick apart
    spread_ticks: Annotated[int, _within(1, 100_000)] = 2
    level_size: Quantity = Decimal(20)  # mean quantity of a level, uniform from one lot to nearly twice that
    trade_size: Quantity = Decimal(1)  # mean quantity of a trade, likewise
    depth_hz: EventRate = 100  # levels redrawn, a second
    cancel_hz: EventRate = 20  # levels pulled
    trade_hz: EventRate = 20  # trades against the best level


class Sim(Section, frozen=True, kw_only=True):
    """The lab's keys: the generated market, and the shares and fees that every run uses."""

    threshold: PositiveShare = Decimal("0.003")
    max_position_pct: PositiveShare = Decimal("0.005")  # of capital, for one trade intent
    daily_loss_cap_pct: PositiveShare = Decimal("0.02")  # of capital; reaching it halts
    market_lag_ms: Annotated[int, _within(0, 86_400_000)] = 120
    decision_interval_ms: Millis = 50
    fee_bps: Bps = Decimal("2.0")  # maker and taker, unless broker.maker_bps and broker.taker_bps are given
    seed: Seed | None = None  # of the generator; run.seed without it
    start_price: Quantity = Decimal("100.0")
    sigma: PositiveShare = Decimal("0.001")  # of one step
    step_ms: Millis = 50  # between two predictions
    duration_s: Annotated[Decimal, _within("0.001", 10**6)] = Decimal(60)  # of the session; run.duration_s wins
    lag_jitter_ms: Annotated[int, _within(0, 86_400_000)] = 0  # uniform from 0 to this on top of market_lag_ms
    transport_jitter_ns: JitterNs = 0  # uniform, on top of feed.base_latency_ns
    noise: Annotated[Decimal, _within(0, "0.1")] = Decimal(
        0
    )  # of the market around the late prediction, a share of the price
    regime: Literal["calm", "trend", "sideways", "volatile", "mixed"] = "calm"
    regime_ms: Millis = 10_000  # mixed: how long one lasts
    jump_share: Share = Decimal(0)  # of the steps that jump
    jump_by: PositiveShare = Decimal("0.01")
    book: SimBook = SimBook()


class Wait(Section, frozen=True, kw_only=True):
    """[pipeline.wait]: how a stage waits; auto: as cores allow."""

    ingest: WaitName = "auto"
    strategy: WaitName = "auto"
    execution: WaitName = "auto"
    persistence: WaitName = "auto"


class Cores(Section, frozen=True, kw_only=True):
    """[pipeline.cores]: the core a stage is held on; placed by pipeline.placement without it."""

    ingest: Core | None = None
    strategy: Core | None = None
    execution: Core | None = None
    persistence: Core | None = None


class Pipeline(Section, frozen=True, kw_only=True):
    """The processes."""

    placement: Literal["auto", "none"] = "auto"
    lossless_market: bool = False  # realtime: whether the feed waits for the strategy; the simulated clock always waits
    warmup_ticks: Annotated[int, _within(1, 1_000_000)] = 1_000
    rehearse: bool = (
        True  # realtime: a waiting stage folds a made-up market, so that the next message finds it in practice
    )
    slice_us: Annotated[
        int, _within(10, limits.SLICE_NS // 1000, why="signals and commands are seen between slices")
    ] = limits.SLICE_NS // 1000
    pause_us: Annotated[int, _within(0, 100_000)] = (
        0  # simulated clock: after 16 inputs, of a run to be watched or struck
    )
    journal_entries: Annotated[int, _within(1 << 10, 1 << 20)] = limits.JOURNAL_ENTRIES
    restart_budget: Annotated[int, _within(0, 1_000)] = limits.RESTART_BUDGET
    restart_window_s: Annotated[int, _within(1, 86_400)] = limits.RESTART_WINDOW_NS // 1_000_000_000
    storage_patience_s: Annotated[int, _within(1, 86_400)] = limits.STORAGE_PATIENCE_S  # a full disk, a locked database
    wait: Wait = Wait()
    cores: Cores = Cores()


class Feed(Section, frozen=True, kw_only=True):
    """What is assumed of a capture."""

    base_latency_ns: LatencyNs = 1_000_000  # from the exchange to us, once the clocks' skew is removed
    tick: Quantity | None = None  # grid of event files; taken from the first one without it
    lot: Quantity | None = None


class Grid(Section, frozen=True, kw_only=True):
    """[instruments.MARKET.SYMBOL]: an instrument that the shipped table lacks, or another grid for one it has."""

    tick: Quantity
    lot: Quantity
    quote: str = "USDT"


class Config(Section, frozen=True, kw_only=True):
    """The whole configuration. `Config()` is all defaults."""

    run: Run = Run()
    strategy: Strategy = Strategy()
    broker: Broker = Broker()
    risk: Risk = Risk()
    sim: Sim = Sim()
    pipeline: Pipeline = Pipeline()
    feed: Feed = Feed()
    instruments: dict[Market, dict[str, Grid]] = {}


# What a profile changes. dev is the defaults.
PROFILES: dict[str, dict[str, Any]] = {
    "dev": {},
    "demo": {  # something to see within seconds; a generated market of every kind
        "run.speed": 10,
        "strategy.persistence.snapshot_interval_ms": 1_000,
        "sim.duration_s": 600,
        "sim.regime": "mixed",
        "sim.noise": Decimal("0.0002"),
        "sim.jump_share": Decimal("0.001"),
    },
    "bench": {  # long rings and rare writes: what is measured is the path, not the disk
        "strategy.performance.market_channel_size": 1 << 16,
        "strategy.performance.persist_channel_size": 1 << 16,
        "strategy.persistence.batch_size": 1_000,
        "sim.duration_s": 300,
        "sim.book.depth_hz": 2_000,
        "sim.book.cancel_hz": 400,
        "sim.book.trade_hz": 200,
    },
}

SOURCES = ("sample", "synthetic", "replay", "events", "lobster")
WITH_FILES = ("replay", "events", "lobster")
SOURCE_FORMS = "sample, synthetic, replay:FILE[,FILE...], events:FILE[,FILE...] or lobster:MSG.csv[,BOOK.csv]"
STRATEGIES = ("imbalance", "divergence", "scripted")
STRATEGY_FORMS = "imbalance, divergence, scripted:FILE.csv or FILE.py:NAME"
ACCOUNT = "account"  # the name of what several strategies come to together
