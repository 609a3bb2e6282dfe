"""The one decorator for compiled code, and where its cache lies.

Invariant: a cached kernel is used only if its own module and every ringsim module that it imports, directly or through
others, are unchanged. numba checks just the file that holds the function, so a changed helper in another file would go
unnoticed; here the cache directory's name is a hash over the whole import closure and the versions of what compiled it.

Flags live here and nowhere else: no bounds checks (tests run the plain bodies with NUMBA_DISABLE_JIT=1, which has them),
C-like division (no hidden exception paths), no fast-math (results must be the same on every run), no numba runtime. The
last means that a kernel which allocates does not compile (numba then finds no np.empty), and that no array is reference
counted: each count is a locked instruction, thus a full fence, and they made one publish cost 19 ns instead of 2.
"""

import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast, overload

import llvmlite
import numba
import numba.core.config
import numpy as np

from ringsim.linking import LateCache, called_by_anybody, called_by_kernels

F = TypeVar("F", bound=Callable[..., Any])

_ROOT = Path(__file__).resolve().parent.parent
_IMPORT = re.compile(
    r"^\s*(?:from\s+((?:ringsim|procs)[\w.]*)\s+import\s+(\([^)]*\)|[^\n]+)|import\s+((?:ringsim|procs)[\w.]*))", re.M
)
_FLAGS: dict[str, Any] = {
    "nogil": True,
    "boundscheck": False,
    "error_model": "numpy",
    "_nrt": False,
    "no_cfunc_wrapper": True,
}
_NESTED: dict[str, Any] = {"no_cpython_wrapper": True}
# Of code that is not this project's: its mistakes become a status (bounds, a division by zero), never another's memory; and
# never on disk, since nobody knows what it imports.
_FOREIGN: dict[str, Any] = _FLAGS | _NESTED | {"boundscheck": True, "error_model": "python"}
_VERSIONS = f"{sys.version_info[:3]} numba {numba.__version__} llvmlite {llvmlite.__version__} numpy {np.__version__}"


def cache_root() -> Path:
    """Folder of all kernel caches: $RINGSIM_CACHE, else $XDG_CACHE_HOME/ringsim, else ~/.cache/ringsim.

    A root that cannot be written falls back to a per-user folder under the temporary directory, so that a read-only home
    costs a compilation and not the run.
    """
    try:
        chosen = os.environ.get("RINGSIM_CACHE")
        base = Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ringsim"
        root = base / "kernels"
        root.mkdir(parents=True, exist_ok=True)
        if os.access(root, os.W_OK):
            return root
    except (OSError, RuntimeError):  # RuntimeError: a user without a home
        pass
    return Path(tempfile.gettempdir()) / f"ringsim-{os.getuid()}" / "kernels"


def _module_file(name: str, root: Path) -> Path | None:
    path = root.joinpath(*name.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


@cache
def _imports(path: Path, root: Path) -> tuple[str, tuple[Path, ...]]:
    """The file's text hash and the ringsim files under `root` that it names in import statements."""
    text = path.read_text("utf-8")
    found: list[Path] = []
    for module, names, plain in _IMPORT.findall(text):
        wanted = [plain] if plain else [module] + [f"{module}.{n}" for n in re.findall(r"\w+", names)]
        found += [file for name in wanted if (file := _module_file(name, root)) is not None]
    return hashlib.sha256(text.encode()).hexdigest(), tuple(dict.fromkeys(found))


@cache
def closure_key(path: Path, root: Path = _ROOT) -> str:
    """Hex digest over the file and all ringsim files in its import closure, with the versions of the compilers.

    root: the folder that holds the packages ringsim and procs. A file is read once a process.
    """
    seen: dict[Path, str] = {}
    todo = [path]
    while todo:
        file = todo.pop()
        if file not in seen:
            seen[file], named = _imports(file, root)
            todo += named
    text = _VERSIONS + "".join(f"{p.name}:{seen[p]}" for p in sorted(seen))
    return hashlib.sha256(text.encode()).hexdigest()[:20]


@overload
def kernel(function: F) -> F:
    """`@kernel`."""


@overload
def kernel(*, inline: bool) -> Callable[[F], F]:
    """`@kernel(inline=True)`."""


def kernel(function: F | None = None, *, inline: bool = False) -> F | Callable[[F], F]:
    """Compile for the hot path: nopython, GIL released, cached on disk, neither allocating nor counting references.

    inline: into its callers, always: for verbs of a few instructions that take a ring (27 words of arguments a call).
    The plain Python body stays reachable as `.py_func`, and is what runs under NUMBA_DISABLE_JIT=1.
    """

    def compiled(function: F) -> F:
        folder = cache_root() / closure_key(Path(function.__code__.co_filename))
        outer = numba.njit(forceinline=inline, **_FLAGS)(function)
        if cast(Any, numba.core.config).DISABLE_JIT:
            return outer
        outer._cache = LateCache(function, folder)

        def nested() -> Any:
            made = numba.njit(forceinline=inline, **_FLAGS, **_NESTED)(function)
            made._cache = LateCache(function, folder / "nested")
            return made

        return called_by_kernels(outer, nested)

    return compiled if function is None else compiled(function)


def foreign_kernel(function: F) -> F:
    """Compile somebody else's code: as `kernel` does, but checked, compiled anew in every process, and not called from Python."""
    return called_by_anybody(numba.njit(**_FOREIGN)(getattr(function, "py_func", function)))


def bound(function: F) -> F:
    """`function`, a kernel, for a caller in Python that gives it arguments of the same types every time.

    The first call finds the compiled code, and the others go straight to it. To find it anew costs 100 us where records and
    rings are among the arguments, and a stage would be deaf for as long at the end of every slice.
    """
    found: list[Callable[..., Any]] = []

    def call(*arguments: Any) -> Any:
        if not found:
            found.append(_compiled(function, arguments))
        return found[0](*arguments)

    return cast(F, call)


_found: dict[Any, Callable[..., Any]] = {}  # a stage that is forked has it from the process that warmed up


def _compiled(function: Any, arguments: tuple[Any, ...]) -> Callable[..., Any]:
    if not hasattr(function, "overloads"):
        return cast(Callable[..., Any], function)  # compilation is off
    key = function, _kind(arguments)
    if key not in _found:  # numba needs milliseconds to say what type a state is
        signature = tuple(map(numba.typeof, arguments))
        function.compile(signature)
        _found[key] = function.overloads[signature].entry_point
    return _found[key]


def _kind(value: Any) -> Any:
    """What decides a value's numba type, to be compared."""
    if isinstance(value, np.ndarray):
        flags = value.flags
        return value.dtype, value.ndim, flags.c_contiguous, flags.writeable, flags.aligned
    if isinstance(value, np.void):
        return type(value), value.dtype
    return (type(value), *map(_kind, value)) if isinstance(value, tuple) else type(value)
