import pytest

from storage.database import Database
from storage.errors import SchemaMissing, SchemaTooNew, SchemaTooOld
from storage.schema import check_schema, known_revisions, migrate


@pytest.fixture
def empty_database(empty_database_url):
    with Database(empty_database_url) as database:
        yield database


def test_a_database_without_tables_is_refused_and_the_next_step_named(empty_database):
    with pytest.raises(SchemaMissing, match="tailor init"):
        check_schema(empty_database)


def test_migrating_twice_is_the_same_as_migrating_once(empty_database):
    assert migrate(empty_database) == known_revisions()[-1]
    with empty_database.connection() as connection:
        before = connection.execute("SELECT secret FROM signing_key").fetchall()
    assert migrate(empty_database) == known_revisions()[-1]
    check_schema(empty_database)
    with empty_database.connection() as connection:
        assert connection.execute("SELECT secret FROM signing_key").fetchall() == before
    assert len(before) == 1
    assert len(before[0][0]) == 32


@pytest.mark.parametrize("action", [check_schema, migrate])
def test_a_schema_newer_than_the_code_is_refused_and_left_alone(database, action):
    with database.connection() as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaTooNew, match=r"9999.*newer than this code"):
        action(database)
    with database.connection() as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("9999",)


def test_an_older_schema_asks_for_migration(database, monkeypatch):
    monkeypatch.setattr("storage.schema.known_revisions", lambda: ["0001", "0002"])
    with database.connection() as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    with pytest.raises(SchemaTooOld, match="at schema 0001, this code needs 0002; run: tailor init"):
        check_schema(database)


def test_every_table_that_serving_keeps_in_memory_announces_its_changes(database):
    import psycopg

    with psycopg.connect(database.url, autocommit=True) as listener:
        listener.execute("LISTEN tailor")
        with database.connection() as connection:
            connection.execute("INSERT INTO subscriber (subscriber_id, name) VALUES ('s', 'S')")
            connection.execute("INSERT INTO site (site_id, name, subscriber_id) VALUES ('a', 'A', 's')")
            connection.execute("INSERT INTO item (site_id, item_id) VALUES ('a', '1')")
        heard = [note.payload for note in listener.notifies(timeout=5, stop_after=3)]
    assert heard == ["subscriber", "site", "item"]
