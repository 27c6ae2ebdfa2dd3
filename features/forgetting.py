"""Ends an erasure: whom the database forgot, no snapshot and no file of the database may hold either."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from features.retention import delete_snapshots
from storage.database import Database
from storage.erasures import mark_cleaned, newest_erasure, uncleaned_erasures
from storage.residue import remove_residue
from storage.settings import Settings
from storage.upkeep import upkeep

logger = logging.getLogger(__name__)

# An erasure tells when it began, and a snapshot that was begun meanwhile may still show whom it erased.
_LONGEST_ERASURE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Forgetting:
    """How far it came.

    Attributes
    ----------
    cleaned
        Erasures that are over.
    waiting_for
        Snapshots that somebody still reads or writes; the erasures are over when these are gone.
    not_ours
        What only the operator of the database server can remove.
    """

    cleaned: tuple[int, ...] = ()
    waiting_for: tuple[Path, ...] = ()
    not_ours: tuple[str, ...] = ()


def finish_erasures(
    database: Database,
    settings: Settings,
    *,
    progress: Callable[[str, int, int | None], object] | None = None,
) -> Forgetting:
    """Remove what is left of everybody who was erased until now; nothing happens when that is nobody.

    Others go on working meanwhile: see `storage.rewrite`.

    Raises
    ------
    DatabaseBusy
        When somebody else does it right now, or a table is in use all the time.
    """
    with upkeep(database) as session:
        erasures = uncleaned_erasures(session)
        if not erasures:
            return Forgetting()
        row = session.execute("SELECT clock_timestamp()").fetchone()
        if row is None:
            raise AssertionError("no time")
        waiting_for = delete_snapshots(settings.snapshots_dir, until=row[0])
        not_ours = remove_residue(
            database, progress=lambda done, total: progress("cleaning", done, total) if progress else None
        )
        if waiting_for:
            logger.info("%d erasures wait for snapshots in use", len(erasures))
            return Forgetting((), tuple(waiting_for), tuple(not_ours))
        mark_cleaned(session, erasures)
        logger.info("%d erasures are over", len(erasures))
        return Forgetting(tuple(erasures), (), tuple(not_ours))


def delete_outdated_snapshots(database: Database, settings: Settings) -> None:
    """Delete all snapshots from before the newest erasure: another machine may have cleaned up, not this."""
    with database.connection() as connection:
        newest = newest_erasure(connection)
    if newest is not None:
        delete_snapshots(settings.snapshots_dir, until=newest + _LONGEST_ERASURE)
