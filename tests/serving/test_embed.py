"""The tag, the pixel, and the cookie that the service itself writes."""

from collections.abc import Iterator
from http.cookies import SimpleCookie
from types import SimpleNamespace
from uuid import uuid4

import httpx
import pytest

from storage.activity_cookie import cookie_value

ORIGIN = "https://kitchen.example"
BOTH = ["same_site", "cross_site"]


@pytest.fixture
def browser(service) -> Iterator[SimpleNamespace]:
    """A browser on the kitchen's pages, whose server passes a path on to the service."""
    jar: dict[str, str] = {}

    def took(answer: httpx.Response) -> httpx.Response:
        for line in answer.headers.get_list("set-cookie"):
            for name, morsel in SimpleCookie(line).items():
                jar[name] = morsel.value
                if morsel["max-age"] == "0":
                    del jar[name]
        return answer

    def post(path, **body) -> httpx.Response:
        cookies = "; ".join(f"{name}={value}" for name, value in jar.items())
        headers = {"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin", **({"Cookie": cookies} if jar else {})}
        named = {"site_id": "kitchen", **body}
        return took(service.call("POST", path, key=service.keys.pans_public, headers=headers, json=named))

    def pixel(**query) -> httpx.Response:
        cookies = "; ".join(f"{name}={value}" for name, value in jar.items())
        headers = {"Referer": f"{ORIGIN}/lamps", **({"Cookie": cookies} if jar else {})}
        asked = {"site_id": "kitchen", "key": service.keys.pans_public, "item_id": "lamp1", **query}
        return took(service.call("GET", "/v1/pixel.gif", headers=headers, params=asked))

    yield SimpleNamespace(jar=jar, post=post, pixel=pixel)
    service.client.cookies.clear()


def event(item_id="lamp1", **fields):
    return {"event_id": uuid4().hex, "kind": "page_view", "site_id": "kitchen", "item_id": item_id, **fields}


@pytest.fixture
def refused_cookies(service):
    def count() -> float:
        lines = service.call("GET", "/v1/metrics").text.splitlines()
        return sum(float(one.split()[-1]) for one in lines if one.startswith("tailor_cookies_refused_total{"))

    return count


def test_the_tag_is_served_and_asked_for_again_only_when_it_changed(service):
    answer = service.call("GET", "/v1/tag.js")
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert b"tailor" in answer.content
    again = service.call("GET", "/v1/tag.js", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_in_server_mode_the_service_keeps_the_cookie(browser, service, database_rows):
    answer = browser.post("/v1/consent", purposes=BOTH, mode="server")
    assert answer.json() == {"purposes": BOTH, "identifier": None, "deleted": 0, "limited": 0}
    kept, readable = answer.headers.get_list("set-cookie")
    for part in ("tailor_activity=", "HttpOnly", "Secure", "SameSite=lax", "Max-Age=34128000", "Path=/"):
        assert part in kept
    assert len(kept) < 500
    assert "HttpOnly" not in readable
    assert browser.jar["tailor_consent"] == "same_site.cross_site"
    # Events and questions name nobody: the cookie does.
    assert browser.post("/v1/activity", events=[event("lamp1"), event("lamp2")]).json()["stored"] == 2
    decision = browser.post("/v1/decisions").json()
    assert (decision["strategy"], decision["promotion"]["promotion_id"]) == ("tailored", "lamp-deal")
    # It is not renewed by visits, and changing one's mind keeps its end.
    browser.post("/v1/consent", purposes=["same_site"], mode="server")
    assert browser.post("/v1/activity", events=[event("lamp3")]).json()["stored"] == 1
    withdrawn = browser.post("/v1/consent", purposes=[], mode="server")
    assert withdrawn.json()["deleted"] == 3
    assert browser.jar == {}
    assert browser.post("/v1/decisions").json()["strategy"] == "popularity"


def test_after_a_reset_it_is_another_visitor(browser):
    browser.post("/v1/consent", purposes=BOTH, mode="server")
    first = browser.jar["tailor_activity"]
    browser.post("/v1/activity", events=[event("lamp1")])
    browser.post("/v1/consent", purposes=BOTH, mode="server", reset=True)
    assert browser.jar["tailor_activity"] != first
    assert browser.post("/v1/decisions").json()["strategy"] == "popularity"


def test_a_refusal_sets_no_cookie(browser):
    answer = browser.post("/v1/consent", purposes=[], mode="server")
    assert "set-cookie" not in answer.headers
    assert answer.json()["identifier"] is None


def test_a_cookie_of_the_tag_delivers_its_events_once(browser, database_rows):
    visitor, events = uuid4().hex, [event("lamp1"), event("lamp2")]
    browser.post("/v1/consent", identifier=visitor, purposes=BOTH)
    browser.jar["tailor_activity"] = cookie_value(visitor, consent=BOTH, events=events, site_id="kitchen")
    assert browser.post("/v1/activity").json()["stored"] == 2
    assert browser.post("/v1/activity", events=events).json()["duplicate"] == 4
    rows = database_rows("SELECT item_id FROM activity WHERE identifier = %s ORDER BY 1", visitor)
    assert rows == [("lamp1",), ("lamp2",)]


def unsigned(**content):
    return lambda _: cookie_value("v", **{"consent": BOTH, "events": [], "site_id": "kitchen", **content})


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(lambda signed: signed[:-4] + "AAAA", id="tampered"),
        pytest.param(lambda signed: "!" + signed.split(".")[0], id="malformed"),
        pytest.param(unsigned(events=[{}] * 51), id="oversized"),
        pytest.param(lambda _: "x" * 5000, id="too long"),
        pytest.param(unsigned(site_id="books"), id="foreign"),
    ],
)
def test_a_cookie_that_cannot_be_believed_changes_nothing(browser, refused_cookies, database_rows, value):
    browser.post("/v1/consent", purposes=BOTH, mode="server")
    browser.jar["tailor_activity"] = value(browser.jar["tailor_activity"])
    before, rows = refused_cookies(), database_rows("SELECT count(*) FROM activity")
    told = browser.post("/v1/activity", events=[event()]).json()["events"][0]
    assert told["status"] == "quarantined"
    assert browser.post("/v1/decisions").json()["strategy"] == "popularity"
    assert refused_cookies() == before + 2
    assert database_rows("SELECT count(*) FROM activity") == rows


def test_an_expired_cookie_changes_nothing(browser, refused_cookies):
    import base64
    import json

    old = {"v": 1, "id": "v", "consent": BOTH, "events": [event()], "site": "kitchen", "t": 1_500_000_000}
    browser.jar["tailor_activity"] = base64.urlsafe_b64encode(json.dumps(old).encode()).decode().rstrip("=")
    before = refused_cookies()
    assert browser.post("/v1/activity").status_code == 400
    assert refused_cookies() == before + 1


def test_the_pixel_takes_an_event_of_a_page_without_scripts(browser, database_rows):
    browser.post("/v1/consent", purposes=BOTH, mode="server")
    answer = browser.pixel(event_id="pixel-" + uuid4().hex)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/gif"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.content.startswith(b"GIF89a")
    assert browser.post("/v1/decisions").json()["strategy"] == "tailored"


def test_the_pixel_without_consent_stores_nothing(browser, database_rows):
    before = database_rows("SELECT count(*) FROM activity")
    visitor = uuid4().hex
    for query in ({}, {"identifier": visitor}, {"identifier": visitor, "consent": ""}):
        assert browser.pixel(**query).status_code == 200
    assert database_rows("SELECT count(*) FROM activity") == before
    browser.post("/v1/consent", identifier=visitor, purposes=["same_site"])
    assert browser.pixel(identifier=visitor, consent="same_site").status_code == 200
    assert database_rows("SELECT cross_site FROM activity WHERE identifier = %s", visitor) == [(False,)]


def test_the_pixel_works_on_its_own_pages_only(service, browser):
    headers = {"Referer": "https://evil.example/"}
    asked = {"site_id": "kitchen", "key": service.keys.pans_public, "item_id": "lamp1"}
    assert service.call("GET", "/v1/pixel.gif", headers=headers, params=asked).status_code == 403
    assert service.call("GET", "/v1/pixel.gif", params=asked).status_code == 403


def test_a_secret_key_does_not_belong_in_an_address(service):
    headers = {"Referer": f"{ORIGIN}/"}
    asked = {"site_id": "kitchen", "key": service.keys.pans, "item_id": "lamp1"}
    answer = service.call("GET", "/v1/pixel.gif", headers=headers, params=asked)
    assert answer.status_code == 403
    assert "revoke" in answer.json()["detail"]
