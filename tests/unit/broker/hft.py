"""hftbacktest, driven through its own library: a list of orders on an event array, and what became of each order.

The engine is called as its Python classes call it (hftbacktest.binding), without their compiled wrappers, which take half a
minute to compile. Everything is read from the order as the receiver knows it at the end; whole fills leave all there is.
"""

import ctypes
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import pytest

from ringsim.records import OrderType, Side, Tif

hftbacktest = pytest.importorskip("hftbacktest", reason="hftbacktest is not installed (no wheel for this Python)")
from hftbacktest import binding  # noqa: E402
from hftbacktest.order import (  # noqa: E402
    CANCELED,
    EXPIRED,
    FILLED,
    FOK,
    GTC,
    GTX,
    IOC,
    LIMIT,
    MARKET,
    NEW,
    PARTIALLY_FILLED,
)
from hftbacktest.order import NONE as NO_REQUEST  # noqa: E402

STATUS = {
    0: "none",
    NEW: "new",
    EXPIRED: "expired",
    FILLED: "filled",
    CANCELED: "cancelled",
    PARTIALLY_FILLED: "partial",
}
_TIF = {Tif.GTC: GTC, Tif.IOC: IOC, Tif.FOK: FOK, Tif.POST_ONLY: GTX}
_TYPE = {OrderType.LIMIT: LIMIT, OrderType.MARKET: MARKET}
_END = 1
_ROWS = [("req_ts", "i8"), ("exch_ts", "i8"), ("resp_ts", "i8"), ("_padding", "i8")]


class Fate(NamedTuple):
    """Of one order. status: in words. px_ticks, lots, exch_ns: of its (last) fill; lots of the whole order left."""

    status: str
    px_ticks: int
    lots: int
    left_lots: int
    exch_ns: int


def replay(data, schedule, instrument, *, entry_ns=0, response_ns=0, queue="risk-averse", partial=False, rows=None):
    """{row: Fate} of every row of the schedule that was sent before the data ended, and the final position in lots.

    rows: (request, exchange, response) of measured orders, instead of the constant latencies.
    """
    with _engine(data, instrument, entry_ns, response_ns, queue, partial, rows) as bt:
        tick, lot = float(instrument.tick), float(instrument.lot)
        sent = _send(bt, schedule, tick, lot)
        orders = binding.hashmapbt_orders(bt, 0)
        fates = {row: _fate(order, lot) for row in sent if (order := _order(orders, row)) is not None}
        return fates, round(binding.hashmapbt_position(bt, 0) / lot)


def steps(data, schedule, instrument, *, entry_ns, response_ns, queue="risk-averse"):
    """{row: [Fate after each answer]} with partial fills, of orders that follow one another: each is gone before the next.

    Answers that arrive at one time are seen as one, the last. And the final position in lots.
    """
    with _engine(data, instrument, entry_ns, response_ns, queue, partial=True) as bt:
        tick, lot = float(instrument.tick), float(instrument.lot)
        found = {}
        for k, row in enumerate(schedule):
            _until(bt, int(row.time_ns))
            _submit(bt, k, row, tick, lot)
            found[k] = []
            for end in (int(row.time_ns + row.cancel_after_ns), int(row.time_ns + row.cancel_after_ns) + SETTLED_NS):
                while (left := end - binding.hashmapbt_current_timestamp(bt)) > 0:
                    binding.hashmapbt_hashmapbt_wait_order_response(bt, 0, k, left)
                    fate = _fate(_order(binding.hashmapbt_orders(bt, 0), k), lot)
                    if fate.status != "none" and fate not in found[k]:
                        found[k].append(fate)
                order = _order(binding.hashmapbt_orders(bt, 0), k)
                if order["status"] in (NEW, PARTIALLY_FILLED) and order["req"] == NO_REQUEST:
                    binding.hashmapbt_cancel(bt, 0, k, False)
        return found, round(binding.hashmapbt_position(bt, 0) / lot)


SETTLED_NS = 20_000_000  # after a cancel: its answer has come


@contextmanager
def _engine(data, instrument, entry_ns, response_ns, queue, partial, rows=None):
    """A backtest over the data, at its first event; its handle."""
    tick, lot = float(instrument.tick), float(instrument.lot)
    name, _, exponent = queue.partition(":")
    asset = hftbacktest.BacktestAsset().linear_asset(1.0)
    if rows is None:
        asset = asset.constant_order_latency(entry_ns, response_ns)
    else:
        measured = np.array(
            [(*row, 0) for row in rows], _ROWS
        )  # must live as long as the engine, which may not copy it
        asset = asset.intp_order_latency(measured)
    asset = asset.trading_value_fee_model(0.0, 0.0).tick_size(tick).lot_size(lot).last_trades_capacity(0)
    asset = asset.risk_adverse_queue_model() if name == "risk-averse" else asset.power_prob_queue_model(float(exponent))
    asset = asset.partial_fill_exchange() if partial else asset.no_partial_fill_exchange()
    asset.data([data])
    bt = hftbacktest.build_hashmap_backtest([asset])
    try:
        assert binding.hashmapbt_elapse(bt, 0) == 0  # to the first event: before it there is no time
        yield bt
    finally:
        binding.hashmapbt_close(bt)


def _send(bt, schedule, tick, lot):
    """Walk through the data and the list together; returns the rows that were sent."""
    todo = sorted(
        [(int(row.time_ns), 1, k) for k, row in enumerate(schedule)]
        + [(int(row.time_ns + row.cancel_after_ns), 0, k) for k, row in enumerate(schedule) if row.cancel_after_ns > 0]
    )
    sent = []
    for time_ns, new, k in todo:
        if not _until(bt, time_ns):
            return sent
        if new:
            _submit(bt, k, schedule[k], tick, lot)
            sent.append(k)
        else:
            order = _order(binding.hashmapbt_orders(bt, 0), k)
            if order["status"] in (NEW, PARTIALLY_FILLED) and order["req"] == NO_REQUEST:
                assert binding.hashmapbt_cancel(bt, 0, k, False) == 0
    while binding.hashmapbt_elapse(bt, 1_000_000_000) != _END:
        pass
    return sent


def _until(bt, time_ns):
    """Let the data pass up to a time of the receiver. False if it ended before."""
    wait = time_ns - binding.hashmapbt_current_timestamp(bt)
    return wait <= 0 or binding.hashmapbt_elapse(bt, wait) != _END


def _submit(bt, k, row, tick, lot):
    submit = binding.hashmapbt_submit_buy_order if row.side == Side.BUY else binding.hashmapbt_submit_sell_order
    code = submit(bt, 0, k, row.px_ticks * tick, row.qty_lots * lot, _TIF[row.tif], _TYPE[row.type], False)
    assert code == 0, f"row {k}: {code}"


def _order(orders, k):
    address = binding.orders_get(orders, k)
    if not address:
        return None
    memory = (ctypes.c_byte * binding.order_dtype.itemsize).from_address(address)
    return np.frombuffer(memory, binding.order_dtype)[0]


def _fate(order, lot):
    status = STATUS[int(order["status"])]
    filled = status in ("filled", "partial")
    return Fate(
        status,
        int(order["exec_price_tick"]) if filled else 0,
        round(float(order["exec_qty"]) / lot) if filled else 0,
        round(float(order["leaves_qty"]) / lot),
        int(order["exch_timestamp"]),
    )
