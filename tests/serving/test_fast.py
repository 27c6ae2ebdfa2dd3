"""The fast way to decisions and activity answers as the long one does, whatever is asked."""

import json

import pytest

ASKED = {
    "a known consumer": {"consumer_id": "reader", "site_id": "kitchen"},
    "several promotions": {"consumer_id": "reader", "site_id": "kitchen", "n": 3},
    "a visitor of this site": {"identifier": "v1", "site_id": "kitchen"},
    "somebody else's site": {"consumer_id": "reader", "site_id": "books"},
    "a site that nobody knows": {"consumer_id": "reader", "site_id": "bokos"},
    "nobody": {"site_id": "kitchen"},
    "too many": {"consumer_id": "reader", "site_id": "kitchen", "n": 51},
    "none": {"consumer_id": "reader", "site_id": "kitchen", "n": 0},
    "a field that is not there": {"consumer_id": "reader", "site_id": "kitchen", "colour": "red"},
    "a control character": {"consumer_id": "rea\nder", "site_id": "kitchen"},
}


def both_ways(service, body, *, key=None, **headers):
    """The answers to a body, and to the same body with so much blank behind it that it goes the long way."""
    return [
        service.call("POST", "/v1/decisions", headers=headers, content=content, key=key or service.keys.pans)
        for content in (body, body + b" " * 20_000)
    ]


def comparable(answer):
    told = answer.json()
    for one in (told, *(told.get("promotions") or ()), told.get("promotion") or {}):
        for name in ("decision_id", "token", "decided_at"):
            one.pop(name, None)
    headers = {name: answer.headers.get(name) for name in ("content-type", "retry-after", "www-authenticate")}
    cors = {name: value for name, value in answer.headers.items() if name.startswith("access-control")}
    return answer.status_code, headers, cors, told


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
def test_both_ways_answer_alike(service, world, asked):
    service.send(world.event("reader", "cook1"))
    fast, long = both_ways(service, json.dumps(asked).encode())
    assert comparable(fast) == comparable(long)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"site_id": 3}', b'{"site_id": "\xff"}'])
def test_both_ways_refuse_alike_what_is_no_request(service, body):
    fast, long = both_ways(service, body)
    assert fast.status_code == 400
    assert fast.headers["content-type"] == "application/problem+json"
    assert fast.json()["title"] == long.json()["title"]
    assert fast.status_code == long.status_code


def test_both_ways_refuse_alike_who_has_no_key(service):
    body = json.dumps(ASKED["a known consumer"]).encode()
    fast, long = both_ways(service, body, key="nobody's")
    assert fast.status_code == 401
    assert comparable(fast) == comparable(long)


def test_a_page_is_let_through_both_ways(service):
    body = json.dumps({"consumer_id": "reader", "site_id": "books"}).encode()
    fast, long = both_ways(service, body, key=service.keys.pages_public, Origin="https://books.example")
    assert comparable(fast) == comparable(long)
    assert fast.headers["access-control-allow-origin"] == "https://books.example"


BATCHES = {
    "stored": [{}],
    "stored once": [{"event_id": "once"}, {"event_id": "once"}],
    "partly quarantined": [{}, {"kind": "dance"}, "no event"],
    "an outcome without its token": [{"kind": "promotion_click"}],
    "somebody else's site": [{}, {"site_id": "kitchen"}],
    "a site that nobody knows": [{"site_id": "bokos"}],
    "nothing": [],
}


def both_ways_in(service, bodies, *, key=None):
    """The answers to two bodies; the second's path is written such that it goes the long way."""
    return [
        service.call("POST", path, content=body, key=key or service.keys.pages)
        for path, body in zip(("/v1/activity", "/v1/activity/"), bodies, strict=True)
    ]


@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)
def test_activity_is_answered_alike_both_ways(service, world, batch):
    bodies = [
        json.dumps(
            {
                "events": [
                    {**world.event(way, "cook1", event_id=f"{way} {number}"), **one}
                    if one != "no event"
                    else one
                    for number, one in enumerate(batch)
                ]
            }
        ).encode()
        for way in ("fast", "long")
    ]
    fast, long = both_ways_in(service, bodies)
    # A way of its own for each event, or the second would be a duplicate of the first.
    told = json.loads(fast.text.replace("fast ", "long "))
    assert (fast.status_code, told) == (long.status_code, long.json())
    assert comparable(fast)[1:3] == comparable(long)[1:3]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"events": 3}', b'{"events": ["\xff"]}', b" " * 1_000_001]
)
def test_activity_that_is_none_is_refused_alike_both_ways(service, body):
    fast, long = both_ways_in(service, [body, body])
    assert fast.status_code in {400, 413}
    assert comparable(fast) == comparable(long)


def test_activity_without_a_key_is_refused_alike_both_ways(service, world):
    body = json.dumps({"events": [world.event("keyless", "cook1")]}).encode()
    fast, long = both_ways_in(service, [body, body], key="nobody's")
    assert fast.status_code == 401
    assert comparable(fast) == comparable(long)


def test_other_methods_are_refused_as_everywhere(service):
    assert service.call("GET", "/v1/decisions", key=service.keys.pans).status_code == 405


def test_every_so_many_decisions_one_is_logged_without_the_consumer(server_url, template, world, tmp_path):
    with world.fresh_database(server_url, template) as url:
        keys = world.furnish(url)
        world.promote(url, world.make_bundle(tmp_path / "home" / "bundles"))
        with world.serving(url, tmp_path, keys=keys, TAILOR_SERVING_LOG_EVERY="2") as service:
            service.until(service.is_ready)
            decided = [service.decide("somebody private") for _ in range(4)]
            refused = service.call("POST", "/v1/decisions", key="nobody's", json={"site_id": "kitchen"})
            service.decide("somebody private")
            lines = service.until(lambda: logged(service, n=3))
    assert [line["status"] for line in lines[:2]] == [200, 200]
    assert [line["decision_id"] for line in lines[:2]] == [
        decided[1]["decision_id"],
        decided[3]["decision_id"],
    ]
    assert lines[0]["promotion_id"] == decided[1]["promotion"]["promotion_id"]
    assert (lines[0]["subscriber_id"], lines[0]["site_id"]) == ("pans", "kitchen")
    assert lines[0]["ms"] > 0
    assert refused.status_code == 401
    assert "somebody private" not in (tmp_path / "service.log").read_text()


def logged(service, *, n):
    lines = [line for line in service.log.read_text().splitlines() if '"route"' in line]
    return [json.loads(line[line.index("{") :]) for line in lines] if len(lines) >= n else None
