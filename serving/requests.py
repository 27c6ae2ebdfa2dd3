"""What may be asked, as it comes over the wire; anything else is refused with the field's name."""

from typing import Annotated, Any

import msgspec

from serving.errors import RequestRefused

MAX_BODY_BYTES = 1_000_000

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Visitor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom a call is about, on which site.

    Either `consumer_id`, or an `identifier` with its `namespace` (left out: a visitor id of this very site),
    or neither: then the activity cookie says it, if it came along. `consent` lists what the consumer agreed
    to; what cannot be understood counts as nothing.
    """

    site_id: Id
    consumer_id: Id | None = None
    identifier: Id | None = None
    namespace: Id | None = None
    consent: Any = None

    @property
    def named(self) -> dict[str, Any]:
        """What it says of the consumer."""
        return {
            "site_id": self.site_id,
            "consumer_id": self.consumer_id,
            "identifier": self.identifier,
            "namespace": self.namespace,
            "consent": self.consent,
        }


class DecisionRequest(Visitor, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is asking for a promotion to show, and where; of nobody named it is nobody's in particular."""

    placement: Id | None = None
    n: Annotated[int, msgspec.Meta(ge=1)] = 1


class ActivityRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A batch of events, each judged by itself; see the activity event in the reference.

    May be left out where the activity cookie of `site_id` holds events.
    """

    events: list[Any] = []
    site_id: Id | None = None


def read_request(kind: type[DecisionRequest], fields: dict[str, Any]) -> DecisionRequest:
    """Check fields that something else has parsed."""
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise RequestRefused(str(error)) from error
