"""Set bits of int64 words, how many and where, one machine instruction each (numba has none of its own)."""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload


def _count(name):
    @intrinsic
    def count(typingctx, word):
        def codegen(context, builder, signature, args):
            i64, i1 = ir.IntType(64), ir.IntType(1)
            function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(i64, [i64, i1]), name)
            return builder.call(function, [args[0], ir.Constant(i1, 0)])

        return types.int64(types.int64), codegen

    return count


@intrinsic
def _ctpop(typingctx, word):
    def codegen(context, builder, signature, args):
        i64 = ir.IntType(64)
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(i64, [i64]), "llvm.ctpop.i64")
        return builder.call(function, args)

    return types.int64(types.int64), codegen


_cttz, _ctlz = _count("llvm.cttz.i64"), _count("llvm.ctlz.i64")


def lowest_bit(word):
    """Position 0..63 of the lowest set bit of an int64; 64 if none."""
    word = int(word) & (2**64 - 1)
    return (word & -word).bit_length() - 1 if word else 64


def highest_bit(word):
    """Position 0..63 of the highest set bit of an int64; -1 if none."""
    return (int(word) & (2**64 - 1)).bit_length() - 1


def bits_set(word):
    """How many bits of an int64 are set, 0..64."""
    return (int(word) & (2**64 - 1)).bit_count()


@overload(bits_set)
def _(word):
    return lambda word: _ctpop(word)  # type: ignore[call-arg]


@overload(lowest_bit)
def _(word):
    return lambda word: _cttz(word)


@overload(highest_bit)
def _(word):
    return lambda word: 63 - _ctlz(word)
