"""The fault table: what is done, and what the run must end like.

Every scenario runs under the simulated clock, where the law is exact: the digest is that of the undisturbed twin.
"""

from procs.chaos.deaths import DEATHS
from procs.chaos.scenario import Scenario
from procs.chaos.storage import STORAGE

SCENARIOS: dict[str, Scenario] = {row.name: row for row in (*DEATHS, *STORAGE)}
