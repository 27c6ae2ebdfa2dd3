"""Which snapshots stay: the newest, and those in use."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from features.errors import SnapshotRefused
from features.retention import held, prune_snapshots
from features.snapshot import Snapshot, open_snapshot, take_snapshot
from storage.database import Database

AT = datetime(2026, 3, 10, 12, tzinfo=UTC)
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def snapshots(database: Database, tmp_path: Path) -> list[Snapshot]:
    return [take_snapshot(database, tmp_path, as_of=AT.replace(hour=hour)) for hour in range(12, 16)]


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@contextmanager
def reader(path: Path) -> Iterator[None]:
    """Another process that has the snapshot in use."""
    code = f"""
        import sys
        from pathlib import Path
        from features.retention import held
        with held(Path({str(path)!r})):
            print("held", flush=True)
            sys.stdin.read()
    """
    other = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        yield
        other.kill()


def test_all_but_the_newest_go(snapshots: list[Snapshot], tmp_path: Path) -> None:
    gone = prune_snapshots(tmp_path, newest=2)
    assert names(tmp_path) == [one.path.name for one in snapshots[2:]]
    assert sorted(gone) == [one.path for one in snapshots[:2]]
    assert open_snapshot(snapshots[3].path).digest == snapshots[3].digest


def test_what_a_crash_left_goes_and_what_was_begun_just_now_stays(tmp_path: Path) -> None:
    (tmp_path / ".snapshot-crashed").mkdir()
    (tmp_path / ".snapshot-running").mkdir()
    os.utime(tmp_path / ".snapshot-crashed", (0, 0))
    assert prune_snapshots(tmp_path) == [tmp_path / ".snapshot-crashed"]
    assert names(tmp_path) == [".snapshot-running"]


def test_one_that_another_process_reads_stays_until_that_is_killed(
    snapshots: list[Snapshot], tmp_path: Path
) -> None:
    with reader(snapshots[0].path):
        prune_snapshots(tmp_path)
        assert names(tmp_path) == [snapshots[0].path.name, snapshots[3].path.name]
    prune_snapshots(tmp_path)
    assert names(tmp_path) == [snapshots[3].path.name]


def test_one_that_is_gone_cannot_be_held(snapshots: list[Snapshot], tmp_path: Path) -> None:
    prune_snapshots(tmp_path)
    with pytest.raises(SnapshotRefused, match="was deleted just now"), held(snapshots[0].path):
        pass
    with pytest.raises(ValueError, match="newest=0; give 1 or more"):
        prune_snapshots(tmp_path, newest=0)
