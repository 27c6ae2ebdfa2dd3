"""The fast way to a decision answers as the long one does, whatever is asked."""

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
    assert fast.headers["access-control-allow-origin"] == "*"


def test_other_methods_are_refused_as_everywhere(service):
    assert service.call("GET", "/v1/decisions", key=service.keys.pans).status_code == 405
