"""What serving reads while visitors wait: some consumers, in one round trip, over asyncpg."""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Self

import asyncpg

from storage.database import libpq_url, without_password
from storage.errors import DatabaseUnavailable, SchemaMissing
from storage.events import BOTH_PURPOSES, CROSS_SITE, NETWORK, SAME_SITE, derived_consumer_id
from storage.recent import COLUMNS, Events
from storage.together import Together

CHANNEL = "tailor"
CONNECT_TIMEOUT_S = 2.0
RECONNECT_DELAY_S = 0.5
STALE = (
    ConnectionError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)
UNAVAILABLE = (
    *STALE,
    OSError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InvalidCatalogNameError,
)

logger = logging.getLogger(__name__)

_NO_EVENTS = Events()


@dataclass(frozen=True, slots=True)
class ConsumerRecord:
    """What may be used about one consumer on one site.

    Attributes
    ----------
    consumer_id
        Whom the identifier belongs to.
    events
        Newest first, those without a time last.
    audiences
        Lists of consumers that this one is on.
    """

    consumer_id: str
    events: Events = _NO_EVENTS
    audiences: frozenset[str] = frozenset()

    def newest(self, limit: int) -> Self:
        """The same with so many events at most."""
        return self if len(self.events) <= limit else replace(self, events=self.events.first(limit))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose activity is wanted, and what for.

    Attributes
    ----------
    consumer
        A consumer id, or (namespace, identifier).
    site_id
        Where it will be used.
    purposes
        What the consumer agreed to, as far as the caller knows.
    without
        Sites whose activity must not be used there, see `storage.sharing`.
    """

    consumer: str | tuple[str, str]
    site_id: str
    purposes: Collection[str] = BOTH_PURPOSES
    without: tuple[str, ...] = ()


# One row of a few texts comes back, which is cheaper to read than an object a value.
_COLUMNS = """
ARRAY(SELECT m.audience_id::text FROM audience_member m WHERE m.consumer_id = {consumer}), {columns}
FROM ({recent}) recent
"""

# An identifier's newest rows come from the index: a consumer with a long past costs no more than a new one.
# Activity of the site itself needs consent for that site, activity of others consent for use across sites.
# What a withdrawn or expired source brought is not in the view. `storage.everyone` reads by the same words.
NEWEST = """
SELECT a.site_id, a.event_id, a.namespace, a.identifier, a.item_id, a.kind, a.occurred_at
FROM usable_activity a
WHERE a.namespace = {whose}.namespace AND a.identifier = {whose}.identifier
  AND a.kind IN ('page_view', 'product_review', 'purchase')
  AND CASE WHEN a.site_id = {site} THEN a.same_site AND {same} ELSE a.cross_site AND {cross} END
  {unless}
ORDER BY a.occurred_at DESC NULLS LAST, a.site_id, a.event_id
LIMIT {limit}
"""
_RECENT = """
SELECT newest.*
FROM identifier i
CROSS JOIN LATERAL ({newest}) AS newest
WHERE i.consumer_id = {consumer}
ORDER BY newest.occurred_at DESC NULLS LAST, newest.site_id, newest.event_id,
         newest.namespace, newest.identifier
LIMIT {limit}
"""

# Many at once take half as long as one by one, in the database and here.
# What somebody last said on this site counts, whatever the call states.
_SOME = """
SELECT who.consumer_id, r.*
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bool[], $6::bool[])
     WITH ORDINALITY AS asked (namespace, identifier, fallback, site_id, same_site, cross_site, number)
CROSS JOIN LATERAL (
    SELECT coalesce((SELECT i.consumer_id FROM identifier i
                     WHERE i.namespace = asked.namespace AND i.identifier = asked.identifier),
                    asked.fallback)::text AS consumer_id,
           asked.same_site AND coalesce(bool_and(c.same_site), true) AS same_site,
           asked.cross_site AND coalesce(bool_and(c.cross_site), true) AS cross_site
    FROM consent c
    WHERE c.namespace = asked.namespace AND c.identifier = asked.identifier AND c.site_id = asked.site_id
) AS who
CROSS JOIN LATERAL (SELECT {columns}) AS r
ORDER BY asked.number
"""

# Sites whose activity must not be used are the exception: where there are none, nothing is asked of a row.
# PostgreSQL hashes the list once, however long it is.
UNLESS = "AND a.site_id NOT IN (SELECT unnest({without}::text[]))"

_OF_SOME = {
    "consumer": "who.consumer_id",
    "site": "asked.site_id",
    "limit": "$7",
    "same": "who.same_site",
    "cross": "who.cross_site",
}


def recent(unless: str = "", **words: str) -> str:
    """The query of what may be used about a consumer, in the words of the query around it."""
    return _RECENT.format(newest=NEWEST.format(whose="i", unless=unless, **words), **words)


def _query(unless: str = "") -> str:
    return _SOME.format(
        columns=_COLUMNS.format(columns=COLUMNS, recent=recent(unless, **_OF_SOME), **_OF_SOME)
    )


_READ = _query()
_READ_WITHOUT = _query(UNLESS.format(without="$8"))


def _asked(wanted: Wanted) -> tuple[str, str, str, str, bool, bool]:
    """The arguments of the query for one."""
    namespace, identifier = (
        (NETWORK, wanted.consumer) if isinstance(wanted.consumer, str) else wanted.consumer
    )
    fallback = derived_consumer_id(namespace, identifier)
    same_site, cross_site = SAME_SITE in wanted.purposes, CROSS_SITE in wanted.purposes
    return namespace, identifier, fallback, wanted.site_id, same_site, cross_site


def _record(row: Sequence[Any]) -> ConsumerRecord:
    consumer_id, audiences, *columns = row
    return ConsumerRecord(consumer_id, Events.sent(*columns), frozenset(audiences))


class ConsumerReader:
    """A pool of read connections. Opening does not wait for the server; reading says when it is away."""

    def __init__(self) -> None:
        self._pool: Any = None
        self._together: Together[tuple[Wanted, int], ConsumerRecord] | None = None
        self._url = ""

    async def open(self, url: str, *, max_size: int = 4, timeout_s: float = 1.0) -> None:
        """Get ready to read from `url`; `timeout_s` bounds a read, waiting for a connection included."""
        self._url = libpq_url(url)
        self._timeout_s = timeout_s
        self._together = Together(self.read_consumers, timeout_s=timeout_s, at_once=max_size)
        self._pool = await asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=max_size,
            timeout=CONNECT_TIMEOUT_S,
            # Nothing here changes the session, and the usual clean-up is a round trip of its own.
            reset=_leave_as_is,
            # Planning costs more than reading, and the plan is the same for everybody.
            server_settings={
                "application_name": "tailor",
                "jit": "off",
                "plan_cache_mode": "force_generic_plan",
                # Who is no longer waited for must not go on for ever on the other side.
                "statement_timeout": str(int(1000 * timeout_s) + 500),
            },
        )

    async def close(self) -> None:
        """Close the connections. Harmless when repeated."""
        if self._together is not None:
            self._together.close()
        if self._pool is not None:
            pool, self._pool = self._pool, None
            with suppress(*UNAVAILABLE):
                await asyncio.wait_for(pool.close(), self._timeout_s)

    async def read_consumer(self, wanted: Wanted, *, limit: int) -> ConsumerRecord:
        """What may be used about a consumer; somebody unknown has an empty record.

        Those who ask at the same time are read together.

        Parameters
        ----------
        limit
            Events at most, the newest ones, over all kinds of activity.

        Raises
        ------
        DatabaseUnavailable
            When the server cannot be reached in time.
        """
        if self._together is None:
            raise DatabaseUnavailable("the reader is not open")
        return await self._together.read((wanted, limit))

    async def read_consumers(self, asked: Sequence[tuple[Wanted, int]], by: float) -> list[ConsumerRecord]:
        """The same for some consumers and their limits, until the loop's time is `by`."""
        wanted, limits = zip(*asked, strict=True)
        limit = max(limits)
        groups: dict[tuple[str, ...], list[int]] = {}
        for place, one in enumerate(wanted):
            groups.setdefault(one.without, []).append(place)
        reads = [
            self._read([wanted[place] for place in places], limit=limit, by=by) for places in groups.values()
        ]
        found = [await reads[0]] if len(reads) == 1 else await asyncio.gather(*reads)
        records = dict(zip(chain(*groups.values()), chain(*found), strict=True))
        return [records[place].newest(limits[place]) for place in range(len(wanted))]

    async def _read(self, wanted: Sequence[Wanted], *, limit: int, by: float) -> list[ConsumerRecord]:
        """The same, where all have the same sites left out."""
        columns = zip(*map(_asked, wanted), strict=True)
        without = wanted[0].without
        rows = await (
            self._fetch(_READ_WITHOUT, *columns, limit, without, by=by)
            if without
            else self._fetch(_READ, *columns, limit, by=by)
        )
        return [_record(row) for row in rows]

    async def ping(self) -> None:
        """Raise DatabaseUnavailable unless the server answers."""
        await self._fetch("SELECT 1")

    async def listen(self, callback: Callable[[str | None], object]) -> None:
        """Call `callback` with the name of each table that changed, until cancelled.

        After every (re)connection it is called once with None: anything may have changed meanwhile.
        """
        while True:
            try:
                await self._listen_once(callback)
            except UNAVAILABLE as error:
                logger.warning("not listening to %s: %s", without_password(self._url), error)
            await asyncio.sleep(RECONNECT_DELAY_S)

    async def _listen_once(self, callback: Callable[[str | None], object]) -> None:
        connection = await asyncpg.connect(self._url, timeout=CONNECT_TIMEOUT_S)
        gone = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _: gone.set())
            await connection.add_listener(CHANNEL, lambda _c, _pid, _channel, table: callback(table))
            callback(None)
            await gone.wait()
        finally:
            connection.terminate()

    async def _fetch(self, query: str, *arguments: object, by: float | None = None) -> list[Any]:
        if self._pool is None:
            raise DatabaseUnavailable("the reader is not open")
        if by is None:
            by = asyncio.get_running_loop().time() + self._timeout_s
        try:
            # One timer for waiting and reading: asyncpg's own start a task each.
            async with asyncio.timeout_at(by):
                try:
                    return await self._fetch_once(query, *arguments)
                except STALE:
                    # A pooled connection may have died with the server it led to; twice does no harm.
                    return await self._fetch_once(query, *arguments)
        except TimeoutError as error:
            raise DatabaseUnavailable(
                f"the database did not answer within {self._timeout_s:g} s; try again"
            ) from error
        except UNAVAILABLE as error:
            where = without_password(self._url)
            raise DatabaseUnavailable(f"the database {where} is unavailable: {error!r}") from error
        except asyncpg.UndefinedTableError as error:
            raise SchemaMissing from error

    async def _fetch_once(self, query: str, *arguments: object) -> list[Any]:
        async with self._pool.acquire() as connection:
            rows: list[Any] = await connection.fetch(query, *arguments)
            return rows


async def _leave_as_is(connection: object) -> None:
    """Takes the place of asyncpg's reset of a returned connection."""
    del connection
