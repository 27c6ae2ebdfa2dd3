"""The two demo shops: what they sell, how their pages are made, and what they tell the network."""

import re
import xml.etree.ElementTree as ET

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from examples.shops.drawings import SHAPES, draw
from examples.shops.passage import Passage
from examples.shops.shelves import BARROW, BRANDS, LARDER, Brand
from examples.shops.shop import Neighbour, ShopFront, content_security_policy, create_shop
from examples.shops.stock import find_stock, readable_size, tell_network
from examples.shops.street import open_shops
from storage.activity import append_events
from storage.database import Database
from storage.events import ActivityEvent
from storage.items import Item, get_item, upsert_items
from storage.promotions import get_promotion
from storage.subscribers import add_subscriber, get_subscriber, list_keys

#: Item id, product type, size, purchases.
SOLD = {
    "grocery": (
        ("m1", "FLUID MILK WHITE ONLY", "1 GA", 4),
        ("m2", "FLUID MILK WHITE ONLY", "1 GA", 3),
        ("m3", "FLUID MILK WHITE ONLY", "1 QT", 2),
        ("m4", "FLUID MILK WHITE ONLY", "1/2 GAL", 1),
        ("s1", "MEXICAN SAUCESSALSAPICANTEE", "16 OZ", 5),
        ("x1", "SOMETHING ELSE", "1 OZ", 9),
    ),
    "produce": (("b1", "BANANAS", "40 LB", 7), ("a1", "AVOCADO", None, 2)),
}


@pytest.fixture
def sold(database: Database) -> Database:
    """A database with the sites, some items and what households bought."""
    with database.connection() as connection:
        for site, items in SOLD.items():
            add_subscriber(connection, site, name=site, sites=[site], legal_basis="contract")
            upsert_items(
                connection,
                [
                    Item(
                        site,
                        item,
                        title=kind,
                        attributes={"product_type": kind, **({"package_size": size} if size else {})},
                    )
                    for item, kind, size, _ in items
                ],
            )
            append_events(
                connection,
                [
                    ActivityEvent(
                        "network", f"h{n}", site, f"{item}-{n}", "purchase", "test", True, True, item,
                        quantity=2.0, value=3.0,
                    )
                    for item, _, _, times in items
                    for n in range(times)
                ],
            )  # fmt: skip
    return database


def front(database: Database, brand: Brand = LARDER) -> ShopFront:
    with database.connection() as connection:
        products = find_stock(connection, brand)
    return ShopFront(
        brand=brand,
        products=products,
        origin="http://grocery.localhost:1",
        neighbour=Neighbour("produce", "Green Barrow", "Fruit", "http://produce.localhost:2"),
        service="http://promotions.localhost:3",
        key="tp_public_test",
    )


def pages(database: Database) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=create_shop(front(database)))
    return httpx.AsyncClient(transport=transport, base_url="http://grocery.localhost:1")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_the_most_bought_of_each_kind_are_sold_but_none_twice(sold: Database):
    products = front(sold).products
    assert [(one.item_id, one.title, one.price, one.bought) for one in products] == [
        ("m1", "Milk, 1 gal", 1.5, 4),
        ("m3", "Milk, 1 quart", 1.5, 2),
        ("s1", "Salsa, 16 oz", 1.5, 5),
    ]


def test_a_shop_told_to_the_network_twice_sells_the_same(sold: Database):
    before = front(sold).products
    for _ in range(2):
        with sold.connection() as connection:
            offers = tell_network(connection, LARDER, before, origin="http://grocery.localhost:1")
    assert front(sold).products == before
    with sold.connection() as connection:
        item = get_item(connection, "grocery", "m1")
        offer = get_promotion(connection, "grocery-dairy")
    assert (item.title, item.url) == ("Milk, 1 gal", "http://grocery.localhost:1/product/m1")
    assert item.image_url == "http://grocery.localhost:1/image/m1.svg"
    assert [one.promotion_id for one in offers] == ["grocery-dairy", "grocery-taco-night"]
    assert offer.items == (("grocery", "m1"), ("grocery", "m3"))
    assert offer.placements == ("storefront",)


@pytest.mark.parametrize(
    ("size", "read"),
    [
        ("1 GA", "1 gal"),
        ("L     8 OZ", "8 oz"),
        ("40 LB", None),
        ("48-54 CT", None),
        ("1/2 GAL", None),
        (None, None),
    ],
)
def test_sizes_are_readable_or_left_out(size: str | None, read: str | None):
    assert readable_size(size) == read


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_a_picture(shape: str):
    root = ET.fromstring(draw(shape, "#d8432f", tint="#cfe3b4"))
    assert root.get("viewBox") == "0 0 200 200"
    assert "NaN" not in draw(shape, "#d8432f", tint="#cfe3b4")


def test_every_kind_has_a_shape_and_no_slug_is_used_twice():
    for brand in BRANDS:
        assert {kind.shape for shelf in brand.shelves for kind in shelf.kinds} <= set(SHAPES)
        assert len({shelf.slug for shelf in brand.shelves}) == len(brand.shelves)
        kinds = [kind.product_type for shelf in brand.shelves for kind in shelf.kinds]
        assert len(set(kinds)) == len(kinds)
    assert {brand.site_id for brand in BRANDS} == {LARDER.site_id, BARROW.site_id}


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/", "/shelf/dairy", "/product/m1", "/cart", "/nothing"])
async def test_a_page_has_the_tag_a_place_for_the_promotion_and_nothing_inline(sold: Database, path: str):
    async with pages(sold) as http:
        answer = await http.get(path)
    assert answer.status_code == (404 if path == "/nothing" else 200)
    html = answer.text
    assert answer.headers["content-security-policy"] == content_security_policy(front(sold))
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert re.search(
        r'<script async src="http://promotions.localhost:3/v1/tag.js" data-site="grocery"'
        r' data-key="tp_public_test" data-placement="storefront"></script>',
        html,
    )
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=|javascript:", html)
    assert ('data-tailor="storefront"' in html) == (path != "/nothing")
    assert '<a href="http://produce.localhost:2/" data-tailor-site="produce"' in html
    assert ('<meta name="tailor:item" content="m1">' in html) == (path == "/product/m1")
    assert html.count("<h1") == 1
    assert not re.search(r"<img(?![^>]*\salt=)", html)
    assert re.search(r'<html lang="en"', html)


@pytest.mark.anyio
async def test_pictures_are_files_and_unknown_things_are_missing(sold: Database):
    async with pages(sold) as http:
        picture = await http.get("/image/m1.svg")
        assert (picture.status_code, picture.headers["content-type"]) == (200, "image/svg+xml")
        assert (await http.get("/favicon.svg")).status_code == 200
        assert (await http.get("/static/shop.css")).status_code == 200
        for path in ("/image/x1.svg", "/product/x1", "/shelf/x"):
            assert (await http.get(path)).status_code == 404


def test_both_shops_open_with_keys_for_their_own_origins_and_close_again(sold: Database):
    with open_shops(sold, service_port=65_535) as first:
        origins = {site: shop.origin for site, shop in first.items()}
        for shop in first.values():
            port = int(shop.origin.rsplit(":", maxsplit=1)[1])
            assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/")
    with open_shops(sold, service_port=65_535), sold.connection() as connection:
        for site in origins:
            assert get_subscriber(connection, site).legal_basis == "contract"
            (mine,) = get_subscriber(connection, site).allowed_origins
            assert re.fullmatch(rf"http://{site}\.localhost:\d+", mine)
            keys = list_keys(connection, subscriber_id=site)
            assert [key.revoked_at is None for key in keys] == [False, True]


@pytest.mark.anyio
async def test_a_shop_in_server_mode_hands_calls_to_the_service_and_its_cookies_back(sold: Database):
    asked = []

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        asked.append((request.method, request.url.path, dict(request.headers), await request.body()))
        response = Response("{}", media_type="application/json")
        response.set_cookie("one", "1", secure=True, httponly=True)
        response.set_cookie("two", "2", secure=True)
        await response(scope, receive, send)

    shop = front(sold, BARROW)
    assert "http://promotions" not in content_security_policy(shop)
    passage = Passage(shop.service)
    passage._client._transport = httpx.ASGITransport(app=answer)
    app = Starlette(routes=[Route("/t/{path:path}", passage.pass_on, methods=["POST"])])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://shop") as http:
        got = await http.post(
            "/t/v1/activity",
            content=b"{}",
            headers={"cookie": "tailor_activity=x", "origin": "http://shop", "x-other": "y", "sec-gpc": "1"},
        )
    ((method, path, headers, body),) = asked
    assert (method, path, body) == ("POST", "/v1/activity", b"{}")
    assert (headers["host"], headers["cookie"]) == ("promotions.localhost:3", "tailor_activity=x")
    assert (headers["origin"], headers["sec-gpc"]) == ("http://shop", "1")
    assert "x-other" not in headers
    # Over plain http, where a cookie cannot ask for more.
    assert got.headers.get_list("set-cookie") == [
        "one=1; HttpOnly; Path=/; SameSite=lax",
        "two=2; Path=/; SameSite=lax",
    ]
    await passage.aclose()


@pytest.mark.anyio
async def test_a_service_that_is_away_is_a_bad_gateway(sold: Database):
    passage = Passage("http://promotions.localhost:1")
    app = Starlette(routes=[Route("/t/{path:path}", passage.pass_on)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://shop") as http:
        assert (await http.get("/t/v1/tag.js")).status_code == 502
    await passage.aclose()
