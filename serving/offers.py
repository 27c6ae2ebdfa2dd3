"""Items and promotions as they go over the wire."""

from datetime import datetime
from typing import Any

import msgspec

from storage.promotions import Promotion


class ItemFields(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is told of an item; a PUT replaces all of it."""

    title: str | None = None
    category: str | None = None
    image_url: str | None = None
    url: str | None = None
    attributes: dict[str, Any] = msgspec.field(default_factory=dict)


class NewItem(ItemFields, kw_only=True, forbid_unknown_fields=True):
    """An item with its ids."""

    site_id: str
    item_id: str


class CoveredItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An item that a promotion covers."""

    site_id: str
    item_id: str


class CoveredCategory(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A category all of whose items a promotion covers, later ones too."""

    site_id: str
    category: str


class PromotionFields(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a promotion says, covers, and where and when it may be shown; a PUT replaces all of it.

    `{item.title}` in `title` and `body` names the featured item. Left out, `audience_id` is everyone,
    `placements` any place, `starts_at` and `ends_at` no bound.
    """

    title: str
    sites: list[str]
    body: str | None = None
    image_url: str | None = None
    landing_url: str | None = None
    code: str | None = None
    items: list[CoveredItem] = []
    categories: list[CoveredCategory] = []
    audience_id: str | None = None
    placements: list[str] | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    status: str = "active"


class NewPromotion(PromotionFields, kw_only=True, forbid_unknown_fields=True):
    """A promotion to create; without an id it gets one."""

    promotion_id: str | None = None


class KeptPromotion(PromotionFields, kw_only=True):
    """A promotion as it is kept."""

    promotion_id: str
    subscriber_id: str | None


def show(promotion: Promotion) -> KeptPromotion:
    """Return a stored promotion as it goes over the wire."""
    return KeptPromotion(
        promotion_id=promotion.promotion_id,
        subscriber_id=promotion.subscriber_id,
        title=promotion.title,
        body=promotion.body,
        image_url=promotion.image_url,
        landing_url=promotion.landing_url,
        code=promotion.code,
        sites=list(promotion.sites),
        items=[CoveredItem(*pair) for pair in promotion.items],
        categories=[CoveredCategory(*pair) for pair in promotion.categories],
        audience_id=promotion.audience_id,
        placements=None if promotion.placements is None else list(promotion.placements),
        starts_at=promotion.starts_at,
        ends_at=promotion.ends_at,
        status=promotion.status,
    )
