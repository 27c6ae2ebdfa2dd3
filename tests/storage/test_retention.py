"""What is kept goes when it is old enough, and then what nothing is left under."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

import tailor
from storage import retention
from storage.activity import append_events, quarantine
from storage.consent import state_consent
from storage.consumers import resolve
from storage.database import Database
from storage.errors import DatabaseBusy
from storage.events import Rejection
from storage.identity import join, list_merges
from storage.retention import is_sweep_due, list_sweeps, sweep
from storage.upkeep import upkeep

NOW = datetime.now(UTC)
LONG_AGO, LATELY = NOW - timedelta(days=800), NOW - timedelta(days=700)
TABLES = ("activity", "audience_member", "consent", "identifier", "merge", "quarantine")


@pytest.fixture
def store(database: Database, make_event):
    """Stores events, each as (identifier, when it occurred or None, when it was received)."""

    def store(*events: tuple[str, datetime | None, datetime]) -> None:
        with database.connection() as connection:
            for number, (identifier, occurred_at, received_at) in enumerate(events):
                one = make_event(
                    consumer_id=None,
                    identifier=identifier,
                    event_id=str(number),
                    occurred_at=None if occurred_at is None else occurred_at.isoformat(),
                )
                append_events(connection, [one])
                connection.execute(
                    "UPDATE activity SET received_at = %s WHERE (identifier, event_id) = (%s, %s)",
                    (received_at, identifier, str(number)),
                )

    return store


def left(database: Database, query: str) -> list[str]:
    with database.connection() as connection:
        return sorted(row[0] for row in connection.execute(query))


def grow_old(database: Database) -> None:
    """Everything but activity becomes as old as can be."""
    with database.connection() as connection:
        connection.execute("UPDATE identifier SET created_at = %s", (LONG_AGO,))
        connection.execute("UPDATE consent SET stated_at = %s", (LONG_AGO,))
        connection.execute("UPDATE merge SET at = %s", (LONG_AGO,))
        connection.execute("UPDATE quarantine SET received_at = %s", (LONG_AGO,))


def test_activity_is_as_old_as_it_occurred_or_was_received(database, store):
    store(
        ("occurred long ago", LONG_AGO, NOW),
        ("occurred lately", LATELY, LONG_AGO),
        ("received long ago", None, LONG_AGO),
        ("received lately", None, LATELY),
    )
    swept = sweep(database, months=25)
    assert swept.rows_deleted == {**dict.fromkeys(TABLES, 0), "activity": 2}
    assert left(database, "SELECT identifier FROM activity") == ["occurred lately", "received lately"]


def test_counting_tells_what_deleting_would_do_and_does_nothing(database, store, monkeypatch):
    monkeypatch.setattr(retention, "PAGES_AT_ONCE", 1)
    store(*((f"v{n}", LONG_AGO if n % 2 else LATELY, NOW) for n in range(200)))
    with database.connection() as connection:
        quarantine(connection, [Rejection("bad", "s")])
        for n in range(4):
            state_consent(
                connection, ("site:books", f"v{n}"), site_id="books", purposes=["same_site"], now=NOW
            )
            join(connection, ("site:books", f"v{n}"), ("login", f"h{n}"), how="login")
            connection.execute(
                "INSERT INTO audience_member VALUES (%s, 'vip')", (resolve(connection, "login", f"h{n}"),)
            )
    grow_old(database)
    before = {table: left(database, f"SELECT t::text FROM {table} t") for table in TABLES}
    steps = []
    counted = sweep(database, months=25, dry_run=True, progress=lambda *step: steps.append(step))
    assert {table: left(database, f"SELECT t::text FROM {table} t") for table in TABLES} == before
    assert (counted.sweep_id, list_sweeps_of(database)) == (None, [])
    pages = [step for step in steps if step[0] == "activity"]
    assert pages == [("activity", page, len(pages)) for page in range(1, len(pages) + 1)]
    assert len(pages) > 1
    done = sweep(database, months=25)
    assert done.rows_deleted == counted.rows_deleted
    # Of two of the consumers with a login nothing is left: neither visitor id, login nor the id before.
    assert done.rows_deleted == {
        "activity": 100, "quarantine": 1, "consent": 2, "audience_member": 2, "merge": 2, "identifier": 104,
    }  # fmt: skip
    assert set(sweep(database, months=25).rows_deleted.values()) == {0}
    assert [one.rows_deleted["activity"] for one in list_sweeps_of(database)] == [0, 100]


def list_sweeps_of(database: Database) -> list[retention.Sweep]:
    with database.connection() as connection:
        return list_sweeps(connection)


def test_a_login_stays_as_long_as_its_consumer_is_seen_anywhere(database, store):
    store(("old phone", LONG_AGO, NOW), ("new phone", LATELY, NOW))
    with database.connection() as connection:
        for phone in ("old phone", "new phone"):
            join(connection, ("site:books", phone), ("login", "h"), how="login")
    grow_old(database)
    sweep(database, months=25)
    assert left(database, "SELECT identifier FROM identifier WHERE namespace <> 'network'") == [
        "h",
        "new phone",
    ]
    with database.connection() as connection:
        assert [merge.identifiers for merge in list_merges(connection)] == [(("site:books", "new phone"),)]


def test_what_is_new_stays_though_nothing_is_under_it_yet(database):
    with database.connection() as connection:
        join(connection, ("site:books", "v"), ("login", "h"), how="login")
        state_consent(connection, ("site:books", "v"), site_id="books", purposes=[], now=NOW)
        connection.execute("INSERT INTO audience_member VALUES ('not seen yet', 'vip')")
    assert set(sweep(database, months=25).rows_deleted.values()) == {0}


def test_a_consent_stays_with_the_activity_it_limits(database, store):
    store(("here", LATELY, NOW))
    with database.connection() as connection:
        for site in ("books", "kitchen"):
            state_consent(connection, ("site:books", "here"), site_id=site, purposes=["same_site"], now=NOW)
    grow_old(database)
    sweep(database, months=25)
    assert left(database, "SELECT site_id FROM consent") == ["books"]


def test_a_sweep_is_due_once_a_day_and_one_sweeps_at_a_time(database):
    with database.connection() as connection:
        assert is_sweep_due(connection)
    sweep(database, months=25)
    with database.connection() as connection:
        assert not is_sweep_due(connection)
        connection.execute("UPDATE retention_sweep SET at = at - interval '1 day'")
        assert is_sweep_due(connection)
    with upkeep(database), pytest.raises(DatabaseBusy):
        sweep(database, months=25)


def test_the_operator_sweeps_and_lists(database, store, tmp_path, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", database.url)
    monkeypatch.setenv("TAILOR_HOME", str(tmp_path))
    monkeypatch.setenv("TAILOR_RETENTION_MONTHS", "12")
    store(("v", LATELY, NOW))

    def run(*words: str) -> object:
        done = CliRunner().invoke(tailor.app, ["retention", *words, "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    assert run("sweep", "--dry-run")["rows_deleted"]["activity"] == 1
    assert run("list") == []
    told = run("sweep")
    assert told["rows_deleted"]["activity"] == 1
    assert run("list") == [told]
