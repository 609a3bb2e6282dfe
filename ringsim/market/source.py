"""What a run folds, as the user writes it: `sample`, `synthetic`, or `replay:FILE[,FILE...]` (one session's files in order)."""

from pathlib import Path

from ringsim.errors import BadInput

SAMPLE = "sample"
SYNTHETIC = "synthetic"  # generated: it has no files
_REPLAY = "replay:"


def sample_path() -> Path:
    """The recorded minute that ships with the package (sample/README.md says where it is from)."""
    return Path(__file__).parent / "sample" / "spot_btcusdt_60s.gz"


def open_source(text: str) -> list[Path]:
    """The files of a source. BadInput if it is none of the known ones, or names no file."""
    if text == SAMPLE:
        return [sample_path()]
    if not text.startswith(_REPLAY):
        raise BadInput(f"source {text!r} is unknown; use sample, synthetic, or replay:FILE[,FILE...]")
    files = [Path(name.strip()).expanduser() for name in text.removeprefix(_REPLAY).split(",") if name.strip()]
    if not files:
        raise BadInput("source replay: names no file; use replay:FILE[,FILE...]")
    return files
