"""The cookie `tailor_activity`, kept on the consumer's own computer by the site that they visit.

Its value is URL-safe base64 of JSON: `{"v": 1, "id": VISITOR, "consent": [...], "events": [...],
"site": SITE, "t": made}`. The tag writes it so (script mode), and it is taken for what it is: a visitor's
word. Where the site's own server passes the service on (server mode), the service writes it and signs it:
`payload.signature`.
"""

import base64
import binascii
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec

from storage.errors import BadSeal, InvalidValue
from storage.events import ActivityEvent, Rejection, parse_event
from storage.signing import Seal

COOKIE_NAME = "tailor_activity"
LIFETIME = timedelta(days=395)
"""Thirteen months from when it was first made; visits do not renew it."""
MOST_BYTES = 4_096
MOST_EVENTS = 50
PURPOSE = "activity-cookie"

_NOT_THEIRS = ("namespace", "consumer_id", "decision")

Fault = Literal["malformed", "tampered", "expired", "oversized", "foreign"]


class BadCookie(InvalidValue):
    """A cookie that counts for nothing; `fault` says in a word why."""

    def __init__(self, fault: Fault, message: str) -> None:
        super().__init__(message)
        self.fault = fault


class CookieClaim(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the service writes into a cookie: who this is on a site, and what they agreed to."""

    v: int = 1
    id: str
    consent: list[str]
    events: list[dict[str, Any]] = []
    site: str
    t: int


@dataclass(frozen=True, slots=True)
class ActivityCookie:
    """What a cookie says; `signed` tells whether the service wrote it."""

    visitor_id: object
    consent: object
    events: tuple[Mapping[str, Any], ...]
    site_id: object
    made_at: datetime | None
    signed: bool


def read_activity_cookie(value: str, *, seal: Seal | None, now: datetime) -> ActivityCookie:
    """What the value of a cookie says.

    Raises
    ------
    BadCookie
        It is too large, no JSON of version 1, signed by nobody we know, or older than 13 months.
    """
    if len(value) > MOST_BYTES:
        raise BadCookie("oversized", f"the cookie's value has {len(value)} characters, at most {MOST_BYTES}")
    signed = "." in value
    content = _signed(value, seal) if signed else _unsigned(value)
    if content.get("v") != 1:
        raise BadCookie("malformed", "the cookie's value is not of version 1")
    events = content.get("events", [])
    if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
        raise BadCookie("malformed", "events in the cookie is not a list of objects")
    if len(events) > MOST_EVENTS:
        raise BadCookie("oversized", f"the cookie holds {len(events)} events, at most {MOST_EVENTS}")
    made_at = _made_at(content.get("t"))
    if made_at is not None and made_at + LIFETIME < now:
        raise BadCookie("expired", f"the cookie is of {made_at:%Y-%m-%d}, older than {LIFETIME.days} days")
    return ActivityCookie(
        content.get("id"), content.get("consent"), tuple(events), content.get("site"), made_at, signed
    )


def cookie_events(
    cookie: ActivityCookie, *, site_id: str, source: str, now: datetime
) -> Iterator[ActivityEvent | Rejection]:
    """The events that a cookie holds, for the one site and the one visitor that it may speak for."""
    for event in cookie.events:
        own = {name: value for name, value in event.items() if name not in _NOT_THEIRS}
        raw = {**own, "identifier": cookie.visitor_id, "site_id": site_id, "consent": cookie.consent}
        yield parse_event(raw, source=source, default_consent=None, now=now)


def cookie_value(
    visitor_id: str,
    *,
    consent: Sequence[str],
    events: Sequence[Mapping[str, Any]],
    site_id: str | None = None,
) -> str:
    """The value as the tag writes it."""
    content = {"v": 1, "id": visitor_id, "consent": list(consent), "events": list(events)}
    if site_id is not None:
        content["site"] = site_id
    return base64.urlsafe_b64encode(json.dumps(content, separators=(",", ":")).encode()).decode().rstrip("=")


def _signed(value: str, seal: Seal | None) -> dict[str, Any]:
    if seal is None:
        raise BadCookie("tampered", "the cookie is signed, and there is no key to check it with")
    try:
        claim: dict[str, Any] = msgspec.to_builtins(seal.open(value, CookieClaim))
    except BadSeal as error:
        raise BadCookie("tampered", f"the cookie is not ours: {error}") from None
    return {**claim, "v": claim.get("v", 1)}


def _unsigned(value: str) -> dict[str, Any]:
    try:
        padded = value + "=" * (-len(value) % 4)
        content = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise BadCookie(
            "malformed", "the cookie's value is not URL-safe base64 of JSON; was it cut off?"
        ) from None
    if not isinstance(content, dict):
        raise BadCookie("malformed", "the cookie's value is not of version 1")
    return content


def _made_at(value: object) -> datetime | None:
    if value is None:
        return None
    try:
        return datetime.fromtimestamp(int(value), UTC)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError, OSError):
        raise BadCookie("malformed", f"t in the cookie, {value!r:.40}, is no time in seconds") from None
