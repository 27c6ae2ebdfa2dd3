"""The tag in a real browser, against pages and a service of the test's own."""

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from serving.browser.tag import SOURCE, tag_etag, tag_source
from tests.browser.conftest import Network

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]

BOTH = ["same_site", "cross_site"]
SLOT = '<div data-tailor="hero" style="width: 320px; height: 220px; overflow: hidden">ours</div>'
STUB = "window.tailor = window.tailor || function () { (tailor.q = tailor.q || []).push(arguments) };"
LIFE_S = 395 * 86400


def html(network: Network, *, head: str = "", body: str = SLOT, script: str = "", **data: str) -> str:
    data = {"site": "shop", "key": "tp_public_test", "placement": "hero", **data}
    attributes = " ".join(f'data-{name}="{value}"' for name, value in data.items())
    return (
        f"<!doctype html><html lang=en><head><title>Shop</title>{head}<script>{STUB}{script}</script>"
        f'<script async src="{network.service}/tag.js" {attributes}></script></head>'
        f"<body>{body}<p id=below>below</p></body></html>"
    )


def offer(**fields: Any) -> dict[str, Any]:
    """A decision that shows something."""
    promotion = {
        "promotion_id": "p1",
        "title": "20 % off Merlot",
        "body": "This week.",
        "image_url": None,
        "landing_url": None,
        "code": "RED20",
        "item": {"site_id": "shop", "item_id": "wine-1", "title": "Merlot", "url": None, "image_url": None},
        "token": "signed",
        "reasons": [],
        **fields,
    }
    return {"strategy": "tailored", "promotion": promotion, "reason": None}


def cookie_of(context: BrowserContext) -> Any:
    """The activity cookie as the browser keeps it, with its content under `content`."""
    found: Any = next((one for one in context.cookies() if one["name"] == "tailor_activity"), None)
    if found is None:
        return None
    value = found["value"]
    content = json.loads(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)))
    return {**found, "content": content}


def events_in(context: BrowserContext) -> list[Any]:
    cookie = cookie_of(context)
    return [] if cookie is None else list(cookie["content"]["events"])


def visit(network: Network, page: Page, path: str = "/", **parts: Any) -> None:
    """Open a page and wait until the tag has asked what to show there."""
    network.pages["shop", path.split("?", maxsplit=1)[0]] = html(network, **parts)
    before = len(network.called("/decisions"))
    page.goto(network.url(path))
    network.until(lambda: len(network.called("/decisions")) > before, page)


def agree(network: Network, page: Page, purposes: list[str] = BOTH) -> None:
    """Consent, and wait until the service knows."""
    before = len(network.called("/consent"))
    page.evaluate("purposes => tailor('consent', purposes)", purposes)
    network.until(lambda: len(network.called("/consent")) > before, page)


def delivered(network: Network, page: Page, context: BrowserContext, count: int) -> list[dict[str, Any]]:
    """Wait for so many events at the service and an empty cookie."""
    network.until(lambda: len(network.events()) >= count and not events_in(context), page)
    return network.events()


def test_the_tag_is_less_than_5_kb_gzipped_and_its_etag_is_of_what_is_served():
    assert len(gzip.compress(tag_source(), 6)) < 5_000
    assert re.fullmatch(r'"[0-9a-f]{20}"', tag_etag())


def test_the_reference_tells_of_every_command_and_attribute():
    source, reference = SOURCE.read_text(), (ROOT / "docs" / "reference.md").read_text()
    commands = re.findall(
        r"^    (\w+)(?:\(\w*\) \{|: contact,)", source.split("const commands")[1], flags=re.M
    )
    assert {"consent", "refresh", "on"} < set(commands)
    assert [name for name in commands if f"`tailor('{name}'" not in reference] == []
    attributes = {"site", "key", "mode"} | set(re.findall(r"script\.dataset\.(\w+)", source))
    assert [name for name in attributes if f"| `data-{name}" not in reference] == []


# ---- Consent


def test_without_consent_nothing_is_kept_or_sent_and_a_promotion_is_still_asked_for(
    network: Network, page: Page, context: BrowserContext
):
    network.answers["/decisions"] = lambda _: offer()
    visit(network, page, head='<meta name="tailor:item" content="wine-1">')
    page.evaluate("tailor('review', {item_id: 'wine-1'}); tailor('purchase', {item_id: 'wine-1'})")
    page.get_by_text("20 % off Merlot").click()
    page.wait_for_timeout(1300)  # longer than an impression takes
    assert {call.path for call in network.calls} == {"/v1/decisions"}
    assert network.called("/decisions")[0].body == {"site_id": "shop", "placement": "hero"}
    assert context.cookies() == []
    assert page.evaluate("sessionStorage.length + localStorage.length") == 0


def test_a_refusal_by_somebody_who_never_agreed_calls_nothing(
    network: Network, page: Page, context: BrowserContext
):
    visit(network, page)
    page.evaluate("tailor('consent', [])")
    page.wait_for_timeout(200)
    assert {call.path for call in network.calls} == {"/v1/decisions"}
    assert context.cookies() == []


def test_with_consent_the_page_view_arrives_and_the_cookie_holds_the_visitor_and_no_delivered_event(
    network: Network, page: Page, context: BrowserContext
):
    visit(network, page, head='<meta name="tailor:item" content="wine-1">')
    agree(network, page)
    (event,) = delivered(network, page, context, 1)
    network.until(lambda: "pending" not in cookie_of(context)["content"], page)
    cookie = cookie_of(context)
    content = cookie["content"]
    assert {**event, "event_id": "", "occurred_at": ""} == {
        "site_id": "shop",
        "identifier": content["id"],
        "consent": BOTH,
        "event_id": "",
        "kind": "page_view",
        "item_id": "wine-1",
        "occurred_at": "",
    }
    assert UUID(content["id"]).version == 4
    assert {**content, "t": 0} == {
        "v": 1,
        "id": content["id"],
        "consent": BOTH,
        "events": [],
        "site": "shop",
        "t": 0,
    }
    assert (cookie["path"], cookie["sameSite"], cookie["domain"]) == ("/", "Lax", "shop.localhost")
    assert abs(cookie["expires"] - content["t"] - LIFE_S) <= 2
    (consent,) = network.called("/consent")
    assert consent.body == {"site_id": "shop", "identifier": content["id"], "purposes": BOTH}
    assert consent.headers["authorization"] == "Bearer tp_public_test"
    network.until(lambda: network.called("/decisions")[-1].body.get("identifier") == content["id"], page)
    assert network.called("/decisions")[-1].body["consent"] == BOTH


def test_visits_do_not_renew_the_cookie(network: Network, page: Page, context: BrowserContext):
    visit(network, page)
    agree(network, page)
    delivered(network, page, context, 1)
    first = cookie_of(context)
    old = {**first["content"], "t": first["content"]["t"] - 300 * 86400}
    put_cookie(network, context, old)
    visit(network, page, "/again")
    delivered(network, page, context, 2)
    cookie = cookie_of(context)
    assert cookie["content"]["id"] == old["id"]
    assert abs(cookie["expires"] - old["t"] - LIFE_S) <= 2


def put_cookie(network: Network, context: BrowserContext, content: Any) -> None:
    value = base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")
    context.add_cookies([{"name": "tailor_activity", "value": value, "url": network.url()}])


@pytest.mark.parametrize(
    "change",
    [
        {"site": "other"},
        {"v": 2},
        {"t": 0},
        {"t": None},
        {"events": "none"},
        {"consent": []},
        {"consent": None},
    ],
)
def test_a_cookie_that_is_foreign_old_or_odd_counts_as_none(
    network: Network, page: Page, context: BrowserContext, change: dict[str, Any]
):
    good = {"v": 1, "id": "visitor", "consent": BOTH, "events": [], "site": "shop", "t": 1_790_000_000}
    put_cookie(network, context, {**good, **change})
    visit(network, page)
    page.wait_for_timeout(100)
    assert {call.path for call in network.calls} == {"/v1/decisions"}
    assert "identifier" not in network.called("/decisions")[0].body


def test_withdrawal_is_told_and_then_the_cookie_goes(network: Network, page: Page, context: BrowserContext):
    network.answers["/decisions"] = lambda body: offer() if "identifier" in body else offer(title="For all")
    visit(network, page)
    agree(network, page)
    page.get_by_text("20 % off Merlot").wait_for()
    visitor = network.called("/consent")[0].body["identifier"]
    agree(network, page, [])
    page.get_by_text("For all").wait_for()
    assert network.called("/consent")[1].body == {"site_id": "shop", "identifier": visitor, "purposes": []}
    network.until(lambda: cookie_of(context) is None, page)
    assert page.evaluate("sessionStorage.length") == 0
    told = len(network.events())
    page.evaluate("tailor('review', {item_id: 'a'})")
    page.wait_for_timeout(200)
    assert len(network.events()) == told


def test_a_withdrawal_that_cannot_be_told_is_told_on_the_next_contact(
    network: Network, page: Page, context: BrowserContext
):
    visit(network, page)
    agree(network, page)
    delivered(network, page, context, 1)
    network.down = True
    page.evaluate("tailor('consent', [])")
    page.wait_for_function("tailor.errors > 0")
    cookie = cookie_of(context)
    assert (cookie["content"]["consent"], cookie["content"]["events"]) == ([], [])
    network.down = False
    visit(network, page, "/next")
    network.until(lambda: cookie_of(context) is None, page)
    assert network.called("/consent")[-1].body["purposes"] == []
    assert "identifier" not in network.called("/decisions")[-1].body


def test_global_privacy_control_leaves_the_other_purpose_and_no_links(
    network: Network, page: Page, context: BrowserContext
):
    context.add_init_script("Object.defineProperty(navigator, 'globalPrivacyControl', {value: true})")
    visit(network, page, body=SLOT + OTHER)
    agree(network, page)
    delivered(network, page, context, 1)
    assert network.events()[0]["consent"] == ["same_site"]
    assert network.called("/consent")[0].body["purposes"] == ["same_site"]
    follow_to_the_other(network, page)
    assert network.called("/links") == []


def test_reset_gives_the_next_event_another_visitor(network: Network, page: Page, context: BrowserContext):
    visit(network, page)
    agree(network, page)
    delivered(network, page, context, 1)
    page.evaluate("tailor('reset')")
    network.until(lambda: "identifier" not in network.called("/decisions")[-1].body, page)
    page.evaluate("tailor('review', {item_id: 'a'})")
    first, second = delivered(network, page, context, 2)
    assert first["identifier"] != second["identifier"]
    assert UUID(second["identifier"])


# ---- Delivery


def test_what_could_not_be_delivered_stays_in_the_cookie_and_arrives_on_the_next_page(
    network: Network, page: Page, context: BrowserContext
):
    visit(network, page)
    agree(network, page)
    delivered(network, page, context, 1)
    network.down = True
    page.evaluate("tailor('review', {item_id: 'wine-1', rating: 4.5})")
    page.wait_for_function("tailor.errors > 0")
    (waiting,) = events_in(context)
    assert (waiting["kind"], waiting["item_id"], waiting["rating"]) == ("product_review", "wine-1", 4.5)
    network.down = False
    visit(network, page, "/next")
    delivered(network, page, context, 3)
    assert [event["item_id"] for event in network.events()].count("wine-1") == 1
    assert waiting["event_id"] in {event["event_id"] for event in network.events()}


@pytest.mark.parametrize(
    ("status", "stays"), [(401, True), (429, True), (503, True), (400, False), (422, False)]
)
def test_a_refused_batch_stays_unless_it_can_never_be_understood(
    network: Network, page: Page, context: BrowserContext, status: int, stays: bool
):
    visit(network, page)
    agree(network, page)
    delivered(network, page, context, 1)
    network.answers["/activity"] = lambda _: (status, {})
    page.evaluate("tailor('review', {item_id: 'wine-1'})")
    page.wait_for_function("tailor.errors > 0")
    network.until(lambda: bool(events_in(context)) == stays, page)
    assert page.evaluate("tailor.dropped") == (0 if stays else 1)


def test_the_cookie_never_reaches_4000_bytes_and_the_oldest_events_go(
    network: Network, page: Page, context: BrowserContext
):
    visit(network, page)
    agree(network, page)
    delivered(network, page, context, 1)
    network.down = True
    for n in range(60):
        page.evaluate("n => tailor('review', {item_id: 'wine “élevé” ' + n})", n)
        cookie = next(one for one in context.cookies() if one["name"] == "tailor_activity")
        assert len(cookie["name"]) + 1 + len(cookie["value"]) < 4000
    waiting = events_in(context)
    assert waiting[-1]["item_id"] == "wine “élevé” 59"
    assert len(waiting) > 10
    assert page.evaluate("tailor.dropped") == 60 - len(waiting)


def test_a_service_that_hangs_is_given_up_and_the_page_does_not_wait(
    network: Network, page: Page, context: BrowserContext
):
    visit(network, page)
    agree(network, page)
    delivered(network, page, context, 1)
    network.slow_s = 5.0
    page.evaluate("tailor('review', {item_id: 'wine-1'})")
    page.wait_for_function("tailor.errors > 0", timeout=4500)
    assert len(events_in(context)) == 1


# ---- Activity


def test_calls_made_before_the_script_has_loaded_count(network: Network, page: Page, context: BrowserContext):
    visit(
        network,
        page,
        script="tailor('consent', ['same_site']); tailor('page', {item_id: 'named'});"
        "tailor('purchase', [{item_id: 'a', quantity: 2, value: 9.5, currency: 'EUR'}, {item_id: 'b'}])",
    )
    events = delivered(network, page, context, 3)
    assert [(event["kind"], event["item_id"]) for event in events] == [
        ("page_view", "named"),
        ("purchase", "a"),
        ("purchase", "b"),
    ]
    assert (events[1]["quantity"], events[1]["value"], events[1]["currency"]) == (2, 9.5, "EUR")
    assert events[1]["consent"] == ["same_site"]


@pytest.mark.parametrize(
    ("parts", "item"),
    [
        ({}, "/wines/red"),
        ({"head": '<meta name="tailor:item" content="m">'}, "m"),
        ({"head": '<meta name="tailor:item" content="m">', "item": "d"}, "d"),
    ],
)
def test_a_page_is_its_items_or_its_path(
    network: Network, page: Page, context: BrowserContext, parts: dict[str, str], item: str
):
    visit(network, page, "/wines/red?secret=1#top", **parts)
    agree(network, page)
    assert [event["item_id"] for event in delivered(network, page, context, 1)] == [item]


GTM = """
dataLayer.push({event: 'view_item', ecommerce: {items: [{item_id: 'a', price: 3.5}], currency: 'USD'}});
dataLayer.push({event: 'purchase', ecommerce: {currency: 'USD', value: 10, items: [
  {item_id: 'a', price: 3, quantity: 2}, {item_id: 'b', quantity: 1}]}});
dataLayer.push({event: 'page_view'}, {ecommerce: null}, {event: 'gtm.js'});
"""
GTAG = """
function gtag() { dataLayer.push(arguments) }
gtag('config', 'G-1'); gtag('event', 'page_view', {});
gtag('event', 'view_item', {currency: 'USD', items: [{item_id: 'a', price: 3.5}]});
gtag('event', 'purchase', {currency: 'USD', value: 10, items: [
  {item_id: 'a', price: 3, quantity: 2}, {item_id: 'b', quantity: 1}]});
"""


@pytest.mark.parametrize("style", [GTM, GTAG], ids=["gtm", "gtag"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_events_of_ga4s_data_layer_are_activity(
    network: Network, page: Page, context: BrowserContext, style: str, when: str
):
    pushes = "window.dataLayer = window.dataLayer || [];" + style
    visit(network, page, script=pushes if when == "before" else "")
    if when == "after":
        page.add_script_tag(content=pushes)
    agree(network, page)
    events = delivered(network, page, context, 4)
    assert [
        (event["kind"], event["item_id"], event.get("value"), event.get("quantity")) for event in events
    ] in (
        [("page_view", "/", None, None), *GA4_EVENTS],
        [*GA4_EVENTS, ("page_view", "/", None, None)],
    )
    assert {event.get("currency") for event in events if event["kind"] != "page_view"} == {"USD"}


GA4_EVENTS = [("view_item", "a", 3.5, None), ("purchase", "a", 6, 2), ("purchase", "b", None, 1)]


def test_single_page_apps_have_a_page_view_and_a_promotion_for_each_path(
    network: Network, page: Page, context: BrowserContext
):
    visit(network, page, head='<meta name="tailor:item" content="first">')
    agree(network, page)
    delivered(network, page, context, 1)
    page.evaluate("history.pushState({}, '', '/second?x=1')")
    delivered(network, page, context, 2)
    page.evaluate("history.replaceState({}, '', '/second?x=2')")
    page.evaluate(
        "history.pushState({}, '', '/third');"
        "document.querySelector('meta[name=\"tailor:item\"]').content = 'third item'"
    )
    delivered(network, page, context, 3)
    page.go_back()
    delivered(network, page, context, 4)
    assert [event["item_id"] for event in network.events()] == ["first", "/second", "third item", "/second"]
    # One at load, one after consent, three moves.
    network.until(lambda: len(network.called("/decisions")) == 5, page)


def test_a_page_taken_out_of_the_back_forward_cache_is_viewed_again(
    network: Network, page: Page, context: BrowserContext
):
    visit(network, page)
    agree(network, page)
    delivered(network, page, context, 1)
    asked = len(network.called("/decisions"))
    # Playwright switches the cache off: the event is what the tag goes by.
    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
    delivered(network, page, context, 2)
    network.until(lambda: len(network.called("/decisions")) > asked, page)
    assert [event["item_id"] for event in network.events()] == ["/", "/"]


# ---- The promotion


def test_a_promotion_is_text_picture_code_and_reasons_in_words(network: Network, page: Page):
    network.answers["/decisions"] = lambda _: offer(
        landing_url="https://shop.example/wine",
        image_url=network.url("/merlot.svg"),
        reasons=[
            {
                "site_id": "grocery",
                "site_name": "The Larder",
                "kind": "page_view",
                "share": 0.6,
                "title": None,
            },
            {
                "site_id": "grocery",
                "site_name": "The Larder",
                "kind": "page_view",
                "share": 0.2,
                "title": None,
            },
            {"site_id": "shop", "site_name": "Shop", "kind": "purchase", "share": 0.2, "title": "Rioja"},
        ],
    )
    visit(network, page)
    slot = page.locator("[data-tailor=hero]")
    link = slot.get_by_role("complementary", name="Promotion").get_by_role("link")
    assert link.inner_text().split("\n") == ["20 % off Merlot This week. RED20"]
    assert (link.get_attribute("href"), link.get_attribute("rel")) == (
        "https://shop.example/wine",
        "noopener",
    )
    assert slot.locator("img").get_attribute("src") == network.url("/merlot.svg")
    slot.get_by_text("Why this?").click()
    assert slot.locator(".tailor-reason").all_inner_texts() == [
        "Because of what you viewed at The Larder",
        "Because you bought Rioja here",
    ]


def test_a_hostile_promotion_is_shown_as_text_and_links_nowhere(network: Network, page: Page):
    evil = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
    network.answers["/decisions"] = lambda _: offer(
        title=evil,
        body=evil,
        code=evil,
        landing_url="javascript:window.hacked=1",
        image_url="data:image/svg+xml,<svg onload='window.hacked=1'/>",
        item={"site_id": evil, "item_id": evil, "url": " javascript:window.hacked=1", "image_url": "//x/y"},
        reasons=[{"site_id": evil, "site_name": evil, "kind": evil, "title": evil, "share": 1}],
    )
    visit(network, page)
    slot = page.locator("[data-tailor=hero]")
    slot.locator(".tailor-promotion").click()
    assert evil in slot.locator(".tailor-title").inner_text()
    assert slot.locator("img, script, a").count() == 0
    assert page.evaluate("window.hacked") is None


def test_where_there_is_no_promotion_the_sites_own_content_stays_or_comes_back(network: Network, page: Page):
    visit(network, page)
    slot = page.locator("[data-tailor=hero]")
    assert slot.inner_text() == "ours"
    network.answers["/decisions"] = lambda _: offer()
    page.evaluate("tailor('refresh')")
    slot.get_by_text("20 % off Merlot").wait_for()
    network.answers["/decisions"] = lambda _: {"strategy": "none", "promotion": None, "reason": "ended"}
    page.evaluate("tailor('refresh')")
    page.wait_for_function("document.querySelector('[data-tailor]').textContent === 'ours'")


def test_filling_a_sized_container_shifts_nothing(network: Network, page: Page):
    network.answers["/decisions"] = lambda _: offer(image_url=network.url("/merlot.svg"))
    visit(
        network,
        page,
        script="window.shift = 0; new PerformanceObserver(list => list.getEntries().forEach("
        "entry => { shift += entry.value })).observe({type: 'layout-shift', buffered: true})",
    )
    page.wait_for_function("(document.querySelector('[data-tailor] img') || {}).naturalWidth > 0")
    page.wait_for_timeout(300)
    assert page.evaluate("shift") == 0


def test_impression_click_and_conversion_are_told_with_the_token(
    network: Network, page: Page, context: BrowserContext
):
    network.answers["/decisions"] = lambda _: offer(landing_url=network.url("/wine-1"))
    network.pages["shop", "/wine-1"] = html(network, placement="none")
    visit(network, page, script="tailor('consent', ['same_site'])")
    network.until(lambda: "promotion_view" in kinds(network), page)
    page.get_by_text("20 % off Merlot").click()
    page.wait_for_url("**/wine-1")
    network.until(lambda: "promotion_click" in kinds(network), page)
    page.wait_for_function("tailor.loaded")
    page.evaluate("tailor('purchase', [{item_id: 'other'}, {item_id: 'wine-1'}, {item_id: 'wine-1'}])")
    network.until(lambda: kinds(network).count("purchase") == 3, page)
    network.until(lambda: "promotion_conversion" in kinds(network), page)
    # The page that was left and the next one may both send the click: it is one event.
    outcomes = [event for event in network.events() if event["kind"].startswith("promotion")]
    once = {event["event_id"]: event["kind"] for event in outcomes}
    assert list(once.values()) == ["promotion_view", "promotion_click", "promotion_conversion"]
    assert {(event["decision"], event["promotion_id"]) for event in outcomes} == {("signed", "p1")}
    assert len({event["identifier"] for event in outcomes}) == 1


def kinds(network: Network) -> list[str]:
    return [event["kind"] for event in network.events()]


def test_a_promotion_out_of_sight_is_no_impression(network: Network, page: Page, context: BrowserContext):
    network.answers["/decisions"] = lambda _: offer()
    visit(
        network,
        page,
        body='<div style="height: 3000px"></div>' + SLOT,
        script="tailor('consent', ['same_site'])",
    )
    page.get_by_text("20 % off Merlot").wait_for()
    page.wait_for_timeout(1300)
    assert "promotion_view" not in kinds(network)
    page.locator("[data-tailor=hero]").scroll_into_view_if_needed()
    network.until(lambda: "promotion_view" in kinds(network), page)


# ---- From site to site

OTHER = '<a id=other href="OTHER/deals?a=1#top" data-tailor-site="produce">Other</a>'


def follow_to_the_other(network: Network, page: Page) -> str:
    """Click the link to the other site and return the query that arrives there."""
    network.pages["produce", "/deals"] = "<!doctype html><title>Produce</title>"
    page.evaluate(
        "url => { other.href = other.href.replace(/.*OTHER/, url) }", network.url("", host="produce")
    )
    page.locator("#other").click()
    page.wait_for_url("**/deals**")
    return str(page.evaluate("location.search + location.hash"))


def test_a_link_to_another_site_carries_a_token_when_that_was_agreed_to(
    network: Network, page: Page, context: BrowserContext
):
    visit(network, page, body=SLOT + OTHER)
    agree(network, page)
    network.answers["/links"] = lambda _: {"token": "a+b/=", "expires_at": "2099-01-01T00:00:00Z"}
    assert follow_to_the_other(network, page) == "?a=1&tailor_link=a%2Bb%2F%3D#top"
    (asked,) = network.called("/links")
    assert asked.body["to_site"] == "produce"
    assert asked.body["identifier"] == network.called("/consent")[0].body["identifier"]


@pytest.mark.parametrize("purposes", [[], ["same_site"]])
def test_without_that_consent_a_link_is_left_alone(network: Network, page: Page, purposes: list[str]):
    visit(network, page, body=SLOT + OTHER)
    if purposes:
        agree(network, page, purposes)
    assert follow_to_the_other(network, page) == "?a=1#top"
    assert network.called("/links") == []


def test_a_link_waits_no_longer_than_a_moment_for_its_token(network: Network, page: Page):
    visit(network, page, body=SLOT + OTHER)
    agree(network, page)
    network.slow_s = 2.0
    assert follow_to_the_other(network, page) == "?a=1#top"


def test_a_token_that_came_with_a_link_leaves_the_address_and_waits_for_consent(
    network: Network, page: Page, context: BrowserContext
):
    visit(network, page, "/?a=1&tailor_link=to%2Bken&b=2#top")
    assert page.evaluate("location.search + location.hash") == "?a=1&b=2#top"
    assert network.called("/identities") == []
    agree(network, page)
    network.until(lambda: network.called("/identities"), page)
    (call,) = network.called("/identities")
    visitor = network.called("/consent")[0].body["identifier"]
    assert call.body == {"site_id": "shop", "identifier": visitor, "consent": BOTH, "link": "to+ken"}
    # Only then what to show is asked for again.
    network.until(lambda: network.calls[-1].path == "/v1/decisions", page)


def test_the_persons_own_page_opens_in_the_same_tab(network: Network, page: Page, context: BrowserContext):
    network.pages["service", "/me"] = "<!doctype html><title>Your data</title>"
    visit(network, page)
    agree(network, page)
    page.evaluate("tailor('me')")
    page.wait_for_url("**/me")
    visitor = network.called("/consent")[0].body["identifier"]
    assert network.called("/me/links")[0].body == {"site_id": "shop", "identifier": visitor}


# ---- A guest that behaves


def test_it_works_under_a_content_security_policy_without_inline_code(
    network: Network, page: Page, context: BrowserContext
):
    origin = network.service.removesuffix("/v1")
    network.csp = f"default-src 'self'; script-src {origin}; connect-src {origin}; img-src * data:"
    network.answers["/decisions"] = lambda _: offer(image_url=network.url("/merlot.svg"))
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    network.pages["shop", "/"] = html(network, body="<div data-tailor=hero>ours</div>").replace(
        f"<script>{STUB}</script>", ""
    )
    page.goto(network.url())
    page.get_by_text("20 % off Merlot").wait_for()
    # Evaluated outside the page's own policy, as its own scripts would be.
    agree(network, page)
    delivered(network, page, context, 1)
    assert [text for text in complaints if "favicon" not in text and "404" not in text] == []


def test_what_goes_wrong_is_swallowed_and_counted(network: Network, page: Page):
    thrown: list[str] = []
    page.on("pageerror", lambda error: thrown.append(str(error)))
    network.answers["/decisions"] = lambda _: "surprise"
    visit(
        network,
        page,
        script="tailor('nonsense'); tailor('on', () => { throw Error('the site itself') });"
        "window.dataLayer = [null, {event: 'purchase'}, {event: 'view_item', ecommerce: {items: [{}]}}]",
    )
    page.evaluate("tailor('consent', 7); tailor('review'); tailor('purchase', {}); dataLayer.push(undefined)")
    page.wait_for_function("tailor.errors >= 9")
    assert thrown == []


def test_a_page_that_forbids_storage_still_gets_its_promotion(network: Network, page: Page):
    thrown: list[str] = []
    page.on("pageerror", lambda error: thrown.append(str(error)))
    page.add_init_script(
        "for (const [what, where] of [['sessionStorage', window], ['cookie', Document.prototype]])"
        "Object.defineProperty(where, what, {get() { throw Error('SecurityError') }})"
    )
    network.answers["/decisions"] = lambda _: offer()
    visit(network, page)
    page.get_by_text("20 % off Merlot").wait_for()
    page.evaluate("tailor('consent', ['same_site']); tailor('consent', [])")
    assert thrown == []


def test_the_script_twice_on_a_page_counts_once(network: Network, page: Page, context: BrowserContext):
    visit(network, page)
    page.add_script_tag(url=f"{network.service}/tag.js")
    agree(network, page)
    delivered(network, page, context, 1)
    page.wait_for_timeout(100)
    assert len(network.events()) == 1


# ---- Server mode


def test_in_server_mode_the_cookie_is_the_services_and_the_tag_names_nobody(
    chromium: Browser, network: Network
):
    context = chromium.new_context()
    page = context.new_page()
    served = html(network, mode="server").replace(network.service, "/t/v1")
    network.pages["shop", "/"] = served
    context.route(
        "**/t/v1/**",
        lambda route: route.continue_(
            url=route.request.url.replace("shop.", "service.").replace("/t/v1", "/v1")
        ),
    )
    page.goto(network.url())
    network.until(lambda: network.called("/decisions"), page)
    page.evaluate("tailor('consent', ['same_site', 'cross_site'])")
    network.until(lambda: network.called("/consent"), page)
    assert network.called("/consent")[0].body == {"site_id": "shop", "purposes": BOTH, "mode": "server"}
    assert context.cookies() == []
    # What the service sets beside its signed cookie.
    context.add_cookies([{"name": "tailor_consent", "value": "same_site.cross_site", "url": network.url()}])
    page.goto(network.url())
    network.until(lambda: len(network.events()) >= 2, page)
    assert {(event["kind"], event["item_id"]) for event in network.events()} == {("page_view", "/")}
    assert not {"identifier", "consent"} & {name for event in network.events() for name in event}
    assert [one["name"] for one in context.cookies()] == ["tailor_consent"]
    page.evaluate("tailor('reset')")
    network.until(lambda: network.called("/consent")[-1].body.get("reset") is True, page)
    context.close()
