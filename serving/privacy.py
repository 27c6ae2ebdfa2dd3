"""A consumer's right to see and to erase, as far as the data is the caller's: activity on its own sites."""

from typing import Any

import msgspec
from litestar import delete, get
from litestar.types import ControllerRouterHandler

from serving.access import Caller
from serving.runtime import Runtime
from storage.consumers import export, resolve
from storage.database import Connection
from storage.errors import UnknownConsumer
from storage.events import NETWORK


class ConsumerExport(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a consumer on the caller's sites."""

    consumer_id: str
    identifiers: list[dict[str, Any]]
    activity: list[dict[str, Any]]


class ConsumerErasure(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows were erased; all zero when nothing was kept."""

    consumer_id: str
    activity: int
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
    source = caller.source_id
    return await runtime.run(lambda connection: erase_on(connection, consumer_id, sites=sites, source=source))


PRIVACY: list[ControllerRouterHandler] = [export_consumer, erase_consumer]


def erase_on(connection: Connection, consumer_id: str, *, sites: list[str], source: str) -> ConsumerErasure:
    """Delete a consumer's activity on some sites, and the names that nothing is left under."""
    owner = resolve(connection, NETWORK, consumer_id)
    names = [row[0] for row in connection.execute(_NAMES, (owner,))]
    activity = connection.execute(_ERASE_ACTIVITY, (owner, sites)).rowcount
    identifiers = connection.execute(_ERASE_NAMES, (owner, [f"site:{site_id}" for site_id in sites])).rowcount
    quoted = [msgspec.json.encode(name).decode() for name in {consumer_id, owner, *names}]
    quarantine = connection.execute(_ERASE_QUARANTINE, (source, quoted)).rowcount
    return ConsumerErasure(
        consumer_id=owner, activity=activity, identifiers=identifiers, quarantine=quarantine
    )


_NAMES = "SELECT identifier FROM identifier WHERE consumer_id = %s"
_ERASE_ACTIVITY = """
DELETE FROM activity a USING identifier i
WHERE a.namespace = i.namespace AND a.identifier = i.identifier AND i.consumer_id = %s AND a.site_id = ANY(%s)
"""
_ERASE_NAMES = """
DELETE FROM identifier i
WHERE consumer_id = %s AND (namespace = ANY(%s) OR namespace NOT LIKE 'site:%%')
  AND NOT EXISTS (SELECT FROM activity a WHERE a.namespace = i.namespace AND a.identifier = i.identifier)
"""
_ERASE_QUARANTINE = """
DELETE FROM quarantine
WHERE source_id = %s AND EXISTS (SELECT FROM unnest(%s::text[]) AS name WHERE strpos(payload, name) > 0)
"""
