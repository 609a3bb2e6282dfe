"""The example of docs/rings.md is a program that runs, and says what the text says it does."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).parents[2] / "docs" / "rings.md"


@pytest.mark.timeout(120)
def test_the_example_runs_as_it_stands(tmp_path):
    [code] = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.S)
    program = tmp_path / "example.py"
    program.write_text(code)
    ran = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=100, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "published 100000" in ran.stdout and "'ledger': 0" in ran.stdout and "gated by None" in ran.stdout
