"""The one way to print. Text through rich, or exactly one JSON object on stdout and nothing else there.

Invariant: with --json everything that anybody writes to sys.stdout goes to stderr, except the one object. Lines for the log
go to stderr in both modes.
"""

import sys
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

DONE, FAILURE, BAD_INPUT, INCONCLUSIVE, INTERRUPTED = 0, 1, 2, 3, 130

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout and nothing else there.")]


class Output:
    """What a command prints with. `json`: whether the caller asked for JSON."""

    delivered = False  # whether this process has printed its object

    def __init__(self, json: bool = False) -> None:
        self.json = json
        self._stdout: TextIO = sys.stdout
        self._console: Any = None
        if json:
            sys.stdout = sys.stderr

    @property
    def console(self) -> Any:
        """The rich console on stdout, for text and live views; lines are not broken where stdout is no terminal."""
        if self._console is None:
            from rich.console import Console

            self._console = Console(file=self._stdout, highlight=False, soft_wrap=not self._stdout.isatty())
        return self._console

    def show(self, *parts: Any) -> None:
        """Print text or rich renderables; nothing with --json. Text is taken as it is, without markup."""
        if not self.json:
            self.console.print(*parts, sep="", markup=False, emoji=False)

    def result(self, value: Any) -> None:
        """With --json, print the one object; nothing otherwise. Decimals become numbers, paths text, NaN null."""
        if self.json:
            self._stdout.write(encode(value) + "\n")
            self._stdout.flush()
            Output.delivered = True

    def say(self, line: str) -> None:
        """A line to stderr, in both modes."""
        say(line)


def say(line: str) -> None:
    """A line to stderr."""
    print(line, file=sys.stderr, flush=True)


def encode(value: Any) -> str:
    """One line of JSON."""
    import msgspec

    def hook(thing: Any) -> Any:
        if isinstance(thing, Path):
            return str(thing)
        if hasattr(thing, "item"):  # a numpy scalar
            return thing.item()
        raise TypeError(f"{type(thing).__name__} has no JSON form")

    return msgspec.json.Encoder(decimal_format="number", enc_hook=hook).encode(value).decode()
