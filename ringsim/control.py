"""The control page: the few words through which the parent and its stages speak, each with one writer.

    line 0..3      the parent: lifecycle, run state, trading (operator), commands
    block k        stage k: heartbeat, state, what it waits for, watermarks, progress, its own trading word; and what
                   chaos asks of it (S_TRAP, S_FAULT), which nobody else writes

A block is four lines of 128 bytes: what changes all the time lies apart from what changes rarely. Offsets are in 64-bit
words. The lifecycle word has values of ringsim.lifecycle.Lifecycle; trading: ringsim.records.Trading.
"""

from enum import IntEnum

import numpy as np

from ringsim.limits import MAX_STRATEGIES

LINE = 16


class RunState(IntEnum):
    """What the operator wants."""

    RUNNING = 0
    PAUSED = 1
    STOPPING = 2
    STOPPED = 3


class StageState(IntEnum):
    """How far a stage is, as it says itself."""

    ABSENT = 0
    STARTING = 1
    WARM = 2  # its kernels ran on synthetic input
    RUNNING = 3
    DONE = 4  # nothing left to do
    FAILED = 5


class StageError(IntEnum):
    """What a failed stage says of its end."""

    NONE = 0
    FAILED = 1  # a replacement may do better
    FATAL = 2  # a replacement would meet the same: corruption, a contradiction, a disk that stays full
    OUT_OF_MEMORY = 3  # fatal, too


# Parent's words.
P_LIFECYCLE = 0
P_RUN = 1
P_TRADING = 2
P_EPOCH = 3  # changes with every word above: stages compare one word
P_START_NS = 4  # when the feed begins, realtime
P_COMMAND_SEQ = 5  # commands for ingest to sequence (simulated clock): number, then what it is
P_COMMAND_CODE = 6
P_COMMAND_VALUE = 7
P_GO = 8  # 1: stages may begin slices
P_OWNER_PID = 9  # the parent, and its start time: whether the segments of this run are in use
P_OWNER_START = 10
P_WALL_STEP_S = 11  # what the wall clock of every process of the run is off by, on purpose (procs.wall)

# What a stage waits for, beside ringsim.fold.intake's WORKING, NO_INPUT, NO_ROOM, NO_JOURNAL.
WAITS_FOR_PARENT = 4
WAITS_FOR_LOCK = 5  # persistence: another program holds the database's
WAITS_FOR_SPACE = 6  # persistence: the disk is full

# A stage's words, from the start of its block.
S_HEARTBEAT_NS = 0
S_STATE = 1
S_GENERATION = 2
S_PID = 3
S_WAITS = 4  # ringsim.fold.intake: WORKING, NO_INPUT, NO_ROOM, NO_JOURNAL
S_ERROR = 5  # StageError, of its last failure
S_TRADING = LINE + 0  # this stage's trading word; trading is halted if any writer's word says so
S_SNAPSHOT_WANTED = LINE + 1  # how often the strategy asked for a fresh snapshot
S_COMMANDS_DONE = LINE + 2  # ingest: commands sequenced
S_COMMAND_AT = LINE + 3  # ingest: the message before which the last one was put
S_TRAP = LINE + 8  # where this stage is to die: ringsim.fold.trap.Point, 0: nowhere
S_TRAP_AT = LINE + 9  # not before it has taken so many inputs
S_TRAP_HOW = LINE + 10  # how it ends there: ringsim.fold.trap.How
S_FAULT = LINE + 11  # persistence: how the disk is to fail, ringsim.store.fault.Fault
S_FAULT_FROM = LINE + 12  # the first step at the disk that fails, counted from 1
S_FAULT_UNTIL = LINE + 13  # the first one after it that does not
S_STEPS = LINE + 14  # persistence: steps at the disk that it has taken, its replacements' included
S_TRAP_NS = LINE + 15  # when the last trap was sprung
S_NEXT_NS = 2 * LINE + 0  # watermark: its earliest next event that the peer did not cause
S_FOLDED = 2 * LINE + 1  # watermark: the peer's records folded; realtime clock: market records folded
S_MERGING = (
    2 * LINE + 2
)  # merge: the record that it moves, or moved last: its number in the orders ring x 8 + the strategy's
S_INPUTS = 3 * LINE + 0
S_OUTPUTS = 3 * LINE + 1
S_ENDED = 3 * LINE + 2
S_EVENT_NS = 3 * LINE + 3  # time of the last input
S_LATE_NS = 3 * LINE + 4  # ingest: how late the last message was taken
S_WALL_STEP_S = 3 * LINE + 5  # the P_WALL_STEP_S that it goes by

_PARENT_WORDS = 4 * LINE
BLOCK_WORDS = 4 * LINE


class Stage(IntEnum):
    """The stages' places in the page. There may be several strategies, in a row; then one stage merges their orders."""

    INGEST = 0
    EXECUTION = 1
    PERSISTENCE = 2
    STRATEGY = 3
    MERGE = 3 + MAX_STRATEGIES


MAX_STAGES = Stage.MERGE + 1

# Latest-value cells behind the blocks: the market and the account, for screens.
CELL_WORDS = 2 * LINE
CELL_MARKET = _PARENT_WORDS + MAX_STAGES * BLOCK_WORDS
CELL_ACCOUNT = CELL_MARKET + CELL_WORDS
CELL_FEED = CELL_ACCOUNT + CELL_WORDS
MERGED = CELL_FEED + CELL_WORDS  # a line a strategy: the two watermark words of all the others, from the merging stage
CONTROL_WORDS = MERGED + MAX_STRATEGIES * LINE

# Values of the cells, in order.
MARKET_CELL = (
    "time_ns",
    "bid_ticks",
    "bid_lots",
    "ask_ticks",
    "ask_lots",
    "imbalance_ppm",
    "spread_mbps",
    "seq",
    "valid",
)
ACCOUNT_CELL = ("time_ns", "position_lots", "cash", "realized", "unrealized", "fees", "equity", "mark_ticks",
                "open_orders", "fills", "submitted", "accepted", "provisional", "adjusted", "trading")  # fmt: skip
FEED_CELL = ("message", "messages", "gaps", "stale", "resyncs")


def stage_of(role: str) -> int:
    """The place of a stage by its name in a run: a Stage's in small letters, or strategy-K from 1 on."""
    name, _, number = role.partition("-")
    return Stage[name.upper()] + int(number or 0)


def block(stage: int) -> int:
    """First word of a stage's block."""
    return _PARENT_WORDS + stage * BLOCK_WORDS


def control_words(memory: memoryview) -> np.ndarray:
    """The page as int64[CONTROL_WORDS]."""
    return np.ndarray(CONTROL_WORDS, np.int64, memory)
