"""A file that the user gives beside the capture, read whole within a bound; what is wrong with it is one line."""

from pathlib import Path

from ringsim.errors import BadInput


def read_given(path: Path, what: str, most: int, *, missing: str = "", verb: str = "is") -> bytes:
    """The file's bytes, at most `most`. what: it in words, after "the"; missing: after "there is no", if that is another word.

    Raises BadInput for a file that is not there, cannot be read, or is larger.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(most + 1)
    except FileNotFoundError:
        raise BadInput(f"there is no {missing or what} {path}") from None
    except OSError as error:
        raise BadInput(f"the {what} {path} cannot be read: {error.strerror}") from None
    if len(data) > most:
        raise BadInput(f"the {what} {path} {verb} larger than {most:,} bytes")
    return data


def as_text(path: Path, what: str, data: bytes) -> str:
    """UTF-8, with or without a mark at its beginning. BadInput for anything else."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput(f"the {what} {path} cannot be read: it is not text in UTF-8") from None
