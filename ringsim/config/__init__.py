"""Everything that a person can set: its key, type, range and default, and where the value in force came from.

    command line  >  file (TOML)  >  profile  >  default          load() -> Effective: config, settings, notes

    schema     what there is: one struct a section, one field a key, its default; the profiles
    kinds      what a key takes, and what to say to whoever gives something else
    problems   everything wrong with a configuration, at once
    load       the layers, read and merged
    grid       what the values mean in integers: ring sizes, limits in lots and money, fees
    models     the exchange's models as --latency, --queue, ... write them, and the keys that they stand for

Numbers with a fraction are exact decimals from the text of the file to the integers of the folds: no binary float on the
way. Nothing here reads a clock or the machine: what depends on cores or captures is checked where they are known.
"""

from ringsim.config.grid import (
    Capacities,
    InGrid,
    capacities,
    fees,
    in_run_folder,
    instruments,
    limits_in_grid,
    schedule_file,
    source_files,
    strategy_ids,
    strategy_kind,
    strategy_names,
    user_strategy,
)
from ringsim.config.kinds import toml_value
from ringsim.config.load import Effective, Note, Setting, assignment, load
from ringsim.config.models import allowed, exchange_models, model_settings
from ringsim.config.problems import BadConfig, Problem
from ringsim.config.schema import PROFILES, SOURCES, Config

__all__ = [
    "PROFILES",
    "SOURCES",
    "BadConfig",
    "Capacities",
    "Config",
    "Effective",
    "InGrid",
    "Note",
    "Problem",
    "Setting",
    "allowed",
    "assignment",
    "capacities",
    "exchange_models",
    "fees",
    "in_run_folder",
    "instruments",
    "limits_in_grid",
    "load",
    "model_settings",
    "schedule_file",
    "source_files",
    "strategy_ids",
    "strategy_kind",
    "strategy_names",
    "toml_value",
    "user_strategy",
]
