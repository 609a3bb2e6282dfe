"""Cuts the recorded minute that ships with the package out of a longer capture.

    python scripts/cut_sample.py CAPTURE [--seconds 60] [--out ringsim/market/sample/spot_btcusdt_60s.gz]

Whole lines from the start of the session; the same input and the same zlib give the same bytes (no name, no time in the
gzip header).
"""

import argparse
import gzip
import io
from pathlib import Path

DEFAULT = Path(__file__).parents[1] / "ringsim" / "market" / "sample" / "spot_btcusdt_60s.gz"


def cut(lines: list[bytes], seconds: float) -> list[bytes]:
    """The lines up to the one that completes `seconds`. lines: `<receive time ns> <JSON>`, in order."""
    first_ns = int(lines[0].partition(b" ")[0])
    for count, line in enumerate(lines, 1):
        if int(line.partition(b" ")[0]) - first_ns >= seconds * 1e9:
            return lines[:count]
    return lines


def pack(lines: list[bytes]) -> bytes:
    """Deterministic gzip."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, compresslevel=9, mtime=0) as file:
        file.writelines(lines)
    return buffer.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("capture", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--out", type=Path, default=DEFAULT)
    options = parser.parse_args()
    with gzip.open(options.capture) as file:
        lines = cut(file.readlines(), options.seconds)
    packed = pack(lines)
    options.out.write_bytes(packed)
    print(f"{options.out}: {len(lines)} lines, {len(packed)} bytes")  # noqa: T201 - it is a script


if __name__ == "__main__":
    main()
