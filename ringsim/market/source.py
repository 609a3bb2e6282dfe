"""What a run folds, as the user writes it: the files of one session in order.

sample    replay:FILE[,FILE...] (Binance captures)    events:FILE[,FILE...] (normalised event files)
"""

from pathlib import Path

from ringsim.errors import BadInput

SAMPLE = "sample"
_REPLAY, EVENTS = "replay:", "events:"


def sample_path() -> Path:
    """The recorded minute that ships with the package (sample/README.md says where it is from)."""
    return Path(__file__).parent / "sample" / "spot_btcusdt_60s.gz"


def open_source(text: str) -> list[Path]:
    """The files of a source. BadInput if it is none of the known ones, or names no file."""
    if text == SAMPLE:
        return [sample_path()]
    prefix = next((prefix for prefix in (_REPLAY, EVENTS) if text.startswith(prefix)), None)
    if prefix is None:
        raise BadInput(f"source {text!r} is unknown; use sample, replay:FILE[,FILE...] or events:FILE[,FILE...]")
    files = [Path(name.strip()).expanduser() for name in text.removeprefix(prefix).split(",") if name.strip()]
    if not files:
        raise BadInput(f"source {prefix} names no file; use {prefix}FILE[,FILE...]")
    return files
