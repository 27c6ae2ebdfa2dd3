"""On a server that is the operator's, what the service may not do is told, and by whom it can be done."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import uuid4

import psycopg
import pytest

from storage.activity import append_events
from storage.database import Database
from storage.errors import StorageError
from storage.residue import PERSONAL, remove_residue


@contextmanager
def role(database: Database, *grants: str) -> Iterator[Database]:
    """The database as a role without special rights sees it."""
    name = f"app_{uuid4().hex[:8]}"
    with psycopg.connect(database.url, autocommit=True) as server:
        server.execute(f"CREATE ROLE {name}")
        try:
            for grant in grants:
                server.execute(grant.format(role=name))
            join = "&" if "?" in database.url else "?"
            with Database(f"{database.url}{join}options=-c%20role%3D{name}") as mine:
                yield mine
        finally:
            server.execute(f"REASSIGN OWNED BY {name} TO CURRENT_USER")
            server.execute(f"DROP OWNED BY {name}")
            server.execute(f"DROP ROLE {name}")


def files(database: Database) -> dict[str, str]:
    with database.connection() as connection:
        return {
            table: connection.execute("SELECT pg_relation_filepath(%s)", (table,)).fetchone()[0]
            for table in PERSONAL
        }


def test_what_only_the_servers_operator_can_remove_is_told(
    database: Database, make_event: Callable[..., object]
) -> None:
    with database.connection() as connection:
        append_events(connection, [make_event()])
        names = connection.execute(
            "SELECT c.relname, c.relkind = 'v' FROM pg_class c"
            " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v')"
        ).fetchall()
    owned = [f"ALTER {'VIEW' if view else 'TABLE'} {name} OWNER TO {{role}}" for name, view in names]
    before = files(database)
    with role(database, "GRANT CREATE, USAGE ON SCHEMA public TO {role}", *owned) as mine:
        left = remove_residue(mine)
        with mine.connection() as connection:
            assert connection.execute("SELECT count(*) FROM usable_activity").fetchone() == (1,)
    assert all(files(database)[table] != before[table] for table in PERSONAL)
    assert [what.split(":")[0].split(" until")[0] for what in left] == [
        "samples of deleted values in pg_statistic",
        "the write-ahead log",
    ]


def test_tables_of_another_role_are_not_said_to_be_clean(database: Database) -> None:
    grants = ("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",)
    with (
        role(database, *grants) as mine,
        pytest.raises(StorageError, match=r"table activity, which only its owner \w+ may write anew"),
    ):
        remove_residue(mine)
