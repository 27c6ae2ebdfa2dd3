"""What a decision says, as it goes over the wire."""

from datetime import datetime

import msgspec


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The champion that scored."""

    version: str
    kind: str
    digest: str


class FeaturedItem(msgspec.Struct, frozen=True):
    """The covered item that suits this consumer best."""

    site_id: str
    item_id: str
    title: str | None = None
    category: str | None = None
    image_url: str | None = None
    url: str | None = None


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """One past activity and how much of the promotion's score it carried.

    `share` is its part of all that spoke for or against the promotion: shares are never above 1, and all
    of them, counted without sign, add up to 1. `site_name` is what the site calls itself, `shared_by` the
    subscriber whose site it is, where that is not the caller. `item_id`, `title` and `occurred_at` of other
    sites are left out for public keys, which any visitor can read, and where so few consumers have the item
    that it would point at one of them; with so few of the site, the whole reason is withheld. The others keep
    their shares.
    """

    site_id: str
    kind: str
    share: float
    site_name: str
    shared_by: str | None = None
    item_id: str | None = None
    title: str | None = None
    occurred_at: datetime | None = None


class PresentedPromotion(msgspec.Struct, frozen=True, kw_only=True):
    """One promotion, ready to be shown.

    `token` goes back with the outcome (view, click, conversion). `score` is null where the model knows
    none of the covered items; such promotions come last. `propensity` is the chance that this one got
    this rank. `signals` tells by which signals the score came, as shares: the kinds of model, the consumer's
    own activity with what the promotion covers, popularity, and `text` where only what new items say tells of
    them; what spoke against it is negative.
    """

    promotion_id: str
    title: str
    body: str | None
    image_url: str | None
    landing_url: str | None
    code: str | None
    item: FeaturedItem | None
    score: float | None
    rank: int
    propensity: float
    decision_id: str
    token: str
    reasons: list[Reason]
    signals: dict[str, float]


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The answer: `promotion` is the first of `promotions`, or null with the reason why.

    `consumer_id` is null where nobody was named, and for public keys, whose answers any visitor can read.
    """

    decision_id: str
    consumer_id: str | None
    site_id: str
    placement: str | None
    strategy: str
    model: ModelInfo | None
    promotion: PresentedPromotion | None
    promotions: list[PresentedPromotion]
    reason: str | None
    decided_at: datetime
