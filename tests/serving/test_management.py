"""Items and promotions over HTTP, health, metrics and the description of the API."""

import re
from collections import Counter

import pytest


def test_a_promotion_created_over_http_ranks_and_ends(service, world):
    service.send(world.event("buyer", "fiction1"))
    made = service.call(
        "POST",
        "/v1/promotions",
        key=service.keys.pans,
        json={
            "title": "Half: {item.title}",
            "sites": ["kitchen"],
            "categories": [{"site_id": "kitchen", "category": "lamp"}],
            "placements": ["corner"],
        },
    )
    assert made.status_code == 201
    kept = made.json()
    shown = service.until(
        lambda: (
            service.decide("buyer", placement="corner", n=9)["promotions"][0]["promotion_id"]
            in (kept["promotion_id"], "lamp-deal")
            and [
                one["promotion_id"] for one in service.decide("buyer", placement="corner", n=9)["promotions"]
            ]
        )
    )
    assert shown
    service.until(
        lambda: (
            kept["promotion_id"]
            in {one["promotion_id"] for one in service.decide("buyer", placement="corner", n=9)["promotions"]}
        )
    )
    elsewhere = service.decide("buyer", placement="footer", n=9)["promotions"]
    assert kept["promotion_id"] not in {one["promotion_id"] for one in elsewhere}
    ended = service.call("DELETE", f"/v1/promotions/{kept['promotion_id']}", key=service.keys.pans)
    assert (ended.status_code, ended.json()["status"]) == (200, "ended")
    service.until(
        lambda: (
            kept["promotion_id"]
            not in {
                one["promotion_id"] for one in service.decide("buyer", placement="corner", n=9)["promotions"]
            }
        )
    )
    again = service.call("GET", f"/v1/promotions/{kept['promotion_id']}", key=service.keys.pans).json()
    assert again == {**kept, "status": "ended"}


def test_promotions_are_listed_page_by_page(service):
    seen, cursor = [], None
    while True:
        asked = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = service.call("GET", "/v1/promotions", key=service.keys.pans, params=asked).json()
        seen += [one["promotion_id"] for one in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == sorted(seen)
    assert {"pan-deal", "lamp-deal", "new-deal"} <= set(seen)


def test_a_promotion_of_somebody_else_is_as_good_as_unknown(service):
    assert service.call("GET", "/v1/promotions/pan-deal", key=service.keys.pages).status_code == 404
    body = {"title": "Mine", "sites": ["books"]}
    assert (
        service.call("PUT", "/v1/promotions/pan-deal", key=service.keys.pages, json=body).status_code == 409
    )
    assert service.call("DELETE", "/v1/promotions/pan-deal", key=service.keys.pages).status_code == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"title": "t"}, 400),
        ({"title": "t", "sites": []}, 400),
        ({"title": "t", "sites": ["kitchen"]}, 403),
        ({"title": "t", "sites": ["books"], "items": [{"site_id": "kitchen", "item_id": "pan1"}]}, 403),
        ({"title": "t", "sites": ["books"], "status": "sleeping"}, 400),
        (
            {
                "title": "t",
                "sites": ["books"],
                "starts_at": "2026-02-01T00:00:00Z",
                "ends_at": "2026-01-01T00:00:00Z",
            },
            400,
        ),
        ({"title": "t", "sites": ["books"], "landing_url": "javascript:alert(1)"}, 400),
    ],
)
def test_a_promotion_that_cannot_be_is_a_problem(service, body, status):
    answer = service.call("POST", "/v1/promotions", key=service.keys.pages, json=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_an_item_is_created_replaced_listed_and_forgotten(service):
    key, body = (
        service.keys.pages,
        {"site_id": "books", "item_id": "a/b c", "title": "Slashes", "attributes": {"pages": 3}},
    )
    made = service.call("POST", "/v1/items", key=key, json=body)
    assert (made.status_code, made.json()["attributes"]) == (201, {"pages": 3})
    assert service.call("POST", "/v1/items", key=key, json=body).status_code == 409
    put = service.call("PUT", "/v1/items/books/a/b%20c", key=key, json={"title": "New"})
    assert put.json() == {**made.json(), "title": "New", "attributes": {}}
    assert service.call("GET", "/v1/items/books/a/b%20c", key=key).json() == put.json()
    listed = service.call("GET", "/v1/items", key=key, params={"site_id": "books", "limit": 1}).json()
    assert [item["item_id"] for item in listed["items"]] == ["a/b c"]
    assert listed["next_cursor"] == "a/b c"
    assert service.call("DELETE", "/v1/items/books/a/b%20c", key=key).status_code == 204
    assert service.call("GET", "/v1/items/books/a/b%20c", key=key).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/v1/items?site_id=kitchen&cursor=%00",
        "/v1/items/kitchen/%00",
        "/v1/promotions?cursor=a%00",
        "/v1/promotions/%00",
        "/v1/promotions/%0A",
        "/v1/consumers/%00",
        "/v1/sites?cursor=%00",
        "/v1/sites/%00",
        "/v1/subscribers/%0A",
    ],
)
def test_an_address_with_what_no_id_holds_finds_nothing_and_breaks_nothing(service, path):
    answer = service.call("GET", path, key=service.keys.pans)
    assert answer.status_code in (200, 400, 403, 404), answer.text
    if answer.status_code != 200:
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_subscriber_reads_its_own_entry_and_sites(service):
    key = service.keys.pages
    [site] = service.call("GET", "/v1/sites", key=key).json()["items"]
    assert (site["site_id"], site["subscriber_id"]) == ("books", "pages")
    assert service.call("GET", "/v1/sites/books", key=key).json() == site
    assert service.call("GET", "/v1/sites/kitchen", key=key).status_code == 403
    [own] = service.call("GET", "/v1/subscribers", key=key).json()["items"]
    assert (own["subscriber_id"], own["sites"]) == ("pages", ["books"])
    assert service.call("GET", "/v1/subscribers/pans", key=key).status_code == 403


def test_a_consumer_is_exported_and_erased_as_far_as_the_site_is_ours(service, world, database_rows):
    service.send(world.event("leaver", "fiction1"))
    service.send(world.event("leaver", "lamp1", site_id="kitchen"), key=service.keys.pans)
    kept = service.call("GET", "/v1/consumers/leaver", key=service.keys.pages).json()
    assert [row["site_id"] for row in kept["activity"]] == ["books"]
    gone = service.call("DELETE", "/v1/consumers/leaver", key=service.keys.pages).json()
    assert (gone["activity"], gone["identifiers"]) == (1, 0)
    assert service.call("GET", "/v1/consumers/leaver", key=service.keys.pages).status_code == 404
    assert [one["site_id"] for one in service.decide("leaver")["promotion"]["reasons"]] == ["kitchen"]
    gone = service.call("DELETE", "/v1/consumers/leaver", key=service.keys.pans).json()
    assert (gone["activity"], gone["identifiers"]) == (1, 1)
    assert service.decide("leaver")["strategy"] == "popularity"
    again = service.call("DELETE", "/v1/consumers/leaver", key=service.keys.pans).json()
    assert (again["activity"], again["erasure_id"]) == (0, None)
    [(asked_by, rows)] = database_rows(
        "SELECT asked_by, rows_deleted FROM erasure WHERE erasure_id = %s", gone["erasure_id"]
    )
    assert (asked_by, rows["activity"]) == ("subscriber pans", 1)


def test_health_tells_what_serves(service):
    answer = service.call("GET", "/v1/health")
    told = answer.json()
    assert (answer.status_code, told["ready"], told["reasons"]) == (200, True, [])
    assert told["champion"]["kind"] == "als"
    assert told["catalogue"]["sites"] == 3
    assert service.call("GET", "/readyz").status_code == 200


def test_the_metrics_count_decisions_by_strategy_and_version(service):
    def counted():
        page = service.call("GET", "/v1/metrics").text
        lines = [line for line in page.splitlines() if line.startswith("tailor_decisions_total{")]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if 'strategy="popularity"' in line)

    before = counted()
    service.decide("somebody to count")
    assert counted() == before + 1


def test_every_stage_of_every_16th_request_is_timed(service, world):
    def counted():
        page = service.call("GET", "/v1/metrics").text
        lines = [line for line in page.splitlines() if line.startswith("tailor_stage_seconds_count{")]
        return Counter({re.search('stage="([a-z]+)"', line)[1]: float(line.split()[-1]) for line in lines})

    before = counted()
    for _ in range(32):
        service.decide("somebody to time")
        service.send(world.event("somebody to time", "cook1"))
    timed = counted() - before
    # The pages of metrics need no key; both kinds of calls do.
    assert timed == {"auth": 4, "read": 2, "score": 2, "sign": 2, "decide": 2, "store": 2}


def test_the_api_describes_itself(service):
    told = service.call("GET", "/v1/openapi.json").json()
    assert told["servers"] == [{"url": "/v1"}]
    assert {"/decisions", "/activity", "/health", "/promotions", "/items"} <= set(told["paths"])
    assert "reasons" in told["components"]["schemas"]["PresentedPromotion"]["properties"]


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/v1/nothing", 404), ("PUT", "/v1/decisions", 405)]
)
def test_what_is_not_there_is_a_problem_too(service, method, path, status):
    answer = service.call(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
