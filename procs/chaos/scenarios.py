"""The fault table: what is done, and what the run must end like.

A scenario runs under the simulated clock, where the law is exact: the digest is that of the undisturbed twin; those that say
otherwise have laws of their own.
"""

from procs.chaos.deaths import DEATHS
from procs.chaos.inputs import INPUTS
from procs.chaos.machine import MACHINE
from procs.chaos.scenario import Scenario
from procs.chaos.storage import STORAGE

SCENARIOS: dict[str, Scenario] = {row.name: row for row in (*DEATHS, *INPUTS, *MACHINE, *STORAGE)}
