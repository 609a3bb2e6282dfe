"""Mount namespaces for tests that need a disk, or a /dev/shm, of their own. Not every machine lets one make them."""

import subprocess

import pytest

UNSHARE = ("unshare", "--user", "--map-root-user", "--mount")


def permitted() -> bool:
    """Whether an unprivileged process may mount a tmpfs for itself here."""
    try:
        done = subprocess.run(
            [*UNSHARE, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, timeout=20, check=False
        )
    except OSError:
        return False
    return done.returncode == 0


needs_namespace = pytest.mark.skipif(not permitted(), reason="this machine allows no mount namespaces")
