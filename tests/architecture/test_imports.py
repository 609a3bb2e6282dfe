"""Who may import whom. The tables are the rules; a new package wants a row."""

import ast

from tests.architecture.source import holds_for, imports, inside, modules, where

LEAVES = (
    "errors limits units given clock kernel linking atomics bits draws shm records lifecycle control book ledger risk"
)

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
    "analysis": f"{LEAVES} store",  # of what is stored, and of market events
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
    "procs.supervisor procs.topology procs.readmodel procs.live procs.demo.lockstep procs.export procs.report duckdb plotly"
)


@holds_for(modules("ringsim"))
def test_the_library_imports_only_what_its_row_allows(module):
    parts = module.name.split(".")
    if len(parts) > 1 and parts[1] not in MAY_IMPORT:
        yield f"{module.name} has no row in MAY_IMPORT"
        return
    allowed = " ".join(f"ringsim.{name}" for part in parts[1:2] for name in [part, *MAY_IMPORT[part].split()])
    for name, line in imports(module).items():
        if inside(name, "ringsim") and name != "ringsim" and not inside(name, allowed):
            yield f"{where(module, line)} imports {name}"


@holds_for(modules("ringsim"))
def test_the_library_starts_and_prints_nothing(module):
    for name, line in imports(module).items():
        if inside(name, NOT_IN_THE_LIBRARY):
            yield f"{where(module, line)} imports {name}"
    for node in ast.walk(module.tree):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module == "multiprocessing":
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and inside(node.module or "", "multiprocessing"):
            names = [str(node.module).partition(".")[2]]
        elif isinstance(node, ast.Import):
            names = [a.name.partition(".")[2] or "Process" for a in node.names if inside(a.name, "multiprocessing")]
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("print", "input"):
            yield f"{where(module, node.lineno)} calls {node.func.id}"
        for name in names:
            if not inside(name, OF_MULTIPROCESSING):
                yield f"{where(module, node.lineno)} imports multiprocessing.{name}"


@holds_for(modules("procs"))
def test_processes_know_nothing_of_those_who_watch_them(module):
    forbidden = " ".join(names for package, names in MUST_NOT_IMPORT.items() if inside(module.name, package))
    for name, line in imports(module).items():
        if inside(name, forbidden):
            yield f"{where(module, line)} imports {name}"


@holds_for(modules("procs"))
def test_only_the_chaos_command_knows_chaos(module):
    for name, line in imports(module).items():
        if inside(name, "procs.chaos") and not inside(module.name, "procs.chaos procs.cli.chaos"):
            yield f"{where(module, line)} imports {name}"


@holds_for(modules("procs"))
def test_the_command_line_loads_nothing_slow_at_its_top(module):
    if inside(module.name, "procs.cli"):
        top = [node for node in module.tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        for name, line in imports(module._replace(tree=ast.Module(top, []))).items():
            if inside(name, SLOW_TO_IMPORT):
                yield f"{where(module, line)} imports {name}"


def test_every_row_has_its_package():
    """Rows for what is to come are few and named here; a row nobody needs any more goes."""
    there = {m.name.split(".")[1] for m in modules("ringsim") if m.name != "ringsim"}
    assert set(MAY_IMPORT) <= there
    to_come = {"procs.web"}
    assert set(MUST_NOT_IMPORT) - to_come <= {m.name for m in modules("procs")}
