"""What a caller may be told of what a consumer did: everything on its own sites, less on those of others."""

from dataclasses import dataclass

from models.reach import Reach
from serving.answer import Reason
from serving.guard.access import Caller
from serving.members import Members
from serving.reasons import Carried


@dataclass(frozen=True, slots=True)
class Disclosure:
    """Who is told, in which network.

    Attributes
    ----------
    min_consumers : so many consumers a site or an item of somebody else must have to be named in a reason:
        with fewer it would point at one of them (k-anonymity, Sweeney 2002).
    """

    caller: Caller
    members: Members
    min_consumers: int

    def tell(self, one: Carried, *, title: str | None, reach: Reach | None) -> Reason | None:
        """Return a reason as far as the caller may know it; None where that is nothing.

        Parameters
        ----------
        reach : how many consumers there are; where nobody counted, nothing of others is told.
        """
        site = self.members.sites.get(one.site_id)
        owner = None if site is None else site.subscriber_id
        name = one.site_id if site is None else site.name
        if owner == self.caller.subscriber_id:
            return _whole(one, site_name=name, title=title, shared_by=None)
        if reach is None or reach.of_site(one.site_id) < self.min_consumers:
            return None
        # Any visitor can read with a public key.
        if self.caller.key_kind == "secret" and reach.of_item(one.site_id, one.item_id) >= self.min_consumers:
            return _whole(one, site_name=name, title=title, shared_by=owner)
        return Reason(site_id=one.site_id, site_name=name, kind=one.kind, share=one.share, shared_by=owner)


def _whole(one: Carried, *, site_name: str, title: str | None, shared_by: str | None) -> Reason:
    return Reason(
        site_id=one.site_id,
        site_name=site_name,
        kind=one.kind,
        share=one.share,
        shared_by=shared_by,
        item_id=one.item_id,
        title=title,
        occurred_at=one.occurred_at,
    )
