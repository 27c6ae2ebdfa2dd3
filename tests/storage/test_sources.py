import asyncio
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pyarrow.parquet as pq
import pytest

from features.snapshot import take_snapshot
from storage.activity import append_events
from storage.errors import InvalidValue, UnknownSource
from storage.reader import ConsumerReader, Wanted
from storage.schema import migrate
from storage.sources import Terms, get_source, list_sources, register_source, withdraw_source

TODAY = datetime.now(UTC).date()
TERMS = Terms(
    vendor="Data AG",
    licence="one year",
    legal_basis="consent",
    price=Decimal("1250.50"),
    currency="EUR",
    acquired_on=date(2026, 1, 1),
    expires_on=TODAY + timedelta(days=2),
)


def served(database):
    async def read():
        reader = ConsumerReader()
        await reader.open(database.url)
        record = await reader.read_consumer(Wanted("ann", "books"), limit=10)
        await reader.close()
        return {event[1] for event in record.events}

    return asyncio.run(read())


def learned(database, folder):
    snapshot = take_snapshot(database, folder)
    return set(pq.read_table(snapshot.path / "activity.parquet")["item_id"].to_pylist())


@pytest.fixture
def two_sources(database, make_event):
    own, bought = (
        make_event(item_id="own", event_id="1"),
        make_event(item_id="bought", event_id="2", source="v"),
    )
    with database.connection() as connection:
        register_source(connection, "v", TERMS)
        append_events(connection, [own, bought])
    return database


def test_what_is_not_stated_again_stays_as_it_was(database):
    with database.connection() as connection:
        register_source(connection, "v", TERMS)
        source = register_source(connection, "v", Terms(licence="two years"))
        assert (source.licence, source.vendor, source.price) == ("two years", "Data AG", Decimal("1250.50"))
        assert [one.source_id for one in list_sources(connection)] == ["v"]


@pytest.mark.parametrize(
    "terms",
    [
        Terms(price=Decimal(-1)),
        Terms(currency="euro"),
        Terms(acquired_on=date(2026, 2, 1), expires_on=date(2026, 1, 1)),
    ],
)
def test_terms_that_make_no_sense_are_refused(database, terms):
    with database.connection() as connection, pytest.raises(InvalidValue):
        register_source(connection, "v", terms)


def test_an_unknown_source_is_refused_and_the_known_ones_named(two_sources):
    with two_sources.connection() as connection, pytest.raises(UnknownSource, match="known sources: v"):
        withdraw_source(connection, "w")


def test_a_withdrawn_source_leaves_decisions_and_snapshots_at_once(two_sources, tmp_path):
    assert served(two_sources) == {"own", "bought"}
    with two_sources.connection() as connection:
        source = withdraw_source(connection, "v", reason="the contract ended")
    assert (source.usable, source.events, source.withdrawn_reason) == (False, 1, "the contract ended")
    assert served(two_sources) == {"own"}
    assert learned(two_sources, tmp_path) == {"own"}
    with two_sources.connection() as connection:
        assert withdraw_source(connection, "v", reason="again") == source


@pytest.mark.parametrize(("days", "usable"), [(0, True), (-1, False)])
def test_a_source_is_used_up_to_its_last_day(two_sources, tmp_path, days, usable):
    with two_sources.connection() as connection:
        register_source(connection, "v", Terms(expires_on=TODAY + timedelta(days=days)))
        assert get_source(connection, "v").usable is usable
    wanted = {"own", "bought"} if usable else {"own"}
    assert served(two_sources) == wanted
    assert learned(two_sources, tmp_path) == wanted


def test_a_database_of_the_first_schema_is_upgraded_with_its_data(
    empty_database_url, monkeypatch, make_event
):
    from alembic import command

    from storage.database import Database

    upgrade = command.upgrade
    with Database(empty_database_url) as database:
        monkeypatch.setattr(command, "upgrade", lambda config, _: upgrade(config, "0001"))
        migrate(database)
        monkeypatch.undo()
        with database.connection() as connection:
            assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
            connection.execute("INSERT INTO source (source_id, legal_basis) VALUES ('v', 'contract')")
            append_events(connection, [make_event(source="v", item_id="old")])
            connection.execute("INSERT INTO quarantine (source_id, reason) VALUES ('v', 'bad')")
        migrate(database)
        with database.connection() as connection:
            source = get_source(connection, "v")
            kept = connection.execute("SELECT intake FROM quarantine").fetchall()
        assert (source.legal_basis, source.events, source.usable) == ("contract", 1, True)
        assert kept == [("activity",)]
        assert served(database) == {"old"}
