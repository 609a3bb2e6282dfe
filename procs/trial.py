"""A user's strategy is tried before a run has it: called with a made-up market, in a process that may hang or die of it.

Invariant: what does not return within TRIAL_S of the processor's time, or kills its process, never enters a run. That a trial
goes well proves nothing: a run has its watchdog.
"""

import faulthandler
import os
import signal
from typing import Any

from ringsim.errors import BadInput
from ringsim.records import Side
from ringsim.strategy.foreign import decide_user, install
from ringsim.strategy.params import StrategyParams
from ringsim.strategy.protocol import Cause, StrategyKind
from ringsim.strategy.state import strategy_init
from ringsim.strategy.user import Loaded

TRIAL_S = 3
_TURNS = 64  # of every cause
_PX, _LOTS, _STEP_NS = 100_000, 1_000, 1_000_000


def try_out(user: Loaded) -> None:
    """Raises BadInput, one line, if it hangs or dies."""
    s: Any = strategy_init(StrategyParams(kind=StrategyKind.USER, capital=1, user_words=user.params))[0]
    install(0, None)
    _decide(s)  # the program's own part is compiled before the clock runs
    user.install()
    whole = f"the strategy {user.file.path}:{user.file.name}"
    pid = os.fork()
    if pid == 0:
        try:
            faulthandler.disable()  # it may be on in the process that tries: the one line says enough
            signal.signal(signal.SIGVTALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_VIRTUAL, TRIAL_S)
            _try(s)
        finally:
            os._exit(0)
    install(0, None)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number == signal.SIGVTALRM:
            raise BadInput(f"{whole} is too slow: tried with a made-up market, it did not return within {TRIAL_S} s")
        raise BadInput(f"{whole} kills its process: {signal.Signals(number).name}, tried with a made-up market")


def _decide(s: Any) -> None:
    decide_user(s.p.strategy, s.user, s.p.user, s.f.now, s.v, s.orders, s.intents)


def _try(s: Any) -> None:
    f, v = s.f.now, s.v
    for turn in range(_TURNS):
        for cause in Cause:
            v.cause, v.now_ns = cause, v.now_ns + _STEP_NS
            v.may_act, v.may_send = 1, int(cause != Cause.END and turn > 0)
            f.ready = int(turn > 0)
            _market(f, turn, int(v.now_ns))
            v.position_lots, v.own_orders = (turn % 5 - 2) * 10, turn % (len(s.orders) + 1)
            v.prediction_ticks = _PX + turn
            for k in range(v.own_orders):
                order = s.orders[k]
                order.order_id, order.side, order.px_ticks = k + 1, Side.BUY + k % 2, _PX - k
                order.qty_lots = order.left_lots = 10
            s.user.fault = 0  # what it raises here, it may raise: nothing of this market is real
            _decide(s)


def _market(f: Any, turn: int, now_ns: int) -> None:
    """A market that leans from one side to the other."""
    lean = turn % 9 - 4
    f.sample, f.time_ns = turn, now_ns
    f.bid_ticks, f.ask_ticks, f.mid2_ticks = _PX + lean, _PX + lean + 1 + turn % 3, 2 * (_PX + lean) + 1 + turn % 3
    f.bid_lots = f.bid_depth_lots = _LOTS * (5 + lean)
    f.ask_lots = f.ask_depth_lots = _LOTS * (5 - lean)
    f.move2_ticks, f.imbalance, f.depth_ratio = lean, lean / 5, (5 + lean) / (5 - lean)
    f.microprice_ticks, f.spread_bps, f.pressure_bps = float(_PX + lean), 1.0, float(lean)
    f.momentum_bps, f.volatility, f.trade_flow = float(lean), 0.0001, lean / 5
