"""Bulk import of Parquet, CSV and JSON Lines files. The same file imported again adds nothing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from storage.activity_import import ActivityIntake
from storage.database import Connection, Database
from storage.fields import required_identifier
from storage.intake import ImportReport, Intake, Progress, import_files
from storage.items import ITEM_COLUMNS, Item, parse_item, upsert_items
from storage.promotions import Promotion, parse_promotion, sites_of, upsert_promotions
from storage.sources import NO_TERMS, Terms, register_source
from storage.staging import copy_rows, stage
from storage.subscribers import add_network_sites


def import_activity(
    database: Database,
    files: Sequence[Path],
    *,
    source: str,
    legal_basis: str | None = None,
    terms: Terms = NO_TERMS,
    now: datetime | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """Store the events of files. Sites that are not known yet join the network, without a subscriber.

    Parameters
    ----------
    source
        Name of where the data came from; part of the event ids that rows without one get.
    legal_basis
        On what ground rows that state no consent may be used, on their site and across sites; remembered
        for later imports from the same source. Without any such rows are quarantined.
    terms
        What else was agreed about the source, if its data was bought.
    """
    stated = terms if legal_basis is None else replace(terms, legal_basis=legal_basis)
    moment = now or datetime.now(UTC)

    def intake(connection: Connection) -> ActivityIntake:
        has_legal_basis = register_source(connection, source, stated).legal_basis is not None
        return ActivityIntake(connection, source=source, has_legal_basis=has_legal_basis, now=moment)

    return import_files(database, files, source=source, intake=intake, progress=progress)


def import_items(
    database: Database, files: Sequence[Path], *, source: str, progress: Progress | None = None
) -> ImportReport:
    """Store the items of files, or what is new about them."""
    return import_files(database, files, source=source, intake=lambda _: _ItemIntake(), progress=progress)


def import_promotions(
    database: Database, files: Sequence[Path], *, source: str, progress: Progress | None = None
) -> ImportReport:
    """Store the promotions of files, or what is new about them.

    Lists (`sites`, `items`, `categories`, `placements`) are JSON text in CSV files.
    """
    return import_files(
        database, files, source=source, intake=lambda _: _PromotionIntake(), progress=progress
    )


def import_audiences(
    database: Database, files: Sequence[Path], *, source: str = "audiences", progress: Progress | None = None
) -> ImportReport:
    """Put consumers on the lists that promotions are for: rows of `audience_id` and `consumer_id`."""
    return import_files(database, files, source=source, intake=lambda _: _AudienceIntake(), progress=progress)


def intake_of(name: str, connection: Connection, *, source: str, now: datetime) -> Intake[Any]:
    """What takes rows of one kind in, of a source as it stated itself before."""
    if name == "activity":
        has_legal_basis = register_source(connection, source).legal_basis is not None
        return ActivityIntake(connection, source=source, has_legal_basis=has_legal_basis, now=now)
    intakes: dict[str, Callable[[], Intake[Any]]] = {
        intake.name: intake for intake in (_ItemIntake, _PromotionIntake, _AudienceIntake)
    }
    return intakes[name]()


class _ItemIntake:
    name = "items"
    columns = tuple(ITEM_COLUMNS)
    required = ("site_id", "item_id")

    def __init__(self) -> None:
        self._stored = 0
        self._new_sites: list[str] = []

    def parse(self, fields: Mapping[str, Any], _: int) -> Item:
        return parse_item(fields)

    def take(self, connection: Connection, rows: Sequence[Item]) -> Mapping[int, str]:
        self._new_sites += add_network_sites(connection, [item.site_id for item in rows])
        self._stored += sum(change != "unchanged" for change in upsert_items(connection, rows))
        return {}

    def finish(self, _: Connection, n_rows: int) -> ImportReport:
        return ImportReport(self._stored, n_rows - self._stored, new_sites=tuple(self._new_sites))


class _PromotionIntake:
    name = "promotions"
    columns = (
        *(
            "promotion_id",
            "subscriber_id",
            "title",
            "body",
            "image_url",
            "landing_url",
            "code",
            "sites",
            "items",
        ),
        *("categories", "audience_id", "placements", "starts_at", "ends_at", "status"),
    )
    required = ("promotion_id", "title")

    def __init__(self) -> None:
        self._stored = 0
        self._new_sites: list[str] = []

    def parse(self, fields: Mapping[str, Any], _: int) -> Promotion:
        return parse_promotion(fields)

    def take(self, connection: Connection, rows: Sequence[Promotion]) -> Mapping[int, str]:
        sites = [site_id for promotion in rows for site_id in sites_of(promotion)]
        self._new_sites += add_network_sites(connection, sites)
        changes = upsert_promotions(connection, rows)
        self._stored += sum(change in ("created", "updated") for change in changes)
        taken = [index for index, change in enumerate(changes) if change == "taken"]
        return {
            index: f"promotion {rows[index].promotion_id!r} belongs to another subscriber" for index in taken
        }

    def finish(self, _: Connection, n_rows: int) -> ImportReport:
        return ImportReport(self._stored, n_rows - self._stored, new_sites=tuple(self._new_sites))


class _AudienceIntake:
    name = "audiences"
    columns = ("audience_id", "consumer_id")
    required = columns

    def __init__(self) -> None:
        self._stored = 0

    def parse(self, fields: Mapping[str, Any], _: int) -> tuple[str, str]:
        return required_identifier(fields, "audience_id"), required_identifier(fields, "consumer_id")

    def take(self, connection: Connection, rows: Sequence[tuple[str, str]]) -> Mapping[int, str]:
        stage(connection, "staged_member", {"audience_id": "text", "consumer_id": "text"})
        copy_rows(connection, "staged_member", self.columns, rows)
        self._stored += connection.execute(
            "INSERT INTO audience_member (consumer_id, audience_id)"
            " SELECT DISTINCT consumer_id, audience_id FROM staged_member ORDER BY 1, 2"
            " ON CONFLICT DO NOTHING"
        ).rowcount
        return {}

    def finish(self, _: Connection, n_rows: int) -> ImportReport:
        return ImportReport(self._stored, n_rows - self._stored)
