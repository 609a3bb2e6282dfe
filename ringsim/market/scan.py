"""Bytes of a text as the parser's kernels scan them: by address, and decimal digits eight at a time.

A text handed from kernel to kernel as an array costs an atomic count up and down at every call that is not inlined, which
is more than the work done there; a bare address costs nothing. `scan(text)` is that address; whoever calls it holds the
array for as long. When compilation is off it is the array itself, and the plain bodies below are what runs.

Digits: a byte loop mispredicts at the end of every number, which costs more than the number. The trick (Lemire, "Quickly
parsing eight digits"): digits are bytes 0..9 after a xor with '0'; the first byte that is none ends the number; three
multiplications add up the rest. One load, some twenty instructions, no branch.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

PADDING = 16  # bytes that must be readable after the last one that is looked at


def scan(text):
    """What `byte` and `digits8` take: the address of a C-contiguous uint8[], which the caller keeps alive."""
    return text


def byte(t, i):
    """Byte i of a scanned text, int64."""
    return int(t[i])


def word64(t, i):
    """Bytes i .. i + 7 of a scanned text as a little-endian int64."""
    return int.from_bytes(bytes(t[i : i + 8]), "little", signed=True)


def digits8(t, i, most):
    """The decimal digits among bytes i .. i + 7 of a scanned text.

    most: int64 0..8.
    Returns int64 (count, value, clean): how many digits there are (0..8); the value of the first min(count, most) of them;
    1 if the others are all '0', else 0.
    """
    count = 0
    while count < 8 and 48 <= t[i + count] <= 57:
        count += 1
    value = 0
    for k in range(min(count, most)):
        value = value * 10 + int(t[i + k]) - 48
    return count, value, int(all(t[i + k] == 48 for k in range(most, count)))


_I64 = ir.IntType(64)


def _word(pattern):
    return ir.Constant(_I64, pattern)


_ASCII_ZEROS, _ABOVE_NINE, _HIGH_BITS = _word(0x3030303030303030), _word(0x7676767676767676), _word(0x8080808080808080)
_PAIRS, _HUNDREDS, _UNITS = _word(0x000000FF000000FF), _word(0x000F424000000064), _word(0x0000271000000001)


def _load(builder, t, i, width):
    pointer = builder.inttoptr(builder.add(t, i), ir.IntType(width).as_pointer())
    return builder.load(pointer, align=1)


def _value(builder, digits):
    """Value of eight digit bytes, the first one (lowest byte) the most significant."""
    pairs = builder.add(builder.mul(digits, _word(10)), builder.lshr(digits, _word(8)))
    low = builder.mul(builder.and_(pairs, _PAIRS), _HUNDREDS)
    high = builder.mul(builder.and_(builder.lshr(pairs, _word(16)), _PAIRS), _UNITS)
    return builder.lshr(builder.add(low, high), _word(32))


def _keep(builder, word, count):
    """The lowest `count` (0..8) bytes of a word, moved to its top; zeros below. A shift by 64 would be undefined."""
    shift = builder.and_(builder.sub(_word(64), builder.shl(count, _word(3))), _word(63))
    return builder.select(builder.icmp_unsigned("==", count, _word(0)), _word(0), builder.shl(word, shift))


@intrinsic
def _scan(typingctx, text):
    def codegen(context, builder, signature, args):
        array = context.make_array(signature.args[0])(context, builder, args[0])
        return builder.ptrtoint(array.data, _I64)

    return types.int64(text), codegen


@intrinsic
def _byte(typingctx, t, i):
    def codegen(context, builder, signature, args):
        return builder.zext(_load(builder, args[0], args[1], 8), _I64)

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def _word64(typingctx, t, i):
    def codegen(context, builder, signature, args):
        return _load(builder, args[0], args[1], 64)

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def _digits8(typingctx, t, i, most):
    def codegen(context, builder, signature, args):
        word = builder.xor(_load(builder, args[0], args[1], 64), _ASCII_ZEROS)
        others = builder.and_(builder.or_(builder.add(word, _ABOVE_NINE), word), _HIGH_BITS)
        signature_cttz = ir.FunctionType(_I64, [_I64, ir.IntType(1)])
        cttz = cgutils.get_or_insert_function(builder.module, signature_cttz, "llvm.cttz.i64")
        count = builder.lshr(builder.call(cttz, [others, ir.Constant(ir.IntType(1), 0)]), _word(3))
        taken = builder.select(builder.icmp_unsigned("<", count, args[2]), count, args[2])
        beyond = builder.lshr(word, builder.and_(builder.shl(taken, _word(3)), _word(63)))
        beyond = builder.select(builder.icmp_unsigned("==", taken, _word(8)), _word(0), beyond)
        beyond = _keep(builder, beyond, builder.sub(count, taken))
        clean = builder.zext(builder.icmp_unsigned("==", beyond, _word(0)), _I64)
        value = _value(builder, _keep(builder, word, taken))
        return context.make_tuple(builder, signature.return_type, [count, value, clean])

    return types.UniTuple(types.int64, 3)(types.int64, types.int64, types.int64), codegen


@overload(scan)
def _(text):
    return lambda text: _scan(text)  # type: ignore[call-arg]


@overload(byte)
def _(t, i):
    return lambda t, i: _byte(t, i)  # type: ignore[call-arg]


@overload(word64)
def _(t, i):
    return lambda t, i: _word64(t, i)  # type: ignore[call-arg]


@overload(digits8)
def _(t, i, most):
    return lambda t, i, most: _digits8(t, i, most)  # type: ignore[call-arg]
