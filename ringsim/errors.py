"""Every error that ringsim raises on purpose: the value, the range, and what to do next, in one line.

A face turns a RingsimError into that one line and an exit code; anything else is a bug and keeps its traceback.
"""


class RingsimError(Exception):
    """Base of all errors meant for a person.

    exit_code: 1 failure, 2 usage or bad input. fatal: a stage that is replaced would meet the same again, so the run ends.
    """

    exit_code = 1
    fatal = False


class BadInput(RingsimError):
    """Something the user gave cannot be used: a file, a value, a name."""

    exit_code = 2


class InvalidTransition(RingsimError):
    """The lifecycle was asked for a step that its table does not have."""

    def __init__(self, before: str, after: str, allowed: list[str]) -> None:
        super().__init__(
            f"lifecycle cannot go from {before} to {after}; from {before} it can go to {', '.join(allowed)}"
        )


class LayoutError(RingsimError):
    """A shared segment does not hold what its name promises: wrong magic, version, record layout or size."""


class SegmentError(RingsimError):
    """Shared memory could not be created or found: full, missing, or already there."""


class InjectedFault(RingsimError):
    """An exception that somebody asked for (ringsim.fold.trap), to see what a stage's exception does to a run."""


class Stalled(RingsimError):
    """All stages wait for each other: a named error instead of a hang."""
