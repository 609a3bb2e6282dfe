"""What is wrong with a configuration: each problem with its key and the layer that it came from, and all of them at once."""

import msgspec

from ringsim.errors import BadInput


class Problem(msgspec.Struct, frozen=True):
    """One thing wrong with a configuration."""

    path: str
    origin: str
    text: str

    def __str__(self) -> str:
        return f"{self.path} ({self.origin}): {self.text}"


class BadConfig(BadInput):
    """The configuration cannot be used; `problems` has all of them."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        lines = [str(problem) for problem in problems]
        count = f"{len(lines)} problems" if len(lines) > 1 else ""
        super().__init__(
            f"configuration: {count}" + "\n  ".join(["", *lines]) if count else f"configuration: {lines[0]}"
        )
