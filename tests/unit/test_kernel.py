"""One compiled version of a kernel for the types that it is called with, whatever the values."""

import os
import subprocess
import sys

import numpy as np
import pytest

from ringsim.atomics import copy_words, load_acquire, load_relaxed
from ringsim.kernel import bound, kernel

TWO = 2


@kernel
def _both_words(words):
    return load_acquire(words, 0) + load_relaxed(words, 1)


@kernel
def _through_another(words):
    return _both_words(words) + load_acquire(words, 0)


@kernel
def _scaled(words, by):
    return words[0] * by


@kernel
def _by_constants_and_variables(words, by):
    return _scaled(words, 1) + _scaled(words, TWO) + _scaled(words, by)


def versions_compiled():
    """What the call of one kernel by another has compiled, in a process whose cache was empty."""
    assert _by_constants_and_variables(np.array([10], np.int64), 4) == 70
    return len(_by_constants_and_variables.nopython_signatures), len(_scaled.nested().nopython_signatures)


def test_a_constant_of_the_caller_makes_no_version_of_its_own(tmp_path):
    """What is called with a constant here and a variable there is the same code: it is in the caches, or it is not."""
    program = "from tests.unit.test_kernel import versions_compiled; assert versions_compiled() == (1, 1)"
    environment = {**os.environ, "RINGSIM_CACHE": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120, env=environment)


def test_a_kernel_that_kernels_call_can_be_called_from_python_too():
    assert _scaled(np.array([3], np.int64), 5) == 15
    assert _scaled.py_func(np.array([3], np.int64), 5) == 15


@kernel
def _first(words, below):
    if words[0] < below:
        raise ValueError("too small")
    return words[0]


def test_a_bound_kernel_gives_and_raises_what_the_kernel_does():
    first = bound(_first)
    assert first(np.array([3], np.int64), 0) == first(np.array([3], np.int64), 1) == 3
    with pytest.raises(ValueError, match="too small"):
        first(np.array([3], np.int64), 5)
    assert first(np.array([7], np.int64), 5) == 7, "and goes on"


def test_kernels_are_bound_to_the_types_of_their_first_call():
    """Two that bind the same kernel to other types have other code; a word read as another type would be another value."""
    whole, real = bound(_first), bound(_first)
    assert whole(np.array([3], np.int64), 0) == 3
    assert real(np.array([0.5]), 0) == 0.5


def test_words_are_copied_where_they_are_said_to_go():
    source, target = np.arange(1, 9), np.zeros(8, np.int64)
    for copy in (_copy, _copy.py_func):
        target[:] = 0
        copy(target, 2, source, 5, 3)
        assert target.tolist() == [0, 0, 6, 7, 8, 0, 0, 0]
        copy(target, 0, source, 0, 0)
        assert target.tolist() == [0, 0, 6, 7, 8, 0, 0, 0]


@kernel
def _copy(target, first, source, start, count):
    copy_words(target, first, source, start, count)


LOADED = """
from tests.unit.test_kernel import _by_constants_and_variables as called, _scaled, _first
import numpy as np
words = np.array([10], np.int64)
assert called(words, 4) == 70 and _first(words, 5) == 10
print(sum(called.stats.cache_hits.values()), sum(_scaled.nested().stats.cache_misses.values()))
try:
    _first(words, 11)
except ValueError as error:
    print(error)
"""


def test_what_python_calls_is_loaded_without_what_it_calls(tmp_path):
    """As machine code alone: also what it raises comes out of the cache."""
    environment = {**os.environ, "RINGSIM_CACHE": str(tmp_path)}
    said = [
        subprocess.run(
            [sys.executable, "-c", LOADED], check=True, timeout=120, env=environment, capture_output=True, text=True
        ).stdout.split("\n")
        for _ in range(2)
    ]
    assert said == [["0 1", "too small", ""], ["1 0", "too small", ""]]
    kept = {path.parent.parent.name == "nested" for path in tmp_path.rglob("*_scaled*.nbc")}
    assert kept == {True}, "what only kernels call has no machine code of its own"


PRIVATE = """
from tests.unit.test_kernel import _both_words, _through_another
import numpy as np
assert _through_another(np.array([10, 3], np.int64)) == 23
for found in _both_words.nested().overloads.values():
    for function in found.library._get_module_for_linking().functions:
        print(function.linkage.name, "clambda" in function.name, bool(function.is_declaration))
"""


def test_a_lambda_is_private_to_the_kernel_that_calls_it(tmp_path):
    """Another process gives another lambda of that module the same name, and a linker keeps one of the two."""
    environment = {**os.environ, "RINGSIM_CACHE": str(tmp_path)}
    for _ in range(2):  # compiled, and from the cache
        said = subprocess.run(
            [sys.executable, "-c", PRIVATE], check=True, timeout=120, env=environment, capture_output=True, text=True
        ).stdout.splitlines()
        if said:
            assert sorted(said) == ["internal True False", "internal True False", "linkonce_odr False False"]
        for path in tmp_path.rglob("_through_another*.nb*"):
            path.unlink()
