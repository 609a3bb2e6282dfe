"""hftbacktest over an event array, without orders: event by event, or in steps of time; None where it is not installed.

Its engine is called through the functions that its Python classes call, from compiled code, as its users do.
"""

import time
from collections.abc import Callable

import numpy as np

from ringsim.units import Instrument


def engine(data: np.ndarray, instrument: Instrument, latency_ns: int, laps: int) -> Callable[[int], float] | None:
    """What measures records a second of `data` (eventfile.EVENT[n]): of a call with step_ns, 0 for event by event.

    laps: how often a call goes through the data.
    """
    try:
        import hftbacktest
        from hftbacktest import binding
    except ImportError:
        return None
    import numba

    wait_next, elapse = binding.hashmapbt_wait_next_feed, binding.hashmapbt_elapse
    long_ns = 1 << 60

    @numba.njit
    def by_event(handle: int) -> int:
        count = 0
        while wait_next(handle, False, long_ns) != 1:  # 1: the data has ended
            count += 1
        return count

    @numba.njit
    def by_time(handle: int, step_ns: int) -> int:
        count = 0
        while elapse(handle, step_ns) != 1:
            count += 1
        return count

    def lap(step_ns: int) -> float:
        asset = hftbacktest.BacktestAsset().linear_asset(1.0).constant_order_latency(latency_ns, latency_ns)
        asset = asset.trading_value_fee_model(0.0, 0.0).risk_adverse_queue_model().partial_fill_exchange()
        asset = asset.tick_size(float(instrument.tick)).lot_size(float(instrument.lot)).last_trades_capacity(0)
        asset.data([data])
        handle = hftbacktest.build_hashmap_backtest([asset])
        try:
            began = time.perf_counter()
            if step_ns:
                by_time(handle, step_ns)
            else:
                by_event(handle)
            return time.perf_counter() - began
        finally:
            binding.hashmapbt_close(handle)

    def measure(step_ns: int) -> float:
        return laps * len(data) / sum(lap(step_ns) for _ in range(laps))

    return measure
