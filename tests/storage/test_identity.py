import pytest

from storage.activity import append_events
from storage.consumers import resolve
from storage.errors import AlreadyTaken, UnknownMerge
from storage.events import LOGIN, NETWORK, ActivityEvent
from storage.identity import enter, join, list_merges, undo_merge

AT_BOOKS, AT_KITCHEN = ("site:books", "v1"), ("site:kitchen", "v2")
ANN, BOB = (LOGIN, "hash-of-ann"), (LOGIN, "hash-of-bob")


@pytest.fixture
def connection(database):
    with database.connection() as connection:
        yield connection


def looked_at(identity, item, *, event_id=None):
    return ActivityEvent(
        namespace=identity[0],
        identifier=identity[1],
        site_id=identity[0].removeprefix("site:"),
        event_id=event_id or item,
        kind="page_view",
        source_id="test",
        same_site=True,
        cross_site=True,
        item_id=item,
    )


def events_of(connection, consumer_id):
    return connection.execute(
        "SELECT site_id, item_id FROM activity JOIN identifier USING (namespace, identifier)"
        " WHERE consumer_id = %s ORDER BY 1, 2",
        (consumer_id,),
    ).fetchall()


def test_joined_identifiers_are_one_consumer_and_every_event_is_there_once(connection):
    append_events(connection, [looked_at(AT_BOOKS, "b1"), looked_at(AT_KITCHEN, "k1")])
    merge = join(connection, AT_KITCHEN, AT_BOOKS, how="link")
    assert merge is not None
    consumer = resolve(connection, *AT_BOOKS)
    assert resolve(connection, *AT_KITCHEN) == consumer == merge.into_consumer
    # A retry after the merge, and something new.
    assert append_events(connection, [looked_at(AT_KITCHEN, "k1")]) == ["duplicate"]
    assert append_events(connection, [looked_at(AT_KITCHEN, "k2")]) == ["stored"]
    assert events_of(connection, consumer) == [("books", "b1"), ("kitchen", "k1"), ("kitchen", "k2")]


def test_joining_again_does_nothing(connection):
    assert join(connection, AT_KITCHEN, AT_BOOKS, how="cookie") is not None
    assert join(connection, AT_KITCHEN, AT_BOOKS, how="cookie") is None
    assert join(connection, AT_BOOKS, AT_KITCHEN, how="cookie") is None
    assert len(list_merges(connection)) == 1


def test_who_is_named_by_the_old_id_is_still_found(connection):
    old = enter(connection, AT_KITCHEN)
    join(connection, AT_KITCHEN, AT_BOOKS, how="cookie")
    assert resolve(connection, NETWORK, old) == resolve(connection, *AT_BOOKS)


def test_an_undone_merge_parts_them_as_they_were(connection):
    append_events(connection, [looked_at(AT_BOOKS, "b1"), looked_at(AT_KITCHEN, "k1")])
    before = resolve(connection, *AT_KITCHEN)
    connection.execute("INSERT INTO audience_member VALUES (%s, 'cooks')", (before,))
    merge = join(connection, AT_KITCHEN, AT_BOOKS, how="link")
    append_events(connection, [looked_at(AT_KITCHEN, "k2")])
    undo_merge(connection, merge.merge_id)
    assert resolve(connection, *AT_KITCHEN) == resolve(connection, NETWORK, before) == before
    assert events_of(connection, before) == [("kitchen", "k1"), ("kitchen", "k2")]
    assert events_of(connection, resolve(connection, *AT_BOOKS)) == [("books", "b1")]
    assert connection.execute("SELECT * FROM audience_member").fetchall() == [(before, "cooks")]
    with pytest.raises(UnknownMerge, match=str(merge.merge_id)):
        undo_merge(connection, merge.merge_id)


def test_a_merge_is_undone_even_when_the_result_was_merged_further(connection):
    first = join(connection, AT_KITCHEN, AT_BOOKS, how="link")
    join(connection, AT_BOOKS, ANN, how="login")
    assert resolve(connection, *AT_KITCHEN) == resolve(connection, *ANN)
    undo_merge(connection, first.merge_id)
    assert resolve(connection, *AT_KITCHEN) == first.from_consumer
    assert resolve(connection, *AT_BOOKS) == resolve(connection, *ANN)


def test_two_logins_are_two_people(connection):
    join(connection, AT_BOOKS, ANN, how="login")
    with pytest.raises(AlreadyTaken, match="different logins"):
        join(connection, AT_BOOKS, BOB, how="login")
    join(connection, AT_KITCHEN, BOB, how="login")
    with pytest.raises(AlreadyTaken, match="two people"):
        join(connection, AT_KITCHEN, AT_BOOKS, how="link")


def test_one_login_on_two_sites_is_one_person(connection):
    join(connection, AT_BOOKS, ANN, how="login")
    join(connection, AT_KITCHEN, ANN, how="login")
    assert resolve(connection, *AT_BOOKS) == resolve(connection, *AT_KITCHEN)


def test_a_link_joins_once(connection):
    join(connection, AT_KITCHEN, AT_BOOKS, how="link", token_id="t1")
    with pytest.raises(AlreadyTaken, match="followed before"):
        join(connection, ("site:kitchen", "v3"), AT_BOOKS, how="link", token_id="t1")
