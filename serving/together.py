"""Decisions that wait at the same time are made together: one query to the database, one product of matrices.

Who comes alone waits for nobody. Where several come at once each costs a fraction: much of a decision is the
way to the database and back, and reading the factors of every promotion.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

from serving.decision import Ask, Ranking, rank_all
from serving.view import View
from storage.errors import DatabaseUnavailable
from storage.reader import ConsumerRecord, Wanted

MOST_TOGETHER = 32
"""More would hold up everything else of the worker for more than some milliseconds."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """What was read of one consumer and what came of it; and how many seconds each took, by decision."""

    record: ConsumerRecord
    ranking: Ranking | None
    read_s: float
    score_s: float


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    ask: Ask
    wanted: Wanted
    view: View
    by: float
    told: "asyncio.Future[Ranked]"


class Together:
    """Reads and ranks for those who wait; for one event loop.

    Parameters
    ----------
    read : `read_consumers` of a `storage.reader.ConsumerReader`.
    timeout_s : the longest that the first of a block waits for what it reads.
    at_once : blocks under way, so that the database reads one while another is ranked.
    """

    def __init__(
        self, read: Callable[..., Awaitable[list[ConsumerRecord]]], *, timeout_s: float, at_once: int
    ) -> None:
        self._read = read
        self._timeout_s = timeout_s
        self._at_once = at_once
        self._waiting: list[_Waiting] = []
        self._under_way: set[asyncio.Task[None]] = set()

    async def rank(self, ask: Ask, wanted: Wanted, view: View) -> Ranked:
        """Read what may be used of a consumer, and rank what may be shown to them.

        Raises
        ------
        DatabaseUnavailable : it did not answer in time.
        """
        loop = asyncio.get_running_loop()
        told: asyncio.Future[Ranked] = loop.create_future()
        self._waiting.append(_Waiting(ask, wanted, view, loop.time() + self._timeout_s, told))
        # A task begins in the next turn of the loop: who comes in this one comes along.
        if len(self._waiting) == 1:
            self._begin()
        return await told

    def close(self) -> None:
        """Let go of what is under way."""
        for task in self._under_way:
            task.cancel()

    def _begin(self) -> None:
        if len(self._under_way) < self._at_once:
            task = asyncio.get_running_loop().create_task(self._work())
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _work(self) -> None:
        while self._waiting:
            block, self._waiting = self._waiting[:MOST_TOGETHER], self._waiting[MOST_TOGETHER:]
            if self._waiting:
                self._begin()
            await self._answer(block)

    async def _answer(self, block: Sequence[_Waiting]) -> None:
        try:
            for one, ranked in zip(block, await self._ranked(block), strict=True):
                if not one.told.done():
                    one.told.set_result(ranked)
        except Exception as error:
            if len(block) == 1 or isinstance(error, DatabaseUnavailable):
                _refuse(block, error)
                return
            # What is wrong with one must not be the others' fault.
            for one in block:
                await self._answer([one])

    async def _ranked(self, block: Sequence[_Waiting]) -> list[Ranked]:
        started = perf_counter()
        records = await self._read(
            [one.wanted for one in block], limit=max(map(_limit, block)), by=block[0].by
        )
        read = perf_counter()
        shelves: dict[tuple[int, str], list[int]] = {}
        for place, one in enumerate(block):
            shelves.setdefault((id(one.view), one.ask.site_id), []).append(place)
        rankings: dict[int, Ranking | None] = {}
        for places in shelves.values():
            asks, some = [block[place].ask for place in places], [records[place] for place in places]
            found = _rank(asks, some, block[places[0]].view)
            rankings.update(zip(places, found, strict=True))
        score_s = (perf_counter() - read) / len(block)
        return [
            Ranked(record, rankings[place], read - started, score_s) for place, record in enumerate(records)
        ]


def rank_nobody(ask: Ask, view: View) -> Ranked:
    """Rank for somebody of whom nothing may be used."""
    record, started = ConsumerRecord(""), perf_counter()
    (ranking,) = _rank([ask], [record], view)
    return Ranked(record, ranking, 0.0, perf_counter() - started)


def _rank(asks: Sequence[Ask], records: Sequence[ConsumerRecord], view: View) -> Sequence[Ranking | None]:
    """Rank for some who ask of the same site."""
    if view.model is None:
        return [None] * len(asks)
    return rank_all(asks, records, shelf=view.shelf(asks[0].site_id), model=view.model)


def _refuse(block: Sequence[_Waiting], error: Exception) -> None:
    for one in block:
        if not one.told.done():
            one.told.set_exception(error)


def _limit(one: _Waiting) -> int:
    """How many events of a consumer count."""
    return 1 if one.view.model is None else one.view.model.bundle.weights.max_events_per_consumer
