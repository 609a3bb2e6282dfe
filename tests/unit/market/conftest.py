"""Captures are prepared into a folder of the tests' own."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """Only prepared captures go there: the kernels' cache was chosen when they were imported."""
    import ringsim.market.check  # noqa: F401 - compiles nothing yet, but its decorators run

    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("RINGSIM_CACHE", str(folder))
        yield folder
