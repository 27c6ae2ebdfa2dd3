"""What may be asked, as it comes over the wire; anything else is refused with the field's name."""

from typing import Annotated, Any

import msgspec

from serving.errors import RequestRefused
from storage.events import identity_of

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")]


class DecisionRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is asking for a promotion to show, and where.

    Either `consumer_id`, or an `identifier` with its `namespace` (left out: a visitor id of this very site).
    """

    site_id: Id
    consumer_id: Id | None = None
    identifier: Id | None = None
    namespace: Id | None = None
    placement: Id | None = None
    n: Annotated[int, msgspec.Meta(ge=1)] = 1

    @property
    def who(self) -> str | tuple[str, str]:
        """The consumer id, or (namespace, identifier)."""
        if self.consumer_id is not None and self.identifier is None and self.namespace is None:
            return self.consumer_id
        named = {"consumer_id": self.consumer_id, "identifier": self.identifier, "namespace": self.namespace}
        return identity_of(named, site_id=self.site_id)


class ActivityRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A batch of events, each judged by itself; see the activity event in the reference."""

    events: Annotated[list[Any], msgspec.Meta(min_length=1)]


def read_request(kind: type[DecisionRequest], fields: dict[str, Any]) -> DecisionRequest:
    """Check fields that something else has parsed."""
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise RequestRefused(str(error)) from error
