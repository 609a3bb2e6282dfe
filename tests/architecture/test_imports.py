"""Who may import whom. The tables are the rules; a new package wants a row."""

import ast

import pytest

from tests.architecture.source import imports, inside, modules, where

LEAVES = "errors limits units clock kernel atomics bits shm records lifecycle control book ledger risk"

# ringsim.X -> what of ringsim it may import. Market, strategy and broker meet in records (and the leaves) alone.
MAY_IMPORT = {
    **dict.fromkeys(LEAVES.split(), LEAVES),
    "ring": "errors limits kernel atomics bits shm",  # knows no record
    "fold": f"{LEAVES} ring",  # knows no stage
    "telemetry": LEAVES,
    "config": LEAVES,
    "market": f"{LEAVES} fold telemetry",
    "strategy": f"{LEAVES} fold telemetry",
    "broker": f"{LEAVES} fold telemetry",
    "store": LEAVES,
    "summary": f"{LEAVES} telemetry",
    "wiring": f"{LEAVES} ring fold telemetry config market strategy broker store",
    "pipeline": f"{LEAVES} ring fold telemetry config market strategy broker store wiring",
}

# ringsim is what happens to an event: it starts nothing, handles no signal, prints nothing, decides nothing by chance.
NOT_IN_THE_LIBRARY = (
    "procs subprocess threading signal asyncio concurrent socket select logging typer rich psutil setproctitle "
    "multiprocessing_logging random secrets uuid"
)
OF_MULTIPROCESSING = "shared_memory resource_tracker"  # names, not processes

# procs.X -> what it must not import. Stages and workers know nothing of who watches them.
FACES = "procs.cli procs.live procs.web"
MUST_NOT_IMPORT = {
    "procs.stages": f"procs.worker procs.launcher procs.supervisor procs.readmodel procs.chaos {FACES} typer rich",
    "procs.worker": f"procs.launcher procs.supervisor procs.readmodel procs.chaos {FACES} typer rich",
    "procs.topology": f"procs.stages procs.worker procs.launcher procs.supervisor procs.readmodel procs.chaos {FACES} typer rich",
    "procs.launcher": f"procs.supervisor procs.readmodel procs.chaos {FACES} typer rich threading",
    "procs.supervisor": f"procs.stages procs.worker procs.chaos {FACES} typer rich",
    "procs.readmodel": f"procs.stages procs.worker procs.launcher procs.supervisor procs.chaos {FACES} typer rich",
    "procs.janitor": f"procs.stages procs.worker procs.launcher procs.supervisor procs.chaos {FACES} typer rich",
    "procs.logs": "procs.stages procs.worker procs.launcher procs.supervisor procs.readmodel procs.chaos typer rich",
    "procs.folders": "procs.stages procs.worker procs.launcher procs.supervisor procs.readmodel procs.chaos typer rich",
    "procs.live": "procs.stages procs.worker procs.launcher procs.supervisor procs.chaos procs.cli",  # reads readmodel only
    "procs.web": "procs.stages procs.worker procs.launcher procs.supervisor procs.chaos procs.cli",
    "procs.cli": "procs.stages procs.worker procs.launcher",  # a run is made through the supervisor
}

# What the command line must not load before a command asks for it: `ringsim --help` answers at once.
SLOW_TO_IMPORT = (
    "numba numpy llvmlite rich ringsim.kernel ringsim.records ringsim.ring ringsim.pipeline ringsim.market ringsim.store "
    "procs.supervisor procs.topology procs.readmodel procs.live procs.demo.lockstep"
)


@pytest.mark.parametrize("module", modules("ringsim"), ids=lambda m: m.name)
def test_the_library_imports_only_what_its_row_allows(module):
    if module.name == "ringsim":
        assert not any(inside(name, "ringsim procs") for name in imports(module)), (
            "the package itself imports nothing of it"
        )
        return
    part = module.name.split(".")[1]
    assert part in MAY_IMPORT, f"{module.name} has no row in MAY_IMPORT"
    allowed = " ".join(f"ringsim.{name}" for name in [part, *MAY_IMPORT[part].split()])
    wrong = [f"{where(module, line)} imports {name}" for name, line in imports(module).items()
             if inside(name, "ringsim") and name != "ringsim" and not inside(name, allowed)]  # fmt: skip
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("module", modules("ringsim"), ids=lambda m: m.name)
def test_the_library_starts_and_prints_nothing(module):
    wrong = [
        f"{where(module, line)} imports {name}"
        for name, line in imports(module).items()
        if inside(name, NOT_IN_THE_LIBRARY)
    ]
    for node in ast.walk(module.tree):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module == "multiprocessing":
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [a.name.partition(".")[2] or "Process" for a in node.names if inside(a.name, "multiprocessing")]
        elif isinstance(node, ast.ImportFrom) and inside(node.module or "", "multiprocessing"):
            names = [str(node.module).partition(".")[2]]
        wrong += [
            f"{where(module, node.lineno)} imports multiprocessing.{n}"
            for n in names
            if not inside(n, OF_MULTIPROCESSING)
        ]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("print", "input"):
            wrong.append(f"{where(module, node.lineno)} calls {node.func.id}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("module", modules("procs"), ids=lambda m: m.name)
def test_processes_know_nothing_of_those_who_watch_them(module):
    forbidden = " ".join(names for package, names in MUST_NOT_IMPORT.items() if inside(module.name, package))
    wrong = [
        f"{where(module, line)} imports {name}" for name, line in imports(module).items() if inside(name, forbidden)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("module", modules("procs"), ids=lambda m: m.name)
def test_only_the_chaos_command_knows_chaos(module):
    if not inside(module.name, "procs.chaos procs.cli.chaos procs.cli.main"):
        assert not [name for name in imports(module) if inside(name, "procs.chaos")]


@pytest.mark.parametrize("module", [m for m in modules("procs") if inside(m.name, "procs.cli")], ids=lambda m: m.name)
def test_the_command_line_loads_nothing_slow_at_its_top(module):
    names = {
        name: line
        for node in module.tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name, line in imports(module._replace(tree=ast.Module([node], []))).items()
    }
    wrong = [f"{where(module, line)} imports {name}" for name, line in names.items() if inside(name, SLOW_TO_IMPORT)]
    assert not wrong, "\n".join(wrong)


def test_every_row_has_its_package():
    """Rows for what is to come are few and named here; a row nobody needs any more goes."""
    there = {m.name.split(".")[1] for m in modules("ringsim") if m.name != "ringsim"}
    assert set(MAY_IMPORT) <= there | {"wiring"}
    to_come = {"procs.web", "procs.live"}
    assert set(MUST_NOT_IMPORT) - to_come <= {m.name for m in modules("procs")}
