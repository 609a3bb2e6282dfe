"""What a stage says reaches the parent whole, in order, also with its last breath; and saying it never blocks."""

import logging
import os

from procs.logs import PipeHandler, PipeQueue, reading_end


class Sink(logging.Handler):
    def __init__(self):
        super().__init__()
        self.seen = []

    def emit(self, record):
        self.seen.append(record.getMessage())


def logger_over(fd):
    os.set_blocking(fd, False)
    logger = logging.Logger("stage")
    logger.addHandler(PipeHandler(PipeQueue(fd), logging.NullHandler(), receive=False))
    return logger


def test_records_arrive_in_order_and_the_reader_ends_with_the_writer():
    read, write = os.pipe()
    sink = Sink()
    end = reading_end(read, sink)
    log = logger_over(write)
    for k in range(100):
        log.info("line %d of %s", k, "stage")
    os.close(write)
    end.join(10)
    assert sink.seen == [f"line {k} of stage" for k in range(100)]


def test_a_full_pipe_drops_counts_and_says_so():
    read, write = os.pipe()
    log = logger_over(write)
    for _k in range(5000):
        log.info("%s", "x" * 200)
    dropped = log.handlers[0].queue.dropped
    assert 0 < dropped < 5000
    sink = Sink()
    end = reading_end(read, sink)
    while dropped == log.handlers[0].queue.dropped:  # until the reader has made room
        log.info("after")
        dropped += log.handlers[0].queue.dropped == dropped + 1
    os.close(write)
    end.join(10)
    assert any("dropped" in line for line in sink.seen)


def test_a_traceback_longer_than_a_frame_is_cut_not_lost():
    read, write = os.pipe()
    sink = Sink()
    end = reading_end(read, sink)
    log = logger_over(write)
    try:
        raise ValueError("y" * 20_000)
    except ValueError:
        log.exception("failed %s", "z" * 20_000)
    os.close(write)
    end.join(10)
    assert len(sink.seen) == 1 and sink.seen[0].startswith("failed zzz") and sink.seen[0].endswith("[cut]")
