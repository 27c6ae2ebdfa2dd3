"""Activity over HTTP: judged event by event, stored in one transaction, answered after the commit."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
from litestar.datastructures import Cookie

from serving.browser.contact import Signals, by_cookie, check_identity, legal_basis
from serving.browser.keepsake import cookies_after, network_claim
from serving.catalog import Catalogue
from serving.errors import RequestRefused, SecretKeyNeeded, TokenRefused, TooLarge
from serving.guard.access import Caller, own_site
from serving.requests import ActivityRequest
from serving.runtime import Runtime
from serving.token import TokenSigner
from serving.view import View
from serving.writer import Delivery
from storage.activity_cookie import ActivityCookie, cookie_events
from storage.consent import NO_WORD, WITHDRAWN
from storage.errors import InvalidValue
from storage.events import NO_CONSENT, OUTCOME_KINDS, ActivityEvent, Rejection, parse_event, parse_kind
from storage.fields import is_missing

MAX_EVENTS = 500
MAX_PAYLOAD_CHARS = 4_096


class EventAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one event; `reason` tells why it was quarantined.

    Of an event without consent nothing is kept, in quarantine neither.
    """

    event_id: str | None
    status: Literal["stored", "duplicate", "quarantined"]
    reason: str | None = None


class ActivityAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a batch; `events` has one answer an event, in the order they were sent.

    The events that the activity cookie held come after those of the body. `withdrawn`: the visitor's cookie
    says more than the service knows of, for instance because they were erased; ask them again.
    """

    stored: int
    duplicate: int
    quarantined: int
    events: list[EventAnswer]
    withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class Collected:
    """What became of a batch, and the cookies to set once it is stored."""

    answer: ActivityAnswer
    cookies: list[Cookie]


async def collect(data: ActivityRequest, *, runtime: Runtime, caller: Caller, signals: Signals) -> Collected:
    """Judge every event, store what can be stored, and answer once it is durable.

    Raises
    ------
    TooLarge : more than 500 events.
    RequestRefused : no event at all, in the body or in the cookie.
    UnknownSite, NotASubscriber, SiteRefused : an event is of a site that the key does not open; nothing of
        the batch is stored then.
    """
    raw_events = data.events
    if len(raw_events) > MAX_EVENTS:
        raise TooLarge(f"{len(raw_events)} events; send at most {MAX_EVENTS} in one call")
    view, now = runtime.view, datetime.now(UTC)
    check_sites([*raw_events, {"site_id": data.site_id}], caller=caller, catalogue=view.catalogue)
    cookie = _cookie(data, signals, runtime=runtime, view=view)
    judge = Judge(
        caller=caller,
        catalogue=view.catalogue,
        signer=view.signer,
        now=now,
        signals=signals,
        cookie=cookie,
        basis=legal_basis(caller, view.catalogue),
    )
    verdicts = [judge.parse(raw) for raw in raw_events] + judge.of_cookie()
    if not verdicts:
        raise RequestRefused("events is empty, and no activity cookie of `site_id` holds any")
    network = network_claim(signals, seal=view.seals.network, now=now, metrics=runtime.metrics)
    from_browser = caller.key_kind == "public"
    outcomes = await runtime.store(Delivery(verdicts, network, needs_word=from_browser))
    answers = [
        EventAnswer(
            event_id=_event_id(raw_events[at]) if at < len(raw_events) else _id_of(one.event),
            status=one.status,
            reason=one.reason,
        )
        for at, one in enumerate(outcomes)
    ]
    tally = Counter(answer.status for answer in answers)
    for status, n_events in tally.items():
        runtime.metrics.count_events(status, n_events)
    told = ActivityAnswer(
        stored=tally["stored"],
        duplicate=tally["duplicate"],
        quarantined=tally["quarantined"],
        events=answers,
        withdrawn=from_browser and any(one.reason in (WITHDRAWN, NO_WORD) for one in outcomes),
    )
    kept = [one.event for one in outcomes if one.event is not None]
    cookies = cookies_after(kept, caller=caller, signals=signals, cookie=cookie, view=view, now=now)
    return Collected(told, cookies)


def check_sites(raw_events: Sequence[Any], *, caller: Caller, catalogue: Catalogue) -> None:
    """Refuse a batch that names a site which the key does not open; what is no site id is judged later."""
    named = [raw.get("site_id") for raw in raw_events if isinstance(raw, Mapping)]
    for site_id in sorted({str(site_id) for site_id in named if isinstance(site_id, str) and site_id}):
        own_site(caller, site_id, catalogue)


@dataclass(frozen=True, slots=True)
class Judge:
    """Makes events of what came in, or says why not."""

    caller: Caller
    catalogue: Catalogue
    signer: TokenSigner
    now: datetime
    signals: Signals
    cookie: ActivityCookie | None
    basis: frozenset[str] | None

    def parse(self, raw: Any) -> ActivityEvent | Rejection:
        """Judge one event of the body."""
        if not isinstance(raw, Mapping):
            return Rejection(f"the event is a {type(raw).__name__}, not an object", self.caller.source_id)
        raw = by_cookie(raw, self.cookie)
        try:
            fields = self._with_verified_decision(raw)
        except (TokenRefused, InvalidValue) as error:
            verdict: ActivityEvent | Rejection = Rejection(str(error), self.caller.source_id)
        else:
            verdict = parse_event(
                fields, source=self.caller.source_id, default_consent=self.basis, now=self.now
            )
        verdict = self._as_signalled(verdict)
        if isinstance(verdict, Rejection) and verdict.reason != NO_CONSENT and self._may_be_kept(raw):
            return replace(verdict, payload=_shown(raw))
        return verdict

    def of_cookie(self) -> list[ActivityEvent | Rejection]:
        """Judge the events that the activity cookie holds: of the one visitor, on the one site."""
        if self.cookie is None:
            return []
        events = cookie_events(
            self.cookie, site_id=str(self.cookie.site_id), source=self.caller.source_id, now=self.now
        )
        return [self._as_signalled(event) for event in events]

    def _as_signalled(self, verdict: ActivityEvent | Rejection) -> ActivityEvent | Rejection:
        if isinstance(verdict, Rejection):
            return verdict
        try:
            check_identity(self.caller, (verdict.namespace, verdict.identifier), site_id=verdict.site_id)
        except SecretKeyNeeded as error:
            return Rejection(str(error), self.caller.source_id)
        if self.signals.gpc and verdict.cross_site:
            verdict = replace(verdict, cross_site=False)
        return (
            verdict if verdict.same_site or verdict.cross_site else Rejection(NO_CONSENT, verdict.source_id)
        )

    def _may_be_kept(self, raw: Mapping[str, Any]) -> bool:
        """Without consent nothing but the reason is kept, whatever else is wrong with the event."""
        return bool(raw.get("consent")) or self.basis is not None

    def _with_verified_decision(self, raw: Mapping[str, Any]) -> Mapping[str, Any]:
        # Only what a token says may become a stored decision: what the caller wrote there never does.
        fields = raw
        if "decision" in raw:
            fields = {name: value for name, value in raw.items() if name != "decision"}
        if is_missing(raw.get("kind")) or parse_kind(raw["kind"]) not in OUTCOME_KINDS:
            return fields
        if is_missing(raw.get("decision")):
            raise TokenRefused("an outcome needs `decision`: the token of the promotion that was shown")
        claim = self.signer.verify(raw["decision"], now=self.now)
        if claim.site_id != raw.get("site_id"):
            raise TokenRefused(
                f"the decision token is of site {claim.site_id!r}, the event of {raw.get('site_id')!r}"
            )
        if raw.get("promotion_id") not in (None, claim.promotion_id):
            raise TokenRefused(f"the decision token is of promotion {claim.promotion_id!r}")
        return {**fields, "promotion_id": claim.promotion_id, "decision": msgspec.to_builtins(claim)}


def _cookie(
    data: ActivityRequest, signals: Signals, *, runtime: Runtime, view: View
) -> ActivityCookie | None:
    """The activity cookie, if it is of the site that the call is about."""
    if signals.activity is None:
        return None
    named = [raw.get("site_id") for raw in data.events if isinstance(raw, Mapping)]
    site_id = data.site_id or next((one for one in named if isinstance(one, str)), None)
    return None if site_id is None else runtime.cookie(signals, site_id, view)


def _event_id(raw: Any) -> str | None:
    value = raw.get("event_id") if isinstance(raw, Mapping) else None
    return None if value is None else str(value)[:256]


def _id_of(event: ActivityEvent | None) -> str | None:
    return None if event is None else event.event_id


def _shown(raw: Mapping[str, Any]) -> str:
    return msgspec.json.encode(raw).decode()[:MAX_PAYLOAD_CHARS]
