"""The consumer's own page, as a browser without scripts sees it."""

import re
from collections.abc import Iterator
from types import SimpleNamespace
from uuid import uuid4

import httpx
import pytest

ORIGIN = {"Origin": "https://kitchen.example"}
BOTH = ["same_site", "cross_site"]


@pytest.fixture
def person(service) -> Iterator[SimpleNamespace]:
    """Somebody who agreed to everything and looked at two lamps in the kitchen."""
    named = {"site_id": "kitchen", "identifier": uuid4().hex}
    key = service.keys.pans_public

    def call(path, **body):
        return service.call("POST", path, key=key, headers=ORIGIN, json={**named, **body})

    def send(kind, **more):
        event = {"event_id": uuid4().hex, "kind": kind, **named, "consent": BOTH, **more}
        answer = service.call("POST", "/v1/activity", key=key, headers=ORIGIN, json={"events": [event]})
        assert answer.json()["stored"] == 1, answer.text

    call("/v1/consent", purposes=BOTH)
    for lamp in ("lamp1", "lamp2"):
        send("page_view", item_id=lamp)
    with httpx.Client(base_url=service.url, follow_redirects=True) as browser:

        def opens_page() -> httpx.Response:
            url = call("/v1/me/links").json()["url"]
            # httpx keeps no Secure cookie of a plain address; browsers do on this machine.
            answer = browser.get(url, follow_redirects=False)
            while answer.is_redirect:
                if "set-cookie" in answer.headers:
                    browser.headers["Cookie"] = answer.headers["set-cookie"].split(";")[0]
                answer = browser.get(answer.headers["location"], follow_redirects=False)
            return answer

        yield SimpleNamespace(named=named, call=call, send=send, browser=browser, opens_page=opens_page)


def test_the_page_shows_what_is_kept_and_why_promotions_were_shown(person):
    shown = person.call("/v1/decisions", consent=BOTH).json()["promotion"]
    person.send("promotion_view", decision=shown["token"])
    page = person.opens_page()
    assert page.status_code == 200
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.text))
    assert "You viewed Lamp1" in text
    assert "2 pages viewed" in text
    assert "1 offer shown" in text
    assert re.search(r"Light: Lamp\d +at Kitchen, because you viewed Lamp[12] at Kitchen", text)
    assert page.headers["cache-control"] == "no-store"
    assert "script" not in page.text
    # The session is in a cookie, and the token out of the address.
    assert "token" not in str(page.url)
    for part in ("tailor_me=",):
        assert part in person.browser.headers["Cookie"]


def test_consent_is_changed_for_a_site_at_once(person, database_rows):
    person.opens_page()
    form = {"site_id": "kitchen", "choice": "site"}
    assert person.browser.post("/me/consent", data=form).status_code == 200
    name = person.named["identifier"]
    rows = database_rows("SELECT same_site, cross_site FROM activity WHERE identifier = %s", name)
    assert rows == [(True, False)] * 2
    assert person.browser.post("/me/consent", data={**form, "choice": "nothing"}).status_code == 200
    assert database_rows("SELECT FROM activity WHERE identifier = %s", name) == []
    # The shop's tag still says what was agreed to there.
    assert person.call("/v1/decisions", consent=BOTH).json()["strategy"] == "popularity"
    assert "checked> not at all" in person.opens_page().text
    refused = person.browser.post("/me/consent", data={**form, "choice": "more"})
    assert (refused.status_code, "not one of all, site, nothing" in refused.text) == (400, True)


def test_everything_can_be_downloaded(person):
    person.opens_page()
    answer = person.browser.get("/me/download")
    assert "my-data.json" in answer.headers["content-disposition"]
    kept = answer.json()
    assert {row["item_id"] for row in kept["activity"]} == {"lamp1", "lamp2"}


def test_erasing_leaves_nothing_and_ends_the_session(person, database_rows):
    person.opens_page()
    answer = person.browser.post("/me/erase")
    assert "It is gone" in answer.text
    assert 'tailor_me=""' in answer.headers["set-cookie"]
    name = person.named["identifier"]
    assert database_rows("SELECT FROM identifier WHERE identifier = %s", name) == []
    assert database_rows("SELECT FROM activity WHERE identifier = %s", name) == []
    assert person.call("/v1/decisions", consent=BOTH).json()["strategy"] == "popularity"
    assert "Nothing is kept of you" in person.opens_page().text


@pytest.mark.parametrize("path", ["/me/erase", "/me/consent"])
def test_another_sites_page_can_change_nothing(person, database_rows, path):
    person.opens_page()
    form = {"site_id": "kitchen", "choice": "nothing"}
    answer = person.browser.post(path, data=form, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 400
    assert len(database_rows("SELECT FROM activity WHERE identifier = %s", person.named["identifier"])) == 2


def test_who_is_not_known_is_told_how_to_come_back(service):
    page = service.call("GET", "/me", follow_redirects=True)
    assert page.status_code == 200
    assert "We do not know who you are here" in page.text


@pytest.mark.parametrize("token", ["", "x", "a.b"])
def test_a_token_that_is_not_ours_opens_nothing(service, token):
    page = service.call("GET", f"/me/?token={token}", follow_redirects=True)
    assert page.status_code == 400
    assert "does not count" in page.text


def test_a_link_to_a_site_does_not_open_the_page(service, person):
    token = person.call("/v1/links", consent=BOTH, to_site="books").json()["token"]
    page = service.call("GET", f"/me/?token={token}", follow_redirects=True)
    assert page.status_code == 400


def test_what_a_consumer_did_is_shown_as_text(service, person):
    person.send("page_view", item_id="<img src=x onerror=alert(1)>")
    page = person.opens_page()
    assert "<img" not in page.text
    assert "&lt;img src=x onerror=alert(1)&gt;" in page.text
