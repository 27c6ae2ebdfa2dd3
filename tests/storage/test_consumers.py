from datetime import UTC, datetime

import pytest

from storage.activity import append_events, quarantine
from storage.consent import state_consent
from storage.consumers import erase, export, link_identifier, resolve
from storage.erasures import list_erasures
from storage.errors import UnknownConsumer
from storage.events import Rejection, derived_consumer_id
from storage.identity import join, list_merges, undo_merge

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def ann(connection, make_event):
    """A consumer with a network id and a linked visitor id; bob is there too."""
    append_events(
        connection,
        [
            make_event(event_id="1"),
            make_event(consumer_id=None, identifier="v1", event_id="2"),
            make_event(consumer_id="bob"),
        ],
    )
    link_identifier(connection, "site:books", "v1", consumer_id="ann")
    connection.execute("INSERT INTO audience_member VALUES ('ann', 'vip'), ('bob', 'vip')")


def test_an_identifier_leads_to_the_consumer_it_is_linked_to(connection, ann):
    assert resolve(connection, "site:books", "v1") == "ann"
    assert resolve(connection, "site:books", "v2") == derived_consumer_id("site:books", "v2")


def test_an_identifier_may_be_linked_before_its_first_event(connection, make_event):
    link_identifier(connection, "login", "hash", consumer_id="ann")
    append_events(connection, [make_event(consumer_id=None, namespace="login", identifier="hash")])
    assert [event["identifier"] for event in export(connection, "ann")["activity"]] == ["hash"]


def test_who_was_merged_is_found_under_both_names(connection, ann):
    assert link_identifier(connection, "network", "bob", consumer_id="ann") == "ann"
    assert link_identifier(connection, "login", "h", consumer_id="bob") == "ann"
    assert export(connection, "bob")["consumer_id"] == "ann"
    assert len(export(connection, "ann")["activity"]) == 3


def test_an_export_has_everything(connection, ann):
    data = export(connection, "ann")
    assert [(row["namespace"], row["identifier"]) for row in data["identifiers"]] == [
        ("network", "ann"),
        ("site:books", "v1"),
    ]
    assert [event["event_id"] for event in data["activity"]] == ["1", "2"]
    assert data["audiences"] == ["vip"]


def test_of_a_stranger_there_is_nothing_to_export(connection):
    with pytest.raises(UnknownConsumer, match="'nobody'"):
        export(connection, "nobody")


def test_erasing_leaves_nothing_of_this_consumer_and_all_of_the_others(connection, ann):
    quarantine(
        connection,
        [
            Rejection("bad", "s", payload='{"identifier": "v1"}'),
            Rejection("bad", "s", payload='{"consumer_id": "annabel"}'),
        ],
    )
    for identity in (("site:books", "v1"), ("network", "bob")):
        state_consent(connection, identity, site_id="books", purposes=["same_site"], now=NOW)
    erasure = erase(connection, "ann", asked_by="a letter")
    assert erasure.rows_deleted == {
        "activity": 2,
        "consent": 1,
        "quarantine": 1,
        "identifier": 2,
        "audience_member": 1,
        "merge": 0,
    }
    for table in ("identifier", "activity", "audience_member", "consent"):
        rows = connection.execute(f"SELECT * FROM {table}").fetchall()
        assert len(rows) == 1
        assert "bob" in rows[0]
    again = erase(connection, "ann")
    assert set(again.rows_deleted.values()) == {0}
    assert [one.asked_by for one in list_erasures(connection)] == ["a letter"]


def test_the_record_of_an_erasure_does_not_tell_who_it_was(connection, ann):
    erase(connection, ("site:books", "v1"))
    [row] = connection.execute("SELECT erasure::text FROM erasure").fetchall()
    assert "v1" not in row[0]
    assert "ann" not in row[0]
    [told] = list_erasures(connection)
    assert (told.consumer_id, told.cleaned_at) == (None, None)


def test_a_consumer_is_erased_by_any_of_their_names(connection, ann):
    assert erase(connection, ("site:books", "v1")).rows_deleted["activity"] == 2
    assert erase(connection, "ann").erasure_id is None


def test_a_refusal_under_a_name_that_nobody_entered_is_erased(connection):
    state_consent(connection, ("site:books", "v9"), site_id="books", purposes=[], now=NOW)
    assert erase(connection, ("site:books", "v9")).rows_deleted["consent"] == 1


def test_merges_that_name_an_erased_consumer_go_even_when_they_were_undone(connection, make_event):
    one, other, third = ("site:books", "v1"), ("login", "h"), ("site:books", "v3")
    merge = join(connection, one, other, how="login")
    join(connection, third, ("login", "h3"), how="login")
    undo_merge(connection, merge.merge_id)
    assert erase(connection, one).rows_deleted["merge"] == 1
    assert [left.identifiers for left in list_merges(connection)] == [(third,)]


def test_who_has_the_same_name_on_another_site_is_somebody_else(connection, ann, make_event):
    append_events(connection, [make_event(consumer_id="v1", event_id="3")])
    connection.execute("INSERT INTO audience_member VALUES ('v1', 'vip')")
    erase(connection, "ann")
    assert export(connection, "v1")["audiences"] == ["vip"]


def test_a_subscriber_erases_what_was_done_on_its_sites(connection, make_event):
    here, there, login = ("site:books", "v1"), ("site:kitchen", "k1"), ("login", "h")
    append_events(
        connection,
        [
            make_event(consumer_id=None, identifier="v1", event_id="1"),
            make_event(consumer_id=None, identifier="k1", site_id="kitchen", event_id="2"),
        ],
    )
    for identity in (here, there):
        join(connection, identity, login, how="login")
        site = identity[0].removeprefix("site:")
        state_consent(connection, identity, site_id=site, purposes=["same_site", "cross_site"], now=NOW)
    connection.execute("INSERT INTO audience_member VALUES (%s, 'vip')", (resolve(connection, *login),))
    quarantine(connection, [Rejection("bad", source, payload='"v1"') for source in ("books", "kitchen")])

    erasure = erase(connection, here, sites=["books"], source="books")
    assert (erasure.rows_deleted["activity"], erasure.rows_deleted["consent"]) == (1, 1)
    assert (erasure.rows_deleted["identifier"], erasure.rows_deleted["quarantine"]) == (1, 1)
    assert sorted(merge.identifiers for merge in list_merges(connection)) == [(), (there,)]
    assert len(export(connection, resolve(connection, *login))["audiences"]) == 1

    erasure = erase(connection, there, sites=["kitchen"], source="kitchen")
    assert (erasure.rows_deleted["identifier"], erasure.rows_deleted["audience_member"]) == (4, 1)
    assert list_merges(connection) == []
    for table in ("identifier", "activity", "audience_member", "consent"):
        assert connection.execute(f"SELECT * FROM {table}").fetchall() == []


def test_names_with_odd_characters_are_erased_and_nothing_else(connection, make_event):
    odd = "a.*|(b\\é"
    append_events(connection, [make_event(consumer_id=odd), make_event(consumer_id="ab")])
    quarantine(connection, [Rejection("x", "s", payload=f'"{odd}"'), Rejection("x", "s", payload='"ab"')])
    erasure = erase(connection, odd)
    assert (erasure.rows_deleted["activity"], erasure.rows_deleted["quarantine"]) == (1, 1)
