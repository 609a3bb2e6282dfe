"""Where things lie that outlive a run but belong to no checkout: the user's state directory."""

import os
import tempfile
from pathlib import Path


def state_root() -> Path:
    """$RINGSIM_STATE, else $XDG_STATE_HOME/ringsim, else ~/.local/state/ringsim. Not created here.

    For a user without a home it is a folder under the temporary directory.
    """
    if chosen := os.environ.get("RINGSIM_STATE"):
        return Path(chosen)
    if base := os.environ.get("XDG_STATE_HOME"):
        return Path(base) / "ringsim"
    try:
        return Path.home() / ".local" / "state" / "ringsim"
    except RuntimeError:
        return Path(tempfile.gettempdir()) / f"ringsim-{os.getuid()}" / "state"
