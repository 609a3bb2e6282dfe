"""Runs of the pipeline for tests: in one process or in five, on the shipped minute or a part of it."""

import os
from pathlib import Path

import msgspec

from procs.prepare import Prepared, prepare_run
from procs.run import run_backtest, run_pipeline
from ringsim.config import load


class NoScreen:
    """Nobody watches."""

    def warming(self, done, total, what):
        pass

    def open(self, look):
        pass

    def update(self):
        pass

    def close(self):
        pass


def prepared(folder: Path, name: str, **settings: object) -> Prepared:
    """A run in folder/name. settings: configuration keys with __ for the dot."""
    given = {key.replace("__", "."): value for key, value in settings.items()}
    given = {"run.clock": "simulated", **given, "run.out": str(folder / name)}
    return prepare_run(load(overrides=given), f"test-{os.getpid()}-{folder.name[-12:]}-{name}")


def backtest(
    folder: Path, name: str = "backtest", commands=(), messages=None, stopped=False, **settings: object
) -> dict:
    ready = prepared(folder, name, **settings)
    if messages is not None:
        ready = msgspec.structs.replace(ready, plan=msgspec.structs.replace(ready.plan, messages=messages))
    return run_backtest(ready, commands, stopped=stopped)


def processes(folder: Path, name: str = "processes", each_turn=None, **settings: object) -> dict:
    """each_turn: what is done to the run from outside; a simulated one then lasts long enough for it."""
    if each_turn is not None:
        settings = {"pipeline__pause_us": 250} | settings
    return run_pipeline(prepared(folder, name, **settings), NoScreen(), each_turn or (lambda parent: None), poll_ms=1)
