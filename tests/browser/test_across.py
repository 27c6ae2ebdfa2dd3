"""From a first site to a second in a real browser, with the real service, if and only if one agreed."""

import subprocess
import sys
from os import environ
from uuid import uuid4

import pytest

pytestmark = pytest.mark.browser


@pytest.fixture
def names(shops):
    """Every text by which a browser profile is known: its visitor ids, and the consumers behind them."""

    def of(page):
        found = set()
        for cookie in page.context.cookies():
            if cookie["name"] == "tailor_activity":
                page.goto(shops.url(cookie["domain"].split(".")[0]))
                found.add(shops.visitor(page))
        consumers = shops.rows(
            "SELECT DISTINCT consumer_id FROM identifier WHERE identifier = ANY(%s)", list(found)
        )
        return found | {row[0] for row in consumers}

    return of


@pytest.mark.parametrize(
    ("items", "expected"),
    [(("fiction1", "fiction2"), "Light: Lamp"), (("cook1", "cook2"), "20 % off Pan")],
)
def test_what_one_does_on_a_first_site_tailors_the_promotion_on_a_second(shops, page, items, expected):
    shops.visit(page, "books", items[0])
    shops.agree(page)
    shops.visit(page, "books", items[1])
    shops.visit(page, "kitchen")
    shops.agree(page)
    shops.until(lambda: shops.shown(page).startswith(expected), page)
    page.locator(".tailor-why summary").click()
    assert "at Books" in page.locator(".tailor-why").inner_text()


def test_whoever_refuses_leaves_nothing_and_still_sees_a_promotion(shops, context, page):
    before = shops.rows("SELECT (SELECT count(*) FROM activity), (SELECT count(*) FROM identifier),"
                        " (SELECT count(*) FROM consent), (SELECT count(*) FROM quarantine)")  # fmt: skip
    for site, item in (("books", "fiction1"), ("books", "fiction2"), ("kitchen", "lamp1")):
        shops.visit(page, site, item)
    assert shops.shown(page)
    page.evaluate("tailor('consent', [])")
    page.evaluate("tailor('review', { item_id: 'lamp2' })")
    shops.visit(page, "kitchen")
    assert shops.shown(page)
    after = shops.rows("SELECT (SELECT count(*) FROM activity), (SELECT count(*) FROM identifier),"
                       " (SELECT count(*) FROM consent), (SELECT count(*) FROM quarantine)")  # fmt: skip
    assert after == before
    assert context.cookies() == []


def test_with_global_privacy_control_each_site_knows_itself_only(shops, new_person):
    page = new_person(gpc=True).new_page()
    shops.visit(page, "books", "fiction1")
    shops.agree(page)
    shops.visit(page, "books", "fiction2")
    visitor = shops.visitor(page)
    query = "SELECT DISTINCT same_site, cross_site FROM activity WHERE identifier = %s"
    assert shops.until(lambda: shops.rows(query, visitor), page) == [(True, False)]
    # The link carries nothing, and no cookie of the network is there.
    with page.expect_response(lambda answer: answer.url.endswith("/v1/decisions")):
        page.locator("#other").click()
    assert "tailor_link" not in page.url
    shops.agree(page)
    assert {cookie["name"] for cookie in page.context.cookies()} == {"tailor_activity"}
    assert "Books" not in page.locator("[data-tailor]").inner_text()
    shops.visit(page, "kitchen", "lamp1")
    shops.visit(page, "kitchen", "lamp2")
    shops.until(lambda: shops.shown(page).startswith("Light: Lamp"), page)


def test_the_cookie_file_of_the_browser_imports_what_was_not_delivered(shops, context, page, tmp_path):
    shops.visit(page, "books", "fiction1")
    shops.agree(page)
    shops.until(lambda: shops.rows("SELECT FROM activity WHERE identifier = %s", shops.visitor(page)), page)
    # From now on nothing reaches the service.
    context.route("**/v1/activity", lambda route: route.abort())
    for item in ("fiction2", "fiction3"):
        page.goto(shops.url("books", item))
        page.wait_for_function("tailor.loaded && tailor.errors > 0")
    visitor = shops.visitor(page)
    lines = ["# Netscape HTTP Cookie File"]
    for cookie in context.cookies():
        domain, expires = cookie["domain"], max(0, int(cookie["expires"]))
        lines.append(
            "\t".join(
                [domain, "FALSE", cookie["path"], str(cookie["secure"]).upper(), str(expires),
                 cookie["name"], cookie["value"]]
            )
        )  # fmt: skip
    file = tmp_path / "cookies.txt"
    file.write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-m", "tailor", "import", "cookies", str(file), "--json"]
    ours = {**environ, "DATABASE_URL": shops.service.database_url, "TAILOR_HOME": str(shops.service.home)}
    said = subprocess.run(command, env=ours, capture_output=True, text=True, check=True).stdout
    assert '"stored": 2' in said, said
    # When the connection is back, each counts once.
    context.unroute("**/v1/activity")
    shops.visit(page, "books")
    query = "SELECT item_id FROM activity WHERE identifier = %s AND kind = 'page_view' ORDER BY 1"
    rows = shops.until(lambda: len(found := shops.rows(query, visitor)) > 3 and found, page)
    assert [row[0] for row in rows] == ["/", "fiction1", "fiction2", "fiction3"]


def test_after_erasing_on_the_own_page_nothing_is_left_anywhere(shops, context, page, names):
    shops.visit(page, "books", "fiction1")
    shops.agree(page)
    shops.visit(page, "books", "fiction2")
    shops.visit(page, "kitchen")
    shops.agree(page)
    shops.until(lambda: shops.shown(page).startswith("Light"), page)
    known = names(page)
    assert len(known) >= 2
    shops.visit(page, "books")
    page.evaluate("tailor('me')")
    page.locator("h1", has_text="Your data").wait_for()
    assert "You viewed Fiction2" in page.locator("main").inner_text()
    page.locator(".sure input").check()
    page.locator("button.danger").click()
    page.locator("h1", has_text="It is gone").wait_for()
    for name in known:
        assert mentions(shops, name) == []
    # The shops' cookies still said yes: each goes on the next visit, and nothing comes back.
    for site in ("kitchen", "books"):
        shops.visit(page, site)
        shops.until(lambda: "tailor_activity" not in page.evaluate("document.cookie"), page)
    shops.visit(page, "kitchen")
    assert "Books" not in page.locator("[data-tailor]").inner_text()
    for name in known:
        assert mentions(shops, name) == []


def mentions(shops, name):
    """Tables with a row that mentions a name."""
    tables = shops.rows(
        "SELECT c.table_name, c.column_name FROM information_schema.columns c"
        " JOIN information_schema.tables t USING (table_schema, table_name)"
        " WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
        " AND (c.data_type IN ('text', 'jsonb') OR c.domain_name = 'identity')"
    )
    return [
        (table, column)
        for table, column in tables
        if shops.rows(f'SELECT FROM "{table}" WHERE strpos("{column}"::text, %s) > 0 LIMIT 1', name)
    ]


@pytest.fixture
def guarded_person(chromium):
    """A profile of a browser that keeps third parties' cookies from pages."""
    context = chromium.new_context()
    yield context
    context.close()


def test_without_third_parties_cookies_a_link_carries_the_visitor_over(shops, guarded_person):
    page = guarded_person.new_page()
    shops.visit(page, "books", "fiction1")
    shops.agree(page)
    shops.visit(page, "books", "fiction2")
    # By the address line, nothing is carried over.
    shops.visit(page, "kitchen")
    shops.agree(page)
    shops.visit(page, "kitchen")
    assert "Books" not in page.locator("[data-tailor]").inner_text()
    assert {cookie["name"] for cookie in guarded_person.cookies()} == {"tailor_activity"}
    shops.visit(page, "books")
    with page.expect_response(lambda answer: answer.url.endswith("/v1/identities")) as joined:
        page.locator("#other").click()
    assert joined.value.json()["merged"] is True
    shops.until(lambda: shops.shown(page).startswith("Light: Lamp"), page)
    assert "tailor_link" not in page.url


def test_without_third_parties_cookies_the_login_tells_who_it_is(shops, guarded_person):
    page, login = guarded_person.new_page(), uuid4().hex
    for site, key in (("books", shops.service.keys.pages), ("kitchen", shops.service.keys.pans)):
        shops.visit(page, site, "fiction1" if site == "books" else "")
        shops.agree(page)
        # The shop's server knows its visitor, who has just logged in.
        named = {"site_id": site, "identifier": shops.visitor(page), "login": login}
        told = shops.service.call("POST", "/v1/identities", key=key, json=named)
        assert told.json()["merged"] is True
    shops.visit(page, "kitchen")
    shops.until(lambda: shops.shown(page).startswith("Light: Lamp"), page)


@pytest.fixture
def only_promotion(shops):
    """Makes a promotion the only one of the kitchen, for as long as a test lasts."""
    key = shops.service.keys.pans
    paused = []

    def put(promotion_id, **fields):
        answer = shops.service.call("PUT", f"/v1/promotions/{promotion_id}", key=key, json=fields)
        assert answer.status_code == 200, answer.text

    def make(**fields):
        for one in shops.service.call("GET", "/v1/promotions", key=key).json()["items"]:
            said = {
                name: value for name, value in one.items() if name not in ("promotion_id", "subscriber_id")
            }
            if said["status"] == "active":
                paused.append((one["promotion_id"], said))
                put(one["promotion_id"], **{**said, "status": "paused"})
        put("hostile", sites=["kitchen"], items=[{"site_id": "kitchen", "item_id": "lamp1"}], **fields)
        shops.service.until(lambda: offered() == "hostile")

    def offered():
        promotion = shops.service.decide("anybody")["promotion"]
        return promotion and promotion["promotion_id"]

    yield make
    for promotion_id, said in paused:
        put(promotion_id, **said)
    shops.service.call("DELETE", "/v1/promotions/hostile", key=key)
    shops.service.until(lambda: offered() not in ("hostile", None))


def test_a_hostile_title_is_shown_as_text(shops, page, only_promotion):
    title = "<img src=x onerror=\"document.title='owned'\"> & <b>bold</b>"
    only_promotion(title=title, landing_url="https://shop.example/lamp1")
    shops.visit(page, "kitchen", "lamp1")
    assert shops.shown(page) == title
    assert page.locator("[data-tailor] img, [data-tailor] b").count() == 0
    assert page.title() == "kitchen"
