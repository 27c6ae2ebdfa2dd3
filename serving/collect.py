"""Activity over HTTP: judged event by event, stored in one transaction, answered after the commit."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from serving.access import Caller, own_site
from serving.catalog import Catalogue
from serving.errors import TokenRefused, TooLarge
from serving.runtime import Runtime
from serving.token import TokenSigner
from storage.activity import Outcome, append_events, quarantine
from storage.database import Connection
from storage.errors import InvalidValue
from storage.events import BOTH_PURPOSES, OUTCOME_KINDS, ActivityEvent, Rejection, parse_event, parse_kind
from storage.fields import is_missing

MAX_EVENTS = 500
MAX_PAYLOAD_CHARS = 4_096


class EventAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one event; `reason` tells why it was quarantined."""

    event_id: str | None
    status: Literal["stored", "duplicate", "quarantined"]
    reason: str | None = None


class ActivityAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a batch; `events` has one answer an event, in the order they were sent."""

    stored: int
    duplicate: int
    quarantined: int
    events: list[EventAnswer]


async def collect(raw_events: Sequence[Any], *, runtime: Runtime, caller: Caller) -> ActivityAnswer:
    """Judge every event, store what can be stored, and answer once it is durable.

    Raises
    ------
    TooLarge : more than 500 events.
    UnknownSite, NotASubscriber, SiteRefused : an event is of a site that the key does not open; nothing of
        the batch is stored then.
    """
    if len(raw_events) > MAX_EVENTS:
        raise TooLarge(f"{len(raw_events)} events; send at most {MAX_EVENTS} in one call")
    view = runtime.view
    check_sites(raw_events, caller=caller, catalogue=view.catalogue)
    judge = _Judge(caller=caller, catalogue=view.catalogue, signer=view.signer, now=datetime.now(UTC))
    verdicts = [judge.parse(raw) for raw in raw_events]
    with runtime.metrics.timed("store"):
        outcomes = iter(await runtime.run(lambda connection: _store(connection, verdicts)))
    answers = [
        EventAnswer(event_id=_event_id(raw), status="quarantined", reason=verdict.reason)
        if isinstance(verdict, Rejection)
        else EventAnswer(event_id=verdict.event_id, status=next(outcomes))
        for raw, verdict in zip(raw_events, verdicts, strict=True)
    ]
    tally = Counter(answer.status for answer in answers)
    for status, n_events in tally.items():
        runtime.metrics.events.labels(status).inc(n_events)
    return ActivityAnswer(
        stored=tally["stored"], duplicate=tally["duplicate"], quarantined=tally["quarantined"], events=answers
    )


def check_sites(raw_events: Sequence[Any], *, caller: Caller, catalogue: Catalogue) -> None:
    """Refuse a batch that names a site which the key does not open; what is no site id is judged later."""
    named = [raw.get("site_id") for raw in raw_events if isinstance(raw, Mapping)]
    for site_id in sorted({str(site_id) for site_id in named if isinstance(site_id, str) and site_id}):
        own_site(caller, site_id, catalogue)


@dataclass(frozen=True, slots=True)
class _Judge:
    caller: Caller
    catalogue: Catalogue
    signer: TokenSigner
    now: datetime

    def parse(self, raw: Any) -> ActivityEvent | Rejection:
        if not isinstance(raw, Mapping):
            return Rejection(f"the event is a {type(raw).__name__}, not an object", self.caller.source_id)
        try:
            fields = self._with_verified_decision(raw)
        except (TokenRefused, InvalidValue) as error:
            verdict: ActivityEvent | Rejection = Rejection(str(error), self.caller.source_id)
        else:
            verdict = parse_event(
                fields, source=self.caller.source_id, default_consent=self._basis(), now=self.now
            )
        if isinstance(verdict, Rejection) and self._may_be_kept(raw):
            return replace(verdict, payload=_shown(raw))
        return verdict

    def _basis(self) -> frozenset[str] | None:
        # A server speaks for its subscriber, who said once on what legal basis; a browser must say so itself.
        subscriber = self.catalogue.subscribers[self.caller.subscriber_id]
        return BOTH_PURPOSES if self.caller.key_kind == "secret" and subscriber.legal_basis else None

    def _may_be_kept(self, raw: Mapping[str, Any]) -> bool:
        """Without consent nothing but the reason is kept, whatever else is wrong with the event."""
        return bool(raw.get("consent")) or self._basis() is not None

    def _with_verified_decision(self, raw: Mapping[str, Any]) -> Mapping[str, Any]:
        # Only what a token says may become a stored decision: what the caller wrote there never does.
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


def _store(connection: Connection, verdicts: Sequence[ActivityEvent | Rejection]) -> list[Outcome]:
    quarantine(connection, [verdict for verdict in verdicts if isinstance(verdict, Rejection)])
    return append_events(connection, [verdict for verdict in verdicts if isinstance(verdict, ActivityEvent)])


def _event_id(raw: Any) -> str | None:
    value = raw.get("event_id") if isinstance(raw, Mapping) else None
    return None if value is None else str(value)[:256]


def _shown(raw: Mapping[str, Any]) -> str:
    return msgspec.json.encode(raw).decode()[:MAX_PAYLOAD_CHARS]
