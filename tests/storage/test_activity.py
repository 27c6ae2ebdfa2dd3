import threading
from dataclasses import replace

from storage.activity import append_events, list_quarantine, quarantine
from storage.events import Rejection, derived_consumer_id


def stored(connection):
    return connection.execute("SELECT event_id FROM activity ORDER BY 1").fetchall()


def test_events_are_stored_once_and_each_is_answered_in_order(connection, make_event):
    first, second = make_event(event_id="e1"), make_event(event_id="e2")
    assert append_events(connection, [second, first]) == ["stored", "stored"]
    assert append_events(connection, [first, make_event(event_id="e3"), second]) == [
        "duplicate",
        "stored",
        "duplicate",
    ]
    assert stored(connection) == [("e1",), ("e2",), ("e3",)]


def test_an_event_twice_in_one_batch_is_stored_once(connection, make_event):
    event = make_event()
    assert append_events(connection, [event, event]) == ["stored", "duplicate"]
    assert len(stored(connection)) == 1


def test_the_same_event_id_of_other_visitors_and_sites_is_another_event(connection, make_event):
    events = [make_event(), make_event(site_id="music"), make_event(consumer_id="bob")]
    assert append_events(connection, events) == ["stored"] * 3


def test_an_empty_batch_is_fine(connection):
    assert append_events(connection, []) == []


def test_every_field_is_kept(connection, make_event):
    numbers = {"rating": 1, "quantity": 2, "value": 3, "currency": "EUR"}
    outcome = {"kind": "promotion_click", "promotion_id": "p1", "occurred_at": "2026-05-01T00:00:00Z"}
    event = make_event(**outcome, **numbers, consent=["same_site"])
    append_events(connection, [replace(event, decision={"decision_id": "d1"})])
    row = connection.execute(
        "SELECT kind, promotion_id, occurred_at, rating, quantity, value, currency,"
        " same_site, cross_site, source_id, decision FROM activity"
    ).fetchone()
    assert row[:7] == ("promotion_click", "p1", event.occurred_at, 1, 2, 3, "EUR")
    assert row[7:] == (True, False, "test", {"decision_id": "d1"})


def test_an_identifier_belongs_to_a_consumer_of_its_own_until_it_is_linked(connection, make_event):
    append_events(connection, [make_event(), make_event(consumer_id=None, identifier="v1")])
    rows = connection.execute(
        "SELECT namespace, identifier, consumer_id FROM identifier ORDER BY 1"
    ).fetchall()
    assert rows == [("network", "ann", "ann"), ("site:books", "v1", derived_consumer_id("site:books", "v1"))]


def test_the_longest_ids_fit_the_index(connection, make_event):
    long = "\u00e9" * 256
    events = [make_event(consumer_id=None, identifier=long, site_id=long, event_id=long, item_id=long)]
    assert append_events(connection, events) == ["stored"]


def test_batches_with_the_same_events_in_opposite_order_do_not_lock_each_other_out(database, make_event):
    events = [make_event(event_id=str(number), consumer_id=str(number)) for number in range(50)]
    outcomes = []

    def store(batch):
        for _ in range(5):
            with database.connection() as connection:
                outcomes.extend(append_events(connection, batch))

    threads = [threading.Thread(target=store, args=(batch,)) for batch in (events, events[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("stored") == 50
    assert outcomes.count("duplicate") == 450


def test_quarantine_keeps_the_reason_and_lists_the_newest_first(connection):
    quarantine(connection, [Rejection("bad", "a", "f.csv:2", '{"x": 1}'), Rejection("worse", "b")])
    newest, oldest = list_quarantine(connection)
    assert (newest.reason, newest.payload, newest.source_id) == ("worse", None, "b")
    assert (oldest.location, oldest.payload) == ("f.csv:2", '{"x": 1}')
    assert [row.reason for row in list_quarantine(connection, source="a")] == ["bad"]
    assert [row.reason for row in list_quarantine(connection, before=newest.quarantine_id)] == ["bad"]
