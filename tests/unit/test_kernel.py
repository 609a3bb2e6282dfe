"""One compiled version of a kernel for the types that it is called with, whatever the values."""

import os
import subprocess
import sys

import numpy as np

from ringsim.kernel import kernel

TWO = 2


@kernel
def _scaled(words, by):
    return words[0] * by


@kernel
def _by_constants_and_variables(words, by):
    return _scaled(words, 1) + _scaled(words, TWO) + _scaled(words, by)


def versions_compiled():
    """What the call of one kernel by another has compiled, in a process whose cache was empty."""
    assert _by_constants_and_variables(np.array([10], np.int64), 4) == 70
    nested = _scaled.get_call_template.__closure__[0].cell_contents
    return len(_by_constants_and_variables.nopython_signatures), len(nested.nopython_signatures)


def test_a_constant_of_the_caller_makes_no_version_of_its_own(tmp_path):
    """What is called with a constant here and a variable there is the same code: it is in the caches, or it is not."""
    program = "from tests.unit.test_kernel import versions_compiled; assert versions_compiled() == (1, 1)"
    environment = {**os.environ, "RINGSIM_CACHE": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120, env=environment)


def test_a_kernel_that_kernels_call_can_be_called_from_python_too():
    assert _scaled(np.array([3], np.int64), 5) == 15
    assert _scaled.py_func(np.array([3], np.int64), 5) == 15
