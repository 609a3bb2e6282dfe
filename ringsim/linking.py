"""What only kernels call: linked into them as it is, and optimized and emitted there, once.

numba optimizes every function together with all that it calls, emits machine code for the whole, and links what it has
optimized into the next caller, which does the same again. A leaf under eight callers, one above the other, went through
LLVM eight times, and its machine code lay in nine files; only the outermost, which Python calls, ever ran. So code that
only kernels call stays LLVM code here, without an optimizer's work and without an address (docs/decisions/0012 has what it
gives).

And what Python calls is kept as machine code alone: nobody links it, so its LLVM code, which numba reads at every start to
be able to, is left out of the cache.

Invariant: a library for linking never reaches the engine that runs code, and one that runs is never linked.

It rests on numba's classes for libraries and caches, which are not its public interface; tests/unit/test_kernel.py
compares what comes out.
"""

import os
import re
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numba.core.config
from llvmlite.binding import Linkage
from numba.core import types
from numba.core.caching import FunctionCache, NullCache
from numba.core.codegen import JITCodeLibrary
from numba.core.registry import cpu_target

_OBJECT = "object alone"
_NAMELESS = re.compile(r"_ZN((?!B\d+v\d+).)*_3c")  # a "<", of <locals> or <lambda>, before the number


class _NoEnvironment:
    """In the place of the engine's: where no code runs, no function has an environment to be told of."""

    @staticmethod
    def set_env(name: str, environment: Any) -> None: ...


class _Linked(JITCodeLibrary):
    """Code that others link in.

    A function's name is its text's qualified name, a number that counts what its process has compiled, and its types. So two
    lambdas of one module have one name, if two processes compiled them, and a linker keeps only one of two that are called alike:
    what has no name of its own becomes private to the kernel that calls it.
    """

    codegen = _NoEnvironment

    def __init__(self, codegen: Any, name: str) -> None:
        super().__init__(codegen, name)
        self._own: set[str] = set()

    def add_llvm_module(self, ll_module: Any) -> None:
        self._own.update(f.name for f in ll_module.functions if not f.is_declaration)
        super().add_llvm_module(ll_module)

    def _optimize_final_module(self) -> None: ...

    def _finalize_final_module(self) -> None:
        for function in self._final_module.functions:
            if not function.is_declaration and function.name not in self._own and _NAMELESS.match(function.name):
                function.linkage = Linkage.internal
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        return 0  # numba's word for a function that Python cannot call

    def serialize_using_object_code(self) -> Any:
        return self.serialize_using_bitcode()


class _Run(JITCodeLibrary):
    """Code that Python calls: on disk its machine code, and the names by which it is found there."""

    def serialize_using_object_code(self) -> Any:
        functions = self._final_module.functions
        names = [f.name for f in functions if not f.is_declaration and f.linkage == Linkage.external]
        return self.name, _OBJECT, (self._get_compiled_object(), names)

    @classmethod
    def _unserialize(cls, codegen: Any, state: Any) -> Any:
        name, kind, (code, names) = state
        assert kind == _OBJECT
        self = codegen.create_library(name)
        self.enable_object_caching()
        self._set_compiled_object(code)
        self._finalize_final_module()
        codegen._engine._defined_symbols.update(names)
        return self


@contextmanager
def _compiled_to(library: type):
    """The kind of library that is compiled or loaded meanwhile. What a kernel calls is compiled while it is, so this nests."""
    codegen = cpu_target.target_context.codegen()
    before = codegen._library_class
    codegen._library_class = library
    try:
        yield
    finally:
        codegen._library_class = before


def called_by_kernels(outer: Any, make: Callable[[], Any]) -> Any:
    """`outer`, for Python; other kernels that call it get what `make` makes, told apart by the types of arguments alone.

    What only kernels call needs no way in for Python, whose unpacking of rings and states is more code than most kernels are.
    And numba makes a version of its own for each constant that a caller names: eleven of one function, and of a function
    called with a constant here and a variable there two, of which one is in the caches and the other one is not.

    make: asked for once something is compiled, which in most processes nothing is.
    """
    made: list[Any] = []
    given = outer.compile

    def nested() -> Any:
        if not made:
            made.append(make())
        return made[0]

    def compile_called(signature: Any) -> Any:
        with _compiled_to(_Run):
            return given(signature)

    def get_call_template(args: Any, kws: Any) -> Any:
        with _compiled_to(_Linked):
            return nested().get_call_template(
                tuple(map(types.unliteral, args)), {name: types.unliteral(kws[name]) for name in kws}
            )

    def get_overload(signature: Any) -> Any:
        with _compiled_to(_Linked):
            return nested().get_overload(signature)

    outer.compile, outer.nested = compile_called, nested
    outer.get_call_template, outer.get_overload = get_call_template, get_overload
    return outer


def called_by_anybody(foreign: Any) -> Any:
    """`foreign`, somebody else's function: what it calls may be called from Python, too, and so is code that can run."""
    given = foreign.get_call_template

    def get_call_template(args: Any, kws: Any) -> Any:
        with _compiled_to(JITCodeLibrary):
            return given(args, kws)

    foreign.get_call_template = get_call_template
    return foreign


class LateCache(NullCache):
    """numba's cache of one function in a folder of its own, made when something is looked up.

    Most kernels of a process are never compiled nor loaded, and to make a cache looks at four folders and writes to one.
    """

    def __init__(self, function: Callable[..., Any], folder: Path) -> None:
        self._function, self._folder = function, folder
        self._made: FunctionCache | None = None

    def _cache(self) -> FunctionCache:
        if self._made is None:
            config: Any = numba.core.config
            before = config.CACHE_DIR
            try:  # set just here, so that a host program's own kernels keep theirs
                config.CACHE_DIR = os.fspath(self._folder)
                self._made = FunctionCache(self._function)
            finally:
                config.CACHE_DIR = before
        return self._made

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        return self._cache().load_overload(sig, target_context)

    def save_overload(self, sig: Any, cres: Any) -> None:
        self._cache().save_overload(sig, cres)
