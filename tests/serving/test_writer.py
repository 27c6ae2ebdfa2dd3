"""Activity that waits goes into the database together, and each caller learns of their own."""

import asyncio

import pytest

from serving.writer import ActivityWriter, Delivery
from storage.activity import append_events
from storage.errors import DatabaseUnavailable
from storage.events import ActivityEvent, Rejection


class Transactions:
    """Runs work on a database, one transaction at a time or not at all."""

    def __init__(self, database, *, held=False):
        self.n_under_way = self.n_done = self.most_at_once = 0
        self.error = None
        self.gate = asyncio.Event()
        self._database = database
        if not held:
            self.gate.set()

    async def run(self, work):
        self.n_under_way += 1
        self.most_at_once = max(self.most_at_once, self.n_under_way)
        try:
            await self.gate.wait()
            if self.error is not None:
                raise self.error
            return await asyncio.to_thread(self._transact, work)
        finally:
            self.n_under_way -= 1
            self.n_done += 1

    def _transact(self, work):
        with self._database.connection() as connection:
            return work(connection)


def event(name, *, decision=None):
    return ActivityEvent(
        namespace="network", identifier=f"c{name}", site_id="books", event_id=name, kind="page_view",
        source_id="http:pages", same_site=True, cross_site=True, item_id="b1", decision=decision,
    )  # fmt: skip


def stored(database):
    with database.connection() as connection:
        return sorted(row[0] for row in connection.execute("SELECT event_id FROM activity"))


def quarantined(database):
    with database.connection() as connection:
        return [row[0] for row in connection.execute("SELECT reason FROM quarantine")]


async def write_all(writer, transactions, calls):
    """The first call alone, the others while it is under way."""
    writing = []
    for call in calls:
        writing.append(asyncio.create_task(writer.write(Delivery(call))))
        while not transactions.n_under_way:
            await asyncio.sleep(0)
    await asyncio.sleep(0)
    transactions.gate.set()
    return [told(one) for one in await asyncio.gather(*writing, return_exceptions=True)]


def told(written):
    """What became of each event; an error as it is."""
    return written if isinstance(written, Exception) else [one.status for one in written]


def test_what_waits_goes_in_with_one_transaction_and_everybody_learns_of_their_own(database):
    async def scene():
        transactions = Transactions(database, held=True)
        writer = ActivityWriter(transactions.run, n_writers=1)
        calls = [[event("a")], [event("b"), event("a")], [Rejection("bad", "http:pages")], [event("c")]]
        return await write_all(writer, transactions, calls), transactions

    answers, transactions = asyncio.run(scene())
    assert answers == [["stored"], ["stored", "duplicate"], ["quarantined"], ["stored"]]
    assert transactions.n_done == 2
    assert stored(database) == ["a", "b", "c"]
    assert quarantined(database) == ["bad"]


def test_what_the_database_refuses_of_one_caller_is_no_harm_to_the_others(database):
    async def scene():
        transactions = Transactions(database, held=True)
        writer = ActivityWriter(transactions.run, n_writers=1)
        # jsonb cannot hold NUL.
        calls = [[event("a")], [event("b")], [event("odd", decision={"x": "\0"})], [event("c")]]
        return await write_all(writer, transactions, calls)

    answers = asyncio.run(scene())
    assert [answers[at] for at in (0, 1, 3)] == [["stored"]] * 3
    assert isinstance(answers[2], Exception)
    assert stored(database) == ["a", "b", "c"]


def test_without_a_database_everybody_hears_so_at_once(database):
    async def scene():
        transactions = Transactions(database, held=True)
        transactions.error = DatabaseUnavailable("away")
        writer = ActivityWriter(transactions.run, n_writers=1)
        return await write_all(writer, transactions, [[event("a")], [event("b")], [event("c")]]), transactions

    answers, transactions = asyncio.run(scene())
    assert [type(answer) for answer in answers] == [DatabaseUnavailable] * 3
    assert transactions.n_done == 2


def test_another_connection_helps_when_a_transaction_takes_long(database):
    async def scene():
        transactions = Transactions(database, held=True)
        writer = ActivityWriter(transactions.run, n_writers=2)
        writing = []
        for name in ("a", "b"):
            writing.append(asyncio.create_task(writer.write(Delivery([event(name)]))))
            await asyncio.sleep(0)
        while transactions.n_under_way < 2:
            await asyncio.sleep(0.001)
        transactions.gate.set()
        return [told(one) for one in await asyncio.gather(*writing)], transactions

    answers, transactions = asyncio.run(scene())
    assert answers == [["stored"], ["stored"]]
    assert transactions.most_at_once == 2


def test_who_gave_up_waiting_is_left_out(database):
    async def scene():
        transactions = Transactions(database, held=True)
        writer = ActivityWriter(transactions.run, n_writers=1)
        first = asyncio.create_task(writer.write(Delivery([event("a")])))
        await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(writer.write(Delivery([event("late")])), 0.001)
        transactions.gate.set()
        return told(await first)

    assert asyncio.run(scene()) == ["stored"]
    assert stored(database) == ["a"]


def test_an_event_that_an_unfinished_import_holds_delays_nobody_else(database):
    async def scene(imported):
        transactions = Transactions(database, held=True)
        writer = ActivityWriter(transactions.run, n_writers=2)
        writing = [asyncio.create_task(writer.write(Delivery([event(name)]))) for name in ("held", "b", "c")]
        transactions.gate.set()
        async with asyncio.timeout(20):
            others = await asyncio.gather(*writing[1:])
        imported.commit()
        return [told(one) for one in (await writing[0], *others)]

    with database.connection() as imported:
        append_events(imported, [event("held")])
        assert asyncio.run(scene(imported)) == [["duplicate"], ["stored"], ["stored"]]
