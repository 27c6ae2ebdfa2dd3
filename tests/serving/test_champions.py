"""Which model serves: none at first, then the one that the log names, whatever happens meanwhile."""

import shutil
import threading
from pathlib import Path

import httpx
import pytest

SWAPS = 6


@pytest.fixture(scope="module")
def newcomer(server_url, template, world, tmp_path_factory):
    """A service that was started before any model existed; two workers follow the log."""
    directory = tmp_path_factory.mktemp("newcomer")
    with world.fresh_database(server_url, template) as url:
        keys = world.furnish(url)
        options = "services.TailoredPromotions.workers=2"
        with world.serving(url, directory, keys=keys, BENTOML_CONFIG_OPTIONS=options) as service:
            service.until(service.is_ready)
            yield service


def test_before_any_model_the_answer_says_what_to_do(newcomer):
    answer = newcomer.decide("early")
    assert (answer["strategy"], answer["promotion"], answer["model"]) == ("none", None, None)
    assert "tailor promote" in answer["reason"]
    health = newcomer.call("GET", "/v1/health").json()
    assert health["ready"]
    assert "no model serves yet" in health["reasons"][0]


def test_a_promoted_model_serves_without_a_restart(newcomer, world):
    newcomer.send(world.event("early", "cook1"))
    world.promote(newcomer.database_url, world.make_bundle(newcomer.home / "bundles"))
    newcomer.until(lambda: newcomer.champion() == "1")
    newcomer.until(lambda: newcomer.decide("early")["strategy"] == "tailored")


def test_a_bundle_that_is_not_what_was_promoted_is_refused_and_the_running_model_stays(newcomer, world):
    champion = world.make_bundle(newcomer.home / "bundles", random_state=90)
    with (Path(champion.location) / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\xff")
    world.promote(newcomer.database_url, champion)
    reasons = newcomer.until(lambda: newcomer.call("GET", "/v1/health").json()["reasons"])
    assert "champion 91 is refused" in reasons[0]
    assert "sha256" in reasons[0]
    answer = newcomer.decide("early")
    assert (answer["strategy"], answer["model"]["version"]) == ("tailored", "1")


def test_a_bundle_written_on_another_machine_is_found_among_our_own(newcomer, world):
    champion = world.make_bundle(newcomer.home / "elsewhere", random_state=30)
    shutil.copytree(champion.location, newcomer.home / "bundles" / champion.digest)
    shutil.rmtree(champion.location)
    world.promote(newcomer.database_url, champion)
    newcomer.until(lambda: newcomer.champion() == "31")


def test_champions_are_swapped_under_load_without_a_failed_request(newcomer, world):
    champions = [world.make_bundle(newcomer.home / "bundles", random_state=40 + n) for n in range(SWAPS)]
    newcomer.send(world.event("loader", "cook1"))
    stop, failed, seen = threading.Event(), [], set()

    def ask_on_and_on():
        asked = {"consumer_id": "loader", "site_id": "kitchen"}
        with httpx.Client(headers={"Authorization": f"Bearer {newcomer.keys.pans}"}, timeout=10.0) as client:
            while not stop.is_set():
                answer = client.post(newcomer.url + "/v1/decisions", json=asked)
                if answer.status_code != 200 or answer.json()["promotion"]["promotion_id"] != "pan-deal":
                    failed.append(answer.text)
                seen.add(answer.json()["model"]["version"])

    askers = [threading.Thread(target=ask_on_and_on) for _ in range(4)]
    for asker in askers:
        asker.start()
    try:
        for champion in champions:
            world.promote(newcomer.database_url, champion)
            newcomer.until(lambda version=champion.version: version in seen)
    finally:
        stop.set()
        for asker in askers:
            asker.join()
    assert not failed
    assert {champion.version for champion in champions} <= seen
