"""Text in character cells: rows of styled parts that take exactly the room they are given.

Invariant: what `clip` and `cell` return takes exactly `width` cells, also with letters that are two cells wide. Too long a
text is cut at its end and says so with a mark.
"""

import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size

Part = tuple[str, str]  # text, style


class Glyphs(NamedTuple):
    """What pictures are drawn with. Each one cell wide."""

    full: str
    empty: str
    cut: str
    dot: str


UNICODE = Glyphs("█", "░", "…", "·")
ASCII = Glyphs("#", "-", ".", "-")  # for a stream that does not speak UTF-8


def plain(text: str) -> str:
    """Text that takes the cells it seems to take: no control characters or escapes, no marks that combine."""
    if text.isascii() and text.isprintable():
        return text
    kept = (c for c in unicodedata.normalize("NFC", text) if unicodedata.category(c)[0] != "M")
    return "".join(c if c.isprintable() else " " for c in kept)


def length(parts: Iterable[Part]) -> int:
    """The cells that the parts take."""
    return sum(cell_len(text) for text, _ in parts)


def cell(text: str, width: int, *, right: bool = False, cut: str = UNICODE.cut) -> str:
    """`text` in exactly `width` cells (>= 0), filled up with spaces or cut at its end."""
    missing = width - cell_len(text)
    if missing >= 0:
        return " " * missing + text if right else text + " " * missing
    return set_cell_size(text, width - 1) + cut if width > 0 else ""


def clip(parts: Iterable[Part], width: int, cut: str = UNICODE.cut) -> list[Part]:
    """The parts in exactly `width` cells, filled up with spaces or cut at the end."""
    parts = list(parts)
    out: list[Part] = []
    left, fits = width, length(parts) <= width
    for text, style in parts:
        size = cell_len(text)
        if not fits and size >= left:
            return [*out, (cell(text + " ", left, cut=cut), style)]
        out.append((text, style))
        left -= size
    return [*out, (" " * left, "")]


def wrap(text: str, width: int, rows: int, cut: str = UNICODE.cut) -> list[str]:
    """At most `rows` lines (>= 1) of at most `width` cells, broken at spaces; the last one cut if more was to come."""
    words = plain(text).split()
    out = [""]
    for n, word in enumerate(words):
        longer = f"{out[-1]} {word}" if out[-1] else word
        if cell_len(longer) <= width or not out[-1]:
            out[-1] = longer
        elif len(out) < rows:
            out.append(word)
        else:
            out[-1] = " ".join([out[-1], *words[n:]])
            break
    return [cell(line, width, cut=cut).rstrip() for line in out]
