"""Brings the database to the schema this code needs, and refuses one it does not understand.

Alembic is used by its API: there is no ``alembic.ini`` whose URL could disagree with the settings.
"""

from pathlib import Path

import psycopg

from storage.database import Connection, Database
from storage.errors import InvalidValue, SchemaMissing, SchemaTooNew, SchemaTooOld
from storage.signing import add_signing_key, signing_keys
from storage.upkeep import UPKEEP_LOCK

MIGRATIONS = Path(__file__).parent / "migrations"
OLDEST_SERVER = 150000  # server_version_num of PostgreSQL 15
MIGRATION_LOCK = 0x7461696C6F72  # "tailor": one migration at a time


def migrate(database: Database) -> str:
    """Bring the schema to the newest version and return it; nothing happens when it is there already.

    Raises
    ------
    SchemaTooNew
        When newer code made the schema; it is left as it is.
    InvalidValue
        When the server is older than PostgreSQL 15.
    """
    known = known_revisions()
    with database.connection() as connection:
        if connection.info.server_version < OLDEST_SERVER:
            raise InvalidValue(
                f"PostgreSQL 15 or later is needed, this is {connection.info.server_version // 10000}"
            )
        current = _current_revision(connection)
    if current is not None and current not in known:
        raise SchemaTooNew(current, newest=known[-1])
    if current != known[-1]:
        _upgrade(database)
    with database.connection() as connection:
        _ensure_signing_key(connection)
    return known[-1]


def check_schema(database: Database) -> None:
    """Say what is wrong with the schema, if anything.

    Raises
    ------
    SchemaMissing, SchemaTooOld
        Run ``tailor init``.
    SchemaTooNew
        Newer code made the schema.
    """
    with database.connection() as connection:
        current = _current_revision(connection)
    known = known_revisions()
    if current is None:
        raise SchemaMissing
    if current not in known:
        raise SchemaTooNew(current, newest=known[-1])
    if current != known[-1]:
        raise SchemaTooOld(current, newest=known[-1])


def known_revisions() -> list[str]:
    """Revisions in this code, oldest first; read from the file names, for Alembic is slow to import."""
    return sorted(path.stem.split("_", 1)[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def _current_revision(connection: Connection) -> str | None:
    there = connection.execute("SELECT to_regclass('alembic_version') IS NOT NULL").fetchone()
    if there is None or not there[0]:
        return None
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])


def _upgrade(database: Database) -> None:
    """Run the missing migrations in one transaction: all of them, or none."""
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(database.url), poolclass=NullPool
    )
    with engine.begin() as connection:
        # Two at once: the second waits, then finds nothing left to do.
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
        # A table that is just being written anew would lose what is changed in it now.
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({UPKEEP_LOCK})")
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        command.upgrade(config, "head")


def _ensure_signing_key(connection: Connection) -> None:
    """Decisions are signed with a secret that every process shares and nobody has to think of."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (MIGRATION_LOCK,))
    if not signing_keys(connection):
        add_signing_key(connection)
