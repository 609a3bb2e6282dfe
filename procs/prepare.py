"""From a configuration to a run that can start: its capture, its instrument, its folder, its plan.

Everything that a user can have wrong is found here, before a process or a segment exists.
"""

import os
import time
from fractions import Fraction
from pathlib import Path

import msgspec
import numpy as np

from procs.measured import read_measured
from procs.topology import STRATEGIES_MAX, Plan, StrategyPlan, check_capacities
from procs.trial import try_out
from ringsim.broker.delays import Delays, read_rows
from ringsim.config import (
    Config,
    Effective,
    capacities,
    exchange_models,
    in_run_folder,
    instruments,
    schedule_file,
    strategy_ids,
    strategy_names,
    user_strategy,
)
from ringsim.errors import BadInput
from ringsim.market.capture import Capture, prepare
from ringsim.market.instruments import COINM
from ringsim.market.lobster import prepare_lobster
from ringsim.market.normalised import prepare_events
from ringsim.market.source import EVENTS, LOBSTER, SYNTHETIC, open_source
from ringsim.market.synthetic import prepare_synthetic
from ringsim.store.files import typed_os
from ringsim.store.manifest import SourceFile
from ringsim.strategy.schedule import Schedule, read_schedule
from ringsim.strategy.user import Loaded, UserFile, load_user
from ringsim.units import Instrument
from ringsim.wiring import broker_params, strategy_params, synthetic_instrument, synthetic_params

_HOT = ("ingest", "strategy", "execution")


class Prepared(msgspec.Struct, frozen=True):
    """A run that can start."""

    run_id: str
    folder: Path
    plan: Plan
    capture: Capture
    instrument: Instrument
    strategy_ids: tuple[str, ...]  # by the numbers in the records; of several strategies the account is the last
    strategies: tuple[str, ...]  # as --strategy writes them
    inputs: list[SourceFile]  # what was read beside the capture
    exchange: dict[str, str]  # option -> the model in force
    notes: list[str]


def messages_within(capture: Capture, duration_s: object) -> int:
    """How many messages of a capture arrive within its first `duration_s` seconds (None: all)."""
    if duration_s is None:
        return len(capture.index)
    end = capture.meta.first_recv_ns + int(Fraction(str(duration_s)) * 1_000_000_000)
    return int(np.searchsorted(capture.index.recv_ns, end, side="right"))


def open_session(config: Config) -> Capture:
    """The session of run.source, prepared. Raises BadInput, one line, for what cannot be read or generated."""
    if config.run.source == SYNTHETIC:
        instrument = synthetic_instrument(config)
        return prepare_synthetic(synthetic_params(config, instrument), instrument)
    files = open_source(config.run.source)
    if config.run.source.startswith(LOBSTER):
        return prepare_lobster(files, instruments(config), config.feed.base_latency_ns)
    if not config.run.source.startswith(EVENTS):
        return prepare(files, instruments(config))
    tick, lot = (None if step is None else format(step, "f") for step in (config.feed.tick, config.feed.lot))
    return prepare_events(files, config.strategy.symbols[0], tick, lot)


def check_instrument(effective: Effective, capture: Capture) -> Instrument:
    """The capture's instrument. BadInput if it cannot be traded here, or is not what the configuration asks for."""
    meta, wanted = capture.meta, effective.config.strategy.symbols
    if meta.market == COINM:
        raise BadInput(
            f"{meta.symbol} is a coin-margined, inverse contract: it can be checked (ringsim feed check), not traded"
        )
    if meta.symbol not in wanted:
        asked = effective.origin("strategy.symbols")
        if asked == "default":
            return meta.instrument  # nobody asked for another symbol
        raise BadInput(f"the capture has {meta.symbol}; strategy.symbols ({asked}) asks for {', '.join(wanted)}")
    return meta.instrument


def placement(effective: Effective) -> tuple[dict[str, str], dict[str, list[int]]]:
    """How each stage waits and on which cores it runs.

    With enough cores each hot stage has its own and spins. On two, ingest and execution share one and yield to each other,
    the strategy has the other and spins: who yields gives whoever else runs there a whole slice of the scheduler, not a
    moment. Persistence runs at low priority where there is room.
    """
    pipeline, here = effective.config.pipeline, sorted(os.sched_getaffinity(0))
    waits = dict.fromkeys(_HOT, "busy" if len(here) > len(_HOT) else "yield") | {"persistence": "backoff"}
    cores: dict[str, list[int]] = {}
    count = len(strategy_names(effective.config))
    if count > 1:  # more stages than anybody has cores to spare: all of them give way to each other
        waits |= dict.fromkeys((*_HOT, "merge", *(f"strategy-{number}" for number in range(1, count))), "yield")
    elif pipeline.placement == "auto" and len(here) >= 2:
        if len(here) > len(_HOT):
            cores = {stage: [here[k + 1]] for k, stage in enumerate(_HOT)}
        else:
            cores = {"ingest": [here[0]], "execution": [here[0]], "strategy": [here[1]]}
            waits["strategy"], waits["ingest"] = "busy", "handover"
    for stage in (*_HOT, "persistence"):
        wait, core = getattr(pipeline.wait, stage), getattr(pipeline.cores, stage)
        if wait != "auto":
            waits[stage] = wait
        if core is not None:
            cores[stage] = [core]
    for number in range(1, count):
        waits[f"strategy-{number}"] = waits["strategy"]
    spinning = [stage for stage in waits if waits[stage] == "busy"]
    if len(spinning) > len(here):
        raise BadInput(
            f"{len(spinning)} stages wait busily ({', '.join(spinning)}) on {len(here)} cores: let some yield"
        )
    return waits, cores


def make_folder(out: str | None, run_id: str) -> Path:
    """The run's folder, made and writable; BadInput otherwise, also if another run's is there."""
    folder = Path(out).expanduser() if out else Path("runs") / run_id
    folder = folder.absolute()
    if (folder / "plan.json").exists() or (folder / "manifest.json").exists():
        raise BadInput(f"{folder} holds another run; choose an empty folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise BadInput(f"cannot write to {folder}: {os.strerror(error.errno or 0)}") from None
    return folder


def prepare_run(
    effective: Effective, run_id: str, out: str | None = None, *, plan: Plan | None = None, processes: bool = False
) -> Prepared:
    """All of it. out: the run's folder, if not the configured one. Raises BadInput, one line, for what cannot be used.

    plan: of a run that was begun before, in whose folder it goes on. processes: whether it is to run as processes.
    """
    config = effective.config
    names = strategy_names(config)
    if processes and len(names) > STRATEGIES_MAX:
        raise BadInput(f"{len(names)} strategies run in `ringsim backtest`; as processes at most {STRATEGIES_MAX}")
    capture = open_session(config)
    instrument = check_instrument(effective, capture)
    schedules = [_schedule(effective, name, instrument) for name in names]
    delays = _delays(effective)
    users = _users(config)
    given = list(zip(schedules, users, strict=True))
    plan = plan or _new_plan(effective, run_id, out or config.run.out, capture, instrument, given, delays)
    inputs = [SourceFile(file.path, file.size_bytes, file.sha256) for file in (*schedules, delays) if file]
    inputs += [SourceFile(user.file.path, len(user.text), user.file.sha256) for user in users if user]
    notes = [f"{note.path}: {note.text}" for note in effective.notes if note.origin != "default"] + list(
        capture.meta.notes
    )
    models = exchange_models(config)
    return Prepared(
        run_id=run_id,
        folder=Path(plan.folder),
        plan=plan,
        capture=capture,
        instrument=instrument,
        strategy_ids=strategy_ids(config),
        strategies=names,
        inputs=inputs,
        exchange=models,
        notes=notes,
    )


def _schedule(effective: Effective, strategy: str, instrument: Instrument) -> Schedule | None:
    """The orders of a scripted strategy; None for another one. BadInput for what cannot be sent."""
    run, file = effective.config.run, schedule_file(strategy)
    if file is None:
        return None
    if run.clock == "realtime" and run.speed == "max":
        raise BadInput(
            "a scripted strategy sends by the feed's clock, and at run.speed max it has none: choose a speed"
        )
    return read_schedule(Path(file).expanduser().absolute(), instrument)


def _delays(effective: Effective) -> Delays | None:
    """The latencies that were measured, for a model that looks them up; None for another one. BadInput for what is none."""
    run, broker = effective.config.run, effective.config.broker
    if broker.latency_model == "measured":
        return read_measured(str(broker.latency_run))
    if broker.latency_model != "rows":
        return None
    if run.clock == "realtime" and run.speed == "max":
        raise BadInput(
            "measured rows are looked up by the feed's clock, and at run.speed max it has none: choose a speed"
        )
    return read_rows(Path(str(broker.latency_rows)).expanduser().absolute())


def _users(config: Config) -> list[Loaded | None]:
    """The strategies that are a user's, tried out, by number; None for another one. BadInput for what cannot be called.

    Of several each takes those of the given parameters that it has.
    """
    files = [user_strategy(name) for name in strategy_names(config)]
    among, given = sum(file is not None for file in files) > 1, config.strategy.user
    users = [
        load_user(Path(file[0]).expanduser().absolute(), file[1], given, among=among) if file else None
        for file in files
    ]
    known = {name for user in users if user for name in user.parameters}
    if among and (unknown := [name for name in given if name not in known]):
        raise BadInput(f"strategy.user.{unknown[0]}: none of the strategies has such a parameter")
    for user in users:
        if user:
            try_out(user)
    return users


def _new_plan(
    effective: Effective,
    run_id: str,
    out: str | None,
    capture: Capture,
    instrument: Instrument,
    given: list[tuple[Schedule | None, Loaded | None]],
    delays: Delays | None,
) -> Plan:
    """given: what each strategy was given to read, by number."""
    config = effective.config
    simulated = config.run.clock == "simulated"
    sizes = capacities(config)
    check_capacities(sizes)
    # Event time is UTC already; CLOCK_MONOTONIC needs to be told what day it is.
    offset_ns = 0 if simulated else time.time_ns() - time.monotonic_ns()
    first_ns = capture.meta.first_recv_ns
    params = [
        strategy_params(
            config,
            instrument,
            number,
            utc_offset_ns=offset_ns,
            first_ns=first_ns,
            user_words=user.params if user else (),
        )
        for number, (_, user) in enumerate(given)
    ]
    broker = broker_params(config, instrument, utc_offset_ns=offset_ns, first_ns=first_ns, delays=delays)
    waits, cores = placement(effective)
    speed = (0, 1) if config.run.speed == "max" else Fraction(str(config.run.speed)).as_integer_ratio()
    folder = make_folder(out, run_id)
    return Plan(
        run_id=run_id,
        folder=str(folder),
        simulated=simulated,
        speed=speed,
        # One strategy that loses asks for a snapshot of its own; several would ask for each other's.
        lossy_market=not simulated and not config.pipeline.lossless_market and len(given) == 1,
        capacities=sizes,
        capture_folder=str(capture.folder),
        messages=messages_within(capture, config.run.duration_s),
        base_latency_ns=config.feed.base_latency_ns,
        strategies=tuple(
            StrategyPlan(
                params[number],
                _keep(schedule.orders, folder / f"schedule{_suffix(number)}.npy") if schedule else "",
                _keep_user(user, folder / f"strategy{_suffix(number)}.py") if user else None,
            )
            for number, (schedule, user) in enumerate(given)
        ),
        broker=broker,
        delays=_keep(delays.table, folder / "delays.npy") if delays else "",
        database=str(in_run_folder(config.strategy.persistence.database_path, folder)),
        batch_size=config.strategy.persistence.batch_size,
        warmup_ticks=config.pipeline.warmup_ticks,
        # Orders at set times have their own clock, and an event file has no text to be read: there is no script for them. A
        # user's strategy is called with what happens, and nothing else.
        rehearse=config.pipeline.rehearse
        and not simulated
        and len(given) == 1
        and not any(schedule or user for schedule, user in given)
        and not config.run.source.startswith(EVENTS),
        slice_us=config.pipeline.slice_us,
        waits=waits,
        cores=cores,
        pause_us=config.pipeline.pause_us if simulated else 0,
        restart_budget=config.pipeline.restart_budget,
        restart_window_s=config.pipeline.restart_window_s,
        storage_patience_s=config.pipeline.storage_patience_s,
    )


def _keep(checked: np.ndarray, path: Path) -> str:
    """What was read beside the capture, as the stages map it, in the run's folder. Returns its path."""
    try:
        np.save(path, np.asarray(checked))
    except OSError as error:
        raise typed_os(error, path, "writing") from None
    return str(path)


def _suffix(number: int) -> str:
    """Of the name of what belongs to a strategy: the first one's has none."""
    return f"-{number}" if number else ""


def _keep_user(user: Loaded, path: Path) -> UserFile:
    """The file as it was read, in the run's folder: what the processes compile."""
    try:
        path.write_bytes(user.text)
    except OSError as error:
        raise typed_os(error, path, "writing") from None
    return UserFile(str(path), user.file.name, user.file.sha256)
