"""The program's text as the architecture tests read it: parsed, never imported, so that nothing can hide from them."""

import ast
from collections.abc import Callable, Iterable, Iterator
from functools import cache, wraps
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Module(NamedTuple):
    """One file. name: dotted; a package has its own name, not `.__init__`."""

    name: str
    path: Path
    text: str
    tree: ast.Module

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"


@cache
def modules(*tops: str) -> tuple[Module, ...]:
    """Every Python file below these top folders."""
    found = []
    for file in sorted(file for top in tops for file in (ROOT / top).rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        text = file.read_text()
        found.append(Module(".".join(parts[:-1] if parts[-1] == "__init__" else parts), file, text, ast.parse(text)))
    return tuple(found)


@cache
def _names() -> frozenset[str]:
    return frozenset(module.name for module in modules("ringsim", "procs", "tests"))


@cache
def imports(module: Module) -> dict[str, int]:
    """Every module that it imports, wherever the import stands, with its line. `from a import b` is a.b if that is one.

    Of the program's own packages a package counts as imported by whoever imports something below it by name only.
    """
    found: dict[str, int] = {}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            found |= {alias.name: node.lineno for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = module.name if module.is_package else module.name.rpartition(".")[0]
            for _ in range(node.level - 1):
                package = package.rpartition(".")[0]
            base = ".".join(part for part in (package if node.level else "", node.module) if part)
            for alias in node.names:
                below = f"{base}.{alias.name}"
                found[below if below in _names() else base] = node.lineno
    return found


def inside(name: str, packages: str) -> bool:
    """Whether a dotted name is one of the packages (space-separated) or lies below one."""
    return any(name == package or name.startswith(package + ".") for package in packages.split())


def where(module: Module, line: int) -> str:
    """path:line, as an editor opens it."""
    return f"{module.path.relative_to(ROOT)}:{line}"


def holds_for(found: Iterable[Module]) -> Callable[[Callable[[Module], Iterator[str]]], Callable[[], None]]:
    """Makes a test of a rule: a generator of what is wrong in one module. All that is wrong anywhere is said at once."""

    def test_of(rule: Callable[[Module], Iterator[str]]) -> Callable[[], None]:
        @wraps(rule)
        def test() -> None:
            wrong = [line for module in found for line in rule(module)]
            assert not wrong, "\n" + "\n".join(wrong)

        del test.__wrapped__  # pytest would take the rule's argument for a fixture
        return test

    return test_of
