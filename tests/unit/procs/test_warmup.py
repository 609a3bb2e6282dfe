"""What the warm-up takes for compiled already."""

import subprocess
import sys

_COLD = """
from procs.demo import lockstep
from procs.warmup import _cached
from ringsim.kernel import cache_root, closure_key
from pathlib import Path
folder = cache_root() / closure_key(Path(lockstep.__file__).resolve())
assert not _cached("procs.demo.lockstep"), "imported only"
(folder / "x").mkdir(parents=True)
assert not _cached("procs.demo.lockstep"), "a folder only"
(folder / "x" / "kernel.nbi").touch()
assert _cached("procs.demo.lockstep")
"""


def test_a_module_that_was_only_imported_is_not_in_the_cache(tmp_path, monkeypatch):
    """If importing, or a folder that is empty, counted: all would be compiled one after the other, without a word."""
    monkeypatch.setenv("RINGSIM_CACHE", str(tmp_path))
    subprocess.run([sys.executable, "-c", _COLD], check=True, timeout=120)
