"""Every bound of the program, each with its reason, asserted against the others. Nothing grows without one.

Prices are ticks, quantities lots, money ticks x lots: all int64. The bounds below keep every product below 2**63.
"""

# Rings
MAX_CONSUMERS = 8  # lines in a ring's header; a ring with more readers wants a tree of rings
MIN_CAPACITY = 2  # one slot would make producer and reader take turns
MAX_CAPACITY = 1 << 24  # 1 GiB of 64-byte slots
BATCH_SHARE = 4  # a batch is at most capacity / 4, so that a free reader always finds most of the ring whole

# Instruments and orders
MAX_SYMBOLS = 16
MAX_STRATEGIES = 8
MAX_PRICE_TICKS = 1 << 40
MAX_QTY_LOTS = 1 << 40
MAX_NOTIONAL = 1 << 49  # ticks x lots of one order: times a fee in hundredths of a basis point it stays below 2**63
MAX_OPEN_ORDERS = 64  # resting orders of the account; each costs a look at every trade
MAX_IN_FLIGHT = 128  # orders on their way to the exchange
IN_FLIGHT_CANCELS = 16  # of them, kept for cancels, two a strategy: new orders never stand in their way
MAX_ACCOUNT_NOTIONAL = (
    1 << 55
)  # |position with what works filled| x price: the mark may rise 100-fold before 2**63 is near
CREDITS = 48  # K of protocol P5: unanswered records of one strategy in the orders ring
CANCEL_ALL_CREDITS = 1  # reserved, so that a cancel-all never waits behind its own orders

# Book
BOOK_LEVELS = 1 << 14  # hash slots a side; the recorded sessions reach 5,436 levels a side
BOOK_LEVELS_USED = BOOK_LEVELS * 3 // 4  # a fuller table probes too long; beyond it far levels are refused and counted
BOOK_WINDOW = 1 << 16  # ticks around the best price whose order is kept in bitmaps
TAKEN_LEVELS = 32  # levels whose displayed quantity the account has taken itself

# Stages
STRATEGY_OUT = 8  # records that one input makes a strategy emit, at most
MAX_SCHEDULE = 1 << 20  # orders of a schedule: 64 MiB of records
SCHEDULE_BYTES = 1 << 28  # of its file: so many rows of the longest numbers
MAX_LATENCY_ROWS = 2048  # of measured latencies, a direction: 64 KiB of the broker's state, which every commit copies
LATENCY_FILE_BYTES = 1 << 20  # of their file: so many rows of the longest numbers, with room
USER_STATE_BYTES = 4096  # of a user's strategy: it is copied at every commit, whatever strategy runs
USER_PARAMS = 32  # words
USER_WAKE_NS = (
    10_000  # the soonest that it is called again by the clock: a second cannot become a thousand million calls
)
USER_FILE_BYTES = 1 << 20
OWN_ORDERS = 16  # orders of one strategy on their way or at the exchange; each costs a look at every report
TAKE_LEVELS = 48  # levels that one taking order can walk; what is left then is NO_LIQUIDITY
EXECUTION_OUT = (
    256  # reports that one input makes the broker emit: of all open orders a fill or cancel, then the account
)
JOURNAL_ENTRIES = 1 << 14
SLICE_NS = (
    50_000_000  # a kernel call returns after this long: SIGTERM is seen between calls, the parent's words within one
)
MESSAGE_EVENTS = 1 << 14  # events of one message: a 5,000-level snapshot is 10,002
MESSAGE_BYTES = 1 << 22  # of one recorded line: a 5,000-level snapshot is 320 KB; a longer line is no message
CAPTURE_WARNINGS = 100  # bad lines of a capture that are described one by one; the rest is counted
CAPTURE_TRIAL_LINES = 100  # a file whose first lines are all bad is no capture, and is not read to its end
CACHED_CAPTURES = 16  # prepared captures kept on disk; the one unused for longest goes
SYNTHETIC_LEVELS = 1_000  # a side of a generated book: a message moves all of them, four events each
MAX_SYNTHETIC_EVENTS = 20_000_000  # 1.3 GB of records on disk
FEATURE_WINDOW = 1 << 12  # samples of the time window; the documents ask for 1000

# Money and risk
START_CASH = 100_000  # quote units
MAX_FEE_CBPS = 10_000  # hundredths of a basis point: 100 bps

# Storage
STORAGE_PATIENCE_S = 30  # a disk that is full, or a database locked by others, for longer than this ends the run
STORE_CHECK_BYTES = (
    1 << 25
)  # of a database and its log that a replacement looks at in full: 0.7 s; a larger one at the run's end

# Demos
DEMO_RATE = 100_000  # records in, or polls, of one step: about a slice's time, so that a step's kernel returns
DEMO_STEPS = 10_000

# Supervision
# A reader that lost events gets the whole book once more, which may be more than the ring holds: it loses of that, too, and
# asks again. The feed goes on between two answers: one costs 1 ms.
REFRESH_EVERY_NS = 20_000_000
HEARTBEAT_STALE_NS = 1_000_000_000  # older than this, a stage that is stopped, or has run since, is stalled
STARVED_NS = 30_000_000_000  # one that has not run at all is waited for this long: a busy machine is no failure
REDO_NS = 5_000_000_000  # of the processor, for a journal that is folded again: it takes some milliseconds
RESTART_BUDGET = 5
RESTART_WINDOW_NS = 30_000_000_000

assert USER_STATE_BYTES % 8 == 0
assert MAX_CAPACITY & (MAX_CAPACITY - 1) == 0
assert CREDITS + CANCEL_ALL_CREDITS <= MAX_IN_FLIGHT
assert (
    MAX_OPEN_ORDERS + MAX_IN_FLIGHT + TAKE_LEVELS + 4 + MAX_STRATEGIES <= EXECUTION_OUT
)  # a take that halts: its fills, every cancel, HALTED, an ACCOUNT a strategy and the account's
assert MAX_NOTIONAL * MAX_FEE_CBPS < 1 << 63
assert MAX_NOTIONAL <= MAX_PRICE_TICKS * MAX_QTY_LOTS
assert BOOK_LEVELS_USED < BOOK_LEVELS
