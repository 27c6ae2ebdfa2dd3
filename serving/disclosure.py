"""What a caller may be told of what a consumer did: everything on its own sites, less on those of others."""

from dataclasses import dataclass

from serving.access import Caller
from serving.answer import Reason
from serving.members import Members
from serving.reasons import Carried


@dataclass(frozen=True, slots=True)
class Disclosure:
    """Who is told, and in which network."""

    caller: Caller
    members: Members

    def tell(self, one: Carried, *, title: str | None) -> Reason:
        """Return a reason as far as the caller may know it.

        Items of other subscribers' sites are for secret keys only: any visitor can read with a public key.
        """
        site = self.members.sites.get(one.site_id)
        owner = None if site is None else site.subscriber_id
        own = owner == self.caller.subscriber_id
        shared_by = None if own else owner
        if not own and self.caller.key_kind != "secret":
            return Reason(site_id=one.site_id, kind=one.kind, share=one.share, shared_by=shared_by)
        return Reason(
            site_id=one.site_id,
            kind=one.kind,
            share=one.share,
            shared_by=shared_by,
            item_id=one.item_id,
            title=title,
            occurred_at=one.occurred_at,
        )
