"""What may be used about every consumer on a site, a block of consumers at once and in numbers.

By the same words as the single read (`storage.reader`), but no object is made for an event: a consumer's
events come as three texts, which are taken apart for the whole block.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from storage.database import Connection
from storage.reader import NEWEST, UNLESS, recent
from storage.recent import BETWEEN_EVENTS, KINDS_SENT, TIMES_SENT, places_of

_BETWEEN_IDS = "\x1e"

# Without OFFSET the planner would join first and sort all activity instead of the consumers.
# Who has one identifier, as most do, needs neither a second look nor a second sort.
_EVERYONE = """
WITH agreed AS (
    SELECT n.consumer_id, bool_and(k.same_site) AS same_site, bool_and(k.cross_site) AS cross_site
    FROM consent k JOIN identifier n USING (namespace, identifier)
    WHERE k.site_id = %(site)s
    GROUP BY n.consumer_id
), listed AS (
    SELECT m.consumer_id, array_agg(m.audience_id::text) AS audiences
    FROM audience_member m
    WHERE m.audience_id = ANY (%(audiences)s)
    GROUP BY m.consumer_id
)
SELECT c.consumer_id::text, c.audiences, r.*
FROM (
    SELECT i.*, l.audiences,
           coalesce(a.same_site, true) AS same_site, coalesce(a.cross_site, true) AS cross_site
    FROM (
        SELECT consumer_id, count(*) AS n,
               min(namespace::text) AS namespace, min(identifier::text) AS identifier
        FROM identifier
        GROUP BY consumer_id
    ) i
    LEFT JOIN agreed a USING (consumer_id)
    LEFT JOIN listed l USING (consumer_id)
    ORDER BY i.consumer_id
    OFFSET 0
) c
CROSS JOIN LATERAL (
    SELECT string_agg(site_id || '{between_ids}' || coalesce(item_id, ''), '{between_events}'),
           {kinds}, {times}
    FROM (
        (SELECT * FROM ({newest}) one WHERE c.n = 1)
        UNION ALL
        (SELECT * FROM ({recent}) several WHERE c.n > 1)
    ) recent
) r
ORDER BY c.consumer_id
"""

_OF_EACH = {
    "consumer": "c.consumer_id",
    "site": "%(site)s",
    "limit": "%(limit)s",
    "same": "c.same_site",
    "cross": "c.cross_site",
}


def _query(unless: str = "") -> str:
    return _EVERYONE.format(
        between_ids=_BETWEEN_IDS,
        between_events=BETWEEN_EVENTS,
        kinds=KINDS_SENT,
        times=TIMES_SENT,
        newest=NEWEST.format(whose="c", unless=unless, **_OF_EACH),
        recent=recent(unless, **_OF_EACH),
    )


_READ = _query()
_READ_WITHOUT = _query(UNLESS.format(without="%(without)s"))


class EventBlock(msgspec.Struct, frozen=True, eq=False):
    """What several consumers did, each newest first.

    Attributes
    ----------
    indptr : int64[n_consumers + 1]
        Where each consumer's events begin.
    items : list of (site id, item id)
        The distinct items.
    item : int32[n_events]
        Places in `items`.
    kind : int8[n_events]
        Places in `ACTIVITY_KINDS`.
    times : bytes
        As PostgreSQL sends them: see `storage.recent.days_of`.
    """

    indptr: NDArray[np.int64]
    items: list[tuple[str, str]]
    item: NDArray[np.int32]
    kind: NDArray[np.int8]
    times: bytes


class ConsumerBlock(msgspec.Struct, frozen=True, eq=False):
    """Several consumers, what each did, and which of the lists that were asked for each is on."""

    consumer_ids: list[str]
    audiences: list[frozenset[str]]
    events: EventBlock


def read_everyone(
    connection: Connection,
    *,
    site_id: str,
    limit: int,
    at_once: int,
    without: Sequence[str] = (),
    audiences: Collection[str] = (),
) -> Iterator[ConsumerBlock]:
    """What may be used about every consumer on a site, by consumer id, so many at once.

    Parameters
    ----------
    limit
        Events of a consumer at most, the newest ones, over all kinds of activity.
    without
        Sites whose activity must not be used there, see `storage.sharing`.
    audiences
        Lists of consumers to look into.
    """
    asked = {"site": site_id, "limit": limit, "without": list(without), "audiences": list(audiences)}
    with connection.cursor(name="everyone", binary=True) as cursor:
        cursor.execute(_READ_WITHOUT if without else _READ, asked)
        while rows := cursor.fetchmany(at_once):
            yield _take_apart(rows)


def count_consumers(connection: Connection) -> int:
    """How many consumers are known."""
    row = connection.execute("SELECT count(DISTINCT consumer_id) FROM identifier").fetchone()
    return 0 if row is None else int(row[0])


def _take_apart(rows: Sequence[tuple[Any, ...]]) -> ConsumerBlock:
    consumer_ids, audiences, pairs, told_kinds, times = zip(*rows, strict=True)
    kinds = [one or "" for one in told_kinds]
    item, items = _number(BETWEEN_EVENTS.join(filter(None, pairs)))
    events = EventBlock(
        indptr=np.cumsum([0, *map(len, kinds)], dtype=np.int64),
        items=items,
        item=item,
        kind=places_of("".join(kinds)),
        times=b"".join(filter(None, times)),
    )
    return ConsumerBlock(list(consumer_ids), [frozenset(one or ()) for one in audiences], events)


def _number(joined: str) -> tuple[NDArray[np.int32], list[tuple[str, str]]]:
    """The number of each event's item, and the (site id, item id) that the numbers stand for."""
    if not joined:
        return np.empty(0, dtype=np.int32), []
    text = np.frombuffer(joined.encode(), dtype=np.uint8)
    between = text == ord(BETWEEN_EVENTS)
    # Each end lies so many bytes further on as there are separators before it.
    ends = np.append(np.flatnonzero(between), len(text))
    offsets = np.concatenate([[0], ends - np.arange(len(ends))]).astype(np.int32)
    buffers = [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(text[~between].tobytes())]
    numbered = pa.Array.from_buffers(pa.string(), len(ends), buffers).dictionary_encode()
    texts: list[Any] = numbered.dictionary.to_pylist()
    items = [(site, item) for site, _, item in (one.partition(_BETWEEN_IDS) for one in texts)]
    return numbered.indices.to_numpy(), items
