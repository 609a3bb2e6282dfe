"""What can go wrong with the things that a run leaves on disk, by name.

`transient` says whether the same call may succeed later without anybody's help: then nothing was written, and the caller
keeps its records and tries again. Everything else wants a person, or a halt with a reason.
"""

from ringsim.errors import BadInput, RingsimError


class StoreError(RingsimError):
    """Base: the database, or a file beside it, could not be used."""

    transient = False


class StoreLocked(StoreError):
    """Another program holds the database's write lock, and still did after all tries."""

    transient = True


class StoreFull(StoreError):
    """The disk, or a quota, is full. What was committed before stands; what was not is still the caller's."""

    transient = True


class StoreGivenUp(StoreError):
    """Storage refused for longer than the run wants to wait: what was locked stayed locked, what was full stayed full."""

    fatal = True


class StoreReadOnly(StoreError):
    """The file or its folder cannot be written or opened."""


class StoreFault(StoreError):
    """The operating system reported an I/O error. Whether the last commit counts is known only by looking again."""


class StoreNoMemory(StoreError):
    """The process gets no memory for the database's pages or index."""

    fatal = True


class StoreCorrupt(StoreError):
    """What is on disk is not what was written: torn, cut, overwritten. Never continued."""

    fatal = True


class StoreConflict(StoreError):
    """A record contradicts what is stored: other bytes for the same sequence, a hole, a report about no known order."""

    fatal = True


class StoreForeign(StoreError, BadInput):
    """A file, but not one of ours."""


class StoreNewer(StoreError, BadInput):
    """Written by a newer ringsim than this one."""


class StoreMissing(StoreError, BadInput):
    """There is no such file."""


class StoreExists(StoreError, BadInput):
    """There is already something where a new file should go."""


class NoSuchRun(StoreError, BadInput):
    """No run, or more than one, goes by the name that was given."""
