"""The database away, at the start and in the middle."""

import pytest

from storage.cluster import start_cluster, stop_cluster
from storage.database import Database
from storage.schema import migrate


@pytest.fixture
def server(tmp_path):
    """A PostgreSQL server of our own, with our schema, that may be stopped and started; (folder, URL)."""
    folder = tmp_path / "postgres"
    url = start_cluster(folder)
    try:
        yield folder, url
    finally:
        stop_cluster(folder)


def is_away(service):
    asked = {"consumer_id": "c", "site_id": "kitchen"}
    batch = {
        "events": [
            {"event_id": "1", "consumer_id": "c", "site_id": "books", "kind": "page_view", "item_id": "x"}
        ]
    }
    calls = [
        ("/v1/decisions", service.keys.pans, asked),
        ("/promotion", service.keys.pans, asked),
        ("/v1/activity", service.keys.pages, batch),
    ]
    for path, key, body in calls:
        answer = service.call("POST", path, key=key, json=body)
        if answer.status_code == 200:
            return False
        assert answer.status_code == 503, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.json()["detail"]
    health = service.call("GET", "/v1/health")
    assert (health.status_code, health.json()["ready"]) == (503, False)
    assert health.json()["reasons"]
    return True


def test_the_service_outlives_its_database_and_recovers_by_itself(server, world, tmp_path):
    folder, url = server
    with Database(url) as database:
        migrate(database)
    keys = world.furnish(url)
    world.promote(url, world.make_bundle(tmp_path / "home" / "bundles"))
    stop_cluster(folder)
    with world.serving(url, tmp_path, keys=keys) as service:
        assert is_away(service)
        for _ in range(2):
            start_cluster(folder)
            service.until(service.is_ready)
            assert service.decide("c")["promotion"] is not None
            assert service.send(world.event("c", "fiction1"))["events"][0]["status"] == "stored"
            stop_cluster(folder)
            assert is_away(service)


def test_a_database_without_tables_is_a_503_that_names_the_next_step(empty_database_url, world, tmp_path):
    with world.serving(empty_database_url, tmp_path, keys=None) as service:
        health = service.call("GET", "/v1/health")
        assert health.status_code == 503
        assert "tailor init" in health.json()["reasons"][0]
        with Database(empty_database_url) as database:
            migrate(database)
        service.until(service.is_ready)
