"""`tailor import activity`, killed at random moments and started again."""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.kills import kill_database, kill_family
from benchmarks.numbered import FORMATS, Count, Numbers, compare, with_replays, write_file
from benchmarks.stage import ROOT, environment
from storage.database import Database, open_database
from storage.schema import migrate
from storage.settings import Settings

_EVERY_RUBBISH = 97
_EVERY_DATABASE_KILL = 3


@dataclass(frozen=True)
class Files:
    """Files to import, and what should be there afterwards.

    Attributes
    ----------
    expected
        How often each number should be stored.
    quarantined
        Where the rows stand that should be in quarantine, sorted.
    """

    paths: Sequence[Path]
    n_rows: int
    expected: Numbers
    quarantined: Sequence[str]


@dataclass(frozen=True)
class Killed:
    """How often what was killed, and what was there in the end."""

    kills: int
    database_kills: int
    count: Count
    quarantine: Count


def make_files(folder: Path, random: np.random.Generator, *, n_rows: int) -> Files:
    """Six overlapping files: of each format one with ids and one without, with replays and rubbish.

    A row without an id is told from an equal one by how often it stood before in its file; so of those as
    many are expected as the file has that has most.
    """
    a_file = max(n_rows // (2 * len(FORMATS)), 1)
    rows = [with_replays(random, 0 if with_ids else 2 * a_file, a_file) for with_ids in (True, False)]
    expected = np.zeros(4 * a_file, dtype=np.int64)
    paths, quarantined = [], []
    for number, form in enumerate(FORMATS):
        for with_ids, base in zip((True, False), rows, strict=True):
            # Half of it is in the next file too.
            numbers = random.permutation(base) + number * (a_file // 4)
            rubbish = np.flatnonzero(numbers % _EVERY_RUBBISH == 0).tolist()
            path = folder / f"{'with' if with_ids else 'without'}-ids.{form}"
            quarantined += write_file(path, numbers, with_ids=with_ids, rubbish=rubbish)
            paths.append(path)
            often = np.bincount(np.delete(numbers, rubbish), minlength=len(expected))
            expected = np.maximum(expected, np.minimum(often, 1) if with_ids else often)
    return Files(paths, len(paths) * a_file, expected, sorted(quarantined))


def killed_imports(
    home: Path,
    files: Files,
    random: np.random.Generator,
    *,
    kills: int,
    longest_s: float,
    killed: Callable[[], object] = lambda: None,
) -> Killed:
    """Import files, killed `kills` times, until one import comes to its end; then look.

    Parameters
    ----------
    home
        Where the embedded database is.
    longest_s
        An import is killed at any moment from its start to that, in seconds.
    killed
        Called after each kill.

    Raises
    ------
    RuntimeError
        When an import fails by itself, or what a killed one left is not a part of what should be there.
    """
    n_kills = n_database_kills = tries = 0
    while n_kills < kills:
        process = start_import(home, files.paths)
        try:
            finish(process, timeout_s=random.uniform(0, longest_s))
        except subprocess.TimeoutExpired:
            if tries % _EVERY_DATABASE_KILL == 0:
                n_database_kills += kill_database(home)
            n_kills += (hit := kill_family(process))
            process.communicate()  # closes the pipe
            if hit:
                killed()
        tries += 1
        with open_database(Settings(TAILOR_HOME=home)) as database:
            if compare(database, files.expected).doubled:
                raise RuntimeError(f"after kill {n_kills} events are there that should not be")
    finish(start_import(home, files.paths))
    with open_database(Settings(TAILOR_HOME=home)) as database:
        return Killed(
            n_kills, n_database_kills, compare(database, files.expected), _compare_quarantine(database, files)
        )


def undisturbed_s(home: Path, files: Files) -> float:
    """How long one import of all of them takes, in seconds."""
    began = time.monotonic()
    finish(start_import(home, files.paths))
    return time.monotonic() - began


def make_home(home: Path) -> None:
    """An embedded database with our tables."""
    with open_database(Settings(TAILOR_HOME=home)) as database:
        migrate(database)


def start_import(home: Path, files: Sequence[Path]) -> "subprocess.Popen[bytes]":
    """`tailor import activity`, in a process group of its own."""
    command = [sys.executable, "-m", "tailor", "import", "activity", *map(str, files), "--source", "vendor"]
    return subprocess.Popen(
        [*command, "--json"],
        cwd=ROOT,
        env=environment(home),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def finish(process: "subprocess.Popen[bytes]", *, timeout_s: float | None = None) -> None:
    """Wait until it is done, or raise TimeoutExpired; RuntimeError when it fails."""
    _, problems = process.communicate(timeout=timeout_s)
    if process.returncode != 0:
        raise RuntimeError(f"{process.args!r} failed: {problems.decode(errors='replace')[-2000:]}")


def _compare_quarantine(database: Database, files: Files) -> Count:
    with database.connection() as connection:
        rows = connection.execute("SELECT location FROM quarantine").fetchall()
    stored = [str(location) for (location,) in rows]
    return Count(
        stored=len(stored),
        lost=len(set(files.quarantined) - set(stored)),
        doubled=len(stored) - len(set(files.quarantined) & set(stored)),
    )
