"""The order book of a generated market: a ladder of levels around its price, and the messages that it makes.

    book         `levels` a side, `spread_ticks` apart; the ladder moves with the price; levels are redrawn, pulled, traded away
    transport    each message is received base latency (and up to transport_jitter_ns) after it happened, in order

    time ->   P0        P1        P2        P3                    PREDICTION events
                   lag ->  M0        M1        M2                 LEVEL events: the ladder moves to the price

Invariants: at equal times the market comes before the prediction, so that a decision on P(k) at lag = j steps sees
M = P(k - j). Sides never cross, and each has a level. Integers and counter-based random words only.
Twin: tests/naive/synthetic.py.
"""

import numpy as np

from ringsim.draws import below
from ringsim.kernel import kernel
from ringsim.limits import MESSAGE_EVENTS, SYNTHETIC_LEVELS
from ringsim.market.walk import FINE, SYNTHETIC, SyntheticParams, make_params
from ringsim.records import EventFlag, EventKind, Side

EPOCH_NS = 1_704_067_200_000_000_000  # 2024-01-01T00:00:00Z: when every generated session begins
SLOT_NS = 1_000_000  # activity of the book is drawn for each millisecond

_GENERATOR = np.dtype(
    [
        ("p", SYNTHETIC),
        ("started", "i8"),
        ("prediction", "i8"),  # next step to predict
        ("market", "i8"),  # next step for the market to follow
        ("slot", "i8"),  # millisecond whose activity comes next ...
        ("slot_size", "i8", (3,)),  # ... how much of each kind
        ("slot_done", "i8"),
        ("drawn", "i8", (16,)),  # random words taken from each stream
        ("recv_ns", "i8"),
        ("updates", "i8"),
        ("trades", "i8"),
        ("message", "i8"),
        ("top", "i8", (2,)),  # price of level 0: highest bid place, lowest ask place
        ("lots", "i8", (2, SYNTHETIC_LEVELS)),  # level k lies k ticks from it; 0: empty
        ("next", "i8", (SYNTHETIC_LEVELS,)),  # room to move a side in
    ]
)

# Streams of random words; those before them are the walk's.
_TRANSPORT, _SLOT, _LOTS, _PLACE, _PULL, _TRADE_SIDE, _TRADE_LOTS = (np.int64(k) for k in range(8, 15))

_BUY, _SELL = np.int64(Side.BUY), np.int64(Side.SELL)
_LAST = np.int64(EventFlag.LAST)
_E_LEVEL, _E_TRADE, _E_PREDICTION, _E_BEGIN, _E_END = (
    np.int64(k)
    for k in (
        EventKind.LEVEL,
        EventKind.TRADE,
        EventKind.PREDICTION,
        EventKind.SNAPSHOT_BEGIN,
        EventKind.SNAPSHOT_END,
    )
)
_NONE, _NEVER = np.int64(0), np.int64(1 << 62)
_ROOM = MESSAGE_EVENTS // 4  # events of one call of `_next` at most: a ladder deleted and set, a snapshot
assert 4 * SYNTHETIC_LEVELS + 4 <= _ROOM


@kernel
def _draw(g, stream, bound):
    """The next number of a stream, 0..bound - 1."""
    g.drawn[stream] += 1
    return below(g.p.seed, stream, g.drawn[stream], bound)


@kernel
def _some_lots(g):
    """Quantity of a level: uniform, mean level_lots."""
    return 1 + _draw(g, _LOTS, 2 * g.p.level_lots - 1)


@kernel
def _emit(g, out, exch_ns, kind, side, px, qty, number, flag_bits):
    """One event of the message in hand; all of a message are received at once."""
    e = out.records[out.count[0]]
    e.stamp = 0
    e.exch_ns, e.recv_ns = exch_ns, g.recv_ns
    e.px_ticks, e.qty_lots, e.id = px, qty, number
    e.source_seq, e.code, e.symbol = g.message, 0, 0
    e.kind, e.side, e.flag_bits, e.pad = kind, side, flag_bits, 0
    out.count[0] += 1


@kernel
def _begin(g, exch_ns):
    """A message happens: when it is received."""
    late = g.p.latency_ns
    if g.p.transport_jitter_ns > 0:
        late += below(g.p.seed, _TRANSPORT, g.message, g.p.transport_jitter_ns + 1)
    g.recv_ns = max(g.recv_ns, exch_ns + late)


@kernel
def _end(g, out):
    """Its last event is there."""
    out.records[out.count[0] - 1].flag_bits = _LAST
    g.message += 1


@kernel
def _price(g, side, k):
    """Price of place k of a side, 0 (bid) or 1 (ask)."""
    return g.top[side] - k if side == 0 else g.top[side] + k


@kernel
def _level(g, out, exch_ns, side, k):
    """The level in place k as it is now."""
    _emit(
        g, out, exch_ns, _E_LEVEL, _BUY if side == 0 else _SELL, _price(g, side, k), g.lots[side, k], g.updates, _NONE
    )


@kernel
def _tops(g, fine):
    """Where the sides begin when the market's price is this: (bid, ask), spread_ticks apart, the price between them."""
    half = g.p.spread_ticks << (FINE - 1)
    bid = (fine - half + (1 << (FINE - 1))) >> FINE
    return bid, bid + g.p.spread_ticks


@kernel
def _open(g, fine, out):
    """The snapshot at the start."""
    g.top[0], g.top[1] = _tops(g, fine)
    _begin(g, EPOCH_NS)
    _emit(g, out, EPOCH_NS, _E_BEGIN, _NONE, _NONE, _NONE, g.updates, _NONE)
    for side in range(2):
        for k in range(g.p.levels):
            g.lots[side, k] = _some_lots(g)
            _level(g, out, EPOCH_NS, side, k)
    _emit(g, out, EPOCH_NS, _E_END, _NONE, _NONE, _NONE, g.updates, _NONE)
    _end(g, out)
    g.started = 1


@kernel
def _shift(g, out, exch_ns, side, top):
    """A side moves to another top: first what lies beyond it now goes, then what it gains comes."""
    levels = g.p.levels
    by = top - g.top[side] if side == 1 else g.top[side] - top  # place k was place k + by
    for k in range(levels):
        if (k < by or k >= levels + by) and g.lots[side, k] > 0:
            g.lots[side, k] = 0
            _level(g, out, exch_ns, side, k)
    for k in range(levels):
        old = k + by
        g.next[k] = g.lots[side, old] if 0 <= old < levels else _NONE
    g.top[side] = top
    for k in range(levels):
        g.lots[side, k] = g.next[k]


@kernel
def _fill(g, out, exch_ns, side, by):
    """What a side has gained by moving, and a first level if none was left."""
    levels = g.p.levels
    some = False
    for k in range(levels):
        old = k + by
        if not 0 <= old < levels:
            g.lots[side, k] = _some_lots(g)
            _level(g, out, exch_ns, side, k)
        some = some or g.lots[side, k] > 0
    if not some:
        g.lots[side, 0] = _some_lots(g)
        _level(g, out, exch_ns, side, 0)


@kernel
def _move(g, fine, exch_ns, out):
    """The market's price is this now: the ladder moves there. No message if it stays where it is."""
    bid, ask = _tops(g, fine)
    if bid == g.top[0] and ask == g.top[1]:
        return
    _begin(g, exch_ns)
    g.updates += 1
    bid_by, ask_by = g.top[0] - bid, ask - g.top[1]
    _shift(g, out, exch_ns, 0, bid)
    _shift(g, out, exch_ns, 1, ask)
    _fill(g, out, exch_ns, 0, bid_by)
    _fill(g, out, exch_ns, 1, ask_by)
    _end(g, out)


@kernel
def _set(g, out, exch_ns, side, k, lots):
    """One level changes, as a message."""
    _begin(g, exch_ns)
    g.updates += 1
    g.lots[side, k] = lots
    _level(g, out, exch_ns, side, k)
    _end(g, out)


@kernel
def _others(g, side, k):
    """Whether a side has another level than place k."""
    others = 0
    for other in range(g.p.levels):
        others += other != k and g.lots[side, other] > 0
    return others > 0


@kernel
def _depth(g, exch_ns, out):
    """A level is redrawn: orders came, or some were cancelled."""
    place = _draw(g, _PLACE, 2 * g.p.levels)
    side, k = place // g.p.levels, place % g.p.levels
    lots = _some_lots(g)
    if lots != g.lots[side, k]:
        _set(g, out, exch_ns, side, k, lots)


@kernel
def _cancel(g, exch_ns, out):
    """A level is pulled, unless it is the last one of its side."""
    place = _draw(g, _PULL, 2 * g.p.levels)
    side, k = place // g.p.levels, place % g.p.levels
    if g.lots[side, k] > 0 and _others(g, side, k):
        _set(g, out, exch_ns, side, k, _NONE)


@kernel
def _trade(g, exch_ns, out):
    """Somebody takes from the best level of a side: a trade, and the level as it leaves it."""
    side = _draw(g, _TRADE_SIDE, 2)
    lots = 1 + _draw(g, _TRADE_LOTS, 2 * g.p.trade_lots - 1)
    k = 0
    while g.lots[side, k] == 0:
        k += 1
    there = g.lots[side, k]
    lots = min(lots, there if _others(g, side, k) else there - 1)
    if lots == 0:
        return
    _begin(g, exch_ns)
    g.trades += 1
    _emit(g, out, exch_ns, _E_TRADE, _SELL if side == 0 else _BUY, _price(g, side, k), lots, g.trades, _NONE)
    _end(g, out)
    _set(g, out, exch_ns, side, k, there - lots)


@kernel
def _rate_count(g, hz):
    """How many events of a rate fall in the next millisecond: its whole part, and one more by chance."""
    return hz // 1000 + (1 if _draw(g, _SLOT, 1000) < hz % 1000 else 0)


@kernel
def _next_activity_ns(g):
    """When something happens in the book by itself, ns since the start; NEVER after the end."""
    end = g.p.duration_ns // SLOT_NS
    while g.slot < end:
        size = g.slot_size[0] + g.slot_size[1] + g.slot_size[2]
        if g.slot_done < 0:
            g.slot_size[0] = _rate_count(g, g.p.depth_hz)
            g.slot_size[1] = _rate_count(g, g.p.cancel_hz)
            g.slot_size[2] = _rate_count(g, g.p.trade_hz)
            g.slot_done = 0
        elif g.slot_done < size:
            return g.slot * SLOT_NS + (g.slot_done + 1) * SLOT_NS // (size + 1)
        else:
            g.slot += 1
            g.slot_done = -1
    return _NEVER


@kernel
def _act(g, exch_ns, out):
    """The next thing that happens in the book by itself."""
    n = g.slot_done
    g.slot_done += 1
    if n < g.slot_size[0]:
        _depth(g, exch_ns, out)
    elif n < g.slot_size[0] + g.slot_size[1]:
        _cancel(g, exch_ns, out)
    else:
        _trade(g, exch_ns, out)


@kernel
def generate(gs, predictions, times_ns, prices, out):
    """Append the session's next events to `out` until it may be too small for more, or the session ends.

    gs: from new_generator. predictions: from `predict`. times_ns, prices: from `follow`. Returns whether it ended.
    """
    g = gs[0]
    if g.started == 0:
        _open(g, predictions[0], out)
    end = g.p.duration_ns
    while out.count[0] + _ROOM <= out.records.size:
        market = times_ns[g.market] if g.market < times_ns.size and times_ns[g.market] <= end else _NEVER
        prediction = g.prediction * g.p.step_ns if g.prediction < predictions.size else _NEVER
        activity = _next_activity_ns(g)
        if market <= activity and market <= prediction:
            if market == _NEVER:
                return True
            _move(g, prices[g.market], EPOCH_NS + market, out)
            g.market += 1
        elif activity <= prediction:
            _act(g, EPOCH_NS + activity, out)
        else:
            _begin(g, EPOCH_NS + prediction)
            px = (predictions[g.prediction] + (1 << (FINE - 1))) >> FINE
            _emit(g, out, EPOCH_NS + prediction, _E_PREDICTION, _NONE, px, _NONE, g.prediction, _NONE)
            _end(g, out)
            g.prediction += 1
    return False


def new_generator(params: SyntheticParams) -> np.recarray:
    """The state of a generator that has said nothing yet."""
    state = np.zeros(1, _GENERATOR).view(np.recarray)
    state["p"] = make_params(params)
    state[0].slot_done = -1
    return state
