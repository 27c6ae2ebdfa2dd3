"""The 21 claims, each as an example against the running service.

The first site is `books`, the second `kitchen`: who reads about cooking buys pans there, who reads science
fiction buys lamps. Every example uses a consumer of its own.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from storage.activity_cookie import cookie_value
from storage.events import derived_consumer_id

BOTH = ["same_site", "cross_site"]


@pytest.fixture
def visitor() -> str:
    """A consumer nobody has seen before."""
    return f"visitor-{uuid4().hex}"


@pytest.fixture
def visits_books(service, world, visitor):
    """Does something on the first site."""

    def visit(*item_ids: str, kind: str = "page_view", **fields: Any) -> Any:
        events = [world.event(visitor, item, kind=kind, **fields) for item in item_ids]
        answer = service.send(*events)
        assert answer["stored"] == len(events), answer
        return answer

    return visit


@pytest.fixture
def import_cookie_file(service, tmp_path):
    """Imports a cookie file, as exported by a browser, with the command that an operator uses."""

    def run(*lines: str) -> str:
        file: Path = tmp_path / "cookies.txt"
        file.write_text("\n".join(["# Netscape HTTP Cookie File", *lines, ""]), encoding="utf-8")
        command = [sys.executable, "-m", "tailor", "import", "cookies", str(file), "--json"]
        environ = {**os.environ, "DATABASE_URL": service.database_url, "TAILOR_HOME": str(service.home)}
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout

    return run


@pytest.fixture
def person(shops, page):
    """Somebody at a browser: visits the first site and then the second, and agrees on both."""

    def visits(site: str, *items: str) -> None:
        for item in items:
            shops.visit(page, site, item)
            if "tailor_activity" not in page.evaluate("document.cookie"):
                shops.agree(page)

    def sees(beginning: str) -> None:
        """The promotion that begins so, on the second site."""
        shops.visit(page, "kitchen")
        if "tailor_activity" not in page.evaluate("document.cookie"):
            shops.agree(page)
        shops.until(lambda: shops.shown(page).startswith(beginning), page)

    def visitor(site: str) -> str:
        shops.visit(page, site)
        return str(shops.visitor(page))

    return SimpleNamespace(visits=visits, sees=sees, visitor=visitor, page=page, context=page.context)


@pytest.fixture
def cookie_file(person, import_cookie_file, database_rows):
    """What a person did on the first site, by way of the cookie file on their computer only."""

    def bring(*items: str, say: str = "page", **about: Any) -> str:
        person.context.route("**/v1/activity", lambda route: route.abort())
        # Nothing of the network's own either: who it is says the cookie file.
        person.visits("books", "start")
        for item in items:
            person.page.evaluate("about => tailor(...about)", [say, {"item_id": item, **about}])
        person.page.wait_for_function("tailor.errors > 0")
        visitor: str = person.visitor("books")
        assert database_rows("SELECT FROM activity WHERE identifier = %s", visitor) == []
        events = person.page.evaluate(
            "JSON.parse(atob(document.cookie.match(/tailor_activity=([^;]*)/)[1]"
            ".replace(/-/g, '+').replace(/_/g, '/'))).events"
        )
        assert set(items) <= {event["item_id"] for event in events}
        lines = [netscape(cookie) for cookie in person.context.cookies()]
        assert json.loads(import_cookie_file(*lines))["stored"] == len(events)
        return visitor

    return bring


def netscape(cookie: Any) -> str:
    """A line of a cookie file."""
    secure, expires = str(cookie["secure"]).upper(), str(max(0, int(cookie["expires"])))
    return "\t".join(
        [cookie["domain"], "FALSE", cookie["path"], secure, expires, cookie["name"], cookie["value"]]
    )


def cookie_line(visitor_id: str, events: list[dict[str, Any]]) -> str:
    """The line of a cookie file that says what a visitor of the first site did."""
    value = cookie_value(visitor_id, consent=BOTH, events=events)
    return "\t".join(["books.example", "FALSE", "/", "TRUE", "0", "tailor_activity", value])


def cookie_event(item_id: str, kind: str = "page_view") -> dict[str, Any]:
    return {"event_id": uuid4().hex, "kind": kind, "item_id": item_id, "occurred_at": "2026-11-01T12:00:00Z"}


def presented(service, visitor: str) -> dict[str, Any]:
    """The promotion presented to the visitor on the second site."""
    promotion: dict[str, Any] = service.decide(visitor)["promotion"]
    return promotion


def presented_to_cookie(service, visitor_id: str) -> dict[str, Any]:
    """The promotion for the consumer to whom the first site's visitor id belongs."""
    return presented(service, derived_consumer_id("site:books", visitor_id))


@pytest.mark.browser
def test_claim_1_activity_received_over_a_network_is_stored_by_consumer_and_site_and_tailors_a_promotion(
    person, shops, database_rows
):
    person.visits("books", "fiction1", "fiction2", "fiction3")
    visitor = person.visitor("books")
    query = (
        "SELECT site_id, item_id FROM activity"
        " WHERE identifier = %s AND item_id LIKE 'fiction%%' ORDER BY item_id"
    )
    stored = [("books", "fiction1"), ("books", "fiction2"), ("books", "fiction3")]
    shops.until(lambda: database_rows(query, visitor) == stored, person.page)
    person.sees("Light: Lamp")


def test_claim_2_the_promotion_is_selected_from_a_database_of_promotions(
    service, visits_books, visitor, database_rows
):
    visits_books("cook1", "cook2")
    known = {row[0] for row in database_rows("SELECT promotion_id FROM promotion")}
    assert presented(service, visitor)["promotion_id"] in known


def test_claim_3_there_is_a_database_of_subscribers(database_rows):
    assert {("pages",), ("pans",)} <= set(database_rows("SELECT subscriber_id FROM subscriber"))


def test_claim_4_the_site_where_the_promotion_is_presented_is_listed_as_a_subscriber(service, visitor):
    assert service.decide(visitor)["site_id"] == "kitchen"
    refused = service.call(
        "POST", "/v1/decisions", key=service.keys.pans, json={"consumer_id": visitor, "site_id": "blog"}
    )
    assert refused.status_code == 403
    assert "blog" in refused.json()["detail"]


@pytest.mark.browser
def test_claim_5_the_network_is_the_internet(person):
    person.visits("books", "cook1", "cook2")
    assert person.page.url.startswith("http://")
    person.sees("20 % off Pan")


@pytest.mark.browser
def test_claim_6_activity_is_obtained_from_a_cookie_file_on_the_consumers_computer(service, cookie_file):
    visitor = cookie_file("fiction1", "fiction2", "fiction3")
    assert presented_to_cookie(service, visitor)["promotion_id"] == "lamp-deal"


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("page_view", id="claim_7_pages_visited"),
        pytest.param("product_review", id="claim_8_products_and_services_reviewed"),
        pytest.param("purchase", id="claim_9_purchases_made"),
    ],
)
def test_claims_7_8_9_activity_includes(service, visits_books, visitor, kind):
    visits_books("fiction1", "fiction2", kind=kind)
    reasons = presented(service, visitor)["reasons"]
    assert {(reason["site_id"], reason["kind"]) for reason in reasons} == {("books", kind)}


@pytest.mark.browser
def test_claim_10_activity_is_received_from_the_consumers_computer_on_a_visit_to_a_first_site(
    person, shops, database_rows
):
    person.visits("books", "fiction1", "fiction2")
    visitor = person.visitor("books")
    query = "SELECT FROM activity WHERE identifier = %s AND source_id = 'http:pages'"
    shops.until(lambda: len(database_rows(query, visitor)) >= 3, person.page)
    person.sees("Light: Lamp")


@pytest.mark.browser
def test_claim_11_the_method_obtains_at_a_first_site_stores_and_creates_and_presents_at_a_second(
    person, shops
):
    person.visits("books", "fiction1", "fiction2")
    # Created, not only chosen: the text names the item that suits this consumer best.
    person.sees("Light: Lamp")
    assert shops.shown(person.page) in {f"Light: Lamp{n}" for n in (1, 2, 3)}


@pytest.mark.browser
def test_claim_12_the_method_obtains_the_activity_from_a_cookie_file(service, cookie_file):
    visitor = cookie_file("fiction1", say="purchase", quantity=1)
    reasons = presented_to_cookie(service, visitor)["reasons"]
    assert ("books", "purchase") in {(reason["site_id"], reason["kind"]) for reason in reasons}


def test_claim_13_the_second_site_is_a_subscriber(database_rows):
    assert database_rows("SELECT subscriber_id FROM site WHERE site_id = 'kitchen'") == [("pans",)]


def test_claim_14_storing_keeps_consumer_site_pages_reviews_and_purchases(
    import_cookie_file, visitor, database_rows
):
    kinds = ["page_view", "product_review", "purchase"]
    import_cookie_file(cookie_line(visitor, [cookie_event("cook1", kind) for kind in kinds]))
    rows = database_rows(
        "SELECT namespace, site_id, kind FROM activity WHERE identifier = %s ORDER BY kind", visitor
    )
    assert rows == [("site:books", "books", kind) for kind in kinds]


@pytest.mark.browser
def test_claim_15_the_method_works_over_the_internet(person, typed_client, shops):
    person.visits("books", "fiction1")
    person.sees("Light: Lamp")
    # And for a server that asks for the same person.
    asked = {"identifier": person.visitor("kitchen"), "site_id": "kitchen"}
    assert typed_client.promotion(**asked)["promotion"]["promotion_id"] == "lamp-deal"


@pytest.mark.parametrize("kinds", [["page_view"], ["product_review", "purchase"], []])
def test_claim_16_for_each_site_any_of_the_three_kinds_may_be_missing(service, world, visitor, kinds):
    if kinds:
        service.send(*(world.event(visitor, "fiction1", kind=kind) for kind in kinds))
    service.send(world.event(visitor, "lamp1", site_id="kitchen", kind="purchase"), key=service.keys.pans)
    decision = service.decide(visitor)
    assert decision["strategy"] == "tailored"
    sites = {reason["site_id"] for reason in decision["promotion"]["reasons"]}
    assert sites == ({"books", "kitchen"} if kinds else {"kitchen"})


def test_claim_17_a_preliminary_step_obtains_the_activity_on_a_visit_to_a_first_site(
    service, visits_books, visitor
):
    assert service.decide(visitor)["strategy"] == "popularity"
    visits_books("fiction1")
    assert service.decide(visitor)["strategy"] == "tailored"


@pytest.mark.browser
def test_claim_18_the_preliminary_step_can_read_a_cookie_file(
    service, person, cookie_file, import_cookie_file
):
    visitor = cookie_file("fiction1", "fiction2")
    again = import_cookie_file(*(netscape(cookie) for cookie in person.context.cookies()))
    assert '"stored": 0' in again
    assert presented_to_cookie(service, visitor)["promotion_id"] == "lamp-deal"


def test_claim_19_activity_can_be_bought(service, visitor, tmp_path, database_rows):
    file = tmp_path / "bought.csv"
    file.write_text(
        f"consumer_id,site_id,kind,item_id\n{visitor},books,purchase,fiction1\n", encoding="utf-8"
    )
    command = [sys.executable, "-m", "tailor", "import", "activity", str(file), "--source", "vendor"]
    environ = {**os.environ, "DATABASE_URL": service.database_url, "TAILOR_HOME": str(service.home)}
    subprocess.run([*command, "--legal-basis", "licence 7"], env=environ, capture_output=True, check=True)
    assert database_rows("SELECT source_id FROM activity WHERE identifier = %s", visitor) == [("vendor",)]
    assert presented(service, visitor)["promotion_id"] == "lamp-deal"


def test_claim_20_the_second_site_of_the_method_is_listed_in_the_database_of_subscribers(
    service, visits_books, visitor, database_rows
):
    visits_books("fiction1")
    site_id = service.decide(visitor)["site_id"]
    [(subscriber,)] = database_rows("SELECT subscriber_id FROM site WHERE site_id = %s", site_id)
    assert database_rows("SELECT status FROM subscriber WHERE subscriber_id = %s", subscriber) == [
        ("active",)
    ]


@pytest.mark.browser
def test_claim_21_consumer_sites_and_service_are_joined_by_the_internet(person, shops):
    person.visits("books", "cook1", "cook2", "cook3")
    # By a link, as one comes from one site to another.
    with person.page.expect_navigation(url=shops.url("kitchen") + "*"):
        person.page.locator("#other").click()
    person.sees("20 % off Pan")
