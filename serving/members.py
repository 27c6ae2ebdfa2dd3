"""Who takes part: sites, subscribers and keys, as one immutable snapshot of the database.

It is part of the catalogue, and read again by itself: a key that is revoked ends within a second, however
long the next catalogue takes to be made.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType

from storage.catalogue import MemberRows, read_members
from storage.database import Connection
from storage.sharing import unusable_sites
from storage.subscribers import KeyRecord, Site, Subscriber


@dataclass(frozen=True, eq=False, slots=True)
class Members:
    """The network, for looking things up; whatever was committed before `read_at` is in it.

    Attributes
    ----------
    origins : where the pages of active subscribers are.
    unusable : for a site the sites whose activity must not be used there; most have none and are left out.
    """

    sites: Mapping[str, Site]
    subscribers: Mapping[str, Subscriber]
    keys: Mapping[bytes, KeyRecord]
    origins: frozenset[str]
    unusable: Mapping[str, tuple[str, ...]]
    read_at: datetime

    def owns(self, subscriber_id: str, site_id: str) -> bool:
        """Whether a site belongs to a subscriber."""
        site = self.sites.get(site_id)
        return site is not None and site.subscriber_id == subscriber_id


def make_members(rows: MemberRows, *, read_at: datetime) -> Members:
    """Arrange one reading of the database for looking things up."""
    return Members(
        sites=MappingProxyType({site.site_id: site for site in rows.sites}),
        subscribers=MappingProxyType({one.subscriber_id: one for one in rows.subscribers}),
        keys=MappingProxyType({key.key_hash: key for key in rows.keys}),
        origins=frozenset(
            origin for one in rows.subscribers if one.status == "active" for origin in one.allowed_origins
        ),
        unusable=MappingProxyType(unusable_sites(rows.sites, rows.subscribers)),
        read_at=read_at,
    )


def read_members_now(connection: Connection) -> Members:
    """Read who takes part, as of one moment; the first thing done in a transaction."""
    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    read_at = datetime.now(UTC)
    return make_members(read_members(connection), read_at=read_at)
