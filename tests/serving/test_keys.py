"""Who may ask for what."""

import pytest

ORIGIN = {"Origin": "https://books.example"}


def ask(service, key, *, site_id="books", headers=None):
    asked = {"identifier": "c", "site_id": site_id}
    return service.call("POST", "/v1/decisions", key=key, json=asked, headers=headers or {})


def test_no_key_is_401_and_says_how_to_send_one(service):
    answer = ask(service, None)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "Authorization: Bearer" in answer.json()["detail"]


def test_a_key_nobody_was_given_is_401_and_is_not_repeated_in_full(service):
    answer = ask(service, "tp_secret_" + "x" * 43)
    assert answer.status_code == 401
    assert "x" * 20 not in answer.text


def test_a_public_key_works_from_its_origin(service):
    assert ask(service, service.keys.pages_public, headers=ORIGIN).status_code == 200


@pytest.mark.parametrize(
    "headers", [{}, {"Origin": "https://evil.example"}, {"Origin": "https://books.example.evil"}]
)
def test_a_public_key_works_from_nowhere_else(service, headers):
    answer = ask(service, service.keys.pages_public, headers=headers)
    assert answer.status_code == 403
    assert answer.json()["title"] == "Origin refused"


def test_a_browser_may_ask_whether_it_may_ask(service):
    headers = {
        **ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    answer = service.call("OPTIONS", "/v1/activity", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == ORIGIN["Origin"]


@pytest.mark.parametrize(
    ("site_id", "status", "title"),
    [("kitchen", 403, "Site refused"), ("blog", 403, "Not a subscriber"), ("bokos", 404, "Unknown site")],
)
def test_a_key_opens_only_its_own_sites(service, site_id, status, title):
    answer = ask(service, service.keys.pages, site_id=site_id)
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert site_id in answer.json()["detail"]


def test_a_public_key_is_not_told_what_was_done_on_other_peoples_sites(service, world):
    # The promotion is shown on books, and activity in the kitchen carries it.
    service.send(world.event("private", "pan1", site_id="kitchen", kind="purchase"), key=service.keys.pans)
    who = {"site_id": "books", "identifier": "private"}
    login = {"login": "hash of a login"}
    service.call("POST", "/v1/identities", key=service.keys.pages, json={**who, **login})
    named = {"site_id": "kitchen", "consumer_id": "private"}
    service.call("POST", "/v1/identities", key=service.keys.pans, json={**named, **login})
    made = {
        "promotion_id": "book-deal",
        "title": "Read",
        "sites": ["books"],
        "items": [{"site_id": "books", "item_id": "cook1"}],
    }
    assert (
        service.call(
            "PUT",
            "/v1/promotions/book-deal",
            key=service.keys.pages,
            json={k: v for k, v in made.items() if k != "promotion_id"},
        ).status_code
        == 200
    )
    try:
        service.until(lambda: service.decide("private", site_id="books")["promotion"])
        asked = {**who, "consent": ["same_site", "cross_site"]}
        told = {}
        for name, key in (("secret", service.keys.pages), ("public", service.keys.pages_public)):
            answer = service.call("POST", "/v1/decisions", key=key, json=asked, headers=ORIGIN).json()
            [told[name]] = answer["promotion"]["reasons"]
        assert told["secret"]["item_id"] == "pan1"
        assert told["secret"]["shared_by"] == "pans"
        assert told["public"] == {**told["secret"], "item_id": None, "title": None, "occurred_at": None}
    finally:
        service.call("DELETE", "/v1/promotions/book-deal", key=service.keys.pages)
        service.until(lambda: service.decide("private", site_id="books")["promotion"] is None)


@pytest.mark.parametrize(
    "path", ["/v1/promotions", "/v1/items?site_id=books", "/v1/sites", "/v1/subscribers", "/v1/consumers/c"]
)
def test_managing_needs_the_secret_key(service, path):
    answer = service.call("GET", path, key=service.keys.pages_public, headers=ORIGIN)
    assert answer.status_code == 403
    assert "secret key" in answer.json()["detail"]
