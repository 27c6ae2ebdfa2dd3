"""Promotions for everybody in a file are those that the service would show."""

from datetime import UTC, datetime

import pyarrow.parquet as pq
import pytest

from serving.batch import SCHEMA, recommend_all
from serving.errors import NotASubscriber
from storage.database import Database
from storage.errors import UnknownSite

READERS = {"mailed cook": "cook1", "mailed reader": "fiction2", "mailed visitor": None}


@pytest.fixture
def write(service, world, tmp_path):
    for consumer, item in READERS.items():
        service.send(world.event(consumer, item or "nobody knows this"))

    def write_file(site_id="kitchen", **options):
        with Database(service.database_url) as database:
            return recommend_all(
                database,
                site_id=site_id,
                out=tmp_path / "promotions.parquet",
                bundles=service.home / "bundles",
                now=datetime.now(UTC),
                **options,
            )

    return write_file


def test_everybody_gets_what_the_service_would_show_them(service, write, tmp_path):
    told = []
    report = write(n=2, progress=lambda *done: told.append(done))
    table = pq.read_table(tmp_path / "promotions.parquet")
    assert table.schema.equals(SCHEMA)
    assert (report.rows, report.site_id, report.file) == (
        table.num_rows,
        "kitchen",
        str(tmp_path / "promotions.parquet"),
    )
    assert told[-1] == ("Deciding for kitchen", report.consumers, report.consumers)
    assert report.by_strategy["tailored"] >= 2
    assert report.by_strategy["popularity"] >= 1
    rows = table.to_pylist()
    for consumer in READERS:
        mine = [row for row in rows if row["consumer_id"] == consumer]
        decision = service.decide(consumer, n=2)
        assert [row["rank"] for row in mine] == [1, 2]
        for row, promotion in zip(mine, decision["promotions"], strict=True):
            assert row["promotion_id"] == promotion["promotion_id"]
            assert row["score"] == pytest.approx(promotion["score"], rel=1e-5)
            assert row["item_id"] == promotion["item"]["item_id"]
            assert row["strategy"] == decision["strategy"]
            assert row["model_version"] == decision["model"]["version"]
            assert row["site_id"] == "kitchen"


def test_what_somebody_last_said_on_the_site_counts(service, world, write, tmp_path):
    service.send(world.event("mailed decliner", "fiction2"))
    said = {"site_id": "kitchen", "consumer_id": "mailed decliner", "purposes": ["same_site"]}
    assert service.call("POST", "/v1/consent", key=service.keys.pans, json=said).status_code == 200
    write(n=1)
    rows = pq.read_table(tmp_path / "promotions.parquet").to_pylist()
    [mine] = [row for row in rows if row["consumer_id"] == "mailed decliner"]
    assert mine["strategy"] == service.decide("mailed decliner")["strategy"] == "popularity"


def test_everybody_is_decided_for_as_they_agreed(service, world, write, tmp_path):
    told = {
        "agreed": (["same_site", "cross_site"], None),
        "nowhere else": (["same_site"], None),
        "elsewhere only": (["cross_site"], None),
        "here only": (["same_site", "cross_site"], ["same_site"]),
        "took it back": (["same_site", "cross_site"], []),
    }
    for consumer, (consent, word) in told.items():
        service.send(world.event(consumer, "cook1", consent=consent))
        service.send(world.event(consumer, "pan2", site_id="kitchen", consent=consent), key=service.keys.pans)
        if word is not None:
            said = {"site_id": "kitchen", "consumer_id": consumer, "purposes": word}
            answer = service.call("POST", "/v1/consent", key=service.keys.pans, json=said)
            assert answer.status_code == 200
    write(n=3)
    rows = pq.read_table(tmp_path / "promotions.parquet").to_pylist()
    for consumer in told:
        decision = service.decide(consumer, n=3)
        mine = [row for row in rows if row["consumer_id"] == consumer]
        assert [row["promotion_id"] for row in mine] == [
            one["promotion_id"] for one in decision["promotions"]
        ]
        assert {row["strategy"] for row in mine} == {decision["strategy"]}


def test_what_is_interrupted_leaves_the_earlier_file_and_nothing_else(write, tmp_path):
    (tmp_path / "promotions.parquet").write_bytes(b"as it was")

    def interrupt(*_done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(progress=interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["promotions.parquet"]
    assert (tmp_path / "promotions.parquet").read_bytes() == b"as it was"


def test_where_nothing_is_shown_nothing_is_written(write, tmp_path):
    with pytest.raises(UnknownSite, match="kichen"):
        write("kichen")
    with pytest.raises(NotASubscriber, match="blog"):
        write("blog")
    assert not list(tmp_path.iterdir())
