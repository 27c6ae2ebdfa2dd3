"""One shop as a web application: pages made on the server, a cart kept in the tab, and the tag."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from examples.shops.drawings import draw
from examples.shops.passage import Passage
from examples.shops.shelves import Brand, Shelf
from examples.shops.stock import PLACEMENT, Product, image_path, page_path

HERE = Path(__file__).parent
ON_THE_FRONT_PAGE = 8
BESIDE_A_PRODUCT = 4


@dataclass(frozen=True, slots=True)
class Neighbour:
    """The other shop, as far as this one links to it."""

    site_id: str
    name: str
    motto: str
    origin: str


@dataclass(frozen=True, slots=True)
class ShopFront:
    """A shop with all it needs to open: `service` and `key` are for its pages' tag."""

    brand: Brand
    products: Sequence[Product] = field(repr=False)
    origin: str
    neighbour: Neighbour
    service: str
    key: str = field(repr=False)

    @property
    def tag_base(self) -> str:
        """Where the pages find the tag: at the service, or at the shop's own path to it."""
        return "/t" if self.brand.server_mode else self.service


def create_shop(shop: ShopFront) -> Starlette:
    """Make the shop's application."""
    pages, passage = _Pages(shop), Passage(shop.service)

    @asynccontextmanager
    async def while_open(_app: Starlette) -> AsyncIterator[None]:
        yield
        await passage.aclose()

    by_server = [Route("/t/{path:path}", passage.pass_on, methods=["GET", "POST"])]
    return Starlette(
        lifespan=while_open,
        routes=[
            Route("/", pages.front),
            Route("/shelf/{slug}", pages.shelf),
            Route("/product/{item_id}", pages.product),
            Route("/cart", pages.cart),
            Route("/image/{item_id}.svg", pages.image),
            Route("/favicon.svg", pages.icon),
            Mount("/static", StaticFiles(directory=HERE / "static")),
            *(by_server if shop.brand.server_mode else []),
        ],
        middleware=[Middleware(_Headers, policy=content_security_policy(shop))],
        exception_handlers={404: pages.missing},
    )


def content_security_policy(shop: ShopFront) -> str:
    """What the shop's pages may load: their own things, the tag's calls, and the other shop's pictures."""
    service = "'self'" if shop.brand.server_mode else shop.service
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'" if shop.brand.server_mode else f"script-src 'self' {service}",
            f"connect-src {service}",
            f"img-src 'self' {shop.neighbour.origin}",
            "style-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


class _Pages:
    def __init__(self, shop: ShopFront) -> None:
        self._shop = shop
        self._products = {product.item_id: product for product in shop.products}
        self._shelves = {shelf.slug: shelf for shelf in shop.brand.shelves}
        self._templates = Environment(
            loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined
        )
        self._templates.globals.update(
            shop=shop, brand=shop.brand, placement=PLACEMENT, page_path=page_path, image_path=image_path
        )

    async def front(self, _request: Request) -> Response:
        best = sorted(self._shop.products, key=lambda one: -one.bought)[:ON_THE_FRONT_PAGE]
        covers = [(shelf, self._on(shelf)[0]) for shelf in self._shelves.values() if self._on(shelf)]
        return self._page("front.html", best=best, covers=covers)

    async def shelf(self, request: Request) -> Response:
        shelf = self._shelves.get(request.path_params["slug"])
        if shelf is None:
            return await self.missing(request, None)
        return self._page("shelf.html", shelf=shelf, products=self._on(shelf))

    async def product(self, request: Request) -> Response:
        product = self._products.get(request.path_params["item_id"])
        if product is None:
            return await self.missing(request, None)
        others = [one for one in self._on(product.shelf) if one is not product][:BESIDE_A_PRODUCT]
        return self._page("product.html", product=product, others=others)

    async def cart(self, _request: Request) -> Response:
        return self._page("cart.html")

    async def image(self, request: Request) -> Response:
        product = self._products.get(request.path_params["item_id"])
        if product is None:
            return Response(status_code=HTTPStatus.NOT_FOUND)
        return _svg(draw(product.kind.shape, product.kind.colour, tint=product.shelf.tint))

    async def icon(self, _request: Request) -> Response:
        first = self._shop.brand.shelves[0]
        return _svg(draw(first.kinds[0].shape, first.kinds[0].colour, tint=first.tint))

    async def missing(self, _request: Request, _error: Exception | None) -> Response:
        return self._page("missing.html", status=HTTPStatus.NOT_FOUND)

    def _on(self, shelf: Shelf) -> list[Product]:
        return [product for product in self._shop.products if product.shelf is shelf]

    def _page(self, template: str, *, status: int = HTTPStatus.OK, **content: Any) -> Response:
        html = self._templates.get_template(template).render({"product": None, "shelf": None, **content})
        return HTMLResponse(html, status_code=status)


def _svg(picture: str) -> Response:
    return Response(picture, media_type="image/svg+xml", headers={"Cache-Control": "max-age=3600"})


class _Headers:
    """Sends the policy with every answer."""

    def __init__(self, app: ASGIApp, policy: str) -> None:
        self._app = app
        self._headers = [
            (b"content-security-policy", policy.encode()),
            (b"referrer-policy", b"strict-origin-when-cross-origin"),
            (b"x-content-type-options", b"nosniff"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self._headers]
            await send(message)

        await self._app(scope, receive, with_headers)
