"""Consent first: what is stored, set and shown for each thing that a person can have said."""

from collections.abc import Iterator
from types import SimpleNamespace
from uuid import uuid4

import httpx
import pytest

BOOKS, KITCHEN = {"Origin": "https://books.example"}, {"Origin": "https://kitchen.example"}
BOTH = ["same_site", "cross_site"]


@pytest.fixture
def browser(service) -> Iterator[SimpleNamespace]:
    """A browser on a page of `books`, or of another site: what its tag sends, and what comes back."""
    visitor = uuid4().hex

    def post(path, body, *, site="books", gpc=False, **headers) -> httpx.Response:
        key, origin = (
            (service.keys.pages_public, BOOKS) if site == "books" else (service.keys.pans_public, KITCHEN)
        )
        signals = {"Sec-GPC": "1"} if gpc else {}
        named = {"site_id": site, **body}
        return service.call("POST", path, key=key, json=named, headers={**origin, **signals, **headers})

    def look(*items, consent=BOTH, site="books", name=visitor, said=False, **more) -> httpx.Response:
        # As the tag does: the word first, and only a positive one.
        if not said and consent and set(consent) <= set(BOTH):
            body = {"identifier": name, "purposes": consent}
            assert post("/v1/consent", body, site=site, gpc=more.get("gpc", False)).status_code == 200
        events = [
            {
                "event_id": uuid4().hex,
                "kind": "page_view",
                "item_id": item,
                "site_id": site,
                **({} if name is None else {"identifier": name}),
                **({} if consent is None else {"consent": consent}),
            }
            for item in items
        ]
        return post("/v1/activity", {"events": events}, site=site, **more)

    yield SimpleNamespace(visitor=visitor, post=post, look=look)
    service.client.cookies.clear()


@pytest.fixture
def rows_of(database_rows):
    """How many rows anywhere name somebody."""

    def count(name: str) -> int:
        tables = ("activity", "identifier", "consent")
        found = [
            database_rows(f"SELECT count(*) FROM {table} WHERE identifier = %s", name) for table in tables
        ]
        found.append(database_rows("SELECT count(*) FROM quarantine WHERE strpos(payload, %s) > 0", name))
        return sum(row[0][0] for row in found)

    return count


#: What was said, what a call sends of it, and what that allows on the site itself and across sites.
STATES = {
    "no signal": ({"consent": None}, False, False),
    "refused": ({"consent": []}, False, False),
    "malformed": ({"consent": ["everything"]}, False, False),
    "withdrawn": ({"consent": BOTH}, False, True),
    "GPC": ({"consent": BOTH, "gpc": True}, True, False),
    "GPC, cross-site only": ({"consent": ["cross_site"], "gpc": True}, False, False),
    "granted same-site": ({"consent": ["same_site"]}, True, False),
    "granted all": ({"consent": BOTH}, True, True),
}

#: Every call that a public key opens, with a body for it.
CALLS = {
    "POST /v1/activity": {},
    "POST /v1/decisions": {},
    "POST /promotion": {},
    "GET /v1/pixel.gif": {"item_id": "lamp3", "kind": "page_view"},
    "POST /v1/consent": {},
    "POST /v1/links": {"to_site": "books"},
    "POST /v1/identities": {"link": "no link"},
    "POST /v1/me/links": {},
    "GET /v1/tag.js": {},
}


def test_every_call_that_a_browser_may_make_is_looked_at_for_every_word(service):
    paths = service.call("GET", "/v1/openapi.json").json()["paths"]
    described = {
        f"{method.upper()} /v1{path}"
        for path, methods in paths.items()
        for method, call in methods.items()
        if {"decide", "collect", "consent", "browser"} & set(call.get("tags", []))
    }
    assert described == set(CALLS) - {"POST /promotion"}


@pytest.mark.parametrize("said", STATES)
@pytest.mark.parametrize("call", CALLS)
def test_what_is_written_set_and_shown_for_each_word(service, browser, rows_of, call, said):
    """Rows, cookies and the strategy: each call, for each thing that a person can have said."""
    sent, on_site, across = STATES[said]
    gpc, visitor = sent.get("gpc", False), browser.visitor
    method, path = call.split()
    if said == "withdrawn":
        for purposes in (BOTH, []):
            browser.post("/v1/consent", {"identifier": visitor, "purposes": purposes}, site="kitchen")
    elif path in ("/v1/decisions", "/promotion"):
        browser.look("lamp1", "lamp2", site="kitchen", **sent)
    elif path != "/v1/consent" and said not in ("no signal", "refused", "malformed"):
        body = {"identifier": visitor, "purposes": sent["consent"]}
        browser.post("/v1/consent", body, site="kitchen", gpc=gpc)
    before = rows_of(visitor)
    stated = {} if sent["consent"] is None else {"consent": sent["consent"]}
    named = {"identifier": visitor, **stated, **CALLS[call]}
    elsewhere = {"Sec-Fetch-Site": "cross-site"}
    if path == "/v1/activity":
        answer = browser.look("lamp1", "lamp2", site="kitchen", said=True, **sent, **elsewhere)
    elif path == "/v1/consent":
        purposes = [] if said == "withdrawn" else sent["consent"] or []
        body = {"identifier": visitor, "purposes": purposes}
        answer = browser.post(path, body, site="kitchen", gpc=gpc, **elsewhere)
    elif method == "POST":
        answer = browser.post(path, named, site="kitchen", gpc=gpc, **elsewhere)
    else:
        query = {"site_id": "kitchen", "key": service.keys.pans_public, **named}
        if "consent" in query:
            query["consent"] = " ".join(query["consent"])
        headers = {"Referer": "https://kitchen.example/", **elsewhere, **({"Sec-GPC": "1"} if gpc else {})}
        answer = service.call("GET", path, params=query, headers=headers)
    written = rows_of(visitor) - before

    stores, word = on_site or (across and said != "withdrawn"), said == "malformed"
    expected_rows = {
        # The events, and the visitor's name; of a malformed word what came goes into quarantine.
        "/v1/activity": 3 if stores else 2 if word else 0,
        "/v1/pixel.gif": 2 if stores else 1 if word else 0,
        # A word is kept by this call only, a positive one; withdrawn twice is withdrawn.
        "/v1/consent": 1 if stores else 0,
    }
    assert written == expected_rows.get(path, 0), answer.text
    refused = 200 if across else 403
    expected_status = {
        "/v1/consent": 400 if word else 200,
        "/v1/links": refused,
        "/v1/identities": 400 if across else 403,
    }
    assert answer.status_code == expected_status.get(path, 200), answer.text
    if path in ("/v1/decisions", "/promotion"):
        decision = answer.json()
        assert decision["strategy"] == ("tailored" if on_site else "popularity")
        assert decision["promotion"] is not None
        assert decision["consumer_id"] is None
    sets = across and stores and path in ("/v1/activity", "/v1/pixel.gif")
    assert ("tailor_network" in answer.headers.get("set-cookie", "")) == sets


@pytest.mark.parametrize("path", ["/v1/decisions", "/v1/activity"])
def test_a_browser_names_visitors_of_its_own_site_only(service, world, browser, path, database_rows):
    name = {"consumer_id": f"somebody-{uuid4().hex}", "consent": BOTH}
    event = {"event_id": uuid4().hex, "kind": "page_view", "item_id": "cook1", "site_id": "books", **name}
    body = name if path == "/v1/decisions" else {"events": [event]}
    answer = browser.post(path, body)
    if path == "/v1/decisions":
        assert answer.status_code == 403
        assert "public key" in answer.json()["detail"]
    else:
        assert answer.json()["stored"] == 0
        assert "public key" in answer.json()["events"][0]["reason"]
    assert database_rows("SELECT FROM activity WHERE identifier = %s", name["consumer_id"]) == []


def test_withdrawal_works_at_once_and_for_what_comes_late(browser, database_rows):
    browser.post("/v1/consent", {"identifier": browser.visitor, "purposes": BOTH}, site="kitchen")
    browser.look("lamp1", "lamp2", site="kitchen")
    answer = browser.post("/v1/consent", {"identifier": browser.visitor, "purposes": []}, site="kitchen")
    assert answer.json() == {"purposes": [], "identifier": browser.visitor, "deleted": 2, "limited": 0}
    assert database_rows("SELECT FROM activity WHERE identifier = %s", browser.visitor) == []
    late = browser.look("lamp3", site="kitchen", said=True).json()
    assert (late["stored"], late["events"][0]["reason"]) == (0, "consent withdrawn")
    assert late["withdrawn"] is True
    named = {"identifier": browser.visitor, "consent": BOTH}
    assert browser.post("/v1/decisions", named, site="kitchen").json()["strategy"] == "popularity"


def test_a_cookie_that_outlives_its_visitor_counts_for_nothing(service, browser, rows_of):
    """Erased, one is forgotten until one agrees again, whatever the shop's cookie still says."""
    assert browser.look("lamp1", site="kitchen").json()["withdrawn"] is False
    path = f"/v1/consumers/{consumer_of('kitchen', browser.visitor)}"
    assert service.call("DELETE", path, key=service.keys.pans).status_code == 200
    late = browser.look("lamp2", site="kitchen", said=True).json()
    assert (late["stored"], late["withdrawn"]) == (0, True)
    assert late["events"][0]["reason"] == "no consent on record"
    # The tag takes that for a withdrawal, of which nothing is kept: it would be the only trace.
    body = {"identifier": browser.visitor, "purposes": []}
    assert browser.post("/v1/consent", body, site="kitchen").status_code == 200
    assert rows_of(browser.visitor) == 0
    assert browser.look("lamp2", site="kitchen").json()["stored"] == 1


def test_withdrawing_use_across_sites_leaves_the_site_itself(service, browser):
    browser.post("/v1/consent", {"identifier": browser.visitor, "purposes": BOTH}, site="kitchen")
    browser.look("lamp1", "lamp2", site="kitchen")
    narrowed = {"identifier": browser.visitor, "purposes": ["same_site"]}
    assert browser.post("/v1/consent", narrowed, site="kitchen").json()["limited"] == 2
    named = {"identifier": browser.visitor, "consent": BOTH}
    assert browser.post("/v1/decisions", named, site="kitchen").json()["strategy"] == "tailored"
    # What comes now says everything again, and counts for no more than was agreed to.
    assert browser.look("lamp3", site="kitchen", said=True).json()["stored"] == 1
    rows = service.call(
        "GET", f"/v1/consumers/{consumer_of('kitchen', browser.visitor)}", key=service.keys.pans
    ).json()
    assert {row["cross_site"] for row in rows["activity"]} == {False}


def test_a_server_says_what_a_consumer_agrees_to_on_its_sites(service, world, database_rows):
    name = uuid4().hex
    service.send(world.event(name, "fiction1"), world.event(name, "fiction2"))
    service.send(world.event(name, "lamp1", site_id="kitchen"), key=service.keys.pans)
    path, body = f"/v1/consumers/{name}", {"purposes": ["same_site"]}
    answer = service.call("PUT", path, key=service.keys.pages, json=body)
    assert answer.json() == {"consumer_id": name, "purposes": ["same_site"], "deleted": 0, "limited": 2}
    query = "SELECT site_id, cross_site FROM activity WHERE identifier = %s ORDER BY 1, 2"
    assert database_rows(query, name) == [("books", False), ("books", False), ("kitchen", True)]
    # Later events of the server count for no more, whatever its basis.
    service.send(world.event(name, "fiction3"))
    assert database_rows(query, name).count(("books", False)) == 3
    body = {"purposes": [], "site_id": "books"}
    assert service.call("PUT", path, key=service.keys.pages, json=body).json()["deleted"] == 3
    assert service.call("PUT", path, key=service.keys.pans, json=body).status_code == 403


@pytest.mark.parametrize("stated", [{}, {"consent": None}, {"consent": ""}, {"consent": []}])
def test_a_servers_basis_does_not_stretch_what_the_visitors_cookie_says(
    service, browser, database_rows, stated
):
    said = browser.post("/v1/consent", {"purposes": ["same_site"], "mode": "server"}, site="kitchen")
    cookie = next(one for one in said.headers.get_list("set-cookie") if one.startswith("tailor_activity"))
    event = {
        "event_id": uuid4().hex,
        "kind": "page_view",
        "item_id": "lamp1",
        "site_id": "kitchen",
        # Whose this is says the cookie: an identifier is no part of it.
        "namespace": "network",
        **stated,
    }
    headers = {"Cookie": cookie.split(";")[0]}
    sent = {"events": [event], "site_id": "kitchen"}
    answer = service.call("POST", "/v1/activity", key=service.keys.pans, json=sent, headers=headers)
    rows = database_rows("SELECT namespace, cross_site FROM activity WHERE event_id = %s", event["event_id"])
    expected = [] if stated.get("consent") == [] else [("site:kitchen", False)]
    assert (rows, answer.json()["stored"]) == (expected, len(expected))


def consumer_of(site, visitor):
    from storage.events import derived_consumer_id

    return derived_consumer_id(f"site:{site}", visitor)


def test_with_gpc_nothing_crosses_sites_whatever_was_stored(service, browser):
    browser.look("fiction1", "fiction2")
    login = {"login": uuid4().hex}
    named = {"identifier": browser.visitor}
    for site, key in (("books", service.keys.pages), ("kitchen", service.keys.pans)):
        told = service.call("POST", "/v1/identities", key=key, json={"site_id": site, **named, **login})
        assert told.json()["merged"], told.text
    asked = {**named, "consent": BOTH}
    assert browser.post("/v1/decisions", asked, site="kitchen").json()["strategy"] == "tailored"
    answer = browser.post("/v1/decisions", asked, site="kitchen", gpc=True).json()
    assert (answer["strategy"], answer["promotion"]["reasons"]) == ("popularity", [])


def test_a_link_carries_the_visitor_to_the_second_site_once(service, browser):
    browser.look("fiction1", "fiction2")
    named = {"identifier": browser.visitor, "consent": BOTH}
    token = browser.post("/v1/links", {**named, "to_site": "kitchen"}).json()["token"]
    assert browser.visitor not in token
    other, third = ({"identifier": uuid4().hex, "consent": BOTH, "link": token} for _ in range(2))
    assert browser.post("/v1/identities", other, site="kitchen").json()["merged"] is True
    told = browser.post("/v1/identities", third, site="kitchen").json()
    assert (told["merged"], "followed before" in told["reason"]) == (False, True)
    asked = {"identifier": other["identifier"], "consent": BOTH}
    decision = browser.post("/v1/decisions", asked, site="kitchen").json()
    assert decision["promotion"]["promotion_id"] == "lamp-deal"
    elsewhere = browser.post("/v1/identities", other)
    assert elsewhere.status_code == 400
    assert "leads to 'kitchen'" in elsewhere.json()["detail"]


def test_two_logins_stay_two_people(service, browser):
    named = {"site_id": "books", "identifier": browser.visitor}
    ann, bob = uuid4().hex, uuid4().hex
    for login, merged in ((ann, True), (ann, False), (bob, False)):
        told = service.call("POST", "/v1/identities", key=service.keys.pages, json={**named, "login": login})
        assert told.json()["merged"] is merged
    assert "different logins" in told.json()["reason"]


def test_a_login_is_told_by_servers_only_and_never_as_an_address(service, browser):
    named = {"identifier": browser.visitor, "consent": BOTH}
    assert browser.post("/v1/identities", {**named, "login": "hash"}).status_code == 403
    body = {"site_id": "books", **named, "login": "a@b.example"}
    told = service.call("POST", "/v1/identities", key=service.keys.pages, json=body)
    assert told.status_code == 400
    assert "never the address" in told.json()["detail"]


def test_the_cookie_of_the_network_makes_visitors_of_two_sites_one(service, browser):
    first = browser.look("fiction1", "fiction2", **{"Sec-Fetch-Site": "cross-site"})
    set_cookie = first.headers["set-cookie"]
    for part in ("tailor_network=", "HttpOnly", "Secure", "SameSite=none", "Max-Age=34128000"):
        assert part.lower() in set_cookie.lower()
    sent = {"Sec-Fetch-Site": "cross-site", "Cookie": set_cookie.split(";")[0]}
    other = uuid4().hex
    second = browser.look("lamp1", site="kitchen", name=other, **sent)
    assert second.json()["stored"] == 1
    # It is not renewed by visits.
    assert "set-cookie" not in second.headers
    asked = {"identifier": other, "consent": BOTH}
    reasons = browser.post("/v1/decisions", asked, site="kitchen").json()["promotion"]["reasons"]
    assert {reason["site_id"] for reason in reasons} == {"books", "kitchen"}


@pytest.mark.parametrize("more", [{"consent": ["same_site"]}, {"gpc": True}, {"consent": None}])
def test_no_cookie_of_the_network_without_consent_to_use_across_sites(browser, more):
    answer = browser.look("fiction1", **more, **{"Sec-Fetch-Site": "cross-site"})
    assert "set-cookie" not in answer.headers


def test_a_forged_cookie_of_the_network_changes_nothing(service, browser, database_rows):
    before = service.call("GET", "/v1/metrics").text.count("tailor_cookies_refused_total{")
    sent = {"Sec-Fetch-Site": "cross-site", "Cookie": "tailor_network=eyJpZCI6ImFubiIsInQiOjF9.AAAA"}
    assert browser.look("fiction1", **sent).json()["stored"] == 1
    assert service.call("GET", "/v1/metrics").text.count("tailor_cookies_refused_total{") >= max(before, 1)
    assert database_rows("SELECT FROM merge WHERE into_consumer = 'ann'") == []
