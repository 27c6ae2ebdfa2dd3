"""Requests that come too often or are too long, over HTTP."""

import ast
from pathlib import Path

import pytest

import serving

ORIGIN = "https://books.example"
ASKED = {"identifier": "v", "site_id": "books"}
# Each test comes from an address of its own.
MAX_BURST = 60


@pytest.fixture(scope="module")
def strict(server_url, template, world, tmp_path_factory):
    """A service behind one proxy that answers little at once."""
    directory = tmp_path_factory.mktemp("strict")
    with world.fresh_database(server_url, template) as url:
        keys = world.furnish(url)
        settings = {
            "TAILOR_SERVING_RATE_PER_ADDRESS": "1",
            "TAILOR_SERVING_RATE_PER_KEY": "4",
            "TAILOR_SERVING_TRUSTED_PROXIES": "1",
        }
        with world.serving(url, directory, keys=keys, **settings) as service:
            service.until(service.is_ready)
            yield service


def until_refused(service, method, path, *, address, most=MAX_BURST, **request):
    headers = {"X-Forwarded-For": address, **request.pop("headers", {})}
    for _ in range(most):
        answer = service.call(method, path, headers=headers, **request)
        if answer.status_code == 429:
            return answer
    return None


def test_a_page_reads_that_its_visitor_asks_too_often_and_others_go_on(strict):
    asked = {"key": strict.keys.pages_public, "headers": {"Origin": ORIGIN}, "json": ASKED}
    answer = until_refused(strict, "POST", "/v1/decisions", address="203.0.113.1", **asked)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json() == {
        "type": "urn:tailored-promotions:problem:too-many-requests",
        "title": "Too many requests",
        "status": 429,
        "detail": "too many requests from this address; ask again in 1 s",
    }
    headers = {"Origin": ORIGIN, "X-Forwarded-For": "203.0.113.2"}
    other = strict.call("POST", "/v1/decisions", key=strict.keys.pages_public, headers=headers, json=ASKED)
    assert other.status_code == 200
    page = strict.call("GET", "/v1/metrics", headers={"X-Forwarded-For": "203.0.113.3"}).text
    assert 'tailor_rate_limited_total{limit="address"}' in page


def test_a_secret_key_speaks_for_many_from_one_address_and_has_a_limit_of_its_own(strict):
    asked = {"key": strict.keys.pages, "json": ASKED}
    once = until_refused(strict, "POST", "/v1/decisions", address="203.0.113.4", most=30, **asked)
    assert once is None
    answer = until_refused(strict, "POST", "/v1/decisions", address="203.0.113.4", most=300, **asked)
    assert "from this key" in answer.json()["detail"]
    other = strict.call("GET", "/v1/sites", key=strict.keys.pans, headers={"X-Forwarded-For": "203.0.113.4"})
    assert other.status_code == 200


@pytest.mark.parametrize("path", ["/promotion", "/v1/consumers/c", "/v1/nothing"])
def test_guessing_keys_is_slow_on_every_route(strict, path):
    method = "GET" if path.startswith("/v1/c") else "POST"
    answer = until_refused(strict, method, path, address=f"203.0.113.{10 + len(path)}", key="tp_secret_guess")
    assert answer.json()["title"] == "Too many requests"


@pytest.mark.parametrize("path", ["/me", "/me/", "/me/?token=guess", "/me/download"])
def test_guessing_links_to_a_persons_page_is_slow(strict, path):
    address = f"198.51.100.{len(path)}"
    answer = until_refused(strict, "GET", path, address=address)
    assert answer.json()["title"] == "Too many requests"
    assert strict.call("GET", "/livez", headers={"X-Forwarded-For": address}).status_code == 200


def operations(service):
    told = service.call("GET", "/v1/openapi.json").json()
    return [
        (method.upper(), "/v1" + path.replace("{", "").replace("}", ""))
        for path, methods in told["paths"].items()
        for method in methods
        if method in ("post", "put", "patch")
    ]


@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "in chunks"])
def test_a_body_that_is_too_long_is_refused_by_every_route(service, chunked):
    body = b'{"events": [' + b" " * 1_200_000 + b"]}"
    parts = [body[start : start + 50_000] for start in range(0, len(body), 50_000)]
    found = [*operations(service), ("POST", "/promotion")]
    assert len(found) > 8
    for method, path in found:
        answer = service.call(
            method,
            path,
            key=service.keys.pages,
            content=iter(parts) if chunked else body,
            headers={"Content-Type": "application/json"},
        )
        assert answer.status_code == 413, (method, path, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"


def test_serving_cannot_fetch_what_a_caller_names():
    clients = {
        "httpx",
        "requests",
        "aiohttp",
        "urllib3",
        "http",
        "ftplib",
        "httpcore",
        "socket",
        "websockets",
    }
    for path in Path(serving.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            for name in names:
                # `http.HTTPStatus` and cookies are words, not a way out.
                words = name in ("http.HTTPStatus",) or name.startswith("http.cookies")
                assert words or name.split(".")[0] not in clients, f"{path.name} imports {name}"
                assert not name.startswith("urllib.request"), f"{path.name} imports {name}"
