"""Atomic words for compiled code: acquire/release loads and stores, fences, the spin hint, the clock, the yield.

numba has no atomics for the CPU. These are intrinsics over LLVM's own: an aligned 64-bit atomic load or store is one
machine instruction (x86-64: mov; aarch64: ldar/stlr). Each has a plain Python twin, which is what runs when compilation
is off; CPython under one interpreter lock is stronger than all of them.

Words are always int64[:], C-contiguous, 8-byte aligned; `index` counts words. No bounds are checked.
Tests assert the emitted IR and the assembly of both machines: x86 hides a missing fence, aarch64 would not.
"""

import os
import platform
import time
from typing import Any

from llvmlite import ir
from numba import extending, types
from numba.core import cgutils
from numba.extending import overload

intrinsic: Any = extending.intrinsic  # numba's stubs count the typing context among the arguments of a call

_SIGKILL = 9
ALIGN = 8  # a smaller alignment silently becomes a library call


def _element(context, builder, kind, words, index):
    return builder.gep(context.make_array(kind)(context, builder, words).data, [index])


def _address(context, builder, signature, args):
    return _element(context, builder, signature.args[0], args[0], args[1])


def _load(ordering):
    @intrinsic
    def load(typingctx, words, index):
        def codegen(context, builder, signature, args):
            return builder.load_atomic(_address(context, builder, signature, args), ordering, ALIGN)

        return words.dtype(words, types.intp), codegen

    return load


def _store(ordering):
    @intrinsic
    def store(typingctx, words, index, value):
        def codegen(context, builder, signature, args):
            builder.store_atomic(args[2], _address(context, builder, signature, args), ordering, ALIGN)
            return context.get_dummy_value()

        return types.void(words, types.intp, words.dtype), codegen

    return store


def _fence(ordering):
    @intrinsic
    def fence(typingctx):
        def codegen(context, builder, signature, args):
            builder.fence(ordering)
            return context.get_dummy_value()

        return types.void(), codegen

    return fence


def _call(builder, name, result, arguments, values):
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, arguments), name)
    return builder.call(function, values)


def _prefetch(for_writing):
    """llvm.prefetch: into all caches; with prefetchw, where there is one, the line comes as one's own."""

    @intrinsic
    def prefetch(typingctx, words, index):
        def codegen(context, builder, signature, args):
            i32 = ir.IntType(32)
            address = _address(context, builder, signature, args)
            pointer = builder.bitcast(address, ir.IntType(8).as_pointer())
            how = [ir.Constant(i32, for_writing), ir.Constant(i32, 3), ir.Constant(i32, 1)]
            _call(builder, "llvm.prefetch.p0i8", ir.VoidType(), [pointer.type, i32, i32, i32], [pointer, *how])
            return context.get_dummy_value()

        return types.void(words, index), codegen

    return prefetch


@intrinsic
def _copy(typingctx, target, first, source, start, count):
    def codegen(context, builder, signature, args):
        i64, i1 = ir.IntType(64), ir.IntType(1)
        byte = ir.IntType(8).as_pointer()
        into, out_of = (
            builder.bitcast(_element(context, builder, signature.args[k], args[k], args[k + 1]), byte) for k in (0, 2)
        )
        size = builder.mul(args[4], ir.Constant(i64, 8))
        how = [into, out_of, size, ir.Constant(i1, 0)]
        _call(builder, "llvm.memcpy.p0i8.p0i8.i64", ir.VoidType(), [byte, byte, i64, i1], how)
        return context.get_dummy_value()

    return types.void(target, types.int64, source, types.int64, types.int64), codegen


@intrinsic
def _pause(typingctx):
    def codegen(context, builder, signature, args):
        if platform.machine() in ("x86_64", "AMD64"):
            _call(builder, "llvm.x86.sse2.pause", ir.VoidType(), [], [])
        elif platform.machine() == "aarch64":
            _call(builder, "llvm.aarch64.hint", ir.VoidType(), [ir.IntType(32)], [ir.Constant(ir.IntType(32), 1)])
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def _clock(typingctx):
    def codegen(context, builder, signature, args):
        i64, i32 = ir.IntType(64), ir.IntType(32)
        timespec = cgutils.alloca_once(builder, ir.ArrayType(i64, 2))
        pointer = builder.bitcast(timespec, ir.IntType(8).as_pointer())
        clock_monotonic = ir.Constant(i32, 1)
        _call(builder, "clock_gettime", i32, [i32, pointer.type], [clock_monotonic, pointer])
        seconds, nanoseconds = (builder.load(cgutils.gep_inbounds(builder, timespec, 0, k)) for k in (0, 1))
        return builder.add(builder.mul(seconds, ir.Constant(i64, 1_000_000_000)), nanoseconds)

    return types.int64(), codegen


@intrinsic
def _yield(typingctx):
    def codegen(context, builder, signature, args):
        _call(builder, "sched_yield", ir.IntType(32), [], [])
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def _die(typingctx):
    def codegen(context, builder, signature, args):
        i32 = ir.IntType(32)
        _call(builder, "raise", i32, [i32], [ir.Constant(i32, _SIGKILL)])
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def _sleep(typingctx, duration_ns):
    def codegen(context, builder, signature, args):
        i64 = ir.IntType(64)
        timespec = cgutils.alloca_once(builder, ir.ArrayType(i64, 2))
        builder.store(ir.Constant(i64, 0), cgutils.gep_inbounds(builder, timespec, 0, 0))
        builder.store(args[0], cgutils.gep_inbounds(builder, timespec, 0, 1))
        pointer = builder.bitcast(timespec, ir.IntType(8).as_pointer())
        null = ir.Constant(pointer.type, None)
        _call(builder, "nanosleep", ir.IntType(32), [pointer.type, pointer.type], [pointer, null])
        return context.get_dummy_value()

    return types.void(types.int64), codegen


_load_acquire, _load_relaxed = _load("acquire"), _load("monotonic")
_store_release, _store_relaxed = _store("release"), _store("monotonic")
_prefetch_read, _prefetch_write = _prefetch(0), _prefetch(1)
_fence_acquire, _fence_release = _fence("acquire"), _fence("release")


def load_acquire(words, index):
    """Word `index`; no later read or write of this process moves before it."""
    return words[index]


def load_relaxed(words, index):
    """Word `index`, whole, but unordered: LLVM's `monotonic`. Never hoisted out of a loop."""
    return words[index]


def store_release(words, index, value):
    """Set word `index`; no earlier read or write of this process moves after it."""
    words[index] = value


def store_relaxed(words, index, value):
    """Set word `index`, whole, but unordered: LLVM's `monotonic`."""
    words[index] = value


def fence_acquire():
    """No later read or write moves before an earlier load, relaxed ones included."""


def fence_release():
    """No earlier read or write moves after a later store, relaxed ones included."""


def prefetch_read(words, index):
    """Bring the cache line of words[index] near; nothing else happens."""


def prefetch_write(words, index):
    """Bring the cache line of words[index] near, to be written."""


def copy_words(target, first, source, start, count):
    """Words start .. start+count-1 of `source` to `first` .. of `target`, in no order, by memcpy: they must not overlap.

    No atomics: for words that nobody else writes now. With a constant count it is a few vector moves.
    """
    target[first : first + count] = source[start : start + count]


def pause():
    """Tell the core that this is a spin loop (x86 pause, aarch64 yield)."""


def now_ns():
    """CLOCK_MONOTONIC, int64 ns; about 22 ns a call through the vDSO."""
    return time.monotonic_ns()


def yield_core():
    """Let another runnable process of this core go first (sched_yield)."""
    os.sched_yield()


def die():
    """SIGKILL to the own process, from within compiled code: nothing after it runs."""
    os.kill(os.getpid(), _SIGKILL)


def sleep_ns(duration_ns):
    """Sleep 0..999_999_999 ns; may return early on a signal."""
    time.sleep(duration_ns / 1e9)


@overload(load_acquire)
def _(words, index):
    return lambda words, index: _load_acquire(words, index)


@overload(load_relaxed)
def _(words, index):
    return lambda words, index: _load_relaxed(words, index)


@overload(store_release)
def _(words, index, value):
    return lambda words, index, value: _store_release(words, index, value)


@overload(store_relaxed)
def _(words, index, value):
    return lambda words, index, value: _store_relaxed(words, index, value)


@overload(fence_acquire)
def _():
    return lambda: _fence_acquire()


@overload(fence_release)
def _():
    return lambda: _fence_release()


@overload(prefetch_read)
def _(words, index):
    return lambda words, index: _prefetch_read(words, index)


@overload(prefetch_write)
def _(words, index):
    return lambda words, index: _prefetch_write(words, index)


@overload(copy_words)
def _(target, first, source, start, count):
    return lambda target, first, source, start, count: _copy(target, first, source, start, count)


@overload(pause)
def _():
    return lambda: _pause()


@overload(now_ns)
def _():
    return lambda: _clock()


@overload(yield_core)
def _():
    return lambda: _yield()


@overload(die)
def _():
    return lambda: _die()


@overload(sleep_ns)
def _(duration_ns):
    return lambda duration_ns: _sleep(duration_ns)
