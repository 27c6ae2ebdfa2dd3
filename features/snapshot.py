"""Storage as of one moment, as Parquet files: what training reads instead of the database.

activity.parquet           every event whose consumer agreed to its use across sites, outcomes included
items.parquet              what the sites offer
promotions.parquet         the promotions
coverage.parquet           promotion → item, categories written out
promotion_sites.parquet    promotion → site where it may be shown
audience.parquet           audience → consumer
manifest.json              as_of, and rows, bytes and sha256 of every file
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from features.errors import SnapshotRefused
from features.export import TABLES, export_table
from storage.database import Database

FORMAT_VERSION = 1

_MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot on disk.

    Attributes
    ----------
    path : Path
        Its folder.
    as_of : datetime
        The moment it shows.
    manifest : mapping
        What was written down about it.
    """

    path: Path
    as_of: datetime
    manifest: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """sha256 over the moment and all files, as hex."""
        return str(self.manifest["digest"])

    @property
    def activity(self) -> Path:
        """Columns consumer_id, site_id, item_id, kind, occurred_at (UTC), event_id, promotion_id, and the
        namespace and identifier under which the event is stored."""
        return self.path / "activity.parquet"

    @property
    def items(self) -> Path:
        """Columns site_id, item_id, title, category, attributes (JSON text)."""
        return self.path / "items.parquet"

    @property
    def promotions(self) -> Path:
        """Columns promotion_id, subscriber_id, title, body, audience_id, starts_at, ends_at, status."""
        return self.path / "promotions.parquet"

    @property
    def coverage(self) -> Path:
        """Columns promotion_id, site_id, item_id."""
        return self.path / "coverage.parquet"

    @property
    def promotion_sites(self) -> Path:
        """Columns promotion_id, site_id."""
        return self.path / "promotion_sites.parquet"

    @property
    def audience(self) -> Path:
        """Columns audience_id, consumer_id."""
        return self.path / "audience.parquet"

    def __repr__(self) -> str:
        rows = ", ".join(f"{name} {file['rows']}" for name, file in self.manifest["files"].items())
        return f"Snapshot({self.as_of.isoformat()}, {rows})"


def take_snapshot(
    database: Database,
    directory: Path,
    *,
    as_of: datetime | None = None,
    progress: Callable[[str, int], None] | None = None,
) -> Snapshot:
    """Write a snapshot as a new folder in `directory`, whole or not at all.

    Parameters
    ----------
    as_of : datetime, optional
        An aware time; later events are left out. Default: now, and then nothing is left out.
    progress : callable, optional
        Told (table, rows) after each table.
    """
    directory.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=".snapshot-", dir=directory))
    try:
        files = {}
        with database.connection() as connection:
            # All tables as of one moment, however long the reading takes.
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            moment = as_of or _first(connection.execute("SELECT now()").fetchone())
            for table in TABLES:
                rows = export_table(connection, table, unfinished, until=as_of)
                files[f"{table.name}.parquet"] = {
                    "rows": rows,
                    **_fingerprint(unfinished / f"{table.name}.parquet"),
                }
                if progress is not None:
                    progress(table.name, rows)
        return _finish(unfinished, directory, files=files, as_of=moment.astimezone(UTC))
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def open_snapshot(path: Path) -> Snapshot:
    """Open a snapshot and check that it is all there.

    Raises
    ------
    SnapshotRefused
        When it is no snapshot, or a file is missing or not what was written.
    """
    try:
        manifest = json.loads((path / _MANIFEST).read_bytes())
        if manifest["format_version"] != FORMAT_VERSION:
            version = manifest["format_version"]
            raise SnapshotRefused(
                f"{path} has format version {version!r}, not {FORMAT_VERSION}: take a new one"
            )
        for name, told in manifest["files"].items():
            if _fingerprint(path / name) != {key: told[key] for key in ("bytes", "sha256")}:
                raise SnapshotRefused(f"{path / name} is not what was written; take a new snapshot")
        return Snapshot(path, datetime.fromisoformat(manifest["as_of"]), manifest)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SnapshotRefused(f"{path} is no whole snapshot ({error!r}); take a new one") from error


def _finish(
    unfinished: Path, directory: Path, *, files: dict[str, dict[str, Any]], as_of: datetime
) -> Snapshot:
    content = {"format_version": FORMAT_VERSION, "as_of": as_of.isoformat(), "files": files}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    manifest = {**content, "digest": digest}
    (unfinished / _MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    path = directory / f"{as_of:%Y%m%dT%H%M%SZ}-{digest[:12]}"
    unfinished.chmod(0o755)
    if not path.exists():
        unfinished.replace(path)
    return open_snapshot(path)


def _fingerprint(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _first(row: tuple[Any, ...] | None) -> Any:
    return None if row is None else row[0]
