"""docs/memory-layout.md is what the code lays out: every offset of the ring's header and of every record."""

from pathlib import Path

import pytest

from ringsim import records
from ringsim.ring import layout

DOCUMENT = Path(__file__).parents[2] / "docs" / "memory-layout.md"
RECORDS = ("MARKET_EVENT", "ORDER", "FEATURES", "REPORT", "ACCOUNT")


def header_table() -> str:
    """Words of the ring's header, as the document has them."""
    names = [n for n in vars(layout) if n.startswith("W_")]
    lines = [f"| {8 * getattr(layout, n)} | `{n}` |" for n in sorted(names, key=lambda n: getattr(layout, n))]
    consumer = [n for n in vars(layout) if n.startswith("C_")]
    more = [f"| + {8 * getattr(layout, n)} | `{n}` |" for n in sorted(consumer, key=lambda n: getattr(layout, n))]
    return "\n".join([*lines, *more])


def record_table(name: str) -> str:
    """Fields of a record, as the document has them."""
    dtype = getattr(records, name)
    fields = sorted(dtype.fields.items(), key=lambda item: item[1][1])
    return "\n".join(
        f"| {place[1]} | `{field}` | {place[0].base} {list(place[0].shape) or ''} |" for field, place in fields
    )


def test_the_header_is_as_documented():
    assert header_table() in DOCUMENT.read_text()


@pytest.mark.parametrize("name", RECORDS)
def test_the_record_is_as_documented(name):
    text = DOCUMENT.read_text()
    assert record_table(name) in text
    assert f"## {name} ({getattr(records, name).itemsize} bytes)" in text
