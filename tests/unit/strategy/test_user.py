"""A user's file at the edge: what can be used is compiled, all else is one line that says why."""

from decimal import Decimal

import numpy as np
import pytest

from procs.trial import try_out
from ringsim.errors import BadInput
from ringsim.strategy.foreign import install
from ringsim.strategy.user import install_file, load_user
from tests.unit.strategy.userfiles import write


@pytest.fixture(autouse=True)
def _nobody_decides():
    yield
    install(0, None)


def refused(path, name="MINE", given=None):
    with pytest.raises(BadInput) as wrong:
        load_user(path, name, given or {})
    text = str(wrong.value)
    assert "\n" not in text and len(text) < 700
    return text


def test_parameters_are_words_in_the_order_of_the_fields(tmp_path):
    path = write(tmp_path)
    assert load_user(path, "MINE", {}).params == (2, int(np.float64(0.5).view("i8")))
    given = {"lots": Decimal(7), "share": Decimal("0.25")}
    assert load_user(path, "MINE", given).params == (7, int(np.float64(0.25).view("i8")))
    assert load_user(path, "MINE", {"share": 1}).params[1] == int(np.float64(1).view("i8"))


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"lot": 1}, "strategy.user.lot: .* has no such parameter; it has lots, share"),
        ({"lots": Decimal("1.5")}, "Expected `int`, got `float` - at `lots`"),
        ({"lots": True}, "Expected `int`, got `bool` - at `lots`"),
    ],
)
def test_a_parameter_that_it_does_not_take_is_refused(tmp_path, given, why):
    with pytest.raises(BadInput, match=why):
        load_user(write(tmp_path), "MINE", given)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("def decide(:\n", "cannot be read as Python: line 1: invalid syntax"),
        ("x = 1\ny = x / 0\n", "raises: line 2: ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)\n", "raises: line 1: SystemExit: 3"),
        ("import os\n", "imports os (line 1): one file is the whole strategy; it may import ringsim, numpy"),
        ("def f():\n    from mine_too import x\n", "imports mine_too (line 2)"),
        ("from . import x\n", "imports . (line 1)"),
        ("OTHER = 1\n", "has no MINE"),
        ("MINE = 3\n", "has a int, not a UserStrategy, as MINE"),
        ("\0", "cannot be read as Python"),
    ],
)
def test_a_file_that_gives_no_strategy(tmp_path, text, why):
    path = tmp_path / "mine.py"
    path.write_text(text)
    assert why in refused(path)


def test_a_file_that_is_not_there_or_not_a_file(tmp_path):
    assert "there is no strategy file" in refused(tmp_path / "none.py")
    assert "cannot be read: Is a directory" in refused(tmp_path)
    (tmp_path / "large.py").write_bytes(b"#" * ((1 << 20) + 1))
    assert "is larger than 1,048,576 bytes" in refused(tmp_path / "large.py")


def replaced(folder, before, after):
    path = write(folder)
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    return refused(path)


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("kernel=decide", "kernel=3", "its kernel is no function"),
        (
            "(own, p, f, v, orders, intents)",
            "(own, p)",
            "must take (own, p, f, v, orders, intents); decide takes (own, p)",
        ),
        ("orders, intents)", "orders, intents, more=1)", "its kernel must take"),
        ("return 0", "return 0.5", "must return how many intents it wrote, a whole number, not float64"),
        ("return 0", "pass", "must return how many intents it wrote, a whole number, not none"),
        ("return 0", "return len(np.zeros(3))", "its kernel does not compile"),
        ("return 0", "return own.called", "its kernel does not compile: it names a field 'called' that is not there"),
        ("return 0", "return unknown_name", "its kernel does not compile"),
        ('("calls", "i8")', '("calls", "O")', "its state's calls must be of numbers or arrays of numbers, not object"),
        ('("calls", "i8")', '("wake_ns", "i8")', "its state has wake_ns already"),
        ('"f8", (3,)', '"f8", (511,)', "its state is 4,104 bytes (8 of them wake_ns); the most is 4,096"),
        ("state=STATE", 'state="i8"', "its state must have fields"),
        ("lots: int = 2", "lots: int", "missing required field `lots`"),
        ("lots: int = 2", 'lots: str = "2"', "its parameter lots must be an int, a float or a bool"),
        ("lots: int = 2", "lots: int = 1 << 70", "strategy.user.lots: .* is no number of 64 bits"),
        ("share: float = 0.5", "share: float = float('nan')", "strategy.user.share: nan is no finite number"),
        ("params=Params", "params=Params()", "its params must be a msgspec.Struct or a dataclass"),
    ],
)
def test_a_strategy_that_cannot_be_called(tmp_path, before, after, why):
    said = replaced(tmp_path, before, after)
    assert all(part in said for part in why.split(" .* ")), said


def test_the_largest_state_is_taken(tmp_path):
    path = write(tmp_path)
    path.write_text(path.read_text().replace('"f8", (3,)', '"f8", (510,)'))
    load_user(path, "MINE", {})


def test_a_changed_file_is_never_met_by_an_older_kernel(tmp_path):
    first = load_user(write(tmp_path, "return 0"), "MINE", {})
    second = load_user(write(tmp_path, "return 1"), "MINE", {})
    assert first.file.sha256 != second.file.sha256 and first.address != second.address
    with pytest.raises(BadInput, match="is not what it was when the run began"):
        install_file(first.file, first.params, 0)
    install_file(second.file, second.params, 0)


def test_one_that_hangs_or_dies_is_found_before_there_is_a_run(tmp_path):
    slow = load_user(write(tmp_path, "while own.calls > 0:\n    own.calls += 1\nreturn 0"), "MINE", {})
    with pytest.raises(BadInput, match="is too slow: tried with a made-up market, it did not return within 3 s"):
        try_out(slow)
    deep = "@helper\ndef fall(n):\n    if n < 0:\n        return 0\n    return fall(n + 1) + n\n\ndef decide"
    path = write(tmp_path, "return fall(own.calls)")
    path.write_text(path.read_text().replace("def decide", deep))
    with pytest.raises(BadInput, match=r"kills its process: SIGSEGV|is too slow"):
        try_out(load_user(path, "MINE", {}))
    try_out(load_user(write(tmp_path, "return intents[own.calls].kind"), "MINE", {}))  # it raises: a run will see
