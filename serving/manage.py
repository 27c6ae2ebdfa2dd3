"""Managing over HTTP what a subscriber offers: its sites, items and promotions.

Everything here needs a secret key and reaches only what belongs to the subscriber behind it.
"""

import secrets
from contextlib import suppress
from typing import Any

import msgspec
from litestar import delete, get, post, put
from litestar.types import ControllerRouterHandler

from serving.errors import AlreadyExists, Forbidden, RequestRefused
from serving.guard.access import Caller, own_site
from serving.offers import ItemFields, KeptPromotion, NewItem, NewPromotion, PromotionFields, show
from serving.paging import Cursor, Limit, Page, page_of
from serving.runtime import Runtime
from storage.database import Connection
from storage.errors import AlreadyTaken, UnknownItem, UnknownPromotion
from storage.items import Item, get_item, list_items, parse_item, upsert_items
from storage.promotions import (
    Promotion,
    get_promotion,
    list_promotions,
    parse_promotion,
    set_promotion_status,
    sites_of,
    upsert_promotions,
)
from storage.subscribers import Site, Subscriber


@get("/sites", tags=["manage"])
async def list_own_sites(
    runtime: Runtime, caller: Caller, limit: Limit = 100, cursor: Cursor = None
) -> Page[Site]:
    """List the caller's sites."""
    caller.needs_secret_key()
    catalogue = runtime.view.catalogue
    own = [catalogue.sites[site_id] for site_id in catalogue.subscribers[caller.subscriber_id].sites]
    rest = [site for site in own if site.site_id > (cursor or "")]
    return page_of(rest, limit=limit, key=lambda site: site.site_id)


@get("/sites/{site_id:str}", tags=["manage"])
async def get_own_site(site_id: str, runtime: Runtime, caller: Caller) -> Site:
    """Return one of the caller's sites."""
    caller.needs_secret_key()
    return own_site(caller, site_id, runtime.view.catalogue)


@get("/subscribers", tags=["manage"])
async def list_own_subscriber(runtime: Runtime, caller: Caller) -> Page[Subscriber]:
    """List the subscribers that the caller may see: itself."""
    caller.needs_secret_key()
    return Page(items=[runtime.view.catalogue.subscribers[caller.subscriber_id]], next_cursor=None)


@get("/subscribers/{subscriber_id:str}", tags=["manage"])
async def get_own_subscriber(subscriber_id: str, runtime: Runtime, caller: Caller) -> Subscriber:
    """Return the caller's own entry."""
    own_entry(subscriber_id, caller)
    return runtime.view.catalogue.subscribers[subscriber_id]


@get("/items", tags=["manage"])
async def list_own_items(
    site_id: str, runtime: Runtime, caller: Caller, limit: Limit = 100, cursor: Cursor = None
) -> Page[Item]:
    """List the items of one of the caller's sites."""
    _own_site(site_id, runtime, caller)
    found = await runtime.run(lambda c: list_items(c, site_id=site_id, after=cursor, limit=limit + 1))
    return page_of(found, limit=limit, key=lambda item: item.item_id)


@post("/items", tags=["manage"])
async def create_item(data: NewItem, runtime: Runtime, caller: Caller) -> Item:
    """Enter an item."""
    _own_site(data.site_id, runtime, caller)
    return await runtime.run(lambda c: _put_item(c, parse_item(msgspec.to_builtins(data)), new=True))


@get("/items/{site_id:str}/{item_id:path}", tags=["manage"])
async def get_own_item(site_id: str, item_id: str, runtime: Runtime, caller: Caller) -> Item:
    """Return an item."""
    _own_site(site_id, runtime, caller)
    return await runtime.run(lambda c: get_item(c, site_id, _plain(item_id)))


@put("/items/{site_id:str}/{item_id:path}", tags=["manage"])
async def put_item(site_id: str, item_id: str, data: ItemFields, runtime: Runtime, caller: Caller) -> Item:
    """Enter an item, or replace all that was said of it."""
    _own_site(site_id, runtime, caller)
    named = {**msgspec.to_builtins(data), "site_id": site_id, "item_id": _plain(item_id)}
    return await runtime.run(lambda c: _put_item(c, parse_item(named), new=False))


@delete("/items/{site_id:str}/{item_id:path}", tags=["manage"])
async def remove_item(site_id: str, item_id: str, runtime: Runtime, caller: Caller) -> None:
    """Forget what was said of an item; activity with it stays."""
    _own_site(site_id, runtime, caller)
    await runtime.run(lambda c: delete_item(c, site_id, _plain(item_id)))


@get("/promotions", tags=["manage"])
async def list_own_promotions(
    runtime: Runtime,
    caller: Caller,
    site_id: str | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[KeptPromotion]:
    """List the caller's promotions, or all that may be shown on one of the caller's sites."""
    caller.needs_secret_key()
    owner: str | None = caller.subscriber_id
    if site_id is not None:
        owner = None
        _own_site(site_id, runtime, caller)
    found = await runtime.run(
        lambda c: list_promotions(c, site_id=site_id, subscriber_id=owner, after=cursor, limit=limit + 1)
    )
    return page_of([show(one) for one in found], limit=limit, key=lambda one: one.promotion_id)


@post("/promotions", tags=["manage"])
async def create_promotion(data: NewPromotion, runtime: Runtime, caller: Caller) -> KeptPromotion:
    """Create a promotion; it ranks within a second."""
    promotion = _parse(data, data.promotion_id or secrets.token_hex(8), runtime=runtime, caller=caller)
    return await runtime.run(lambda c: _put_promotion(c, promotion, new=True))


@get("/promotions/{promotion_id:str}", tags=["manage"])
async def get_own_promotion(promotion_id: str, runtime: Runtime, caller: Caller) -> KeptPromotion:
    """Return a promotion of the caller, or one that may be shown on the caller's sites."""
    caller.needs_secret_key()
    return show(await runtime.run(lambda c: _visible(c, promotion_id, runtime=runtime, caller=caller)))


@put("/promotions/{promotion_id:str}", tags=["manage"])
async def put_promotion(
    promotion_id: str, data: PromotionFields, runtime: Runtime, caller: Caller
) -> KeptPromotion:
    """Create a promotion, or replace all that it says and covers."""
    promotion = _parse(data, promotion_id, runtime=runtime, caller=caller)
    return await runtime.run(lambda c: _put_promotion(c, promotion, new=False))


@delete("/promotions/{promotion_id:str}", status_code=200, tags=["manage"])
async def end_promotion(promotion_id: str, runtime: Runtime, caller: Caller) -> KeptPromotion:
    """End a promotion: it is shown no more, and kept for the outcomes that name it."""
    caller.needs_secret_key()

    def end(connection: Connection) -> Promotion:
        found = _visible(connection, promotion_id, runtime=runtime, caller=caller)
        if found.subscriber_id != caller.subscriber_id:
            raise Forbidden(
                f"promotion {promotion_id!r} belongs to the network, not to {caller.subscriber_id!r}"
            )
        return set_promotion_status(connection, promotion_id, status="ended")

    return show(await runtime.run(end))


MANAGEMENT: list[ControllerRouterHandler] = [
    list_own_sites,
    get_own_site,
    list_own_subscriber,
    get_own_subscriber,
    list_own_items,
    create_item,
    get_own_item,
    put_item,
    remove_item,
    list_own_promotions,
    create_promotion,
    get_own_promotion,
    put_promotion,
    end_promotion,
]


def own_entry(subscriber_id: str, caller: Caller) -> None:
    """Refuse a subscriber that is not the caller, and a key that is for browsers."""
    caller.needs_secret_key()
    if subscriber_id != caller.subscriber_id:
        raise Forbidden(f"{subscriber_id!r} is not the subscriber of this key, {caller.subscriber_id!r} is")


def _own_site(site_id: str, runtime: Runtime, caller: Caller) -> None:
    caller.needs_secret_key()
    own_site(caller, site_id, runtime.view.catalogue)


def _plain(item_id: str) -> str:
    # An item id may hold a slash, so it is a path to the router, which puts one before it.
    return item_id.removeprefix("/")


def _put_item(connection: Connection, item: Item, *, new: bool) -> Item:
    if new and upsert_items(connection, [item]) != ["created"]:
        raise AlreadyExists(f"item {item.item_id!r} of {item.site_id!r} exists; replace it with PUT")
    if not new:
        upsert_items(connection, [item])
    return get_item(connection, item.site_id, item.item_id)


def _parse(fields: PromotionFields, promotion_id: str, *, runtime: Runtime, caller: Caller) -> Promotion:
    caller.needs_secret_key()
    named: dict[str, Any] = {
        **msgspec.to_builtins(fields),
        "promotion_id": promotion_id,
        "subscriber_id": caller.subscriber_id,
    }
    promotion = parse_promotion(named)
    if not promotion.sites:
        raise RequestRefused("sites is empty; name at least one of your sites where it may be shown")
    for site_id in sorted(sites_of(promotion)):
        own_site(caller, site_id, runtime.view.catalogue)
    return promotion


def delete_item(connection: Connection, site_id: str, item_id: str) -> None:
    """Forget an item's description."""
    gone = connection.execute("DELETE FROM item WHERE site_id = %s AND item_id = %s", (site_id, item_id))
    if gone.rowcount == 0:
        raise UnknownItem(f"{site_id}/{item_id}")


def _put_promotion(connection: Connection, promotion: Promotion, *, new: bool) -> KeptPromotion:
    with suppress(UnknownPromotion):
        if get_promotion(connection, promotion.promotion_id).subscriber_id != promotion.subscriber_id:
            raise AlreadyTaken(f"promotion id {promotion.promotion_id!r} is in use; choose another")
        if new:
            raise AlreadyExists(f"promotion {promotion.promotion_id!r} exists; replace it with PUT")
    # Whoever enters the same id between the two is refused by storage.
    if upsert_promotions(connection, [promotion]) == ["taken"]:
        raise AlreadyTaken(f"promotion id {promotion.promotion_id!r} is in use; choose another")
    return show(get_promotion(connection, promotion.promotion_id))


def _visible(connection: Connection, promotion_id: str, *, runtime: Runtime, caller: Caller) -> Promotion:
    promotion = get_promotion(connection, promotion_id)
    catalogue = runtime.view.catalogue
    shown_here = any(catalogue.owns(caller.subscriber_id, site_id) for site_id in promotion.sites)
    if promotion.subscriber_id != caller.subscriber_id and not shown_here:
        raise UnknownPromotion(promotion_id)
    return promotion
