"""A table is written anew under the hands of those who use it."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from storage import rewrite as module
from storage.activity import append_events, quarantine
from storage.database import Database
from storage.errors import DatabaseBusy
from storage.events import Rejection
from storage.reader import ConsumerReader, Wanted
from storage.residue import PERSONAL
from storage.rewrite import rewrite

DESCRIBE = """
SELECT 'column', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull::text, a.attidentity::text,
       pg_get_expr(d.adbin, d.adrelid), pg_get_serial_sequence(%(table)s, a.attname),
       col_description(a.attrelid, a.attnum)
FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = %(table)s::regclass AND a.attnum > 0
UNION ALL
SELECT 'index', indexname, indexdef, '', '', '', '', '' FROM pg_indexes WHERE tablename = %(table)s
UNION ALL
SELECT 'constraint', conname, pg_get_constraintdef(oid), '', '', '', '', '' FROM pg_constraint
WHERE conrelid = %(table)s::regclass AND contype <> 'n'
UNION ALL
SELECT 'view', viewname, definition, '', '', '', '', '' FROM pg_views WHERE schemaname = 'public'
UNION ALL
SELECT 'table', relname, relkind::text, '', '', '', '', '' FROM pg_class
WHERE relnamespace = 'public'::regnamespace
UNION ALL
SELECT 'function', proname, '', '', '', '', '', '' FROM pg_proc WHERE pronamespace = 'public'::regnamespace
ORDER BY 1, 2, 3
"""


@pytest.fixture
def filled(database: Database, make_event: Callable[..., object]) -> Database:
    with database.connection() as connection:
        append_events(connection, [make_event(consumer_id=f"c{n % 50}", event_id=str(n)) for n in range(500)])
        quarantine(connection, [Rejection("bad", "s", payload=str(n)) for n in range(5)])
        connection.execute("INSERT INTO audience_member SELECT 'c' || n, 'vip' FROM generate_series(1, 9) n")
    return database


@pytest.mark.parametrize("table", PERSONAL)
def test_the_table_is_as_it_was_in_another_file(filled: Database, table: str) -> None:
    with filled.session() as session:
        before = session.execute(DESCRIBE, {"table": table}).fetchall()
        rows = session.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
        file = session.execute("SELECT pg_relation_filepath(%s)", (table,)).fetchone()
        rewrite(filled, table)
        assert session.execute(DESCRIBE, {"table": table}).fetchall() == before
        assert session.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() == rows
        assert session.execute("SELECT pg_relation_filepath(%s)", (table,)).fetchone() != file
        rewrite(filled, table)
        assert session.execute(DESCRIBE, {"table": table}).fetchall() == before


def test_indexes_of_any_kind_stay(filled: Database) -> None:
    with filled.session() as session:
        session.execute("CREATE UNIQUE INDEX once ON activity (event_id) WHERE kind = 'purchase'")
        session.execute(
            "CREATE INDEX by_day ON activity ((timezone('UTC', received_at)::date)) INCLUDE (kind)"
        )
        before = session.execute(DESCRIBE, {"table": "activity"}).fetchall()
        rewrite(filled, "activity")
        assert session.execute(DESCRIBE, {"table": "activity"}).fetchall() == before


def test_numbers_go_on_where_they_were(filled: Database) -> None:
    with filled.session() as session:
        session.execute("DELETE FROM quarantine")
        rewrite(filled, "quarantine")
    with filled.connection() as connection:
        quarantine(connection, [Rejection("bad", "s")])
        assert connection.execute("SELECT quarantine_id FROM quarantine").fetchall() == [(6,)]


@contextmanager
def working(work: Callable[[int], None], *, threads: int) -> Iterator[None]:
    """Threads that work until the block ends; what they raise is raised."""
    stop, errors = threading.Event(), []

    def run(number: int) -> None:
        try:
            while not stop.is_set():
                work(number)
        except Exception as error:  # told below
            errors.append(error)

    crew = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for one in crew:
        one.start()
    try:
        yield
    finally:
        stop.set()
        for one in crew:
            one.join()
    assert errors == []


def test_what_changes_meanwhile_is_changed_and_nobody_fails(
    filled: Database, make_event: Callable[..., object]
) -> None:
    expected: dict[str, bool] = {}

    def write(number: int) -> None:
        event_id = f"{number}-{len(expected)}"
        with Database(filled.url) as mine:
            for step in range(20):
                one = f"{event_id}-{step}"
                with mine.connection() as connection:
                    append_events(connection, [make_event(consumer_id=f"w{number}", event_id=one)])
                with mine.connection() as connection:
                    if step % 3 == 0:
                        connection.execute("DELETE FROM activity WHERE event_id = %s", (one,))
                    elif step % 3 == 1:
                        connection.execute(
                            "UPDATE activity SET cross_site = false WHERE event_id = %s", (one,)
                        )
                    assert connection.execute("SELECT count(*) >= 500 FROM usable_activity").fetchone() == (
                        True,
                    )
                if step % 3:
                    expected[one] = step % 3 == 2

    async def read() -> None:
        reader = ConsumerReader()
        await reader.open(filled.url)
        try:
            for _ in range(200):
                record = await reader.read_consumer(Wanted("c1", "books"), limit=100)
                assert len(record.events) == 10
        finally:
            await reader.close()

    with working(write, threads=2), working(lambda _: asyncio.run(read()), threads=1):
        for _ in range(5):
            rewrite(filled, "activity")
            rewrite(filled, "identifier")
    with filled.connection() as connection:
        found = connection.execute(
            "SELECT event_id, cross_site FROM activity WHERE identifier LIKE 'w%'"
        ).fetchall()
        known = connection.execute("SELECT count(*) FROM identifier WHERE identifier LIKE 'w%'").fetchone()
    assert dict(found) == expected
    assert len(found) == len(expected) > 100
    assert known == (2,)


def test_a_transaction_that_sees_one_moment_sees_all_of_it(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LONGEST_TRANSACTION", "100ms")
    monkeypatch.setattr(module, "TRIES", 2)
    with filled.connection() as backup:
        backup.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        backup.execute("SELECT 1")
        with pytest.raises(DatabaseBusy):
            rewrite(filled, "activity")
        assert backup.execute("SELECT count(*) FROM activity").fetchone() == (500,)


def test_what_an_operator_added_to_a_table_stays(filled: Database) -> None:
    with filled.session() as session:
        session.execute("ALTER TABLE activity SET (autovacuum_vacuum_scale_factor = 0.01)")
        session.execute("CREATE MATERIALIZED VIEW busy AS SELECT identifier FROM identifier")
        before = session.execute(
            "SELECT pg_relation_filepath('activity'), 'activity'::regclass::oid"
        ).fetchone()
        rewrite(filled, "activity")
        rewrite(filled, "identifier")
        after = session.execute(
            "SELECT pg_relation_filepath('activity'), 'activity'::regclass::oid"
        ).fetchone()
        assert after[0] != before[0]
        assert after[1] == before[1]
        assert session.execute("SELECT reloptions FROM pg_class WHERE relname = 'activity'").fetchone() == (
            ["autovacuum_vacuum_scale_factor=0.01"],
        )
        session.execute("REFRESH MATERIALIZED VIEW busy")
        assert (
            session.execute("SELECT relname FROM pg_class WHERE relname ~ '_(next|gone|changed)$'").fetchall()
            == []
        )


def test_a_table_that_is_in_use_all_the_time_stays_as_it_is(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TRIES", 2)
    monkeypatch.setattr(module, "PAUSE_S", 0.0)
    with filled.session() as session, filled.connection() as importer:
        before = session.execute(DESCRIBE, {"table": "activity"}).fetchall()
        importer.execute("LOCK TABLE activity IN ROW EXCLUSIVE MODE")
        with pytest.raises(DatabaseBusy, match="the table activity is in use"):
            rewrite(filled, "activity")
        assert session.execute(DESCRIBE, {"table": "activity"}).fetchall() == before


def test_what_an_interrupted_attempt_left_is_removed(filled: Database) -> None:
    with filled.session() as session:
        before = session.execute(DESCRIBE, {"table": "activity"}).fetchall()
        module._Copy(session, "activity").begin()
        assert session.execute(DESCRIBE, {"table": "activity"}).fetchall() != before
        rewrite(filled, "activity")
        assert session.execute(DESCRIBE, {"table": "activity"}).fetchall() == before
