from dataclasses import replace
from datetime import UTC, datetime

import pytest

from storage.catalogue import read_catalogue
from storage.errors import InvalidValue, UnknownItem, UnknownPromotion, UnknownSite
from storage.items import Item, get_item, list_items, parse_item, upsert_items
from storage.promotions import (
    Promotion,
    get_promotion,
    list_promotions,
    parse_promotion,
    set_promotion_status,
    upsert_promotions,
)
from storage.subscribers import add_network_sites, add_subscriber, issue_key, revoke_key

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SPRING = {
    "promotion_id": "spring",
    "title": "{item.title}, a third off",
    "body": "Only in May",
    "image_url": "https://img.example/1.png",
    "landing_url": "/spring",
    "code": "MAY",
    "sites": ["music", "books"],
    "items": [{"site_id": "books", "item_id": "b2"}, {"site_id": "books", "item_id": "b1"}],
    "categories": [{"site_id": "music", "category": "jazz"}],
    "audience_id": "vip",
    "placements": ["top"],
    "starts_at": "2026-05-01T00:00:00Z",
    "ends_at": "2026-07-01T00:00:00Z",
}


@pytest.fixture
def connection(connection):
    """A network of two sites."""
    add_network_sites(connection, ["books", "music"])
    return connection


def test_a_promotion_comes_back_as_it_was_entered(connection):
    promotion = parse_promotion(SPRING)
    assert upsert_promotions(connection, [promotion]) == ["created"]
    assert get_promotion(connection, "spring") == promotion
    assert promotion.items == (("books", "b1"), ("books", "b2"))
    assert promotion.sites == ("books", "music")


def test_a_promotion_entered_again_changes_only_what_changed(connection):
    promotion = parse_promotion(SPRING)
    upsert_promotions(connection, [promotion])
    assert upsert_promotions(connection, [parse_promotion(SPRING)]) == ["unchanged"]
    shorter = replace(promotion, items=(("books", "b1"),), sites=("books",))
    assert upsert_promotions(connection, [shorter, shorter, promotion, shorter]) == [
        "updated", "unchanged", "updated", "updated",
    ]  # fmt: skip
    assert get_promotion(connection, "spring") == shorter


def test_a_promotion_of_another_subscriber_is_left_alone(connection):
    for subscriber_id in ("acme", "other"):
        add_subscriber(connection, subscriber_id, name=subscriber_id)
    mine = parse_promotion({**SPRING, "subscriber_id": "acme"})
    upsert_promotions(connection, [mine])
    assert upsert_promotions(connection, [replace(mine, subscriber_id="other", title="stolen")]) == ["taken"]
    assert get_promotion(connection, "spring") == mine


def test_lists_may_be_json_text_as_in_csv():
    import json

    as_text = {
        name: json.dumps(value) if isinstance(value, list) else value for name, value in SPRING.items()
    }
    assert parse_promotion(as_text) == parse_promotion(SPRING)


def test_only_id_and_title_are_needed():
    assert parse_promotion({"promotion_id": "p", "title": "T"}) == Promotion("p", "T")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"title": ""}, "title is missing"),
        ({"promotion_id": None}, "promotion_id is missing"),
        ({"ends_at": "2026-05-01T00:00:00Z"}, "is not after starts_at"),
        ({"status": "live"}, "unknown status 'live'; known: active, paused, ended"),
        ({"landing_url": "javascript:alert(1)"}, "neither an http"),
        ({"image_url": "https://"}, "neither an http"),
        ({"items": ["b1"]}, "is not a list of objects with site_id and item_id"),
        ({"items": [{"site_id": "books"}]}, "item_id is missing"),
        ({"items": "b1"}, "is not JSON"),
        ({"sites": "7"}, "is not a list"),
        ({"body": "x" * 4097}, "at most 4096"),
        ({"items": [{"site_id": "s", "item_id": n} for n in range(100_001)]}, "at most 100000"),
    ],
)
def test_a_promotion_that_makes_no_sense_is_refused_with_the_field(fields, expected):
    with pytest.raises(InvalidValue, match=expected):
        parse_promotion({**SPRING, **fields})


def test_a_promotion_for_an_unknown_site_is_refused(connection):
    with pytest.raises(UnknownSite, match="unknown site 'films'; known sites: books, music"):
        upsert_promotions(connection, [parse_promotion({**SPRING, "sites": ["films"]})])


def test_promotions_are_listed_by_site_and_by_page(connection):
    many = [Promotion(f"p{n}", "T", sites=("books",) if n % 2 else ("music",)) for n in range(5)]
    upsert_promotions(connection, many)
    assert [p.promotion_id for p in list_promotions(connection, limit=2)] == ["p0", "p1"]
    assert [p.promotion_id for p in list_promotions(connection, after="p1", limit=2)] == ["p2", "p3"]
    assert [p.promotion_id for p in list_promotions(connection, site_id="books")] == ["p1", "p3"]
    with pytest.raises(UnknownPromotion, match="'p9'"):
        get_promotion(connection, "p9")


def test_a_promotion_can_be_paused(connection):
    upsert_promotions(connection, [parse_promotion(SPRING)])
    set_promotion_status(connection, "spring", status="paused")
    assert get_promotion(connection, "spring").status == "paused"
    assert read_catalogue(connection, now=NOW).promotions == []


def test_items_are_entered_updated_and_left_as_they_are(connection):
    items = [Item("books", "b1", title="One", attributes={"pages": 9}), Item("books", "b2", title="Two")]
    assert upsert_items(connection, items) == ["created", "created"]
    assert upsert_items(connection, [items[0], replace(items[1], title="Zwei")]) == ["unchanged", "updated"]
    assert list_items(connection, site_id="books", limit=1) == items[:1]
    assert list_items(connection, site_id="books", after="b1") == [replace(items[1], title="Zwei")]
    assert get_item(connection, "books", "b1") == items[0]
    with pytest.raises(UnknownItem, match="books/b9"):
        get_item(connection, "books", "b9")


def test_of_two_descriptions_of_one_item_the_later_counts(connection):
    assert upsert_items(connection, [Item("books", "b1", title="a"), Item("books", "b1", title="b")]) == [
        "unchanged", "created",
    ]  # fmt: skip
    assert get_item(connection, "books", "b1").title == "b"


def test_an_item_of_an_unknown_site_is_refused_and_nothing_stored(connection):
    with pytest.raises(UnknownSite, match="films"):
        upsert_items(connection, [Item("books", "b1"), Item("films", "f1")])
    assert list_items(connection, site_id="books") == []


def test_an_item_that_makes_no_sense_is_refused():
    with pytest.raises(InvalidValue, match="attributes"):
        parse_item({"site_id": "books", "item_id": "b1", "attributes": [1]})
    with pytest.raises(InvalidValue, match="at most 16384"):
        parse_item({"site_id": "books", "item_id": "b1", "attributes": {"x": "y" * 20_000}})


def test_the_catalogue_has_what_is_or_will_be_live_with_categories_expanded(connection):
    upsert_items(
        connection,
        [Item("books", "b1", category="crime"), Item("music", "m1", category="jazz", title="Blue Train")],
    )
    upsert_promotions(
        connection,
        [
            parse_promotion(SPRING),
            Promotion("past", "T", sites=("books",), ends_at=NOW),
            Promotion("future", "T", sites=("books",), starts_at=datetime(2027, 1, 1, tzinfo=UTC)),
            Promotion("paused", "T", sites=("books",), status="paused"),
        ],
    )
    rows = read_catalogue(connection, now=NOW)
    assert [row.promotion_id for row in rows.promotions] == ["future", "spring"]
    assert rows.promotion_sites == [("future", "books"), ("spring", "books"), ("spring", "music")]
    assert rows.coverage == [("spring", "books", "b1"), ("spring", "books", "b2"), ("spring", "music", "m1")]
    assert [(item.item_id, item.title) for item in rows.items] == [("b1", None), ("m1", "Blue Train")]


def test_the_catalogue_is_read_as_of_one_moment_and_has_only_the_keys_that_count(database, connection):
    add_subscriber(connection, "acme", name="Acme", sites=["books"])
    first, second = (issue_key(connection, "acme", kind="secret") for _ in range(2))
    kept = revoke_key(connection, first)
    connection.commit()
    with database.connection() as other:
        rows = read_catalogue(other, now=NOW)
        isolation = other.execute("SHOW transaction_isolation").fetchone()
    assert isolation == ("repeatable read",)
    assert [key.key_hash for key in rows.members.keys] != [kept.key_hash]
    assert len(rows.members.keys) == 1
    assert rows.members.subscribers[0].sites == ("books",)
    assert second.startswith("tp_secret_")
