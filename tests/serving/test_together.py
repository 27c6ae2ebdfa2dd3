import asyncio
from collections.abc import Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import msgspec
import numpy as np
import pytest
from asyncpg import CharacterNotInRepertoireError

from benchmarks.decision import SITE, make_als, make_counter, make_items
from benchmarks.stage import draw_events
from serving.together import MOST_TOGETHER, Together, rank_nobody
from serving.view import View
from storage.activity import append_events
from storage.errors import DatabaseUnavailable
from storage.reader import ConsumerReader, ConsumerRecord, Wanted

N_PROMOTIONS, N_CONSUMERS = 300, 40


@pytest.fixture(scope="module")
def items():
    return make_items(N_PROMOTIONS, n_sites=2)


@pytest.fixture(scope="module")
def counter(items):
    return make_counter(make_als(items, 16), N_PROMOTIONS)


@pytest.fixture
def view(counter):
    return View(cast(Any, None), counter.model, {SITE: counter.shelf}, counter.signer, cast(Any, None), None)


@pytest.fixture
def people(database, items):
    random = np.random.default_rng(3)
    with database.connection() as connection:
        for number in range(N_CONSUMERS):
            append_events(connection, draw_events(f"consumer-{number}", items, random, n=12))
    return [f"consumer-{number}" for number in range(N_CONSUMERS)]


@asynccontextmanager
async def seat(database_url: str, *, at_once: int = 2, timeout_s: float = 5.0):
    """Those who wait, a real database, and how many were read at a time."""
    reader, sizes = ConsumerReader(), []
    await reader.open(database_url)

    async def read(wanted: Sequence[Wanted], **more: Any) -> list[ConsumerRecord]:
        sizes.append(len(wanted))
        return await reader.read_consumers(wanted, **more)

    together = Together(read, timeout_s=timeout_s, at_once=at_once)
    try:
        yield together, sizes
    finally:
        together.close()
        await reader.close()


def told(ranked):
    best = [ranked.ranking.pooled.place(at) for at in ranked.ranking.order.tolist()]
    return ranked.record, ranked.ranking.strategy, best


def test_who_comes_at_the_same_time_is_read_at_once_and_told_what_they_would_be_told_alone(
    database_url, counter, view, people
):
    async def ask():
        asks = [counter.ask(n=1 + number % 3) for number in range(len(people))]
        async with seat(database_url) as (together, sizes):
            alone = [
                await together.rank(ask, Wanted(one, SITE), view)
                for ask, one in zip(asks, people, strict=True)
            ]
            assert sizes == [1] * N_CONSUMERS
            sizes.clear()
            at_once = await asyncio.gather(
                *(together.rank(ask, Wanted(one, SITE), view) for ask, one in zip(asks, people, strict=True))
            )
            assert sizes == [MOST_TOGETHER, N_CONSUMERS - MOST_TOGETHER]
        return alone, at_once

    alone, at_once = asyncio.run(ask())
    assert [told(one) for one in at_once] == [told(one) for one in alone]
    assert [one.record.consumer_id for one in at_once] == people


def test_those_who_come_while_all_connections_read_are_read_next_and_all_at_once(
    database_url, counter, view, people
):
    async def ask():
        async with seat(database_url, at_once=1) as (together, sizes):
            first = asyncio.create_task(together.rank(counter.ask(), Wanted(people[0], SITE), view))
            while not sizes:
                await asyncio.sleep(0)
            later = [
                asyncio.create_task(together.rank(counter.ask(), Wanted(one, SITE), view))
                for one in people[1:9]
            ]
            await asyncio.gather(first, *later)
            return sizes

    assert asyncio.run(ask()) == [1, 8]


def test_sites_views_and_limits_may_differ(database_url, counter, view, people):
    nothing_live = replace(counter.shelf, projection=None)
    other = replace(view, shelves={SITE: nothing_live}, model=counter.model)
    without_model = replace(view, model=None)

    async def ask():
        async with seat(database_url) as (together, sizes):
            found = await asyncio.gather(
                *(
                    together.rank(counter.ask(), Wanted(people[0], SITE), seen)
                    for seen in (view, other, without_model, view)
                )
            )
            assert sizes == [4]
            return found

    full, empty, untrained, again = asyncio.run(ask())
    assert full.ranking.strategy == "tailored"
    assert told(again) == told(full)
    assert empty.ranking is None
    assert untrained.ranking is None


def test_what_is_wrong_with_one_is_not_the_fault_of_the_others(database_url, counter, view, people):
    async def ask():
        async with seat(database_url) as (together, _):
            # PostgreSQL keeps no such character: the query as a whole fails.
            names = [people[0], ("site:shop-0", "a\x00b"), people[1]]
            return await asyncio.gather(
                *(together.rank(counter.ask(), Wanted(name, SITE), view) for name in names),
                return_exceptions=True,
            )

    first, wrong, last = asyncio.run(ask())
    assert [first.record.consumer_id, last.record.consumer_id] == people[:2]
    assert isinstance(wrong, CharacterNotInRepertoireError)


def test_a_database_that_is_away_refuses_everybody(counter, view):
    async def ask():
        async with seat("postgresql://127.0.0.1:9/nothing") as (together, sizes):
            found = await asyncio.gather(
                *(together.rank(counter.ask(), Wanted("ann", SITE), view) for _ in range(3)),
                return_exceptions=True,
            )
            return found, sizes

    found, sizes = asyncio.run(ask())
    assert [type(one) for one in found] == [DatabaseUnavailable] * 3
    assert sizes == [3]


def test_who_has_gone_meanwhile_holds_up_nobody(database_url, counter, view, people):
    async def ask():
        async with seat(database_url) as (together, _):
            going, staying = (
                asyncio.create_task(together.rank(counter.ask(), Wanted(one, SITE), view))
                for one in people[:2]
            )
            await asyncio.sleep(0)
            going.cancel()
            return await staying

    assert asyncio.run(ask()).record.consumer_id == people[1]


def test_of_nobody_nothing_is_read(counter, view):
    ranked = rank_nobody(msgspec.structs.replace(counter.ask(), why_impersonal="no consent"), view)
    assert (ranked.ranking.strategy, ranked.ranking.reason) == ("popularity", "no consent")
    assert ranked.record == ConsumerRecord("")
