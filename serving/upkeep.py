"""What the service tidies up by itself: files after an erasure, and once a day what was kept long enough.

It takes long and is not urgent, so a process of its own does it (`python -m serving.upkeep`), now and then,
beside one worker of a machine; and of all machines one at a time.
"""

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Mapping

from features.forgetting import finish_erasures
from serving.companion import start_companion, stop_companion, wait_for_starter
from storage.database import Database, open_database
from storage.errors import DatabaseBusy, StorageError
from storage.retention import is_sweep_due, sweep
from storage.schema import check_schema
from storage.settings import Settings, read_settings

logger = logging.getLogger("serving.upkeep")

_LOOK_S = 0.5
_FIRST_S = 60.0


async def keep_up(environ: Mapping[str, str], *, every_s: float) -> None:
    """Tidy up again and again until cancelled: soon after the start, then every so often."""
    pause_s = min(every_s, _FIRST_S)
    while True:
        await asyncio.sleep(pause_s)
        pause_s = every_s
        process = start_companion("serving.upkeep", environ=environ)
        try:
            while process.poll() is None:
                await asyncio.sleep(_LOOK_S)
        finally:
            stop_companion(process)


def tidy_up(database: Database, settings: Settings) -> None:
    """Do what there is to do now; what cannot be done now is for the next time."""
    for task in (_finish_erasures, _sweep):
        try:
            task(database, settings)
        except DatabaseBusy as error:
            logger.info("tidied up later: %s", error)
        except StorageError as error:
            logger.warning("not tidied up: %s", error)


def _finish_erasures(database: Database, settings: Settings) -> None:
    forgetting = finish_erasures(database, settings)
    if forgetting.cleaned:
        logger.info("the files hold nothing of %d erasures any more", len(forgetting.cleaned))
    for what in forgetting.not_ours:
        logger.info("left to the operator of the database: %s", what)


def _sweep(database: Database, settings: Settings) -> None:
    with database.connection() as connection:
        if not is_sweep_due(connection):
            return
    swept = sweep(database, months=settings.retention_months)
    deleted = ", ".join(f"{n} of {table}" for table, n in swept.rows_deleted.items() if n)
    if deleted:
        logger.info("deleted what is from before %s: %s", swept.kept_since.date(), deleted)


def main() -> None:
    """Tidy up once, unless whoever started this ends first."""
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s", stream=sys.stderr)
    threading.Thread(target=_end_with_starter, daemon=True).start()
    settings = read_settings()
    try:
        with open_database(settings) as database:
            check_schema(database)
            tidy_up(database, settings)
    except StorageError as error:
        logger.warning("not tidied up: %s", error)
    except KeyboardInterrupt:
        sys.exit(130)


def _end_with_starter() -> None:
    wait_for_starter()
    # At once: the database takes back what is not finished.
    os._exit(0)


if __name__ == "__main__":
    main()
