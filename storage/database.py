"""The one way to a synchronous database connection, which says promptly when the server is away."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, cast

import psycopg
import sqlalchemy.exc
from psycopg.pq import ExecStatus
from sqlalchemy import event
from sqlalchemy.pool import PoolProxiedConnection, QueuePool

from storage.embedded import EmbeddedPostgres
from storage.errors import DatabaseUnavailable, InvalidValue, StorageError
from storage.settings import Settings

CONNECT_OPTIONS: dict[str, Any] = {
    "connect_timeout": 3,
    "fallback_application_name": "tailor",
    # A server that vanished without a word is noticed within about ten seconds, not two hours.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


Connection = psycopg.Connection[tuple[Any, ...]]


class Database:
    """A few connections to one database, kept open between uses.

    SQLAlchemy's pool and not `psycopg_pool`, whose threads reconnect with a growing delay while whoever asks
    waits out the whole timeout without learning the reason. Here each caller connects and hears at once.

    Parameters
    ----------
    url
        Any PostgreSQL URL.
    embedded
        The embedded server behind that URL, if it is ours: started again if it died, left at `close`.
    max_size
        Connections at most.
    timeout_s
        How long to wait while all of them are busy.
    """

    def __init__(
        self, url: str, *, embedded: EmbeddedPostgres | None = None, max_size: int = 4, timeout_s: float = 5.0
    ) -> None:
        self.url = libpq_url(url)
        self.max_size = max_size
        self.timeout_s = timeout_s
        self._embedded = embedded
        self._pool = QueuePool(
            cast(Any, self._connect), pool_size=max_size, max_overflow=0, timeout=timeout_s
        )
        event.listen(self._pool, "checkout", _replace_if_dead)
        self._closed = False

    def __repr__(self) -> str:
        return f"Database({without_password(self.url)!r})"

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection for the length of a block: committed at its end, rolled back if it raises.

        Raises
        ------
        DatabaseUnavailable
            When the server cannot be reached, all connections stay busy, or it goes away during the block.
        InvalidValue
            When a value can be in no database.
        """
        if self._closed:
            raise StorageError(f"{self!r} is closed")
        lent = self._lend()
        connection = cast(Connection, lent.driver_connection)
        try:
            yield connection
            connection.commit()
        except psycopg.OperationalError as error:
            if connection.closed:
                raise self._unavailable(str(error)) from error
            raise
        except psycopg.DataError as error:
            # Without a code of the server's it never got there: a text with a NUL, which no id or text has.
            if error.sqlstate is None:
                raise InvalidValue(f"a value cannot be looked for or stored: {error}") from error
            raise
        finally:
            if connection.closed:
                lent.invalidate()
            lent.close()

    @contextmanager
    def session(self) -> Iterator[Connection]:
        """A connection of its own on which every statement is a transaction, for what takes long.

        Raises
        ------
        DatabaseUnavailable
            As `connection` does.
        """
        with self.connection():
            pass  # says why not, and starts the embedded server again if it died
        connection = self._connect()
        connection.autocommit = True
        try:
            yield connection
        except psycopg.OperationalError as error:
            if connection.closed:
                raise self._unavailable(str(error)) from error
            raise
        finally:
            connection.close()

    def close(self) -> None:
        """Close the connections and leave the embedded server. Harmless when repeated."""
        self._closed = True
        self._pool.dispose()
        if self._embedded is not None:
            self._embedded.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _lend(self) -> PoolProxiedConnection:
        try:
            return self._pool.connect()
        except sqlalchemy.exc.TimeoutError as error:
            busy = f"all {self.max_size} connections were busy for {self.timeout_s:g} s"
            raise self._unavailable(busy) from error
        except psycopg.OperationalError as error:
            if self._embedded is None:
                raise self._unavailable(str(error)) from error
        self._embedded.revive()
        try:
            return self._pool.connect()
        except psycopg.OperationalError as error:
            raise self._unavailable(str(error)) from error

    def _connect(self) -> Connection:
        connection = psycopg.connect(self.url, **CONNECT_OPTIONS)
        # Times come back in UTC; compiling a query costs more than any of ours takes.
        connection.execute("SET timezone TO 'UTC'")
        connection.execute("SET jit TO off")
        connection.commit()
        return connection

    def _unavailable(self, reason: str) -> DatabaseUnavailable:
        return DatabaseUnavailable(
            f"the database {without_password(self.url)} is unavailable: {reason.strip()}"
        )


def open_database(settings: Settings, *, max_size: int = 4, timeout_s: float = 5.0) -> Database:
    """The database of these settings; starts the embedded server when there is no ``DATABASE_URL``.

    A server that cannot be reached now is no error here: the first `Database.connection` says so.
    """
    if settings.database_url:
        return Database(settings.database_url, max_size=max_size, timeout_s=timeout_s)
    embedded = EmbeddedPostgres(settings.postgres_dir)
    return Database(embedded.start(), embedded=embedded, max_size=max_size, timeout_s=timeout_s)


def libpq_url(url: str) -> str:
    """The URL without SQLAlchemy's driver name (``postgresql+psycopg://``), which libpq does not know."""
    return re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", url)


def without_password(url: str) -> str:
    """The URL as it may be shown and logged."""
    hidden = re.sub(r"(://[^:@/]*):[^@/]*@", r"\1:***@", url)
    return re.sub(r"(password=)[^&\s]*", r"\1***", hidden)


def _replace_if_dead(connection: Any, _record: object, _proxy: object) -> None:
    """Look at a connection before it is lent, in one round trip outside any transaction."""
    if connection.closed or connection.pgconn.exec_(b"").status != ExecStatus.EMPTY_QUERY:
        raise sqlalchemy.exc.DisconnectionError
