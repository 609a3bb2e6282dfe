"""A strategy of the user's own: what its file defines, how it is read, checked and compiled. docs/strategies.md has an example.

    file.py ── read, run ──> NAME: UserStrategy ── parameters given ──> words ── compile ──> strategy.foreign.install

Invariants:
- Everything that can be wrong with a file is one BadInput, one line, before a run exists: it does not read, run or compile,
  NAME is no strategy, the kernel takes or returns something else, a parameter that it does not have or allow.
- One file is the whole strategy: it imports nothing of the user's, so its SHA-256 on record says what ran.
- The kernel is compiled anew from the file's text in each process that needs it: no cache can hold an older one.
"""

import ast
import dataclasses
import hashlib
import inspect
import math
import sys
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

import msgspec
import numba
import numba.core.config
import numpy as np
from numba.core.errors import NumbaError

from ringsim.errors import BadInput
from ringsim.given import read_given
from ringsim.kernel import foreign_kernel
from ringsim.limits import USER_FILE_BYTES, USER_STATE_BYTES
from ringsim.limits import USER_PARAMS as PARAM_WORDS
from ringsim.strategy.foreign import install, signature

ARGUMENTS = ("own", "p", "f", "v", "orders", "intents")
_IMPORTS = ("ringsim", "numpy", "numba", "msgspec", "math", "enum", "dataclasses", "typing", "__future__")
_NO_PARAMS = np.dtype([("none", "i8")])


class UserStrategy(msgspec.Struct, frozen=True, kw_only=True):
    """What a user's file defines under NAME.

    kernel: decide(own, p, f, v, orders, intents) -> how many intents it wrote (strategy.protocol).
    params: a msgspec.Struct or dataclass of int, float and bool fields, each with a default. state: a numpy dtype, zeros at
    the start; `own.wake_ns` comes before its fields, NEVER_NS at the start.
    """

    kernel: Callable[..., Any]
    params: Any = None
    state: Any = None


def helper(function: Callable[..., Any]) -> Any:
    """Compile a function that a user's kernel calls."""
    return foreign_kernel(function)


class UserFile(msgspec.Struct, frozen=True):
    """Where a strategy stands, and as which bytes."""

    path: str
    name: str
    sha256: str


class Loaded(msgspec.Struct, frozen=True):
    """A checked strategy, compiled.

    text: the file's bytes. parameters: their names. params: what they are, as words. address: of its code.
    """

    file: UserFile
    text: bytes
    parameters: tuple[str, ...]
    params: tuple[int, ...]
    address: int
    code: Any

    def install(self, strategy: int = 0) -> None:
        """From here on this process's folds call it for the strategy of that number."""
        install(self.address, self.code, strategy)


def load_user(path: Path, name: str, given: Mapping[str, object], *, among: bool = False) -> Loaded:
    """The strategy NAME of a file. given: parameter -> value, as the configuration has it. Raises BadInput, one line.

    among: there are others, whose parameters may be among those given.
    """
    text = read_given(path, "strategy file", USER_FILE_BYTES)
    sha256 = hashlib.sha256(text).hexdigest()
    found = getattr(_run(path, text, sha256), name, None)
    if not isinstance(found, UserStrategy):
        what = "has no" if found is None else f"has a {type(found).__name__}, not a UserStrategy, as"
        raise BadInput(f"the strategy file {path} {what} {name}")
    whole = f"the strategy {path}:{name}"
    own = _state_dtype(whole, found.state)
    names, params_dtype, words = _params(whole, found.params, given, among)
    code, address = _compile(whole, found.kernel, own, params_dtype)
    return Loaded(UserFile(str(path), name, sha256), text, names, words, address, code)


def install_file(file: UserFile, params: tuple[int, ...], strategy: int) -> None:
    """Have this process's folds call what a run's folder keeps for the strategy of that number.

    params: as words. BadInput if it is not what it was.
    """
    loaded = load_user(Path(file.path), file.name, {})
    if loaded.file.sha256 != file.sha256 or len(loaded.params) != len(params):
        raise BadInput(f"the strategy file {file.path} is not what it was when the run began")
    loaded.install(strategy)


# The file


def _run(path: Path, text: bytes, sha256: str) -> ModuleType:
    """The file as a module, known to the process by its bytes."""
    module = ModuleType(f"ringsim_user_{sha256}")
    module.__file__ = str(path)
    try:
        tree = ast.parse(text, str(path))
        for node in ast.walk(tree):
            _check_import(path, node)
        sys.modules[module.__name__] = module  # whoever resolves annotations looks there
        exec(compile(tree, str(path), "exec"), module.__dict__)
    except BadInput:
        raise
    except (SyntaxError, ValueError) as error:  # ValueError: a zero byte, or the file's own
        where = f"line {error.lineno}: {error.msg}" if isinstance(error, SyntaxError) else str(error)
        raise BadInput(f"the strategy file {path} cannot be read as Python: {_line(where)}") from None
    except (Exception, SystemExit) as error:
        lines = [f.lineno for f in inspect.trace() if f.filename == str(path)]
        at = f"line {lines[-1]}: " if lines else ""
        raise BadInput(f"the strategy file {path} raises: {at}{type(error).__name__}: {_line(error)}") from None
    return module


def _check_import(path: Path, node: ast.AST) -> None:
    if isinstance(node, ast.ImportFrom):
        names = ["." if node.level else node.module or ""]
    else:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    for name in names:
        if name.partition(".")[0] not in _IMPORTS:
            raise BadInput(
                f"the strategy file {path} imports {name} (line {getattr(node, 'lineno', 0)}): one file is the whole strategy; "
                f"it may import {', '.join(_IMPORTS[:-1])}"
            )


def _line(error: object) -> str:
    """The first line of what somebody else has to say, of a length to be read."""
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else text[:297] + "..."


# State and parameters


def _state_dtype(whole: str, state: Any) -> np.dtype:
    """Its state as it lies in the stage's: packed, `wake_ns` first."""
    try:
        dtype = np.dtype([] if state is None else state)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{whole}: its state is no numpy dtype: {_line(error)}") from None
    if dtype.names is None and dtype.itemsize:
        raise BadInput(f"{whole}: its state must have fields, such as np.dtype([('count', 'i8')])")
    fields: Mapping[str, Any] = dtype.fields or {}
    for name in fields:
        base = fields[name][0].base
        if base.kind not in "iufb" or not base.isnative:
            raise BadInput(f"{whole}: its state's {name} must be of numbers or arrays of numbers, not {base}")
    if "wake_ns" in fields:
        raise BadInput(f"{whole}: its state has wake_ns already, before its own fields: leave it out")
    own = np.dtype([("wake_ns", "i8"), *((name, fields[name][0]) for name in dtype.names or ())])
    if own.itemsize > USER_STATE_BYTES:
        raise BadInput(
            f"{whole}: its state is {own.itemsize:,} bytes (8 of them wake_ns); the most is {USER_STATE_BYTES:,}"
        )
    return own


def _params(
    whole: str, kind: Any, given: Mapping[str, object], among: bool
) -> tuple[tuple[str, ...], np.dtype, tuple[int, ...]]:
    """The names of its parameters, their dtype, and the values in force as words."""
    hints: dict[str, Any] = {}
    if kind is not None:
        if not (isinstance(kind, type) and (issubclass(kind, msgspec.Struct) or dataclasses.is_dataclass(kind))):
            raise BadInput(f"{whole}: its params must be a msgspec.Struct or a dataclass")
        try:
            hints = get_type_hints(kind)
        except Exception as error:
            raise BadInput(f"{whole}: the types of its params cannot be read: {_line(error)}") from None
    wrong = [name for name, hint in hints.items() if hint not in (int, float, bool)]
    if wrong:
        raise BadInput(f"{whole}: its parameter {wrong[0]} must be an int, a float or a bool")
    if len(hints) > PARAM_WORDS:
        raise BadInput(f"{whole}: it has {len(hints)} parameters; the most is {PARAM_WORDS}")
    for name in given:
        if name not in hints and not among:
            has = f"it has {', '.join(hints)}" if hints else "it has none"
            raise BadInput(f"strategy.user.{name}: {whole} has no such parameter; {has}")
    if not hints:
        return (), _NO_PARAMS, (0,)
    try:
        msgspec.convert({}, kind)  # each has a default
        values = msgspec.convert({name: _plain(given[name]) for name in given if name in hints}, kind)
    except msgspec.ValidationError as error:
        raise BadInput(f"strategy.user, {whole}: {_line(error).replace('$.', '')}") from None
    dtype = np.dtype([(name, "f8" if hint is float else "i8") for name, hint in hints.items()])
    record = np.zeros(1, dtype)
    for name in hints:
        value = getattr(values, name)
        try:
            record[name] = value
        except (TypeError, ValueError, OverflowError):
            raise BadInput(f"strategy.user.{name}: {value!r} is no number of 64 bits") from None
        if isinstance(value, float) and not math.isfinite(value):
            raise BadInput(f"strategy.user.{name}: {value} is no finite number")
    return tuple(hints), dtype, tuple(int(word) for word in record.view("i8"))


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value


# The kernel


def _compile(whole: str, function: Any, own: np.dtype, params: np.dtype) -> tuple[Any, int]:
    """The kernel's code and its address."""
    plain = getattr(function, "py_func", function)
    if not inspect.isfunction(plain):
        raise BadInput(f"{whole}: its kernel is no function")
    taken = [str(argument) for argument in inspect.signature(plain).parameters.values()]
    if len(taken) != len(ARGUMENTS) or any("*" in name or "=" in name for name in taken):
        raise BadInput(
            f"{whole}: its kernel must take ({', '.join(ARGUMENTS)}); {plain.__name__} takes ({', '.join(taken)})"
        )
    config: Any = numba.core.config
    if config.DISABLE_JIT:
        raise BadInput(f"{whole}: it must be compiled, and compilation is off (NUMBA_DISABLE_JIT)")
    types = signature(own, params)
    code: Any = foreign_kernel(plain)
    try:
        code.compile(types)
    except NumbaError as error:
        raise BadInput(f"{whole}: its kernel does not compile: {_why(error)}") from None
    except KeyError as error:  # of a record
        raise BadInput(f"{whole}: its kernel does not compile: it names a field {error} that is not there") from None
    except Exception as error:  # its compiler's own
        raise BadInput(f"{whole}: its kernel does not compile: {type(error).__name__}: {_line(error)}") from None
    compiled = code.overloads[types]
    returned = numba.types.unliteral(compiled.signature.return_type)
    if returned != numba.types.int64:
        raise BadInput(f"{whole}: its kernel must return how many intents it wrote, a whole number, not {returned}")
    return code, int(compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name))


_NOT_THE_REASON = (
    "Failed in nopython",
    "During:",
    "There are",
    "File ",
    "- Of which",
    "Overload",
    "With argument",
    ">>>",
)


def _why(error: NumbaError) -> str:
    """What stands in the way, of a long report; and the line of the file."""
    lines = [line.strip() for line in str(error).splitlines()]
    said = [line for line in lines if line and not line.startswith(_NOT_THE_REASON)]
    where = next((line for line in lines if line.startswith("File ") and ", line " in line), "")
    at = "line " + where.rpartition(", line ")[2].rstrip(":") + ": " if where else ""
    why = said[0] if said else type(error).__name__
    return at + _line(why.replace("for signature:", ""))
