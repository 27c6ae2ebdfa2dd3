"""Who is who: identifiers that turn out to be one consumer's are joined, and can be parted again.

Joining moves identifiers from one consumer to another and touches no event, so that each event is there once,
whenever it comes or comes again.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from storage.consumers import resolve
from storage.database import Connection
from storage.errors import AlreadyTaken, UnknownMerge
from storage.events import LOGIN, NETWORK, derived_consumer_id

Evidence = Literal["cookie", "login", "link"]
Identity = tuple[str, str]
"""A namespace and an identifier in it."""


@dataclass(frozen=True, slots=True)
class Merge:
    """Two consumers that became one: when, by what, and what belonged to the one that is no more."""

    merge_id: int
    at: datetime
    how: str
    from_consumer: str
    into_consumer: str
    identifiers: tuple[Identity, ...]
    audiences: tuple[str, ...]
    undone_at: datetime | None


def enter(connection: Connection, identity: Identity) -> str:
    """The consumer of an identifier, which is entered if nobody has seen it before; locked until the end.

    Two transactions that join the same consumers do so one after the other.
    """
    row = connection.execute(
        "INSERT INTO identifier AS i (namespace, identifier, consumer_id) VALUES (%s, %s, %s)"
        " ON CONFLICT (namespace, identifier) DO UPDATE SET consumer_id = i.consumer_id"
        " RETURNING consumer_id",
        (*identity, derived_consumer_id(*identity)),
    ).fetchone()
    if row is None:
        raise AssertionError(identity)
    return str(row[0])


def join(
    connection: Connection, one: Identity, other: Identity, *, how: Evidence, token_id: str | None = None
) -> Merge | None:
    """Say that two identifiers are one consumer's; None when they were already.

    The consumer of `one` goes over into that of `other`.

    Parameters
    ----------
    token_id
        Of a link that was followed: it counts once.

    Raises
    ------
    AlreadyTaken
        When both are known by different logins: two people share a browser, or a link was passed on. Or when
        the link was followed before.
    """
    if token_id is None and _are_one(connection, one, other):
        return None
    # In one order, so that two joins of the same pair wait for each other.
    owners = {identity: enter(connection, identity) for identity in sorted({one, other})}
    gone, kept = owners[one], owners[other]
    if token_id is not None and _is_used(connection, token_id):
        raise AlreadyTaken("this link was followed before; links join only once")
    if gone == kept:
        return None
    mine, others = _logins(connection, gone), _logins(connection, kept)
    if mine and others and mine != others:
        raise AlreadyTaken(
            "the two are known by different logins, so they are two people; "
            "give the visitor a new identifier when somebody logs out"
        )
    return _move(connection, gone, kept, how=how, token_id=token_id)


def undo_merge(connection: Connection, merge_id: int) -> Merge:
    """Give back what a merge moved, as far as it was not moved elsewhere since.

    Raises
    ------
    UnknownMerge
        When there is none with this number, or it was undone before.
    """
    row = connection.execute(
        f"UPDATE merge SET undone_at = now() WHERE merge_id = %s AND undone_at IS NULL RETURNING {_COLUMNS}",  # noqa: S608
        (merge_id,),
    ).fetchone()
    if row is None:
        raise UnknownMerge(str(merge_id))
    merge = _merge(row)
    # It may itself have gone over into another meanwhile.
    holder = resolve(connection, NETWORK, merge.into_consumer)
    connection.execute(
        "UPDATE identifier i SET consumer_id = %(back)s FROM unnest(%(spaces)s::text[], %(names)s::text[])"
        " AS moved (namespace, identifier) WHERE i.namespace = moved.namespace"
        " AND i.identifier = moved.identifier AND i.consumer_id = %(kept)s",
        {
            "back": merge.from_consumer,
            "kept": holder,
            "spaces": [namespace for namespace, _ in merge.identifiers],
            "names": [name for _, name in merge.identifiers],
        },
    )
    connection.execute(
        "DELETE FROM identifier WHERE namespace = %s AND identifier = %s AND consumer_id = %s",
        (NETWORK, merge.from_consumer, holder),
    )
    connection.execute(
        "DELETE FROM audience_member WHERE consumer_id = %s AND audience_id = ANY(%s)",
        (holder, list(merge.audiences)),
    )
    return merge


def list_merges(connection: Connection, *, before: int | None = None, limit: int = 50) -> list[Merge]:
    """Newest first, those with a number below `before`."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM merge WHERE %(before)s::bigint IS NULL OR merge_id < %(before)s"  # noqa: S608
        " ORDER BY merge_id DESC LIMIT %(limit)s",
        {"before": before, "limit": limit},
    )
    return [_merge(row) for row in rows]


def _move(connection: Connection, gone: str, kept: str, *, how: Evidence, token_id: str | None) -> Merge:
    identifiers = connection.execute(
        "UPDATE identifier SET consumer_id = %s WHERE consumer_id = %s RETURNING namespace, identifier",
        (kept, gone),
    ).fetchall()
    # Whoever names the consumer by the old id still finds them.
    connection.execute(
        "INSERT INTO identifier (namespace, identifier, consumer_id) VALUES (%s, %s, %s)"
        " ON CONFLICT DO NOTHING",
        (NETWORK, gone, kept),
    )
    # Only what the other does not have moves, so that undoing it takes nothing away.
    audiences = connection.execute(
        "INSERT INTO audience_member (consumer_id, audience_id)"
        " SELECT %s, audience_id FROM audience_member WHERE consumer_id = %s"
        " ON CONFLICT DO NOTHING RETURNING audience_id",
        (kept, gone),
    ).fetchall()
    moved = {"identifiers": sorted(map(list, identifiers)), "audiences": sorted(row[0] for row in audiences)}
    row = connection.execute(
        f"INSERT INTO merge ({_MADE}) VALUES (%s, %s, %s, %s, %s) RETURNING {_COLUMNS}",  # noqa: S608
        (how, gone, kept, json.dumps(moved), token_id),
    ).fetchone()
    if row is None:
        raise AssertionError(gone, kept)
    return _merge(row)


def _are_one(connection: Connection, one: Identity, other: Identity) -> bool:
    """Whether they are known to be one consumer's: asked at every contact, so that it locks nothing."""
    found = connection.execute(
        "SELECT consumer_id FROM identifier WHERE (namespace, identifier) IN ((%s, %s), (%s, %s))",
        (*one, *other),
    ).fetchall()
    return len(found) == 2 and found[0] == found[1]


def _is_used(connection: Connection, token_id: str) -> bool:
    return connection.execute("SELECT FROM merge WHERE token_id = %s", (token_id,)).fetchone() is not None


def _logins(connection: Connection, consumer_id: str) -> set[str]:
    rows = connection.execute(
        "SELECT identifier FROM identifier WHERE consumer_id = %s AND namespace = %s", (consumer_id, LOGIN)
    )
    return {row[0] for row in rows}


_MADE = "how, from_consumer, into_consumer, moved, token_id"
_COLUMNS = "merge_id, at, how, from_consumer, into_consumer, moved, undone_at"


def _merge(row: tuple[object, ...]) -> Merge:
    merge_id, at, how, gone, kept, moved, undone_at = row
    identifiers = tuple((namespace, name) for namespace, name in moved["identifiers"])  # type: ignore[index]
    audiences = tuple(moved["audiences"])  # type: ignore[index]
    return Merge(merge_id, at, how, gone, kept, identifiers, audiences, undone_at)  # type: ignore[arg-type]
