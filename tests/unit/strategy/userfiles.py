"""Strategy files for tests: the same few lines around a kernel's body, and the example of the documentation."""

import re
import textwrap
from pathlib import Path

DOCUMENT = Path(__file__).parents[3] / "docs" / "strategies.md"

_HEAD = """
import msgspec
import numpy as np
from ringsim.strategy.protocol import propose_cancel, propose_order, propose_signal
from ringsim.strategy.user import UserStrategy, helper

class Params(msgspec.Struct):
    lots: int = 2
    share: float = 0.5

STATE = np.dtype([("calls", "i8"), ("seen", "f8", (3,))])

def decide(own, p, f, v, orders, intents):
    own.calls += 1
{body}

MINE = UserStrategy(kernel=decide, params=Params, state=STATE)
"""


def write(folder: Path, body: str = "return 0", name: str = "mine.py") -> Path:
    """A file whose strategy is MINE. body: of its kernel."""
    path = folder / name
    path.write_text(_HEAD.format(body=textwrap.indent(textwrap.dedent(body).strip(), "    ")))
    return path


def example(folder: Path) -> Path:
    """The document's example, in a file of its own."""
    [code] = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.S)
    path = folder / "lean.py"
    path.write_text(code)
    return path
