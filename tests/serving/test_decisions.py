"""What is decided, end to end over HTTP."""

import pytest
from bentoml.exceptions import BentoMLException


def test_reading_on_one_site_tailors_the_promotion_on_another(service, world):
    service.send(world.event("reader", "cook1"), world.event("reader", "cook2"))
    service.send(world.event("dreamer", "fiction1"), world.event("dreamer", "fiction2"))
    reader, dreamer = service.decide("reader"), service.decide("dreamer")
    assert (reader["strategy"], reader["promotion"]["promotion_id"]) == ("tailored", "pan-deal")
    assert (dreamer["strategy"], dreamer["promotion"]["promotion_id"]) == ("tailored", "lamp-deal")
    assert reader["model"]["kind"] == "als"


def test_the_promotion_names_the_item_that_this_consumer_scores_highest(service, world):
    service.send(world.event("namer", "cook1"))
    promotion = service.decide("namer")["promotion"]
    assert promotion["item"]["site_id"] == "kitchen"
    assert promotion["item"]["category"] == "pan"
    assert promotion["title"] == f"20 % off {promotion['item']['title']}"


def test_the_reasons_say_which_activity_on_which_site_carried_the_score(service, world):
    service.send(
        world.event("asker", "cook1", occurred_at="2026-01-02T03:04:05Z"),
        world.event("asker", "cook2", kind="purchase"),
    )
    reasons = service.decide("asker")["promotion"]["reasons"]
    told = {(reason["site_id"], reason["item_id"], reason["kind"]): reason for reason in reasons}
    assert set(told) == {("books", "cook1", "page_view"), ("books", "cook2", "purchase")}
    assert told["books", "cook1", "page_view"]["occurred_at"].startswith("2026-01-02T03:04:05")
    assert told["books", "cook1", "page_view"]["title"] == "Cook1"
    assert sum(reason["share"] for reason in reasons) == pytest.approx(1.0)
    assert [reason["share"] for reason in reasons] == sorted((r["share"] for r in reasons), reverse=True)


def test_the_signals_say_by_which_way_the_score_came(service, world):
    service.send(world.event("asker2", "cook1"))
    # The bundle that serves here gives nothing for own activity with what is covered.
    assert service.decide("asker2")["promotion"]["signals"] == {"als": pytest.approx(1.0)}
    assert service.decide("nobody has seen me either")["promotion"]["signals"] == {"popularity": 1.0}


def test_an_acknowledged_event_counts_in_the_next_answer(service, world):
    for n in range(50):
        who = f"fresh{n}"
        assert service.decide(who)["strategy"] == "popularity"
        assert service.send(world.event(who, "fiction1"))["stored"] == 1
        assert service.decide(who)["promotion"]["promotion_id"] == "lamp-deal"


def test_somebody_unknown_gets_what_is_popular_on_the_site(service):
    answer = service.decide("nobody has seen me")
    assert answer["strategy"] == "popularity"
    assert answer["promotion"]["promotion_id"] == "pan-deal"
    assert answer["promotion"]["item"]["item_id"] == "pan1"
    assert answer["promotion"]["reasons"] == []
    assert "no activity" in answer["reason"]


def test_somebody_who_only_saw_items_that_the_model_never_saw_gets_what_is_popular(service, world):
    service.send(world.event("explorer", "brand-new-book"))
    answer = service.decide("explorer")
    assert answer["strategy"] == "popularity"
    assert "known to model version 1" in answer["reason"]


def test_a_promotion_that_covers_nothing_known_comes_last_and_without_a_score(service, world):
    service.send(world.event("lister", "cook1"))
    promotions = service.decide("lister", n=10)["promotions"]
    assert [one["promotion_id"] for one in promotions] == ["pan-deal", "lamp-deal", "new-deal"]
    assert [one["rank"] for one in promotions] == [1, 2, 3]
    assert promotions[0]["score"] > promotions[1]["score"]
    assert promotions[2]["score"] is None
    assert promotions[2]["item"] == {
        "site_id": "kitchen",
        "item_id": "never-seen",
        "title": None,
        "category": None,
        "image_url": None,
        "url": None,
    }


def test_nothing_to_show_is_an_answer_with_its_reason(service):
    answer = service.decide("reader", site_id="books")
    assert (answer["strategy"], answer["promotion"], answer["promotions"]) == ("none", None, [])
    assert "no active promotion" in answer["reason"]


def test_a_visitor_of_a_site_is_found_by_the_sites_own_identifier(service, world):
    event = world.event("", "fiction2", identifier="visitor-7")
    del event["consumer_id"]
    assert service.send(event)["stored"] == 1
    asked = {"identifier": "visitor-7", "namespace": "site:books", "site_id": "books"}
    own = service.call("POST", "/v1/decisions", key=service.keys.pages, json=asked).json()
    assert own["consumer_id"].startswith("~")
    assert service.decide(own["consumer_id"])["promotion"]["promotion_id"] == "lamp-deal"


def test_both_entrances_decide_alike(service, world, typed_client):
    service.send(world.event("twice", "cook3"))
    typed = typed_client.promotion(consumer_id="twice", site_id="kitchen", n=2)
    plain = service.decide("twice", n=2)
    told = [(one["promotion_id"], one["score"], one["reasons"]) for one in typed["promotions"]]
    assert told == [(one["promotion_id"], one["score"], one["reasons"]) for one in plain["promotions"]]
    assert typed["promotion"]["token"] != plain["promotion"]["token"]


def test_the_typed_client_hears_what_is_wrong(typed_client):
    with pytest.raises(BentoMLException, match="no-such-site") as caught:
        typed_client.promotion(consumer_id="c", site_id="no-such-site")
    assert caught.value.error_code == 404
    with pytest.raises(BentoMLException, match="consumer_id"):
        typed_client.promotion(site_id="kitchen", consumer_id="c", identifier="i")


@pytest.mark.parametrize(
    ("asked", "at_fault"),
    [
        ({"consumer_id": "c"}, "site_id"),
        ({"consumer_id": "c", "site_id": "kitchen", "n": 0}, "n"),
        ({"consumer_id": "c", "site_id": "kitchen", "n": 51}, "51"),
        ({"consumer_id": "c", "site_id": "kitchen", "m": 1}, "m"),
        ({"consumer_id": "c" * 257, "site_id": "kitchen"}, "consumer_id"),
        ({"site_id": "kitchen", "namespace": "elsewhere", "identifier": "i"}, "elsewhere"),
        ({"consumer_id": "c", "identifier": "i", "site_id": "kitchen"}, "consumer_id"),
    ],
)
def test_a_request_that_makes_no_sense_is_told_the_field_at_fault(service, asked, at_fault):
    answer = service.call("POST", "/v1/decisions", key=service.keys.pans, json=asked)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert at_fault in answer.json()["detail"]
