"""Everything that the strategy stage knows, in one record: no pointers, so it lies in shared memory and is copied as words."""

from typing import Any

import numpy as np

from ringsim.book import BOOK
from ringsim.control import RunState
from ringsim.errors import BadInput
from ringsim.fold.positions import POSITIONS
from ringsim.ledger import LEDGER, ledger_open
from ringsim.lifecycle import Lifecycle
from ringsim.limits import CANCEL_ALL_CREDITS, CREDITS, OWN_ORDERS
from ringsim.records import NEVER_NS
from ringsim.risk.gate import RISK, risk_open
from ringsim.strategy.divergence import DIVERGENCE_STATE
from ringsim.strategy.features import FEATURE_STATE, features_open
from ringsim.strategy.foreign import USER_STATE, WAKE
from ringsim.strategy.imbalance import IMBALANCE_STATE
from ringsim.strategy.params import STRATEGY_PARAMS, StrategyParams
from ringsim.strategy.protocol import INTENT, MAX_INTENTS, OWN_ORDER, TAGS, VIEW
from ringsim.strategy.scripted import SCRIPTED_STATE

_HELD = np.dtype(  # a refused order, held back
    [
        ("until_ns", "i8"),  # 0: nothing is held
        ("side", "i8"),
        ("px_ticks", "i8"),
        ("any_px", "i8"),  # 1: another price would not help
        ("by_state", "i8"),  # 1: trading was not ACTIVE; only its change helps
    ]
)

STRATEGY_STATE = np.dtype(
    [
        ("p", STRATEGY_PARAMS),
        ("pos", POSITIONS),
        ("timer_ns", "i8"),
        ("credits", "i8"),
        ("cancel_all_credits", "i8"),
        ("book", BOOK),
        ("f", FEATURE_STATE),
        ("v", VIEW),
        ("own", IMBALANCE_STATE),  # of the strategies only the chosen one's is used
        ("scripted", SCRIPTED_STATE),
        ("divergence", DIVERGENCE_STATE),
        ("user", USER_STATE),
        ("wake_ns", "i8"),  # when the chosen one wants to be called by the clock
        ("intents", INTENT, (MAX_INTENTS,)),
        ("orders", OWN_ORDER, (OWN_ORDERS,)),
        ("held", _HELD, (TAGS,)),
        ("ledger", LEDGER),
        ("risk", RISK),
        # words of the others, as told
        ("lifecycle", "i8"),
        ("run", "i8"),
        ("account_trading", "i8"),  # Trading, from the account's reports
        ("account_reason", "i8"),
        # what is remembered between inputs
        ("working_buy_lots", "i8"),  # left of the own orders
        ("working_sell_lots", "i8"),
        ("mark_ticks", "i8"),  # last mid, rounded down
        ("trigger_seq", "i8"),  # last market event
        ("trigger_ns", "i8"),
        ("last_order_id", "i8"),
        ("signal_id", "i8"),  # of the newest signal
        ("signal_ns", "i8"),  # when it began
        ("first_entry_ns", "i8"),  # its first entry order, 0 none yet
        ("entry_signal_id", "i8"),  # signal of the newest entry order: a close belongs to it
        ("snapshot_ns", "i8"),  # next SNAPSHOT, NEVER_NS before the first
        ("held_ns", "i8"),  # earliest time at which an order held back may be tried again
        ("starved", "i8"),  # 1: the strategy wanted to act and lacked credits
        ("cancel_all", "i8"),  # 1: the own gate halted, and what works has not been cancelled yet
        ("ended", "i8"),
        # counters, for the summary
        ("messages", "i8"),  # market messages that ended
        ("decisions", "i8"),
        ("signals", "i8"),
        ("submitted", "i8"),  # NEW
        ("adjusted", "i8"),  # of them, made smaller by the own gate
        ("cancels", "i8"),
        ("fills", "i8"),
        ("snapshots", "i8"),
        ("no_credit", "i8"),
        ("held_back", "i8"),
        ("refused", "i8", (128,)),  # by Reason
    ]
)


def strategy_init(params: StrategyParams, wake_ns: int = NEVER_NS) -> np.ndarray:
    """The state at the start of a run: STRATEGY_STATE[1], as if READY, RUNNING, ACTIVE. Cold.

    wake_ns: when the strategy wants to be called by the clock for the first time.

    Raises BadInput with every parameter that lies outside its range.
    """
    problems = params.problems()
    if problems:
        raise BadInput("strategy: " + "; ".join(problems))
    state = np.zeros(1, STRATEGY_STATE).view(np.recarray)
    s: Any = state[0]
    params.store(s.p)
    features_open(s.f, params.feature_window_ns, params.feature_store)
    ledger_open(s.ledger, params.capital)
    risk_open(s.risk, params.limits, params.capital, params.utc_offset_ns)
    s.credits, s.cancel_all_credits = CREDITS, CANCEL_ALL_CREDITS
    s.lifecycle, s.run = Lifecycle.READY, RunState.RUNNING
    s.snapshot_ns = s.held_ns = NEVER_NS
    s.own.wake_ns = s.divergence.wake_ns = s.divergence.next_ns = NEVER_NS
    s.user.own.words[WAKE] = NEVER_NS
    s.scripted.start_ns = NEVER_NS if params.realtime else 0
    s.timer_ns = s.wake_ns = s.scripted.wake_ns = wake_ns
    s.trigger_seq = -1
    return state
