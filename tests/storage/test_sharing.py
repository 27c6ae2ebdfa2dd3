"""Who may use whose activity."""

import asyncio

import pytest

from storage.activity import append_events
from storage.errors import InvalidValue, UnknownSubscriber
from storage.everyone import read_everyone
from storage.reader import ConsumerReader, Wanted
from storage.sharing import set_sharing, unusable_sites
from storage.subscribers import add_site, add_subscriber, get_subscriber, list_sites, list_subscribers

# `acme` has books and music, `pans` the kitchen, `inn` the hotel; `blog` is nobody's.
NETWORK = {"acme": ["books", "music"], "inn": ["hotel"], "pans": ["kitchen"]}


@pytest.fixture
def network(connection):
    for subscriber_id, sites in NETWORK.items():
        add_subscriber(connection, subscriber_id, name=subscriber_id, sites=sites)
    add_site(connection, "blog")

    def state(**words):
        for subscriber_id, (shares, accepts) in words.items():
            set_sharing(connection, subscriber_id, shares_activity=shares, accepts_from=accepts)
        return unusable_sites(list_sites(connection), list_subscribers(connection))

    return state


@pytest.mark.parametrize(
    ("words", "unusable"),
    [
        ({}, {}),
        ({"acme": (False, None)}, {"hotel": ("books", "music"), "kitchen": ("books", "music")}),
        ({"inn": (True, ["pans"])}, {"hotel": ("blog", "books", "music")}),
        ({"inn": (True, ["inn"])}, {"hotel": ("blog", "books", "kitchen", "music")}),
        ({"inn": (True, [])}, {"hotel": ("blog", "books", "kitchen", "music")}),
        (
            {"acme": (True, ["pans"]), "pans": (False, None)},
            {
                "books": ("blog", "hotel", "kitchen"),
                "hotel": ("kitchen",),
                "music": ("blog", "hotel", "kitchen"),
            },
        ),
        ({"inn": (True, ["later"])}, {"hotel": ("blog", "books", "kitchen", "music")}),
    ],
)
def test_what_subscribers_state_says_whose_activity_is_used_where(network, words, unusable):
    assert network(**words) == unusable


def test_what_a_subscriber_states_is_kept_and_can_be_taken_back(connection, network):
    assert (
        get_subscriber(connection, "inn").shares_activity,
        get_subscriber(connection, "inn").accepts_from,
    ) == (
        True,
        None,
    )
    changed = set_sharing(connection, "inn", shares_activity=False, accepts_from=["pans", "acme", "pans"])
    assert (changed.shares_activity, changed.accepts_from) == (False, ("acme", "pans"))
    # Entering the subscriber again says nothing about sharing.
    again = add_subscriber(connection, "inn", name="The Inn")
    assert (again.shares_activity, again.accepts_from) == (False, ("acme", "pans"))
    changed = set_sharing(connection, "inn", shares_activity=True, accepts_from=None)
    assert (changed.shares_activity, changed.accepts_from) == (True, None)


def test_what_cannot_be_is_refused(connection, network):
    with pytest.raises(UnknownSubscriber):
        set_sharing(connection, "nobody", shares_activity=True, accepts_from=None)
    with pytest.raises(InvalidValue, match="at most 1000"):
        set_sharing(connection, "inn", shares_activity=True, accepts_from=[f"s{n}" for n in range(1001)])
    with pytest.raises(InvalidValue, match="accepts_from"):
        set_sharing(connection, "inn", shares_activity=True, accepts_from=["a\nb"])


@pytest.mark.parametrize("without", [(), ("music",), ("music", "news"), ("nowhere",)])
def test_one_and_everybody_are_read_without_the_same_sites(database, database_url, make_event, without):
    sites = ("books", "music", "news")
    with database.connection() as connection:
        append_events(
            connection, [make_event(event_id=site, site_id=site, item_id=f"{site}1") for site in sites]
        )

    async def read_one():
        reader = ConsumerReader()
        await reader.open(database_url)
        try:
            return await reader.read_consumer(Wanted("ann", "books", without=without), limit=9)
        finally:
            await reader.close()

    record = asyncio.run(read_one())
    assert {event[0] for event in record.events} == set(sites) - set(without)
    with database.connection() as connection:
        [everybody] = read_everyone(connection, site_id="books", limit=9, at_once=9, without=without)
    items = [everybody.events.items[place] for place in everybody.events.item.tolist()]
    assert items == [event[:2] for event in record.events]


def test_the_limit_counts_only_what_may_be_used(database, database_url, make_event):
    with database.connection() as connection:
        append_events(
            connection,
            [
                make_event(event_id=f"m{n}", site_id="music", item_id="m", occurred_at="2026-05-02")
                for n in range(9)
            ]
            + [make_event(event_id="b", item_id="b1", occurred_at="2026-05-01")],
        )
        [block] = read_everyone(connection, site_id="x", limit=3, at_once=9, without=("music",))
    assert block.events.items == [("books", "b1")]
