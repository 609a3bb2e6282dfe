"""What the database holds at the end of a run, against what persistence has acknowledged in the rings.

Invariant: a run whose database lacks an acknowledged record, or holds another one, does not end DONE, whoever damaged it and
whenever that was.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from ringsim.store.connection import connect_reading
from ringsim.store.digest import digest_database
from ringsim.store.errors import StoreError


class Audit(msgspec.Struct, frozen=True):
    """digest: empty if the database cannot be read. stored: records of each ring that it holds. problem: None if all is well."""

    digest: str
    stored: dict[str, int]
    problem: str | None


def audit(database: Path, acknowledged: Mapping[str, int]) -> Audit:
    """Read the whole database. acknowledged: ring -> how many of its records persistence has released."""
    try:
        digest = digest_database(database)
        connection = connect_reading(database)
        try:
            stored = dict(connection.execute("SELECT ring, next_seq FROM cursors"))
        finally:
            connection.close()
    except StoreError as error:
        return Audit("", {}, str(error))
    lost = [f"{n} {ring}" for ring, count in sorted(acknowledged.items()) if (n := count - stored.get(ring, 0)) > 0]
    problem = f"{database} lacks records that were stored: {', '.join(lost)}" if lost else None
    return Audit(digest, stored, problem)
