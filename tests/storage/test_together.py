import asyncio
from collections.abc import Sequence
from contextlib import asynccontextmanager

import pytest
from asyncpg import CharacterNotInRepertoireError

from storage.activity import append_events
from storage.errors import DatabaseUnavailable
from storage.reader import ConsumerReader, ConsumerRecord, Wanted
from storage.together import MOST_TOGETHER, Together

N_CONSUMERS = 40
PEOPLE = [f"consumer-{number}" for number in range(N_CONSUMERS)]


@pytest.fixture
def people(database, make_event):
    with database.connection() as connection:
        append_events(
            connection,
            [
                make_event(consumer_id=one, event_id=f"{number}-{which}", item_id=f"{one}'s")
                for number, one in enumerate(PEOPLE)
                for which in range(1 + number % 5)
            ],
        )
    return PEOPLE


@asynccontextmanager
async def queue(database_url: str, *, at_once: int = 2):
    """Those who wait for a real database, and how many were read at a time."""
    reader, sizes = ConsumerReader(), []
    await reader.open(database_url)

    async def read(asked: Sequence[tuple[Wanted, int]], by: float) -> list[ConsumerRecord]:
        sizes.append(len(asked))
        return await reader.read_consumers(asked, by)

    together = Together(read, timeout_s=5.0, at_once=at_once)
    try:
        yield (lambda who, limit=9: together.read((Wanted(who, "books"), limit))), sizes
    finally:
        together.close()
        await reader.close()


def test_who_asks_at_the_same_time_is_read_at_once_and_told_what_they_would_be_told_alone(
    database_url, people
):
    async def ask():
        async with queue(database_url) as (read, sizes):
            alone = [await read(one) for one in people]
            assert sizes == [1] * N_CONSUMERS
            sizes.clear()
            at_once = await asyncio.gather(*map(read, people))
            assert sizes == [MOST_TOGETHER] * (N_CONSUMERS // MOST_TOGETHER)
        return alone, at_once

    alone, at_once = asyncio.run(ask())
    assert at_once == alone
    assert [record.consumer_id for record in at_once] == people
    assert [len(record.events) for record in at_once] == [1 + number % 5 for number in range(N_CONSUMERS)]


def test_who_asks_while_as_much_is_read_as_may_be_is_read_next_with_all_who_asked_meanwhile(
    database_url, people
):
    async def ask():
        async with queue(database_url, at_once=1) as (read, sizes):
            first = asyncio.create_task(read(people[0]))
            while not sizes:
                await asyncio.sleep(0)
            await asyncio.gather(first, *map(read, people[1 : 2 * MOST_TOGETHER]))
            return sizes

    assert asyncio.run(ask()) == [1, MOST_TOGETHER, MOST_TOGETHER - 1]


def test_who_asks_again_as_soon_as_they_are_told_finds_a_place_free(database_url, people):
    async def ask():
        async with queue(database_url, at_once=1) as (read, sizes), asyncio.timeout(20):
            for who in people[:5]:
                await read(who)
            return sizes

    assert asyncio.run(ask()) == [1] * 5


def test_each_has_a_limit_of_its_own(database_url, people):
    async def ask():
        async with queue(database_url) as (read, sizes):
            found = await asyncio.gather(*(read(people[4], limit) for limit in (1, 5, 3)))
            assert sizes == [3]
            return found

    one, five, three = (record.events for record in asyncio.run(ask()))
    assert [len(one), len(five), len(three)] == [1, 5, 3]
    assert [*one, *three] == [*five][:1] + [*five][:3]


def test_what_is_wrong_with_one_is_not_the_fault_of_the_others(database_url, people):
    async def ask():
        async with queue(database_url) as (read, _):
            # PostgreSQL keeps no such character: the query as a whole fails.
            names = [people[0], ("site:books", "a\x00b"), people[1]]
            return await asyncio.gather(*map(read, names), return_exceptions=True)

    first, wrong, last = asyncio.run(ask())
    assert [first.consumer_id, last.consumer_id] == people[:2]
    assert isinstance(wrong, CharacterNotInRepertoireError)


def test_a_database_that_is_away_refuses_everybody_at_once():
    async def ask():
        async with queue("postgresql://127.0.0.1:9/nothing") as (read, sizes):
            return await asyncio.gather(*map(read, PEOPLE[:3]), return_exceptions=True), sizes

    found, sizes = asyncio.run(ask())
    assert [type(one) for one in found] == [DatabaseUnavailable] * 3
    assert sizes == [3]


def test_who_has_gone_meanwhile_holds_up_nobody(database_url, people):
    async def ask():
        async with queue(database_url) as (read, _):
            going, staying = (asyncio.create_task(read(one)) for one in people[:2])
            await asyncio.sleep(0)
            going.cancel()
            return await staying

    assert asyncio.run(ask()).consumer_id == people[1]


def test_nobody_waits_for_what_was_closed(database_url, people):
    async def ask():
        async with queue(database_url, at_once=1) as (read, sizes):
            waiting = [asyncio.create_task(read(people[0]))]
            while not sizes:
                await asyncio.sleep(0)
            waiting.append(asyncio.create_task(read(people[1])))
            await asyncio.sleep(0)
        return await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 5)

    assert [type(one) for one in asyncio.run(ask())] == [asyncio.CancelledError] * 2
