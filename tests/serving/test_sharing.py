"""What subscribers state about sharing, while it is decided."""

from datetime import UTC, datetime

import pyarrow.parquet as pq
import pytest

from serving.batch import recommend_all
from storage.database import Database


@pytest.fixture
def state(service):
    """Lets `pages` or `pans` state what it shares; both share everything again afterwards."""
    keys = {"pages": service.keys.pages, "pans": service.keys.pans}

    def put(subscriber_id, *, shares_activity=True, accepts_from=None):
        word = {"shares_activity": shares_activity, "accepts_from": accepts_from}
        answer = service.call(
            "PUT", f"/v1/subscribers/{subscriber_id}/sharing", key=keys[subscriber_id], json=word
        )
        assert answer.status_code == 200, answer.text
        assert {name: answer.json()[name] for name in word} == word
        entry = f"/v1/subscribers/{subscriber_id}"
        service.until(lambda: service.call("GET", entry, key=keys[subscriber_id]).json() == answer.json())

    yield put
    for subscriber_id in keys:
        put(subscriber_id)


def strategy(service, consumer_id):
    return service.decide(consumer_id)["strategy"]


def test_a_reason_names_the_subscriber_that_shared_it(service, world):
    service.send(world.event("told", "cook1"))
    service.send(world.event("told", "pan2", site_id="kitchen"), key=service.keys.pans)
    reasons = service.decide("told")["promotion"]["reasons"]
    assert {one["site_id"]: one["shared_by"] for one in reasons} == {"books": "pages", "kitchen": None}


def test_activity_that_is_kept_tailors_nothing_elsewhere(service, world, state):
    service.send(world.event("kept", "fiction1"))
    assert strategy(service, "kept") == "tailored"
    state("pages", shares_activity=False)
    assert strategy(service, "kept") == "popularity"
    service.send(world.event("kept", "lamp1", site_id="kitchen"), key=service.keys.pans)
    reasons = service.decide("kept")["promotion"]["reasons"]
    assert {one["site_id"] for one in reasons} == {"kitchen"}
    state("pages", shares_activity=True)
    reasons = service.decide("kept")["promotion"]["reasons"]
    assert {one["site_id"] for one in reasons} == {"books", "kitchen"}


@pytest.mark.parametrize(
    ("accepts_from", "expected"),
    [(None, "tailored"), (["pages"], "tailored"), (["somebody"], "popularity"), ([], "popularity")],
)
def test_only_what_a_subscriber_accepts_tailors_its_promotions(service, world, state, accepts_from, expected):
    service.send(world.event("chosen", "fiction1"))
    state("pans", accepts_from=accepts_from)
    assert strategy(service, "chosen") == expected


def test_promotions_in_a_file_keep_to_it_too(service, world, state, tmp_path):
    service.send(world.event("mailed", "fiction1"))

    def mailed():
        with Database(service.database_url) as database:
            recommend_all(
                database,
                site_id="kitchen",
                out=tmp_path / "promotions.parquet",
                bundles=service.home / "bundles",
                now=datetime.now(UTC),
            )
        rows = pq.read_table(tmp_path / "promotions.parquet").to_pylist()
        return next(row["strategy"] for row in rows if row["consumer_id"] == "mailed")

    assert mailed() == "tailored"
    state("pages", shares_activity=False)
    assert mailed() == "popularity"


@pytest.mark.parametrize(
    ("whose", "key", "body", "status"),
    [
        ("pages", "pans", {"shares_activity": True, "accepts_from": None}, 403),
        ("pages", "pages_public", {"shares_activity": True, "accepts_from": None}, 403),
        ("pages", "pages", {"shares_activity": True}, 400),
        ("pages", "pages", {"accepts_from": None}, 400),
        ("pages", "pages", {"shares_activity": True, "accepts_from": ["\n"]}, 400),
        ("pages", "pages", {"shares_activity": True, "accepts_from": ["x"] * 1001}, 400),
    ],
)
def test_only_the_subscriber_itself_says_what_it_shares(service, whose, key, body, status):
    headers = {"Origin": "https://books.example"} if key == "pages_public" else {}
    answer = service.call(
        "PUT",
        f"/v1/subscribers/{whose}/sharing",
        key=getattr(service.keys, key),
        json=body,
        headers=headers,
    )
    assert answer.status_code == status, answer.text
    entry = service.call("GET", "/v1/subscribers/pages", key=service.keys.pages).json()
    assert (entry["shares_activity"], entry["accepts_from"]) == (True, None)
