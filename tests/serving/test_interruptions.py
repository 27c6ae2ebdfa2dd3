"""Ingestion over HTTP on the embedded database, killed in the middle: `benchmarks.faults`, small."""

import numpy as np

from benchmarks.killed_imports import make_home
from benchmarks.killed_server import AFTER_DATABASE, WITH_DATABASE, killed_server
from benchmarks.numbered import with_replays


def test_every_acknowledged_event_outlives_kills_of_the_server_and_of_its_database_and_none_is_there_twice(
    tmp_path,
):
    random = np.random.default_rng(0)
    rows = with_replays(random, 0, 8_000)
    make_home(tmp_path)
    expected = np.minimum(np.bincount(rows), 1)
    told = killed_server(tmp_path, rows, random, kills=[AFTER_DATABASE, WITH_DATABASE], expected=expected)
    assert (told.kills, told.database_kills) == (2, 2)
    assert told.acknowledged == told.count.stored == expected.sum() == 5_600
    assert told.lost_after_kill == told.count.lost == 0
    assert told.told_stored_twice == told.count.doubled == 0
