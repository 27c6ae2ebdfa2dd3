"""Where activity came from, and on what ground it may be used."""

from dataclasses import dataclass

from storage.database import Connection
from storage.errors import UnknownSource
from storage.fields import required_identifier


@dataclass(frozen=True, slots=True)
class Source:
    """A vendor, a partner's server, an export of our own."""

    source_id: str
    vendor: str | None = None
    licence: str | None = None
    legal_basis: str | None = None


def register_source(connection: Connection, source: Source) -> Source:
    """Enter a source; what is not stated this time stays as it was stated before."""
    required_identifier({"source": source.source_id}, "source")
    row = connection.execute(
        "INSERT INTO source AS old (source_id, vendor, licence, legal_basis) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (source_id) DO UPDATE SET vendor = coalesce(excluded.vendor, old.vendor),"
        " licence = coalesce(excluded.licence, old.licence),"
        " legal_basis = coalesce(excluded.legal_basis, old.legal_basis)"
        " RETURNING source_id, vendor, licence, legal_basis",
        (source.source_id, source.vendor, source.licence, source.legal_basis),
    ).fetchone()
    if row is None:
        raise UnknownSource(source.source_id)
    return Source(*row)
