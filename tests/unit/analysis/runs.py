"""A backtest of the shipped minute with its manifest, made once for all tests that read it."""

import contextlib
import io
from pathlib import Path

import pytest

import procs.run  # noqa: F401  (its kernels come from the cache of whoever runs the tests)
from procs.cli import main


def make(folder: Path, *arguments: str) -> Path:
    """A run by the command line, in folder/run; the user's own state is left alone."""
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        patch.setenv("RINGSIM_STATE", str(folder / "state"))
        code = main.run(["backtest", "--out", str(folder / "run"), *arguments])
    assert code in (0, 3)
    return folder / "run"
