"""How a number is written where there is little room: whole if it fits, else shorter, never cut in the middle.

Invariant: a function that takes a width returns at most that many characters (width >= 6), and a number that had to be
shortened carries its unit of thousands (k M G T P E) or an exponent: it is never read as a smaller one.
"""

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from ringsim.units import Instrument

_THOUSANDS = "kMGTPE"
_EPOCH_NS = 10**18  # later than this it is a time of day (2001 on), earlier a monotonic clock (31 years of uptime)
UNKNOWN = "?"


def count(value: float, width: int = 12) -> str:
    """12,345 or, in less room, 12.3k."""
    if not math.isfinite(value):
        return UNKNOWN
    text = f"{round(value):,}"
    return text if len(text) <= width else _short(value, width)


def number(value: Decimal | float, places: int, width: int = 14, *, sign: bool = False) -> str:
    """A value with `places` decimals and thousands separators; without them, or shortened, in less room.

    sign: show + as well.
    """
    if not math.isfinite(value):
        return UNKNOWN
    if -(half := 0.5 * 10.0**-places) < value < half:
        value = 0  # not -0.00
    mark = "+" if sign and value >= 0 else ""
    room = width - len(mark)
    for text in (f"{value:,.{places}f}", f"{value:.{places}f}"):
        if len(text) <= room:
            return mark + text
    if value == 0:
        return mark + "0"
    if -100 < value < 100:  # its decimals are what it says
        return mark + _exponent(value, 1 if room > 7 else 0)
    text = f"{value:,.0f}"
    return mark + (text if len(text) <= room else _short(value, room))


def _short(value: Decimal | float, width: int) -> str:
    for step, letter in enumerate(_THOUSANDS, 1):
        if not -999.5 * 1000**step < value < 999.5 * 1000**step:
            continue
        for places in (2, 1, 0):
            text = f"{value / 1000**step:.{places}f}{letter}"
            if len(text) <= width:
                return text
    return _exponent(value, 0)


def _exponent(value: Decimal | float, places: int) -> str:
    mantissa, _, power = f"{value:.{places}e}".partition("e")
    return f"{mantissa}e{int(power)}"


def decimals(step: str) -> int:
    """Decimals that a grid of `step` ("0.01") needs."""
    return max(0, -int(Decimal(step).normalize().as_tuple().exponent))


def price(instrument: Instrument, ticks: int, width: int = 14) -> str:
    """With the decimals of its tick."""
    return number(instrument.price(ticks), decimals(instrument.tick), width)


def quantity(instrument: Instrument, lots: int, width: int = 12, *, sign: bool = False) -> str:
    """With the decimals of its lot."""
    return number(instrument.quantity(lots), decimals(instrument.lot), width, sign=sign)


def money(instrument: Instrument, amount: int, width: int = 14, *, sign: bool = False) -> str:
    """Quote units to the cent."""
    return number(instrument.money(amount), 2, width, sign=sign)


def micros(us: float) -> str:
    """A duration of `us` microseconds in at most 6 characters, with its unit: 1.85us, 120us, 7.2ms, 3.1s."""
    if not math.isfinite(us):
        return UNKNOWN
    for unit, scale in (("us", 1.0), ("ms", 1e3), ("s", 1e6)):
        value = us / scale
        for top, places in ((9.995, 2), (99.95, 1), (999.5, 0)):
            if abs(value) < top:
                return f"{value:.{places}f}{unit}" if value >= 0 else f"{value:.0f}{unit}"
    return _exponent(us / 1e6, 0) + "s"


def elapsed(seconds: float) -> str:
    """1:23, 2:01:23, 3d 02:01:23."""
    if not math.isfinite(seconds) or abs(seconds) > 1e9:
        return UNKNOWN
    whole = max(0, int(seconds))
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days}d {hours:02}:{minutes:02}:{whole % 60:02}"
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def event_time(time_ns: int) -> str:
    """The time of day in UTC if `time_ns` is since the epoch, "" if it is a monotonic clock's."""
    if not _EPOCH_NS < time_ns < 1 << 62:
        return ""
    return f"{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_ns // 1000):%H:%M:%S.%f}"[:-3]


def age(now_ns: int, time_ns: int) -> str:
    """How long before `now_ns` that was: 0.3s, 12s, 5m, 3h. "" if either is unknown."""
    if now_ns <= 0 or time_ns <= 0:
        return ""
    seconds = max(0, now_ns - time_ns) / 1e9
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    for unit, scale in (("s", 1), ("m", 60), ("h", 3600)):
        if seconds / scale < 99.5:
            return f"{seconds / scale:.0f}{unit}"
    return f"{seconds / 86400:.0f}d"
