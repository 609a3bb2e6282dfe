"""JSON as kernels read it: places in a scanned text, plain integers, and decimals as exact counts of a grid's step.

Invariants: nothing is read past the first control character, which ends every loop (so none of them compares with a
length); what cannot be read is a negative `Parse` code, and a value is never rounded without saying so.
"""

from enum import IntEnum

import numpy as np

from ringsim.kernel import kernel
from ringsim.market.scan import byte, digits8


class Parse(IntEnum):
    """What a parser found."""

    OK = 0
    SYNTAX = 1
    SHAPE = 2
    MISSING = 3
    OFF_GRID = 4
    RANGE = 5
    LEVELS = 6


QUOTE, BACKSLASH, COMMA, COLON, POINT, ZERO = (ord(c) for c in '"\\,:.0')
OPEN_OBJECT, CLOSE_OBJECT, OPEN_LIST, CLOSE_LIST = (ord(c) for c in "{}[]")
SPACE, MINUS = ord(" "), ord("-")

_SHAPE, _RANGE = int(Parse.SHAPE), int(Parse.RANGE)
_POWERS = np.array([10**k for k in range(19)], np.int64)


@kernel
def blank(t, i, stop):
    """First place from i on that is no white space, at most `stop`."""
    if byte(t, i) > SPACE:  # nearly always
        return i
    while i < stop and (byte(t, i) == SPACE or byte(t, i) == 10 or byte(t, i) == 13 or byte(t, i) == 9):
        i += 1
    return i


@kernel
def string_end(t, i):
    """i: after an opening quote. Place of the closing quote, or -1 (a control character comes first)."""
    while byte(t, i) != QUOTE:
        if byte(t, i) < SPACE:
            return -1
        i += 2 if byte(t, i) == BACKSLASH and byte(t, i + 1) >= SPACE else 1
    return i


@kernel
def skip_value(t, i, stop):
    """Place after the JSON value at i, or -1. Its inside is matched, not judged."""
    depth = 0
    while i < stop:
        c = byte(t, i)
        if c == QUOTE:
            i = string_end(t, i + 1)
            if i < 0:
                return -1
        elif c == OPEN_OBJECT or c == OPEN_LIST:  # noqa: SIM109 - `in` builds a tuple
            depth += 1
        elif c == CLOSE_OBJECT or c == CLOSE_LIST:  # noqa: SIM109
            if depth == 0:
                return i
            depth -= 1
        elif depth == 0:
            if c == COMMA or c <= SPACE:
                return i
            i += 1
            continue
        i += 1
        if depth == 0:
            return i
    return -1


@kernel
def same_word(t, i, n, word):
    """Whether the n bytes at i spell `word`."""
    if n != word.size:
        return False
    for k in range(n):  # noqa: SIM110 - a generator would not compile
        if byte(t, i + k) != word[k]:
            return False
    return True


@kernel
def read_integer(t, i):
    """A plain non-negative JSON integer at i. Returns (value, place after it), or (-code, i)."""
    n, value, _ = digits8(t, i, 8)
    if n == 0:
        return np.int64(-_RANGE if byte(t, i) == MINUS else -_SHAPE), i
    start = i
    i += n
    while n == 8:
        n, more, _ = digits8(t, i, 8)
        if i + n - start > 18:
            return np.int64(-_RANGE), start
        value = value * _POWERS[n] + more
        i += n
    c = byte(t, i)
    if c != COMMA and c != CLOSE_OBJECT and c > SPACE:
        return np.int64(-_SHAPE), i
    return value, i


@kernel
def _long_decimal(t, i, digits):
    """A decimal of any length at i, digit by digit. Returns (count of 10**-digits, fine, place after) or (-code, 0, i).

    fine: 1 if it has a part below 10**-digits, which is cut off.
    """
    start = i
    value = np.int64(0)
    digit = byte(t, i) - ZERO
    while 0 <= digit <= 9 and i - start < 18:
        value = value * 10 + digit
        i += 1
        digit = byte(t, i) - ZERO
    whole = i - start
    if whole == 0:
        return np.int64(-_RANGE if byte(t, i) == MINUS else -_SHAPE), 0, i
    if whole + digits > 18 or 0 <= digit <= 9:
        return np.int64(-_RANGE), 0, i
    left, fine = digits, 0
    if byte(t, i) == POINT:
        i += 1
        start = i
        digit = byte(t, i) - ZERO
        while 0 <= digit <= 9:
            if left > 0:
                value = value * 10 + digit
                left -= 1
            elif digit != 0:
                fine = 1
            i += 1
            digit = byte(t, i) - ZERO
        if i == start:
            return np.int64(-_SHAPE), 0, i
    return value * _POWERS[left], fine, i


@kernel
def read_decimal(t, i, digits, units, most):
    """The decimal between quotes, i at the opening one, as a count of units * 10**-digits.

    digits: 0..12. most: the largest count that is taken.
    Returns (count, fine, place after the closing quote), or (-code, 0, i). fine: 1 if the value lies between two counts.
    """
    if byte(t, i) != QUOTE:
        return np.int64(-_SHAPE), 0, i
    i += 1
    whole, value, _ = digits8(t, i, 8)
    n, part, clean = digits8(t, i + whole + 1, min(digits, 8))
    end = i + whole + 1 + n
    if 0 < whole < 8 and n > 0 and digits <= 8 and byte(t, i + whole) == POINT and byte(t, end) == QUOTE:
        value = value * _POWERS[digits] + part * _POWERS[max(digits - n, 0)]
        fine = 1 - clean
    else:
        value, fine, end = _long_decimal(t, i, digits)
        if value < 0 or byte(t, end) != QUOTE:
            return np.int64(value if value < 0 else -_SHAPE), 0, i
    if units != 1:
        if value % units != 0:
            fine = 1
        value //= units
    if value > most:
        return np.int64(-_RANGE), 0, i
    return value, fine, end + 1
