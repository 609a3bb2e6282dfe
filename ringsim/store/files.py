"""Whole files that are either the old one or the new one, and the operating system's errors by our names."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ringsim.store.errors import StoreError, StoreExists, StoreFault, StoreFull, StoreMissing, StoreReadOnly

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_READ_ONLY = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR}


def typed_os(error: OSError, path: Path, doing: str) -> StoreError:
    """The error by our names; the message names the file and what to do."""
    text = f"{path}: {doing}: {os.strerror(error.errno or 0)}"
    if error.errno in _FULL:
        return StoreFull(f"{text}; free some space")
    if error.errno in _READ_ONLY:
        return StoreReadOnly(f"{text}; the file and its folder must be writable")
    if error.errno == errno.ENOENT:
        return StoreMissing(text)
    return StoreFault(f"{text}; look at the disk")


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file: after a crash at any moment it holds the old content or the new one, and the new one is on disk on return.

    Writes beside it, syncs, renames, syncs the folder. Raises StoreFull, StoreReadOnly, StoreMissing (no folder), StoreFault;
    then the old content stands.
    """
    with replacing(path) as file:
        file.write(content)


@contextmanager
def replacing(path: Path, *, over: bool = True) -> Iterator[BinaryIO]:
    """A new file under the name `path` once the `with` is left in good order, else what was there before; for long content.

    `file.name` is where it grows meanwhile, beside `path`. over: False refuses (StoreExists) where something is already.
    Raises what write_whole raises. Two who write the same name in one process disturb each other.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    if not over and os.path.lexists(path):
        raise StoreExists(f"{path} is there already; --force replaces it")
    try:
        try:
            with open(beside, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise typed_os(error, path, "writing") from None


def read_whole(path: Path) -> bytes:
    """A file's content. Raises StoreMissing, StoreReadOnly (may not be read), StoreFault."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise typed_os(error, path, "reading") from None
