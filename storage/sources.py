"""Where activity came from, what it cost, and on what ground and until when it may be used.

Events of a source that was withdrawn or has expired stay stored and are used no more: whatever computes
reads the view `usable_activity`.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from psycopg.rows import class_row

from storage.database import Connection
from storage.errors import InvalidValue, UnknownSource
from storage.events import currency_field
from storage.fields import LARGEST_NUMBER, required_identifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What was agreed about a source; None: not stated."""

    vendor: str | None = None
    licence: str | None = None
    legal_basis: str | None = None
    price: Decimal | None = None
    currency: str | None = None
    acquired_on: date | None = None
    expires_on: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source(Terms):
    """A vendor, a partner's server, an export of our own.

    Attributes
    ----------
    expires_on
        The last day, in UTC, on which its events may be used.
    withdrawn_at
        Since when they may not be used, whatever was agreed; `withdrawn_reason` says why.
    """

    source_id: str
    created_at: datetime
    withdrawn_at: datetime | None = None
    withdrawn_reason: str | None = None
    usable: bool = True
    events: int | None = None

    def columns(self) -> dict[str, Any]:
        """What a table tells of it, as narrow as a terminal."""
        names = ("source_id", "vendor", "licence", "expires_on", "withdrawn_at", "usable")
        return {name: getattr(self, name) for name in names}


NO_TERMS = Terms()
_TERMS = tuple(Terms.__dataclass_fields__)


def register_source(connection: Connection, source_id: str, terms: Terms = NO_TERMS) -> Source:
    """Enter a source; what is not stated this time stays as it was stated before."""
    required_identifier({"source": source_id}, "source")
    _check(terms)
    columns = ", ".join(_TERMS)
    places = ", ".join(f"%({name})s" for name in _TERMS)
    updates = ", ".join(f"{name} = coalesce(excluded.{name}, old.{name})" for name in _TERMS)
    connection.execute(
        f"INSERT INTO source AS old (source_id, {columns}) VALUES (%(source)s, {places})"  # noqa: S608 - constants
        f" ON CONFLICT (source_id) DO UPDATE SET {updates}",
        {"source": source_id, **{name: getattr(terms, name) for name in _TERMS}},
    )
    return _read(connection, source_id)


def parse_terms(
    *,
    price: str | None = None,
    acquired_on: str | None = None,
    expires_on: str | None = None,
    **texts: str | None,
) -> Terms:
    """Terms as somebody typed them; raises InvalidValue with the one at fault."""
    try:
        amount = None if price is None else Decimal(price)
    except InvalidOperation:
        raise InvalidValue(f"price {price!r} is not an amount such as 1250.50") from None
    return Terms(
        price=amount,
        acquired_on=_day("acquired", acquired_on),
        expires_on=_day("expires", expires_on),
        **texts,
    )


def list_sources(connection: Connection) -> list[Source]:
    """All sources, by id."""
    with connection.cursor(row_factory=class_row(Source)) as cursor:
        return cursor.execute(_SELECT.format(events="NULL", only="true")).fetchall()


def get_source(connection: Connection, source_id: str) -> Source:
    """One source with its number of events; UnknownSource names those there are."""
    return _read(connection, source_id, count_events=True)


def withdraw_source(connection: Connection, source_id: str, *, reason: str | None = None) -> Source:
    """Use what came from a source no more, from the next decision on; repeated, nothing changes."""
    connection.execute(
        "UPDATE source SET withdrawn_at = now(), withdrawn_reason = %s"
        " WHERE source_id = %s AND withdrawn_at IS NULL",
        (reason, source_id),
    )
    return get_source(connection, source_id)


def _day(name: str, text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise InvalidValue(f"{name} {text!r} is not a day such as 2026-01-31") from None


def _check(terms: Terms) -> None:
    currency_field({"currency": terms.currency})
    if terms.price is not None and not 0 <= terms.price < LARGEST_NUMBER:
        raise InvalidValue(f"price {terms.price} is not an amount from 0 to {LARGEST_NUMBER:g}")
    if terms.acquired_on and terms.expires_on and terms.expires_on < terms.acquired_on:
        raise InvalidValue(f"expires_on {terms.expires_on} is before acquired_on {terms.acquired_on}")


def _read(connection: Connection, source_id: str, *, count_events: bool = False) -> Source:
    events = "(SELECT count(*) FROM activity a WHERE a.source_id = s.source_id)" if count_events else "NULL"
    query = _SELECT.format(events=events, only="source_id = %s")
    with connection.cursor(row_factory=class_row(Source)) as cursor:
        source = cursor.execute(query, (source_id,)).fetchone()
    if source is None:
        raise UnknownSource(source_id, known=[one.source_id for one in list_sources(connection)])
    return source


_SELECT = f"""
SELECT source_id, created_at, withdrawn_at, withdrawn_reason, {", ".join(_TERMS)},
       withdrawn_at IS NULL AND (expires_on < (now() AT TIME ZONE 'UTC')::date) IS NOT TRUE AS usable,
       {{events}}::bigint AS events
FROM source s WHERE {{only}} ORDER BY source_id
"""  # noqa: S608 - constants
