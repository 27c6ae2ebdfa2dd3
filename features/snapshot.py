"""Storage as of one moment, as Parquet files: what training reads instead of the database.

activity.parquet/          every event whose consumer agreed to its use across sites, outcomes included; a
                           file for each day on which events were received, shared with the snapshot before
                           (a hard link) where nothing in it changed
items.parquet              what the sites offer
promotions.parquet         the promotions
coverage.parquet           promotion → item, categories written out
promotion_sites.parquet    promotion → site where it may be shown
audience.parquet           audience → consumer
manifest.json              as_of, window, counts, a digest, and rows, bytes and sha256 of every file

A snapshot is personal data, perhaps of consumers who were erased since: see `features.retention`.
"""

import errno
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from features.errors import SnapshotNotWritten, SnapshotRefused
from features.export import TABLES, export_table
from features.parts import Part, export_parts, list_parts
from features.retention import LOCK, UNFINISHED, held
from storage.database import Connection, Database

logger = logging.getLogger(__name__)

FORMAT_VERSION = 3

_MANIFEST = "manifest.json"
_DIGEST_IN_NAME = 12
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


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
    def content_digest(self) -> str:
        """sha256 over all files, as hex: the same for two snapshots of the same content."""
        told = {name: file["sha256"] for name, file in self.manifest["files"].items()}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    @property
    def activity(self) -> Path:
        """Columns consumer_id, site_id, item_id, kind, occurred_at (UTC), event_id, promotion_id, source_id,
        and the namespace and identifier under which the event is stored."""
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
        rows = ", ".join(f"{name} {rows}" for name, rows in self.manifest["counts"].items())
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
    unfinished = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=directory))
    try:
        with (
            held(unfinished),
            _newest_held(directory) as before,
            database.connection() as connection,
        ):
            # All tables as of one moment, however long the reading takes.
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            moment = as_of or _first(connection.execute("SELECT now()").fetchone())
            content = _export(connection, unfinished, before, as_of, progress or _silent)
            return _finish(unfinished, directory, content=content, as_of=moment.astimezone(UTC))
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise SnapshotNotWritten(
            f"no room for a snapshot in {directory} ({error.strerror}); make some, the earlier ones are whole"
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def newest_snapshot(directory: Path) -> Snapshot | None:
    """The newest whole snapshot of this format, or None."""
    for path in sorted(directory.glob("2*"), reverse=True):
        try:
            return open_snapshot(path)
        except SnapshotRefused as refused:
            logger.warning("%s", refused)
    return None


@contextmanager
def _newest_held(directory: Path) -> Iterator[Snapshot | None]:
    with ExitStack() as stack:
        newest = newest_snapshot(directory)
        try:
            if newest is not None:
                stack.enter_context(held(newest.path))
        except SnapshotRefused:
            # Deleted since: there is nothing to build upon.
            newest = None
        yield newest


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


def _export(
    connection: Connection,
    directory: Path,
    before: Snapshot | None,
    until: datetime | None,
    progress: Callable[[str, int], None],
) -> dict[str, Any]:
    parts = list_parts(connection, until=until)
    files = _export_activity(connection, directory / "activity.parquet", parts, before, until)
    counts = {"activity": sum(part.rows for part in parts)}
    progress("activity", counts["activity"])
    for table in TABLES[1:]:
        counts[table.name] = export_table(connection, table, directory)
        name = f"{table.name}.parquet"
        files[name] = {"rows": counts[table.name], **_fingerprint(directory / name)}
        progress(table.name, counts[table.name])
    times = [moment for part in parts for moment in (part.first, part.last) if moment is not None]
    window = [_EPOCH + timedelta(microseconds=moment) for moment in (min(times), max(times))] if times else []
    return {"window": [moment.isoformat() for moment in window], "counts": counts, "files": files}


def _export_activity(
    connection: Connection,
    directory: Path,
    parts: Sequence[Part],
    before: Snapshot | None,
    until: datetime | None,
) -> dict[str, Any]:
    directory.mkdir()
    old = {} if before is None else before.manifest["files"]
    files: dict[str, Any] = {}
    changed = []
    for part in parts:
        name = f"activity.parquet/{part.key}.parquet"
        told = old.get(name)
        if before is not None and told is not None and told["fingerprint"] == part.fingerprint:
            _share(before.path / name, directory / f"{part.key}.parquet")
            files[name] = told
        else:
            changed.append(part)
    if changed:
        export_parts(connection, directory, [part.key for part in changed], until=until)
    for part in changed:
        name = f"activity.parquet/{part.key}.parquet"
        told = _fingerprint(directory / f"{part.key}.parquet")
        files[name] = {"rows": part.rows, "fingerprint": part.fingerprint, **told}
    logger.info("activity: %d of %d parts exported", len(changed), len(parts))
    return dict(sorted(files.items()))


def _share(old: Path, new: Path) -> None:
    try:
        new.hardlink_to(old)
    except OSError:
        # A file system without hard links.
        shutil.copyfile(old, new)


def _finish(unfinished: Path, directory: Path, *, content: dict[str, Any], as_of: datetime) -> Snapshot:
    content = {"format_version": FORMAT_VERSION, "as_of": as_of.isoformat(), **content}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    manifest = {**content, "digest": digest}
    (unfinished / _MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    path = directory / f"{as_of:%Y%m%dT%H%M%SZ}-{digest[:_DIGEST_IN_NAME]}"
    unfinished.chmod(0o755)
    if not path.exists():
        _write_through(unfinished)
        unfinished.replace(path)
        _sync(directory)
    return open_snapshot(path)


def _write_through(directory: Path) -> None:
    """Bring all to the disk: a name that says whole must not outlive a power cut without what it names."""
    for path in (*directory.rglob("*"), directory):
        # Closing any handle on the lock's file would let go of the lock.
        if path.name != LOCK:
            _sync(path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _silent(_table: str, _rows: int) -> None:
    pass


def _fingerprint(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _first(row: tuple[Any, ...] | None) -> Any:
    return None if row is None else row[0]
