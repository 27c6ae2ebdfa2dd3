"""What a subscriber states about sharing, over HTTP: its own entry only, with its secret key."""

from typing import Annotated

import msgspec
from litestar import put
from litestar.types import ControllerRouterHandler

from serving.guard.access import Caller
from serving.manage import own_entry
from serving.requests import Id
from serving.runtime import Runtime
from storage.sharing import MOST_ACCEPTED, set_sharing
from storage.subscribers import Subscriber


class SharingFields(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Whether activity on the subscriber's sites may tailor promotions elsewhere, and whose it accepts.

    `accepts_from`: ids of subscribers; null: all who share, and sites without a subscriber.
    """

    shares_activity: bool
    accepts_from: Annotated[list[Id], msgspec.Meta(max_length=MOST_ACCEPTED)] | None


@put("/subscribers/{subscriber_id:str}/sharing", tags=["manage"])
async def put_sharing(
    subscriber_id: str, data: SharingFields, runtime: Runtime, caller: Caller
) -> Subscriber:
    """State what the caller shares and accepts; it counts within a second."""
    own_entry(subscriber_id, caller)
    return await runtime.run(
        lambda c: set_sharing(
            c, subscriber_id, shares_activity=data.shares_activity, accepts_from=data.accepts_from
        )
    )


SHARING: list[ControllerRouterHandler] = [put_sharing]
