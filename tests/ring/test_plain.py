"""The kernels' plain Python bodies obey the same laws, with numpy's bounds checks; and those laws run every line of the ring.

A run with NUMBA_DISABLE_JIT=1 of the tests of one process, traced line by line.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
COVERED = sorted((ROOT / "ringsim" / "ring").glob("*.py"))

# Runs pytest in a process of its own and writes down which lines of COVERED ran.
PROGRAM = """
import json, sys
import pytest

covered, out, *arguments = json.loads(sys.argv[1])
seen = {name: set() for name in covered}

def trace(frame, event, argument):
    lines = seen.get(frame.f_code.co_filename)
    if lines is None:
        return None
    lines.add(frame.f_lineno)
    return trace

sys.settrace(trace)
code = pytest.main(arguments)
sys.settrace(None)
from ringsim.ring import put
assert not hasattr(put, "signatures"), "compiled all the same"
with open(out, "w") as file:
    json.dump({name: sorted(lines) for name, lines in seen.items()}, file)
sys.exit(code)
"""


def lines_with_code(path):
    """Lines that some function, class body or module would run."""
    todo, lines = [compile(path.read_text(), path, "exec")], set()
    while todo:
        code = todo.pop()
        todo += [constant for constant in code.co_consts if hasattr(constant, "co_lines")]
        lines |= {line for _, _, line in code.co_lines() if line}
    return lines


def test_plain_bodies_obey_the_laws_and_every_line_of_the_ring_is_run(tmp_path):
    out = tmp_path / "lines.json"
    tests = [str(ROOT / "tests" / "ring" / name) for name in ("test_laws.py", "test_segment.py", "test_wait.py")]
    arguments = [[str(path) for path in COVERED], str(out), "-q", "-p", "no:xdist", "-p", "no:randomly", *tests]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(arguments)],
        cwd=ROOT,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    seen = {name: set(lines) for name, lines in json.loads(out.read_text()).items()}
    missed = {path.name: missing for path in COVERED if (missing := sorted(lines_with_code(path) - seen[str(path)]))}
    assert missed == {}, "no test of one process runs these lines"
