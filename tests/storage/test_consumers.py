import pytest

from storage.activity import append_events, quarantine
from storage.consumers import erase, export, link_identifier, resolve
from storage.errors import UnknownConsumer
from storage.events import Rejection, derived_consumer_id


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
    erasure = erase(connection, "ann")
    assert (erasure.identifiers, erasure.activity, erasure.audiences, erasure.quarantine) == (2, 2, 1, 1)
    for table in ("identifier", "activity", "audience_member"):
        rows = connection.execute(f"SELECT * FROM {table}").fetchall()
        assert len(rows) == 1
        assert "bob" in rows[0]
    again = erase(connection, "ann")
    assert (again.identifiers, again.activity, again.audiences, again.quarantine) == (0, 0, 0, 0)


def test_names_with_odd_characters_are_erased_and_nothing_else(connection, make_event):
    odd = "a.*|(b\\é"
    append_events(connection, [make_event(consumer_id=odd), make_event(consumer_id="ab")])
    quarantine(connection, [Rejection("x", "s", payload=f'"{odd}"'), Rejection("x", "s", payload='"ab"')])
    erasure = erase(connection, odd)
    assert (erasure.activity, erasure.quarantine) == (1, 1)
