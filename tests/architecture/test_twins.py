"""Every module with compiled kernels has a plain-Python twin that its tests compare it with, or a reason why not."""

import ast

from tests.architecture.source import ROOT, holds_for, imports, inside, modules

# Package or module -> modules of tests/naive. The longest name that fits is the one that holds.
TWINS = {
    "ringsim.book": "book",
    "ringsim.draws": "draws",
    "ringsim.ledger": "ledger",
    "ringsim.risk": "risk",
    "ringsim.strategy": "features strategy scripted divergence",
    "ringsim.market": "feed synthetic",
    "ringsim.market.normalised": "normalised",
    "ringsim.broker": "broker queue latency slippage adverse",
    "ringsim.analysis": "analysis",
    "procs.demo": "demo",
}

# What another kind of test holds to account.
NO_TWIN = {
    "ringsim.ring": "two processes with payload words derived from the sequence; emitted code; exhaustive models",
    "ringsim.fold": "kills at every step, and equal digests of one process and five",
    "ringsim.telemetry": "laws against numpy's percentiles, in its own tests",
    "ringsim.pipeline": "is itself the plain twin of the processes",
    "procs": "the loop around the folds: pipeline gives the same digest",
}


def kernels():
    """Modules that compile something."""
    for module in modules("ringsim", "procs"):
        decorators = (
            d for node in ast.walk(module.tree) if isinstance(node, ast.FunctionDef) for d in node.decorator_list
        )
        if any(getattr(getattr(d, "func", d), "id", "") == "kernel" for d in decorators):
            yield module


def row(module):
    """The most special row of either table."""
    fitting = [name for name in TWINS | NO_TWIN if inside(module.name, name)]
    return max(fitting, key=len, default=None)


@holds_for([*kernels()])
def test_a_kernel_has_a_twin_that_a_test_uses(module):
    name = row(module)
    if name is None:
        yield f"{module.name} compiles kernels: name its twin in TWINS, or the reason in NO_TWIN"
    for twin in TWINS.get(name, "").split():
        if not (ROOT / "tests" / "naive" / f"{twin}.py").is_file():
            yield f"{module.name}: its twin tests/naive/{twin}.py is missing"
        elif not any(f"tests.naive.{twin}" in imports(m) for m in modules("tests")):
            yield f"{module.name}: no test uses its twin tests/naive/{twin}.py"


def test_no_row_is_left_over():
    used = {row(module) for module in kernels()}
    assert set(TWINS | NO_TWIN) <= used
