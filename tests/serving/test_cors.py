"""Which pages may read the answers."""

import pytest

from storage.database import Database
from storage.subscribers import set_subscriber_status

OURS, STRANGE = "https://books.example", "https://evil.example"


def preflight(service, origin, *, method="POST"):
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    return service.call("OPTIONS", "/v1/decisions", headers=headers)


def cors(answer):
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control")}


def ask(service, origin, *, key=None, body=None):
    asked = {"identifier": "v", "site_id": "books"} if body is None else body
    return service.call(
        "POST",
        "/v1/decisions",
        key=key or service.keys.pages_public,
        headers={"Origin": origin},
        json=asked,
    )


def test_a_page_of_a_subscriber_may_ask_with_cookies_and_need_not_ask_before_for_two_hours(service):
    answer = preflight(service, OURS)
    assert answer.status_code == 200
    assert cors(answer) == {
        "access-control-allow-origin": OURS,
        "access-control-allow-credentials": "true",
        "access-control-allow-methods": "GET, POST",
        "access-control-allow-headers": ", ".join(
            ["Accept", "Accept-Language", "Authorization", "Content-Language", "Content-Type"]
        ),
        "access-control-max-age": "7200",
    }
    assert "Origin" in answer.headers["vary"]


@pytest.mark.parametrize("body", [None, {"site_id": "kitchen"}, {}], ids=["answered", "forbidden", "bad"])
def test_a_page_of_a_subscriber_may_read_answers_and_refusals(service, body):
    answer = ask(service, OURS, body=body)
    assert cors(answer) == {
        "access-control-allow-origin": OURS,
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": "Retry-After",
    }
    assert "Origin" in answer.headers["vary"]


@pytest.mark.parametrize(
    "origin",
    [
        STRANGE,
        "https://books.example.evil",
        "http://books.example",
        "https://books.example:8443",
        "null",
        "*",
    ],
)
def test_other_pages_are_told_nothing_by_any_route(service, origin):
    told = [preflight(service, origin), ask(service, origin)]
    told += [service.call("GET", path, headers={"Origin": origin}) for path in ("/v1/health", "/v1/nothing")]
    assert [cors(answer) for answer in told] == [{}, {}, {}, {}]
    assert "Origin" in told[1].headers["vary"]


def test_a_page_may_only_do_what_public_keys_are_for(service):
    assert preflight(service, OURS, method="DELETE").status_code == 400


def test_a_server_that_is_no_page_needs_none_of_it(service):
    assert cors(service.call("GET", "/v1/health")) == {}


def test_the_pages_of_a_suspended_subscriber_are_strange_pages(service):
    def let(status):
        with Database(service.database_url) as database, database.connection() as connection:
            set_subscriber_status(connection, "pages", status=status)

    let("suspended")
    try:
        service.until(lambda: cors(ask(service, OURS)) == {})
    finally:
        let("active")
        service.until(lambda: cors(ask(service, OURS)))
