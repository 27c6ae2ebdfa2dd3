"""A real PostgreSQL for the tests, and for each test a database of its own."""

import os
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest

from storage.database import Database, libpq_url
from storage.embedded import EmbeddedPostgres
from storage.schema import migrate

# The running service, and a browser with two sites, for the tests of serving and of the claims.
pytest_plugins = ["tests.service", "tests.browsing"]

TEMPLATE = f"tailor_template_{uuid4().hex[:8]}"


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL server where databases may be made: TEST_DATABASE_URL, or one of our own."""
    if url := os.environ.get("TEST_DATABASE_URL"):
        yield libpq_url(url)
        return
    with EmbeddedPostgres(tmp_path_factory.mktemp("server") / "postgres") as server:
        # Nothing here outlives the run, so nothing need reach the disk.
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("ALTER SYSTEM SET synchronous_commit = off")
            connection.execute("SELECT pg_reload_conf()")
        yield server.url


@pytest.fixture(scope="session")
def template(server_url: str) -> Iterator[str]:
    """Name of a database with our schema and no rows, which every test's database is a copy of."""
    with psycopg.connect(server_url, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {TEMPLATE}")
        with Database(with_database(server_url, TEMPLATE)) as database:
            migrate(database)
        yield TEMPLATE
        server.execute(f"DROP DATABASE {TEMPLATE} WITH (FORCE)")


@pytest.fixture
def database_url(server_url: str, template: str) -> Iterator[str]:
    """URL of a fresh database with our schema, gone after the test."""
    yield from _temporary_database(server_url, f"TEMPLATE {template} STRATEGY file_copy")


@pytest.fixture
def empty_database_url(server_url: str) -> Iterator[str]:
    """URL of a fresh database without any table, gone after the test."""
    yield from _temporary_database(server_url, "")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A fresh database with our schema."""
    with Database(database_url) as database:
        yield database


def with_database(url: str, name: str) -> str:
    """The same server, another database."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"/{name}")).replace(":///", "://@/")


def _temporary_database(server_url: str, options: str) -> Iterator[str]:
    name = f"tailor_test_{uuid4().hex[:12]}"
    with psycopg.connect(server_url, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name} {options}")
        try:
            yield with_database(server_url, name)
        finally:
            server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
