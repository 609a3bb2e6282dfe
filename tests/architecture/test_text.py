"""How the files read: heads, docstrings, sizes; what must not stand in them."""

import ast
import os
import re
import tomllib

import pytest

from tests.architecture.source import ROOT, inside, modules, where

PROGRAM = modules("ringsim", "procs")
EVERYTHING = modules("ringsim", "procs", "tests", "bench")

LINES_MAX = 500
# Files that are longer, each with its reason; one idea a file otherwise.
LONG: dict[str, str] = {}

# Where a clock may be named: the kernels' own clock, handed on as `now`.
CLOCKS = "ringsim.atomics"
WALL_CLOCKS = {
    "time": {"time", "time_ns", "localtime", "gmtime", "ctime", "strftime"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
}
ANY_CLOCK = {"monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time", "process_time_ns", "sleep"}

BARE_COMPILERS = {"njit", "jit", "vectorize", "guvectorize", "stencil", "cfunc", "generated_jit", "jit_module"}

TOP_LEVEL = {"pyproject.toml", "README.md", "ringsim", "procs", "tests", "bench", "scripts", "docs"}
TEXT_FOLDERS = ("ringsim", "procs", "tests", "bench", "scripts", "docs", ".ci")


def names(module):
    return module.name


@pytest.mark.parametrize("module", EVERYTHING, ids=names)
def test_a_file_opens_by_saying_what_it_is(module):
    if inside(module.name, "tests bench") and module.is_package and not module.text.strip():
        return  # only makes a folder importable
    assert ast.get_docstring(module.tree), f"{where(module, 1)} has no head"


@pytest.mark.parametrize("module", PROGRAM, ids=names)
def test_what_is_public_has_a_docstring(module):
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    public = [node for node in module.tree.body if isinstance(node, kinds) and not node.name.startswith("_")]
    bare = [f"{where(module, n.lineno)} {n.name}" for n in public if not ast.get_docstring(n) and not says_itself(n)]
    assert not bare, "\n".join(bare)


def says_itself(node):
    """An enum, whose members have their comments; one of several signatures of a function, whose docstring stands below."""
    bases = {getattr(base, "id", "") for base in getattr(node, "bases", [])}
    decorators = {getattr(decorator, "id", "") for decorator in node.decorator_list}
    return bool(bases & {"IntEnum", "IntFlag"} or "overload" in decorators)


@pytest.mark.parametrize("module", EVERYTHING, ids=names)
def test_a_long_file_has_a_reason(module):
    path = str(module.path.relative_to(ROOT))
    count = module.text.count("\n")
    if path in LONG:
        assert count > LINES_MAX, f"{path} is not long any more: take it out of LONG"
        assert LONG[path].strip()
    else:
        assert count <= LINES_MAX, f"{path} has {count} lines: split it, or name the reason in LONG"


@pytest.mark.parametrize("module", modules("ringsim"), ids=names)
def test_the_library_reads_no_clock_but_the_one_handed_in(module):
    wrong = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute):
            owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            own = owner == "time" and node.attr in ANY_CLOCK and not inside(module.name, CLOCKS)
            if own or node.attr in WALL_CLOCKS.get(owner, ()):
                wrong.append(f"{where(module, node.lineno)} {owner}.{node.attr}: take `now` as an argument")
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            wrong.append(f"{where(module, node.lineno)} imports from time")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("module", EVERYTHING, ids=names)
def test_kernels_are_compiled_through_the_one_decorator(module):
    if module.name == "ringsim.kernel":
        return
    wrong = []
    for node in ast.walk(module.tree):
        if (
            isinstance(node, ast.Attribute)
            and node.attr in BARE_COMPILERS
            and getattr(node.value, "id", "") in ("numba", "nb")
        ):
            wrong.append(f"{where(module, node.lineno)} numba.{node.attr}: use ringsim.kernel.kernel")
        elif isinstance(node, ast.ImportFrom) and inside(node.module or "", "numba"):
            bare = [a.name for a in node.names if a.name in BARE_COMPILERS]
            wrong += [f"{where(module, node.lineno)} imports {name}: use ringsim.kernel.kernel" for name in bare]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("module", PROGRAM, ids=names)
def test_nothing_is_left_over(module):
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|\bbreakpoint\(")
    wrong = [
        f"{where(module, n)} {line.strip()}" for n, line in enumerate(module.text.splitlines(), 1) if marks.search(line)
    ]
    assert not wrong, "\n".join(wrong)


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
