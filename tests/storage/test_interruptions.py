"""Imports that are killed, repeated and run side by side; each is a real `tailor import` process."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from storage.database import Database

ROOT = Path(__file__).parents[2]
N_KILLS = int(os.environ.get("TEST_KILLS", "4"))
ROWS_A_FILE = 6_000


def write_events(path, consumers, *, with_ids):
    """Six events each, every fifth row twice; every 97th row is rubbish."""
    lines = []
    for number in consumers:
        for view in range(6):
            row = {
                "consumer_id": f"c{number}",
                "site_id": f"s{view % 3}",
                "kind": "page_view",
                "item_id": view,
            }
            if with_ids:
                row["event_id"] = f"{number}-{view}"
            if (number * 6 + view) % 97 == 0:
                row["kind"] = "stare"
            lines += [json.dumps(row)] * (2 if (number + view) % 5 == 0 else 1)
    random.Random(7).shuffle(lines)
    path.write_text("\n".join(lines) + "\n")
    return path


def start_import(url, *files):
    command = [sys.executable, "-m", "tailor", "import", "activity", *map(str, files)]
    return subprocess.Popen(
        [*command, "--source", "vendor", "--json"],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    with process:
        out, problems = process.communicate(timeout=300)
    assert process.returncode == 0, problems
    return json.loads(out)


def state(url):
    """Everything that an import leaves, but for when and in which order."""
    queries = (
        "SELECT namespace, identifier, site_id, event_id, kind, item_id FROM activity ORDER BY 1, 2, 3, 4",
        "SELECT namespace, identifier, consumer_id FROM identifier ORDER BY 1, 2",
        "SELECT location, reason, payload FROM quarantine ORDER BY location",
        "SELECT site_id FROM site ORDER BY 1",
    )
    with psycopg.connect(url) as connection:
        return [connection.execute(query).fetchall() for query in queries]


@pytest.fixture(scope="module")
def overlapping_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    half = ROWS_A_FILE // 6
    return [
        write_events(folder / "first.jsonl", range(half), with_ids=True),
        write_events(folder / "second.jsonl", range(half // 2, half + half // 2), with_ids=True),
        write_events(folder / "derived.jsonl", range(half), with_ids=False),
    ]


@pytest.fixture
def expected(empty_database_url, overlapping_files):
    """What one import of all files, undisturbed, leaves; and how long that took, in seconds."""
    from storage.schema import migrate

    with Database(empty_database_url) as database:
        migrate(database)
    began = time.monotonic()
    report = finish(start_import(empty_database_url, *overlapping_files))
    assert report["read"] == report["stored"] + report["duplicate"] + report["quarantined"]
    assert report["quarantined"] > 0
    return state(empty_database_url), time.monotonic() - began


def test_an_import_killed_at_random_points_and_started_again_ends_as_if_undisturbed(
    database_url, overlapping_files, expected
):
    wanted, seconds = expected
    for kill in range(N_KILLS):
        process = start_import(database_url, *overlapping_files)
        try:
            # Python needs a moment before it reaches the database: that part is no point worth hitting.
            process.wait(timeout=random.Random(kill).uniform(seconds / 3, seconds))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.communicate()
        kept = state(database_url)
        for have, want in zip(kept, wanted, strict=True):
            assert set(have) <= set(want)
    report = finish(start_import(database_url, *overlapping_files))
    assert report["read"] == report["stored"] + report["duplicate"] + report["quarantined"]
    assert state(database_url) == wanted


def test_overlapping_files_imported_at_once_end_as_if_one_after_the_other(
    database_url, overlapping_files, expected
):
    wanted, _ = expected
    running = [
        start_import(database_url, *overlapping_files),
        start_import(database_url, *overlapping_files[::-1]),
    ]
    reports = [finish(process) for process in running]
    assert state(database_url) == wanted
    assert sum(report["stored"] for report in reports) == len(wanted[0])
