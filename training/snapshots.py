"""The snapshot that a training reads: taken at its start, held meanwhile, old ones deleted afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager

from features.errors import SnapshotRefused
from features.forgetting import delete_outdated_snapshots
from features.retention import held, prune_snapshots
from features.snapshot import Snapshot, open_snapshot, take_snapshot
from storage.database import Database
from storage.settings import Settings
from training.fitting import Progress


@contextmanager
def fresh_snapshot(
    database: Database, settings: Settings, *, progress: Progress | None = None
) -> Iterator[Snapshot]:
    """What is stored now, as a snapshot below the home folder; afterwards only the newest few stay there.

    However the block ends. What was taken before the newest erasure goes first.
    """
    directory = settings.snapshots_dir
    if progress is not None:
        progress("snapshot", 0, None)
    delete_outdated_snapshots(database, settings)
    snapshot = take_snapshot(database, directory)
    if progress is not None:
        progress("snapshot", 1, 1)
    try:
        with held(snapshot.path):
            yield snapshot
    finally:
        prune_snapshots(directory, newest=settings.snapshots_kept)


@contextmanager
def kept_snapshot(settings: Settings, digest: str) -> Iterator[Snapshot]:
    """An earlier training's snapshot, by its digest or the start of one: to repeat that training.

    Raises
    ------
    SnapshotRefused
        When it was deleted since, is damaged, or the start fits several.
    """
    directory = settings.snapshots_dir
    names = {path.name.rpartition("-")[2]: path for path in directory.glob("2*")}
    fitting = [path for name, path in names.items() if name.startswith(digest[: len(name)])]
    if len(fitting) != 1 or not digest:
        raise SnapshotRefused(
            f"{len(fitting)} snapshots in {directory} have the digest {digest!r}; there are: "
            f"{', '.join(sorted(names)) or 'none'} (TAILOR_SNAPSHOTS_KEPT={settings.snapshots_kept} stay, "
            "and none from before somebody was erased)"
        )
    with held(fitting[0]):
        yield open_snapshot(fitting[0])
