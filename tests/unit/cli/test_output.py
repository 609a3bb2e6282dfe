"""With --json there is one object on stdout and nothing else, whoever prints."""

import json
import sys
from decimal import Decimal
from pathlib import Path

import msgspec
import numpy as np
import pytest

from procs.cli.output import Output, encode


@pytest.fixture
def make(capsys, monkeypatch):
    """Outputs whose diversion of stdout ends with the test."""
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    return Output


def test_json_is_the_only_thing_on_stdout(make, capsys):
    out = make(json=True)
    print("a library's chatter")
    out.show("text")
    out.say("log")
    out.result({"a": 1})
    seen = capsys.readouterr()
    assert seen.out == '{"a":1}\n'
    assert seen.err.splitlines() == ["a library's chatter", "log"]


def test_text_goes_to_stdout_as_it_is_and_json_nowhere(make, capsys):
    out = make(json=False)
    out.show("[strategy] a [b]c[/b] :smile:")
    out.show("x" * 300)
    out.result({"a": 1})
    assert capsys.readouterr().out == "[strategy] a [b]c[/b] :smile:\n" + "x" * 300 + "\n"


class Thing(msgspec.Struct):
    name: str


def test_values_have_their_plain_form():
    value = {
        "d": Decimal("0.10"),
        "p": Path("a/b"),
        "i": np.int64(2**62),
        "f": np.float64(0.5),
        "n": float("nan"),
        "t": Thing("x"),
    }
    text = encode(value)
    assert '"d":0.10' in text
    assert json.loads(text) == {"d": 0.1, "p": "a/b", "i": 2**62, "f": 0.5, "n": None, "t": {"name": "x"}}


def test_what_has_no_form_is_an_error():
    with pytest.raises(TypeError, match="object has no JSON form"):
        encode({"x": object()})
