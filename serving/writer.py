"""Activity on its way into the database: what waits while other activity is written goes in together.

A commit costs far more than a row. Who comes while one is under way shares the next with all the others who
wait, and is answered after it like everybody else. Another connection helps when one takes long.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from serving.browser.keepsake import join_visitors
from storage.activity import append_events, quarantine
from storage.consent import NO_WORD, WITHDRAWN, limit_to_consent
from storage.database import Connection
from storage.errors import DatabaseUnavailable
from storage.events import NO_CONSENT, ActivityEvent, Rejection

WITHOUT_CONSENT = (NO_CONSENT, WITHDRAWN, NO_WORD)
_MOST_TOGETHER = 1_000
_HELP_AFTER_S = 0.01
_LOCKED_AFTER_MS = 200


@dataclass(frozen=True, slots=True)
class Delivery:
    """The events of one call, with what was turned away; `network` is whom the network's cookie names.

    With `needs_word` events count only of consumers whose word on the site is kept.
    """

    verdicts: Sequence[ActivityEvent | Rejection]
    network: str | None = None
    needs_word: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """What became of one event: with no more purposes than its consumer agreed to last, where it is kept."""

    status: Literal["stored", "duplicate", "quarantined"]
    event: ActivityEvent | None = None
    reason: str | None = None


Run = Callable[[Callable[[Connection], list[Written]]], Awaitable[list[Written]]]


@dataclass(frozen=True, slots=True)
class _Waiting:
    delivery: Delivery
    written: "asyncio.Future[list[Written]]"

    @property
    def n_events(self) -> int:
        return len(self.delivery.verdicts)


class ActivityWriter:
    """Who writes activity in one worker; for one event loop.

    Parameters
    ----------
    run : does work in one transaction and returns after its commit.
    n_writers : transactions at once, at most.
    """

    def __init__(self, run: Run, *, n_writers: int) -> None:
        self._run = run
        self._n_writers = n_writers
        self._waiting: deque[_Waiting] = deque()
        self._writers: set[asyncio.Task[None] | None] = set()
        self._help: asyncio.TimerHandle | None = None

    async def write(self, delivery: Delivery) -> list[Written]:
        """Store the events, as far as their consumers agreed, and keep the rejections.

        Returns when both are durable, and says of each event what became of it.

        Raises
        ------
        NotReady, DatabaseUnavailable : there is no database now, or it did not answer in time.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(delivery, loop.create_future())
        self._waiting.append(waiting)
        if not self._writers:
            self._start()
        elif self._help is None:
            self._help = loop.call_later(_HELP_AFTER_S, self._start)
        return await waiting.written

    def _start(self) -> None:
        self._help = None
        if self._waiting and len(self._writers) < self._n_writers:
            writer = asyncio.create_task(self._write_on(), name="write activity")
            self._writers.add(writer)

    async def _write_on(self) -> None:
        try:
            while together := self._take():
                await self._write(together)
        finally:
            self._writers.discard(asyncio.current_task())

    def _take(self) -> list[_Waiting]:
        together: list[_Waiting] = []
        room = _MOST_TOGETHER
        while self._waiting and (not together or self._waiting[0].n_events <= room):
            one = self._waiting.popleft()
            # Who has waited too long was answered already, and will send it again.
            if not one.written.done():
                together.append(one)
                room -= one.n_events
        return together

    async def _write(self, together: Sequence[_Waiting]) -> None:
        deliveries = [one.delivery for one in together]
        try:
            written = iter(await self._run(lambda connection: _store(connection, deliveries)))
        except Exception as error:
            if len(together) > 1 and not isinstance(error, DatabaseUnavailable):
                # Nobody is to suffer for what another one sent.
                await asyncio.gather(*(self._write([one]) for one in together))
                return
            for one in together:
                if not one.written.done():
                    one.written.set_exception(error)
            return
        for one in together:
            own = list(islice(written, one.n_events))
            if not one.written.done():
                one.written.set_result(own)


def _store(connection: Connection, deliveries: Sequence[Delivery]) -> list[Written]:
    if len(deliveries) > 1:
        # One of the events may be in an import that takes minutes.
        connection.execute(f"SET LOCAL lock_timeout = {_LOCKED_AFTER_MS}")
    verdicts = [verdict for delivery in deliveries for verdict in delivery.verdicts]
    events = [
        (one, delivery.needs_word)
        for delivery in deliveries
        for one in delivery.verdicts
        if isinstance(one, ActivityEvent)
    ]
    needs_word = {at for at, (_, needs) in enumerate(events) if needs}
    agreed = iter(limit_to_consent(connection, [one for one, _ in events], needs_word=needs_word))
    judged = [one if isinstance(one, Rejection) else next(agreed) for one in verdicts]
    rejections = [one for one in judged if isinstance(one, Rejection)]
    quarantine(connection, [one for one in rejections if one.reason not in WITHOUT_CONSENT])
    outcomes = iter(append_events(connection, [one for one in judged if isinstance(one, ActivityEvent)]))
    _join(connection, deliveries, judged)
    return [
        Written("quarantined", reason=one.reason)
        if isinstance(one, Rejection)
        else Written(next(outcomes), event=one)
        for one in judged
    ]


def _join(
    connection: Connection, deliveries: Sequence[Delivery], judged: Sequence[ActivityEvent | Rejection]
) -> None:
    left = iter(judged)
    for delivery in deliveries:
        own = [one for one in islice(left, len(delivery.verdicts)) if isinstance(one, ActivityEvent)]
        if delivery.network is not None:
            join_visitors(connection, own, delivery.network)
