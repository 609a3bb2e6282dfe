"""A disk that is really full: run as a program in a mount namespace of its own, where it may mount a small one.

    unshare --user --map-root-user --mount python -m tests.unit.procs.small_disk FOLDER

The persistence stage stores a stream on a disk of so many KiB, more each time until it needs no help. When it waits for
space the disk is made larger, and it goes on. Nothing may be missing then, and before that nothing that was acknowledged.
"""

import subprocess
import sys
from pathlib import Path

import msgspec

from procs.stages.persistence import PersistenceStage
from ringsim.control import WAITS_FOR_SPACE
from tests.unit.procs.stored import Desk, desk
from tests.unit.store.streams import long_stream

STREAM = long_stream(300)
ENDS = STREAM.cuts[60::60]
FIRST_KIB, STEP_KIB = 240, 24


def small_disk(folder: Path, kib: int, how: str = "") -> None:
    """Mount one, or change the size of the one that is there (how: "remount,")."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"{how}size={kib}k", "none", str(folder)], check=True)


def store_all(found: Desk, disk: Path) -> int:
    """How often it waited for space."""
    waited, stage = 0, PersistenceStage(found.segments)
    for end in found.ends:
        found.publish(end)
        while not stage.done():
            stage.slice(0, 0, 0)
            if stage.progress()[3] == WAITS_FOR_SPACE:
                waited += 1
                assert found.acknowledged()["orders"] < end[0]
                small_disk(disk, 1 << 16, "remount,")
    stage.close()
    return waited


def main(folder: Path) -> None:
    kib, full = FIRST_KIB, 0
    while True:
        disk = folder / f"disk{kib}"
        disk.mkdir()
        small_disk(disk, kib)
        with desk(disk, STREAM, ENDS) as found:
            waited = store_all(found, disk)
            found.assert_whole()
            found.assert_complete()
        subprocess.run(["umount", str(disk)], check=True)
        if not waited:
            break
        full, kib = full + 1, kib + STEP_KIB
    print(msgspec.json.encode({"full": full, "fits_kib": kib}).decode())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
