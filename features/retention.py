"""Which snapshots stay on disk: those in use and the newest. They are personal data, so the rest is deleted.

When somebody was erased, all that were taken before go.

Who reads or writes a snapshot holds a lock in its folder, which the kernel releases when the holder dies,
however it dies.
"""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from features.errors import SnapshotRefused
from storage.filelock import FileLock

UNFINISHED = ".snapshot-"
"""How the name of a folder begins that is no snapshot yet, or none any more."""

LOCK = ".in-use"
"""The file in a snapshot's folder that its readers hold."""

_YOUNG_S = 60


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Keep other processes from deleting a snapshot's folder, for the length of a block.

    Raises
    ------
    SnapshotRefused
        When it is gone already.
    """
    lock = FileLock(path / LOCK)
    try:
        # Whoever deletes it renames it first, while they hold the lock alone.
        with suppress(FileNotFoundError):
            lock.acquire(shared=True)
        if not path.is_dir():
            raise SnapshotRefused(f"{path} was deleted just now; take a new snapshot")
        yield
    finally:
        lock.release()


def prune_snapshots(directory: Path, *, newest: int = 1) -> list[Path]:
    """Delete all snapshots but the newest, and what crashes left behind; return what went.

    What another process holds is left alone.

    Parameters
    ----------
    newest : int
        As many are kept.
    """
    if newest < 1:
        raise ValueError(f"newest={newest}; give 1 or more")
    gone = sorted(directory.glob("2*"), reverse=True)[newest:]
    return [path for path in (*gone, *_unfinished(directory)) if _delete(path)]


def delete_snapshots(directory: Path, *, until: datetime) -> list[Path]:
    """Delete all snapshots that show `until` or an earlier moment; return what has to wait.

    That is what others read, and what others are writing just now: nobody knows which moment it will show.

    Parameters
    ----------
    until : datetime
        An aware time.
    """
    # Names tell whole seconds: the same second goes, too.
    last = f"{until.astimezone(UTC):%Y%m%dT%H%M%SZ}~"
    for path in (*directory.glob("2*"), *_unfinished(directory)):
        if path.name <= last:
            _delete(path)
    return sorted(path for path in directory.glob("[2.]*") if path.name <= last)


def _unfinished(directory: Path) -> list[Path]:
    """What crashes left behind."""
    # A minute: between making a folder and taking its lock.
    long_ago = time.time() - _YOUNG_S
    return [path for path in directory.glob(f"{UNFINISHED}*") if path.stat().st_mtime < long_ago]


def _delete(path: Path) -> bool:
    lock = FileLock(path / LOCK)
    try:
        if not lock.acquire(blocking=False):
            return False
        # Under a name that is no snapshot's: a crash half-way leaves none that looks whole.
        aside = path.rename(path.with_name(f"{UNFINISHED}old-{path.name.lstrip('.')}"))
    except FileNotFoundError:
        # Somebody else was faster.
        return False
    finally:
        lock.release()
    shutil.rmtree(aside)
    return True
