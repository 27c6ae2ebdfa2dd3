"""What several tests of storage need."""

from datetime import UTC, datetime

import pytest

from storage.events import BOTH_PURPOSES, parse_event

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def connection(database):
    """A connection whose transaction ends with the test."""
    with database.connection() as connection:
        yield connection


@pytest.fixture
def make_event():
    """Makes a valid event; what is given replaces the defaults."""

    def make(**fields):
        consent = fields.pop("consent", sorted(BOTH_PURPOSES))
        source = fields.pop("source", "test")
        raw = {
            "consumer_id": "ann",
            "site_id": "books",
            "event_id": "e1",
            "kind": "page_view",
            "item_id": "b1",
        }
        event = parse_event(
            {**raw, "consent": consent, **fields}, source=source, default_consent=None, now=NOW
        )
        assert not hasattr(event, "reason"), event
        return event

    return make
