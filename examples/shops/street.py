"""Both shops open at once: told to the network, with keys for their pages, served from threads."""

import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import uvicorn
from starlette.types import ASGIApp

from examples.shops.shelves import BRANDS, Brand
from examples.shops.shop import Neighbour, ShopFront, create_shop
from examples.shops.stock import find_stock, tell_network
from storage.database import Connection, Database
from storage.subscribers import add_subscriber, get_subscriber, issue_key, list_keys, revoke_key


@contextmanager
def open_shops(database: Database, *, service_port: int) -> Iterator[dict[str, ShopFront]]:
    """Serve both shops until the block ends; their promotions come from the service at `service_port`.

    They take the two ports after the service's, or others where these are taken.
    """
    service = f"http://promotions.localhost:{service_port}"
    with ExitStack() as stack:
        doors = [stack.enter_context(_door(service_port + 1 + n)) for n in range(len(BRANDS))]
        addresses = {
            brand.site_id: f"http://{brand.site_id}.localhost:{door.getsockname()[1]}"
            for brand, door in zip(BRANDS, doors, strict=True)
        }
        with database.connection() as connection:
            shops = [_furnish(connection, brand, addresses=addresses, service=service) for brand in BRANDS]
        for shop, door in zip(shops, doors, strict=True):
            stack.enter_context(_serving(create_shop(shop), door))
        yield {shop.brand.site_id: shop for shop in shops}


def _furnish(
    connection: Connection, brand: Brand, *, addresses: Mapping[str, str], service: str
) -> ShopFront:
    origin = addresses[brand.site_id]
    products = find_stock(connection, brand)
    tell_network(connection, brand, products, origin=origin)
    (other,) = (one for one in BRANDS if one is not brand)
    return ShopFront(
        brand=brand,
        products=products,
        origin=origin,
        neighbour=Neighbour(other.site_id, other.name, other.motto, addresses[other.site_id]),
        service=service,
        key=_public_key(connection, brand.site_id, origins=[origin]),
    )


def _public_key(connection: Connection, subscriber_id: str, *, origins: Sequence[str]) -> str:
    """A new key for the shop's pages; those of an earlier street end."""
    subscriber = get_subscriber(connection, subscriber_id)
    add_subscriber(
        connection,
        subscriber_id,
        name=subscriber.name,
        sites=subscriber.sites,
        allowed_origins=origins,
        legal_basis=subscriber.legal_basis,
    )
    for old in list_keys(connection, subscriber_id=subscriber_id):
        if old.kind == "public" and old.revoked_at is None:
            revoke_key(connection, old.key_hash.hex())
    return issue_key(connection, subscriber_id, kind="public")


@contextmanager
def _door(port: int) -> Iterator[socket.socket]:
    """A listening socket on this port, or on a free one."""
    door = socket.socket()
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with door:
        try:
            door.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            door.bind(("127.0.0.1", 0))
        door.listen()
        yield door


@contextmanager
def _serving(app: ASGIApp, door: socket.socket) -> Iterator[None]:
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [door]}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(timeout=10)
