"""Those who ask at the same time are read together: one query to the database for all of them.

Who comes alone waits for nobody. Where several come at once each costs a fraction of the way to the database
and back, which is a good part of a decision.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from storage.errors import DatabaseUnavailable

Asked = TypeVar("Asked")
Found = TypeVar("Found")

MOST_TOGETHER = 4
"""More cost hardly less each, and all would wait for the last: the database reads some while others go on."""


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting(Generic[Asked, Found]):
    asked: Asked
    by: float
    told: "asyncio.Future[Found]"


class Together(Generic[Asked, Found]):
    """Hands what is asked at the same time to one read; for one event loop.

    Parameters
    ----------
    read
        Given what is asked and when to give up, in the loop's time; answers in the same order.
    timeout_s
        How long the first of those who are read together waits at most.
    at_once
        So many reads are under way at most: while one is read, the next ones gather.
    """

    def __init__(
        self,
        read: Callable[[Sequence[Asked], float], Awaitable[Sequence[Found]]],
        *,
        timeout_s: float,
        at_once: int,
    ) -> None:
        self._read = read
        self._timeout_s = timeout_s
        self._at_once = at_once
        self._waiting: list[_Waiting[Asked, Found]] = []
        self._under_way: set[asyncio.Task[None]] = set()

    async def read(self, asked: Asked) -> Found:
        """What is found for one of those who ask; raises what its read raised."""
        loop = asyncio.get_running_loop()
        told: asyncio.Future[Found] = loop.create_future()
        self._waiting.append(_Waiting(asked, loop.time() + self._timeout_s, told))
        # A task begins in the next turn of the loop: who asks in this one comes along.
        if len(self._waiting) == 1:
            self._begin()
        return await told

    def close(self) -> None:
        """Let go of what is under way; who waits is told nothing any more."""
        for task in self._under_way:
            task.cancel()
        for one in self._waiting:
            one.told.cancel()

    def _begin(self) -> None:
        if len(self._under_way) < self._at_once:
            self._under_way.add(asyncio.get_running_loop().create_task(self._work()))

    async def _work(self) -> None:
        try:
            while self._waiting:
                block, self._waiting = self._waiting[:MOST_TOGETHER], self._waiting[MOST_TOGETHER:]
                if self._waiting:
                    self._begin()
                try:
                    await self._answer(block)
                except asyncio.CancelledError:
                    for one in block:
                        one.told.cancel()
                    raise
        finally:
            # In the turn in which nobody waits any more: who asks next begins anew, or waits for ever.
            if (task := asyncio.current_task()) is not None:
                self._under_way.discard(task)

    async def _answer(self, block: Sequence[_Waiting[Asked, Found]]) -> None:
        try:
            found = await self._read([one.asked for one in block], block[0].by)
        except Exception as error:
            if len(block) == 1 or isinstance(error, DatabaseUnavailable):
                for one in block:
                    if not one.told.done():
                        one.told.set_exception(error)
                return
            # What is wrong with one must not be the others' fault.
            for one in block:
                await self._answer([one])
        else:
            for one, answer in zip(block, found, strict=True):
                if not one.told.done():
                    one.told.set_result(answer)
