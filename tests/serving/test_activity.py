"""Activity over HTTP."""

import json

import pytest

ORIGIN = {"Origin": "https://books.example"}


def post(service, events, *, key=None, headers=None):
    key = key or service.keys.pages
    return service.call("POST", "/v1/activity", key=key, json={"events": events}, headers=headers or {})


def test_each_event_is_told_what_became_of_it(service, world):
    good, strange = world.event("teller", "cook1"), world.event("teller", "cook1", kind="dance")
    answer = post(service, [good, strange, good, "no event", {"site_id": "books"}]).json()
    assert [one["status"] for one in answer["events"]] == [
        "stored", "quarantined", "duplicate", "quarantined", "quarantined",
    ]  # fmt: skip
    assert (answer["stored"], answer["duplicate"], answer["quarantined"]) == (1, 1, 3)
    assert answer["events"][0] == {"event_id": good["event_id"], "status": "stored", "reason": None}
    assert "dance" in answer["events"][1]["reason"]
    assert "not an object" in answer["events"][3]["reason"]


def test_a_retry_has_no_second_effect(service, world):
    batch = [world.event("retrier", "cook1"), world.event("retrier", "cook2")]
    assert post(service, batch).json()["stored"] == 2
    assert post(service, batch).json()["duplicate"] == 2


def test_an_event_without_an_id_is_quarantined(service, world):
    event = world.event("nameless", "cook1")
    del event["event_id"]
    [told] = post(service, [event]).json()["events"]
    assert told["status"] == "quarantined"
    assert "event_id" in told["reason"]


def test_a_server_speaks_on_its_subscribers_legal_basis(service, world):
    event = world.event("served", "cook1")
    del event["consent"]
    assert post(service, [event]).json()["stored"] == 1


def test_a_browser_without_consent_leaves_nothing_but_the_reason(service, world, database_rows):
    event = world.event("shy consumer", "cook1")
    del event["consent"]
    [told] = post(service, [event], key=service.keys.pages_public, headers=ORIGIN).json()["events"]
    assert (told["status"], told["reason"]) == ("quarantined", "no consent")
    assert database_rows("SELECT count(*) FROM quarantine WHERE payload LIKE '%shy consumer%'") == [(0,)]
    assert database_rows("SELECT count(*) FROM identifier WHERE identifier = 'shy consumer'") == [(0,)]


def test_activity_for_its_own_site_only_does_not_reach_another(service, world):
    service.send(world.event("local", "fiction1", consent=["same_site"]))
    assert service.decide("local")["strategy"] == "popularity"


@pytest.mark.parametrize(("site_id", "status"), [("kitchen", 403), ("blog", 403), ("bokos", 404)])
def test_a_batch_with_an_event_of_another_site_is_refused_whole(service, world, site_id, status):
    batch = [world.event("whole", "cook1"), world.event("whole", "x", site_id=site_id)]
    assert post(service, batch).status_code == status
    assert post(service, batch[:1]).json()["stored"] == 1


def test_five_hundred_events_are_taken_and_one_more_is_too_many(service, world):
    batch = [world.event("bulk", f"book{n}") for n in range(501)]
    answer = post(service, batch)
    assert answer.status_code == 413
    assert "501" in answer.json()["detail"]
    assert post(service, batch[:500]).json()["stored"] == 500


def test_more_than_a_megabyte_is_too_much(service, world):
    answer = post(service, [world.event("fat", "x" * 1_000_000)])
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("body", ["", "{", "[]", "3", '{"events": 3}', '{"events": []}', '{"event": []}'])
def test_a_body_that_is_no_batch_is_a_problem(service, body):
    headers = {"Content-Type": "application/json"}
    answer = service.call("POST", "/v1/activity", key=service.keys.pages, content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


def test_an_outcome_is_believed_by_its_token_only(service, world, database_rows):
    service.send(world.event("clicker", "cook1"))
    shown = service.decide("clicker")["promotion"]
    outcome = world.event("clicker", "", site_id="kitchen", kind="promotion_click")
    forged = {**outcome, "decision": {"promotion_id": "pan-deal"}}
    bare = {**outcome, "promotion_id": "pan-deal"}
    altered = {**outcome, "decision": shown["token"][:-2] + "AA"}
    elsewhere = {**outcome, "site_id": "books", "decision": shown["token"]}
    for event, key in ((forged, "pans"), (bare, "pans"), (altered, "pans"), (elsewhere, "pages")):
        [told] = post(service, [event], key=getattr(service.keys, key)).json()["events"]
        assert told["status"] == "quarantined", event
    genuine = {**outcome, "decision": shown["token"]}
    assert post(service, [genuine], key=service.keys.pans).json()["stored"] == 1
    [(promotion_id, decision)] = database_rows(
        "SELECT promotion_id, decision FROM activity WHERE event_id = %s", outcome["event_id"]
    )
    assert promotion_id == shown["promotion_id"]
    assert (decision["decision_id"], decision["propensity"]) == (shown["decision_id"], 1.0)
    assert json.dumps(decision)
