import csv
import gzip
import json
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.activity import list_quarantine
from storage.errors import UnreadableFile
from storage.events import derived_consumer_id
from storage.imports import import_activity, import_audiences, import_items, import_promotions
from storage.promotions import get_promotion

NOW = datetime(2026, 6, 1, tzinfo=UTC)
EVENTS = [
    {"consumer_id": "ann", "site_id": "books", "kind": "purchase", "item_id": "b1",
     "occurred_at": datetime(2026, 5, 1, tzinfo=UTC), "value": 9.5},
    {"consumer_id": "ann", "site_id": "books", "kind": "purchase", "item_id": "b1",
     "occurred_at": datetime(2026, 5, 1, tzinfo=UTC), "value": 9.5},
    {"consumer_id": "bob", "site_id": "music", "kind": "pageview", "item_id": "m1", "occurred_at": None,
     "value": None},
]  # fmt: skip


def write_parquet(path, rows):
    pq.write_table(pa.Table.from_pylist(rows), path)


def write_csv(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row, default=str) + "\n" for row in rows))


def write_gzipped_jsonl(path, rows):
    with gzip.open(path, "wt") as file:
        file.writelines(json.dumps(row, default=str) + "\n" for row in rows)


FORMATS = {
    "events.parquet": write_parquet,
    "events.csv": write_csv,
    "events.jsonl": write_jsonl,
    "events.jsonl.gz": write_gzipped_jsonl,
}


def count(database, table):
    with database.connection() as connection:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def activity(database, *files, **options):
    return import_activity(
        database, files, source="vendor", now=NOW, **{"legal_basis": "contract", **options}
    )


def numbers(report):
    assert report.read == report.stored + report.duplicate + report.quarantined
    return report.stored, report.duplicate, report.quarantined


@pytest.fixture(params=FORMATS)
def events_file(request, tmp_path):
    path = tmp_path / request.param
    FORMATS[request.param](path, EVENTS)
    return path


def test_a_file_is_stored_once_however_often_it_is_imported(database, events_file):
    first = activity(database, events_file)
    assert numbers(first) == (3, 0, 0)
    assert first.new_sites == ("books", "music")
    second = activity(database, events_file)
    assert numbers(second) == (0, 3, 0)
    assert second.new_sites == ()
    assert count(database, "activity") == 3


def test_the_same_rows_in_another_format_add_nothing(database, tmp_path):
    for name, write in FORMATS.items():
        write(tmp_path / name, EVENTS)
    assert numbers(activity(database, *(tmp_path / name for name in FORMATS))) == (3, 9, 0)


def test_another_source_with_equal_rows_is_other_activity(database, events_file):
    activity(database, events_file)
    report = import_activity(database, [events_file], source="other", legal_basis="contract", now=NOW)
    assert numbers(report) == (3, 0, 0)


def test_events_with_an_id_of_their_own_keep_it(database, tmp_path):
    path = tmp_path / "e.jsonl"
    write_jsonl(
        path, [{**EVENTS[0], "event_id": "x"}, {**EVENTS[0], "event_id": "x"}, {**EVENTS[0], "event_id": "y"}]
    )
    assert numbers(activity(database, path)) == (2, 1, 0)


def test_identifiers_in_files_lead_to_the_same_consumers_as_over_http(database, tmp_path):
    path = tmp_path / "e.csv"
    write_csv(path, [{"identifier": "vé", "site_id": "books", "kind": "page_view", "item_id": "b1"}])
    activity(database, path)
    with database.connection() as connection:
        row = connection.execute("SELECT namespace, consumer_id FROM identifier").fetchone()
    assert row == ("site:books", derived_consumer_id("site:books", "vé"))


def test_bad_rows_go_to_quarantine_with_file_row_and_reason_and_only_once(database, tmp_path):
    path = tmp_path / "e.csv"
    path.write_bytes(
        b"consumer_id,site_id,kind,item_id\n"
        b"ann,books,page_view,b1\n"
        b"ann,books,stare,b1\n"
        b"ann,books\n"
        b"a\xff,books,page_view,b1\n"
        b'ann,"bo"oks,page_view,b1\n'
        b"bob,books,page_view,b\x002\n"
    )
    for stored, duplicate in ((1, 0), (0, 1)):
        assert numbers(activity(database, path)) == (stored, duplicate, 5)
    with database.connection() as connection:
        rows = {row.location: row for row in list_quarantine(connection)}
    assert list(rows) == ["e.csv:7", "e.csv:6", "e.csv:5", "e.csv:4", "e.csv:3"]
    assert "unknown kind 'stare'" in rows["e.csv:3"].reason
    assert json.loads(rows["e.csv:3"].payload)["consumer_id"] == "ann"
    assert "2 fields under 4 columns" in rows["e.csv:4"].reason
    assert "control characters" in rows["e.csv:5"].reason
    assert "not CSV" in rows["e.csv:6"].reason
    assert rows["e.csv:3"].source_id == "vendor"


def test_lines_that_are_not_json_objects_go_to_quarantine(database, tmp_path):
    path = tmp_path / "e.jsonl"
    path.write_text('{"consumer_id": \n\n[1]\n' + json.dumps(EVENTS[2]) + "\n")
    assert numbers(activity(database, path)) == (1, 0, 2)
    with database.connection() as connection:
        assert {row.location for row in list_quarantine(connection)} == {"e.jsonl:1", "e.jsonl:3"}


def test_rows_of_parquet_files_are_numbered(database, tmp_path):
    path = tmp_path / "e.parquet"
    write_parquet(path, [*EVENTS, {**EVENTS[0], "kind": "stare"}])
    assert numbers(activity(database, path)) == (3, 0, 1)
    with database.connection() as connection:
        assert list_quarantine(connection)[0].location == "e.parquet:4"


def test_without_consent_or_a_legal_basis_rows_are_quarantined_without_their_content(database, tmp_path):
    path = tmp_path / "e.jsonl"
    write_jsonl(path, [EVENTS[0], {**EVENTS[2], "consent": ["cross_site"]}])
    assert numbers(activity(database, path, legal_basis=None)) == (1, 0, 1)
    with database.connection() as connection:
        [row] = list_quarantine(connection)
        flags = connection.execute("SELECT same_site, cross_site FROM activity").fetchall()
    assert (row.reason, row.payload) == ("no consent", None)
    assert flags == [(False, True)]


def test_the_legal_basis_of_a_source_is_remembered(database, events_file):
    activity(database, events_file)
    assert numbers(activity(database, events_file, legal_basis=None)) == (0, 3, 0)


def test_progress_is_told_up_to_the_end(database, events_file):
    told = []
    activity(database, events_file, progress=lambda *news: told.append(news))
    assert told[-1] == (events_file, 1.0, 3)


def test_a_file_that_is_interrupted_leaves_nothing_and_can_be_imported_again(database, events_file):
    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        activity(database, events_file, progress=interrupt)
    assert count(database, "activity") == count(database, "identifier") == count(database, "site") == 0
    assert numbers(activity(database, events_file)) == (3, 0, 0)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("e.xlsx", b"", "of no known format"),
        ("e", b"", "of no known format"),
        ("e.csv", b"a,b\n1,2\n", "has no column site_id, kind; its columns: a, b"),
        ("e.csv", b"", "its columns: none"),
        ("e.parquet", b"not parquet", "cannot be read"),
        ("e.csv.gz", b"not gzip", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_the_reason(database, tmp_path, name, content, expected):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UnreadableFile, match=expected):
        activity(database, path)


def test_a_missing_file_is_noticed_before_anything_is_stored(database, events_file, tmp_path):
    with pytest.raises(UnreadableFile, match="no such file"):
        activity(database, events_file, tmp_path / "missing.csv")
    assert count(database, "activity") == 0


def test_items_are_stored_updated_and_counted(database, tmp_path):
    path = tmp_path / "items.csv"
    rows = [
        {"site_id": "books", "item_id": "b1", "title": "One", "attributes": '{"pages": 9}'},
        {"site_id": "books", "item_id": "b2", "title": "Two", "attributes": ""},
        {"site_id": "books", "item_id": "", "title": "Nobody", "attributes": ""},
    ]
    write_csv(path, rows)
    report = import_items(database, [path], source="shop")
    assert (numbers(report), report.new_sites) == ((2, 0, 1), ("books",))
    rows[1]["title"] = "Zwei"
    write_csv(path, rows)
    assert numbers(import_items(database, [path], source="shop")) == (1, 1, 1)
    assert count(database, "quarantine") == 1


def test_promotions_are_stored_updated_and_counted(database, tmp_path):
    row = {
        "promotion_id": "p1",
        "title": "T",
        "sites": ["books"],
        "items": [{"site_id": "music", "item_id": "m1"}],
        "starts_at": datetime(2026, 5, 1, tzinfo=UTC),
    }
    parquet, text = tmp_path / "p.parquet", tmp_path / "p.csv"
    write_parquet(parquet, [row])
    write_csv(
        text, [{name: json.dumps(value) if isinstance(value, list) else value for name, value in row.items()}]
    )
    report = import_promotions(database, [parquet, text], source="campaigns")
    assert (numbers(report), report.new_sites) == ((1, 1, 0), ("books", "music"))
    write_parquet(parquet, [{**row, "title": "U"}, {**row, "promotion_id": None}])
    assert numbers(import_promotions(database, [parquet], source="campaigns")) == (1, 0, 1)
    with database.connection() as connection:
        assert get_promotion(connection, "p1").title == "U"


def test_audiences_are_stored_once(database, tmp_path):
    path = tmp_path / "a.jsonl"
    member = {"audience_id": "vip", "consumer_id": 7}
    write_jsonl(path, [member, member, {"audience_id": "vip"}])
    assert numbers(import_audiences(database, [path])) == (1, 1, 1)
    assert numbers(import_audiences(database, [path])) == (0, 2, 1)
