"""What one worker holds while it serves: connections, the view it decides from, and who keeps the view fresh.

The view (catalogue, champion, shelves, signer) is immutable and swapped whole, so a request that began with
one ends with it. Nothing here waits for ever, and nothing that goes wrong ends the worker: it says 503, and
tries again.
"""

import asyncio
import dataclasses
import functools
import gc
import logging
import os
import secrets
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import TypeVar

from threadpoolctl import threadpool_limits

from models.errors import ModelsError
from serving.answer import Decision
from serving.browser.contact import NO_SIGNALS, Contact, Signals, contact_of, own_cookie
from serving.decision import Ask, decide
from serving.errors import NotReady, RequestRefused, ServingError
from serving.guard.access import Caller, identify, own_site
from serving.guard.disclosure import Disclosure
from serving.guard.gate import Gate
from serving.guard.room import Room
from serving.live_model import LiveModel, load_champion
from serving.members import Members, read_members_now
from serving.metrics import ServingMetrics
from serving.requests import DecisionRequest
from serving.settings import ServingSettings, read_serving_settings
from serving.stopwatch import Stopwatch
from serving.token import TokenSigner
from serving.upkeep import keep_up
from serving.view import State, View, make_view, read_state
from serving.watcher import keep_watcher
from serving.writer import ActivityWriter, Delivery, Written
from storage.activity_cookie import ActivityCookie, BadCookie
from storage.catalogue import MEMBER_TABLES
from storage.champions import Champion
from storage.database import Connection, Database, open_database
from storage.errors import DatabaseUnavailable, StorageError
from storage.reader import ConsumerReader, ConsumerRecord, Wanted
from storage.schema import check_schema
from storage.settings import Settings, read_settings

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

# A large catalogue takes its time, and nobody waits for it.
_REFRESH_TIMEOUT_S = 60.0
_SETTLE_S = 0.05
_SWITCH_S = 0.0001


class Runtime:
    """The state of one worker; made without I/O, brought to life by `open` inside the serving loop."""

    def __init__(self) -> None:
        self._settings: Settings | None = None
        self._limits: ServingSettings | None = None
        self.gate: Gate | None = None
        self._database: Database | None = None
        self._reader: ConsumerReader | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._writer: ActivityWriter | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()
        self._tried = asyncio.Event()
        self._view: View | None = None
        self._members: Members | None = None
        self._members_changed = asyncio.Event()
        self._why_not = "the service is starting"
        self._refused: str | None = None
        self._decisions, self._calls = Room("decisions", 0), Room("calls", 0)

    @cached_property
    def metrics(self) -> ServingMetrics:
        """The counters of this worker; made when first used, for they may live in files."""
        return ServingMetrics()

    async def open(
        self,
        *,
        environ: Mapping[str, str] = os.environ,
        worker_index: int | None = 1,
        patience_s: float = 10.0,
    ) -> None:
        """Follow the database; returns after the first try, at most `patience_s` later, well or not."""
        # A decision's products are small: handing them to threads takes longer than computing them.
        threadpool_limits(1, user_api="blas")
        # While a thread makes the next view, each request would wait 5 ms several times for its turn.
        sys.setswitchinterval(_SWITCH_S)
        self._settings = read_settings(environ)
        self._limits = read_serving_settings(environ)
        self.gate = Gate(self._limits)
        self._decisions = Room("decisions", self._limits.max_in_flight)
        self._calls = Room("calls", self._limits.max_in_flight)
        self._threads = ThreadPoolExecutor(self._limits.write_connections + 1, thread_name_prefix="tailor-db")
        self._writer = ActivityWriter(self.run_own, n_writers=self._limits.write_connections)
        self._tasks.append(asyncio.create_task(self._follow(), name="follow the database"))
        self._tasks.append(asyncio.create_task(self._follow_members(), name="follow keys"))
        with suppress(TimeoutError):
            await asyncio.wait_for(self._tried.wait(), patience_s)
        # Only now, so that its import does not compete with a start; and once for all the workers
        # of a machine.
        if worker_index in (None, 1):
            if self._limits.upkeep_s:
                tidying = keep_up(environ, every_s=self._limits.upkeep_s)
                self._tasks.append(asyncio.create_task(tidying, name="tidy up"))
            if self._limits.watch_champion:
                watching = keep_watcher(environ)
                self._tasks.append(asyncio.create_task(watching, name="keep the champion watcher"))

    async def close(self) -> None:
        """Stop following, finish what is being written, let go of the connections."""
        self.metrics.flush()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        await self._disconnect()
        if self._threads is not None:
            self._threads.shutdown(wait=True)

    @property
    def limits(self) -> ServingSettings:
        """The settings of serving."""
        if self._limits is None:
            raise NotReady(self._why_not)
        return self._limits

    @property
    def view(self) -> View:
        """What decisions are made from now; `NotReady` while nothing was ever read."""
        if self._view is None:
            raise NotReady(self._why_not)
        return self._view

    @property
    def why_not(self) -> str:
        """Why there is nothing to decide from yet."""
        return self._why_not

    @property
    def log_every(self) -> int:
        """Of so many decisions one is logged; 0: none is."""
        return 0 if self._limits is None else self._limits.log_every

    @property
    def retry_after_s(self) -> int:
        """When to ask again."""
        return 2 if self._limits is None else self._limits.retry_after_s

    @property
    def ready(self) -> bool:
        """Whether decisions can be made at all."""
        return self._view is not None

    async def run(self, work: Callable[[Connection], Result]) -> Result:
        """Do what a call asks of the database in one transaction, in a thread; returns after the commit.

        Raises
        ------
        Busy : too many calls wait for that already.
        NotReady, DatabaseUnavailable : there is no database now, or it did not answer in time.
        """
        with self._calls:
            return await self.run_own(work)

    async def run_own(
        self, work: Callable[[Connection], Result], *, timeout_s: float | None = None
    ) -> Result:
        """The same for what the service itself needs, which is never turned away."""
        database, threads = self._database, self._threads
        if database is None or threads is None:
            raise NotReady(self._why_not)
        limit_s = timeout_s or self.limits.write_timeout_s

        def transact() -> Result:
            with database.connection() as connection:
                # The thread must come back too, a little after nobody waits for it any more.
                connection.execute(f"SET LOCAL statement_timeout = {int(limit_s * 1000) + 500}")
                return work(connection)

        try:
            async with asyncio.timeout(limit_s):
                return await asyncio.get_running_loop().run_in_executor(threads, transact)
        except TimeoutError as error:
            raise DatabaseUnavailable(
                f"the database did not finish within {limit_s:g} s; try again"
            ) from error

    async def store(self, delivery: Delivery) -> list[Written]:
        """Make activity durable; says of each event what became of it.

        Raises
        ------
        Busy, NotReady, DatabaseUnavailable : as for `run`.
        """
        writer, limit_s = self._writer, self.limits.write_timeout_s
        if writer is None:
            raise NotReady(self._why_not)
        started = perf_counter()
        try:
            with self._calls:
                async with asyncio.timeout(limit_s):
                    written = await writer.write(delivery)
        except TimeoutError as error:
            raise DatabaseUnavailable(
                f"the database did not finish within {limit_s:g} s; try again"
            ) from error
        if self.metrics.sampled("store"):
            self.metrics.took("store", perf_counter() - started)
        return written

    def identify(self, headers: Mapping[str, str]) -> Caller:
        """Return who is asking, or refuse: see `serving.guard.access`."""
        started = perf_counter()
        caller = identify(headers, self.view.catalogue)
        if self.metrics.sampled("auth"):
            self.metrics.took("auth", perf_counter() - started)
        return caller

    async def decide(
        self, caller: Caller, request: DecisionRequest, signals: Signals = NO_SIGNALS
    ) -> Decision:
        """Answer one request for a promotion: read what may be used of the consumer, then decide."""
        view = self.view
        own_site(caller, request.site_id, view.catalogue)
        if request.n > self.limits.max_promotions:
            raise RequestRefused(f"n is {request.n}; ask for at most {self.limits.max_promotions} promotions")
        contact = contact_of(
            request.named,
            caller=caller,
            catalogue=view.catalogue,
            signals=signals,
            cookie=self.cookie(signals, request.site_id, view),
        )
        with self._decisions:
            started = perf_counter()
            record = await self._read(contact, request.site_id, view)
            read_s = perf_counter() - started
        ask = Ask(
            site_id=request.site_id,
            placement=request.placement,
            n=request.n,
            now=datetime.now(UTC),
            decision_id=secrets.token_hex(16),
            disclosure=Disclosure(caller, view.catalogue.members, self.limits.min_consumers),
            max_reasons=self.limits.max_reasons,
            names_consumer=caller.key_kind == "secret",
            why_impersonal=contact.why_not,
        )
        watch = Stopwatch(view.signer) if self.metrics.sampled("decide") else None
        decision = decide(
            ask,
            record,
            shelf=view.shelf(request.site_id),
            model=view.model,
            signer=view.signer if watch is None else watch.signer,
            on_ranked=None if watch is None else watch.ranked,
        )
        if watch is not None:
            watch.tell(self.metrics, read_s=read_s)
        version = "none" if decision.model is None else decision.model.version
        self.metrics.count_decision(decision.strategy, version)
        return decision

    def cookie(self, signals: Signals, site_id: str, view: View) -> ActivityCookie | None:
        """The site's activity cookie, if it came along; what cannot be believed is counted."""
        try:
            return own_cookie(signals, site_id, seal=view.seals.cookie, now=datetime.now(UTC))
        except BadCookie as error:
            self.metrics.cookies_refused.labels(error.fault).inc()
            return None

    async def _read(self, contact: Contact, site_id: str, view: View) -> ConsumerRecord:
        reader = self._reader
        if reader is None:
            raise NotReady(self._why_not)
        if contact.identity is None:
            return ConsumerRecord("")
        limit = 1 if view.model is None else view.model.bundle.weights.max_events_per_consumer
        without = view.catalogue.members.unusable.get(site_id, ())
        return await reader.read_consumer(
            Wanted(contact.identity, site_id, contact.purposes, without), limit=limit
        )

    async def _follow(self) -> None:
        """Keep the view as fresh as the database is; whatever happens there, try again."""
        while True:
            try:
                await self._connect()
                await self._refresh_for_ever()
            except (StorageError, OSError) as error:
                if str(error) != self._why_not:
                    logger.warning("cannot follow the database, trying again: %s", error)
                self._why_not = str(error)
            except Exception:
                logger.exception("the view could not be made, trying again")
                self._why_not = "the view could not be made; the server's log says why"
            self._tried.set()
            await asyncio.sleep(self.limits.reconnect_s)

    async def _connect(self) -> None:
        if self._database is None:
            settings, limits = self._settings, self.limits
            if settings is None:
                raise NotReady(self._why_not)
            # Starting the embedded server takes a second.
            self._database = await asyncio.to_thread(
                open_database,
                settings,
                max_size=limits.write_connections + 1,
                timeout_s=limits.write_timeout_s,
            )
        await asyncio.to_thread(check_schema, self._database)
        if self._reader is None:
            reader = ConsumerReader()
            await reader.open(
                self._database.url,
                max_size=self.limits.read_connections,
                timeout_s=self.limits.read_timeout_s,
            )
            self._reader = reader
            self._tasks.append(asyncio.create_task(reader.listen(self._note), name="listen for changes"))

    async def _disconnect(self) -> None:
        reader, self._reader = self._reader, None
        database, self._database = self._database, None
        if reader is not None:
            await reader.close()
        if database is not None:
            await asyncio.to_thread(database.close)

    def _note(self, table: str | None) -> None:
        logger.debug("changed: %s", table or "perhaps anything")
        self._changed.set()
        if table is None or table in MEMBER_TABLES:
            self._members_changed.set()

    async def _follow_members(self) -> None:
        """Take up keys, subscribers and sites at once, while the rest of a change may still be read."""
        while True:
            await self._members_changed.wait()
            self._members_changed.clear()
            try:
                self._members = await self.run_own(read_members_now)
            except (StorageError, ServingError, OSError) as error:
                # The loop that follows everything has said so already.
                logger.debug("cannot read the keys, trying again: %s", error)
                await asyncio.sleep(self.limits.reconnect_s)
                self._members_changed.set()
            else:
                if self._view is not None:
                    self._view = self._view.with_members(self._members)

    async def _refresh_for_ever(self) -> None:
        while True:
            self._changed.clear()
            await self._refresh()
            self._tried.set()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), self.limits.refresh_s)
            # A change is seldom alone: the rest of its transaction's notes arrive with it.
            await asyncio.sleep(_SETTLE_S)

    async def _refresh(self) -> None:
        """Look at the database, and swap the view if it has changed; the work is done in a thread."""
        before = self._view
        known = None if before is None else before.state
        state = await self.run_own(functools.partial(read_state, known=known), timeout_s=_REFRESH_TIMEOUT_S)
        # A champion that was refused may have become whole meanwhile, on disk.
        if before is not None and before.model_problem is None and state.same_as(before.state):
            view = dataclasses.replace(before, state=state)
        else:
            view = await asyncio.to_thread(self._next_view, state)
            # Long-lived from now on: the collector need not walk over every promotion again and again.
            gc.unfreeze()
            gc.freeze()
        self._view = view.with_members(self._members)
        self.metrics.catalogue_read.set(state.read_at.timestamp())

    def _next_view(self, state: State) -> View:
        model = None if self._view is None else self._view.model
        problem = None
        entry = state.champion
        if entry is None:
            model = None
        elif model is None or (model.info.version, model.info.digest) != (entry.version, entry.digest):
            model, problem = self._take_over(entry, model)
        signer = TokenSigner(state.secrets, lifetime=timedelta(days=self.limits.token_days))
        return make_view(state, model, signer=signer, model_problem=problem, before=self._view)

    def _take_over(self, entry: Champion, running: LiveModel | None) -> tuple[LiveModel | None, str | None]:
        settings = self._settings
        bundles = Path() if settings is None else settings.home / "bundles"
        try:
            model = load_champion(entry, bundles=bundles)
        except ModelsError as error:
            kept = "no model" if running is None else f"version {running.info.version}"
            problem = f"champion {entry.version} is refused ({error}); {kept} serves on"
            if problem != self._refused:
                logger.warning("%s", problem)
                self.metrics.swaps.labels("refused").inc()
            self._refused = problem
            return running, problem
        logger.info(
            "champion %s (%s, %s items) serves", model.info.version, model.info.kind, len(model.bundle.items)
        )
        self.metrics.swaps.labels("taken over").inc()
        return model, None
