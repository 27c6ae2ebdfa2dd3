"""The service tidies up by itself, while it decides."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from features.snapshot import take_snapshot
from storage.database import Database

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tidy(server_url, template, world, tmp_path_factory):
    """A service that looks often for what to tidy up."""
    directory = tmp_path_factory.mktemp("tidy")
    with world.fresh_database(server_url, template) as url:
        keys = world.furnish(url)
        world.promote(url, world.make_bundle(directory / "home" / "bundles"))
        with world.serving(url, directory, keys=keys, TAILOR_SERVING_UPKEEP_S="0.2") as service:
            service.until(service.is_ready)
            yield service


def rows(service, query):
    with psycopg.connect(service.database_url) as connection:
        return connection.execute(query).fetchall()


def test_old_activity_goes_once_a_day_and_files_are_cleaned_after_an_erasure(tidy, world):
    tidy.until(lambda: rows(tidy, "SELECT FROM retention_sweep"))
    long_ago = (datetime.now(UTC) - timedelta(days=800)).isoformat()
    tidy.send(world.event("leaver", "fiction1"), world.event("stayer", "fiction1", occurred_at=long_ago))
    assert tidy.decide("leaver")["strategy"] == "tailored"
    with Database(tidy.database_url) as database:
        snapshot = take_snapshot(database, tidy.home / "snapshots")
    erasure = tidy.call("DELETE", "/v1/consumers/leaver", key=tidy.keys.pages).json()["erasure_id"]
    assert tidy.decide("leaver")["strategy"] == "popularity"

    def is_cleaned():
        assert tidy.decide("stayer")["strategy"] == "tailored"
        return rows(tidy, f"SELECT FROM erasure WHERE erasure_id = {erasure} AND cleaned_at IS NOT NULL")

    tidy.until(is_cleaned)
    assert not snapshot.path.exists()
    # Swept before these events came, and not again on the same day.
    assert len(rows(tidy, "SELECT FROM retention_sweep")) == 1

    with psycopg.connect(tidy.database_url) as connection:
        connection.execute("UPDATE retention_sweep SET at = at - interval '1 day'")
    tidy.until(lambda: len(rows(tidy, "SELECT FROM retention_sweep")) == 2)
    [(swept,)] = rows(tidy, "SELECT rows_deleted FROM retention_sweep ORDER BY sweep_id DESC LIMIT 1")
    assert swept["activity"] == 1
    assert tidy.decide("stayer")["strategy"] == "popularity"


def test_it_ends_well_while_who_started_it_goes_on_and_says_nothing_where_nothing_was_to_do(
    world, server_url, template, tmp_path
):
    with world.fresh_database(server_url, template) as url:
        process = subprocess.Popen(
            [sys.executable, "-m", "serving.upkeep"],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": url, "TAILOR_HOME": str(tmp_path)},
        )
        assert process.stdin is not None
        assert process.stderr is not None
        with process.stdin, process.stderr:
            assert process.wait(60) == 0
            assert process.stderr.read() == ""
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT count(*) FROM retention_sweep").fetchone() == (1,)
