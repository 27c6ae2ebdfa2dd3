"""Whose activity may tailor promotions on whose sites: what subscribers state, and what follows from it."""

from collections.abc import Iterable, Sequence

from storage.database import Connection
from storage.errors import InvalidValue
from storage.fields import required_identifier
from storage.subscribers import Site, Subscriber, get_subscriber

MOST_ACCEPTED = 1_000


def set_sharing(
    connection: Connection, subscriber_id: str, *, shares_activity: bool, accepts_from: Sequence[str] | None
) -> Subscriber:
    """Enter what a subscriber states about sharing; it counts from the next decision on.

    Parameters
    ----------
    shares_activity
        Whether activity on its sites may tailor promotions on sites of others.
    accepts_from
        The subscribers whose activity may tailor promotions on its own sites; itself need not be named, and
        who is not known may join later. None: all who share, and sites without a subscriber.

    Raises
    ------
    UnknownSubscriber, InvalidValue
    """
    get_subscriber(connection, subscriber_id)
    accepted = None if accepts_from is None else sorted({_id(one) for one in accepts_from})
    if accepted is not None and len(accepted) > MOST_ACCEPTED:
        raise InvalidValue(
            f"accepts_from names {len(accepted)} subscribers, at most {MOST_ACCEPTED} are kept"
        )
    connection.execute(
        "UPDATE subscriber SET shares_activity = %s, accepts_from = %s WHERE subscriber_id = %s",
        (shares_activity, accepted, subscriber_id),
    )
    return get_subscriber(connection, subscriber_id)


def unusable_sites(sites: Iterable[Site], subscribers: Iterable[Subscriber]) -> dict[str, tuple[str, ...]]:
    """For each site of a subscriber the sites whose activity must not be used there, if there are any.

    A subscriber's own sites may always be used on one another. A site without a subscriber is shared with
    everybody who does not name whom to accept.
    """
    sites, subscribers = list(sites), list(subscribers)
    owner = {site.site_id: site.subscriber_id for site in sites}
    sharing = {one.subscriber_id for one in subscribers if one.shares_activity}
    kept = {site_id for site_id, whose in owner.items() if whose is not None and whose not in sharing}
    unusable: dict[str, tuple[str, ...]] = {}
    for one in subscribers:
        refused = set(kept)
        if one.accepts_from is not None:
            accepted = set(one.accepts_from)
            refused |= {site_id for site_id, whose in owner.items() if whose not in accepted}
        refused.difference_update(one.sites)
        if refused:
            unusable |= dict.fromkeys(one.sites, tuple(sorted(refused)))
    return unusable


def _id(value: str) -> str:
    return required_identifier({"accepts_from": value}, "accepts_from")
