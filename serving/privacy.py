"""A consumer's right to see and to erase, as far as the data is the caller's: activity on its own sites."""

from typing import Any

import msgspec
from litestar import delete, get
from litestar.types import ControllerRouterHandler

from serving.access import Caller
from serving.runtime import Runtime
from storage.consumers import erase, export
from storage.database import Connection
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


PRIVACY: list[ControllerRouterHandler] = [export_consumer, erase_consumer]


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
