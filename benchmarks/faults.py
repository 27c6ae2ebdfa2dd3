"""What is left after SIGKILL: `python -m benchmarks.faults [--kills N] [--events N] [--json FILE]`.

Three cases, each with events that come twice and in no order, on embedded databases of their own:
`tailor import activity` killed at random moments and started again; `tailor serve` killed while several
connections send to it; and one large load, half by files and half over HTTP, with kills in both halves.
Some kills hit the database too. Afterwards exactly the distinct events must be there, and all that were
acknowledged. The figures in docs/benchmarks.md are of 50 kills and a million events; the defaults are less.
Exit 1 when an event was lost or is there once too often.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.killed_imports import Files, Killed, killed_imports, make_files, make_home, undisturbed_s
from benchmarks.killed_server import AFTER_DATABASE, SERVER, WITH_DATABASE, Answered, killed_server
from benchmarks.numbered import FORMATS, with_replays, write_file
from benchmarks.report import Figures, at_least_one, run

CASES = IMPORT, HTTP, BOTH = "import", "http", "both"
#: Then an import may come to its end, and the next begins with an empty database.
KILLS_IN_A_ROW = 5
_VICTIMS = (SERVER, SERVER, WITH_DATABASE, AFTER_DATABASE)
_ROWS_TO_IMPORT = 120_000
_ROWS_A_KILL = 6_000
_KILLS_IN_A_HALF = 5
_FILES_IN_A_HALF = 10

Tell = Callable[[], object]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, and write the figures when asked to."""
    figures = run(
        "faults",
        arguments,
        about=__doc__,
        options=_add_options,
        measure=lambda options: measure(
            options.kills,
            options.events,
            cases=options.only or CASES,
            random_state=options.random_state,
        ),
        table=_table,
        digits=6,
    )
    return int(any(row["lost"] or row["doubled"] for row in figures["rows"]))


def measure(n_kills: int, n_events: int, *, cases: Sequence[str] = CASES, random_state: int = 0) -> Figures:
    """Run the three cases, or some of them.

    Parameters
    ----------
    n_kills
        In each of the first two cases.
    n_events
        Rows of the third, replays and all; the others have no more.
    """
    half = min(n_kills, _KILLS_IN_A_HALF)
    n_rows = {
        IMPORT: min(n_events, _ROWS_TO_IMPORT),
        HTTP: min(n_events, n_kills * _ROWS_A_KILL),
        BOTH: n_events,
    }
    bars = {IMPORT: n_kills, HTTP: n_kills, BOTH: 2 * half}
    work = {IMPORT: _imports, HTTP: _http, BOTH: _both}
    with tempfile.TemporaryDirectory(prefix="tailor-faults-") as name, _progress() as bar:
        rows = [
            work[case](
                # The same moments, whatever other cases are run.
                _Place(Path(name), np.random.default_rng([random_state, number])),
                half if case == BOTH else n_kills,
                n_rows[case],
                bar(case, bars[case]),
            )
            for number, case in enumerate(CASES)
            if case in cases
        ]
    return {"ratios": _ratios(rows), "random_state": random_state, "rows": rows}


@dataclass(frozen=True)
class _Place:
    folder: Path
    random: np.random.Generator

    def home(self) -> Path:
        """A fresh one, with our tables."""
        home = Path(tempfile.mkdtemp(prefix="home-", dir=self.folder))
        # The embedded database is another user's when we are root.
        home.chmod(0o755)
        make_home(home)
        return home


def _imports(place: _Place, n_kills: int, n_rows: int, tell: Tell) -> dict[str, Any]:
    began = time.perf_counter()
    files = make_files(place.folder, place.random, n_rows=n_rows)
    longest_s = undisturbed_s(place.home(), files)
    told: list[Killed] = []
    while (left := n_kills - sum(one.kills for one in told)) > 0:
        kills = min(left, KILLS_IN_A_ROW)
        told.append(
            killed_imports(place.home(), files, place.random, kills=kills, longest_s=longest_s, killed=tell)
        )
    return {
        "case": IMPORT,
        "kills": n_kills,
        "database_kills": sum(one.database_kills for one in told),
        "sent": files.n_rows * len(told),
        "distinct": int(files.expected.sum()) * len(told),
        "stored": sum(one.count.stored for one in told),
        "quarantined": sum(one.quarantine.stored for one in told),
        "lost": sum(one.count.lost + one.quarantine.lost for one in told),
        "doubled": sum(one.count.doubled + one.quarantine.doubled for one in told),
        "seconds": time.perf_counter() - began,
    }


def _http(place: _Place, n_kills: int, n_rows: int, tell: Tell) -> dict[str, Any]:
    began = time.perf_counter()
    rows = with_replays(place.random, 0, n_rows)
    expected = np.minimum(np.bincount(rows), 1)
    kills = _victims(n_kills)
    told = killed_server(place.home(), rows, place.random, kills=kills, expected=expected, killed=tell)
    return {
        "case": HTTP,
        "kills": n_kills,
        "database_kills": told.database_kills,
        "sent": told.sent,
        "distinct": int(expected.sum()),
        **_answered(told),
        "seconds": time.perf_counter() - began,
    }


def _both(place: _Place, n_kills: int, n_rows: int, tell: Tell) -> dict[str, Any]:
    began = time.perf_counter()
    rows = with_replays(place.random, 0, n_rows)
    expected = np.minimum(np.bincount(rows), 1)
    files = _half_in_files(place.folder, rows[: n_rows // 2], len(expected))
    longest_s = undisturbed_s(place.home(), files)
    home = place.home()
    imported = killed_imports(home, files, place.random, kills=n_kills, longest_s=longest_s, killed=tell)
    told = killed_server(
        home, rows[n_rows // 2 :], place.random, kills=_victims(n_kills), expected=expected, killed=tell
    )
    return {
        "case": BOTH,
        "kills": imported.kills + told.kills,
        "database_kills": imported.database_kills + told.database_kills,
        "sent": files.n_rows + told.sent,
        "distinct": int(expected.sum()),
        **_answered(told),
        "seconds": time.perf_counter() - began,
    }


def _victims(n_kills: int) -> list[str]:
    return [_VICTIMS[number % len(_VICTIMS)] for number in range(n_kills)]


def _answered(told: Answered) -> dict[str, Any]:
    return {
        "unanswered": told.unanswered,
        "acknowledged": told.acknowledged,
        "stored": told.count.stored,
        "lost": told.lost_after_kill + told.count.lost,
        "doubled": told.told_stored_twice + told.count.doubled,
    }


def _half_in_files(folder: Path, rows: Any, n_numbers: int) -> Files:
    paths = []
    for number, part in enumerate(np.array_split(rows, _FILES_IN_A_HALF)):
        path = folder / f"part-{number}.{FORMATS[number % len(FORMATS)]}"
        write_file(path, part)
        paths.append(path)
    expected = np.minimum(np.bincount(rows, minlength=n_numbers), 1)
    return Files(paths, len(rows), expected, quarantined=())


def _ratios(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    return {f"{row['case']}_stored_vs_distinct": row["stored"] / row["distinct"] for row in rows}


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--kills", type=at_least_one, default=4, metavar="N", help="of imports, and of servers; default: 4"
    )
    parser.add_argument(
        "--events", type=at_least_one, default=60_000, metavar="N", help="rows of the large load; 60000"
    )
    parser.add_argument("--only", choices=CASES, action="append", help="this case; repeat for another")
    parser.add_argument("--random-state", type=int, default=0, metavar="N", help="of all that is random; 0")


def _table(figures: Figures) -> Iterator[str]:
    counts = ("kills", "database_kills", "sent", "unanswered", "distinct", "acknowledged", "stored")
    columns = (*counts, "lost", "doubled")
    yield f"{'case':<7}" + "".join(f"{name.replace('_', ' '):>15}" for name in columns) + f"{'seconds':>9}"
    for row in figures["rows"]:
        cells = (f"{row[name]:>15,}" if name in row else f"{'':>15}" for name in columns)
        yield f"{row['case']:<7}" + "".join(cells) + f"{row['seconds']:>9.0f}"


@contextmanager
def _progress() -> Iterator[Callable[[str, int], Tell]]:
    columns = [TextColumn("{task.description:<7}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
    with Progress(*columns, console=Console(stderr=True)) as bars:

        def add(case: str, n_kills: int) -> Tell:
            task = bars.add_task(case, total=n_kills)
            return lambda: bars.advance(task)

        yield add


if __name__ == "__main__":
    sys.exit(main())
