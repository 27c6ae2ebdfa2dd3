import subprocess
import sys
import threading
from pathlib import Path

import psycopg
import pytest

from storage.cluster import start_cluster, stop_cluster
from storage.database import Database, libpq_url, open_database, without_password
from storage.embedded import EmbeddedPostgres
from storage.errors import DatabaseUnavailable, StorageError
from storage.guardian import is_listening
from storage.schema import check_schema, migrate
from storage.settings import Settings

NOBODY_LISTENS = "postgresql://postgres:geheim@127.0.0.1:1/postgres"


def count(database):
    with database.connection() as connection:
        return connection.execute("SELECT count(*) FROM source").fetchone()[0]


def test_a_block_is_committed_at_its_end_and_rolled_back_when_it_raises(database):
    with database.connection() as connection:
        connection.execute("INSERT INTO source (source_id) VALUES ('kept')")

    def write_twice():
        with database.connection() as connection:
            connection.execute("INSERT INTO source (source_id) VALUES ('dropped')")
            connection.execute("INSERT INTO source (source_id) VALUES ('kept')")

    with pytest.raises(psycopg.errors.UniqueViolation):
        write_twice()
    assert count(database) == 1


def test_an_error_in_a_statement_leaves_the_connection_usable(database):
    with pytest.raises(psycopg.errors.SyntaxError), database.connection() as connection:
        connection.execute("SELEKT")
    assert count(database) == 0


def test_times_come_back_in_utc(connection):
    assert connection.execute("SELECT now()").fetchone()[0].utcoffset().total_seconds() == 0


def test_a_server_that_is_not_there_is_said_at_once_without_the_password():
    with Database(NOBODY_LISTENS) as database, pytest.raises(DatabaseUnavailable, match="refused") as error:
        count(database)
    assert "geheim" not in str(error.value)
    assert "127.0.0.1:1" in str(error.value)


def test_opening_does_not_need_the_server_so_that_serving_can_start_before_it():
    with open_database(Settings(database_url=NOBODY_LISTENS)) as database, pytest.raises(DatabaseUnavailable):
        check_schema(database)


def test_a_connection_that_the_server_dropped_between_two_uses_is_replaced(database):
    with database.connection() as connection:
        first = connection.info.backend_pid
    with psycopg.connect(database.url) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", (first,))
    assert count(database) == 0


def test_a_server_that_goes_away_during_a_block_is_unavailable(database):
    with pytest.raises(DatabaseUnavailable), database.connection() as connection:
        connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    assert count(database) == 0


def test_waiting_for_a_busy_connection_has_an_end(database_url):
    small = Database(database_url, max_size=1, timeout_s=0.05)
    with small as database, database.connection(), pytest.raises(DatabaseUnavailable) as error:
        count(database)
    assert "all 1 connections were busy for 0.05 s" in str(error.value)


def test_many_threads_share_a_few_connections(database_url):
    with Database(database_url, max_size=2) as database:

        def work(number):
            with database.connection() as connection:
                connection.execute("INSERT INTO source (source_id) VALUES (%s)", (str(number),))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert count(database) == 20


def test_a_closed_database_says_so(database_url):
    database = Database(database_url)
    database.close()
    with pytest.raises(StorageError, match="closed"), database.connection():
        pass


def test_an_external_server_that_was_away_is_used_again_when_it_is_back(tmp_path):
    data_dir = tmp_path / "postgres"
    url = start_cluster(data_dir)
    try:
        with Database(url) as database:
            migrate(database)
            stop_cluster(data_dir)
            with pytest.raises(DatabaseUnavailable):
                count(database)
            assert start_cluster(data_dir) == url
            assert count(database) == 0
    finally:
        stop_cluster(data_dir)


def test_the_embedded_server_is_started_for_settings_without_a_url_and_again_when_it_died(tmp_path):
    settings = Settings(home=tmp_path)
    with open_database(settings) as database:
        migrate(database)
        stop_cluster(settings.postgres_dir)
        assert count(database) == 0
    assert not is_listening(settings.postgres_dir)


def test_a_url_as_sqlalchemy_writes_it_is_understood():
    assert libpq_url("postgresql+psycopg://me@db/x") == "postgresql://me@db/x"
    assert libpq_url("postgres://me@db/x") == "postgresql://me@db/x"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:geheim@db:5432/x", "postgresql://me:***@db:5432/x"),
        (
            "postgresql://db/x?user=me&password=geheim&sslmode=require",
            "postgresql://db/x?user=me&password=***&sslmode=require",
        ),
        ("postgresql://postgres@/postgres?host=/var/x", "postgresql://postgres@/postgres?host=/var/x"),
    ],
)
def test_passwords_are_not_shown(url, shown):
    assert without_password(url) == shown


def test_nothing_is_started_by_importing(tmp_path):
    command = "import storage.database, storage.imports, storage.reader; import os; print(os.listdir('.'))"
    done = subprocess.run(
        [sys.executable, "-c", command],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
    assert EmbeddedPostgres(tmp_path / "postgres").url == ""
    assert not (tmp_path / "postgres").exists()
