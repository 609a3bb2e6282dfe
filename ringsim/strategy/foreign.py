"""A strategy that is not of this program: how the fold calls a kernel that it does not know, and what it takes from it.

    install(address) ──> a word ──┐
                                  v
    decide_user ── copies of p, f, v, orders ──> the user's kernel ──> count or a failure ──> intents, each checked

The kernels of the fold come from a cache that a user's file must not be in; so they call it through a word of this process,
one for each number of a strategy, in an external symbol for them. A launcher sets it before it forks. While it is 0 (a warm-up)
nobody decides.

Invariants:
- Of all that it is handed the user's kernel can change its own state and the intents: the rest are copies, gone after the call.
- What it raises (bounds are checked, a division by zero counts) ends the call and nothing else; then, and if it returns no
  number of intents, it is not called any more: `fault` says why.
- An intent that is no order is refused on record with a reason (BAD_ORDER, BAD_PRICE, BAD_QUANTITY, NOTIONAL); a cancel of
  nothing, or a signal that cannot be, is left out. `bad` counts both.
- By the clock it is called once for each time that it names, USER_WAKE_NS from now at the soonest.
"""

from typing import Any

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import overload
from numba.np.arrayobj import populate_array

from ringsim.atomics import intrinsic
from ringsim.kernel import kernel
from ringsim.limits import (
    MAX_NOTIONAL,
    MAX_PRICE_TICKS,
    MAX_QTY_LOTS,
    MAX_STRATEGIES,
    OWN_ORDERS,
    USER_STATE_BYTES,
    USER_WAKE_NS,
)
from ringsim.limits import USER_PARAMS as PARAM_WORDS
from ringsim.records import NEVER_NS, OrderFlag, OrderKind, OrderType, Reason, Side, Tif
from ringsim.strategy.features import FEATURE_VALUES
from ringsim.strategy.protocol import INTENT, MAX_INTENTS, ONCE, OWN_ORDER, TAGS, VIEW
from ringsim.strategy.sizing import WHOLE_PPM

WAKE = 0  # word of its own state

USER_PARAMS = np.dtype([("words", "i8", (PARAM_WORDS,))])  # of a dtype that only the user's file knows
USER_STATE = np.dtype(
    [
        ("fault", "i8"),  # Reason why it is not called any more, 0: it is
        ("fault_ns", "i8"),
        ("bad", "i8"),  # intents that were none
        ("signal", "i8"),  # 1: one is live
        ("own", np.dtype([("words", "i8", (USER_STATE_BYTES // 8,))])),  # likewise; the first word is wake_ns
    ]
)

_FAILED = np.int64(-(1 << 62))  # what a call gives that ended with an exception
_SYMBOL = "ringsim_user_strategies"
_words = np.zeros(MAX_STRATEGIES, np.int64)
llvmlite.binding.add_symbol(_SYMBOL, _words.ctypes.data)
_held: dict[int, Any] = {}  # the compiled code must live as long as the word names it


def signature(own: np.dtype, params: np.dtype) -> tuple[Any, ...]:
    """The types of the arguments with which a user's kernel is compiled."""
    records = [numba.from_dtype(dtype) for dtype in (own, params, FEATURE_VALUES, VIEW)]
    return (*records, *(types.Array(numba.from_dtype(dtype), 1, "C") for dtype in (OWN_ORDER, INTENT)))


def install(address: int, code: Any, strategy: int = 0) -> None:
    """Make a compiled kernel the one that this process's folds call for a strategy, by its number.

    code: kept alive. 0, None: nobody decides.
    """
    _words[strategy] = address
    _held[strategy] = code


# The call


def _load_word(builder: Any, strategy: Any) -> Any:
    """The word of a strategy, from the module that is being compiled. strategy: i64, 0..MAX_STRATEGIES - 1."""
    kind = ir.ArrayType(ir.IntType(64), MAX_STRATEGIES)
    try:
        words = builder.module.get_global(_SYMBOL)
    except KeyError:
        words = ir.GlobalVariable(builder.module, kind, _SYMBOL)
        words.linkage = "external"
    return builder.load(builder.gep(words, [ir.Constant(ir.IntType(64), 0), strategy]))


@intrinsic
def _address(typingctx, strategy):
    def codegen(context, builder, signature, args):
        return _load_word(builder, args[0])

    return types.int64(types.int64), codegen


def _array(context, builder, kind, data, count):
    """An array of records over memory that nobody counts."""
    array = context.make_array(kind)(context, builder)
    size = ir.Constant(ir.IntType(64), kind.dtype.size)
    data = builder.bitcast(data, array.data.type)
    populate_array(array, data=data, shape=[ir.Constant(size.type, count)], strides=[size], itemsize=size, meminfo=None)
    return array


@intrinsic
def _call_word(typingctx, strategy, own, p, f, v, orders, intents):
    records = (own, p, f, v)
    arrays = tuple(types.Array(numba.from_dtype(dtype), 1, "C") for dtype in (OWN_ORDER, INTENT))

    def codegen(context, builder, signature, args):
        i64 = ir.IntType(64)

        def copied(source, size_bytes):
            room = builder.bitcast(cgutils.alloca_once(builder, ir.ArrayType(i64, size_bytes // 8)), cgutils.voidptr_t)
            source = builder.bitcast(source, cgutils.voidptr_t)
            cgutils.raw_memcpy(builder, room, source, ir.Constant(i64, 1), ir.Constant(i64, size_bytes))
            return room

        strategy, *args = args
        values = [args[0]]
        for kind, value in zip(records[1:], args[1:4], strict=True):
            values.append(builder.bitcast(copied(value, kind.size), value.type))
        sources = [
            context.make_array(t)(context, builder, a).data for t, a in zip(signature.args[5:], args[4:], strict=True)
        ]
        mine = copied(sources[0], OWN_ORDERS * OWN_ORDER.itemsize)
        values.append(_array(context, builder, arrays[0], mine, OWN_ORDERS)._getvalue())
        proposed = _array(context, builder, arrays[1], sources[1], MAX_INTENTS)
        cgutils.memset(builder, proposed.data, ir.Constant(i64, MAX_INTENTS * INTENT.itemsize), 0)
        values.append(proposed._getvalue())

        # numba's own way of calling: a status, the result and an exception behind pointers.
        call = context.call_conv
        kind = call.get_function_type(types.int64, (*records, *arrays))
        function = builder.inttoptr(_load_word(builder, strategy), kind.as_pointer())
        result = cgutils.alloca_once_value(builder, ir.Constant(i64, 0))
        raised = cgutils.alloca_once(builder, kind.args[1].pointee)
        packed = call._get_arg_packer((*records, *arrays)).as_arguments(builder, values)
        status = builder.call(function, [result, raised, *packed])
        returned = builder.icmp_signed("==", status, ir.Constant(status.type, 0))
        return builder.select(returned, builder.load(result), ir.Constant(i64, int(_FAILED)))

    return types.int64(types.int64, own, p, f, v, orders, intents), codegen


def _installed(strategy):
    """A strategy's word: its kernel's address, 0 if there is none."""
    return 0


def _call(strategy, own, p, f, v, orders, intents):
    """Call a strategy's kernel. Returns what it returned, _FAILED if it raised. It needs compiled code: here there is none."""
    return 0


@overload(_installed)
def _(strategy):
    return lambda strategy: _address(strategy)


@overload(_call)
def _(strategy, own, p, f, v, orders, intents):
    return lambda strategy, own, p, f, v, orders, intents: _call_word(strategy, own, p, f, v, orders, intents)


# What comes of it

_NEW, _CANCEL = np.int64(OrderKind.NEW), np.int64(OrderKind.CANCEL)
_SIGNAL, _SIGNAL_END = np.int64(OrderKind.SIGNAL), np.int64(OrderKind.SIGNAL_END)
_BUY, _SELL = np.int64(Side.BUY), np.int64(Side.SELL)
_LIMIT, _MARKET = np.int64(OrderType.LIMIT), np.int64(OrderType.MARKET)
_GTC, _IOC, _FOK, _POST_ONLY = (np.int64(t) for t in (Tif.GTC, Tif.IOC, Tif.FOK, Tif.POST_ONLY))
_CLOSES, _ONCE, _NEVER = np.int64(OrderFlag.CLOSES), np.int64(ONCE), np.int64(NEVER_NS)
_BAD_ORDER, _BAD_PRICE = np.int64(Reason.BAD_ORDER), np.int64(Reason.BAD_PRICE)
_BAD_QUANTITY, _NOTIONAL = np.int64(Reason.BAD_QUANTITY), np.int64(Reason.NOTIONAL)
_RAISED, _COUNT = np.int64(Reason.STRATEGY_RAISED), np.int64(Reason.STRATEGY_COUNT)
_NOTHING, _GOOD = np.int64(0), np.int64(0)


@kernel
def order_fault(intent):
    """Why an intent of kind NEW is no order, a Reason; 0 if it is one."""
    if intent.side != _BUY and intent.side != _SELL:
        return _BAD_ORDER
    if intent.type != _LIMIT and intent.type != _MARKET:
        return _BAD_ORDER
    if intent.tif != _GTC and intent.tif != _IOC and intent.tif != _FOK and intent.tif != _POST_ONLY:
        return _BAD_ORDER
    if intent.type == _MARKET and intent.tif == _POST_ONLY:
        return _BAD_ORDER
    if intent.tag < _ONCE or intent.tag >= TAGS or (intent.flag_bits & ~_CLOSES) != 0:
        return _BAD_ORDER
    if intent.px_ticks < (1 if intent.type == _LIMIT else 0) or intent.px_ticks > MAX_PRICE_TICKS:
        return _BAD_PRICE
    if intent.type == _MARKET and intent.px_ticks != 0:
        return _BAD_PRICE
    if intent.qty_lots < 0 or intent.qty_lots > MAX_QTY_LOTS or intent.size_ppm < 0 or intent.size_ppm > WHOLE_PPM:
        return _BAD_QUANTITY
    if intent.px_ticks > 0 and intent.qty_lots > MAX_NOTIONAL // intent.px_ticks:
        return _NOTIONAL
    return _GOOD


@kernel
def _repair(intent):
    """What goes on record of an order that is none: whatever of it lies in its range."""
    if intent.side != _BUY and intent.side != _SELL:
        intent.side = 0
    if intent.type != _LIMIT and intent.type != _MARKET:
        intent.type = 0
    if intent.tif != _GTC and intent.tif != _IOC and intent.tif != _FOK and intent.tif != _POST_ONLY:
        intent.tif = 0
    if intent.tag < _ONCE or intent.tag >= TAGS:
        intent.tag = 0
    if intent.px_ticks < 0 or intent.px_ticks > MAX_PRICE_TICKS:
        intent.px_ticks = 0
    if intent.qty_lots < 1 or intent.qty_lots > MAX_QTY_LOTS or intent.fault == _NOTIONAL:
        intent.qty_lots = 1  # 0 would ask to be sized
    intent.flag_bits = 0


@kernel
def _knows(v, orders, order_id):
    known = False
    for k in range(v.own_orders):
        known = known or orders[k].order_id == order_id
    return known


@kernel
def _check(u, v, orders, intent):
    """Make of an intent what the stage can carry out, refuse on record, or leave out (kind 0)."""
    kind = intent.kind
    intent.strength_ppm = min(WHOLE_PPM, max(-WHOLE_PPM, intent.strength_ppm))
    intent.confidence_ppm = min(WHOLE_PPM, max(_NOTHING, intent.confidence_ppm))
    intent.fault = 0
    if kind == _CANCEL:
        good = _knows(v, orders, intent.target_id)
    elif kind in (_SIGNAL, _SIGNAL_END):
        good = (intent.side == _BUY or intent.side == _SELL) and u.signal == (1 if kind == _SIGNAL_END else 0)
        if good:
            u.signal = 1 - u.signal
    else:
        intent.fault = order_fault(intent) if kind == _NEW else _BAD_ORDER
        good = intent.fault == 0
        if not good:
            _repair(intent)
            kind = _NEW
        elif intent.size_ppm == 0:
            intent.size_ppm = WHOLE_PPM
    if not good:
        u.bad += 1
        intent.kind = kind if kind == _NEW else _NOTHING


@kernel
def decide_user(strategy, u, p, f, v, orders, intents):
    """Ask the strategy's kernel. Returns how many intents there are, all of them such that the stage can carry them out.

    strategy: its number, 0..MAX_STRATEGIES - 1.
    """
    if u.fault != 0 or _installed(strategy) == 0:
        return 0
    count = _call(strategy, u.own, p, f, v, orders, intents)
    if count < 0 or count > MAX_INTENTS:
        u.fault = _RAISED if count == _FAILED else _COUNT
        u.fault_ns = v.now_ns
        return 0
    if v.may_act == 0:
        return 0
    for k in range(count):
        _check(u, v, orders, intents[k])
    return count


@kernel
def user_wake_ns(u, now):
    """When it is to be called by the clock, ns; NEVER_NS where the time that it named is over, or it has failed."""
    wake = u.own.words[WAKE]
    if u.fault != 0 or wake <= now:
        return _NEVER
    u.own.words[WAKE] = max(wake, now + USER_WAKE_NS)
    return u.own.words[WAKE]
