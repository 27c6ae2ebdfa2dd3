"""Everybody is read by the same rules as somebody."""

import asyncio
from datetime import UTC, date, datetime

import pytest

from storage.activity import append_events
from storage.consent import state_consent
from storage.consumers import link_identifier
from storage.events import ACTIVITY_KINDS, NETWORK
from storage.everyone import ConsumerBlock, count_consumers, read_everyone
from storage.reader import ConsumerReader, Wanted
from storage.recent import NO_DAY, days_of
from storage.sources import register_source, withdraw_source

FIRST_OF_MAY = (date(2026, 5, 1) - date(1970, 1, 1)).days


def events_of(block: ConsumerBlock, row: int) -> list[tuple[str, str, str, int]]:
    events = block.events
    places = range(*events.indptr[row : row + 2].tolist())
    return [
        (
            *events.items[events.item[place]],
            ACTIVITY_KINDS[events.kind[place]],
            int(days_of(events.times)[place]),
        )
        for place in places
    ]


def day_of(moment: datetime | None) -> int:
    return NO_DAY if moment is None else (moment.date() - date(1970, 1, 1)).days


@pytest.fixture
def network(database, make_event):
    """Consumers of every sort."""

    def visits(consumer, n, **fields):
        return [
            make_event(
                consumer_id=consumer,
                event_id=f"{consumer}-{fields.get('site_id', 'books')}-{number}",
                item_id=f"item {number % 3} é",
                kind=ACTIVITY_KINDS[number % 3],
                occurred_at=f"2026-05-{1 + number:02}T0{number}:00:00Z",
                **fields,
            )
            for number in range(n)
        ]

    with database.connection() as connection:
        register_source(connection, "bought")
        append_events(
            connection,
            [
                *visits("ann", 5),
                *visits("ann", 4, site_id="music"),
                *visits("ben", 9),
                *visits("declined", 3),
                *visits("declined", 3, site_id="music"),
                *visits("refused", 3),
                *visits("same site", 3, consent=["same_site"]),
                *visits("same site", 2, site_id="music", consent=["same_site"]),
                *visits("across", 3, consent=["cross_site"]),
                *visits("across", 2, site_id="music", consent=["cross_site"]),
                *visits("withdrawn", 3, source="bought"),
                *visits("withdrawn", 1, site_id="music"),
                make_event(consumer_id="timeless", event_id="1", item_id="b1"),
                make_event(consumer_id="ancient", event_id="3", occurred_at="1999-12-31T23:59:59Z"),
                make_event(consumer_id="clicks", kind="promotion_click", promotion_id="p1"),
                *visits("merged", 5),
                *(
                    make_event(consumer_id=None, identifier="v", event_id=f"v{n}", item_id=f"v{n}",
                               occurred_at=f"2026-05-{1 + n:02}T12:00:00Z")
                    for n in range(5)
                ),
            ],
        )  # fmt: skip
        link_identifier(connection, "site:books", "v", consumer_id="merged")
        withdraw_source(connection, "bought")
        now = datetime(2026, 6, 1, tzinfo=UTC)
        for consumer, purposes in {"declined": ["same_site"], "refused": []}.items():
            state_consent(connection, (NETWORK, consumer), site_id="books", purposes=purposes, now=now)
        connection.execute(
            "INSERT INTO audience_member VALUES"
            " ('ann', 'vip'), ('ann', 'new'), ('ben', 'vip'), ('merged', 'other')"
        )


@pytest.mark.parametrize("without", [(), ("music",), ("nowhere", "music")])
@pytest.mark.parametrize("limit", [3, 500])
@pytest.mark.parametrize("site_id", ["books", "music", "kitchen"])
@pytest.mark.usefixtures("network")
def test_everybody_is_read_like_each_alone(database, database_url, site_id, limit, without):
    with database.connection() as connection:
        blocks = list(
            read_everyone(
                connection,
                site_id=site_id,
                limit=limit,
                at_once=4,
                without=without,
                audiences=["vip", "new"],
            )
        )
        assert count_consumers(connection) == sum(len(block.consumer_ids) for block in blocks)
    consumers = [one for block in blocks for one in block.consumer_ids]
    assert consumers == sorted(consumers)
    assert {"ann", "merged", "withdrawn", "clicks", "timeless"} <= set(consumers)

    async def read_alone():
        reader = ConsumerReader()
        await reader.open(database_url)
        try:
            return [
                await reader.read_consumer(Wanted(one, site_id, without=without), limit=limit)
                for one in consumers
            ]
        finally:
            await reader.close()

    alone = iter(asyncio.run(read_alone()))
    for block in blocks:
        for row, consumer in enumerate(block.consumer_ids):
            record = next(alone)
            assert record.consumer_id == consumer
            assert block.audiences[row] == record.audiences & {"vip", "new"}
            expected = [(site, item, kind, day_of(moment)) for site, item, kind, moment in record.events]
            assert events_of(block, row) == expected, consumer


@pytest.mark.usefixtures("network")
def test_days_are_those_of_utc_however_long_ago(database):
    with database.connection() as connection:
        connection.execute("SET TIME ZONE 'Pacific/Auckland'")
        [block] = read_everyone(connection, site_id="books", limit=9, at_once=99)
    days = {item: day for _, item, _, day in events_of(block, block.consumer_ids.index("ancient"))}
    assert days == {"b1": 10_956}
    assert events_of(block, block.consumer_ids.index("ann"))[-1][3] == FIRST_OF_MAY


def test_nobody_is_no_block(database):
    with database.connection() as connection:
        assert list(read_everyone(connection, site_id="books", limit=9, at_once=9)) == []
        assert count_consumers(connection) == 0
