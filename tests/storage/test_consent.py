from datetime import UTC, datetime

import pytest

from storage.activity import append_events
from storage.consent import limit_to_consent, state_consent, stated_consents
from storage.events import ActivityEvent, Rejection

NOW = datetime(2026, 6, 1, tzinfo=UTC)
VISITOR = ("site:books", "v1")
BOTH = ("same_site", "cross_site")


@pytest.fixture
def connection(database):
    with database.connection() as connection:
        yield connection


def event(item, *, visitor="v1", same_site=True, cross_site=True):
    return ActivityEvent(
        namespace="site:books",
        identifier=visitor,
        site_id="books",
        event_id=item,
        kind="page_view",
        source_id="test",
        same_site=same_site,
        cross_site=cross_site,
        item_id=item,
    )


def kept(connection):
    return connection.execute(
        "SELECT identifier, item_id, same_site, cross_site FROM activity ORDER BY 1, 2"
    ).fetchall()


def test_the_last_word_counts(connection):
    for purposes in (BOTH, (), ("same_site",)):
        state_consent(connection, VISITOR, site_id="books", purposes=purposes, now=NOW)
    [consent] = stated_consents(connection, [VISITOR]).values()
    assert (consent.purposes, consent.stated_at) == (["same_site"], NOW)


@pytest.mark.parametrize(
    ("purposes", "left", "numbers"),
    [
        (BOTH, [("v1", "all", True, True), ("v1", "own", True, False)], (0, 0)),
        (("same_site",), [("v1", "all", True, False), ("v1", "own", True, False)], (0, 1)),
        (("cross_site",), [("v1", "all", False, True)], (1, 1)),
        ((), [], (2, 0)),
    ],
)
def test_what_is_withdrawn_is_taken_back_in_what_was_stored(connection, purposes, left, numbers):
    others = event("all", visitor="v2")
    append_events(connection, [event("all"), event("own", cross_site=False), others])
    done = state_consent(connection, VISITOR, site_id="books", purposes=purposes, now=NOW)
    assert (done.deleted, done.limited) == numbers
    assert kept(connection) == [*left, ("v2", "all", True, True)]


def test_no_event_counts_for_more_than_was_agreed_to(connection):
    state_consent(connection, VISITOR, site_id="books", purposes=["same_site"], now=NOW)
    limited, stranger = limit_to_consent(connection, [event("b1"), event("b1", visitor="v2")])
    assert (limited.same_site, limited.cross_site) == (True, False)
    assert (stranger.same_site, stranger.cross_site) == (True, True)


def test_what_only_a_cookie_vouches_for_needs_a_word(connection):
    state_consent(connection, VISITOR, site_id="books", purposes=BOTH, now=NOW)
    events = [event("b1"), event("b1", visitor="v2"), event("b2", visitor="v3")]
    agreed, refused, by_a_server = limit_to_consent(connection, events, needs_word={0, 1})
    assert (agreed, by_a_server) == (events[0], events[2])
    assert refused.reason == "no consent on record"


def test_a_withdrawal_of_somebody_unknown_leaves_nothing(connection):
    state_consent(connection, VISITOR, site_id="books", purposes=[], now=NOW, even_of_strangers=False)
    assert not stated_consents(connection, [VISITOR])
    append_events(connection, [event("b1")])
    done = state_consent(connection, VISITOR, site_id="books", purposes=[], now=NOW, even_of_strangers=False)
    assert (done.deleted, len(stated_consents(connection, [VISITOR]))) == (1, 1)


def test_after_a_withdrawal_nothing_is_stored_until_there_is_a_new_word(connection):
    state_consent(connection, VISITOR, site_id="books", purposes=[], now=NOW)
    [refused] = limit_to_consent(connection, [event("b1")])
    assert isinstance(refused, Rejection)
    assert refused.reason == "consent withdrawn"
    state_consent(connection, VISITOR, site_id="books", purposes=BOTH, now=NOW)
    assert limit_to_consent(connection, [event("b1")]) == [event("b1")]
