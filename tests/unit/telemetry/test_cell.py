"""A cell gives a whole value or none; two processes, one writing all the time."""

import os

import numpy as np
import pytest

from ringsim.shm import Segment
from ringsim.telemetry.cell import mend, read_cell, write_cell


def test_nothing_before_the_first_write_then_the_newest():
    words, out = np.zeros(16, np.int64), np.zeros(4, np.int64)
    assert not read_cell(words, 3, out)
    for n in (1, 2):
        write_cell(words, 3, np.full(4, n, np.int64))
        assert read_cell(words, 3, out) and out.tolist() == [n] * 4
    assert words[:3].tolist() == [0, 0, 0] and words[8:].any() == 0


def test_a_dead_writer_leaves_no_value_until_mended():
    words, out = np.zeros(16, np.int64), np.zeros(4, np.int64)
    write_cell(words, 0, np.ones(4, np.int64))
    words[0] += 1
    assert not read_cell(words, 0, out)
    mend(words, 0)
    assert read_cell(words, 0, out)


@pytest.mark.timeout(60)
def test_no_torn_value_between_processes():
    segment = Segment(f"ringsim-cell{os.getpid()}-t", create=True, size_bytes=4096)
    try:
        words = np.ndarray(64, np.int64, segment.buf)
        value, out = np.zeros(16, np.int64), np.zeros(16, np.int64)
        write_cell(words, 0, value), read_cell(words, 0, out)  # compiled before the fork
        pid = os.fork()
        if pid == 0:
            n = 0
            while words[63] == 0:
                n += 1
                value[:] = n
                write_cell(words, 0, value)
            os._exit(0)
        caught = set()
        while len(caught) < 2000:
            if read_cell(words, 0, out):
                assert (out == out[0]).all()
                caught.add(int(out[0]))
        words[63] = 1
        assert os.waitpid(pid, 0)[1] == 0
    finally:
        segment.close()
        segment.unlink()
