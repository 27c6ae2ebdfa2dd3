from datetime import UTC, date, datetime, timedelta

import pytest

from storage.events import (
    ACTIVITY_KINDS,
    ALIASES,
    BOTH_PURPOSES,
    NO_CONSENT,
    OUTCOME_KINDS,
    ActivityEvent,
    Rejection,
    derived_consumer_id,
    parse_event,
)

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
VIEW = {"consumer_id": "ann", "site_id": "books", "event_id": "e1", "kind": "page_view", "item_id": "b1"}


def parse(default_consent=BOTH_PURPOSES, **fields):
    return parse_event({**VIEW, **fields}, source="shop", default_consent=default_consent, now=NOW)


def reason(**fields):
    rejection = parse(**fields)
    assert isinstance(rejection, Rejection)
    return rejection.reason


def test_an_event_keeps_what_it_says():
    event = parse(
        kind="purchase",
        occurred_at="2026-05-01T10:00:00+02:00",
        rating=4,
        quantity="2",
        value=19.9,
        currency="EUR",
    )
    assert event.key == ("network", "ann", "books", "e1")
    assert event == ActivityEvent(
        *event.key,
        kind="purchase",
        source_id="shop",
        same_site=True,
        cross_site=True,
        item_id="b1",
        occurred_at=datetime(2026, 5, 1, 8, tzinfo=UTC),
        rating=4.0,
        quantity=2.0,
        value=19.9,
        currency="EUR",
    )


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("pageview", "page_view"),
        ("Page Viewed", "page_view"),
        ("view_item", "product_review"),
        ("add-to-cart", "product_review"),
        ("Product Added", "product_review"),
        ("Order Completed", "purchase"),
        ("view_promotion", "promotion_view"),
        ("select_promotion", "promotion_click"),
    ],
)
def test_what_others_call_the_kinds_is_understood(word, kind):
    assert parse(kind=word, promotion_id="p1").kind == kind


def test_every_alias_leads_to_a_kind():
    assert set(ALIASES.values()) == {*ACTIVITY_KINDS, *OUTCOME_KINDS}


def test_an_identifier_is_the_sites_own_unless_it_says_otherwise():
    own = parse(consumer_id=None, identifier="v1")
    assert (own.namespace, own.identifier) == ("site:books", "v1")
    assert parse(consumer_id=None, identifier="v1", namespace="site").namespace == "site:books"
    assert parse(consumer_id=None, identifier="h", namespace="login").namespace == "login"
    assert parse(consumer_id=None, identifier="n", namespace="network").key[:2] == ("network", "n")


def test_a_site_cannot_speak_for_the_visitors_of_another():
    assert "unknown namespace 'site:music'" in reason(
        consumer_id=None, identifier="v1", namespace="site:music"
    )


def test_derived_consumers_are_told_apart_from_network_ids():
    derived = derived_consumer_id("site:books", "v1")
    assert derived.startswith("~")
    assert len(derived) == 33
    assert "send the identifier" in reason(consumer_id=derived)


def test_consent_that_is_given_counts_and_only_as_far_as_it_goes():
    event = parse(consent=["same_site"])
    assert (event.same_site, event.cross_site) == (True, False)
    event = parse(consent='["cross_site"]')
    assert (event.same_site, event.cross_site) == (False, True)
    event = parse(consent="same_site, cross_site", default_consent=None)
    assert (event.same_site, event.cross_site) == (True, True)


@pytest.mark.parametrize("consent", [[], "[]", "none"])
def test_consent_that_is_refused_is_not_replaced_by_the_legal_basis(consent):
    outcome = parse(consent=consent)
    assert isinstance(outcome, Rejection)
    assert outcome.payload is None


def test_without_consent_or_a_legal_basis_nothing_but_the_reason_is_kept():
    assert parse(default_consent=None) == Rejection(NO_CONSENT, "shop")


def test_times_without_an_offset_are_utc_and_dates_are_midnight():
    assert parse(occurred_at="2026-05-01T10:00:00").occurred_at == datetime(2026, 5, 1, 10, tzinfo=UTC)
    assert parse(occurred_at=datetime(2026, 5, 1, 10)).occurred_at == datetime(2026, 5, 1, 10, tzinfo=UTC)  # noqa: DTZ001
    assert parse(occurred_at=date(2026, 5, 1)).occurred_at == datetime(2026, 5, 1, tzinfo=UTC)
    assert parse(occurred_at=None).occurred_at is None


def test_a_clock_may_be_a_day_wrong_but_no_more():
    assert isinstance(parse(occurred_at=NOW + timedelta(hours=23)), ActivityEvent)
    assert "in the future" in reason(occurred_at=NOW + timedelta(hours=25))
    assert "before 1990" in reason(occurred_at="1989-12-31T00:00:00Z")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"site_id": None}, "site_id is missing"),
        ({"event_id": ""}, "event_id is missing"),
        ({"consumer_id": None}, "identifier is missing"),
        ({"identifier": "v1"}, "both consumer_id and identifier"),
        ({"kind": None}, "kind is missing"),
        ({"kind": "stare"}, "unknown kind 'stare'; known kinds: page_view"),
        ({"kind": 7}, "unknown kind 7"),
        ({"item_id": None}, "item_id is missing, which a page_view needs"),
        ({"kind": "promotion_click"}, "promotion_id is missing, which a promotion_click needs"),
        ({"item_id": "x" * 257}, "has 257 characters, at most 256"),
        ({"item_id": "\U0001f600" * 256}, "at most 256"),
        ({"item_id": "a\x00b"}, "control characters"),
        ({"item_id": "a\ud800b"}, "control characters"),
        ({"item_id": "  "}, "nothing but blanks"),
        ({"item_id": ["b1"]}, "is not a string"),
        ({"item_id": True}, "is not a string"),
        ({"occurred_at": "yesterday"}, "is not a time such as"),
        ({"occurred_at": 1717243200}, "is not a time such as"),
        ({"occurred_at": "0001-01-01T00:00:00+14:00"}, "is not a time such as"),
        ({"value": "a lot"}, "is not a number"),
        ({"value": "inf"}, "is not a number"),
        ({"value": 1e13}, "is not a number"),
        ({"value": True}, "is not a number"),
        ({"value": 10**400}, "is not a number"),
        ({"currency": "euro"}, "ISO 4217"),
        ({"consent": ["advertising"]}, "unknown consent purpose 'advertising'"),
        ({"consent": [["same_site"]]}, "unknown consent purpose"),
        ({"consent": {"same_site": True}}, "is not a list of purposes"),
    ],
)
def test_what_cannot_be_stored_is_turned_away_with_the_reason(fields, expected):
    assert expected in reason(**fields)


def test_whole_numbers_are_ids_too_and_nan_is_nothing():
    event = parse(item_id=17, rating=float("nan"))
    assert (event.item_id, event.rating) == ("17", None)
