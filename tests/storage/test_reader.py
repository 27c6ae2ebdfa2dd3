import asyncio
from datetime import UTC, datetime

import psycopg
import pytest

from storage.activity import append_events
from storage.cluster import start_cluster, stop_cluster
from storage.consumers import link_identifier
from storage.database import Database
from storage.errors import DatabaseUnavailable, SchemaMissing
from storage.events import SAME_SITE, derived_consumer_id
from storage.reader import ConsumerReader, ConsumerRecord, Wanted
from storage.recent import Events
from storage.schema import migrate


def read(url, consumer, *, site_id="books", limit=100):
    async def once():
        reader = ConsumerReader()
        await reader.open(url)
        try:
            return await reader.read_consumer(Wanted(consumer, site_id), limit=limit)
        finally:
            await reader.close()

    return asyncio.run(once())


@pytest.fixture
def store(database, make_event):
    def append(*events):
        with database.connection() as connection:
            append_events(connection, [make_event(**event) for event in events])

    return append


def test_somebody_unknown_has_an_empty_record(database_url):
    assert read(database_url, "nobody") == ConsumerRecord("nobody")
    assert read(database_url, ("site:books", "v1")).consumer_id == derived_consumer_id("site:books", "v1")


def test_events_come_newest_first_and_those_without_a_time_last(database_url, store):
    store(
        {"event_id": "a", "item_id": "old", "occurred_at": "2026-01-01T00:00:00Z"},
        {"event_id": "b", "item_id": "timeless"},
        {"event_id": "c", "item_id": "new", "occurred_at": "2026-02-01T00:00:00Z", "kind": "purchase"},
    )
    record = read(database_url, "ann")
    assert [event[1] for event in record.events] == ["new", "old", "timeless"]
    assert next(iter(record.events)) == ("books", "new", "purchase", datetime(2026, 2, 1, tzinfo=UTC))


def test_at_most_limit_events_the_newest_over_all_identifiers(database_url, store, database):
    store(
        *(
            {"event_id": str(n), "occurred_at": f"2026-01-{n:02}T00:00:00Z", "item_id": f"n{n}"}
            for n in range(1, 6)
        )
    )
    store(
        *(
            {"consumer_id": None, "identifier": "v", "event_id": str(n), "item_id": f"v{n}",
             "occurred_at": f"2026-01-{n:02}T12:00:00Z"}
            for n in range(1, 6)
        )
    )  # fmt: skip
    with database.connection() as connection:
        link_identifier(connection, "site:books", "v", consumer_id="ann")
    for consumer in ("ann", ("site:books", "v")):
        record = read(database_url, consumer, limit=3)
        assert record.consumer_id == "ann"
        assert [event[1] for event in record.events] == ["v5", "n5", "v4"]


def test_consent_decides_what_may_be_used_where(database_url, store):
    store(
        {"event_id": "1", "item_id": "here", "consent": ["same_site"]},
        {"event_id": "2", "item_id": "across", "consent": ["cross_site"]},
        {"event_id": "3", "item_id": "both"},
    )
    assert {event[1] for event in read(database_url, "ann", site_id="books").events} == {"here", "both"}
    assert {event[1] for event in read(database_url, "ann", site_id="music").events} == {
        "across",
        "both",
    }


def test_outcomes_of_promotions_are_no_activity(database_url, store):
    store({"kind": "promotion_click", "promotion_id": "p1"})
    assert len(read(database_url, "ann").events) == 0


def test_audiences_come_with_or_without_events(database_url, database, store):
    with database.connection() as connection:
        connection.execute(
            "INSERT INTO audience_member VALUES ('ann', 'vip'), ('ann', 'new'), ('bob', 'vip')"
        )
    assert read(database_url, "ann").audiences == {"vip", "new"}
    store({"event_id": "1"}, {"event_id": "2"})
    record = read(database_url, "ann")
    assert (len(record.events), record.audiences) == (2, {"vip", "new"})


def test_some_are_read_at_once_each_by_what_holds_for_them(database_url, store, database):
    store(
        {"event_id": "1", "item_id": "here", "consent": ["same_site"]},
        {"event_id": "2", "item_id": "both"},
        {"event_id": "3", "item_id": "tune", "site_id": "music"},
        {"event_id": "4", "item_id": "bobs", "consumer_id": "bob"},
    )
    with database.connection() as connection:
        connection.execute("INSERT INTO audience_member VALUES ('bob', 'vip')")
    wanted = [
        Wanted("bob", "books"),
        Wanted("ann", "music"),
        Wanted("nobody", "books"),
        Wanted("ann", "books", without=("music",)),
        Wanted("ann", "books", purposes=[SAME_SITE]),
        Wanted("ann", "books"),
        Wanted("bob", "books", purposes=[]),
    ]

    async def at_once():
        reader = ConsumerReader()
        await reader.open(database_url)
        try:
            return (
                await asyncio.gather(*(reader.read_consumer(one, limit=9) for one in wanted)),
                [await reader.read_consumer(one, limit=9) for one in wanted],
            )
        finally:
            await reader.close()

    records, one_by_one = asyncio.run(at_once())
    assert records == one_by_one
    assert [(record.consumer_id, {event[1] for event in record.events}) for record in records] == [
        ("bob", {"bobs"}),
        ("ann", {"both", "tune"}),
        ("nobody", set()),
        ("ann", {"here", "both"}),
        ("ann", {"here", "both"}),
        ("ann", {"here", "both", "tune"}),
        ("bob", set()),
    ]
    assert records[0].audiences == {"vip"}


def test_a_database_that_is_away_is_said_and_used_again_when_it_is_back(tmp_path):
    data_dir = tmp_path / "postgres"

    async def scenario():
        reader = ConsumerReader()
        await reader.open(url)
        try:
            assert len((await reader.read_consumer(Wanted("ann", "books"), limit=1)).events) == 0
            stop_cluster(data_dir)
            with pytest.raises(DatabaseUnavailable):
                await reader.read_consumer(Wanted("ann", "books"), limit=1)
            start_cluster(data_dir)
            assert (await reader.read_consumer(Wanted("ann", "books"), limit=1)).consumer_id == "ann"
        finally:
            await reader.close()

    url = start_cluster(data_dir)
    try:
        with Database(url) as database:
            migrate(database)
        asyncio.run(scenario())
    finally:
        stop_cluster(data_dir)


def test_a_dropped_connection_costs_no_request(database_url):
    async def scenario():
        reader = ConsumerReader()
        await reader.open(database_url)
        await reader.ping()
        with psycopg.connect(database_url, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        assert (await reader.read_consumer(Wanted("ann", "books"), limit=1)).consumer_id == "ann"
        await reader.close()

    asyncio.run(scenario())


def test_a_reader_that_cannot_reach_the_server_opens_and_says_so_when_asked():
    with pytest.raises(DatabaseUnavailable, match="ConnectionRefused"):
        read("postgresql://postgres@127.0.0.1:1/postgres", "ann")


def test_reading_before_the_tables_are_there_names_the_next_step(empty_database_url):
    with pytest.raises(SchemaMissing, match="tailor init"):
        read(empty_database_url, "ann")


def test_listening_hears_changes_and_reconnects_by_itself(database_url):
    heard: list[str | None] = []

    async def scenario():
        reader = ConsumerReader()
        await reader.open(database_url)
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        listening = asyncio.create_task(reader.listen(queue.put_nowait))
        async with asyncio.timeout(20):
            with psycopg.connect(database_url, autocommit=True) as other:
                heard.append(await queue.get())
                other.execute("INSERT INTO site (site_id, name) VALUES ('a', 'A')")
                heard.append(await queue.get())
                other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                heard.append(await queue.get())
                other.execute("INSERT INTO subscriber (subscriber_id, name) VALUES ('s', 'S')")
                heard.append(await queue.get())
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await reader.close()

    asyncio.run(scenario())
    assert heard == [None, "site", None, "subscriber"]


def test_an_activity_is_found_by_site_item_and_kind_the_newest_first():
    new, old = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
    rows = [
        ("music", "1", "purchase", new),
        ("books", "1", "page_view", new),
        ("books", "1", "purchase", old),
        ("books", "1", "purchase", None),
        ("books", "2", "page_view", None),
    ]
    events = Events.of(rows)
    assert (len(events), list(events)) == (5, rows)
    assert events.newest("books", "1", "purchase") == old
    assert events.newest("books", "2", "page_view") is None
    assert events.newest("books", "3", "page_view") is None
    assert list(Events.of([])) == []
