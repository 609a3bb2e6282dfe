"""Where things lie that outlive a run but belong to no checkout: the user's state directory."""

import os
from pathlib import Path


def state_root() -> Path:
    """$RINGSIM_STATE, else $XDG_STATE_HOME/ringsim, else ~/.local/state/ringsim. Not created here."""
    if chosen := os.environ.get("RINGSIM_STATE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "ringsim"
