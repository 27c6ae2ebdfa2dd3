"""One event of activity: what it may say, what its words mean, and why one is turned away."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from storage.errors import InvalidValue
from storage.fields import (
    identifier_field,
    is_missing,
    json_field,
    number_field,
    past_time_field,
    required_identifier,
    text_field,
)

ACTIVITY_KINDS = ("page_view", "product_review", "purchase")
OUTCOME_KINDS = ("promotion_view", "promotion_click", "promotion_conversion")

#: What others call the kinds (GA4, Segment, Taobao), after lower-casing and with ``_`` for blanks and dashes.
ALIASES = {
    **{kind: kind for kind in (*ACTIVITY_KINDS, *OUTCOME_KINDS)},
    **dict.fromkeys(("pageview", "page", "page_viewed", "screen_view", "view", "pv"), "page_view"),
    **dict.fromkeys(("view_item", "product_viewed", "select_item", "product_clicked"), "product_review"),
    **dict.fromkeys(("add_to_cart", "product_added", "cart", "fav"), "product_review"),
    **dict.fromkeys(("add_to_wishlist", "product_added_to_wishlist"), "product_review"),
    **dict.fromkeys(("rate", "rating", "review", "product_reviewed"), "product_review"),
    **dict.fromkeys(("order", "order_completed", "buy", "transaction"), "purchase"),
    **dict.fromkeys(("view_promotion", "promotion_viewed", "impression"), "promotion_view"),
    **dict.fromkeys(("select_promotion", "promotion_clicked", "click"), "promotion_click"),
    **dict.fromkeys(("conversion", "redemption"), "promotion_conversion"),
}

SAME_SITE = "same_site"
CROSS_SITE = "cross_site"
BOTH_PURPOSES = frozenset({SAME_SITE, CROSS_SITE})
NO_PURPOSE: frozenset[str] = frozenset()

NETWORK = "network"
LOGIN = "login"
DERIVED_MARK = "~"
NO_CONSENT = "no consent"


@dataclass(frozen=True, slots=True)
class ActivityEvent:
    """What one consumer did, or how one answered a promotion, on one site.

    Stored under (`namespace`, `identifier`), which never change; `site_id` and `event_id` tell the events of
    one identifier apart. `same_site` and `cross_site` are the purposes the consumer agreed to.
    """

    namespace: str
    identifier: str
    site_id: str
    event_id: str
    kind: str
    source_id: str
    same_site: bool
    cross_site: bool
    item_id: str | None = None
    promotion_id: str | None = None
    occurred_at: datetime | None = None
    rating: float | None = None
    quantity: float | None = None
    value: float | None = None
    currency: str | None = None
    decision: Mapping[str, Any] | None = None

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What makes it this event and no other."""
        return (self.namespace, self.identifier, self.site_id, self.event_id)


@dataclass(frozen=True, slots=True)
class Rejection:
    """An event that is not stored, and why; goes to quarantine.

    `payload` is empty for events without consent: of these nothing but the reason may be kept.
    """

    reason: str
    source_id: str
    location: str | None = None
    payload: str | None = None


def parse_event(
    raw: Mapping[str, Any],
    *,
    source: str,
    default_consent: Iterable[str] | None,
    now: datetime,
    event_id: str | None = None,
) -> ActivityEvent | Rejection:
    """Make an event of what came in by HTTP, file or cookie, or say why not.

    Parameters
    ----------
    raw
        The fields as they came. `decision` counts only as the mapping that serving puts there after it
        verified a token.
    source
        Whom it came from.
    default_consent
        Purposes that hold when the event states none (the legal basis of a server's or vendor's data);
        None: an event without consent is turned away.
    now
        The time on our clock.
    event_id
        Stands in for a missing one (rows of files).
    """
    try:
        consent = consent_field(raw, default_consent)
        if not consent:
            return Rejection(NO_CONSENT, source)
        site_id = required_identifier(raw, "site_id")
        namespace, identifier = identity_of(raw, site_id=site_id)
        kind = parse_kind(raw.get("kind"))
        item_id = identifier_field(raw, "item_id")
        promotion_id = identifier_field(raw, "promotion_id")
        _check_subject(kind, item_id=item_id, promotion_id=promotion_id)
        decision = raw.get("decision")
        return ActivityEvent(
            namespace=namespace,
            identifier=identifier,
            site_id=site_id,
            event_id=identifier_field(raw, "event_id") or event_id or required_identifier(raw, "event_id"),
            kind=kind,
            source_id=source,
            same_site=SAME_SITE in consent,
            cross_site=CROSS_SITE in consent,
            item_id=item_id,
            promotion_id=promotion_id,
            occurred_at=past_time_field(raw, "occurred_at", now=now),
            rating=number_field(raw, "rating"),
            quantity=number_field(raw, "quantity"),
            value=number_field(raw, "value"),
            currency=currency_field(raw),
            decision=_without_consumer(decision) if isinstance(decision, Mapping) else None,
        )
    except InvalidValue as error:
        return Rejection(str(error), source)


def parse_kind(value: object) -> str:
    """The kind that a word stands for."""
    if is_missing(value):
        raise InvalidValue("kind is missing")
    kind = ALIASES.get(value) if isinstance(value, str) else None
    if kind is None and isinstance(value, str):
        kind = ALIASES.get(re.sub(r"[\s-]+", "_", value.strip().lower()))
    if kind is None:
        raise InvalidValue(
            f"unknown kind {value!r}; known kinds: {', '.join(ACTIVITY_KINDS + OUTCOME_KINDS)}"
        )
    return kind


def identity_of(raw: Mapping[str, Any], *, site_id: str) -> tuple[str, str]:
    """The (namespace, identifier) that a request or event names, by `consumer_id` or by `identifier`.

    Without a namespace an identifier is the site's own visitor id.
    """
    consumer_id = identifier_field(raw, "consumer_id")
    identifier = identifier_field(raw, "identifier")
    if consumer_id is not None and identifier is not None:
        raise InvalidValue("both consumer_id and identifier are given; send one")
    if consumer_id is not None:
        return NETWORK, _network_id(consumer_id)
    if identifier is None:
        raise InvalidValue("identifier is missing (or consumer_id)")
    own = f"site:{site_id}"
    namespace = identifier_field(raw, "namespace") or own
    if namespace == NETWORK:
        return NETWORK, _network_id(identifier)
    if namespace in ("site", own):
        return own, identifier
    if namespace != LOGIN:
        raise InvalidValue(f"unknown namespace {namespace!r}; known here: {NETWORK}, {LOGIN}, {own}")
    return namespace, identifier


def derived_consumer_id(namespace: str, identifier: str) -> str:
    """The consumer that an identifier belongs to until somebody links it to another."""
    if namespace == NETWORK:
        return identifier
    return DERIVED_MARK + hashlib.sha256(f"{namespace}\0{identifier}".encode()).hexdigest()[:32]


def _check_subject(kind: str, *, item_id: str | None, promotion_id: str | None) -> None:
    if kind in ACTIVITY_KINDS and item_id is None:
        raise InvalidValue(f"item_id is missing, which a {kind} needs")
    if kind in OUTCOME_KINDS and promotion_id is None:
        raise InvalidValue(f"promotion_id is missing, which a {kind} needs")


def _without_consumer(decision: Mapping[str, Any]) -> dict[str, Any]:
    """Whose event it is tells its identifier: a second name would be left over when the first is erased."""
    return {name: value for name, value in decision.items() if name != "consumer_id"}


def _network_id(consumer_id: str) -> str:
    if consumer_id.startswith(DERIVED_MARK):
        raise InvalidValue(f"consumer_id {consumer_id!r} is derived from an identifier; send the identifier")
    return consumer_id


def consent_field(raw: Mapping[str, Any], default: Iterable[str] | None) -> Iterable[str]:
    """The purposes that an event states, or else the default ones; none means that it may not be kept."""
    stated = raw.get("consent")
    if is_missing(stated):
        return NO_PURPOSE if default is None else default
    if isinstance(stated, str):  # CSV: a JSON list, or words
        stated = json_field(raw, "consent") if stated.lstrip().startswith("[") else re.findall(r"\w+", stated)
    if not isinstance(stated, list | tuple | set | frozenset):
        raise InvalidValue(f"consent {stated!r} is not a list of purposes")
    unknown = [purpose for purpose in stated if purpose not in (SAME_SITE, CROSS_SITE)]
    if unknown:
        raise InvalidValue(
            f"unknown consent purpose {unknown[0]!r}; known purposes: {SAME_SITE}, {CROSS_SITE}"
        )
    return stated


def currency_field(raw: Mapping[str, Any]) -> str | None:
    """Three capital letters."""
    currency = text_field(raw, "currency")
    if currency is not None and not re.fullmatch("[A-Z]{3}", currency):
        raise InvalidValue(f"currency {currency[:20]!r} is not an ISO 4217 code such as EUR")
    return currency
