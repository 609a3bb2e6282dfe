"""How the files read: heads, docstrings, sizes; what must not stand in them."""

import ast
import os
import re
import tomllib

import pytest

from tests.architecture.source import ROOT, holds_for, inside, modules, where

PROGRAM = modules("ringsim", "procs")
EVERYTHING = modules("ringsim", "procs", "tests", "bench")

LINES_MAX = 500
# Files that are longer, each with its reason; one idea a file otherwise.
LONG: dict[str, str] = {
    "tests/naive/broker.py": "the whole exchange once more, to be read in one piece beside its documents",
    "tests/unit/broker/test_exchange.py": "laws of one exchange, one after the other",
}

# Where a clock may be named: the kernels' own clock, handed on as `now`.
CLOCKS = "ringsim.atomics"
WALL_CLOCKS = {
    "time": {"time", "time_ns", "localtime", "gmtime", "ctime", "strftime"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
}
ANY_CLOCK = {"monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time", "process_time_ns", "sleep"}

BARE_COMPILERS = {"njit", "jit", "vectorize", "guvectorize", "stencil", "cfunc", "generated_jit", "jit_module"}

# Who may use them all the same, and why.
COMPILES_BARE = {"procs.bench.walk": "calls into another program's library, whose addresses no cache on disk can hold"}

TOP_LEVEL = {"pyproject.toml", "README.md", "ringsim", "procs", "tests", "bench", "scripts", "docs"}
TEXT_FOLDERS = ("ringsim", "procs", "tests", "bench", "scripts", "docs", ".ci")


@holds_for(EVERYTHING)
def test_a_file_opens_by_saying_what_it_is(module):
    only_makes_a_folder_importable = (
        inside(module.name, "tests bench") and module.is_package and not module.text.strip()
    )
    if not ast.get_docstring(module.tree) and not only_makes_a_folder_importable:
        yield f"{where(module, 1)} has no head"


@holds_for(PROGRAM)
def test_what_is_public_has_a_docstring(module):
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    for node in [n for n in module.tree.body if isinstance(n, kinds) and not n.name.startswith("_")]:
        if not ast.get_docstring(node) and not says_itself(node):
            yield f"{where(module, node.lineno)} {node.name}"


def says_itself(node):
    """An enum, whose members have their comments; one of several signatures of a function, whose docstring stands below."""
    bases = {getattr(base, "id", "") for base in getattr(node, "bases", [])}
    decorators = {getattr(decorator, "id", "") for decorator in node.decorator_list}
    return bool(bases & {"IntEnum", "IntFlag"} or "overload" in decorators)


@holds_for(EVERYTHING)
def test_a_long_file_has_a_reason(module):
    path, count = str(module.path.relative_to(ROOT)), module.text.count("\n")
    if count > LINES_MAX and not LONG.get(path):
        yield f"{path} has {count} lines: split it, or name the reason in LONG"
    if count <= LINES_MAX and path in LONG:
        yield f"{path} is not long any more: take it out of LONG"


@holds_for(modules("ringsim"))
def test_the_library_reads_no_clock_but_the_one_handed_in(module):
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute):
            owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            any_clock = owner == "time" and node.attr in ANY_CLOCK and not inside(module.name, CLOCKS)
            if any_clock or node.attr in WALL_CLOCKS.get(owner, ()):
                yield f"{where(module, node.lineno)} {owner}.{node.attr}: take `now` as an argument"
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            yield f"{where(module, node.lineno)} imports from time"


@holds_for(EVERYTHING)
def test_kernels_are_compiled_through_the_one_decorator(module):
    if module.name == "ringsim.kernel":
        return
    for node in ast.walk(module.tree):
        bare = []
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") in ("numba", "nb"):
            bare = [node.attr]
        elif isinstance(node, ast.ImportFrom) and inside(node.module or "", "numba"):
            bare = [alias.name for alias in node.names]
        for name in BARE_COMPILERS.intersection(bare if module.name not in COMPILES_BARE else ()):
            yield f"{where(module, node.lineno)} numba's {name}: use ringsim.kernel.kernel"


@holds_for(PROGRAM)
def test_nothing_is_left_over(module):
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|\bbreakpoint\(")
    for number, line in enumerate(module.text.splitlines(), 1):
        if marks.search(line):
            yield f"{where(module, number)} {line.strip()}"


def texts():
    """Every text file of the repository."""
    files = [ROOT / name for name in ("pyproject.toml", "README.md", ".gitignore")]
    for folder in TEXT_FOLDERS:
        files += [f for f in (ROOT / folder).rglob("*") if f.is_file() and "__pycache__" not in f.parts]
    for file in files:
        try:
            yield file, file.read_text()
        except UnicodeDecodeError:
            continue  # a capture


def test_no_machine_and_no_registry_is_named_in_the_repository():
    # Written in pieces, so that this file does not name them either.
    folders = "|".join(a + b for a, b in (("wo", "rk"), ("ro", "ot"), ("fa", "rm"), ("ho", "me")))
    parts = (
        ("py", r"pi\.org"),
        ("python", "hosted"),
        ("npm", r"js\.org"),
        ("deb.", r"debian\.org"),
        ("proxy.", "golang"),
    )
    hosts = "|".join(a + b for a, b in parts)
    pattern = re.compile(rf"(?:^|[^\w.~])/(?:{folders})/|{hosts}", re.M)
    wrong = [
        f"{file.relative_to(ROOT)}:{number} {line.strip()[:100]}"
        for file, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]
    assert not wrong, "\n".join(wrong)


def test_the_top_level_is_the_fixed_one():
    ignored = {line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines()}
    seen = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert {name for name in seen - ignored if not name.endswith(".egg-info")} <= TOP_LEVEL


@pytest.mark.parametrize("script", ["scripts/run", "scripts/test", ".ci/run"])
def test_a_script_can_be_run(script):
    assert os.access(ROOT / script, os.X_OK)


def test_dependencies_are_pinned_exactly_and_all_of_them():
    lines = [line.partition("#")[0].strip() for line in (ROOT / "scripts/constraints.txt").read_text().splitlines()]
    pinned = {}
    for line in filter(None, lines):
        name, exact = re.fullmatch(r"([\w.-]+)==([\w.]+)(?: ; python_version [<>=]+ \"[\d.]+\")?", line).groups()
        pinned[normal(name)] = exact
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["test"],
        *project["build-system"]["requires"],
    ]
    assert {normal(re.match(r"[\w.-]+", want)[0]) for want in wanted} <= pinned.keys()


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()
