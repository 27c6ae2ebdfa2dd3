"""What consumers agreed to. Their last word on a site limits every event, whatever the event itself states.

Taking back works at once and in the rows themselves: what may not be used for a purpose any more is marked
so, and what may not be used at all is deleted.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from storage.database import Connection
from storage.events import CROSS_SITE, NO_CONSENT, SAME_SITE, ActivityEvent, Rejection

WITHDRAWN = "consent withdrawn"
NO_WORD = "no consent on record"


@dataclass(frozen=True, slots=True)
class Consent:
    """What somebody said on a site, under one of their identifiers."""

    namespace: str
    identifier: str
    site_id: str
    same_site: bool
    cross_site: bool
    stated_at: datetime

    @property
    def purposes(self) -> list[str]:
        """The purposes agreed to."""
        return purposes_of(same_site=self.same_site, cross_site=self.cross_site)


def purposes_of(*, same_site: bool, cross_site: bool) -> list[str]:
    """The names of two flags, in the order in which they are always told."""
    return [name for name, agreed in ((SAME_SITE, same_site), (CROSS_SITE, cross_site)) if agreed]


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """How many events a statement deleted, and how many it took out of a purpose."""

    deleted: int
    limited: int


def state_consent(
    connection: Connection,
    identity: tuple[str, str],
    *,
    site_id: str,
    purposes: Collection[str],
    now: datetime,
    even_of_strangers: bool = True,
) -> Withdrawal:
    """Keep what a consumer says on a site from now on, and take back what it does not cover any more.

    Parameters
    ----------
    even_of_strangers
        Whether a withdrawal is kept of somebody of whom nothing else is known.
    """
    if not purposes and not even_of_strangers and not _is_known(connection, identity):
        return Withdrawal(0, 0)
    same_site, cross_site = SAME_SITE in purposes, CROSS_SITE in purposes
    connection.execute(
        "INSERT INTO consent (namespace, identifier, site_id, same_site, cross_site, stated_at)"
        " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (namespace, identifier, site_id) DO UPDATE SET"
        " same_site = excluded.same_site, cross_site = excluded.cross_site, stated_at = excluded.stated_at",
        (*identity, site_id, same_site, cross_site, now),
    )
    if same_site and cross_site:
        return Withdrawal(0, 0)
    names = {"namespace": identity[0], "identifier": identity[1], "site": site_id}
    flags = {"same": same_site, "cross": cross_site}
    deleted = connection.execute(_DELETE, names | flags).rowcount
    return Withdrawal(deleted, connection.execute(_LIMIT, names | flags).rowcount)


def limit_to_consent(
    connection: Connection, events: Sequence[ActivityEvent], *, needs_word: Collection[int] = ()
) -> list[ActivityEvent | Rejection]:
    """Each event with no more purposes than its consumer agreed to last; a rejection where that is none.

    Parameters
    ----------
    needs_word
        Places of events that are turned away where no word of their consumer is kept: those that a cookie
        vouches for, which lives on when its consumer was erased.
    """
    stated = stated_consents(connection, ((event.namespace, event.identifier) for event in events))
    return [
        _limited(
            event, stated.get((event.namespace, event.identifier, event.site_id)), needs_word=at in needs_word
        )
        for at, event in enumerate(events)
    ]


def stated_consents(
    connection: Connection, identities: Iterable[tuple[str, str]]
) -> Mapping[tuple[str, str, str], Consent]:
    """The last words of some identities, by (namespace, identifier, site id)."""
    names = [{"namespace": namespace, "identifier": name} for namespace, name in set(identities)]
    # Whoever withdraws meanwhile waits until these events are there to be taken back, or is seen here.
    rows = connection.execute(
        "SELECT c.* FROM json_to_recordset(%s::json) AS asked (namespace text, identifier text)"
        " JOIN consent c USING (namespace, identifier) FOR SHARE OF c",
        (json.dumps(names),),
    )
    return {(row[0], row[1], row[2]): Consent(*row) for row in rows}


def _is_known(connection: Connection, identity: tuple[str, str]) -> bool:
    row = connection.execute(
        "SELECT FROM identifier WHERE namespace = %(space)s AND identifier = %(name)s"
        " UNION ALL SELECT FROM consent WHERE namespace = %(space)s AND identifier = %(name)s LIMIT 1",
        {"space": identity[0], "name": identity[1]},
    ).fetchone()
    return row is not None


def _limited(event: ActivityEvent, consent: Consent | None, *, needs_word: bool) -> ActivityEvent | Rejection:
    if consent is None:
        return Rejection(NO_WORD, event.source_id) if needs_word else event
    same_site, cross_site = event.same_site and consent.same_site, event.cross_site and consent.cross_site
    if not same_site and not cross_site:
        return Rejection(WITHDRAWN if not consent.purposes else NO_CONSENT, event.source_id)
    return replace(event, same_site=same_site, cross_site=cross_site)


_OF_THIS_SITE = "namespace = %(namespace)s AND identifier = %(identifier)s AND site_id = %(site)s"
_DELETE = f"""
DELETE FROM activity
WHERE {_OF_THIS_SITE} AND NOT (same_site AND %(same)s) AND NOT (cross_site AND %(cross)s)
"""  # noqa: S608 - a constant
_LIMIT = f"""
UPDATE activity SET same_site = same_site AND %(same)s, cross_site = cross_site AND %(cross)s
WHERE {_OF_THIS_SITE} AND (same_site AND NOT %(same)s OR cross_site AND NOT %(cross)s)
"""  # noqa: S608 - a constant
