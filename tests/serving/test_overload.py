"""More than can be done in time, and a server that is stopped in the middle."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest

PLACES = 3


@pytest.fixture
def small(server_url, template, world, tmp_path):
    """A service with few places."""
    with world.fresh_database(server_url, template) as url:
        keys = world.furnish(url)
        world.promote(url, world.make_bundle(tmp_path / "home" / "bundles"))
        with world.serving(url, tmp_path, keys=keys, TAILOR_SERVING_MAX_IN_FLIGHT=str(PLACES)) as service:
            service.until(service.is_ready)
            yield service


@contextmanager
def held_up(service):
    """Nobody can read or write activity inside."""
    with psycopg.connect(service.database_url) as connection:
        connection.execute("LOCK TABLE activity IN ACCESS EXCLUSIVE MODE")
        yield


def waiting(service):
    with psycopg.connect(service.database_url) as connection:
        counted = connection.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return counted.fetchone()[0]


def ask(service):
    return service.call(
        "POST", "/v1/decisions", key=service.keys.pans, json={"consumer_id": "c1", "site_id": "kitchen"}
    )


def write(service, world):
    return service.call(
        "POST", "/v1/activity", key=service.keys.pages, json={"events": [world.event("c1", "cook1")]}
    )


@pytest.mark.parametrize("what", ["decisions", "calls"])
def test_what_is_too_much_is_turned_away_at_once_and_what_was_taken_is_finished(small, world, what):
    call = ask if what == "decisions" else lambda service: write(service, world)
    with ThreadPoolExecutor(PLACES) as threads:
        with held_up(small):
            taken = [threads.submit(call, small) for _ in range(PLACES)]
            small.until(lambda: waiting(small) == PLACES)
            started = time.monotonic()
            refused = call(small)
            took_s = time.monotonic() - started
            assert small.is_ready()
        assert [one.result().status_code for one in taken] == [200] * PLACES
    assert refused.status_code == 503
    assert refused.headers["content-type"] == "application/problem+json"
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.json()["title"] == "Busy"
    assert f"{PLACES} {what} are under way" in refused.json()["detail"]
    # Those that were taken wait for seconds; who is turned away does not.
    assert took_s < 2
    assert call(small).status_code == 200


def test_a_server_that_is_stopped_finishes_what_it_has_begun(small, world):
    with ThreadPoolExecutor(2) as threads:
        with held_up(small):
            taken = [threads.submit(ask, small), threads.submit(write, small, world)]
            small.until(lambda: waiting(small) == 2)
            small.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
        assert [one.result().status_code for one in taken] == [200, 200]
    assert small.process.wait(20) == 0
