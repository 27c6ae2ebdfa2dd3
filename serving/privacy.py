"""A consumer's right to see and to erase, as far as the data is the caller's: activity on its own sites."""

from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
from litestar import delete, get, put
from litestar.types import ControllerRouterHandler

from serving.guard.access import Caller, own_site
from serving.requests import Id
from serving.runtime import Runtime
from storage.consumers import erase, export
from storage.database import Connection
from storage.dossier import agree
from storage.errors import UnknownConsumer


class ConsumerExport(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a consumer on the caller's sites."""

    consumer_id: str
    identifiers: list[dict[str, Any]]
    activity: list[dict[str, Any]]


class ConsumerErasure(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows were erased, and the number of the record of it; none if nothing was kept."""

    consumer_id: str
    erasure_id: int | None
    activity: int
    consent: int
    identifiers: int
    quarantine: int


class ConsumerConsent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a consumer agrees to from now on, on one of the caller's sites or on all of them."""

    purposes: list[Literal["same_site", "cross_site"]]
    site_id: Id | None = None


class ConsumerAgreement(msgspec.Struct, frozen=True, kw_only=True):
    """What holds now, and how many events were deleted or taken out of a purpose by it."""

    consumer_id: str
    purposes: list[str]
    deleted: int
    limited: int


@get("/consumers/{consumer_id:str}", tags=["consumers"])
async def export_consumer(consumer_id: str, runtime: Runtime, caller: Caller) -> ConsumerExport:
    """Export what a consumer did on the caller's sites, and what they are called there."""
    caller.needs_secret_key()
    sites = frozenset(runtime.view.catalogue.subscribers[caller.subscriber_id].sites)
    everything = await runtime.run(lambda connection: export(connection, consumer_id))
    activity = [row for row in everything["activity"] if row["site_id"] in sites]
    own_names = {(row["namespace"], row["identifier"]) for row in activity}
    own_spaces = {f"site:{site_id}" for site_id in sites}
    identifiers = [
        row
        for row in everything["identifiers"]
        if row["namespace"] in own_spaces or (row["namespace"], row["identifier"]) in own_names
    ]
    if not identifiers:
        raise UnknownConsumer(consumer_id)
    return ConsumerExport(consumer_id=everything["consumer_id"], identifiers=identifiers, activity=activity)


@delete("/consumers/{consumer_id:str}", status_code=200, tags=["consumers"])
async def erase_consumer(consumer_id: str, runtime: Runtime, caller: Caller) -> ConsumerErasure:
    """Erase what a consumer did on the caller's sites; the next decision does not know it any more."""
    caller.needs_secret_key()
    sites = list(runtime.view.catalogue.subscribers[caller.subscriber_id].sites)
    return await runtime.run(
        lambda connection: erase_on(
            connection,
            consumer_id,
            sites=sites,
            subscriber_id=caller.subscriber_id,
            source=caller.source_id,
        )
    )


@put("/consumers/{consumer_id:str}", tags=["consumers"])
async def agree_consumer(
    consumer_id: str, data: ConsumerConsent, runtime: Runtime, caller: Caller
) -> ConsumerAgreement:
    """Keep what a consumer agrees to on the caller's sites; what is withdrawn is taken back at once."""
    caller.needs_secret_key()
    sites = list(runtime.view.catalogue.subscribers[caller.subscriber_id].sites)
    if data.site_id is not None:
        sites = [own_site(caller, data.site_id, runtime.view.catalogue).site_id]

    def work(connection: Connection) -> ConsumerAgreement:
        now = datetime.now(UTC)
        done = [
            agree(connection, consumer_id, site_id=site_id, purposes=data.purposes, now=now)
            for site_id in sites
        ]
        known = [one for one in done if one is not None]
        if not known:
            raise UnknownConsumer(consumer_id)
        return ConsumerAgreement(
            consumer_id=consumer_id,
            purposes=list(data.purposes),
            deleted=sum(one.deleted for one in known),
            limited=sum(one.limited for one in known),
        )

    return await runtime.run(work)


PRIVACY: list[ControllerRouterHandler] = [export_consumer, agree_consumer, erase_consumer]


def erase_on(
    connection: Connection, consumer_id: str, *, sites: list[str], subscriber_id: str, source: str
) -> ConsumerErasure:
    """Delete a consumer's traces on a subscriber's sites, and the names that nothing is left under."""
    erasure = erase(
        connection, consumer_id, asked_by=f"subscriber {subscriber_id}", sites=sites, source=source
    )
    rows = erasure.rows_deleted
    return ConsumerErasure(
        consumer_id=str(erasure.consumer_id),
        erasure_id=erasure.erasure_id,
        activity=rows["activity"],
        consent=rows["consent"],
        identifiers=rows["identifier"],
        quarantine=rows["quarantine"],
    )
