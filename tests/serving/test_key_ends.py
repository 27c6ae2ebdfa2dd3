"""Keys that end: every worker knows within a second; one that takes over overlaps with the one before."""

import time
from contextlib import ExitStack
from datetime import timedelta

import httpx
import psutil
import pytest

from storage.database import Database
from storage.subscribers import issue_key, revoke_key, rotate_key, set_subscriber_status

N_WORKERS = 2
ENOUGH_S = 1.0


@pytest.fixture(scope="module")
def crowd(server_url, template, world, tmp_path_factory):
    """A service of two workers that reads its catalogue again only when it is told to."""
    directory = tmp_path_factory.mktemp("crowd")
    with world.fresh_database(server_url, template) as url:
        keys = world.furnish(url)
        world.promote(url, world.make_bundle(directory / "home" / "bundles"))
        settings = {
            "BENTOML_CONFIG_OPTIONS": f"services.TailoredPromotions.workers={N_WORKERS}",
            "TAILOR_SERVING_REFRESH_S": "3600",
        }
        with world.serving(url, directory, keys=keys, **settings) as service:
            service.until(service.is_ready)
            yield service


@pytest.fixture
def workers(crowd):
    """A connection to each worker."""
    with ExitStack() as stack:
        by_worker = {}

        def all_are_reached():
            client = stack.enter_context(httpx.Client(base_url=crowd.url, timeout=30.0))
            if client.get("/v1/health").status_code == 200:
                by_worker[worker_behind(crowd, client)] = client
            return len(by_worker) == N_WORKERS

        crowd.until(all_are_reached)
        yield list(by_worker.values())


def worker_behind(service, client):
    """The process that answers on the open connection of a client."""
    stream = client._transport._pool.connections[0]._connection._network_stream
    port = stream.get_extra_info("client_addr")[1]
    for process in psutil.Process(service.process.pid).children(recursive=True):
        if any(one.raddr and one.raddr.port == port for one in process.net_connections("tcp")):
            return process.pid
    raise AssertionError("nobody is behind the connection")


def ask(client, key, *, site_id="kitchen"):
    asked = {"consumer_id": "c", "site_id": site_id}
    return client.post("/v1/decisions", json=asked, headers={"Authorization": f"Bearer {key}"})


def seconds_until_all_say(workers, key, status, since, *, site_id="kitchen"):
    waiting = list(workers)
    while waiting:
        waiting = [client for client in waiting if ask(client, key, site_id=site_id).status_code != status]
        assert time.monotonic() - since < 30, f"{len(waiting)} workers do not say {status}"
    return time.monotonic() - since


def change(service, what):
    """Commit a change; returns when that was, and what came of it."""
    with Database(service.database_url) as database:
        with database.connection() as connection:
            made = what(connection)
        return time.monotonic(), made


def test_every_worker_knows_within_a_second_that_a_key_is_revoked(crowd, workers):
    took_s = []
    for _ in range(3):
        _, key = change(crowd, lambda c: issue_key(c, "pans", kind="secret"))
        seconds_until_all_say(workers, key, 200, time.monotonic())
        revoked_at, _ = change(crowd, lambda c, key=key: revoke_key(c, key))
        took_s.append(seconds_until_all_say(workers, key, 401, revoked_at))
    # The machine may have had other things to do, but not three times.
    assert min(took_s) < ENOUGH_S, took_s


def test_every_worker_knows_within_a_second_that_a_subscriber_is_suspended(crowd, workers):
    took_s = []
    for _ in range(3):
        at, _ = change(crowd, lambda c: set_subscriber_status(c, "pans", status="suspended"))
        took_s.append(seconds_until_all_say(workers, crowd.keys.pans, 403, at))
        change(crowd, lambda c: set_subscriber_status(c, "pans", status="active"))
        seconds_until_all_say(workers, crowd.keys.pans, 200, time.monotonic())
    assert min(took_s) < ENOUGH_S, took_s


def test_both_keys_count_until_the_older_one_ends_and_says_so(crowd, workers):
    old = crowd.keys.pages
    overlap = timedelta(seconds=4)
    _, (new, ends_at) = change(crowd, lambda c: rotate_key(c, "pages", kind="secret", overlap=overlap))
    seconds_until_all_say(workers, new, 200, time.monotonic(), site_id="books")
    asked = [ask(client, key, site_id="books") for client in workers for key in (old, new)]
    assert [answer.status_code for answer in asked] == [200] * 4
    seconds_until_all_say(workers, old, 401, time.monotonic(), site_id="books")
    refused = [ask(client, old, site_id="books").json()["detail"] for client in workers]
    assert all(f"expired at {ends_at:%Y-%m-%dT%H:%M:%S}" in told for told in refused)
    assert [ask(client, new, site_id="books").status_code for client in workers] == [200, 200]
