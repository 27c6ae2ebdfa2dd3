"""What deleted rows leave behind in the database's files, and its removal.

A deleted row stays, as bytes, in the pages of its table and its indexes, in the planner's statistics (the
most common values of every column) and in the write-ahead log. `docs/privacy.md` says what is promised.
"""

from collections.abc import Callable
from functools import partial

import psycopg

from storage.database import Connection, Database
from storage.rewrite import rewrite

PERSONAL = ("activity", "audience_member", "consent", "identifier", "merge", "quarantine")
"""The tables that name consumers."""

# Events that came in while their consumer was being erased: nobody can ask for these any more.
_DELETE_ORPHANS = """
DELETE FROM activity a WHERE NOT EXISTS (
    SELECT FROM identifier i WHERE i.namespace = a.namespace AND i.identifier = a.identifier)
"""

_SEGMENTS_AHEAD = """
SELECT count(*) FROM pg_ls_waldir()
WHERE name ~ '^[0-9A-F]{24}$' AND name > pg_walfile_name(pg_current_wal_insert_lsn())
"""


def remove_residue(database: Database, *, progress: Callable[[int, int], object] | None = None) -> list[str]:
    """Make sure that the database's files hold nothing of rows deleted before; others go on working.

    Parameters
    ----------
    progress
        Told (steps done, of how many).

    Returns
    -------
    list of str
        What only the server's operator can remove, or does not go at once; empty with the embedded server.

    Raises
    ------
    DatabaseBusy
        When a table is held all the time; try again later.
    """
    with database.session() as session:
        left: list[str] = []
        steps: list[Callable[[], object]] = [
            lambda: session.execute(_DELETE_ORPHANS),
            *(partial(rewrite, database, table) for table in PERSONAL),
            lambda: left.extend(_renew_statistics(session)),
            lambda: left.extend(_renew_log(session)),
        ]
        for done, step in enumerate(steps, start=1):
            step()
            if progress is not None:
                progress(done, len(steps))
    return left


def _renew_statistics(session: Connection) -> list[str]:
    """Write anew the table where ANALYZE keeps samples of every column."""
    before = _file_of_statistics(session)
    # Without the right to, it warns and does nothing.
    session.execute("VACUUM (FULL) pg_catalog.pg_statistic")
    if before == _file_of_statistics(session):
        return ["samples of deleted values in pg_statistic: its owner can VACUUM FULL pg_statistic"]
    return []


def _renew_log(session: Connection) -> list[str]:
    """Let the log begin anew, so that the files of the log before are not needed any more."""
    left = []
    recycles, archives = (
        session.execute("SELECT current_setting(%s)", (name,)).fetchone() not in (None, ("off",))
        for name in ("wal_recycle", "archive_mode")
    )
    if recycles:
        left.append("the write-ahead log, whose files the server uses again: set wal_recycle = off")
    if archives:
        left.append("the archive of the write-ahead log")
    try:
        # Files that were kept for later use, when wal_recycle was still on, are used up.
        (ahead,) = (0,) if recycles else session.execute(_SEGMENTS_AHEAD).fetchone() or (0,)
        for _ in range(ahead + 1):
            session.execute("SELECT pg_logical_emit_message(false, 'tailor', '')")
            session.execute("SELECT pg_switch_wal()")
        session.execute("CHECKPOINT")
    except psycopg.errors.InsufficientPrivilege as error:
        left.append(
            f"the write-ahead log until the server's own next checkpoints ({error.diag.message_primary})"
        )
    return left


def _file_of_statistics(session: Connection) -> object:
    return session.execute("SELECT pg_relation_filenode('pg_catalog.pg_statistic')").fetchone()
