"""What tidies up does so alone: one connection, and one at a time however many machines serve."""

from collections.abc import Iterator
from contextlib import contextmanager

from storage.database import Connection, Database
from storage.errors import DatabaseBusy

UPKEEP_LOCK = 0x757065656B  # a number of our own among the advisory locks of this database


@contextmanager
def upkeep(database: Database) -> Iterator[Connection]:
    """A connection on which every statement is a transaction, and which nobody else has at this time.

    Raises
    ------
    DatabaseBusy
        When somebody has it.
    """
    with database.session() as session:
        row = session.execute("SELECT pg_try_advisory_lock(%s)", (UPKEEP_LOCK,)).fetchone()
        if row is None or not row[0]:
            raise DatabaseBusy("somebody else is tidying up this database right now; try again later")
        yield session
