"""Both demo shops in a real browser, with the real service and a model that knows two kinds of household."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pyarrow as pa
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from examples.shops.shelves import BRANDS
from examples.shops.shop import ShopFront
from examples.shops.street import open_shops
from features.interactions import build_interactions
from features.weights import InteractionWeights
from models.als import Als
from models.bundle import write_bundle
from models.pooling import Pooling
from models.popularity import Popularity
from models.reach import count_reach
from storage.activity import append_events
from storage.champions import Champion
from storage.database import Database
from storage.events import ActivityEvent
from storage.items import Item, upsert_items
from storage.subscribers import add_subscriber
from tests.service import Service

pytestmark = pytest.mark.browser

#: Who buys from the first shelf buys from the second one next door.
TASTES = (("taco-night", "taco-garden"), ("baking", "berries"))
N_HOUSEHOLDS = 40


@dataclass
class Street:
    """Both shops, and the service behind them."""

    larder: ShopFront
    barrow: ShopFront
    service: Service
    database: Database

    def rows(self, query: str) -> Any:
        """The single value that a query finds."""
        with self.database.connection() as connection:
            row = connection.execute(query).fetchone()
            return row[0] if row else None


@pytest.fixture(scope="module")
def street(
    world: SimpleNamespace, server_url: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Street]:
    directory = tmp_path_factory.mktemp("street")
    with world.fresh_database(server_url, template) as url, Database(url) as database:
        purchases = furnish(database)
        world.promote(url, make_bundle(directory / "home" / "bundles", purchases))
        with world.serving(url, directory, keys=None) as service:
            port = urlsplit(service.url).port
            assert port is not None
            with open_shops(database, service_port=port) as shops:
                service.until(service.is_ready)
                service.until(lambda: knows_keys(service, list(shops.values())))
                yield Street(shops["grocery"], shops["produce"], service, database)


def furnish(database: Database) -> pa.Table:
    """Enter both sites with an item of every kind, and what households of two tastes bought there."""
    rows = []
    with database.connection() as connection:
        for n_brand, brand in enumerate(BRANDS):
            site = brand.site_id
            add_subscriber(connection, site, name=brand.name, sites=[site], legal_basis="contract")
            kinds = [(shelf.slug, kind.product_type) for shelf in brand.shelves for kind in shelf.kinds]
            ids = {product_type: f"{site}-{n}" for n, (_, product_type) in enumerate(kinds)}
            upsert_items(
                connection,
                [Item(site, item, attributes={"product_type": kind}) for kind, item in ids.items()],
            )
            for n in range(N_HOUSEHOLDS):
                liked = TASTES[n % 2][n_brand]
                rows += [
                    (f"h{n}", site, ids[product_type], "purchase")
                    for place, (slug, product_type) in enumerate(kinds)
                    if (slug == liked and (place + n // 2) % 3) or (place + n) % 20 == 0
                ]
        append_events(
            connection,
            [
                ActivityEvent("network", who, site, uuid4().hex, kind, "t", True, True, item, value=1.0)
                for who, site, item, kind in rows
            ],
        )
    columns = map(list, zip(*rows, strict=True))
    return pa.table(dict(zip(("consumer_id", "site_id", "item_id", "kind"), columns, strict=True)))


def make_bundle(directory: Path, purchases: pa.Table) -> Champion:
    interactions = build_interactions(purchases, InteractionWeights())
    model = Als(factors=4, iterations=10, regularization=0.1, alpha=5.0, random_state=0).fit(interactions)
    place = directory / "shops"
    digest = write_bundle(
        place,
        model,
        popularity=Popularity().fit(interactions),
        pooling=Pooling(kind="max", overlap=0.0),
        reach=count_reach(interactions),
    )
    return Champion(version="1", model_kind="als", digest=digest, location=str(place))


def knows_keys(service: Service, shops: list[ShopFront]) -> bool:
    """Whether the service has read the shops' new keys and offers."""
    return all(
        service.call(
            "POST",
            "/v1/decisions",
            key=shop.key,
            json={"site_id": shop.brand.site_id, "placement": "storefront"},
            headers={"Origin": shop.origin},
        )
        .json()
        .get("promotion")
        for shop in shops
    )


def offer(page: Page) -> str:
    title = page.locator(".tailor-title")
    title.wait_for()
    return title.inner_text()


def look_at(page: Page, shop: ShopFront, slug: str) -> None:
    """Accept, and look at three things on a shelf."""
    page.goto(shop.origin)
    page.get_by_role("button", name="Accept all").click()
    for product in [one for one in shop.products if one.shelf.slug == slug][:3]:
        with page.expect_response("**/v1/activity"):
            page.goto(f"{shop.origin}/product/{product.item_id}")


@pytest.mark.parametrize(("slug", "promise"), [("taco-night", "Taco night"), ("baking", "The sweet ones")])
def test_what_one_looks_at_in_one_shop_is_the_offer_next_door(
    street: Street, page: Page, slug: str, promise: str
):
    look_at(page, street.larder, slug)
    page.get_by_role("link", name="Green Barrow").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Eat the rainbow.")
    page.get_by_role("button", name="Accept all").click()
    assert "tailor_link" not in page.url
    expect(page.locator("[data-offer-note]")).to_have_text("Picked for you")
    expect(page.locator(".tailor-title")).to_have_text(re.compile(f"^{promise}"))
    # The Barrow passes the service on: the activity cookie is signed, and out of scripts' reach.
    assert page.evaluate("document.cookie") == "tailor_consent=same_site.cross_site"
    page.get_by_text("Why this?").click()
    expect(page.locator(".tailor-reason").first).to_contain_text("at The Larder")
    page.get_by_text("Why this?").click()
    page.locator(".tailor-promotion").click()
    page.wait_for_url(f"{street.barrow.origin}/product/*")


@pytest.mark.parametrize("name", ["larder", "barrow"])
def test_who_says_no_gets_an_offer_and_leaves_no_trace(
    street: Street, page: Page, context: BrowserContext, name: str
):
    shop: ShopFront = getattr(street, name)
    before = street.rows("SELECT count(*) FROM activity")
    page.goto(shop.origin)
    page.get_by_role("button", name="No, thanks").click()
    for product in shop.products[:3]:
        page.goto(f"{shop.origin}/product/{product.item_id}")
        assert offer(page)
    banner = page.locator("[data-consent-banner]")
    expect(banner).to_be_hidden()
    page.get_by_role("button", name="Your data").first.click()
    expect(page.get_by_role("status")).to_have_text("Nothing is remembered about you here.")
    assert context.cookies() == []
    assert street.rows("SELECT count(*) FROM activity") == before
    page.get_by_role("button", name="Privacy choices").click()
    expect(banner).to_be_visible()


def test_a_cart_is_filled_and_bought_and_the_purchase_counts(street: Street, page: Page):
    page.goto(street.larder.origin)
    page.get_by_role("button", name="Only this shop").click()
    page.goto(f"{street.larder.origin}/shelf/taco-night")
    page.get_by_role("button", name=re.compile("Add Salsa")).click()
    expect(page.locator("[data-cart-count]")).to_have_text("1")
    page.get_by_role("link", name=re.compile("^Cart")).click()
    page.get_by_role("button", name=re.compile("^Buy")).click()
    expect(page.get_by_role("heading", name="Thank you!")).to_be_visible()
    bought = "SELECT count(*) FROM activity WHERE kind = 'purchase' AND namespace = 'site:grocery'"
    street.service.until(lambda: street.rows(bought + " AND same_site AND NOT cross_site") == 1)


def test_nothing_is_blocked_or_thrown_or_shifted(street: Street, page: Page):
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.add_init_script(
        "window.shift = 0; new PerformanceObserver(list => list.getEntries().forEach("
        "entry => { shift += entry.value })).observe({type: 'layout-shift', buffered: true})"
    )
    look_at(page, street.barrow, "salad")
    for path in ("/", "/shelf/salad", "/cart"):
        page.goto(street.barrow.origin + path)
        assert offer(page)
        page.wait_for_timeout(200)
        assert page.evaluate("shift") == 0
    assert complaints == []


@pytest.mark.parametrize("width", [390, 1280])
def test_no_page_is_wider_than_the_window(street: Street, page: Page, width: int):
    page.set_viewport_size({"width": width, "height": 800})
    for path in ("/", "/shelf/dairy", f"/product/{street.larder.products[0].item_id}", "/cart"):
        page.goto(street.larder.origin + path)
        assert offer(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
